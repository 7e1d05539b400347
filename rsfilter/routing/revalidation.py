"""Work on the whole table, in slices, so that no route waits long behind it.

A change of data goes through the table twice. First every route that it concerns is judged and
nothing follows: only then is it known whether the guard has to hold losses. Then the verdicts are
set, prefix by prefix: where one owner follows another, routers get the new one in place of the old.

`Revalidation` runs one event after the other. The work on each is a generator, which pauses after
every slice. Routes come and go meanwhile; what hosts announce then is judged by the new data
already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

from msgspec import Struct

from rsfilter.routing.adj_rib_in import Entry
from rsfilter.routing.drain import Drain
from rsfilter.routing.effects import DataChange
from rsfilter.routing.events import AllRepeated, DataReplaced, GuardReleased, PolicyReplaced
from rsfilter.routing.guard import Guard, Haste, can_hold, can_weigh
from rsfilter.routing.model import Prefix, Route, RouteKey, Verdict, VerdictKind
from rsfilter.routing.slices import Pace, concerned, entries_of, is_long, slices
from rsfilter.routing.table import RoutingTable

_PART_BITS = 14
"""Routes that came one after the other, as many as this: to grow a table of a million prefixes, or
to free it, takes 0.1 s at once, and parts of it do not."""


_PER_LIST = 10
"""Cost of finding a list of routes, in judged routes."""


@dataclass(frozen=True, slots=True)
class PhaseChanged:
    """Another phase of a drain has begun: what routers have is to follow."""


TableWide = DataReplaced | PolicyReplaced | GuardReleased | PhaseChanged | AllRepeated
"""Events that concern the whole table."""


class Revalidation:
    """Runs what concerns the whole table: one event after the other, each in slices."""

    def __init__(self, table: RoutingTable, drain: Drain) -> None:
        self._table = table
        self._drain = drain
        self._under_way: Iterator[None] | None = None
        self._waiting: deque[TableWide] = deque()
        self._after = 0
        """Number of the last departure that the work waits for."""

    @property
    def is_busy(self) -> bool:
        """Return whether there is work for `go_on`."""
        return self._under_way is not None or bool(self._waiting)

    def add(self, event: TableWide) -> None:
        """Queue an event; `go_on` does its work. An equal `PhaseChanged` is queued once."""
        if not isinstance(event, PhaseChanged) or event not in self._waiting:
            self._waiting.append(event)
            self._after = self._table.departures.newest

    def go_on(self) -> None:
        """Do one slice; an event that has no more of them makes way for the next. Routes that had
        to go before it came are gone first: they are no losses, and no base of the guard's share.
        Later ones do not count: a host could delay data for ever."""
        if self._table.departures.is_under_way(self._after):
            return
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
        table = self._table
        match event:
            case DataReplaced():
                table.guard.haste = (
                    Haste.FIRST
                )  # what hosts withdrew cannot come back by older data
                while self._waiting and isinstance(newer := self._waiting[0], DataReplaced):
                    event = _supersede(table, event, newer)
                    self._waiting.popleft()
                return _replace_data(table, event)
            case PolicyReplaced():
                self._drain.drain_time = event.drain_time
                return _replace_policy(table, event)
            case GuardReleased():
                return _release_guard(table, event)
            case AllRepeated():
                return _all_repeated(table, event)
            case PhaseChanged():
                return _export_all(table)


def _replace_data(table: RoutingTable, event: DataReplaced) -> Iterator[None]:
    """Other data are in force from now on."""
    before = table.data.provenance
    table.replace_data(event.data)
    accepted = table.rib_in.accepted
    pace = Pace()
    found = _Differing()
    for entries in concerned(table.rib_in, event):
        found.add(table, entries)
        if pace.is_pause_due(len(entries) + _PER_LIST):
            yield
    lost_before = table.guard.lost
    holds = not table.guard.allows(found.lost, accepted)
    flipped = held = 0
    has_found = bool(found)
    for judged in found.take():
        flips, holding = _set_together(table, judged, holds=holds)
        flipped += flips
        held += holding
        if pace.is_pause_due(len(judged)):
            yield
    if event.prefixes is None or before != event.data.provenance or has_found:
        table.log.add(_change(event, found.rejudged, flipped))
    if held:
        table.log.guard(
            "held",
            held,
            event.detail,
            accepted=accepted,
            lost=lost_before,
            source=event.source,
        )


class _Judged(Struct, frozen=True, gc=False):
    """Verdict of the active data for a route, with the version of the route."""

    entry: Entry
    route: Route
    within_limit: bool
    verdict: Verdict

    def now(self, table: RoutingTable) -> Verdict:
        """Return the current verdict; judge again if the host changed the route in the meantime."""
        entry = self.entry
        if entry.route is self.route and entry.within_limit is self.within_limit:
            return self.verdict
        return table.judge(entry)


@dataclass(slots=True)
class _Differing:
    """The routes on which other data decide otherwise."""

    rejudged: int = 0
    """Number of routes judged to find them."""
    lost: int = 0
    """Accepted routes whose loss the guard can hold."""
    _parts: dict[int, dict[Prefix, list[_Judged]]] = field(default_factory=dict)
    """Verdicts by prefix, in parts by the number of the first route of the prefix."""
    _part_of: dict[Prefix, int] = field(default_factory=dict)
    """Part of a prefix with several routes: the first of them can leave before all are judged."""

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, table: RoutingTable, entries: list[Entry]) -> None:
        """Judge some more routes by the active data, without setting verdicts."""
        self.rejudged += len(entries)
        rib_in = table.rib_in
        for entry in entries:
            route = entry.route
            verdict = table.judge(entry)
            if verdict != entry.verdict:
                self.lost += entry.is_accepted and can_hold(verdict)
                judged = _Judged(entry, route, entry.within_limit, verdict)
                prefix = route.key.prefix
                number = rib_in.first(prefix).number >> _PART_BITS
                if rib_in.count(prefix) > 1:
                    number = self._part_of.setdefault(prefix, number)
                self._parts.setdefault(number, {}).setdefault(prefix, []).append(judged)

    def take(self) -> Iterator[list[_Judged]]:
        """Yield the verdicts of each prefix, in the order found, and forget them. Of very many, the
        accepted ones come first, so that a successor is announced before another route is
        withdrawn."""
        for number in list(self._parts):
            for judged in self._parts.pop(number).values():
                if is_long(judged):
                    judged.sort(key=lambda each: each.verdict.kind is not VerdictKind.ACCEPTED)
                yield from slices(judged)


def _supersede(table: RoutingTable, event: DataReplaced, by: DataReplaced) -> DataReplaced:
    """The event that does the work of both, when data are replaced before anything was judged by
    them. That they came is audited all the same."""
    table.log.add(_change(event))
    prefixes = by.prefixes
    if prefixes is not None:
        prefixes = None if event.prefixes is None else prefixes | event.prefixes
    return replace(
        by,
        prefixes=prefixes,
        asns=by.asns | event.asns,
        neighbors=by.neighbors | event.neighbors,
    )


def _replace_policy(table: RoutingTable, event: PolicyReplaced) -> Iterator[None]:
    """Judge what hosts have announced by other rules. The guard does not hold it back: that was
    checked before (`impact.PolicyImpact`). What the rules take away counts within its window."""
    guard, rib_in = table.guard, table.rib_in
    if event.is_forced:
        guard.start_window()
    table.replace_hosts(event.hosts)
    guard.limits = event.limits
    for number, entries in enumerate(entries_of(rib_in, rib_in.prefixes())):
        if number:
            yield
        for entry in filter(rib_in.has, entries):
            verdict = table.judge(entry)
            if not set(verdict.reasons).issubset(entry.verdict.reasons):
                guard.forget(entry.route.key)
            is_loss = entry.is_accepted and can_hold(verdict) and not event.is_forced
            table.set_verdict(entry, verdict, "config", is_loss=is_loss)
        table.export(*dict.fromkeys(entry.route.key.prefix for entry in entries))


def _release_guard(table: RoutingTable, event: GuardReleased) -> Iterator[None]:
    """Judge what was held by the data in force."""
    guard, count = table.guard, 0
    if event.is_partial:
        keys = yield from _in_scope(table, event)
    else:
        yield from _stop_expecting(guard)
        keys = guard.release()
    for number, some in enumerate(slices(keys)):
        if number:
            yield
        released = guard.release_some(some) if event.is_partial else some
        count += len(released)
        for key in released:
            table.release(key)
    if count:
        table.log.guard("released", count, event.detail, source="operator")


def _stop_expecting(guard: Guard) -> Iterator[None]:
    """Stop expecting whatever was held or accepted before a restart and has not come since."""
    for number, keys in enumerate(slices(guard.expected_keys())):
        if number:
            yield
        guard.stop_expecting(keys)


def _in_scope(table: RoutingTable, event: GuardReleased) -> Generator[None, None, list[RouteKey]]:
    """Return the held routes that a release concerns."""
    found: list[RouteKey] = []
    for number, keys in enumerate(slices(table.guard.held_keys())):
        if number:
            yield
        for key in keys:
            entry = table.rib_in.find(key)
            if entry is not None:
                host = table.log.host_name(entry.route.asn, key.neighbor)
                found += [key] if event.concerns(key.prefix, host) else []
    return found


def _all_repeated(table: RoutingTable, event: AllRepeated) -> Iterator[None]:
    """Every host has repeated itself after a restart: are the losses to the first data, and to a
    configuration that has changed meanwhile, too many? Routers still have these routes, and keep
    those that are held."""
    guard = table.guard
    if event.is_over:
        yield from _forget_lost(table)
    suspects = guard.take_suspects()
    accepted, lost_before = table.rib_in.accepted + len(suspects), guard.lost
    holds = not guard.allows(len(suspects), accepted)
    held = 0
    for number, keys in enumerate(slices(suspects)):
        if number:
            yield
        held += sum(_weighed(table, key, holds=holds) for key in keys)
    if event.is_over:
        yield from _stop_expecting(guard)
    if held:
        detail = "the first data, or another configuration, after a restart"
        table.log.guard("held", held, detail, accepted=accepted, lost=lost_before, source="restart")


def _forget_lost(table: RoutingTable) -> Iterator[None]:
    """Forget routes that were lost before a restart and not announced again: their host has
    withdrawn them."""
    for keys in slices(table.guard.lost_keys()):
        for key in keys:
            if table.rib_in.find(key) is None:
                table.guard.gone(key)
        yield


def _weighed(table: RoutingTable, key: RouteKey, *, holds: bool) -> bool:
    """Hold a route that routers had before a restart and that is rejected now, or count it as lost;
    True: it is held."""
    entry = table.rib_in.find(key)
    if entry is None or entry.is_announced:
        return False
    verdict = table.judge(entry)
    if not holds or not can_weigh(verdict):
        table.count_lost(key)
        return False
    table.hold(entry, verdict, "guard")
    table.export(key.prefix)
    return True


def _export_all(table: RoutingTable) -> Iterator[None]:
    """Every prefix is brought up to date at the routers: another phase of a drain has begun."""
    rib_in, pace = table.rib_in, Pace()
    for prefix in rib_in.prefixes():
        count = rib_in.count(prefix)
        if count:
            table.export(prefix)
            if pace.is_pause_due(count):
                yield


def _change(event: DataReplaced, rejudged: int = 0, flipped: int = 0) -> DataChange:
    return DataChange(
        source=event.source,
        detail=event.detail,
        added=event.added,
        removed=event.removed,
        rejudged=rejudged,
        flipped=flipped,
        provenance=event.data.provenance,
    )


def _set_together(table: RoutingTable, judged: list[_Judged], *, holds: bool) -> tuple[int, int]:
    """Set the verdicts of one prefix in their current form, even if hosts changed routes in the
    meantime. Returns how many are of another kind than before, and how many accepted routes are
    held."""
    flipped = held = 0
    for each in judged:
        entry = each.entry
        if not table.rib_in.has(entry):
            continue
        verdict = each.now(table)
        is_loss = entry.is_accepted and can_hold(verdict)
        was = entry.verdict.kind
        if is_loss and holds:
            table.hold(entry, verdict, "data")
            held += 1
        else:
            table.set_verdict(entry, verdict, "data", is_loss=is_loss)
        flipped += entry.verdict.kind is not was
    if flipped:
        table.export(judged[0].route.key.prefix)
    return flipped, held
