"""`rsfilter routes`: list the routes of a running filter."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from rsfilter.commands import arguments
from rsfilter.commands.actions import (
    ASN,
    LIMIT,
    REASON,
    SHOWN,
    VERDICT,
    add_arguments,
    argument,
    match,
)
from rsfilter.commands.arguments import Subparsers, printing
from rsfilter.commands.client import client_of, reaching_arguments
from rsfilter.commands.hosts import check_host
from rsfilter.commands.output import (
    GOOD,
    clean,
    console,
    print_json,
    print_note,
    print_table,
    print_total,
)
from rsfilter.util.text import count


def add(commands: Subparsers) -> None:
    """Add `routes` to the command line."""
    parser = commands.add_parser(
        "routes",
        parents=[reaching_arguments(), printing()],
        help="list routes with their verdicts",
        description="Prints the routes that meet every condition, in order of arrival.",
    )
    add_arguments(parser, _CONDITIONS)
    parser.set_defaults(handler=run)


_CONDITIONS = (
    argument(
        "prefix", nargs="?", type=arguments.prefix, metavar="PREFIX", help="a prefix or an address"
    ),
    match("routes"),
    ASN,
    argument(
        "--neighbor",
        type=arguments.address,
        metavar="ADDRESS",
        help="the host's session address",
    ),
    argument("--host", metavar="NAME", help="the truth's name, or its group's"),
    VERDICT,
    REASON,
    argument("--family", choices=["ipv4", "ipv6"]),
    LIMIT,
    argument("--snapshot", type=Path, metavar="FILE", help="write all routes to FILE, for impact"),
)


_COLUMNS = ("prefix", "neighbor", "host", "asn", "as_path", "next_hop", "med", "verdict")


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter routes`; return the exit code."""
    client = client_of(args)
    found = client.lines(
        "/api/v1/routes",
        prefix=args.prefix,
        match=args.match if args.prefix else None,
        asn=args.asn,
        neighbor=args.neighbor,
        host=args.host,
        verdict=args.verdict,
        reason=args.reason,
        family=args.family,
    )
    if args.snapshot:
        return _write_snapshot(args.snapshot, found)
    limit = (None if args.json else SHOWN) if args.limit is None else args.limit or None
    shown = islice(found, limit)
    if args.json:
        first = list(islice(shown, 1))
        if not first:
            check_host(client, args.host)
        print_json(chain(first, shown))
        return GOOD
    rows = [(*(route[name] for name in _COLUMNS), why(route), _marks(route)) for route in shown]
    if not rows:
        check_host(client, args.host)
    print_table((*(name.replace("_", " ") for name in _COLUMNS), "why", ""), rows)
    print_total(count(len(rows), "route"))
    if not rows:
        print_note(_none_found(args))
    if args.limit is None and next(found, None) is not None:
        print_note(f"These are the first {SHOWN}; --limit 0 prints all.")
    return GOOD


def _none_found(args: argparse.Namespace) -> str:
    if args.command == "guard":
        return "Nothing is held."
    others = (args.asn, args.neighbor, args.host, args.verdict, args.reason, args.family)
    if args.prefix is None or any(other is not None for other in others):
        return "There is no such route."
    what = f"a prefix in {args.prefix}" if args.match == "covered" else args.prefix
    return f"No host announces {what}."


def _marks(route: dict[str, Any]) -> str:
    marks = (("best", route["is_best"]), ("stale", route["stale"]))
    return ", ".join(name for name, is_set in marks if is_set)


def why(route: dict[str, Any]) -> str:
    """The reasons of a verdict, and the VRPs that decided."""
    decided = ", ".join(route["vrps"]) or route["state"]
    return f"{', '.join(route['reasons'])} ({decided})" if route["reasons"] else decided


def _write_snapshot(path: Path, routes: Iterator[dict[str, Any]]) -> int:
    draft = path.with_name(path.name + ".new")
    number = 0
    with draft.open("w", encoding="ascii") as file:
        for route in routes:
            file.write(json.dumps(route) + "\n")
            number += 1
        file.write(json.dumps({"routes": number}) + "\n")  # what is cut lacks it
    draft.replace(path)
    console().print(f"wrote {count(number, 'route')} to {clean(str(path))}", soft_wrap=True)
    return GOOD
