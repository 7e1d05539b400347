"""Every route in order of arrival, to be read in small steps while routes come and go.

Whoever reads the whole table beside the filter must not stop it, and copying a table of 200,000
routes stops it for 10 ms. So entries are in chunks: a reader takes some of them, goes away, and
comes back behind the last one, which a number tells for ever.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

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
