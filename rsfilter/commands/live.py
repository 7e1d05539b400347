"""Live routes of a prefix: the half of `explain` that queries the running filter."""

from __future__ import annotations

import argparse
from typing import Any

from rich.text import Text

from rsfilter.commands import output
from rsfilter.commands.arguments import host_bits
from rsfilter.commands.client import UnknownError, client_of
from rsfilter.commands.errors import CommandError
from rsfilter.commands.output import FAILED, GOOD, INVALID, clean, print_json, short_time
from rsfilter.routing.model import Prefix
from rsfilter.util.text import count


def explain_live(args: argparse.Namespace) -> int:
    """Print every live route of a prefix with its checks; return the exit code."""
    try:
        found = client_of(args).get(f"/api/v1/routes/{args.prefix}")
    except UnknownError:
        if hint := host_bits(args.prefix):
            raise CommandError(hint, INVALID) from None
        found = {"prefix": str(Prefix.parse(args.prefix)), **_NOTHING}
    if args.neighbor is not None:
        routes = found["routes"]
        found["routes"] = [each for each in routes if each["route"]["neighbor"] == args.neighbor]
    if args.json:
        print_json([found])
    else:
        _print_found(found, args.neighbor)
    return GOOD if found["routes"] else FAILED


_NOTHING: dict[str, Any] = {"owners": [], "routes": [], "audit": [], "is_audit_complete": True}
"""Answer about a prefix that no host announces or owns, and that no audit record names."""


def _print_found(found: dict[str, Any], neighbor: str | None) -> None:
    """Print the answer about a prefix: routes first, then owners, then what to do next."""
    for story in found["routes"]:
        _print_story(story)
    if not found["routes"]:
        who = f"{neighbor} does not announce" if neighbor else "no host announces"
        _write(f"{found['prefix']}: {who} it")
    for owner in found["owners"]:
        _write(f"owner: {_owner(owner)}")
    if not found["owners"]:
        _write("owner: none by the active truth")
    if found["audit"]:
        last = found["audit"][-1]
        what = last.get("verdict") or last["event"]
        _write(f"last audit record: {short_time(last['at'])} {what}; rsfilter audit query has more")
    if not found["routes"]:
        _write(f"next: {_next(found)}")


def _next(found: dict[str, Any]) -> str:
    """Return what to do about a prefix that is not announced."""
    prefix, owners = found["prefix"], found["owners"]
    for owner in owners:
        if owner["announces"]:  # only the neighbor that was named does not
            return f"rsfilter explain {prefix} has the routes of all hosts"
    for owner in owners:
        name = owner["host"] or f"AS{owner['asn']}"
        if any(session["state"] == "up" for session in owner["sessions"]):
            return f"find out on {name} why it does not announce {prefix}; its session is up"
    if owners:
        return "restore the session of the owner first; rsfilter neighbors has the reason"
    return (
        f"rsfilter routes {prefix} lists routes that cover it. A host may announce {prefix} only "
        "if the truth file, or a ROA, gives it to that host"
    )


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
    sessions = [f"{s['neighbor']} {s['state']}" for s in owner["sessions"]]
    where = ", ".join(sessions) or count(0, "session")
    announces = "announces it" if owner["announces"] else "does not announce it"
    return f"{owner['host'] or 'a host'} (AS{owner['asn']}) by {owner['vrp']}; {where}; {announces}"


def _write(text: str) -> None:
    output.console().print(clean(text), soft_wrap=True)
