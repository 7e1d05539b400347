"""The engine: the only owner of routing state.

`Engine.handle(event, now)` takes what happened and answers with what follows from it. Time comes
in; nothing goes out but values. The same events in the same order give the same actions.

The journey of a route: Adj-RIB-In -> judge -> Adj-RIB-Out, an audit event beside it. Data that
change enter at "judge" and take the same road.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rsfilter.routing.adj_rib_in import Entry, NeighborTable
from rsfilter.routing.drain import DEFAULT_DRAIN_TIME_S, Drain
from rsfilter.routing.effects import (
    Actions,
    DrainChange,
    NlriRefused,
    NotKept,
    RefreshWanted,
    SessionChange,
)
from rsfilter.routing.events import (
    AllRepeated,
    DataReplaced,
    DrainAsked,
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
from rsfilter.routing.guard import DEFAULT_LIMITS, Haste
from rsfilter.routing.model import UNICAST, Address, AsPath, Attributes, Prefix, Route, RouteKey
from rsfilter.routing.overflow import Unkept
from rsfilter.routing.policy import NO_GROUP, judge
from rsfilter.routing.retention import Retention, as_stale
from rsfilter.routing.revalidation import (
    all_repeated,
    export_all,
    release_guard,
    replace_data,
    replace_policy,
    supersede,
)
from rsfilter.routing.table import Verdicts
from rsfilter.routing.validation import Data

MAX_REFUSED = 100
"""NLRIs of one neighbor that are audited although no route can be made of them. Sessions do not
carry other families: even one is a surprise."""


MAX_CLAIMANTS = 100
"""Neighbors that are judged at once: some milliseconds."""


@dataclass(slots=True)
class Session:
    """A neighbor as it was last seen."""

    asn: int
    is_up: bool
    since: float
    """When `is_up` last changed, in the time of the events."""
    wrong_asn: int = 0
    """As `SessionDown.wrong_asn`."""
    reason: str = ""
    """Why it last went down, in the speaker's words; empty if it never did."""
    flaps: int = 0
    """How often it went down after it was up."""


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """Another phase of a drain has begun: what routers have is to follow."""


TableWide = DataReplaced | PolicyReplaced | GuardReleased | PhaseChanged | AllRepeated
"""What concerns the whole table: one after the other, each in slices."""


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
        self.counters: Counter[str] = Counter()
        """updates, announced, not_kept, repeated, withdrawn, from_router, refused."""
        self.sessions: dict[Address, Session] = {}
        self.neighbors = Neighbors(hosts, routers)
        self.verdicts = Verdicts(own_asn, self.neighbors, routers, data, limits)
        self.rib_in, self.ribs_out = self.verdicts.rib_in, self.verdicts.ribs_out
        self.guard = self.verdicts.guard
        self._retention = Retention(self.rib_in)
        self._unkept = Unkept(self.rib_in.tables)
        self._under_way: Iterator[None] | None = None
        """What goes through the whole table, a slice at a time."""
        self._waiting: deque[TableWide] = deque()
        """What will do so after it."""

    @property
    def data(self) -> Data:
        """The validation data in force."""
        return self.verdicts.data

    def routes_out(self, group: str) -> Mapping[Prefix, Paths]:
        """What the routers of a group should have; read it, do not keep it across events."""
        return self.ribs_out[group].routes

    def prefixes(self, neighbor: Address) -> set[Prefix]:
        """What a neighbor announces, whatever became of it."""
        table = self.rib_in.tables.get(neighbor)
        return {key.prefix for key in table.entries} if table else set()

    def held(self, neighbor: Address) -> list[Route]:
        """Routes of a neighbor that the guard holds."""
        table = self.rib_in.tables.get(neighbor)
        entries = table.entries.values() if table and self.guard.held else ()
        return [entry.route for entry in entries if self.guard.is_held(entry.route.key)]

    def count(self, neighbor: Address) -> int:
        """How many routes of a neighbor are kept."""
        table = self.rib_in.tables.get(neighbor)
        return len(table.entries) if table else 0

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
        route = Route(RouteKey(neighbor, prefix, 0), session.asn, path, (neighbor,))
        found = judge(route, self.neighbors.group(neighbor), self.data).reasons
        return all(reason.startswith("next_hop") for reason in found)

    def handle(self, event: Event, now: float) -> Actions:
        """What follows from an event. `now` is in seconds, by one clock for all calls."""
        self.guard.now = now
        match event:
            case Update():
                self._update(event, now)
            case SessionUp():
                self._session_up(event, now)
            case SessionDown():
                self._session_down(event, now)
            case RefreshMark():
                self._refresh_mark(event)
            case EndOfRib():
                self._end_of_rib(event)
            case DataReplaced() | PolicyReplaced() | GuardReleased() | AllRepeated():
                self._waiting.append(event)
                self._go_on()
            case GuardRestored():
                self.guard.expect(event.held, event.accepted, event.lost)
                if event.held:
                    self.verdicts.audit_guard("restored", len(event.held), "held before a restart")
            case DrainAsked():
                self._drain_asked(event, now)
                self._go_on()
        return self._finished()

    def next_timer(self) -> float | None:
        """When to call `expire` at the latest; None: nothing waits for a time."""
        if self.is_busy:
            return float("-inf")
        timers = (
            self._retention.next_timer(),
            self._unkept.next_timer(),
            self.drain.state.until,
        )
        return min((at for at in timers if at is not None), default=None)

    @property
    def is_busy(self) -> bool:
        """Something is on its way through the whole table: `expire` goes on with it."""
        return self._under_way is not None or bool(self._waiting)

    def expire(self, now: float) -> Actions:
        """What follows without any event: stale routes end, and so does a drain; hosts are asked
        for what there was no room for; and a slice of what is on its way through the whole table.
        """
        self.guard.now = now
        if self.drain.expire(now):
            self._drained("drain_time is over")
        for key in self._retention.expired(now):
            self._withdraw(key, "stale_time")
        self.verdicts.actions.refresh.extend(
            RefreshWanted(*wanted) for wanted in self._unkept.to_repeat(now, self._max_prefixes)
        )
        self._go_on()
        return self._finished()

    def _finished(self) -> Actions:
        if self.guard.has_ended():
            self.verdicts.audit_guard("ended", 0, "nothing is held any more")
        return self.verdicts.take_actions()

    # Neighbors ---------------------------------------------------------------------------------

    def _session_up(self, event: SessionUp, now: float) -> None:
        known = self.sessions.get(event.neighbor)
        if known is not None and known.asn != event.asn:
            self._drop_all(event.neighbor, "session_down")  # somebody else has the address now
        elif known is not None and known.is_up:
            self._lose(event.neighbor, "session_down", now)  # the end of the last one went unseen
        self._set_session(event.neighbor, event.asn, is_up=True, reason="", now=now)

    def _session_down(self, event: SessionDown, now: float) -> None:
        if event.administrative:
            self._drop_all(event.neighbor, "administrative")
        else:
            self._lose(event.neighbor, "session_down", now)
        known = self.sessions.get(event.neighbor)
        is_news = event.wrong_asn and known is not None and event.wrong_asn != known.wrong_asn
        if known is None or known.is_up or is_news:  # ExaBGP repeats `down` if it cannot connect
            since = now if known is None or known.is_up else known.since
            self._set_session(
                event.neighbor,
                event.asn,
                is_up=False,
                reason=event.reason,
                now=since,
                wrong_asn=event.wrong_asn,
            )

    def _set_session(
        self,
        neighbor: Address,
        asn: int,
        *,
        is_up: bool,
        reason: str,
        now: float,
        wrong_asn: int = 0,
    ) -> None:
        before = self.sessions.get(neighbor)
        flaps = before.flaps + (before.is_up and not is_up) if before else 0
        last_reason = before.reason if before and is_up else reason
        self.sessions[neighbor] = Session(asn, is_up, now, wrong_asn, last_reason, flaps)
        role, group = self.neighbors.identify(neighbor)
        host = self.data.bindings.host(asn, neighbor) if role == "host" else None
        name = host.name if host else ""
        change = SessionChange(
            neighbor, asn, role, group, is_up, reason, host=name, wrong_asn=wrong_asn
        )
        self.verdicts.actions.audit.append(change)

    # Routes ------------------------------------------------------------------------------------

    def _update(self, update: Update, now: float) -> None:
        self.counters["updates"] += 1
        neighbor = update.neighbor
        if self.neighbors.is_router(neighbor):
            self.counters["from_router"] += 1  # routers are told, not asked
            return
        for family, text in update.other_families:
            self._refuse(update, family, text)
        for key in update.withdrawn:
            self._withdraw(key, "withdraw")
        if update.announced:
            self._announced(update, now)

    def _announced(self, update: Update, now: float) -> None:
        """Routes that are new go on together, in the order in which they came."""
        table = self.rib_in.table(update.neighbor)
        table.asns.add(update.asn)
        group = self.neighbors.group(update.neighbor)
        not_kept = repeated = 0
        new: list[Route] = []
        for route in update.announced:
            key = route.key
            if table.unrepeated:
                table.unrepeated.get(UNICAST[key.prefix.family], set()).discard(key)
            entry = table.entries.get(key)
            if entry is None:
                new.append(route)
            elif entry.route == route and key not in table.stale:
                repeated += 1
            elif route.attributes.is_treated_as_withdraw:
                # RFC 7606 section 2. What it names it may as well withdraw as announce: the
                # speaker shows both alike. A route that is not there is kept to say why.
                self._withdraw(key, "malformed")
            else:
                not_kept += self._insert(new, group, table)
                new = []
                not_kept += self._replace(entry, route, group, table)
        not_kept += self._insert(new, group, table)
        if repeated:
            self.counters["repeated"] += repeated
        if repeated < len(update.announced):
            self.counters["announced"] += len(update.announced) - repeated
        if not_kept:
            self.counters["not_kept"] += not_kept
            families = {route.key.prefix.family for route in update.announced}
            self._unkept.note(update.neighbor, families, now)
            name = self.verdicts.host_name(update.asn, update.neighbor)
            event = NotKept(update.neighbor, update.asn, name, not_kept)
            self.verdicts.actions.audit.append(event)

    def _insert(self, routes: list[Route], group: HostGroup | None, table: NeighborTable) -> int:
        """Routes of one neighbor that were not there; how many of them there is no room for."""
        if not routes:
            return 0
        room = table.room((group or NO_GROUP).max_prefixes)
        kept = room + table.room_beyond
        self.verdicts.insert(routes[:room], group, within_limit=True)
        self.verdicts.insert(routes[room:kept], group, within_limit=False)
        return max(0, len(routes) - kept)

    def _replace(
        self, entry: Entry, route: Route, group: HostGroup | None, table: NeighborTable
    ) -> int:
        """A route that is there, and was another or stale; 1 if there is no room for it now."""
        key = route.key
        if key in table.stale:
            if not table.room((group or NO_GROUP).max_prefixes):
                self._withdraw(key, "max_prefixes")  # others have come before it this time
                return self._insert([route], group, table)
            table.repeat(key)
            self._come_back(entry, route, group)
            return 0
        was_announced = entry.is_announced
        self.rib_in.set_route(entry, route)
        self.verdicts.rejudge(entry, group, "announce")
        if was_announced or entry.is_announced:
            self.verdicts.export(key.prefix)
        return 0

    def _refuse(self, update: Update, family: str, nlri: str) -> None:
        """No route can be made of it, so there is nothing to keep: it is audited once."""
        self.counters["refused"] += 1
        refused = self.rib_in.table(update.neighbor).refused
        if (family, nlri) in refused or len(refused) >= MAX_REFUSED:
            return
        refused.add((family, nlri))
        reason = "prefix_malformed" if family in UNICAST.values() else "family_not_allowed"
        name = self.verdicts.host_name(update.asn, update.neighbor)
        self.verdicts.actions.audit.append(
            NlriRefused(
                update.neighbor, update.asn, name, family, nlri, reason, self.data.provenance
            )
        )

    def _come_back(self, entry: Entry, route: Route, group: HostGroup | None) -> None:
        """A host announces again what was kept of it. If nothing else changed, its verdict stands,
        and what the guard holds stays held."""
        is_same = entry.route == as_stale(route)
        self.rib_in.set_route(entry, route)
        if not is_same:
            self.guard.forget(route.key)
        verdict = entry.verdict if is_same else self.verdicts.judge(entry, group)
        self.verdicts.set(entry, verdict, "announce", is_back=True)
        self.verdicts.export(route.key.prefix)

    def _withdraw(self, key: RouteKey, cause: str) -> None:
        was_stale = self.rib_in.is_stale(key)
        entry = self.rib_in.remove(key)
        if entry is None:
            return
        self.guard.gone(key)
        self.counters["withdrawn"] += 1
        self.verdicts.audit(entry.route, None, entry.verdict.kind, cause, stale=was_stale or None)
        if entry.is_announced:
            self.verdicts.export(key.prefix)
        if entry.within_limit and not was_stale:
            self._move_up(key.neighbor)

    def _max_prefixes(self, neighbor: Address) -> int:
        return (self.neighbors.group(neighbor) or NO_GROUP).max_prefixes

    def _move_up(self, neighbor: Address) -> None:
        """A place within `max_prefixes` became free: the oldest beyond the limit takes it."""
        table = self.rib_in.table(neighbor)
        key = next(iter(table.over_limit), None)
        if key is None:
            return
        del table.over_limit[key]
        entry = table.entries[key]
        entry.within_limit = True
        self.verdicts.rejudge(entry, self.neighbors.group(neighbor), "max_prefixes")
        if entry.is_accepted:
            self.verdicts.export(key.prefix)

    def _lose(self, neighbor: Address, cause: str, now: float) -> None:
        """The host is gone, without having said that it would go."""
        group = self.neighbors.group(neighbor)
        table = self.rib_in.tables.get(neighbor)
        if table is None or group is None or not group.stale_time:
            self._drop_all(neighbor, cause)
            return
        self._unkept.forget(neighbor)
        table.over_limit.clear()  # nothing moves up: they go
        table.unrepeated.clear()
        table.refused.clear()
        lost = self._retention.lose(neighbor, group, now)
        for entry in lost.kept:
            self.verdicts.audit(entry.route, entry.verdict, entry.verdict.kind, cause, stale=True)
            self.verdicts.export(entry.route.key.prefix)
        for key in lost.gone:
            self._withdraw(key, cause)

    def _end_of_rib(self, event: EndOfRib) -> None:
        """The host is back and has said all: what it did not repeat is gone."""
        table = self.rib_in.tables.get(event.neighbor)
        if table is None:
            return
        for key in [k for k in table.stale if UNICAST[k.prefix.family] == event.family]:
            self._withdraw(key, "end_of_rib")

    def _drop_all(self, neighbor: Address, cause: str) -> None:
        table = self.rib_in.tables.get(neighbor)
        if table is None:
            return
        self._unkept.forget(neighbor)
        table.over_limit.clear()  # nothing moves up: all of it goes
        table.unrepeated.clear()
        for key in list(table.entries):
            self._withdraw(key, cause)
        del self.rib_in.tables[neighbor]

    def _refresh_mark(self, mark: RefreshMark) -> None:
        """RFC 7313: what a neighbor does not repeat between begin and end is gone."""
        table = self.rib_in.tables.get(mark.neighbor)
        if table is None or mark.family not in UNICAST.values():
            return
        if not mark.is_end:
            table.unrepeated[mark.family] = {
                key for key in table.entries if UNICAST[key.prefix.family] == mark.family
            }
            return
        gone = sorted(table.unrepeated.pop(mark.family, ()))
        for key in gone:
            table.over_limit.pop(key, None)  # none of them moves up before it goes
        for key in gone:
            self._withdraw(key, "withdraw")

    # The whole table --------------------------------------------------------------------------

    def _go_on(self) -> None:
        """One step of what goes through the whole table; the next one begins when it is over."""
        while self._under_way is not None or self._waiting:
            if self._under_way is None:
                self._under_way = self._begin(self._waiting.popleft())
            try:
                next(self._under_way)
            except StopIteration:
                self._under_way = None
            else:
                return

    def _begin(self, event: TableWide) -> Iterator[None]:
        match event:
            case DataReplaced():
                self.guard.haste = Haste.FIRST  # what hosts withdrew cannot come back by older data
                while self._waiting and isinstance(newer := self._waiting[0], DataReplaced):
                    event = supersede(self.verdicts, event, newer)
                    self._waiting.popleft()
                return replace_data(self.verdicts, event)
            case PolicyReplaced():
                self.drain.drain_time = event.drain_time
                return replace_policy(self.verdicts, event)
            case GuardReleased():
                return release_guard(self.verdicts, event)
            case AllRepeated():
                return all_repeated(self.verdicts, event)
            case PhaseChanged():
                return export_all(self.verdicts)

    def _drain_asked(self, event: DrainAsked, now: float) -> None:
        if self.drain.ask(event, now):
            verb = "asks to leave service" if event.on else "no longer does"
            self._drained(f"{event.source} {verb}: {event.by}")

    def _drained(self, detail: str) -> None:
        """The state of the drain is another."""
        phase, why, _ = self.drain.state
        self.verdicts.actions.audit.append(DrainChange(phase.value, detail, why))
        is_other = [rib for rib in self.ribs_out.values() if rib.phase is not phase]
        for rib in is_other:
            rib.drain(phase)
        if is_other and PhaseChanged() not in self._waiting:
            self._waiting.append(PhaseChanged())
