"""Live routes of a prefix: the half of `explain` that queries the running filter."""

from __future__ import annotations

import argparse
from typing import Any

from rich.text import Text

from rsfilter.commands import output
from rsfilter.commands.arguments import host_bits
from rsfilter.commands.client import UnknownError, client_of
from rsfilter.commands.errors import CommandError
from rsfilter.commands.output import GOOD, INVALID, clean, print_json, short_time
from rsfilter.util.text import count


def explain_live(args: argparse.Namespace) -> int:
    """Print every live route of a prefix with its checks; return the exit code."""
    try:
        found = client_of(args).get(f"/api/v1/routes/{args.prefix}")
    except UnknownError:
        if hint := host_bits(args.prefix):
            raise CommandError(hint, INVALID) from None
        raise
    if args.neighbor is not None:
        routes = found["routes"]
        found["routes"] = [each for each in routes if each["route"]["neighbor"] == args.neighbor]
    if args.json:
        print_json([found])
        return GOOD
    for story in found["routes"]:
        _print_story(story)
    if not found["routes"]:
        of = f" from {args.neighbor}" if args.neighbor else ""
        _write(f"{found['prefix']}: no host announces it{of}")
    for owner in found["owners"]:
        _write(f"owner: {_owner(owner)}")
    if not found["owners"]:
        _write("owner: none by the truth in force")
    if found["audit"]:
        last = found["audit"][-1]
        what = last.get("verdict") or last["event"]
        _write(f"last audit record: {short_time(last['at'])} {what}; rsfilter audit query has more")
    return GOOD


def _print_story(story: dict[str, Any]) -> None:
    route, out = story["route"], output.console()
    colour = {"accepted": "green", "rejected": "red", "held": "yellow"}[route["verdict"]]
    heading = Text(clean(f"{route['prefix']} from {route['neighbor']} "))
    heading.append(clean(f"({route['host']}, AS{route['asn']}): "))
    heading.append(route["verdict"], colour)
    out.print(heading, soft_wrap=True)
    checks = sorted(story["checks"], key=lambda check: bool(check["is_good"]))  # failed ones first
    found = output.table("", "check", "finding")
    for check in checks:
        texts = [f"{reason['name']}: {reason['text']}" for reason in check["reasons"]]
        mark = Text("✓", "green") if check["is_good"] else Text("✗", "red")
        found.add_row(mark, check["check"], clean("; ".join(texts)) or "ok")
    out.print(found)
    vrps = f" by {', '.join(route['vrps'])}" if route["vrps"] else ""
    _write(f"origin validation: {route['state']}{vrps}")
    for path in story["announced"]:
        best = ", best" if path["is_best"] else ""
        _write(f"announced to {path['routers']}: next hop {path['next_hop']}{best}")
    for check in checks:
        for reason in check["reasons"]:
            _write(f"to fix {reason['name']}: {reason['remedy']}")


def _owner(owner: dict[str, Any]) -> str:
    sessions = [f"{s['neighbor']} {'up' if s['is_up'] else 'not up'}" for s in owner["sessions"]]
    where = ", ".join(sessions) or count(0, "session")
    announces = "announces it" if owner["announces"] else "does not announce it"
    return f"{owner['host'] or 'a host'} (AS{owner['asn']}) by {owner['vrp']}; {where}; {announces}"


def _write(text: str) -> None:
    output.console().print(clean(text), soft_wrap=True)
