"""`rsfilter run`: the process that ExaBGP starts."""

from __future__ import annotations

import argparse
import logging
import signal
from pathlib import Path

from rsfilter.commands.arguments import Subparsers, configured
from rsfilter.commands.output import FAILED, INVALID, print_note
from rsfilter.config.build import load_config
from rsfilter.config.model import ConfigError


def add(commands: Subparsers) -> None:
    """Add `run` to the command line."""
    parser = commands.add_parser(
        "run",
        parents=[configured()],
        help="the process that ExaBGP starts",
        description="Filters: reads ExaBGP's JSON lines from stdin, writes commands to stdout, "
        "logs to stderr. ExaBGP starts it; it ends with ExaBGP.",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="record all input, for replay; an existing FILE becomes FILE.1",
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run until ExaBGP ends; return the exit code."""
    from rsfilter.edge.ending import Ending
    from rsfilter.edge.pipe import leave_a_reader

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    ending = Ending()
    try:
        _last_reader = leave_a_reader(0)  # there as long as we are
        ending.watch(0)
        from rsfilter.service import run as serve

        return serve(load_config(args.config), args.record, ending)
    except ConfigError as error:
        print_note(str(error))
        return ending.linger(INVALID)
    except Exception:
        logging.getLogger(__name__).critical("the filter cannot run", exc_info=True)
        return ending.linger(FAILED)
    finally:
        ending.disarm()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
