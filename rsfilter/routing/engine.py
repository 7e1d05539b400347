"""The engine: dispatches events to the parts that own routing state.

    Update                               -> RoutingTable   (`table`)
    EndOfRib, RefreshMark                -> Departures     (`table.departures`)
    SessionUp, SessionDown               -> Sessions       (`sessions`)
    changes of data, policy, guard       -> Revalidation   (`revalidation`)
    DrainRequested                       -> Drain          (`drain`)

`Engine.handle(event, now)` returns what follows from an event. Time comes in as an argument and
only values go out: the same events in the same order give the same actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rsfilter.routing.drain import DEFAULT_DRAIN_TIME_S, Drain
from rsfilter.routing.effects import Actions, DrainChange
from rsfilter.routing.events import (
    AllRepeated,
    DataReplaced,
    DrainRequested,
    EndOfRib,
    Event,
    GuardReleased,
    GuardRestored,
    PolicyReplaced,
    RefreshMark,
    SessionDown,
    SessionUp,
    Update,
)
from rsfilter.routing.export import Paths
from rsfilter.routing.groups import HostGroup, Limits, Neighbors, RouterGroup
from rsfilter.routing.guard import DEFAULT_LIMITS
from rsfilter.routing.judging import judge
from rsfilter.routing.model import Address, AsPath, Attributes, Prefix, Route, RouteKey
from rsfilter.routing.revalidation import PhaseChanged, Revalidation
from rsfilter.routing.sessions import Sessions
from rsfilter.routing.slices import slices
from rsfilter.routing.table import RoutingTable
from rsfilter.routing.validation import Data

MAX_CLAIMANTS = 100
"""Neighbors that are judged at once: some milliseconds."""


class Engine:
    """Judges every route of every host and keeps the tables of the routers."""

    def __init__(
        self,
        own_asn: int,
        hosts: Sequence[HostGroup],
        routers: Sequence[RouterGroup],
        data: Data,
        limits: Limits = DEFAULT_LIMITS,
        drain_time: float = DEFAULT_DRAIN_TIME_S,
    ) -> None:
        self.drain = Drain(drain_time)
        self.neighbors = Neighbors(hosts, routers)
        self.table = RoutingTable(own_asn, self.neighbors, routers, data, limits)
        self.rib_in, self.ribs_out = self.table.rib_in, self.table.ribs_out
        self.guard = self.table.guard
        self.counters = self.table.counters
        """updates, from_router, and those of the table."""
        self._revalidation = Revalidation(self.table, self.drain)
        self._sessions = Sessions(self.table)
        self.sessions = self._sessions.known

    @property
    def data(self) -> Data:
        """The validation data in force."""
        return self.table.data

    def routes_out(self, group: str) -> Mapping[Prefix, Paths]:
        """Return the routes that routers of a group should have. Read it, but do not keep it across
        events."""
        return self.ribs_out[group].routes

    def prefixes(self, neighbor: Address) -> Iterator[list[Prefix]]:
        """Yield the prefixes that a neighbor announces, whatever their verdict, in lists of
        `SLICE`, each as of the moment it is requested."""
        table = self.rib_in.tables.get(neighbor)
        for keys in slices(list(table.entries) if table else []):
            yield [key.prefix for key in keys if self._announces(key)]

    def announces(self, neighbor: Address, prefix: Prefix) -> bool:
        """Return whether a neighbor announces a prefix, without ADD-PATH, whatever the verdict."""
        return self._announces(RouteKey(neighbor, prefix, 0))

    def _announces(self, key: RouteKey) -> bool:
        entry = self.rib_in.find(key)
        return entry is not None and not self.rib_in.tables[key.neighbor].is_leaving(entry)

    def count(self, neighbor: Address) -> int:
        """Return the number of a neighbor's routes that are kept."""
        table = self.rib_in.tables.get(neighbor)
        return len(table.entries) - table.leaving if table else 0

    def claimant(self, prefix: Prefix, neighbors: Iterable[Address]) -> Address | None:
        """One of these neighbors from which a route to the prefix would be accepted now, with the
        right next hop. Of very many, one that has not been judged: it may be."""
        for number, neighbor in enumerate(neighbors):
            if number == MAX_CLAIMANTS or self._would_accept(prefix, neighbor):
                return neighbor
        return None

    def _would_accept(self, prefix: Prefix, neighbor: Address) -> bool:
        session = self.sessions.get(neighbor)
        if session is None:
            return False
        path = Attributes(AsPath.sequence(session.asn))
        route = Route.of(RouteKey(neighbor, prefix, 0), session.asn, path, (neighbor,))
        found = judge(route, self.neighbors.group(neighbor), self.data).reasons
        return all(reason.startswith("next_hop") for reason in found)

    def handle(self, event: Event, now: float) -> Actions:
        """Return what follows from an event. `now` is in seconds, by one clock for all calls."""
        self.guard.now = now
        table = self.table
        match event:
            case Update():
                self._update(event, now)
            case SessionUp():
                self._sessions.up(event, now)
            case SessionDown():
                self._sessions.down(event, now)
            case RefreshMark():
                table.departures.refresh(event)
            case EndOfRib():
                table.departures.end_of_rib(event)
            case DataReplaced() | PolicyReplaced() | GuardReleased() | AllRepeated():
                self._revalidation.add(event)
                self._revalidation.go_on()
            case GuardRestored():
                self.guard.expect(event.held, event.accepted, event.lost)
                if event.held:
                    table.log.guard("restored", len(event.held), "held before a restart")
            case DrainRequested():
                self._drain_requested(event, now)
                self._revalidation.go_on()
        return table.effects()

    def _update(self, update: Update, now: float) -> None:
        """Apply an UPDATE: what it withdraws first."""
        self.counters["updates"] += 1
        if update.neighbor in self.neighbors.routers:
            self.counters["from_router"] += 1  # routers get routes, and give none
            return
        table = self.table
        for family, text in update.other_families:
            table.refuse(update, family, text)
        for key in update.withdrawn:
            table.withdraw(key, "withdraw")
        if update.announced:
            table.announce(update, now)

    def next_timer(self) -> float | None:
        """Return when to call `expire` at the latest; None if nothing waits for a time."""
        if self.is_busy:
            return float("-inf")
        timers = (self.table.next_timer(), self.drain.state.until)
        return min((at for at in timers if at is not None), default=None)

    @property
    def is_busy(self) -> bool:
        """Return whether something is on its way through a table: `expire` continues it."""
        return self.is_revalidating or self.table.departures.is_busy

    @property
    def is_revalidating(self) -> bool:
        """Return whether data, or other rules, are on their way through the table."""
        return self._revalidation.is_busy

    def expire(self, now: float) -> Actions:
        """Return what follows without any event: stale routes and a drain end, hosts repeat what
        there was no room for, and a slice of the work on the whole table is done."""
        self.guard.now = now
        if self.drain.expire(now):
            self._drain_changed("drain_time is over")
        self.table.expire(now)
        self._revalidation.go_on()
        return self.table.effects()

    def _drain_requested(self, event: DrainRequested, now: float) -> None:
        if self.drain.request(event, now):
            verb = "asks to leave service" if event.on else "no longer does"
            self._drain_changed(f"{event.source} {verb}: {event.by}")

    def _drain_changed(self, detail: str) -> None:
        """Log the state of the drain, and have the routers' tables follow its phase."""
        phase, why, _ = self.drain.state
        self.table.log.add(DrainChange(phase.value, detail, why))
        is_other = [rib for rib in self.ribs_out.values() if rib.phase is not phase]
        for rib in is_other:
            rib.drain(phase)
        if is_other:
            self._revalidation.add(PhaseChanged())
