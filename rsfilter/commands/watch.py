"""`rsfilter watch`: print what happens in a running filter, as it happens."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rsfilter.commands.arguments import Subparsers, printing
from rsfilter.commands.audit_tables import summary
from rsfilter.commands.client import client_of, reaching_arguments
from rsfilter.commands.output import GOOD, print_json
from rsfilter.util.text import clean

KINDS = ("verdict", "session", "absence", "data", "guard", "drain", "service")


def add(commands: Subparsers) -> None:
    """Add `watch` to the command line."""
    parser = commands.add_parser(
        "watch",
        parents=[reaching_arguments(), printing()],
        help="print events of the running filter, live",
        description="Prints events as they happen, until it is interrupted. For earlier events: "
        "rsfilter audit query.",
    )
    parser.add_argument(
        "kinds", nargs="*", metavar="KIND", choices=KINDS, help=f"only these: {', '.join(KINDS)}"
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter watch`; return the exit code."""
    kinds = ",".join(args.kinds) or None
    for kind, event in client_of(args).events("/api/v1/events", kinds=kinds):
        if args.json:
            print_json([{"kind": kind, **event}], is_live=True)
        else:
            sys.stdout.write(clean(_line(kind, event)) + "\n")
            sys.stdout.flush()
    return GOOD


def _line(kind: str, event: dict[str, Any]) -> str:
    if kind == "dropped":
        return f"... {event['count']} events were dropped: they came faster than they were read"
    return summary(event)
