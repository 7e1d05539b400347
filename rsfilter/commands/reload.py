"""`rsfilter reload`: have a running filter read its configuration and its truth again."""

from __future__ import annotations

import argparse
import json

from rsfilter.commands.arguments import Subparsers, printing
from rsfilter.commands.client import LONG_TIMEOUT_S, client_of, reaching_arguments
from rsfilter.commands.output import GOOD, clean, console, print_json


def add(commands: Subparsers) -> None:
    """Add `reload` to the command line."""
    parser = commands.add_parser(
        "reload",
        parents=[reaching_arguments(), printing()],
        help="read the configuration and the truth again",
        description="A change that a running filter cannot apply is refused, and so is a "
        "configuration that would reject more accepted routes than [guard] allows.",
    )
    parser.add_argument(
        "--force", action="store_true", help="apply the configuration even if it rejects more"
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter reload`; return the exit code."""
    body = json.dumps({"force": args.force}).encode()
    answer = client_of(args).post("/api/v1/reload", body, seconds=LONG_TIMEOUT_S)
    if args.json:
        print_json([answer])
    else:
        console().print(clean(f"{answer['configuration']} is in force"), soft_wrap=True)
    return GOOD
