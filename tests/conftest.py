"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from lab.core import Lab

settings.register_profile("rsfilter", deadline=None)  # a busy machine is no failure
settings.load_profile("rsfilter")


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A private network for one test."""
    with Lab() as network:
        yield network
