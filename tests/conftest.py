"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab.core import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A private network for one test."""
    with Lab() as network:
        yield network
