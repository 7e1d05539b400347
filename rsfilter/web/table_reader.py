"""Counts of routes by neighbor, verdict and reason, made on request and in slices.

A fresh count cannot drift. It costs 50 ms of CPU for 200,000 routes, so it is made on request only,
at most every `FRESH_S`, and only after a change.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rsfilter.routing.adj_rib_in import AdjRibIn, Entry
from rsfilter.routing.engine import Engine
from rsfilter.routing.export import BEST_PATH_ID, OutAttributes, path_id
from rsfilter.routing.model import Address, Route, VerdictKind
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


T = TypeVar("T")


class Fresh(Generic[T]):
    """A value that costs a reading of the table: made on request, once for all who wait for it,
    and shared while it is fresh."""

    def __init__(self, make: Callable[[], Awaitable[T]], fresh_s: float) -> None:
        self._make = make
        self._fresh_s = fresh_s
        self._lock = asyncio.Lock()
        self._last: T | None = None
        self._made_at = 0.0

    async def value(self) -> T:
        """The value, at most `fresh_s` seconds old."""
        async with self._lock:
            if self._last is None or time.monotonic() >= self._made_at + self._fresh_s:
                self._last = await self._make()
                self._made_at = time.monotonic()
            return self._last


class TableCounter:
    """Counts the table on request, one count at a time."""

    def __init__(self, running: Running, reader: RouteReader) -> None:
        self._running = running
        self._reader = reader
        self._counts = Fresh(self._take, FRESH_S)

    async def counts(self) -> TableCounts:
        """The counts, at most `FRESH_S` old."""
        return await self._counts.value()

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
        (see `ByArrival.read`)."""
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


# One route ---------------------------------------------------------------------------------------


def is_best(engine: Engine, entry: Entry) -> bool:
    """Return whether some group of routers has the route, alone or before the others of its
    prefix."""
    if not entry.is_announced:
        return False
    tables = engine.ribs_out.values()
    found = (table.routes.get(entry.route.key.prefix, ()) for table in tables)
    return any(_is_of(paths[0], entry.route) for paths in found if paths)


def _is_of(path: tuple[int, OutAttributes], route: Route) -> bool:
    """Return whether the path was made from the route. Without ADD-PATH, its attributes decide."""
    number, attributes = path
    if number != BEST_PATH_ID:
        return number == path_id(route.key.neighbor, route.key.path_id)
    return (
        attributes.next_hop in route.next_hops
        and attributes.as_path[-1:] == (route.asn,)
        and attributes.med == route.attributes.med
    )
