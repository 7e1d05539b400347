"""`rsfilter guard`: show the routes that the guard holds, and withdraw them from all routers."""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice
from typing import Any

from rsfilter.commands import arguments, routes
from rsfilter.commands.actions import LIMIT, Action, add_actions, argument
from rsfilter.commands.arguments import Subparsers, printing
from rsfilter.commands.client import Client, client_of, reaching_arguments
from rsfilter.commands.errors import CommandError
from rsfilter.commands.hosts import check_host
from rsfilter.commands.output import (
    FAILED,
    GOOD,
    INVALID,
    console,
    print_json,
    print_note,
    print_table,
)
from rsfilter.util.text import count

SHOWN = 20
"""Routes that are listed before they are withdrawn."""


def add(commands: Subparsers) -> None:
    """Add `guard` to the command line."""
    parser = commands.add_parser("guard", help="show held routes, or withdraw them")
    add_actions(parser, _actions())


def _actions() -> tuple[Action, ...]:
    parents = (reaching_arguments(), printing())
    others = ("prefix", "asn", "neighbor", "host", "reason", "family", "snapshot")
    return (
        Action(
            "show",
            routes.run,
            help="list held routes, and why they are held",
            description="Prints the routes that a change of data would withdraw. Routers keep "
            "them until the data accept them again, or `guard release` withdraws them.",
            parents=parents,
            arguments=(LIMIT,),
            defaults={"verdict": "held", **dict.fromkeys(others)},
        ),
        Action(
            "release",
            _release,
            help="withdraw held routes from all routers",
            description="Withdraws the held routes, which the active data reject, from all "
            "routers. Lists them first, and waits for confirmation.",
            parents=parents,
            arguments=(
                argument(
                    "prefix",
                    nargs="?",
                    type=arguments.prefix,
                    metavar="PREFIX",
                    help="only routes inside it",
                ),
                argument("--host", metavar="NAME", help="only routes of this host"),
                argument(
                    "-y", "--yes", action="store_true", help="without confirmation, for scripts"
                ),
            ),
        ),
    )


def _release(args: argparse.Namespace) -> int:
    client = client_of(args)
    check_host(client, args.host)
    if not args.yes and not _is_confirmed(client, args):
        return FAILED
    given = {"prefix": args.prefix, "host": args.host}
    wanted = {name: value for name, value in given.items() if value is not None}
    answer = client.post("/api/v1/guard/release", json.dumps(wanted).encode())
    if args.json:
        print_json([answer])
    else:
        withdrawn = count(answer["released"], "route")
        console().print(f"{withdrawn} withdrawn from all routers, {answer['held']} still held")
    return GOOD


def _is_confirmed(client: Client, args: argparse.Namespace) -> bool:
    """Show what would be withdrawn, and have the operator type `yes`."""
    if args.json or not sys.stdin.isatty():
        raise CommandError("this withdraws routes from all routers: confirm it with --yes", INVALID)
    match = "covered" if args.prefix else None
    found = client.lines(
        "/api/v1/routes", verdict="held", prefix=args.prefix, match=match, host=args.host
    )
    shown: list[dict[str, Any]] = list(islice(found, SHOWN))
    total = len(shown) + sum(1 for _ in found)
    if not total:
        print_note("Nothing is held.")
        return False
    rows = [(each["prefix"], each["host"], each["neighbor"], routes.why(each)) for each in shown]
    print_table(("prefix", "host", "neighbor", "why"), rows)
    if total > SHOWN:
        console().print(f"... and {total - SHOWN} more")
    question = f"This withdraws {count(total, 'route')} from all routers. Type yes to go on: "
    sys.stdout.write(question)
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() == "yes"
