"""The examples of `--help`: every command has some, and each can be typed."""

from __future__ import annotations

import re
import shlex

import pytest

from rsfilter.cli import command_line
from rsfilter.commands.examples import EXAMPLES, commands_of


def lines() -> list[str]:
    """Each example on one line, without what the shell does with its output."""
    joined = [line for shown in EXAMPLES.values() for line in "\n".join(shown).split("\n")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(joined)).split("\n")
    return sorted({re.split(r" (?:\|\|?|>>?) ", line)[0] for line in whole})


def test_every_command_has_examples_and_no_other() -> None:
    assert {words for words, _ in commands_of(command_line())} == EXAMPLES.keys()


@pytest.mark.parametrize("line", lines())
def test_an_example_can_be_typed(line: str) -> None:
    program, *argv = shlex.split(line)
    assert program == "rsfilter"
    args, unknown = command_line().parse_known_args(argv)
    assert not unknown
    assert args.handler


@pytest.mark.parametrize("words", EXAMPLES)
def test_an_example_is_of_its_command(words: str) -> None:
    assert EXAMPLES[words][0].startswith(f"rsfilter {words}")


def test_help_shows_them_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command_line().parse_args(["audit", "query", "--help"])
    shown = capsys.readouterr().out
    assert shown.endswith("examples:\n" + "".join(f"  {e}\n" for e in EXAMPLES["audit query"]))
