"""Every kind of peer as host and as router, feature by feature.

Observations must be those of docs/interop.md; the tables are printed when the lab ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from lab.core import Lab
from lab.interop import HOSTS, ROUTERS, ROWS, Bench, Row, Seen, table
from lab.story import SHOWN
from support.places import ROOT

pytestmark = [pytest.mark.lab, pytest.mark.slow]

MANUAL = ROOT / "docs" / "interop.md"
"""Page with the same tables."""


@pytest.fixture(scope="module")
def sightings() -> Iterator[dict[str, dict[str, Seen]]]:
    """Observations by role and feature; shown at the end."""
    seen: dict[str, dict[str, Seen]] = {"host": {}, "router": {}}
    yield seen
    SHOWN.extend(table(role, found) + "\n" for role, found in seen.items() if found)


@pytest.fixture(scope="module")
def bench(sightings: dict[str, dict[str, Seen]]) -> Iterator[Bench]:
    with Lab() as lab:
        if 6 not in lab.families:
            pytest.skip("no IPv6 without network namespaces")
        running = Bench(lab)
        running.stage.starts()
        SHOWN.append("Seen: " + ", ".join(f"{k} {v}" for k, v in running.versions()) + "\n")
        yield running


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.role}: {row.feature}")
def test_every_peer_of_a_role_is_observed(
    bench: Bench, sightings: dict[str, dict[str, Seen]], row: Row
) -> None:
    """Every peer of that role is observed, for the table."""
    sightings[row.role][row.feature] = row.observe(bench)


@pytest.mark.parametrize("role", ["host", "router"])
def test_the_manual_has_what_was_observed(
    bench: Bench, sightings: dict[str, dict[str, Seen]], role: str
) -> None:
    """The observations are in docs/interop.md, for all kinds that can run here."""
    seen, kinds = sightings[role], HOSTS if role == "host" else ROUTERS
    versions = dict(bench.versions())
    written = rows_of(role, list(kinds))
    assert list(written) == list(seen)
    wrong = {
        f"{kind}, {feature}": f"seen {text!r}, written {cell!r}"
        for feature, cells in seen.items()
        for kind, text in cells.items()
        if text != text_of(cell := written[feature][kind], versions[kind])
    }
    assert wrong == {}


def text_of(cell: str, version: str) -> str:
    """Return the observation that a cell has for a version: "yes; 7.7: no" is no for 7.7 alone."""
    general, *others = re.split(r"; (?=\d+\.\d+: )", cell)
    named = dict(other.split(": ", 1) for other in others)
    return next((text for number, text in named.items() if version.startswith(number)), general)


def rows_of(role: str, kinds: list[str]) -> dict[str, Seen]:
    """The table of one role in the manual."""
    _, found, after = MANUAL.read_text().partition(f"| as a {role} | {' | '.join(kinds)} |\n")
    assert found, f"{MANUAL} has no table of {role}s"
    lines = after.partition("\n\n")[0].splitlines()[1:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {feature: dict(zip(kinds, cells, strict=True)) for feature, *cells in rows}
