"""`rsfilter run`: the process that ExaBGP starts."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from pathlib import Path

from rsfilter.commands.arguments import Subparsers, configured
from rsfilter.commands.output import FAILED, INVALID
from rsfilter.config.build import load_config
from rsfilter.config.model import ConfigError
from rsfilter.util.text import clean_lines


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
        help="record all that comes in, for replay; a FILE that is there becomes FILE.1",
    )
    parser.set_defaults(handler=run)


WORK_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What they do by default is to kill."""


SHORTEST_LIFE_S = 15.0
"""Of a filter that cannot run. ExaBGP gives up at the sixth exit within 64 s; this makes four."""


def run(args: argparse.Namespace) -> int:
    """Run until ExaBGP ends; return the exit code."""
    # Whoever sends one of these means a filter at work: until it is, they wait (`service`).
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WORK_SIGNALS)
    from rsfilter.edge.pipe import leave_a_reader, linger
    from rsfilter.exabgp.unsupported import UnsupportedExaBgpError
    from rsfilter.service import run as serve

    started = time.monotonic()
    _last_reader = leave_a_reader(0)  # there as long as we are
    try:
        return serve(load_config(args.config), args.record)
    except Exception as error:
        if isinstance(error, ConfigError | UnsupportedExaBgpError):
            sys.stderr.write(clean_lines(f"{error}\n"))
            code = INVALID
        else:
            logging.getLogger(__name__).critical("the filter cannot run", exc_info=True)
            code = FAILED
        linger(0, started + SHORTEST_LIFE_S)
        return code
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
