"""Every route in order of arrival, to be read in small steps while routes come and go.

Whoever reads the whole table beside the filter must not stop it, and copying a table of 200,000
routes stops it for 10 ms. So entries are in chunks: a reader takes some of them, goes away, and
comes back behind the last one, which a number tells for ever.
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


class Numbered(Protocol):
    """What can be kept here."""

    number: int


T = TypeVar("T", bound=Numbered)


class Arrivals(Generic[T]):
    """Entries by the number that each gets when it arrives."""

    def __init__(self) -> None:
        self._next = 0
        self._chunks: dict[int, list[T | None]] = {}
        """By number >> CHUNK_BITS, in rising order."""
        self._newest: list[T | None] = []
        """The chunk that is being filled."""

    def add(self, entries: Iterable[T]) -> None:
        """Numbers entries and keeps them."""
        number, newest = self._next, self._newest
        for entry in entries:
            entry.number = number
            if not number & (CHUNK_SIZE - 1):
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
        """The entries numbered `start` and above in lists of about `size`, as they are at the
        moment that each list is asked for. What is here all the time comes exactly once; what
        arrives meanwhile may not come."""
        keys = list(self._chunks)
        step = max(1, size >> CHUNK_BITS)
        for first in range(bisect_left(keys, start >> CHUNK_BITS), len(keys), step):
            chunks = (self._chunks.get(key, ()) for key in keys[first : first + step])
            yield [e for chunk in chunks for e in chunk if e is not None and e.number >= start]


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
