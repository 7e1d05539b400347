"""`rsfilter help [COMMAND [ACTION]]`: what `--help` prints."""

from __future__ import annotations

import argparse

from rsfilter.commands.arguments import Subparsers
from rsfilter.commands.output import GOOD


def add(commands: Subparsers) -> None:
    """Add `help` to the command line."""
    parser = commands.add_parser(
        "help",
        help="explain a command",
        description="Prints what COMMAND --help prints; without a COMMAND, the list of commands.",
    )
    parser.add_argument("words", nargs="*", metavar="COMMAND", help="such as status, audit query")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter help`; return the exit code."""
    from rsfilter.cli import command_line

    parser = command_line()
    for word in args.words:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                try:
                    parser._check_value(action, word)
                except argparse.ArgumentError as error:
                    parser.error(str(error))
                parser = action.choices[word]
                break
        else:
            parser.error(f"{parser.prog} has no {word!r}")
    parser.print_help()
    return GOOD
