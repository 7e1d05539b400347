"""Stale routes: retention of a lost host's routes, and its end (RFC 9494).

Retention is local: no capability is exchanged, and the time is the host group's `stale_time`. A
stale route keeps its place in Adj-RIB-In, where it is judged, chosen and exported like any other.
It carries LLGR_STALE, which ranks it last in every choice, also at routers. `NeighborTable.stale`
holds the expiry of each stale route, and this module the earliest ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from itertools import islice
from math import inf
from typing import NamedTuple

from rsfilter.routing.adj_rib_in import AdjRibIn, Entry, NeighborTable
from rsfilter.routing.export import LLGR_STALE, is_stale
from rsfilter.routing.groups import HostGroup
from rsfilter.routing.model import Address, Announcement, Route, RouteKey

NO_LLGR = (65535, 7)
"""RFC 9494 section 4.2.3: a route that must not outlive its session."""


class Departed(NamedTuple):
    """Routes of a lost host: those kept, and those withdrawn."""

    kept: list[Entry]
    """Stale from now on."""
    gone: list[RouteKey]
    """Routes to withdraw now."""


class Retention:
    """Makes routes stale, and knows when they end."""

    def __init__(self, rib_in: AdjRibIn) -> None:
        self._rib_in = rib_in
        self._tables: Mapping[Address, NeighborTable] = rib_in.tables
        self._timers: list[tuple[float, Address]] = []
        """A heap, with times that no longer count."""
        self._timed: dict[Address, float] = {}
        """The time of a neighbor that counts: not after its first stale route ends. It may be
        before, when that route was repeated meanwhile."""

    def lose(
        self, neighbor: Address, entries: Iterable[Entry], group: HostGroup, now: float
    ) -> Departed:
        """The session of a neighbor with these routes has ended.

        A route that was stale before keeps its time: only a host that repeats it starts it anew
        (RFC 9494 section 4.2), at most a `stale_time` from now, which a reload may have shortened.
        No more than `max_prefixes` are kept, the latest of them, however often a host comes and
        goes with others.
        """
        table = self._tables[neighbor]
        lost = Departed([], [])
        marked: dict[Announcement, Announcement] = {}  # what is shared stays so
        for entry in entries:
            key = entry.route.key
            if key in table.stale:
                table.stale[key] = min(table.stale[key], now + group.stale_time)
                continue
            if not may_stay(entry):
                lost.gone.append(key)
                continue
            announced = entry.route.announcement
            if announced not in marked:
                marked[announced] = as_stale(entry.route).announcement
            self._rib_in.set_route(entry, Route(key, marked[announced]))
            table.leaving -= table.is_leaving(entry)
            table.stale[key] = now + group.stale_time
            lost.kept.append(entry)
        too_many = max(0, len(table.stale) - group.max_prefixes)
        lost.gone.extend(islice(table.stale, too_many))
        first = next(iter(table.stale.values()), inf)
        if first < self._timed.get(neighbor, inf):
            self._set_timer(neighbor, first)
        return lost

    def next_timer(self) -> float | None:
        """Latest time of the next call to `expired`; None if no route is stale."""
        return self._timers[0][0] if self._timers else None

    def expired(self, now: float, most: int) -> list[RouteKey]:
        """Return stale routes whose time is over, to be withdrawn: at most so many. If others are
        left, `next_timer` is in the past."""
        found: list[RouteKey] = []
        while self._timers and self._timers[0][0] <= now and len(found) < most:
            at, neighbor = heappop(self._timers)
            if self._timed.get(neighbor) != at:
                continue
            del self._timed[neighbor]
            table = self._tables.get(neighbor)
            for key, until in table.stale.items() if table else ():
                if until > now or len(found) == most:
                    self._set_timer(neighbor, until)
                    break
                found.append(key)
        return found

    def _set_timer(self, neighbor: Address, at: float) -> None:
        heappush(self._timers, (at, neighbor))
        self._timed[neighbor] = at


def may_stay(entry: Entry) -> bool:
    """The route may outlive its session: routers have it, and neither does its host forbid it nor
    a limit that has just been lowered, and has not reached its verdict yet."""
    is_wanted = NO_LLGR not in entry.route.attributes.communities
    return entry.is_announced and entry.within_limit and is_wanted


def as_stale(route: Route) -> Route:
    """The route with LLGR_STALE, which its host may have added itself."""
    if is_stale(route):
        return route
    received = route.attributes
    marked = received._replace(communities=(*received.communities, LLGR_STALE))
    return route.with_attributes(marked)
