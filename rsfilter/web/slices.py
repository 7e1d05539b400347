"""Reading large tables beside the filter without being in its way.

A reader works for a moment (`SLICE` entries, a millisecond or so) and then sleeps for as long.
However many readers there are, one of them works at a time, so together they take half of the
time at most, and a route waits for one slice. The sleep is a real one: it is then that the threads
which read from ExaBGP and write to it get the interpreter, which a loop that only turns would keep
from them for tens of milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from rsfilter.routing.rib import AdjRibIn, Entry

SLICE = 96
"""Entries to a slice: rendered as JSON they take a millisecond."""

REST_S = 0.001
"""Between two slices: as short as epoll can wait."""


class Slices:
    """Gives each reader its turn."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def pause(self) -> None:
        """Lets everything else happen, and the other readers work."""
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

    async def some(
        self, found: list[Entry], size: int = SLICE
    ) -> AsyncGenerator[list[Entry], None]:
        """These entries in lists of `size`. Any of them may leave the table between two lists."""
        for start in range(0, len(found), size):
            await self.pause()
            yield found[start : start + size]
