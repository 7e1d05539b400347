"""The parser of the command line: argparse, with errors that name what was probably meant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, NoReturn

from rsfilter.commands.output import INVALID, print_json
from rsfilter.util.text import clean

MAX_LISTED = 12
"""Choices that an error lists; of more it names the closest alone."""


class Parser(argparse.ArgumentParser):
    """Parses one command, or all. Subcommands get the same kind of parser."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", _Formatter)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Print the problem, as JSON if JSON was requested, and exit with code 2."""
        message += self._actions_missed(message)
        if "--json" in sys.argv[1:]:
            print_json([{"error": "usage", "detail": clean(message)}])
            self.exit(INVALID)
        self.print_usage(sys.stderr)
        self.exit(INVALID, f"{self.prog}: {clean(message)}\n")

    def _actions_missed(self, message: str) -> str:
        """Return the names of the actions, if `message` is that there has to be one."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and "required" in message:
                return f"; there are {', '.join(action.choices)}"
        return ""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices or value == []:  # of nargs "*": none
            return
        choices = [str(choice) for choice in action.choices]
        hint = did_you_mean(str(value), choices)
        if isinstance(action, argparse._SubParsersAction) and not {".", "/"}.isdisjoint(value):
            hint = "; options follow the command: rsfilter status -c FILE"
        elif not hint and len(choices) <= MAX_LISTED:
            hint = f"; there are {', '.join(choices)}"
        elif not hint and action.dest == "command":
            hint = "; rsfilter help lists the commands"
        raise argparse.ArgumentError(action, f"there is no {value!r}{hint}")


class _Formatter(argparse.HelpFormatter):
    """Help whose examples keep their lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if not text.startswith("examples:"):
            return super()._fill_text(text, width, indent)
        return "".join(f"{indent}{line}\n" for line in text.splitlines())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` for a word that is nearly a known one, else nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def options_of(parser: argparse.ArgumentParser, args: argparse.Namespace) -> list[str]:
    """Return the options of the command that was parsed."""
    found: list[str] = []
    for inner in _chosen(parser, args):
        found = list(inner._option_string_actions)
    return found


def _chosen(
    parser: argparse.ArgumentParser, args: argparse.Namespace
) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser of the command, and then that of its action."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner = action.choices[getattr(args, action.dest)]
            yield inner
            yield from _chosen(inner, args)
