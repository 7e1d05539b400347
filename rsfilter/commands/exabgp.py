"""`rsfilter exabgp`: run ExaBGP, with its costliest functions replaced."""

from __future__ import annotations

import argparse
import os
import sys

from rsfilter.commands.arguments import Subparsers

SPEAKER = (sys.executable, "-P", "-m", "rsfilter.speaker")
"""Command that starts ExaBGP with the replacements."""


def add(commands: Subparsers) -> None:
    """Add `exabgp` to the command line."""
    parser = commands.add_parser(
        "exabgp",
        help="run ExaBGP with its costliest functions replaced",
        description="Runs the ExaBGP that is installed beside rsfilter, in this process. In a "
        "server its costliest functions are replaced, each only if the replacement was made for "
        "this release; peers and helpers receive the same. WORDS are ExaBGP's own: server "
        "exabgp.conf, validate exabgp.conf, version.",
    )
    parser.add_argument("--stock", action="store_true", help="replace nothing")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="WORDS", help="for ExaBGP")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Become ExaBGP; does not return."""
    program = ["--stock", "exabgp"] if args.stock else ["exabgp"]
    # In place of this process: signals and the PID are ExaBGP's, and nothing else is loaded.
    os.execv(sys.executable, [*SPEAKER, *program, *args.words])  # noqa: S606 - no shell is wanted
