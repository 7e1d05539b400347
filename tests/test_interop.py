"""Every kind of peer as host and as router, feature by feature.

What is seen must be what docs/interop.md says; the tables are printed when the lab ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.core import Lab
from lab.interop import HOSTS, ROUTERS, ROWS, Bench, Row, Seen, table
from lab.story import SHOWN

pytestmark = [pytest.mark.lab, pytest.mark.slow]

MANUAL = Path(__file__).resolve().parent.parent / "docs" / "interop.md"
"""Where the same tables are."""


@pytest.fixture(scope="module")
def sightings() -> Iterator[dict[str, dict[str, Seen]]]:
    """By role and feature; shown at the end."""
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


def written(row: Row) -> Seen:
    """What the manual says."""
    kinds = list(HOSTS if row.role == "host" else ROUTERS)
    section = MANUAL.read_text().partition(f"| as a {row.role} |")[2] if MANUAL.exists() else ""
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == row.feature:
            return dict(zip(kinds, cells[1:], strict=True))
    return {}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.role}: {row.feature}")
def test_what_is_seen_is_what_the_manual_says(
    bench: Bench, sightings: dict[str, dict[str, Seen]], row: Row
) -> None:
    """Looked at in every peer of that role."""
    seen = sightings[row.role][row.feature] = row.look(bench)
    expected = {kind: text for kind, text in written(row).items() if kind not in bench.missing}
    assert seen == expected, f"docs/interop.md says otherwise of {row.feature}"
