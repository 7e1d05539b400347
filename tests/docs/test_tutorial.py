"""Commands of the tutorial work as it promises: they are typed in, one after the other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import pytest
from lab.core import Lab
from lab.exabgp import PROGRAMS
from lab.waiting import eventually
from support.places import ROOT

pytestmark = pytest.mark.lab

PAGE = ROOT / "docs" / "tutorial.md"

_BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

PROMPT = "$ "
END = "=tutorial="


class Step(NamedTuple):
    """Typed text, and the output that has to come."""

    command: str
    expected: str


def steps(page: str) -> Iterator[Step]:
    """Commands of a page: `sh` is typed as a whole, `console` by its prompts."""
    for language, text in _BLOCK.findall(page):
        if language == "sh":
            yield Step(text, "")
            continue
        for part in re.split(rf"^{re.escape(PROMPT)}", text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            yield Step(command, expected)


def matches(expected: str, printed: str) -> bool:
    """`…` is anything, as a line any lines or none, and any time will do."""
    lines = _TIME.sub("TIME", expected).splitlines(keepends=True)
    pattern = "".join(
        "(.*\n)?" if line == "…\n" else re.escape(line).replace("…", ".*") for line in lines
    )
    return re.fullmatch(pattern, _TIME.sub("TIME", printed), re.DOTALL) is not None


class Shell:
    """A shell in a lab, to which one types."""

    def __init__(self, lab: Lab, place: Path) -> None:
        self._output = place.with_name("printed")
        keyboard = place.with_name("typed")
        os.mkfifo(keyboard)
        environment = {"PATH": f"{PROGRAMS}:{os.environ['PATH']}:/usr/sbin", "HOME": str(place)}
        lab.spawn(["bash", str(keyboard)], cwd=place, log=self._output, env=environment)
        self._keyboard: TextIO = keyboard.open("w")

    def types(self, command: str) -> str:
        """Return its output once it has ended."""
        before = self._output.stat().st_size
        self._keyboard.write(f"{command}\necho {END}\n")
        self._keyboard.flush()
        printed = ""

        def probe() -> str | None:
            nonlocal printed
            with self._output.open("rb") as output:
                output.seek(before)
                printed = output.read().decode()
            return None if printed.endswith(f"{END}\n") else f"{command} has not ended"

        eventually(probe)
        return printed.removesuffix(f"{END}\n")


def test_every_command_prints_what_the_page_shows(lab: Lab) -> None:
    place = lab.directory / "tutorial"
    place.mkdir()
    shell = Shell(lab, place)
    all_steps = list(steps(PAGE.read_text()))
    assert len(all_steps) > 20
    for step in all_steps:
        if not step.expected:
            assert shell.types(step.command) == ""
            continue

        def probe(step: Step = step) -> str | None:
            """The output may take a moment: the command is repeated."""
            printed = shell.types(step.command)
            found = matches(step.expected, printed)
            return None if found else f"$ {step.command}\n{printed}\ninstead of\n{step.expected}"

        eventually(probe, lab.report)


@pytest.mark.parametrize(
    ("expected", "printed", "is_same"),
    [
        ("a\n", "a\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n…\n", "a\nb\nc\n", True),
        ("a\n…\nc\n", "a\nc\n", True),
        ("a\n…\nc\n", "a\nc", False),
        ("a…c\n", "a bc\n", True),
        ("a.c\n", "abc\n", False),
        ("at 2026-11-23T15:29:47Z\n", "at 2027-01-01T00:00:00Z\n", True),
        ("at 2026-11-23T15:29:47Z\n", "at noon\n", False),
    ],
)
def test_printed_text_is_compared_as_a_reader_would(
    expected: str, printed: str, is_same: bool
) -> None:
    assert matches(expected, printed) is is_same
