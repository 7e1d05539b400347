"""Ages of what caches hold, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsfilter.routing.model import Prefix
from rsfilter.rtr.ages import (
    DEFAULT_MAX_UNCHANGED_S,
    MAX_PREFIXES,
    AgeLimits,
    Differences,
    Standing,
)

HOUR = 3600.0
A, B = b"some VRPs", b"other VRPs"
P, Q = Prefix.parse("192.0.2.0/24"), Prefix.parse("2001:db8::/32")

# A confirmation: (time, session, serial, digest, time since when the data stand still).
Confirmed = tuple[float, int, int, bytes, float]

STANDING: dict[str, list[Confirmed]] = {
    "every confirmation repeats the serial": [
        (5, 1, 7, A, 5),
        (65, 1, 7, A, 5),
        (9000, 1, 7, A, 5),
    ],
    "another serial with other VRPs": [(0, 1, 7, A, 0), (60, 1, 8, B, 60)],
    "another serial with the same VRPs: the validator lives": [(0, 1, 7, A, 0), (60, 1, 8, A, 60)],
    "a cache that starts again from the same file": [(0, 1, 7, A, 0), (60, 2, 1, A, 0)],
    "a cache that starts again with other data": [(0, 1, 7, A, 0), (60, 2, 7, B, 60)],
    "a serial that moves after a restart": [(0, 1, 7, A, 0), (60, 2, 1, A, 0), (90, 2, 2, A, 90)],
    "other VRPs under the same serial": [(0, 1, 7, A, 0), (60, 1, 7, B, 60)],
}


@pytest.mark.parametrize("script", STANDING.values(), ids=STANDING.keys())
def test_since_when_data_stand_still(script: list[Confirmed]) -> None:
    standing = Standing()
    assert standing.since is None
    for now, session, serial, digest, since in script:
        standing.report(session, serial, digest, now)
        assert standing.since == since


@pytest.mark.parametrize(
    ("limit", "age", "vrps", "is_long"),
    [
        (None, DEFAULT_MAX_UNCHANGED_S, 1001, True),
        (None, DEFAULT_MAX_UNCHANGED_S - 1, 1001, False),
        (None, 1e9, 1000, False),
        (None, None, 1001, False),
        (600, 600.0, 3, True),
        (600, 599.9, 1_000_000, False),
        (0, 1e9, 1_000_000, False),
    ],
)
def test_too_long_depends_on_the_number_of_vrps_unless_it_is_configured(
    limit: int | None, age: float | None, vrps: int, is_long: bool
) -> None:
    assert AgeLimits(limit, 0).is_unchanged_long(age, vrps) is is_long


def test_a_prefix_that_stays_different_is_counted_and_those_that_come_and_go_are_not() -> None:
    differences = Differences()
    for hour in range(6):  # each hour one validator is ahead of the other in another prefix
        fleeting = Prefix.parse(f"10.{hour}.0.0/16")
        differences.report(frozenset({P, fleeting}), hour * HOUR)
    assert differences.since(5 * HOUR) == 0.0
    assert differences.lasting(5 * HOUR, 5 * HOUR) == 1
    assert differences.lasting(5 * HOUR, 5 * HOUR + 1) == 0
    differences.report(frozenset({Q}), 6 * HOUR)
    assert differences.lasting(6 * HOUR, 1) == 0
    differences.report(frozenset(), 7 * HOUR)
    assert differences.since(7 * HOUR) == 7 * HOUR


def test_a_prefix_that_agreed_for_a_moment_starts_anew() -> None:
    differences = Differences()
    for now, prefixes in ((0, {P}), (100, set[Prefix]()), (200, {P})):
        differences.report(frozenset(prefixes), now)
    assert differences.lasting(299, 100) == 0
    assert differences.lasting(300, 100) == 1


def test_more_than_can_be_followed_are_counted_together() -> None:
    differences = Differences()
    differences.report(frozenset({P}), 0)
    differences.report(None, 100)  # no less than before, and P is among them
    assert differences.lasting(99, 100) == 0
    assert differences.lasting(100, 100) == MAX_PREFIXES
    differences.report(frozenset({P, Q}), 200)
    assert differences.lasting(200, 200) == 2  # either may have been among them
    differences.report(frozenset(), 201)
    assert differences.lasting(1e9, 0) == 0


@given(st.lists(st.tuples(st.integers(1, 100), st.sets(st.sampled_from([P, Q])))))
def test_what_differs_all_the_time_is_as_old_as_its_first_report(
    steps: list[tuple[int, set[Prefix]]],
) -> None:
    differences, now, since = Differences(), 0, {}
    for step, prefixes in steps:
        now += step
        differences.report(frozenset(prefixes), now)
        since = {prefix: since.get(prefix, now) for prefix in prefixes}
        assert differences.since(now) == min(since.values(), default=now)
        for limit in (1, 50, 200):
            assert differences.lasting(now, limit) == sum(now - s >= limit for s in since.values())
