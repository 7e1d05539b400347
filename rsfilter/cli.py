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
from rsfilter.commands.client import ClientError
from rsfilter.commands.output import FAILED, INTERRUPTED, INVALID, clean, print_json
from rsfilter.commands.parser import Parser, did_you_mean, options_of
from rsfilter.config.model import ConfigError
from rsfilter.render.exabgp import RenderError
from rsfilter.rpki.truth import TruthError
from rsfilter.util.text import PlainFormatter, clean_lines, write_anything

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
    except ClientError as error:
        return _fail(args, error.code, clean(str(error)))
    except (ConfigError, TruthError, RenderError) as error:
        return _refuse(args, clean_lines(str(error)))
    except BrokenPipeError:
        # Who read the output has gone. Nothing may be written at exit, or Python complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        return _fail(args, FAILED, clean_lines(_message(error)))
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _fail(args: argparse.Namespace, code: int, detail: str) -> int:
    """Print why a command failed: as JSON on stdout if JSON was requested."""
    if getattr(args, "json", False):
        print_json([{"error": "failed" if code == FAILED else "invalid", "detail": detail}])
    else:
        sys.stderr.write(f"rsfilter {args.command}: {detail}\n")
    return code


def _refuse(args: argparse.Namespace, problems: str) -> int:
    """Print the problems of a file, one line each."""
    if getattr(args, "json", False):
        print_json([{"error": "invalid", "problems": problems.split("\n")}])
    else:
        sys.stderr.write(f"{problems}\n")
    return INVALID


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = command_line()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        is_file = any(word.endswith(".toml") for word in unknown)
        known = options_of(parser, args)
        hint = "; name the configuration with -c FILE" if is_file else ""
        hint = hint or did_you_mean(unknown[0].partition("=")[0], known)
        parser.error(f"{args.command} does not take {clean(' '.join(unknown))}{hint}")
    return args


def _message(error: OSError) -> str:
    """Format what failed and why, without the number, and with the file's name as given."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{os.fsdecode(error.filename)}: {error.strerror}"


def command_line() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = Parser(
        prog="rsfilter",
        description="The route-server filter behind ExaBGP for hosts that speak BGP.",
        epilog="Exit codes: 0 good, 1 failed, 2 usage, configuration or truth invalid, "
        "3 impact found losses.",
    )
    parser.add_argument("--version", action="version", version=f"rsfilter {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more, to stderr")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser
