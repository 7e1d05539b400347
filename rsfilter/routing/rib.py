"""The routing tables: Adj-RIB-In with verdicts, and one Adj-RIB-Out for each group of routers.

Adj-RIB-In keeps every route that a neighbor announced, rejected ones too. The accepted ones of a
prefix, and those that the guard holds, are its candidates (the Loc-RIB). An Adj-RIB-Out is what a
group of routers should have.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from rsfilter.routing.arrivals import Arrivals
from rsfilter.routing.drain import DrainPhase
from rsfilter.routing.export import (
    BEST_PATH_ID,
    Export,
    OutAttributes,
    Paths,
    path_id,
    preference,
)
from rsfilter.routing.model import (
    BITS,
    Address,
    Prefix,
    Route,
    RouteKey,
    RouterGroup,
    Verdict,
    VerdictKind,
)
from rsfilter.routing.prefix_index import PrefixIndex

# Python 3.11 takes longer to find a member in its class than for all the rest of a property.
_ACCEPTED, _REJECTED = VerdictKind.ACCEPTED, VerdictKind.REJECTED

MAX_OVER_LIMIT = 1000
"""Routes beyond `max_prefixes` that are kept for one neighbor, to be shown as rejected and to move
up later. A host that is over by more leaks a table or is hostile, and one route can take 100 kB
(an UPDATE full of communities): further ones are not even kept."""


class Entry(Struct, eq=False, gc=False):
    """A route in Adj-RIB-In with its current verdict."""

    route: Route
    """As announced; with LLGR_STALE added while it is stale."""
    verdict: Verdict
    within_limit: bool
    """Among the first `max_prefixes` that the neighbor announced and still does, or did when it
    was lost."""
    number: int = 0
    """Its place in the order of arrival, set by `AdjRibIn.insert`. Stays when the route changes."""

    @property
    def is_accepted(self) -> bool:
        return self.verdict.kind is _ACCEPTED

    @property
    def is_announced(self) -> bool:
        """Accepted, or held: it was, and stays until the guard lets go."""
        return self.verdict.kind is not _REJECTED


@dataclass(slots=True)
class NeighborTable:
    """What one neighbor has announced, in the order in which its latest session first did."""

    entries: dict[RouteKey, Entry] = field(default_factory=dict)
    over_limit: OrderedDict[RouteKey, None] = field(default_factory=OrderedDict)
    """Those beyond `max_prefixes`, oldest first: the next to move up when one leaves. Ordered:
    a plain dict finds its first key slowly once many before it have left."""
    asns: set[int] = field(default_factory=set)
    """Of its session, and of earlier ones whose routes are still here."""
    unrepeated: dict[str, set[RouteKey]] = field(default_factory=dict)
    """By family: what a refresh under way (RFC 7313) has not repeated yet."""
    refused: set[tuple[str, str]] = field(default_factory=set)
    """(family, NLRI) of what cannot be a route and was audited: each once, up to a limit."""
    stale: OrderedDict[RouteKey, float] = field(default_factory=OrderedDict)
    """Those of earlier sessions that were not repeated since, and when each ends, the soonest
    first. They do not count against `max_prefixes`: the host does not announce them."""

    def room(self, max_prefixes: int) -> int:
        """How many more routes would be within the limit."""
        counted = len(self.entries) - len(self.over_limit) - len(self.stale)
        return max(0, max_prefixes - counted)

    @property
    def room_beyond(self) -> int:
        """How many more routes beyond the limit would be kept."""
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
        self._by_prefix: dict[Prefix, Entry | tuple[Entry, ...]] = {}
        """Mostly there is one: it stands for itself, which a table of a million feels."""
        self._index = PrefixIndex()
        self.arrivals: Arrivals[Entry] = Arrivals()
        self.accepted = 0
        """How many routes are accepted."""

    def __len__(self) -> int:
        return sum(len(table.entries) for table in self.tables.values())

    def table(self, neighbor: Address) -> NeighborTable:
        """The neighbor's table, made when it is new."""
        found = self.tables.get(neighbor)
        if found is None:
            found = self.tables[neighbor] = NeighborTable()
        return found

    def insert(self, entries: Sequence[Entry]) -> None:
        """Adds routes of one neighbor, at least one, under keys that are not there yet."""
        table = self.table(entries[0].route.key.neighbor)
        by_prefix = self._by_prefix
        new: list[Prefix] = []
        for entry in entries:
            key = entry.route.key
            table.entries[key] = entry
            prefix = key.prefix
            if by_prefix.setdefault(prefix, entry) is entry:
                new.append(prefix)
            else:
                by_prefix[prefix] = (*self.at(prefix), entry)
            if not entry.within_limit:
                table.over_limit[key] = None
        self._index.add(new)
        self.arrivals.add(entries)
        self.accepted += sum([entry.is_accepted for entry in entries])

    def remove(self, key: RouteKey) -> Entry | None:
        """Takes a route out; None when it was not there."""
        table = self.tables.get(key.neighbor)
        entry = table.entries.pop(key, None) if table else None
        if table is None or entry is None:
            return None
        table.over_limit.pop(key, None)
        table.stale.pop(key, None)
        self.arrivals.remove(entry)
        self.accepted -= entry.is_accepted
        others = tuple(e for e in self.at(key.prefix) if e is not entry)
        if others:
            self._by_prefix[key.prefix] = others if len(others) > 1 else others[0]
        else:
            del self._by_prefix[key.prefix]
            self._index.remove(key.prefix)
        return entry

    def set_verdict(self, entry: Entry, verdict: Verdict) -> None:
        """Another verdict for a route that is here."""
        self.accepted -= entry.is_accepted
        entry.verdict = verdict
        self.accepted += entry.is_accepted

    def has(self, entry: Entry) -> bool:
        """The entry is still here."""
        key = entry.route.key
        table = self.tables.get(key.neighbor)
        return table is not None and table.entries.get(key) is entry

    def is_stale(self, key: RouteKey) -> bool:
        """The route is kept for a host that has not repeated it since it was lost."""
        table = self.tables.get(key.neighbor)
        return table is not None and key in table.stale

    def candidates(self, prefix: Prefix) -> Sequence[Route]:
        """The accepted routes of a prefix, best first; after them those that the guard holds:
        an owner by the newest data never loses traffic to an earlier one."""
        found = self._by_prefix.get(prefix, ())
        if isinstance(found, Entry):
            return (found.route,) if found.is_announced else ()
        entries = [entry for entry in found if entry.is_announced]
        entries.sort(key=lambda entry: (not entry.is_accepted, preference(entry.route)))
        return [entry.route for entry in entries]

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
        return found if isinstance(found, tuple) else (found,)

    def inside(self, prefix: Prefix) -> list[Prefix]:
        """Every prefix there is that `prefix` (well formed) covers."""
        if prefix.length == BITS[prefix.family]:
            return [prefix] if prefix in self._by_prefix else []
        return self._index.inside(prefix)

    def of_asns(self, asns: Collection[int]) -> list[Entry]:
        """The routes of hosts with these ASNs."""
        tables = [table for table in self.tables.values() if not table.asns.isdisjoint(asns)]
        return [e for table in tables for e in table.entries.values() if e.route.asn in asns]


class AdjRibOut:
    """What one group of routers should have. Only `update` changes it."""

    def __init__(self, own_asn: int, group: RouterGroup) -> None:
        self.routes: dict[Prefix, Paths] = {}
        self.phase = DrainPhase.IN_SERVICE
        self._is_silent = False
        """Drained: nothing is announced."""
        self._all_paths = group.all_paths
        self._last: Paths = ()
        """What the last prefix got: equal paths are one object."""
        self._export = Export(own_asn, group)

    def drain(self, phase: DrainPhase) -> None:
        """Another phase of a drain: every prefix has to be brought up to date."""
        self.phase = phase
        self._is_silent = phase is DrainPhase.DRAINED
        self._export.is_draining = phase is DrainPhase.DRAINING

    def update(self, found: Iterable[tuple[Prefix, Sequence[Route]]]) -> list[Prefix]:
        """Brings prefixes up to date with their candidates, best first; answers with those of
        which something changed."""
        routes = self.routes
        changed: list[Prefix] = []
        for prefix, candidates in found:
            wanted = self._wanted(candidates)
            if routes.get(prefix, ()) == wanted:
                continue
            changed.append(prefix)
            if wanted:
                routes[prefix] = wanted
            else:
                del routes[prefix]
        return changed

    def _wanted(self, candidates: Sequence[Route]) -> Paths:
        """The best path first; equal to the last one, it is the same object."""
        if not candidates or self._is_silent:
            return ()
        wanted = self._all(candidates) if self._all_paths else self._best(candidates)
        if wanted != self._last:
            self._last = wanted
        return self._last

    def _best(self, candidates: Sequence[Route]) -> Paths:
        for route in candidates:
            attributes = self._export.attributes(route)
            if attributes is not None:
                return ((BEST_PATH_ID, attributes),)
        return ()

    def _all(self, candidates: Sequence[Route]) -> Paths:
        """Where two path ids collide, the better path keeps it."""
        found: dict[int, OutAttributes] = {}
        for route in candidates:
            attributes = self._export.attributes(route)
            if attributes is None:
                continue
            found.setdefault(path_id(route.key.neighbor, route.key.path_id), attributes)
        return tuple(found.items())
