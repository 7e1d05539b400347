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
    neighbors,
    reload,
    render,
    replay,
    routes,
    run,
    status,
    truth,
)
from rsfilter.commands.client import ClientError
from rsfilter.commands.output import FAILED, INTERRUPTED, INVALID, clean
from rsfilter.config.model import ConfigError
from rsfilter.render.exabgp import RenderError
from rsfilter.rpki.truth import TruthError
from rsfilter.util.text import PlainFormatter, clean_lines, write_anything

COMMANDS = (
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
    guard,
    drain,
    reload,
    audit,
    fleet,
    exabgp,
    completion,
)
"""In the order in which `rsfilter --help` lists them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and answers with its exit code. Usage errors raise SystemExit(2)."""
    args = _parsed(argv)
    write_anything()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if args.verbose else logging.INFO, handlers=[handler])
    try:
        code: int = args.handler(args)
        sys.stdout.flush()
    except ClientError as error:
        sys.stderr.write(f"rsfilter {args.command}: {clean(str(error))}\n")
        return FAILED
    except (ConfigError, TruthError, RenderError) as error:
        sys.stderr.write(clean_lines(f"{error}\n"))
        return INVALID
    except BrokenPipeError:
        # Who read the output has gone. Nothing may be written at exit, or Python complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        sys.stderr.write(clean_lines(f"rsfilter {args.command}: {_message(error)}\n"))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = command_line()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        is_file = any(word.endswith(".toml") for word in unknown)
        hint = "; name the configuration with -c FILE" if is_file else ""
        parser.error(f"{args.command} does not take {clean(' '.join(unknown))}{hint}")
    return args


def _message(error: OSError) -> str:
    """What failed and why, without the number, and with the file's name as it was given."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{os.fsdecode(error.filename)}: {error.strerror}"


def command_line() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
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
