"""Indexes of all routes: in order of arrival, and by covering prefix.

A reader of the whole table must not stop the filter, and copying a table of 200,000 routes takes 10
ms. So entries are in chunks: a reader takes some entries, pauses, and resumes after the last one,
which a permanent number identifies.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from rsfilter.routing.model import BITS, Prefix

CHUNK_BITS = 5
CHUNK_SIZE = 1 << CHUNK_BITS
"""Entries of a chunk. What has gone leaves its place empty until the whole chunk is: a host that
keeps one route of each chunk costs this many pointers for it, less than the route itself."""

_IN_CHUNK = CHUNK_SIZE - 1
"""Bits of a number that are the place in its chunk."""


class Numbered(Protocol):
    """Entries that can be indexed."""

    number: int


T = TypeVar("T", bound=Numbered)


class ByArrival(Generic[T]):
    """Entries by the number that each gets when it arrives."""

    def __init__(self) -> None:
        self._next = 0
        self._chunks: dict[int, list[T | None]] = {}
        """Chunks by number >> CHUNK_BITS, in ascending order."""
        self._newest: list[T | None] = []
        """The chunk that is being filled."""

    @property
    def next_number(self) -> int:
        """Number of the next entry to arrive."""
        return self._next

    def add(self, entries: Iterable[T]) -> None:
        """Numbers entries and keeps them."""
        number, newest = self._next, self._newest
        for entry in entries:
            entry.number = number
            if not number & _IN_CHUNK:
                newest = self._chunks[number >> CHUNK_BITS] = []
            newest.append(entry)
            number += 1
        self._next, self._newest = number, newest

    def remove(self, entry: T) -> None:
        """Forgets an entry that is here."""
        key, place = entry.number >> CHUNK_BITS, entry.number & (CHUNK_SIZE - 1)
        chunk = self._chunks[key]
        chunk[place] = None
        if len(chunk) == CHUNK_SIZE and not any(chunk):
            del self._chunks[key]

    def read(self, start: int, size: int) -> Iterator[list[T]]:
        """Yield the entries numbered `start` and above in lists of about `size`, each list as of
        the moment it is requested. An entry present all the time appears exactly once; one that
        arrives meanwhile may not appear."""
        keys = list(self._chunks)
        step = max(1, size >> CHUNK_BITS)
        for first in range(bisect_left(keys, start >> CHUNK_BITS), len(keys), step):
            chunks = (self._chunks.get(key, ()) for key in keys[first : first + step])
            yield [e for chunk in chunks for e in chunk if e is not None and e.number >= start]


RUN_SIZE = 1 << 13
"""Prefixes of a run: sorting as many takes some 5 ms, and a million make 120 runs."""


class ByPrefix:
    """A set of prefixes."""

    def __init__(self) -> None:
        self._recent: dict[Prefix, None] = {}
        """Prefixes that are in no run yet."""
        self._sorted: list[Prefix] | None = None
        """The recent prefixes sorted, once needed."""
        self._runs: deque[list[Prefix]] = deque()
        """Each sorted; the next to be tidied first. Nothing is in two of them."""
        self._gone: set[Prefix] = set()
        """Removed prefixes that are still in a run."""
        self._removed = 0
        """Removals since runs were last rewritten because of removals."""

    def add(self, prefixes: Iterable[Prefix]) -> None:
        """Add prefixes that are not present, each once."""
        self._sorted = None
        if self._gone:
            prefixes = list(prefixes)
            back = self._gone.intersection(prefixes)
            self._gone -= back
            prefixes = [prefix for prefix in prefixes if prefix not in back]
        self._recent.update(dict.fromkeys(prefixes))
        while len(self._recent) >= RUN_SIZE:
            listed = list(self._recent)
            self._tidy()
            self._runs.append(sorted(listed[:RUN_SIZE]))
            self._recent = dict.fromkeys(listed[RUN_SIZE:])

    def remove(self, prefix: Prefix) -> None:
        """Remove a prefix that is present."""
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
        """Return the prefixes that `prefix` (well formed) covers, each once."""
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
        """Rewrite the two oldest runs without removed prefixes, merged if they fit. Called once per
        new run and once per RUN_SIZE removals, which bounds garbage."""
        oldest = [self._runs.popleft() for _ in range(min(2, len(self._runs)))]
        listed = [prefix for run in oldest for prefix in run]
        kept = sorted(prefix for prefix in listed if prefix not in self._gone)
        self._gone.difference_update(listed)
        self._runs.extend(kept[at : at + RUN_SIZE] for at in range(0, len(kept), RUN_SIZE))
