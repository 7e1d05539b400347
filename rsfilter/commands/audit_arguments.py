"""Arguments of `rsfilter audit`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rsfilter.audit.query import parse_time
from rsfilter.audit.record import EVENTS
from rsfilter.commands import arguments
from rsfilter.commands.actions import (
    ASN,
    JSON_LINES,
    REASON,
    VERDICT,
    add_arguments,
    argument,
    match,
)
from rsfilter.config.source import DEFAULT_HELP

SHOWN = 100
"""Default number of records in a table: as many as a person can read."""


def time_argument(text: str) -> float:
    """Parse a time, as seconds since the epoch."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_FORMS = "2026-11-22T10:00:00Z, 2026-11-22, 01:15 (UTC), yesterday, tuesday, 5min, 2h, 3d"

PERIOD = (
    argument("--since", type=time_argument, metavar="TIME", help=f"from this time on: {_FORMS}"),
    argument("--until", type=time_argument, metavar="TIME", help="before this time (same forms)"),
)


def place_arguments() -> argparse.ArgumentParser:
    """Return the arguments that name the log."""
    parser = argparse.ArgumentParser(add_help=False)
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the configuration that names the log (default: {DEFAULT_HELP})",
    )
    place.add_argument(
        "--directory", type=Path, metavar="DIR", help="the log itself, or a directory of logs"
    )
    add_arguments(parser, (JSON_LINES,))
    return parser


CONDITIONS = (
    argument(
        "prefix",
        nargs="?",
        type=arguments.any_prefix,
        metavar="PREFIX",
        help="a prefix, or an address for its host route",
    ),
    match("records"),
    ASN,
    argument("--host", metavar="NAME", help="the host's name in the truth"),
    argument(
        "--neighbor", type=arguments.address, metavar="ADDRESS", help="the neighbor's address"
    ),
    REASON,
    VERDICT,
    argument(
        "--event", choices=EVENTS, metavar="EVENT", help="verdict, withdraw, session_down, ..."
    ),
    *PERIOD,
    argument(
        "--limit",
        type=arguments.count,
        metavar="N",
        help=f"only the newest N; 0 for all (default: {SHOWN}, with --json all)",
    ),
    argument(
        "--sql",
        metavar="STATEMENT",
        help="a SELECT over the table `audit` instead of conditions (docs/audit.md)",
    ),
)
"""Arguments of `query`."""
