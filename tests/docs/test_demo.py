"""`make demo`: one screen that tells the truth, and an exit code that does too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from lab.core import Lab
from lab.demo import GUESTS, HIJACKER, HONEST, Demo
from lab.relay import relayed
from lab.stayrtr import Vrp
from lab.waiting import eventually
from support.places import TESTS

pytestmark = pytest.mark.lab

README = TESTS.parent / "README.md"

SHOWN = re.findall(r"^    (203\.0\.113\..+)$", README.read_text(), re.MULTILINE)
"""The rows that the README shows of both tables."""


def test_one_screen(tmp_path: Path) -> None:
    """It fits, says what was rejected and why, and leaves the audit log where it says."""
    done = subprocess.run(
        [sys.executable, "-m", "lab.demo"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{TESTS}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    hijack = [line for line in lines if "203.0.113.5/32" in line and "hv2 AS65006" in line]
    assert len(hijack) == 1
    assert "rejected" in hijack[0]
    assert "origin_invalid_asn" in hijack[0]
    assert any("as_path_too_long, origin_invalid_asn" in line for line in lines)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]
    assert len(SHOWN) == 4
    for row in SHOWN:
        assert re.split(r" {2,}", row) in rows
    assert list((tmp_path / ".lab" / "demo" / "audit").glob("*.jsonl"))


def test_the_page_can_be_seen_from_outside(lab: Lab) -> None:
    """Whoever keeps the demo has a browser out here, and the filter listens in there."""
    (lab.directory / "index.html").write_text("in there")
    server = ["-m", "http.server", "--bind", "127.0.0.1", "8480"]
    lab.spawn([sys.executable, *server], cwd=lab.directory, log=lab.directory / "log")
    eventually(lambda: None if lab.is_listening("127.0.0.1", 8480) else "nobody listens")
    with relayed(lab, "127.0.0.1:8480") as address:
        for _ in range(2):
            with urlopen(f"http://{address}/") as answer:
                assert answer.read() == b"in there"


def test_it_fails_when_a_hijack_succeeds(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """With data that allow the hijack the demo does not end well."""
    monkeypatch.chdir(lab.directory)
    demo = Demo(lab, patience_s=1.0)
    demo.starts()
    hijacked = [
        Vrp(HIJACKER, guests[HONEST], 32 if family == 4 else 128)
        for family, guests in GUESTS.items()
    ]
    demo.cache.serves([*demo.vrps, *hijacked])
    for guests in GUESTS.values():
        demo.hosts[1].announces(guests[HONEST])
        demo.bird.has(guests[HONEST], as_path=[HIJACKER])
    with pytest.raises(AssertionError, match="the audit has no line with"):
        demo.plays()
