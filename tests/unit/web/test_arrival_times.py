"""Arrival of routes: as exact as the notes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rsfilter.web.arrival_times import MAX_NOTES, ArrivalTimes

NOW = 1e9


def test_a_route_has_arrived_by_the_first_note_that_counts_it() -> None:
    times = ArrivalTimes()
    for number, at in ((3, 10.0), (3, 11.0), (5, 12.0)):
        times.note(number, at)
    assert [times.find(number, NOW) for number in range(6)] == [10.0] * 3 + [12.0] * 2 + [NOW]


@given(st.integers(1, 4), st.integers(0, 2 * MAX_NOTES))
def test_old_notes_become_coarser_and_never_wrong(step: int, count: int) -> None:
    """A route is never shown older than it is, and notes are bounded."""
    times = ArrivalTimes()
    for second in range(count):
        times.note((second + 1) * step, float(second))
    assert len(times._numbers) == len(times._times) <= MAX_NOTES
    for second in {0, count // 3, count // 2, count - 1} & set(range(count)):
        found = times.find(second * step, NOW)
        assert second <= found <= 2 * MAX_NOTES
    if count:
        assert times.find((count - 1) * step, NOW) == count - 1


def test_thinning_out_keeps_every_other_note() -> None:
    times = ArrivalTimes()
    for second in range(MAX_NOTES + 1):
        times.note(second + 1, float(second))
    half = MAX_NOTES // 2
    assert [times.find(number, NOW) for number in range(6)] == [1.0, 1.0, 3.0, 3.0, 5.0, 5.0]
    assert [times.find(number, NOW) for number in range(half, half + 3)] == [
        half,
        half + 1,
        half + 2,
    ]
