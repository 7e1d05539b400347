"""Routes that go together: with a session, at an End-of-RIB, at the end of a refresh.

They may be a whole table, so they go in slices. All the same they count as gone from the event on.
A route is settled before its slice if its host is back and announces or withdraws it, or if another
host's route of the same prefix changes.

An event concerns the routes that were not announced since (`Entry.heard`). So it costs the same for
any number of them, and a route that is announced again is never mistaken for one that goes.

A host decides how often such events come. Of equal ones in a row only the newest waits, and what
waits for departures waits for those before it (`Departures.is_under_way`).
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from rsfilter.routing.adj_rib_in import AdjRibIn, Entry, NeighborTable
from rsfilter.routing.groups import HostGroup
from rsfilter.routing.model import UNICAST, Address, Prefix, RouteKey

SLICE = 1000
"""Routes settled between two pauses: some 20 ms."""


class Kind(Enum):
    """Events after which routes go."""

    LOST = "lost"
    """The session ended, and its routes may stay as stale ones (RFC 9494)."""
    DROPPED = "dropped"
    """The session ended, and nothing stays."""
    END_OF_RIB = "end of rib"
    """A host that is back has not repeated its stale routes."""
    UNREPEATED = "unrepeated"
    """A refresh (RFC 7313) has not repeated the routes."""


class Departure(Struct, frozen=True, gc=False):
    """An event after which routes of one neighbor go."""

    kind: Kind
    cause: str
    """Cause of each change, for the audit."""
    until: int
    """Routes heard at this moment of the neighbor's table or later stay."""
    at: float = 0.0
    """Time of the event."""
    group: HostGroup | None = None
    """LOST: the group of the host."""
    family: str = ""
    """END_OF_RIB, UNREPEATED: the family."""
    is_restart: bool = False
    """rsfilter restarts the session: what the guard holds is expected again."""
    number: int = 0
    """Place among all departures, set by `Departures.add`."""

    def concerns(self, entry: Entry, *, is_stale: bool) -> bool:
        """Return whether a route goes, or becomes stale."""
        if entry.heard >= self.until:
            return False
        if self.kind is Kind.LOST or self.kind is Kind.DROPPED:
            return True
        is_of_family = UNICAST[entry.route.key.prefix.family] == self.family
        return is_of_family and (is_stale or self.kind is Kind.UNREPEATED)


class _Pass(Struct, gc=False):
    """One way through the routes of a neighbor."""

    keys: list[RouteKey]
    covers: int
    """Departures of the table that it settles: so many, the earliest."""
    at: int = 0
    """Keys that are settled."""


class Departures:
    """Knows which routes are still to go, and in which order."""

    def __init__(self, rib_in: AdjRibIn) -> None:
        self.ended: list[Address] = []
        """Neighbors of which nothing is still to go. The reader empties it."""
        self.newest = 0
        """Number of the newest departure."""
        self._rib_in = rib_in
        self._passes: dict[Address, _Pass] = {}
        """The next to be continued first."""

    @property
    def is_busy(self) -> bool:
        """Return whether some route is still to go."""
        return bool(self._passes)

    def is_under_way(self, number: int) -> bool:
        """Return whether a route is still to go by this departure, or by an earlier one."""
        tables = self._rib_in.tables
        return any(tables[each].departures[0].number <= number for each in self._passes)

    @property
    def next(self) -> Address:
        """The neighbor whose turn it is, while it `is_busy`."""
        return next(iter(self._passes))

    def add(self, neighbor: Address, departure: Departure) -> bool:
        """Take in an event; return whether the first slice can follow at once. Otherwise others of
        the neighbor are on their way."""
        table = self._rib_in.tables[neighbor]
        under_way = self._passes.get(neighbor)
        if under_way is not None:
            _drop_repeated(table.departures, departure, under_way.covers)
        self.newest += 1
        table.departures.append(replace(departure, number=self.newest))
        if under_way is not None:
            return False
        self._start(neighbor, table)
        return True

    def slice(self, neighbor: Address) -> list[RouteKey]:
        """Return the next routes of a neighbor to settle. After that it is another's turn."""
        under_way = self._passes[neighbor] = self._passes.pop(neighbor)
        first, under_way.at = under_way.at, under_way.at + SLICE
        return under_way.keys[first : under_way.at]

    def end_slice(self, neighbor: Address) -> None:
        """Note that the routes of the last slice are settled."""
        under_way, table = self._passes[neighbor], self._rib_in.tables[neighbor]
        if under_way.at < len(under_way.keys):
            return
        del table.departures[: under_way.covers], self._passes[neighbor]
        if table.departures:
            self._start(neighbor, table)
        else:
            self.ended.append(neighbor)

    def unsettled(self, prefix: Prefix) -> list[RouteKey]:
        """Return the routes of a prefix that may be still to go."""
        tables, keys = self._rib_in.tables, [e.route.key for e in self._rib_in.at(prefix)]
        return [key for key in keys if tables[key.neighbor].departures]

    def _start(self, neighbor: Address, table: NeighborTable) -> None:
        departures = table.departures
        are_all_stale = all(each.kind is Kind.END_OF_RIB for each in departures)
        keys = list(table.stale if are_all_stale else table.entries)
        self._passes[neighbor] = _Pass(keys, len(departures))


def _drop_repeated(departures: list[Departure], newer: Departure, first: int) -> None:
    """Remove the departure that a newer one of its kind and family makes superfluous, if it is at
    `first` or later and no session ended in between."""
    for place in range(len(departures) - 1, first - 1, -1):
        older = departures[place]
        if older.kind is Kind.LOST or older.kind is Kind.DROPPED:
            return
        if (older.kind, older.family) == (newer.kind, newer.family):
            del departures[place]
            return
