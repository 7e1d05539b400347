"""The routing table: every route with its verdict, and what follows when one changes.

    Adj-RIB-In -> judge -> Adj-RIB-Out
                    |
                    +-> audit events

`RoutingTable` is the only owner of routes. Events come from the engine and other verdicts from
`revalidation`; both use the methods here, and those of two parts: `departures` takes the events
after which routes go, `log` collects what is audited. `rib_in`, `ribs_out`, `neighbors` and `data`
are public for reading: nothing outside of this module changes them. `guard` is public as well, for
its limits and its window; that a route in the table is held, lost or accepted, it learns here
alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

from rsfilter.routing.adj_rib_in import AdjRibIn, Entry, NeighborTable
from rsfilter.routing.adj_rib_out import AdjRibOut
from rsfilter.routing.departures import SLICE, Departures
from rsfilter.routing.effects import (
    Actions,
    OutChange,
    RefreshWanted,
    VerdictChange,
)
from rsfilter.routing.events import Update
from rsfilter.routing.groups import HostGroup, Limits, Neighbors, RouterGroup
from rsfilter.routing.guard import Guard
from rsfilter.routing.judging import Judge
from rsfilter.routing.model import (
    Address,
    Prefix,
    Route,
    RouteKey,
    Verdict,
    VerdictKind,
)
from rsfilter.routing.overflow import Overflow
from rsfilter.routing.policy import NO_GROUP
from rsfilter.routing.retention import Retention, as_stale
from rsfilter.routing.rules import rules
from rsfilter.routing.table_log import TableLog
from rsfilter.routing.validation import Data

MAX_REFUSED = 100
"""NLRIs of one neighbor that are audited although no route can be made of them. Sessions do not
carry other families: even one is a surprise."""

_ACCEPTED, _REJECTED = VerdictKind.ACCEPTED, VerdictKind.REJECTED
_ANNOUNCEMENT = attrgetter("announcement")


class RoutingTable:
    """Keeps the routes of every host, judged by the data in force, and what routers should have."""

    def __init__(
        self,
        own_asn: int,
        neighbors: Neighbors,
        routers: Sequence[RouterGroup],
        data: Data,
        limits: Limits,
    ) -> None:
        self.data = data
        self.guard = Guard(limits)
        self.neighbors = neighbors
        self.rib_in = AdjRibIn()
        asns = frozenset(asn for group in routers for asn in (group.asn, *group.asns_behind))
        self.ribs_out = {group.name: AdjRibOut(own_asn, group, asns) for group in routers}
        self.counters: Counter[str] = Counter()
        """announced, not_kept, repeated, withdrawn, refused."""
        self._retention = Retention(self.rib_in)
        self.departures = Departures(self.rib_in, self._retention, self._remove, self._is_stale)
        self._overflow = Overflow(self.rib_in.tables)
        self._judge = Judge()
        self.log = TableLog(neighbors, self.guard, data)
        self._out: list[OutChange] = []
        self._refresh: list[RefreshWanted] = []
        """Effects since `effects` was last called, with those in the log."""
        self._to_export: list[Prefix] = []
        """Prefixes whose candidates may differ since then."""

    def effects(self) -> Actions:
        """Return the effects since the last call, in order."""
        if self.guard.has_ended():
            self.log.guard("ended", 0, "nothing is held any more")
        if self._to_export:
            if self.departures.is_busy:
                self.departures.settle_prefixes(self._to_export)
            self._export()
        effects = Actions(self.log.events, self._out, self._refresh)
        self.log.events, self._out, self._refresh = [], [], []
        return effects

    # Changes by hosts ---------------------------------------------------------------------------

    def announce(self, update: Update, now: float) -> None:
        """Insert or replace what an UPDATE announces. New routes are inserted together, in the
        order in which they came."""
        neighbor, announced = update.neighbor, update.announced
        table = self.rib_in.tables.get(neighbor) or self.rib_in.table(neighbor)
        table.asns.add(update.asn)
        group = self.neighbors.group(neighbor)
        not_kept = repeated = 0
        new: list[Route] = []
        for route in announced:
            key = route.key
            if table.departures:
                self.departures.settle(key)
            entry = table.entries.get(key)
            if entry is None:
                new.append(route)
                continue
            entry.heard = table.moment
            if entry.route == route and key not in table.stale:
                repeated += 1
            elif route.attributes.is_treated_as_withdraw:
                # RFC 7606 section 2. The prefixes in it may be withdrawn or announced: the
                # speaker shows both alike. A route that is new is kept, to show the reason.
                self.withdraw(key, "malformed")
            else:
                not_kept += self._insert(new, group, table)
                new = []
                not_kept += self._replace(entry, route, group, table)
        not_kept += self._insert(new, group, table)
        if repeated:
            self.counters["repeated"] += repeated
        if repeated < len(announced):
            self.counters["announced"] += len(announced) - repeated
        if not_kept:
            self.counters["not_kept"] += not_kept
            families = {route.key.prefix.family for route in announced}
            self._overflow.note(neighbor, families, now)
            self.log.not_kept(update, not_kept)

    def withdraw(self, key: RouteKey, cause: str) -> None:
        """Remove a route, if it exists; the oldest one beyond `max_prefixes` takes its place."""
        if self.departures.is_busy:
            self.departures.settle(key)
        self._remove(key, cause)

    def refuse(self, update: Update, family: str, nlri: str) -> None:
        """Audit, once, an NLRI that no route can be made of: there is nothing to keep."""
        self.counters["refused"] += 1
        refused = self.rib_in.table(update.neighbor).refused
        if (family, nlri) in refused or len(refused) >= MAX_REFUSED:
            return
        refused.add((family, nlri))
        self.log.refused(update, family, nlri)

    def lose_host(
        self, neighbor: Address, cause: str, now: float, *, is_restart: bool = False
    ) -> None:
        """Make the routes of a host stale whose session ended without notice, or drop them if its
        group has no `stale_time` (RFC 9494). `is_restart`: rsfilter restarts the session."""
        self._overflow.forget(neighbor)
        group = self.neighbors.group(neighbor)
        if group is None or not group.stale_time:
            self.departures.drop(neighbor, cause, is_restart=is_restart)
        else:
            self.departures.lose(neighbor, cause, group, now, is_restart=is_restart)

    def drop_all(self, neighbor: Address, cause: str, *, is_restart: bool = False) -> None:
        """Withdraw every route of a neighbor and forget the neighbor."""
        self._overflow.forget(neighbor)
        self.departures.drop(neighbor, cause, is_restart=is_restart)

    # Changes by time ----------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Withdraw a slice of the stale routes whose time is over, and of those that have to go;
        request again what there is room for."""
        expired = self._retention.expired(now, SLICE)
        for key in expired:
            self._remove(key, "stale_time")
        if self.departures.is_busy and len(expired) < SLICE:
            self.departures.next_slice()
        self._refresh.extend(
            RefreshWanted(*wanted) for wanted in self._overflow.to_repeat(now, self._max_prefixes)
        )

    def next_timer(self) -> float | None:
        """Return when to call `expire` at the latest; None if nothing waits for a time."""
        if self.departures.is_busy:
            return float("-inf")
        timers = (self._retention.next_timer(), self._overflow.next_timer())
        return min((at for at in timers if at is not None), default=None)

    # Changes by data, configuration and operator --------------------------------------------------

    def replace_data(self, data: Data) -> None:
        """Put other data in force; routes keep their verdicts until others are set."""
        self.data = self.log.data = data

    def replace_hosts(self, hosts: Iterable[HostGroup]) -> None:
        """Put other host groups in force; routes keep their verdicts until others are set. The
        order of announcement decides anew who is within `max_prefixes`."""
        tables = self.rib_in.tables
        limits = {neighbor: self._max_prefixes(neighbor) for neighbor in tables}
        self.neighbors.replace_hosts(hosts)
        self.log.forget_name()
        for neighbor, table in tables.items():
            limit = self._max_prefixes(neighbor)
            if limit != limits[neighbor]:
                table.recount(limit)

    def judge(self, entry: Entry) -> Verdict:
        """Return the verdict of the data in force on a route in the table; set nothing."""
        group = self.neighbors.group(entry.route.key.neighbor)
        return self._judge(entry.route, group, self.data, within_limit=entry.within_limit)

    def set_verdict(self, entry: Entry, verdict: Verdict, cause: str, *, is_loss: bool) -> None:
        """Set a verdict by the data in force: a route that is held stays so if it can. `is_loss`:
        it counts as lost within the guard's window."""
        self._set(entry, self.guard.verdict(entry.route, verdict, self._rules(entry)), cause)
        if is_loss:
            self.count_lost(entry.route.key)

    def hold(self, entry: Entry, verdict: Verdict, cause: str) -> None:
        """Hold a route that the data in force reject: routers keep it."""
        own = self._rules(entry)
        self.guard.hold(entry.route, verdict, own)
        self._set(entry, self.guard.verdict(entry.route, verdict, own), cause)

    def count_lost(self, key: RouteKey) -> None:
        """Count a route as lost to data or configuration within the guard's window."""
        self.guard.lose(key)

    def release(self, key: RouteKey) -> None:
        """Judge a route by the data in force alone that the guard has released."""
        entry = self.rib_in.find(key)
        if entry is not None and entry.verdict.kind is VerdictKind.HELD:
            self._rejudge(entry, "guard")
            self.export(key.prefix)

    # Effects ------------------------------------------------------------------------------------

    def export(self, *prefixes: Prefix) -> None:
        """Mark these prefixes for export to every router's table: once, when `effects` is called,
        whatever else changes until then."""
        self._to_export += prefixes

    # Inside ---------------------------------------------------------------------------------------

    def _is_stale(self, entry: Entry, cause: str) -> None:
        """Take in that a route has become stale."""
        self.log.verdict(entry.route, entry.verdict, entry.verdict.kind, cause, stale=True)
        self.export(entry.route.key.prefix)

    def _remove(self, key: RouteKey, cause: str, *, is_restart: bool = False) -> None:
        """Remove a route as it is, if it exists. `is_restart`: see `Departure`."""
        found = self.rib_in.find(key)
        if found is None:
            return
        table = self.rib_in.tables[key.neighbor]
        was_stale, was_leaving = key in table.stale, table.is_leaving(found)
        entry = self.rib_in.remove(key)
        if entry is None:
            return
        if is_restart:
            self.guard.expect_again(entry.route, entry.verdict.reasons)
        else:
            self.guard.gone(key)
        self.counters["withdrawn"] += 1
        self.log.verdict(entry.route, None, entry.verdict.kind, cause, stale=was_stale or None)
        if entry.is_announced:
            self.export(key.prefix)
        if entry.within_limit and not was_stale and not was_leaving:
            self._move_up(key.neighbor)

    def _insert(self, routes: list[Route], group: HostGroup | None, table: NeighborTable) -> int:
        """Insert routes of one neighbor and AS that do not exist; return how many there is no room
        for."""
        if not routes:
            return 0
        room = table.room((group or NO_GROUP).max_prefixes)
        if len(routes) <= room:
            self._insert_judged(routes, group, within_limit=True)
            return 0
        kept = room + table.room_beyond
        for some, is_within in ((routes[:room], True), (routes[room:kept], False)):
            if some:
                self._insert_judged(some, group, within_limit=is_within)
        return max(0, len(routes) - kept)

    def _insert_judged(
        self, routes: Sequence[Route], group: HostGroup | None, *, within_limit: bool
    ) -> None:
        guard, data = self.guard, self.data
        neighbor = routes[0].key.neighbor
        moment = self.rib_in.table(neighbor).moment
        may_change = guard.may_change
        name = self.log.host_name(routes[0].asn, neighbor)
        provenance = data.provenance
        entries: list[Entry] = []
        log, to_export = self.log.events, self._to_export
        for announced, some in groupby(routes, key=_ANNOUNCEMENT):
            judge = self._judge.of(announced, group, data, within_limit)
            own = rules(announced, group, data)
            accepted: list[Route] = []
            for route in some:
                prefix = route.key.prefix
                verdict = judge(prefix)
                if may_change:
                    verdict = guard.verdict(route, verdict, own)
                entries.append(Entry(route, verdict, within_limit, 0, moment))
                log.append(VerdictChange(route, name, verdict, None, "announce", provenance))
                kind = verdict.kind
                if kind is _ACCEPTED:
                    accepted.append(route)
                    to_export.append(prefix)
                elif kind is not _REJECTED:
                    to_export.append(prefix)
            guard.accept_all(accepted, own)
        self.rib_in.insert(entries)

    def _replace(
        self, entry: Entry, route: Route, group: HostGroup | None, table: NeighborTable
    ) -> int:
        """Replace a route that differs or is stale; return 1 if there is no room for it now."""
        key = route.key
        if key in table.stale:
            if not table.room((group or NO_GROUP).max_prefixes):
                self._remove(key, "max_prefixes")  # others have come before it this time
                return self._insert([route], group, table)
            table.repeat(key)
            self._come_back(entry, route)
            return 0
        was_announced = entry.is_announced
        self.rib_in.set_route(entry, route)
        self._rejudge(entry, "announce")
        if was_announced or entry.is_announced:
            self.export(key.prefix)
        return 0

    def _come_back(self, entry: Entry, route: Route) -> None:
        """Replace a stale route that its host announces again. If nothing else changed, its verdict
        stands, and what the guard holds stays held."""
        is_same = entry.route == as_stale(route)
        self.rib_in.set_route(entry, route)
        if not is_same:
            self.guard.forget(route.key)
        verdict = entry.verdict if is_same else self.judge(entry)
        self._set(entry, verdict, "announce", is_back=True)
        self.export(route.key.prefix)

    def _move_up(self, neighbor: Address) -> None:
        """Give a place within `max_prefixes` that became free to the oldest route beyond it."""
        table = self.rib_in.table(neighbor)
        while True:
            key = next(iter(table.over_limit), None)
            if key is None:
                return
            del table.over_limit[key]
            if table.departures:
                self.departures.settle(key)
            entry = table.entries.get(key)
            if entry is not None:
                break
        entry.within_limit = True
        self._rejudge(entry, "max_prefixes")
        if entry.is_accepted:
            self.export(key.prefix)

    def _max_prefixes(self, neighbor: Address) -> int:
        return (self.neighbors.group(neighbor) or NO_GROUP).max_prefixes

    def _rules(self, entry: Entry) -> str:
        """Return `rules.rules` of a route in the table."""
        group = self.neighbors.group(entry.route.key.neighbor)
        return rules(entry.route.announcement, group, self.data)

    def _rejudge(self, entry: Entry, cause: str) -> None:
        """Judge a route in the table by the data in force alone: it is held no longer."""
        self.guard.forget(entry.route.key)
        self._set(entry, self.judge(entry), cause)

    def _set(self, entry: Entry, verdict: Verdict, cause: str, *, is_back: bool = False) -> None:
        """Set a verdict as it is. `is_back`: the route was stale until now, which is audited even
        if its verdict stays."""
        was = entry.verdict
        self.rib_in.set_verdict(entry, verdict)
        if entry.is_accepted:
            self.guard.accept(entry.route, self._rules(entry))
        elif was.kind is _ACCEPTED and not entry.is_announced:
            self.guard.reject(entry.route.key)
        if is_back:
            self.log.verdict(entry.route, verdict, was.kind, cause, stale=False)
        elif (was.kind, was.reasons) != (verdict.kind, verdict.reasons):
            stale = self.rib_in.is_stale(entry.route.key) or None
            self.log.verdict(entry.route, verdict, was.kind, cause, stale=stale)

    def _export(self) -> None:
        found = self.rib_in.take_candidates(self._to_export)
        self._to_export.clear()
        for name, rib in self.ribs_out.items():
            if changed := rib.update(found):
                self._out.append(OutChange(name, tuple(changed)))
