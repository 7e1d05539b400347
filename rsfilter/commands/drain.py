"""`rsfilter drain`: take a running filter out of service, and back."""

from __future__ import annotations

import argparse
import json

from rsfilter.commands.arguments import Subparsers, printing
from rsfilter.commands.client import client_of, reaching_arguments
from rsfilter.commands.output import GOOD, clean, console, print_json, print_note


def add(commands: Subparsers) -> None:
    """Add `drain` to the command line."""
    parser = commands.add_parser(
        "drain",
        parents=[reaching_arguments(), printing()],
        help="leave service, or return to it",
        description="on: everything is announced with GRACEFUL_SHUTDOWN (RFC 8326) for drain_time "
        "seconds, then withdrawn. off: everything is announced as before.",
    )
    parser.add_argument("state", choices=["on", "off"], metavar="{on,off}")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter drain`; return the exit code."""
    body = json.dumps({"on": args.state == "on"}).encode()
    answer = client_of(args).post("/api/v1/drain", body)
    if args.json:
        print_json([answer])
        return GOOD
    until = f" until {answer['until']}" if answer["until"] else ""
    why = f" ({', '.join(answer['why'])})" if answer["why"] else ""
    console().print(clean(f"{answer['phase'].replace('_', ' ')}{until}{why}"), soft_wrap=True)
    if args.state == "on" and answer["phase"] == "in_service":
        print_note(
            "The filter has only just started: it leaves service once it knows what routers have."
        )
    return GOOD
