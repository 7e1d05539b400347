"""The command line: parses, dispatches, and turns errors into messages and exit codes.

What a command does is in `commands/`. Results go to stdout, which belongs to ExaBGP while `run`
runs; errors and logs go to stderr.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from rsfilter import __version__
from rsfilter.commands import (
    audit,
    check,
    completion,
    drain,
    exabgp,
    explain,
    fleet,
    guard,
    impact,
    init,
    neighbors,
    reload,
    render,
    replay,
    routes,
    run,
    status,
    truth,
    version,
    watch,
)
from rsfilter.commands import help as help_page
from rsfilter.commands.errors import REPORTED, report
from rsfilter.commands.examples import add_examples
from rsfilter.commands.output import FAILED, INTERRUPTED, clean
from rsfilter.commands.parser import Parser, did_you_mean, options_of
from rsfilter.util.text import PlainFormatter, write_anything

COMMANDS = (
    init,
    run,
    check,
    replay,
    explain,
    truth,
    render,
    impact,
    status,
    neighbors,
    routes,
    watch,
    guard,
    drain,
    reload,
    audit,
    fleet,
    exabgp,
    completion,
    help_page,
    version,
)
"""Commands, in the order of `rsfilter --help`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Usage errors raise SystemExit(2)."""
    args = _parsed(argv)
    write_anything()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if args.verbose else logging.INFO, handlers=[handler])
    try:
        code: int = args.handler(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read the output has gone. Nothing may be written at exit, or Python complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except REPORTED as error:
        return report(args, error)
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = command_line()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        is_file = any(word.endswith(".toml") for word in unknown)
        known = options_of(parser, args)
        first = unknown[0].partition("=")[0]
        hint = "; name the configuration with -c FILE" if is_file else ""
        if first in known:  # it was written before the command
            parser.error(f"write {first} after the command: rsfilter {args.command} {first}")
        hint = hint or did_you_mean(first, known)
        parser.error(f"{args.command} does not take {clean(' '.join(unknown))}{hint}")
    return args


def command_line() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(
        prog="rsfilter",
        description="The route-server filter behind ExaBGP for hosts that speak BGP.",
        epilog="Exit codes: 0 done, 1 failed, 2 usage, configuration or truth invalid, "
        "3 impact found losses.",
    )
    parser.add_argument("--version", action="version", version=f"rsfilter {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more, to stderr")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    add_examples(parser)
    return parser
