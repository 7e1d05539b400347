"""The demo of `make demo`: one screen that shows the truth, five things to try, and an honest exit
code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from lab.audit import Audit
from lab.core import Lab
from lab.demo import ABSENT, HIJACKED, OWNERS, Demo
from lab.relay import relayed
from lab.waiting import eventually
from support.places import TESTS

pytestmark = pytest.mark.lab

README = TESTS.parent / "README.md"

SHOWN = re.findall(r"^    (\d+\.\d+\.\d+\.\d+/32 .+)$", README.read_text(), re.MULTILINE)
"""The rows that the README shows."""


class Kept:
    """A demo that was started with --keep, and has printed what to try."""

    def __init__(self, process: subprocess.Popen[str], place: Path) -> None:
        assert process.stdout is not None
        self.process, self.place = process, place
        self.lines: list[str] = []
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))
            if "kill -CONT" in line:
                break
        self.text = "\n".join(self.lines)

    def commands(self, number: int) -> str:
        """Return the commands that the demo proposes for the thing to try with this number."""
        index = next(i for i, line in enumerate(self.lines) if line.startswith(f"{number}. "))
        return self.lines[index + 1].strip()

    def types(self, commands: str) -> str:
        """Return the output of commands in a shell that was prepared as the demo proposes."""
        (prepared,) = (line.strip() for line in self.lines if line.startswith("   export PATH="))
        done = subprocess.run(
            ["sh", "-c", f"{prepared}\n{commands}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return done.stdout + done.stderr

    def eventually_prints(self, commands: str, text: str) -> None:
        """Wait until the commands print this."""

        def probe() -> str | None:
            printed = self.types(commands)
            return None if text in printed else f"{commands!r} prints no {text!r}: {printed}"

        eventually(probe)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """The demo, until Ctrl-C."""
    place = tmp_path_factory.mktemp("demo")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "lab.demo", "--keep"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": f"{TESTS}:{os.environ.get('PYTHONPATH', '')}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    demo = Kept(process, place)
    yield demo
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, demo.text + output


def test_the_demo_fits_one_screen_and_names_what_is_wrong(kept: Kept) -> None:
    """The screen fits, names what was rejected, absent and held, and leaves both audit logs."""
    end = kept.text.index("Everything keeps running")
    lines = kept.text[:end].rstrip().splitlines()
    assert len(lines) <= 45, kept.text
    assert [line for line in lines if len(line) > 140] == []  # tables are not folded
    rows = [re.split(r" {2,}", line.strip()) for line in lines]
    hijack = [HIJACKED, "hv2 AS65006", "65006", "rejected", "origin_invalid_asn"]
    assert hijack in rows
    assert any(row[-1] == "as_path_too_long, origin_invalid_asn" for row in rows)
    assert any("would have 8: 4 lost" in line or "would have 5: 3 lost" in line for line in lines)
    assert any(f"absent, expected by truth: {ABSENT}" in line for line in lines)
    assert any("routes held by the guard" in line for line in lines)
    assert len(SHOWN) == 3
    for row in SHOWN:
        assert re.split(r" {2,}", row) in rows
    for name in ("rs1", "rs2"):
        assert list((kept.place / ".lab" / "demo" / "audit" / name).glob("*.jsonl"))


def test_both_pages_are_served(kept: Kept) -> None:
    for name in ("rs1", "rs2"):
        (url,) = re.findall(rf"(http://\S+) \({name}\)", kept.text)
        with urlopen(f"{url}api/v1/status") as answer:
            assert f'"name":"{name}"' in answer.read().decode()


def test_the_five_things_to_try_do_what_they_promise(kept: Kept) -> None:
    """Each command does what its sentence promises. The absent host stays absent over a restart
    and another truth, until it comes."""
    output = kept.types(kept.commands(1))
    assert "rejected" in output
    assert "owner: hv1 (AS65005)" in output

    (killed,) = re.findall(r"kill -CONT (\d+)", kept.text)
    os.kill(int(killed), signal.SIGKILL)
    kept.eventually_prints("rsfilter status", "4 held" if ":" in kept.text else "3 held")
    output = kept.types(kept.commands(2))
    assert OWNERS["hv4"][0] in output
    kept.eventually_prints("rsfilter status", "revision r41")
    kept.eventually_prints("rsfilter status", ", 0 held")
    kept.eventually_prints("rsfilter neighbors --state absent", f"host  {ABSENT}")

    audit = Audit(kept.place / ".lab" / "demo" / "audit" / "rs1", lambda: kept.text)
    assert not audit.records(event="present", host=ABSENT)
    starts = len(audit.records(event="start"))
    for record in audit.records(event="absent", host=ABSENT):
        absences = audit.records(event="absent", neighbor=record["neighbor"])
        assert len(absences) <= starts == 2, absences
    kept.types(kept.commands(3))
    audit.has(event="present", host=ABSENT)
    audit.has(prefix=OWNERS[ABSENT][0], host=ABSENT, verdict="accepted")
    kept.eventually_prints("rsfilter neighbors --host hv5 --state up", "up")

    output = kept.types(kept.commands(4))
    assert "hv3" in output
    kept.eventually_prints("rsfilter neighbors --host hv3 --state down", "down")


def test_a_second_demo_in_this_directory_is_refused(kept: Kept) -> None:
    """Two demos would write to the same audit logs; the second would remove those of the first."""
    again = subprocess.run(
        [sys.executable, "-m", "lab.demo"],
        cwd=kept.place,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert again.returncode == 1
    assert "a demo runs in this directory already" in again.stdout


def test_the_page_can_be_seen_from_outside(lab: Lab) -> None:
    """A person who keeps the demo has a browser out here, and the filter listens in there."""
    (lab.directory / "index.html").write_text("in there")
    server = ["-m", "http.server", "--bind", "127.0.0.1", "8480"]
    lab.spawn([sys.executable, *server], cwd=lab.directory, log=lab.directory / "log")
    eventually(lambda: None if lab.is_listening("127.0.0.1", 8480) else "nobody listens")
    with relayed(lab, "127.0.0.1:8480") as address:
        for _ in range(2):
            with urlopen(f"http://{address}/") as answer:
                assert answer.read() == b"in there"


def test_the_demo_fails_when_a_hijack_succeeds(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo fails with a truth that allows the hijack."""
    monkeypatch.chdir(lab.directory)
    demo = Demo(lab, patience_s=1.0)
    hijacker = [*OWNERS["hv2"], HIJACKED]
    owners = {name: demo.carried(guests) for name, guests in (OWNERS | {"hv2": hijacker}).items()}
    demo.starts(owners)
    demo.stage.host("hv2").announces(HIJACKED)
    demo.stage.audit.has(prefix=HIJACKED, host="hv2", verdict="accepted")
    with pytest.raises(AssertionError, match="the audit has no line with"):
        demo.hosts_announce()
