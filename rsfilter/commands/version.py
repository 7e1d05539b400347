"""`rsfilter version`: print the version."""

from __future__ import annotations

import argparse

from rsfilter import __version__
from rsfilter.commands.arguments import Subparsers, printing
from rsfilter.commands.output import GOOD, console, print_json


def add(commands: Subparsers) -> None:
    """Add `version` to the command line."""
    parser = commands.add_parser(
        "version",
        parents=[printing()],
        help="print the version",
        description="Prints the version of rsfilter.",
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter version`; return the exit code."""
    if args.json:
        print_json([{"version": __version__}])
    else:
        console().print(f"rsfilter {__version__}")
    return GOOD
