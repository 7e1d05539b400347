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

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from rsfilter.routing.adj_rib_in import AdjRibIn, Entry, NeighborTable
from rsfilter.routing.events import EndOfRib, RefreshMark
from rsfilter.routing.groups import HostGroup
from rsfilter.routing.model import UNICAST, Address, Prefix, RouteKey
from rsfilter.routing.retention import Retention

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
    """Place among all departures, set by `Departures`."""

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


class Remove(Protocol):
    """Remove a route. `is_restart`: see `Departure`."""

    def __call__(self, key: RouteKey, cause: str, *, is_restart: bool) -> None: ...


class Departures:
    """Routes that go after an event, slice by slice.

    The table removes a route (`remove`), and takes in that one became stale (`is_stale`).
    """

    def __init__(
        self,
        rib_in: AdjRibIn,
        retention: Retention,
        remove: Remove,
        is_stale: Callable[[Entry, str], None],
    ) -> None:
        self.newest = 0
        """Number of the newest departure."""
        self._rib_in = rib_in
        self._retention = retention
        self._remove = remove
        self._is_stale = is_stale
        self._ended: list[Address] = []
        """Neighbors of which nothing is still to go."""
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

    def take_ended(self) -> list[Address]:
        """Return the neighbors of which, since the last call, nothing is still to go."""
        ended, self._ended = self._ended, []
        return ended

    def end_of_rib(self, event: EndOfRib) -> None:
        """Withdraw the stale routes of a family that a host which is back has not repeated."""
        table = self._rib_in.tables.get(event.neighbor)
        if table is not None and (table.stale or table.leaving):
            kind, until = Kind.END_OF_RIB, table.lost_at
            self._add(event.neighbor, Departure(kind, "end_of_rib", until, family=event.family))

    def refresh(self, mark: RefreshMark) -> None:
        """Withdraw what a neighbor does not repeat between begin and end (RFC 7313)."""
        table = self._rib_in.tables.get(mark.neighbor)
        if table is None or mark.family not in UNICAST.values():
            return
        if not mark.is_end:
            table.refreshed_at[mark.family] = table.begin()
            return
        until = table.refreshed_at.pop(mark.family, None)
        if until is not None:
            kind = Kind.UNREPEATED
            self._add(mark.neighbor, Departure(kind, "withdraw", until, family=mark.family))

    def lose(
        self, neighbor: Address, cause: str, group: HostGroup, now: float, *, is_restart: bool
    ) -> None:
        """Make the routes of a lost host stale for the time that its group has."""
        table = self._rib_in.tables.get(neighbor)
        if table is not None:
            until = table.lose()
            lost = Departure(Kind.LOST, cause, until, at=now, group=group, is_restart=is_restart)
            self._add(neighbor, lost)

    def drop(self, neighbor: Address, cause: str, *, is_restart: bool) -> None:
        """Withdraw every route of a neighbor and forget the neighbor."""
        table = self._rib_in.tables.get(neighbor)
        if table is not None:
            table.asns.clear()
            until = table.lose()
            self._add(neighbor, Departure(Kind.DROPPED, cause, until, is_restart=is_restart))

    def next_slice(self) -> None:
        """Settle a slice of the neighbor whose turn it is, while it `is_busy`."""
        self._slice(next(iter(self._passes)))

    def settle(self, key: RouteKey) -> None:
        """Bring a route up to date with the departures under way, before its slice."""
        if key.neighbor in self._rib_in.tables:
            self._apply(key.neighbor, [key])

    def settle_prefixes(self, prefixes: Iterable[Prefix]) -> None:
        """Settle the routes of prefixes to be exported, which may become more meanwhile: no owner
        waits behind one that goes."""
        tables = self._rib_in.tables
        for prefix in prefixes:
            keys = [entry.route.key for entry in self._rib_in.at(prefix)]
            for key in [key for key in keys if tables[key.neighbor].departures]:
                self.settle(key)

    def _add(self, neighbor: Address, departure: Departure) -> None:
        """Begin a departure with its first slice, unless others of the neighbor are under way."""
        table = self._rib_in.tables[neighbor]
        under_way = self._passes.get(neighbor)
        if under_way is not None:
            _drop_repeated(table.departures, departure, under_way.covers)
        self.newest += 1
        table.departures.append(replace(departure, number=self.newest))
        if under_way is None:
            self._start(neighbor, table)
            self._slice(neighbor)

    def _slice(self, neighbor: Address) -> None:
        """Settle the next routes of a neighbor. After that it is another's turn."""
        under_way = self._passes[neighbor] = self._passes.pop(neighbor)
        first, under_way.at = under_way.at, under_way.at + SLICE
        self._apply(neighbor, under_way.keys[first : under_way.at])
        table = self._rib_in.tables[neighbor]
        if under_way.at >= len(under_way.keys):
            del table.departures[: under_way.covers], self._passes[neighbor]
            if table.departures:
                self._start(neighbor, table)
            else:
                self._ended.append(neighbor)
        if not (table.departures or table.entries or table.asns or table.refused):
            del self._rib_in.tables[neighbor]

    def _apply(self, neighbor: Address, keys: list[RouteKey]) -> None:
        """Apply the departures of a neighbor, in order, to some of its routes."""
        table = self._rib_in.tables[neighbor]
        for departure in table.departures:
            found = [
                entry
                for key in keys
                if (entry := table.entries.get(key)) is not None
                and departure.concerns(entry, is_stale=key in table.stale)
            ]
            gone = [entry.route.key for entry in found]
            if departure.kind is Kind.LOST and departure.group is not None:
                lost = self._retention.lose(neighbor, found, departure.group, departure.at)
                gone = lost.gone
                for entry in lost.kept:
                    self._is_stale(entry, departure.cause)
            elif departure.kind is Kind.UNREPEATED:
                gone.sort()
                for key in gone:
                    table.over_limit.pop(key, None)  # none of them moves up before it goes
            for key in gone:
                self._remove(key, departure.cause, is_restart=departure.is_restart)

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
