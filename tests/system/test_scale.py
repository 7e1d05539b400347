"""The benches at a small size: routers end with exactly the accepted routes."""

from __future__ import annotations

import pytest
from bench import hypervisors, scale
from rich.table import Table

pytestmark = pytest.mark.lab


def test_20_000_routes_of_20_sessions_to_two_routers() -> None:
    assert scale.run(sessions=20, routes=20_000, routers=2).row_count == 2


def test_50_hypervisors_come_up_are_joined_by_one_and_outlive_the_filter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hypervisors, "IDLE_S", 0.1)
    table = Table(*hypervisors.COLUMNS)
    hypervisors.run(table, hosts=50, guests=25, deadline_s=60)
    assert table.row_count == 4
