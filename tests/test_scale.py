"""The bench at a tenth of its size: routers end with exactly the accepted routes."""

from __future__ import annotations

import pytest
from bench.scale import run

pytestmark = pytest.mark.lab


def test_20_000_routes_of_20_sessions_to_two_routers() -> None:
    assert run(sessions=20, routes=20_000, routers=2).row_count == 2
