"""`rsfilter fleet status` and `diff`: all instances beside each other, by their heartbeats.

What needs the database's driver is imported when it is called for.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from rsfilter.commands.fleet_database import configured, connected, named
from rsfilter.commands.output import FAILED, GOOD, console, print_json, print_table

if TYPE_CHECKING:
    from rsfilter.fleet.state import Heartbeat, Peer


def status(args: argparse.Namespace) -> int:
    """Print the newest heartbeat of each instance; return the exit code."""
    peers = _peers(args)
    rows = [_status_row(peer, peers) for peer in peers]
    if args.json:
        print_json(
            {"instance": p.instance, "age": int(p.age), "is_silent": p.is_silent, **_plain(p.state)}
            for p in peers
        )
    else:
        print_table(_STATUS, rows, max_width=None)
        _print_absent(peers)
    return FAILED if any(row[-1] for row in rows) or not rows else GOOD


_STATUS = (
    *("instance", "heard", "version", "truth", "rtr", "sessions", "accepted", "rejected", "held"),
    *("absent", "behind", "problem"),
)


def _status_row(peer: Peer, peers: Sequence[Peer]) -> tuple[object, ...]:
    state = peer.state
    return (
        *(peer.instance, f"{peer.age:.0f} s", state.version, state.revision or state.truth),
        *(state.rtr, state.sessions, state.accepted, state.rejected, state.held),
        *(state.absent_count, state.behind),
        problem_of(peer, peers),
    )


def _plain(state: Heartbeat) -> dict[str, Any]:
    """Return a heartbeat as JSON values, with all its members."""
    lists = {"groups": map(asdict, state.groups), "absent": map(asdict, state.absent)}
    return asdict(state) | {name: list(values) for name, values in lists.items()}


def _print_absent(peers: Sequence[Peer]) -> None:
    from rsfilter.fleet.sightings import sightings

    rows = [
        (
            *(one.host, one.neighbor, f"{len(one.seen_by)} of {one.instances}"),
            *(" ".join(one.absent_from), " ".join(one.seen_by)),
        )
        for one in sightings(peers)
    ]
    if rows:
        console().print()
        print_table(("absent host", "neighbor", "seen by", "absent from", "session with"), rows)


def problem_of(peer: Peer, peers: Sequence[Peer]) -> str:
    """Return the problem of an instance, for display; empty if there is none."""
    from rsfilter.fleet.compare import has_same_hosts, other_data

    if peer.is_silent:
        return f"silent for {peer.age:.0f} s"
    if peer.state.problem:
        return f"not shipped: {peer.state.problem}"
    if not peer.state.is_complete:
        return "its log is not complete: it is not compared"
    for other in peers:
        if other.is_silent or not has_same_hosts(peer.state, other.state):
            continue
        if data := other_data(peer.state, other.state):
            return f"other {data} than {other.instance}"
    return ""


def diff(args: argparse.Namespace) -> int:
    """Print where instances differ; return the exit code."""
    from rsfilter.fleet.state import CAUSES

    found = list(differences(_peers(args, is_detailed=True)))
    if args.json:
        print_json(found)
    elif not found:
        console().print("no difference")
    else:
        print_table(_DIFF, [[one[name] for name in _DIFF] for one in found], max_width=None)
        for cause in sorted({one["cause"] for one in found}):
            console().print(f"{cause}: {CAUSES.get(cause, cause)}", soft_wrap=True)
    return FAILED if found else GOOD


_DIFF = ("prefix", "host", "neighbor", "instance", "has", "other", "other_has", "cause")


def differences(peers: Sequence[Peer]) -> Iterator[dict[str, Any]]:
    """Each difference once, as the first of the two instances sees it."""
    seen = set()
    for peer in peers:
        for one in peer.detail.differences if peer.detail and not peer.is_silent else ():
            pair = frozenset((peer.instance, one.peer))
            place = (pair, one.neighbor, one.prefix, one.path_id)
            if place in seen:
                continue
            seen.add(place)
            yield {
                "prefix": one.prefix,
                "path_id": one.path_id,
                "host": one.host,
                "neighbor": one.neighbor,
                "instance": peer.instance,
                "has": one.here or "nothing",
                "other": one.peer,
                "other_has": one.there or "nothing",
                "cause": one.cause,
            }


def _peers(args: argparse.Namespace, *, is_detailed: bool = False) -> list[Peer]:
    fleet = configured(args)[1] if args.database is None else named(args)
    with connected(fleet) as database:
        return database.peers(is_detailed=is_detailed)
