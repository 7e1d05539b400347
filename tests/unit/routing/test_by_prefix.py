"""The index agrees with a search through all prefixes, whatever was added and removed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.core_samples import prefix

from rsfilter.routing import indexes
from rsfilter.routing.indexes import ByPrefix
from rsfilter.routing.model import BITS, Prefix


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "RUN_SIZE", 4)


def well_formed(family: int, network: int, spare: int) -> Prefix:
    return Prefix(family, network >> spare << spare, BITS[family] - spare)


prefixes = st.builds(
    well_formed, st.sampled_from(list(BITS)), st.integers(0, 31), st.integers(0, 6)
)
"""Few enough that they cover one another, and come back."""


@settings(max_examples=300)
@given(st.lists(prefixes, max_size=60), prefixes)
def test_what_lies_inside_is_found_once(flips: list[Prefix], queried: Prefix) -> None:
    index, there = ByPrefix(), set()
    for each in flips:
        if each in there:
            there.remove(each)
            index.remove(each)
        else:
            there.add(each)
            index.add([each])
    assert sorted(index.inside(queried)) == sorted(p for p in there if queried.covers(p))


def test_a_malformed_prefix_lies_inside_no_other() -> None:
    """The prefix is kept as it was sent, and lies inside no prefix of a query."""
    index = ByPrefix()
    for text in ("203.0.113.1/24", "203.0.113.1/77", "203.0.113.1/32", "203.0.113.2/32"):
        index.add([prefix(text)])
    found = {str(p) for p in index.inside(prefix("203.0.113.0/24"))}
    assert {"203.0.113.1/32", "203.0.113.2/32"} <= found


def test_a_prefix_that_comes_and_goes_takes_no_room() -> None:
    index = ByPrefix()
    others = [prefix(f"203.0.113.{n}/32") for n in range(9)]
    index.add(others)
    for _ in range(100):
        for each in others:
            index.remove(each)
            index.add([each])
    assert sum(map(len, index._runs)) + len(index._recent) == len(others)
    assert not index._gone


def test_removed_prefixes_do_not_accumulate() -> None:
    """Guests that never come back: as many prefixes as live ones are kept in vain at most."""
    index = ByPrefix()
    for n in range(1000):
        index.add([Prefix(4, n, 32)])
        if n >= 20:
            index.remove(Prefix(4, n - 20, 32))
    assert sum(map(len, index._runs)) < 60
    assert len(index._gone) < 60


@pytest.mark.parametrize("order", [1, -1])
def test_a_flood_that_is_taken_back_leaves_little_behind(order: int) -> None:
    index = ByPrefix()
    flood = [Prefix(4, n, 32) for n in range(1000)]
    index.add(flood)
    for each in flood[::order]:
        index.remove(each)
    assert sum(map(len, index._runs)) == len(index._gone) <= 100
