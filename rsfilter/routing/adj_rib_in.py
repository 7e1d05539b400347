"""The routing tables: Adj-RIB-In with verdicts, and one Adj-RIB-Out for each group of routers.

Adj-RIB-In keeps every route that a neighbor announced, rejected ones too. The accepted ones of a
prefix, and those that the guard holds, are its candidates (the Loc-RIB). An Adj-RIB-Out is what a
group of routers should have.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec import Struct

from rsfilter.routing.anycast import Owners, Shift
from rsfilter.routing.export import (
    preference,
)
from rsfilter.routing.indexes import ByArrival, ByPrefix
from rsfilter.routing.model import BITS, Address, Prefix, Route, RouteKey, Verdict, VerdictKind

if TYPE_CHECKING:
    from rsfilter.routing.departures import Departure

# Python 3.11 takes longer to find a member in its class than for all the rest of a property.
_ACCEPTED, _REJECTED = VerdictKind.ACCEPTED, VerdictKind.REJECTED

MAX_OVER_LIMIT = 1000
"""Routes beyond `max_prefixes` that are kept for one neighbor, to be shown as rejected and to move
up later. A host that is over by more leaks a table or is hostile, and one route can take 100 kB
(an UPDATE full of communities): further ones are not even kept."""

MANY = 16
"""Routes of one prefix beyond which they are kept as `Owners`: a table of a million prefixes with
two routes each feels what that takes, and sorting so few costs less."""


class Entry(Struct, eq=False, gc=False):
    """A route in Adj-RIB-In with its current verdict."""

    route: Route
    """The route as announced; with LLGR_STALE added while it is stale."""
    verdict: Verdict
    within_limit: bool
    """Counts against `max_prefixes`: one of the neighbor's oldest routes. Frozen when the session
    is lost."""
    number: int = 0
    """Its place in the order of arrival, set by `AdjRibIn.insert`. Stays when the route changes."""
    heard: int = 0
    """`NeighborTable.moment` when the host last announced it."""

    @property
    def is_accepted(self) -> bool:
        return self.verdict.kind is _ACCEPTED

    @property
    def is_announced(self) -> bool:
        """Return whether routers have the route: it is accepted, or held after it was."""
        return self.verdict.kind is not _REJECTED


@dataclass(slots=True)
class NeighborTable:
    """Routes that one neighbor has announced, in the order of their first announcement in its
    latest session."""

    entries: dict[RouteKey, Entry] = field(default_factory=dict)
    over_limit: OrderedDict[RouteKey, None] = field(default_factory=OrderedDict)
    """Routes beyond `max_prefixes`, oldest first: the next to move up when one leaves. Ordered: a
    plain dict finds its first key slowly after many removals at the front."""
    asns: set[int] = field(default_factory=set)
    """ASNs of its session, and of earlier ones with remaining routes."""
    moment: int = 0
    """Number of the last event since which it counts what the host announces: the end of a session,
    or the beginning of a refresh."""
    lost_at: int = 0
    """Moment at which the last session ended."""
    refreshed_at: dict[str, int] = field(default_factory=dict)
    """Moment at which the refresh under way (RFC 7313) began, by family."""
    departures: list[Departure] = field(default_factory=list)
    """Events whose routes are on their way out, in order."""
    leaving: int = 0
    """Number of routes of earlier sessions that are neither gone nor stale yet."""
    refused: set[tuple[str, str]] = field(default_factory=set)
    """(family, NLRI) of what cannot be a route and was audited: each once, up to a limit."""
    stale: OrderedDict[RouteKey, float] = field(default_factory=OrderedDict)
    """Routes of earlier sessions that were not repeated since, with their expiry, earliest first.
    They do not count against `max_prefixes`, because the host does not announce them."""

    def room(self, max_prefixes: int) -> int:
        """Return how many more routes would be within the limit."""
        counted = len(self.entries) - len(self.over_limit) - len(self.stale) - self.leaving
        return max(0, max_prefixes - counted)

    def uses(self, percent: int, max_prefixes: int) -> bool:
        """Return whether the routes of the session are this share of the limit, or more."""
        announced = len(self.entries) - len(self.stale) - self.leaving
        return announced > 0 and announced * 100 >= percent * max_prefixes

    def begin(self) -> int:
        """Begin another moment: what is announced from now on can be distinguished."""
        self.moment += 1
        return self.moment

    def lose(self) -> int:
        """Begin another moment at the end of a session: all that is not stale leaves."""
        self.over_limit.clear()  # nothing moves up
        self.refreshed_at.clear()
        self.refused.clear()
        self.leaving = len(self.entries) - len(self.stale)
        self.lost_at = self.begin()
        return self.lost_at

    def is_leaving(self, entry: Entry) -> bool:
        """The route is of an earlier session, and neither gone nor stale yet."""
        return entry.heard < self.lost_at and entry.route.key not in self.stale

    @property
    def room_beyond(self) -> int:
        """Return how many more routes beyond the limit would be kept."""
        return max(0, MAX_OVER_LIMIT - len(self.over_limit))

    def repeat(self, key: RouteKey) -> None:
        """A stale route is announced again: from now on one of this session, the latest of it."""
        del self.stale[key]
        self.entries[key] = self.entries.pop(key)

    def recount(self, max_prefixes: int) -> None:
        """Another `max_prefixes` is in force: who is within it is found anew, in order of first
        announcement."""
        self.over_limit.clear()
        room = max_prefixes
        for key, entry in self.entries.items():
            if key in self.stale:
                continue
            entry.within_limit = room > 0
            room -= 1
            if not entry.within_limit:
                self.over_limit[key] = None


class AdjRibIn:
    """Every route of every neighbor, found by neighbor and by prefix."""

    def __init__(self) -> None:
        self.tables: dict[Address, NeighborTable] = {}
        self._by_prefix: dict[Prefix, Entry | tuple[Entry, ...] | Owners] = {}
        """Mostly there is one: it stands for itself, which a table of a million feels."""
        self._index = ByPrefix()
        self.arrivals: ByArrival[Entry] = ByArrival()
        self.accepted = 0
        """Number of accepted routes."""

    def __len__(self) -> int:
        return sum(len(table.entries) for table in self.tables.values())

    def table(self, neighbor: Address) -> NeighborTable:
        """The neighbor's table, made when it is new."""
        found = self.tables.get(neighbor)
        if found is None:
            found = self.tables[neighbor] = NeighborTable()
        return found

    def insert(self, entries: Sequence[Entry]) -> None:
        """Add routes of one neighbor, at least one, under new keys."""
        neighbor = entries[0].route.key.neighbor
        table = self.tables.get(neighbor) or self.table(neighbor)
        by_prefix, of_neighbor = self._by_prefix, table.entries
        self.arrivals.add(entries)
        new: list[Prefix] = []
        for entry in entries:
            key = entry.route.key
            of_neighbor[key] = entry
            prefix = key.prefix
            if by_prefix.setdefault(prefix, entry) is entry:
                new.append(prefix)
            else:
                self._add_to_others(entry)
            if not entry.within_limit:
                table.over_limit[key] = None
            if entry.verdict.kind is _ACCEPTED:
                self.accepted += 1
        self._index.add(new)

    def remove(self, key: RouteKey) -> Entry | None:
        """Remove and return a route; None if it is not present."""
        table = self.tables.get(key.neighbor)
        entry = table.entries.pop(key, None) if table else None
        if table is None or entry is None:
            return None
        table.leaving -= table.is_leaving(entry)
        table.over_limit.pop(key, None)
        table.stale.pop(key, None)
        self.arrivals.remove(entry)
        self.accepted -= entry.is_accepted
        self._remove_from_others(entry)
        return entry

    def _add_to_others(self, entry: Entry) -> None:
        """Others announce its prefix too."""
        prefix = entry.route.key.prefix
        found = self._by_prefix[prefix]
        if isinstance(found, Owners):
            found.add(entry)
            return
        entries = (*self.at(prefix), entry)
        self._by_prefix[prefix] = entries if len(entries) <= MANY else Owners(entries)

    def _remove_from_others(self, entry: Entry) -> None:
        prefix = entry.route.key.prefix
        found = self._by_prefix[prefix]
        if isinstance(found, Owners):
            found.remove(entry)
            if len(found.entries) > MANY // 2:
                return
        others = tuple(e for e in self.at(prefix) if e is not entry)
        if others:
            self._by_prefix[prefix] = others if len(others) > 1 else others[0]
        else:
            del self._by_prefix[prefix]
            self._index.remove(prefix)

    def set_verdict(self, entry: Entry, verdict: Verdict) -> None:
        """Another verdict for a route that is here."""
        was_accepted = entry.is_accepted
        entry.verdict = verdict
        change = entry.is_accepted - was_accepted
        self.accepted += change
        found = self._by_prefix[entry.route.key.prefix]
        if isinstance(found, Owners):
            found.note(entry, change)

    def set_route(self, entry: Entry, route: Route) -> None:
        """Another route under the same key, for one that is here."""
        entry.route = route
        found = self._by_prefix[route.key.prefix]
        if isinstance(found, Owners):
            found.note(entry)

    def find(self, key: RouteKey) -> Entry | None:
        """The route under a key."""
        table = self.tables.get(key.neighbor)
        return table.entries.get(key) if table else None

    def has(self, entry: Entry) -> bool:
        """The entry is still here."""
        return self.find(entry.route.key) is entry

    def is_stale(self, key: RouteKey) -> bool:
        """The route is kept for a host that has not repeated it since it was lost."""
        table = self.tables.get(key.neighbor)
        return table is not None and key in table.stale

    def candidates(self, prefix: Prefix) -> Sequence[Route]:
        """Return the routes of a prefix that routers can get, best first: the accepted routes; the
        held ones only if none is accepted. An owner by the newest data never shares its prefix with
        an earlier one, whatever attributes the latter has."""
        found = self._by_prefix.get(prefix, ())
        if isinstance(found, Entry):
            return () if found.verdict.kind is _REJECTED else (found.route,)
        every = self.at(prefix)
        entries = [e for e in every if e.is_accepted] or [e for e in every if e.is_announced]
        return sorted([entry.route for entry in entries], key=preference)

    def take_candidates(
        self, prefixes: Iterable[Prefix]
    ) -> list[tuple[Prefix, Sequence[Route] | Shift]]:
        """Return each prefix with its `candidates`, or where there are many, with what has changed
        since this was last called."""
        by_prefix = self._by_prefix
        taken: list[tuple[Prefix, Sequence[Route] | Shift]] = []
        for prefix in prefixes:
            found = by_prefix.get(prefix, ())
            if isinstance(found, Entry):  # nearly always: without a call
                is_wanted = found.verdict.kind is not _REJECTED
                taken.append((prefix, (found.route,) if is_wanted else ()))
            elif isinstance(found, Owners):
                taken.append((prefix, found.take_shift()))
            else:
                taken.append((prefix, self.candidates(prefix)))
        return taken

    def entries(self) -> Iterator[Entry]:
        """Every route there is."""
        for table in self.tables.values():
            yield from table.entries.values()

    def prefixes(self) -> list[Prefix]:
        """Every prefix there is, in order of first announcement."""
        return list(self._by_prefix)

    def at(self, prefix: Prefix) -> tuple[Entry, ...]:
        """The routes of exactly this prefix, accepted or not."""
        found = self._by_prefix.get(prefix, ())
        if isinstance(found, tuple):
            return found
        return tuple(found.entries.values()) if isinstance(found, Owners) else (found,)

    def count(self, prefix: Prefix) -> int:
        """Return the number of routes of exactly this prefix, accepted or not."""
        found = self._by_prefix.get(prefix, ())
        if isinstance(found, Entry):
            return 1
        return len(found.entries) if isinstance(found, Owners) else len(found)

    def first(self, prefix: Prefix) -> Entry:
        """The oldest route of exactly this prefix, which is here."""
        found = self._by_prefix[prefix]
        if isinstance(found, Owners):
            return next(iter(found.entries.values()))
        return found if isinstance(found, Entry) else found[0]

    def inside(self, prefix: Prefix) -> list[Prefix]:
        """Every prefix there is that `prefix` (well formed) covers."""
        if prefix.length == BITS[prefix.family]:
            return [prefix] if prefix in self._by_prefix else []
        return self._index.inside(prefix)

    def of_hosts(self, asns: Collection[int], neighbors: Collection[Address]) -> list[Entry]:
        """The routes of hosts with one of these ASNs or session addresses."""
        found: list[Entry] = []
        for neighbor, table in self.tables.items():
            if neighbor in neighbors:
                found += table.entries.values()
            elif not table.asns.isdisjoint(asns):
                found += (e for e in table.entries.values() if e.route.asn in asns)
        return found
