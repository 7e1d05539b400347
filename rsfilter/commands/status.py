"""`rsfilter status`: show health and the data in force of a running filter."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from rsfilter.commands.arguments import Subparsers, printing
from rsfilter.commands.client import client_of, reaching_arguments
from rsfilter.commands.output import FAILED, GOOD, print_json, print_table


def add(commands: Subparsers) -> None:
    """Add `status` to the command line."""
    parser = commands.add_parser(
        "status",
        parents=[reaching_arguments(), printing()],
        help="is the filter well, and what is in force?",
        description="Prints how the running filter is and what is in force, the most urgent "
        "first. Exit code 1: the filter says that something is wrong.",
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter status`; return the exit code."""
    status = client_of(args).get("/api/v1/status")
    if args.json:
        print_json([status])
    else:
        # whole: what is wrong with a file is at the end of a long text
        print_table(("what", "is"), list(_status_rows(status)), max_width=None)
    return GOOD if status["health"]["status"] == "ok" else FAILED


def _status_rows(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What somebody woken at night wants to know, the most urgent first."""
    for name in ("health", "readiness"):
        found = status[name]
        yield name, found["status"]
        for finding in (*found["reasons"], *found["warnings"]):
            yield "", f"{finding['name']}: {finding['detail']}"
    drain = status["drain"]
    yield "service", ", ".join((drain["phase"].replace("_", " "), *drain["why"]))
    routes = status["routes"]
    counts = ("accepted", "rejected", "held", "stale")
    yield "routes", ", ".join(f"{routes[name]} {name}" for name in counts)
    for reason, count in routes["reasons"].items():
        yield "", f"{count} {reason}"
    sessions = status["sessions"]
    yield "host sessions", f"{sessions['hosts_up']} up, {sessions['hosts_down']} down"
    yield "router sessions", f"{sessions['routers_up']} up, {sessions['routers_down']} down"
    yield from _data_rows(status)
    exabgp = status["exabgp"]
    yield "exabgp", f"{exabgp['dialect'] or 'silent so far'}, {exabgp['waiting']} commands waiting"
    yield "", _replaced(exabgp["speaker"])
    audit = status["audit"]
    yield "audit log", audit["reason"] or f"good, {audit['queued']} records waiting"
    yield "filter", f"{status['version']}, since {status['started']}, by {status['configuration']}"


def _replaced(speaker: dict[str, Any] | None) -> str:
    if speaker is None or not (speaker["replaced"] or speaker["left_out"]):
        return "nothing replaced in it"
    text = f"{speaker['exabgp']}, replaced: {', '.join(speaker['replaced']) or 'nothing'}"
    return text + "".join(f"; left out: {name}" for name in speaker["left_out"])


def _data_rows(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if truth := status["truth"]:
        found = truth["in_force"]
        yield (
            "truth",
            f"revision {found['revision'] or 'unnamed'}, {found['vrps']} VRPs, "
            f"{found['hosts']} hosts, {found['sha256'][:12]}, since {truth['loaded']}"
            if found
            else "none in force",
        )
        for problem in truth["problems"]:
            yield "", f"the file as it is now: {problem}"
    if rtr := status["rtr"]:
        for cache in rtr["caches"]:
            age = "never" if cache["age_s"] is None else f"{cache['age_s']:.0f} s ago"
            decides = ", decides" if cache["decides"] else ""
            yield (
                "rtr cache",
                f"{cache['address']}: {cache['state']}, {cache['vrps']} VRPs, fresh {age}{decides}",
            )
