"""`rsfilter status`: show health and the data in force of a running filter."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from rsfilter.commands.arguments import Subparsers, printing
from rsfilter.commands.client import client_of, reaching_arguments
from rsfilter.commands.output import FAILED, GOOD, clean, print_json, print_table, short_time
from rsfilter.util.text import count, span


def add(commands: Subparsers) -> None:
    """Add `status` to the command line."""
    parser = commands.add_parser(
        "status",
        parents=[reaching_arguments(), printing()],
        help="show health and active data",
        description="Prints problems, active data, and counts. Exit code 1: something is wrong, "
        "or routes are held.",
    )
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="print only what is wrong",
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter status`; return the exit code."""
    status = client_of(args).get("/api/v1/status")
    wrong = list(_wrong(status))
    if args.json:
        print_json([status])
    elif not args.quiet:
        server = f"AS{status['asn']}, {status['router_id']}, rsfilter {status['version']}"
        # whole: what is wrong with a file is at the end of a long text
        print_table((status["name"], server), list(_status_rows(status)), max_width=None)
    else:
        for finding in wrong:
            sys.stdout.write(clean(f"{status['name']}: {finding['detail']}") + "\n")
    return FAILED if wrong else GOOD


HARMLESS = ("deferral", "flood")
"""Warnings of what passes, or is bounded, by itself."""


def _wrong(status: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the findings that someone has to act on."""
    yield from status["health"]["reasons"]
    yield from (each for each in status["health"]["warnings"] if each["name"] not in HARMLESS)


def _status_rows(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the rows for an operator on call, the most urgent first."""
    for name in ("health", "readiness"):
        found = status[name]
        yield (
            name,
            found["status"]
            + (
                ", with warnings"
                if any(each["name"] not in HARMLESS for each in found["warnings"])
                else ""
            ),
        )
        for finding in (*found["reasons"], *found["warnings"]):
            yield "", f"{finding['name']}: {finding['detail']}"
    drain = status["drain"]
    yield "service", ", ".join((drain["phase"].replace("_", " "), *drain["why"]))
    routes = status["routes"]
    counts = ("accepted", "rejected", "held", "stale")
    yield "routes", ", ".join(f"{routes[name]} {name}" for name in counts)
    for reason, number in routes["reasons"].items():
        yield "", f"{number} {reason}"
    guard = status["guard"]
    if guard["lost"]:
        yield "guard", f"{guard['lost']} lost to data within {guard['window_s']:.0f} s"
    sessions = status["sessions"]
    expected = status["expected"]
    absent = f", {expected['absent_hosts']} absent" if expected["hosts"] else ""
    yield "host sessions", f"{sessions['hosts_up']} up, {sessions['hosts_down']} down{absent}"
    if expected["absent_prefixes"]:
        yield "", f"{count(expected['absent_prefixes'], 'prefix')} absent"
    yield "router sessions", f"{sessions['routers_up']} up, {sessions['routers_down']} down"
    yield from _data_rows(status)
    exabgp = status["exabgp"]
    yield "exabgp", f"{exabgp['dialect'] or 'silent so far'}, {exabgp['waiting']} commands waiting"
    yield "", _replaced(exabgp["speaker"])
    audit = status["audit"]
    yield "audit log", audit["reason"] or f"ok, {audit['queued']} records waiting"
    yield "filter", f"since {short_time(status['started'])}, with {status['configuration']}"


def _replaced(speaker: dict[str, Any] | None) -> str:
    if speaker is None or not (speaker["replaced"] or speaker["left_out"]):
        return "no function replaced"
    text = f"{speaker['exabgp']}, replaced: {', '.join(speaker['replaced']) or 'nothing'}"
    return text + "".join(f"; left out: {name}" for name in speaker["left_out"])


def _data_rows(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if truth := status["truth"]:
        found = truth["in_force"]
        yield (
            "truth",
            f"revision {found['revision'] or 'unnamed'}, {count(found['vrps'], 'VRP')}, "
            f"{count(found['hosts'], 'host')}, {found['sha256'][:12]}, "
            f"since {short_time(truth['loaded'])}{_built(truth['built'])}"
            if found
            else "none in force",
        )
        for problem in truth["problems"]:
            yield "", f"the file as it is now: {problem}"
    if rtr := status["rtr"]:
        for cache in rtr["caches"]:
            age = "never" if cache["age_s"] is None else f"{cache['age_s']:.0f} s ago"
            decides = ", in use" if cache["decides"] else ""
            yield (
                "rtr cache",
                f"{cache['address']}: {cache['state']}, {count(cache['vrps'], 'VRP')}, "
                f"confirmed {age}{_ages(cache)}{decides}",
            )


def _built(at: str | None) -> str:
    return f", built {short_time(at)}" if at else ""


def _ages(cache: dict[str, Any]) -> str:
    """Return the other ages of a cache's data."""
    text = ""
    if cache["unchanged_s"] is not None:
        text += f", unchanged for {span(cache['unchanged_s'])}"
    if cache["differs_s"] is not None:
        text += f", {cache['missing']} VRPs fewer and {cache['extra']} more than the cache in use"
    return text
