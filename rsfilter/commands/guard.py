"""`rsfilter guard`: show and release what the guard holds."""

from __future__ import annotations

import argparse

from rsfilter.commands import routes
from rsfilter.commands.arguments import Subparsers, add_limit, printing
from rsfilter.commands.client import client_of, reaching_arguments
from rsfilter.commands.output import GOOD, console, print_json


def add(commands: Subparsers) -> None:
    """Add `guard` to the command line."""
    parser = commands.add_parser("guard", help="what the guard holds")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser(
        "show",
        parents=[reaching_arguments(), printing()],
        help="the routes that are held, and why",
        description="Prints the routes that a change of data would lose. Routers keep them until "
        "the data accept them again, or somebody lets them go.",
    )
    add_limit(show)
    show.set_defaults(
        handler=routes.run,
        verdict="held",
        **dict.fromkeys(("prefix", "asn", "neighbor", "host", "reason", "family", "snapshot")),
    )
    release = actions.add_parser(
        "release",
        parents=[reaching_arguments(), printing()],
        help="let go of all that is held",
        description="Everything that is held is judged by the data in force: what they reject is "
        "withdrawn from routers. Look at it first: rsfilter guard show",
    )
    release.set_defaults(handler=_release)


def _release(args: argparse.Namespace) -> int:
    answer = client_of(args).post("/api/v1/guard/release")
    if args.json:
        print_json([answer])
    else:
        console().print(f"{answer['released']} routes were let go, {answer['held']} are held")
    return GOOD
