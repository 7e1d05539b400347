"""Names in the manual exist: commands, options, make targets, files.

Only code is checked (`like this`, indented, or fenced), of the manual and of the project's own
pages; Markdown is read as tests/docs/test_docs_site.py reads it.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pages import ROOT, TEXTS, name_of, tokens

from rsfilter.cli import command_line

COMMAND = re.compile(r"(?:^|[\s/;(])rsfilter (?P<words>-?[a-z].*)")
TARGET = re.compile(r"\bmake (?P<target>[a-z][a-z-]*)")
FILE = re.compile(r"(?<![\w/.=-])(?:docs|tests|rsfilter|fixtures|\.ci)/[\w./-]*[\w/](?![\w*<])")
"""A path from the root, without those that stand for several (`tests/test_<module>.py`) or are made
(`RESULTS=docs/benchmarks`)."""

ENDS = {"|", "||", "&&", ">", ">>", ";", "&"}
"""The words of a shell after which another command begins, or none."""

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def code(page: Path) -> Iterator[str]:
    """Lines of code."""
    for token in tokens(page):
        if token.type in ("code_inline", "code_block", "fence"):
            yield from token.content.splitlines()


def words(line: str) -> list[str]:
    """Words of a command, up to its end; as they stand where no shell could read them (`…`)."""
    try:
        split = shlex.split(line, comments=True)
    except ValueError:
        split = line.split()
    ends = [place for place, word in enumerate(split) if word in ENDS]
    return split[: ends[0]] if ends else split


def problem(line: str) -> str | None:
    """Yield the problems of the words that follow `rsfilter`."""
    parser = command_line()
    for word in words(line):
        inside = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        option = word.partition("=")[0]
        if option.startswith("-"):
            if option not in parser._option_string_actions:
                return f"{parser.prog} has no {option}"
        elif inside and word not in inside[0].choices:
            return f"{parser.prog} has no {word}"
        elif inside:
            parser = inside[0].choices[word]
    return None


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_what_is_typed_is_there(page: Path) -> None:
    commands = [match["words"] for line in code(page) for match in COMMAND.finditer(line)]
    assert {line: why for line in commands if (why := problem(line))} == {}
    targets = {match["target"] for line in code(page) for match in TARGET.finditer(line)}
    assert targets - TARGETS == set()


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_files_that_are_named_are_there(page: Path) -> None:
    named = {Path(name) for line in code(page) for name in FILE.findall(line)}
    placeholders = {path for path in named if any(part.isupper() for part in path.parts)}
    assert {path for path in named - placeholders if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("status", None),
        ("routes 203.0.113.4 --verdict rejected | less --mouse", None),
        ('audit query --sql "SELECT 1" # --not', None),
        ("render exabgp --config=a -o b", None),
        ("run --record-all FILE", "rsfilter run has no --record-all"),
        ("guard open", "rsfilter guard has no open"),
        ("state", "rsfilter has no state"),
        ("status --directory d", "rsfilter status has no --directory"),
    ],
)
def test_what_is_not_there_is_noticed(line: str, why: str | None) -> None:
    assert problem(line) == why
