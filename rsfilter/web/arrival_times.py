"""Times of arrival of all routes, to the second.

A time in every entry would cost memory for each route. Entries are numbered in order of arrival, so
a note of the newest number each second is enough. Pure: the caller knows the time.
"""

from __future__ import annotations

from bisect import bisect_right

MAX_NOTES = 1 << 14
"""Notes that are kept: four and a half hours in which routes arrive every second. The older half is
thinned out when there are more."""


class ArrivalTimes:
    """Finds the time at which an entry arrived."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        """Ascending; entries with lower numbers had arrived at the time in the same place."""
        self._times: list[float] = []

    def note(self, next_number: int, now: float) -> None:
        """Record the number of the next entry to arrive."""
        if self._numbers and self._numbers[-1] == next_number:
            return
        self._numbers.append(next_number)
        self._times.append(now)
        if len(self._numbers) > MAX_NOTES:
            self._thin_out()

    def find(self, number: int, now: float) -> float:
        """Return when an entry arrived: at most a second, or the distance of two notes, late."""
        place = bisect_right(self._numbers, number)
        return self._times[place] if place < len(self._times) else now

    def _thin_out(self) -> None:
        half = MAX_NOTES // 2
        self._numbers[:half] = self._numbers[1:half:2]
        self._times[:half] = self._times[1:half:2]
