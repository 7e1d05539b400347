"""`make lab`: what it lists, how it ends, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.play import plays
from lab.waiting import eventually
from support.places import TESTS

RUN = """\
import sys
from pathlib import Path
from rich.console import Console
from lab import play
sys.argv[1:] = sys.argv[1].split()
play.plays = lambda: [play.Play("tiny", "a tiny lab", Path("test_tiny.py"))]
sys.exit(play.main())
"""

TINY = '''\
"""Scenario tiny: for the tests of the screen. More of it."""
import pytest
from lab.bird import BirdRouter
from lab.core import Lab
from lab.story import narrate

@pytest.fixture
def router():
    with Lab() as lab:
        yield BirdRouter(lab, "leaf1", 201, 65200, [])

def test_one_it_starts(router):
    """A router starts."""
    router.starts()
    router.has_exactly()

def test_two_something_happens():
    narrate("nothing [b]of note")
'''

FAILING = TINY + "    assert False, 'leaf1 has no [b]path\\n--- leaf1'\n"


def command(directory: Path, text: str, arguments: str) -> subprocess.Popen[str]:
    (directory / "test_tiny.py").write_text(text)
    return subprocess.Popen(
        [sys.executable, "-c", RUN, arguments],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(TESTS), "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(directory: Path, text: str, arguments: str) -> tuple[int, str]:
    process = command(directory, text, arguments)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def test_every_scenario_is_listed_with_its_title() -> None:
    listed = {play.name: play.title for play in plays()}
    files = {path.stem.removeprefix("test_scenario_") for path in TESTS.rglob("test_scenario_*.py")}
    assert files <= set(listed)
    assert listed["b"] == "L3 routing to the hypervisor"
    assert all(len(title) < 70 for title in listed.values())


def test_without_a_name_the_labs_are_listed(tmp_path: Path) -> None:
    code, output = run(tmp_path, TINY, "")
    assert code == 0
    assert re.search(r"^  tiny +a tiny lab$", output, re.MULTILINE)
    assert "NAME=b KEEP=1" in output


def test_an_unknown_lab_is_an_error(tmp_path: Path) -> None:
    assert run(tmp_path, TINY, "huge") == (2, "There is no lab 'huge': tiny\n")


@pytest.mark.lab
def test_steps_are_shown_as_sentences(tmp_path: Path) -> None:
    code, output = run(tmp_path, TINY, "tiny")
    assert code == 0, output
    assert "one it starts" in output
    assert "    A router starts." in output
    assert "    ✓ leaf1 starts" in output
    assert "    ✓ leaf1 has nothing and no more" in output
    assert "    ✓ nothing [b]of note" in output
    assert "all 2 steps hold" in output


def test_a_step_that_fails(tmp_path: Path) -> None:
    for arguments in ("tiny --step two", "--all --step two"):
        code, output = run(tmp_path, FAILING, arguments)
        assert code == 1, output
        assert "✗ two something happens" in output
        assert "leaf1 has no [b]path" in output
        assert "--- leaf1" in output


def test_a_step_that_does_not_exist(tmp_path: Path) -> None:
    code, output = run(tmp_path, TINY, "tiny --step three")
    assert code == 1
    assert "no step with 'three'" in output


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A lab that stays up, and has printed that."""
    process = command(tmp_path, TINY, "tiny --step one --keep")
    assert process.stdout is not None
    for line in process.stdout:
        if "birdc" in line:
            break
    yield process
    process.kill()
    process.communicate()


@pytest.mark.lab
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_kept_lab_ends_at_a_signal(
    kept: subprocess.Popen[str], number: signal.Signals, tmp_path: Path
) -> None:
    (place,) = tmp_path.glob("lab-*")
    assert (place / "leaf1" / "bird.ctl").exists()
    kept.send_signal(number)
    assert kept.wait(120) == 0
    eventually(lambda: f"{place} is left" if place.exists() else None)
