"""Which of very many prefixes lie inside one? Asked when a VRP comes or goes.

Hundreds of thousands of routes arrive while nobody asks, so adding must cost next to nothing; and
no single step may take long, because routes wait behind it. Hence sorted runs of bounded size: what
is new is sorted once there is enough of it, or somebody asks, and a question asks each run by
bisection. What was removed stays in its run, marked, until it comes back or the run's turn to be
tidied comes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable

from rsfilter.routing.model import BITS, Prefix

RUN_SIZE = 1 << 13
"""Prefixes of a run: sorting as many takes some 5 ms, and a million make 120 runs."""


class PrefixIndex:
    """A set of prefixes."""

    def __init__(self) -> None:
        self._recent: dict[Prefix, None] = {}
        """In no run yet."""
        self._sorted: list[Prefix] | None = None
        """The recent ones sorted, once somebody has asked."""
        self._runs: deque[list[Prefix]] = deque()
        """Each sorted; the next to be tidied first. Nothing is in two of them."""
        self._gone: set[Prefix] = set()
        """In a run, and removed."""
        self._removed = 0
        """How many, since runs were last tidied because of that."""

    def add(self, prefixes: Iterable[Prefix]) -> None:
        """Adds prefixes that are not there, none of them twice."""
        self._sorted = None
        for prefix in prefixes:
            if prefix in self._gone:
                self._gone.remove(prefix)
                continue
            self._recent[prefix] = None
            if len(self._recent) >= RUN_SIZE:
                self._tidy()
                self._runs.append(sorted(self._recent))
                self._recent = {}

    def remove(self, prefix: Prefix) -> None:
        """Removes a prefix that is there."""
        if prefix in self._recent:
            del self._recent[prefix]
            self._sorted = None
            return
        self._gone.add(prefix)
        self._removed += 1
        if self._removed >= RUN_SIZE:
            self._removed = 0
            self._tidy()

    def inside(self, prefix: Prefix) -> list[Prefix]:
        """Those that `prefix` (well formed) covers, each once."""
        bits = BITS[prefix.family]
        last_address = prefix.network | ((1 << (bits - prefix.length)) - 1)
        last = Prefix(prefix.family, last_address, bits)
        if self._sorted is None:
            self._sorted = sorted(self._recent)
        found: list[Prefix] = []
        for run in (*self._runs, self._sorted):
            found += run[bisect_left(run, prefix) : bisect_right(run, last)]
        return [each for each in found if each not in self._gone] if self._gone else found

    def _tidy(self) -> None:
        """Writes the two oldest runs anew, without what is gone; as one, where that is enough. As
        it is done for each new run, and for as many removals, little is ever kept in vain."""
        oldest = [self._runs.popleft() for _ in range(min(2, len(self._runs)))]
        listed = [prefix for run in oldest for prefix in run]
        kept = sorted(prefix for prefix in listed if prefix not in self._gone)
        self._gone.difference_update(listed)
        self._runs.extend(kept[at : at + RUN_SIZE] for at in range(0, len(kept), RUN_SIZE))
