"""`rsfilter impact`: which live routes would flip under another truth file.

Asked of the running filter, which judges its own table; or of a snapshot of that table (`rsfilter
routes --snapshot`), so that a CI job needs no way to the route server. Exit code 3: a route that
routers have now would be lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rsfilter.arguments import Subparsers
from rsfilter.config import Config, load_config
from rsfilter.exit_codes import GOOD, LOSSES
from rsfilter.explain import data_of
from rsfilter.routing.guard import BY_DATA
from rsfilter.routing.impact import MAX_FLIPS, Flip, Impact
from rsfilter.routing.model import (
    Address,
    AsPath,
    Attributes,
    OriginState,
    Prefix,
    Route,
    RouteKey,
    Validation,
    Verdict,
    VerdictKind,
)
from rsfilter.routing.neighbors import Neighbors
from rsfilter.routing.reasons import REASONS
from rsfilter.routing.rib import Entry
from rsfilter.rpki.truth import load_truth, read_file
from rsfilter.terminal import clean, console, print_json, print_table
from rsfilter.web.client import ClientError
from rsfilter.web.commands import client_of, reaching_arguments

MAX_LINE = 1 << 16
"""Octets of a snapshot's line: a route takes some 400."""

MOVABLE = BY_DATA | {"data_unavailable", "held_by_guard"}
"""Reasons that other data can take away. A route that is rejected for another one stays so."""


def add_arguments(commands: Subparsers) -> None:
    """Adds `impact` to the command line."""
    parser = commands.add_parser(
        "impact",
        parents=[reaching_arguments()],
        help="which routes would flip under another truth",
        description="Judges every route of the running filter, or of a snapshot, by another truth "
        "file. Nothing changes. Exit code 3: routes that routers have would be lost.",
    )
    parser.add_argument("--truth", type=Path, required=True, metavar="NEW", help="the truth file")
    parser.add_argument(
        "--snapshot",
        type=Path,
        metavar="FILE",
        help="routes that were saved by `rsfilter routes --snapshot`, instead of a running filter",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument(
        "--markdown", action="store_true", help="print Markdown, ready for a merge request"
    )
    parser.set_defaults(handler=_impact)


def _impact(args: argparse.Namespace) -> int:
    load_truth(args.truth)  # a bad one is an error in the words of `truth check`
    if args.snapshot:
        found = by_snapshot(load_config(args.config), args.truth, args.snapshot)
    else:
        content = read_file(args.truth)
        found = client_of(args).post("/api/v1/impact", content, changes_state=False)
    if args.json:
        print_json([found])
    elif args.markdown:
        sys.stdout.write(markdown(found))
    else:
        _print(found)
    return LOSSES if found["lost"] else GOOD


# By a snapshot -----------------------------------------------------------------------------------


def by_snapshot(config: Config, truth: Path, snapshot: Path) -> dict[str, Any]:
    """What the API answers, from saved routes. Raises ClientError for a snapshot that is none."""
    if config.truth is None:
        raise ClientError(f"{config.path}: no [truth]: no truth file would change anything")
    data = asyncio.run(data_of(config, load_truth(truth)))
    impact = Impact(Neighbors(config.hosts, config.routers), data)
    unmoved = 0
    for entry in _entries(snapshot):
        if MOVABLE.issuperset(entry.verdict.reasons):
            impact.add([entry])
        else:
            unmoved += 1
    flips = (impact.lost_routes + impact.gained_routes)[:MAX_FLIPS]
    return {
        "judged": impact.judged + unmoved,
        "accepted_before": impact.accepted_before,
        "accepted_after": impact.accepted_after,
        "lost": impact.lost,
        "gained": impact.gained,
        "lost_by_reason": dict(impact.lost_by_reason.most_common()),
        "would_hold": impact.would_hold(config.guard.limits),
        "flips": [_flip(flip) for flip in flips],
        "is_complete": len(flips) == impact.lost + impact.gained,
    }


def _entries(snapshot: Path) -> Iterator[Entry]:
    with snapshot.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), 1):
            try:
                yield _entry(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ClientError(
                    f"{snapshot}:{number}: not a route as `rsfilter routes --snapshot` writes it: "
                    f"{error!r}"
                ) from None


def _entry(saved: Mapping[str, Any]) -> Entry:
    """A saved route as far as data can decide about it: a path that was good is taken as plain."""
    if not REASONS.keys() >= set(saved["reasons"]):
        raise ValueError("an unknown reason")
    asn = int(saved["asn"])
    key = RouteKey(
        Address.parse(saved["neighbor"]), Prefix.parse(saved["prefix"]), int(saved["path_id"])
    )
    next_hops = tuple(map(Address.parse, saved["next_hop"].split()))
    verdict = Verdict(
        VerdictKind(saved["verdict"]),
        tuple(saved["reasons"]),
        Validation(OriginState(saved["state"])),
    )
    route = Route(key, asn, Attributes(as_path=AsPath.sequence(asn)), next_hops)
    return Entry(route, verdict, within_limit=True)


def _flip(flip: Flip) -> dict[str, Any]:
    route, was, verdict = flip
    return {
        "neighbor": str(route.key.neighbor),
        "asn": route.asn,
        "prefix": str(route.key.prefix),
        "path_id": route.key.path_id,
        "was": was.kind.value,
        "verdict": verdict.kind.value,
        "reasons": list(verdict.reasons),
        "state": verdict.validation.state.value,
        "vrps": [str(vrp) for vrp in verdict.validation.vrps],
    }


# Output ------------------------------------------------------------------------------------------

_COLUMNS = ("prefix", "neighbor", "ASN", "was", "would be", "why")


def _summary(found: Mapping[str, Any]) -> str:
    text = (
        f"Routers have {found['accepted_before']} routes and would have "
        f"{found['accepted_after']}: {found['lost']} lost, {found['gained']} gained"
    )
    return f"{text}. The guard would hold the losses." if found["would_hold"] else f"{text}."


def _rows(found: Mapping[str, Any]) -> list[tuple[object, ...]]:
    return [
        (
            flip["prefix"],
            flip["neighbor"],
            flip["asn"],
            flip["was"],
            flip["verdict"],
            ", ".join((*flip["reasons"], *flip["vrps"])),
        )
        for flip in found["flips"]
    ]


def _print(found: Mapping[str, Any]) -> None:
    console().print(_summary(found), soft_wrap=True)
    if found["flips"]:
        print_table(_COLUMNS, _rows(found))
    if not found["is_complete"]:
        console().print(f"These are the first {MAX_FLIPS}.")


def markdown(found: Mapping[str, Any]) -> str:
    """A heading, a summary and a table, for the description or a comment of a merge request."""
    lines = ["### Impact on live routes", "", _summary(found), ""]
    if found["flips"]:
        lines += [_markdown_row(_COLUMNS), _markdown_row(["---"] * len(_COLUMNS))]
        lines += [_markdown_row(row) for row in _rows(found)]
    if not found["is_complete"]:
        lines += ["", f"The table has the first {MAX_FLIPS}."]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Iterable[object]) -> str:
    """One row of a table. Cells are text: nothing in them may act as Markdown or HTML."""
    texts = (clean(str(cell)).replace("\\", "\\\\").replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(text.replace('<', '&lt;').replace('`', '') for text in texts)} |"
