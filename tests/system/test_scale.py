"""The benches at a small size: routers end with exactly the accepted routes."""

from __future__ import annotations

import pytest
from bench import hypervisors, scale

pytestmark = pytest.mark.lab


def test_20_000_routes_of_20_sessions_reach_two_routers() -> None:
    assert scale.run(sessions=20, routes=20_000, routers=2).row_count == 2


def test_50_hypervisors_come_up_are_joined_by_one_and_outlive_the_filter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hypervisors, "IDLE_S", 0.1)
    found: list[hypervisors.Row] = []
    hypervisors.run(found, hosts=50, guests=25, deadline_s=60)
    steps = ["up", "idle", "added", "lost", "truth", "router", "restart"]
    assert [row.what for row in found] == steps
