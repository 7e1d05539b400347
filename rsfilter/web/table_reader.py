"""Counts of routes by neighbor, verdict and reason, made on request and in slices.

A fresh count cannot drift. It costs 50 ms of CPU for 200,000 routes, so it is made on request only,
at most every `FRESH_S`, and only after a change.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from rsfilter.routing.adj_rib_in import AdjRibIn, Entry
from rsfilter.routing.model import Address, VerdictKind
from rsfilter.web.context import Running

FRESH_S = 1.0
"""Counts younger than this are good enough for people, and for a scrape every few seconds."""

COUNT_SLICE = 2000
"""Entries that are counted in one go: a millisecond."""

ADD_SLICE = 200
"""Neighbors whose counts are added up in one go: a millisecond."""


@dataclass(slots=True)
class Counts:
    """Routes of one neighbor, or of all."""

    verdicts: Counter[str] = field(default_factory=Counter)
    """accepted, rejected, held."""
    reasons: Counter[str] = field(default_factory=Counter)
    """A route counts for each of its reasons."""
    stale: int = 0

    @property
    def total(self) -> int:
        return self.verdicts.total()


@dataclass(slots=True)
class TableCounts:
    """Routes of all neighbors, and of each."""

    all: Counts = field(default_factory=Counts)
    by_neighbor: dict[Address, Counts] = field(default_factory=dict)


_VERDICT = {kind: kind.value for kind in VerdictKind}


class TableCounter:
    """Counts the table on request, one count at a time."""

    def __init__(self, running: Running, reader: RouteReader) -> None:
        self._running = running
        self._reader = reader
        self._lock = asyncio.Lock()
        self._last = TableCounts()
        self._taken_at = float("-inf")

    async def counts(self) -> TableCounts:
        """The counts, at most `FRESH_S` old."""
        async with self._lock:
            if time.monotonic() >= self._taken_at + FRESH_S:
                self._last = await self._take()
                self._taken_at = time.monotonic()
            return self._last

    async def _take(self) -> TableCounts:
        whole = TableCounts()
        rib = self._running.filter.engine.rib_in
        async for entries in self._reader.entries(rib, size=COUNT_SLICE):
            _count(entries, whole.by_neighbor)
        for number, (neighbor, counts) in enumerate(whole.by_neighbor.items()):
            if number % ADD_SLICE == ADD_SLICE - 1:
                await self._reader.pause()
            table = rib.tables.get(neighbor)
            counts.stale = len(table.stale) if table else 0
            whole.all.verdicts += counts.verdicts
            whole.all.reasons += counts.reasons
            whole.all.stale += counts.stale
        return whole


def _count(entries: list[Entry], by_neighbor: dict[Address, Counts]) -> None:
    for entry in entries:
        neighbor = entry.route.key.neighbor
        counts = by_neighbor.get(neighbor)
        if counts is None:
            counts = by_neighbor[neighbor] = Counts()
        counts.verdicts[_VERDICT[entry.verdict.kind]] += 1
        if entry.verdict.reasons:
            counts.reasons.update(entry.verdict.reasons)


SLICE = 96
"""Entries to a slice: rendered as JSON they take a millisecond."""


REST_S = 0.001
"""Seconds between two slices: the shortest wait of epoll."""


class RouteReader:
    """Reads the table in slices, so that the event loop is never held for long. Readers take
    turns."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def pause(self) -> None:
        """Yield to the event loop, and to other readers."""
        async with self._turn:
            await asyncio.sleep(REST_S)

    async def entries(
        self, rib: AdjRibIn, start: int = 0, size: int = SLICE
    ) -> AsyncGenerator[list[Entry], None]:
        """Every route numbered `start` and above, in order of arrival, in lists of about `size`
        (see `Arrivals.read`)."""
        await self.pause()
        for entries in rib.arrivals.read(start, size):
            yield entries
            await self.pause()

    async def slices_of(
        self, found: list[Entry], size: int = SLICE
    ) -> AsyncGenerator[list[Entry], None]:
        """Yield these entries in lists of `size`. Any of them may leave the table between two
        lists."""
        for start in range(0, len(found), size):
            await self.pause()
            yield found[start : start + size]
