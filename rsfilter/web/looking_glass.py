"""State of the looking glass between requests: when routes arrived, and counts by neighbor."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field

from rsfilter.routing.adj_rib_in import Entry
from rsfilter.routing.engine import Engine
from rsfilter.routing.model import Address
from rsfilter.web.arrival_times import ArrivalTimes
from rsfilter.web.birdwatcher_schema import BirdCounts
from rsfilter.web.context import Running
from rsfilter.web.table_reader import Fresh, RouteReader, is_best

FRESH_S = 5.0
"""Counts younger than this are shared: many readers, or reloads, cost one reading of the table."""

COUNT_SLICE = 500
"""Entries that are counted in one go: a millisecond."""


@dataclass(slots=True)
class Tally:
    """Routes of every neighbor, by family."""

    made: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    by_neighbor: defaultdict[Address, dict[int, BirdCounts]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def add(self, engine: Engine, entries: list[Entry]) -> None:
        """Count some entries."""
        for entry in entries:
            key = entry.route.key
            counts = self.by_neighbor[key.neighbor].setdefault(key.prefix.family, BirdCounts())
            if entry.is_accepted:
                counts.imported += 1
                counts.preferred += is_best(engine, entry)
            else:
                counts.filtered += 1


class LookingGlass:
    """Parts of the answers that are costly, or that no table has."""

    def __init__(self, running: Running, reader: RouteReader) -> None:
        self._running = running
        self._reader = reader
        self._arrivals = ArrivalTimes()
        self._tally = Fresh(self._count, FRESH_S)

    def note(self) -> None:
        """Note which routes have arrived by now."""
        arrivals = self._running.filter.engine.rib_in.arrivals
        self._arrivals.note(arrivals.next_number, time.monotonic())

    def age(self, number: int) -> float:
        """Return when an entry arrived, in seconds since the epoch."""
        return self._running.wall_clock(self._arrivals.find(number, time.monotonic()))

    async def tally(self) -> Tally:
        """Return counts that are at most `FRESH_S` old."""
        return await self._tally.value()

    async def _count(self) -> Tally:
        tally, engine = Tally(), self._running.filter.engine
        async for entries in self._reader.entries(engine.rib_in, size=COUNT_SLICE):
            tally.add(engine, entries)
        return tally
