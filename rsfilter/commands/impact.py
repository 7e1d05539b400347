"""`rsfilter impact`: which live routes would flip under another truth file.

The running filter judges its own table; or this process judges a snapshot of it (`rsfilter routes
--snapshot`), so that a CI job needs no way to the route server. Exit code 3: a route that
routers have now would be lost.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from rsfilter.commands.arguments import Subparsers
from rsfilter.commands.client import LONG_TIMEOUT_S, client_of, reaching_arguments
from rsfilter.commands.errors import CommandError
from rsfilter.commands.explain import data_of
from rsfilter.commands.output import GOOD, LOSSES, clean, console, print_json, print_table
from rsfilter.config.build import load_config
from rsfilter.config.model import Config
from rsfilter.config.source import default_path
from rsfilter.edge.truth_file import load_truth, read_file
from rsfilter.routing.adj_rib_in import Entry
from rsfilter.routing.groups import Neighbors
from rsfilter.routing.guard import BY_DATA
from rsfilter.routing.impact import MAX_FLIPS, Impact
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
from rsfilter.routing.reasons import REASONS
from rsfilter.routing.validation import Source
from rsfilter.util.text import count

MAX_LINE = 1 << 16
"""Octets of a snapshot's line: a route takes some 400."""

SNAPSHOT_END = b'{"routes": '
"""Beginning of a snapshot's last line, which has the number of routes."""

MOVABLE = BY_DATA | {"data_unavailable", "held_by_guard"}
"""Reasons that other data can take away. A route that is rejected for another one stays so."""


def add(commands: Subparsers) -> None:
    """Add `impact` to the command line."""
    parser = commands.add_parser(
        "impact",
        parents=[reaching_arguments()],
        help="list routes that another truth would lose or gain",
        description="Judges every route of the running filter, or of a snapshot, by another truth "
        "file. Nothing changes. Exit code 3: routes that routers have would be lost.",
    )
    parser.add_argument("--truth", type=Path, required=True, metavar="NEW", help="the truth file")
    parser.add_argument(
        "--snapshot",
        type=Path,
        metavar="FILE",
        help="routes saved by `rsfilter routes --snapshot`, instead of a running filter",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument(
        "--markdown", action="store_true", help="print Markdown, ready for a merge request"
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter impact`; return the exit code."""
    load_truth(args.truth, may_be_empty=True)  # a bad one is an error in the words of `truth check`
    if args.snapshot:
        found = by_snapshot(load_config(args.config or default_path()), args.truth, args.snapshot)
    else:
        content = read_file(args.truth)
        found = client_of(args).post(
            "/api/v1/impact", content, changes_state=False, seconds=LONG_TIMEOUT_S
        )
    if args.json:
        print_json([found])
    elif args.markdown:
        sys.stdout.write(markdown(found))
    else:
        _print(found)
    return LOSSES if found["lost"] else GOOD


# By a snapshot -----------------------------------------------------------------------------------


def by_snapshot(config: Config, truth: Path, snapshot: Path) -> dict[str, Any]:
    """Return the answer of the API, made from saved routes. Raises CommandError if there are none,
    or not all of them."""
    if config.truth is None:
        raise CommandError(f"{config.path}: no [truth]: no truth file would change anything")
    data = asyncio.run(data_of(config, load_truth(truth, may_be_empty=config.truth_may_be_empty)))
    if data.rtr_source is Source.UNAVAILABLE:
        raise CommandError(f"no RTR cache of {config.path} answered")
    impact = Impact(Neighbors(config.hosts, config.routers), data)
    for entry in _entries(snapshot):
        if MOVABLE.issuperset(entry.verdict.reasons):
            impact.add([entry])
        else:
            impact.unmoved += 1
    found: dict[str, Any] = msgspec.to_builtins(impact.result(config.guard.limits))
    return found


_Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
"""An ASN, or a path id."""


class _Saved(msgspec.Struct):
    """Saved route, as far as it is judged."""

    neighbor: str
    asn: _Number
    prefix: str
    path_id: _Number
    next_hop: str
    verdict: VerdictKind
    reasons: tuple[str, ...]
    state: OriginState


def _entries(snapshot: Path) -> Iterator[Entry]:
    """Every route of a snapshot. A part of them would hide losses: the last line counts them."""
    stated: int | None = None
    number = 0
    with snapshot.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), 1):
            try:
                if line.startswith(SNAPSHOT_END):
                    stated = msgspec.json.decode(line, type=dict[str, int])["routes"]
                else:
                    stated = None
                    yield _entry(msgspec.json.decode(line, type=_Saved))
            except (ValueError, RecursionError) as error:
                raise CommandError(
                    f"{snapshot}:{number}: not a route as `rsfilter routes --snapshot` writes it: "
                    f"{error}"
                ) from None
    if stated is None or stated != number - 1:
        raise CommandError(
            f"{snapshot}: was cut, or written by an older rsfilter: its last line does not count "
            "the routes before it"
        )
    if stated == 0:
        raise CommandError(f"{snapshot}: it has no route, so none could be lost")


def _entry(saved: _Saved) -> Entry:
    """A saved route as far as data can decide about it: a path that was good is taken as plain.
    ValueError for what can be none."""
    if not REASONS.keys() >= set(saved.reasons):
        raise ValueError("an unknown reason")
    key = RouteKey(Address.parse(saved.neighbor), Prefix.parse(saved.prefix), saved.path_id)
    if not (key.prefix.is_well_formed or "prefix_malformed" in saved.reasons):
        raise ValueError(f"{saved.prefix!r} has host bits set, or an impossible length")
    next_hops = tuple(map(Address.parse, saved.next_hop.split()))
    verdict = Verdict(saved.verdict, saved.reasons, Validation(saved.state))
    attributes = Attributes(as_path=AsPath.sequence(saved.asn))
    return Entry(Route.of(key, saved.asn, attributes, next_hops), verdict, within_limit=True)


# Output ------------------------------------------------------------------------------------------

_COLUMNS = ("prefix", "neighbor", "asn", "was", "would be", "why")


def _summary(found: Mapping[str, Any]) -> str:
    text = (
        f"Routers have {count(found['accepted_before'], 'route')} and would have "
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
