"""`rsfilter neighbors`: list the BGP sessions of a running filter, and those that are absent."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from rsfilter.commands.arguments import Subparsers, printing
from rsfilter.commands.client import client_of, reaching_arguments
from rsfilter.commands.hosts import check_host
from rsfilter.commands.output import GOOD, print_json, print_table, print_total, short_time
from rsfilter.util.text import count

_STATES = ("up", "down", "absent", "expected")
_COLUMNS = ("neighbor", "role", "host", "asn", "state", "since", "flaps", "accepted", "rejected")


def add(commands: Subparsers) -> None:
    """Add `neighbors` to the command line."""
    parser = commands.add_parser(
        "neighbors",
        parents=[reaching_arguments(), printing()],
        help="list sessions, and hosts and routes that are absent",
        description="Prints every session with its state, since when, and why it was last lost; "
        "then the host routes that truth expects and that are absent.",
    )
    parser.add_argument("--role", choices=["host", "router"])
    parser.add_argument("--group", metavar="NAME", help="of [[hosts]] or [[routers]]")
    parser.add_argument("--host", metavar="NAME", help="the truth's name, or the group's")
    parser.add_argument(
        "--state",
        choices=_STATES,
        help="absent: truth expects it, and it is missing for longer than absent_after; "
        "expected: it has not been seen yet",
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter neighbors`; return the exit code."""
    client = client_of(args)
    found = client.get(
        "/api/v1/neighbors", role=args.role, group=args.group, host=args.host, state=args.state
    )
    if not found["neighbors"]:
        check_host(client, args.host)
        check_host(client, args.group)
    if args.json:
        print_json([found])
        return GOOD
    neighbors = found["neighbors"]
    print_table((*_COLUMNS, "held", "last reason, remarks"), [_row(each) for each in neighbors])
    states = [f"{count(_in_state(neighbors, state), 'session')} {state}" for state in _STATES]
    print_total(", ".join(states))
    if args.role != "router" and args.state in (None, "absent"):
        _print_absent_prefixes(found["absent_prefixes"], args.host)
    return GOOD


def _row(neighbor: dict[str, Any]) -> tuple[object, ...]:
    routes = neighbor["routes"]
    return (
        *(neighbor[name] for name in ("neighbor", "role", "host", "asn", "state")),
        short_time(neighbor["since"]),
        neighbor["flaps"],
        *(routes[name] for name in ("accepted", "rejected", "held")),
        "; ".join(_remarks(neighbor)),
    )


def _remarks(neighbor: dict[str, Any]) -> Iterator[str]:
    """Yield the reason of the last loss, and all that is wrong now."""
    if neighbor["reason"]:
        yield neighbor["reason"]
    if neighbor["lacks"]:
        yield f"lacks {', '.join(neighbor['lacks'])}"
    if neighbor["is_near_limit"]:
        yield f"{neighbor['routes']['total']} of {neighbor['max_prefixes']} routes"
    if neighbor["hint"]:
        yield neighbor["hint"]


def _in_state(neighbors: list[dict[str, Any]], state: str) -> int:
    return sum(each["state"] == state for each in neighbors)


def _print_absent_prefixes(absent: list[dict[str, Any]], host: str | None) -> None:
    """Print the expected host routes that are not announced."""
    shown = [each for each in absent if host in (None, each["host"])]
    if not shown:
        return
    names = ("prefix", "neighbor", "host")
    rows = [(*(each[name] for name in names), short_time(each["since"])) for each in shown]
    print_table(("absent prefix", "neighbor", "host", "missing since"), rows)
    print_total(f"{count(len(shown), 'prefix')} absent")
