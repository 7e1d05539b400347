"""However the owner of a lab ends, no process, namespace or file of the lab is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.waiting import DEADLINE_S, eventually
from lab.warden import descendants
from support.places import TESTS

OWNER = """\
import sys
from lab.bird import BirdRouter
from lab.core import Lab
with Lab(namespaces=sys.argv[1] == "namespaces") as lab:
    router = BirdRouter(lab, "leaf1", 201, 65200, [])
    router.starts()
    # What daemons do: fork, forget the parent, ignore polite signals.
    stubborn = "trap '' TERM INT HUP; setsid sleep 1000 & exec sleep 1000"
    lab.spawn(["sh", "-c", stubborn], cwd=router.place, log=router.log)
    print(lab.directory, flush=True)
    if sys.argv[2] == "raise":
        raise SystemExit("a failed test")
    sys.stdin.read()
"""
"""A program that owns a lab, prints its directory, and waits."""


class Owner:
    """The program above, and what it started."""

    def __init__(self, isolation: str, then: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, isolation, then],
            cwd=TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # A shell that runs the tests in the background makes them ignore Ctrl-C, children too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert self.process.stdout is not None
        self.directory = Path(self.process.stdout.readline().strip())
        self.started = descendants(self.process.pid)


@pytest.fixture(params=["namespaces", "loopback"])
def owner_of(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Owner]]:
    """Start an owner with a lab of either kind."""
    owners = []

    def start(then: str) -> Owner:
        owners.append(Owner(request.param, then))
        return owners[-1]

    yield start
    for owner in owners:
        owner.process.kill()
        owner.process.wait()


def nothing_is_left(owner: Owner) -> None:
    """Wait until all that the owner started is gone."""

    def probe() -> str | None:
        if running := [pid for pid in owner.started if is_running(pid)]:
            return f"processes are left: {running}"
        return f"{owner.directory} is left" if owner.directory.exists() else None

    eventually(probe)


def is_running(pid: int) -> bool:
    """Return whether it exists, and is not a zombie that waits for a busy parent."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.lab
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_owner_that_is_killed(owner_of: Callable[[str], Owner], number: signal.Signals) -> None:
    """Ctrl-C, kill and kill -9."""
    owner = owner_of("wait")
    assert owner.directory.is_dir()
    assert len(owner.started) >= 4  # keeper, warden, bird, sleep
    owner.process.send_signal(number)
    owner.process.wait(DEADLINE_S)
    nothing_is_left(owner)


@pytest.mark.lab
def test_an_owner_that_fails(owner_of: Callable[[str], Owner]) -> None:
    """An exception inside `with Lab()`."""
    owner = owner_of("raise")
    owner.process.wait(DEADLINE_S)
    nothing_is_left(owner)


@pytest.mark.lab
@pytest.mark.parametrize("which", ["keeper", "warden"])
def test_a_keeper_or_warden_that_is_killed(owner_of: Callable[[str], Owner], which: str) -> None:
    """The other one or the owner cleans up, whichever of the two is killed with -9."""
    owner = owner_of("wait")
    (keeper,) = children_of(owner.process.pid)
    (warden,) = children_of(keeper)
    os.kill(keeper if which == "keeper" else warden, signal.SIGKILL)
    owner.process.communicate(timeout=DEADLINE_S)
    nothing_is_left(owner)


def children_of(pid: int) -> list[int]:
    """Direct children, as the kernel lists them for a process's main thread."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]
