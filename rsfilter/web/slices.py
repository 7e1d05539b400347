"""Reading large tables on the loop of the filter without being in its way.

A reader works for a moment (`SLICE` entries, a millisecond or so) and then lets the loop turn.
However many clients there are, only one of them works in any turn: a route waits for one slice,
never for all of them.

A table of one neighbor is copied before it is read, which takes a millisecond for 100,000 routes:
what is read are the entries as they are at that moment, and entries that have gone meanwhile are
left out.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator
from typing import NamedTuple

from rsfilter.routing.model import Address
from rsfilter.routing.rib import AdjRibIn, Entry

SLICE = 100
"""Entries to a slice: rendered as JSON they take a millisecond."""


class Position(NamedTuple):
    """A place in the table: behind this route. Stays good whatever comes and goes."""

    neighbor: Address
    number: int
    """`Entry.number` of the last route that was read."""

    def __str__(self) -> str:
        return f"{self.neighbor}~{self.number}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """The position that `str` gave; ValueError for any other text."""
        address, tilde, number = text.partition("~")
        if not (tilde and number.isascii() and number.isdigit() and len(number) < 20):
            raise ValueError(f"{text!r} is no position")
        return cls(Address.parse(address), int(number))


class Slices:
    """Gives each reader its turn."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def pause(self) -> None:
        """Lets the loop turn, and every other reader that waits."""
        async with self._turn:
            await asyncio.sleep(0)

    async def entries(
        self, rib: AdjRibIn, after: Position | None = None, size: int = SLICE
    ) -> AsyncGenerator[list[Entry], None]:
        """Every route behind `after`, by neighbor and then in order of arrival, in lists of at
        most `size`. A route that is there all the time comes exactly once."""
        await self.pause()
        for neighbor in sorted(rib.tables):
            if after is not None and neighbor < after.neighbor:
                continue
            table = rib.tables.get(neighbor)  # others may have gone since
            if table is None:
                continue
            entries = list(table.entries.values())
            start = 0
            if after is not None and neighbor == after.neighbor:
                start = bisect_right(entries, after.number, key=lambda entry: entry.number)
            for begin in range(start, len(entries), size):
                part = entries[begin : begin + size]
                yield [entry for entry in part if is_there(rib, entry)]
                await self.pause()


def is_there(rib: AdjRibIn, entry: Entry) -> bool:
    """The entry is still in the table."""
    neighbor, prefix, path_id = entry.route.key
    table = rib.tables.get(neighbor)
    return table is not None and table.entries.get((prefix, path_id)) is entry
