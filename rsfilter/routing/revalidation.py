"""Judging what is in the table again, in slices, so that no route waits long behind it.

A change of data goes through the table twice. First every route that it concerns is judged and
nothing follows: only then is it known whether the guard has to hold losses. Then the verdicts are
set, prefix by prefix: where one owner follows another, routers get the new one in place of the old.

Each function here is a generator that does some work, pauses, and goes on where it was. Routes come
and go meanwhile; what hosts announce then is judged by the new data already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from msgspec import Struct

from rsfilter.routing.adj_rib_in import AdjRibIn, Entry
from rsfilter.routing.effects import DataChange
from rsfilter.routing.events import AllRepeated, DataReplaced, GuardReleased, PolicyReplaced
from rsfilter.routing.guard import can_hold, comes_of_data
from rsfilter.routing.model import Prefix, Route, RouteKey, Verdict, VerdictKind
from rsfilter.routing.policy import NO_GROUP
from rsfilter.routing.table import Verdicts

SLICE = 1000
"""Routes that are judged, or verdicts that are set, between pauses: some 10 ms."""

_PART_BITS = 14
"""Routes that came one after the other, as many as this: to grow a table of a million prefixes, or
to free it, takes 0.1 s at once, and parts of it do not."""

_PER_LIST = 10
"""What finding a list of routes costs, in routes that are judged."""


def replace_data(verdicts: Verdicts, event: DataReplaced) -> Iterator[None]:
    """Other data are in force from now on."""
    before, verdicts.data = verdicts.data, event.data
    accepted = verdicts.rib_in.accepted
    pace = _Pace()
    found = _Differing()
    for entries in _concerned(verdicts.rib_in, event):
        found.add(verdicts, entries)
        if pace.is_pause_due(len(entries) + _PER_LIST):
            yield
    lost_before = verdicts.guard.lost
    holds = not verdicts.guard.allows(found.lost, accepted)
    flipped = held = 0
    has_found = bool(found)
    for judged in found.take():
        flips, holding = _set_together(verdicts, judged, holds=holds)
        flipped += flips
        held += holding
        if pace.is_pause_due(len(judged)):
            yield
    if event.prefixes is None or before.provenance != event.data.provenance or has_found:
        verdicts.actions.audit.append(_change(event, found.rejudged, flipped))
    if held:
        verdicts.audit_guard(
            "held",
            held,
            event.detail,
            accepted=accepted,
            lost=lost_before,
            source=event.source,
        )


class _Pace:
    """Says when it is time for a pause."""

    def __init__(self) -> None:
        self._work = 0

    def is_pause_due(self, work: int) -> bool:
        """So much more work, in routes, has been done: is the slice full? Then the next begins."""
        self._work += work
        if self._work < SLICE:
            return False
        self._work = 0
        return True


class _Judged(Struct, frozen=True, gc=False):
    """What the data in force say of a route, and of which route exactly."""

    entry: Entry
    route: Route
    within_limit: bool
    verdict: Verdict

    def now(self, verdicts: Verdicts) -> Verdict:
        """What they say of it by now, whatever its host has done meanwhile."""
        entry = self.entry
        if entry.route is self.route and entry.within_limit is self.within_limit:
            return self.verdict
        return verdicts.judge(entry, verdicts.neighbors.group(entry.route.key.neighbor))


@dataclass(slots=True)
class _Differing:
    """The routes on which other data decide otherwise."""

    rejudged: int = 0
    """How many routes were judged to find them."""
    lost: int = 0
    """Accepted routes whose loss the guard can hold."""
    _parts: dict[int, dict[Prefix, list[_Judged]]] = field(default_factory=dict)
    """By prefix, in parts by the number of the first route of the prefix."""
    _part_of: dict[Prefix, int] = field(default_factory=dict)
    """Where a prefix of several routes is: the first of them can go before all are judged."""

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, verdicts: Verdicts, entries: list[Entry]) -> None:
        """Judges some more routes by the data in force; sets nothing."""
        self.rejudged += len(entries)
        rib_in = verdicts.rib_in
        for entry in entries:
            route = entry.route
            verdict = verdicts.judge(entry, verdicts.neighbors.group(route.key.neighbor))
            if verdict != entry.verdict:
                self.lost += entry.is_accepted and can_hold(verdict)
                judged = _Judged(entry, route, entry.within_limit, verdict)
                prefix = route.key.prefix
                number = rib_in.first(prefix).number >> _PART_BITS
                if rib_in.count(prefix) > 1:
                    number = self._part_of.setdefault(prefix, number)
                self._parts.setdefault(number, {}).setdefault(prefix, []).append(judged)

    def take(self) -> Iterator[list[_Judged]]:
        """Those of each prefix, in the order in which they were found; they are forgotten here.
        Of very many the accepted ones come first: whoever follows comes before another goes."""
        for number in list(self._parts):
            for judged in self._parts.pop(number).values():
                if len(judged) <= SLICE:
                    yield judged
                else:
                    judged.sort(key=lambda each: each.verdict.kind is not VerdictKind.ACCEPTED)
                    yield from _slices(judged)


def supersede(verdicts: Verdicts, event: DataReplaced, by: DataReplaced) -> DataReplaced:
    """The event that does the work of both, when data are replaced before anything was judged by
    them. That they came is audited all the same."""
    verdicts.actions.audit.append(_change(event))
    prefixes = by.prefixes
    if prefixes is not None:
        prefixes = None if event.prefixes is None else prefixes | event.prefixes
    return replace(
        by,
        prefixes=prefixes,
        asns=by.asns | event.asns,
        neighbors=by.neighbors | event.neighbors,
    )


def replace_policy(verdicts: Verdicts, event: PolicyReplaced) -> Iterator[None]:
    """What hosts have announced is judged by other rules, which the guard does not hold back: it
    has been asked before (`impact.PolicyImpact`). What they take away counts within its window."""
    guard = verdicts.guard
    if event.is_forced:
        guard.start_window()
    rib_in, group_of = verdicts.rib_in, verdicts.neighbors.group
    limit_before = {n: (group_of(n) or NO_GROUP).max_prefixes for n in rib_in.tables}
    verdicts.replace_hosts(event.hosts)
    guard.limits = event.limits
    group_of = verdicts.neighbors.group
    for neighbor, table in rib_in.tables.items():
        limit = (group_of(neighbor) or NO_GROUP).max_prefixes
        if limit != limit_before[neighbor]:
            table.recount(limit)
    for number, entries in enumerate(_entries(rib_in, rib_in.prefixes())):
        if number:
            yield
        for entry in filter(rib_in.has, entries):
            key = entry.route.key
            verdict = verdicts.judge(entry, group_of(key.neighbor))
            is_by_config = not set(verdict.reasons).issubset(entry.verdict.reasons)
            if is_by_config or not comes_of_data(verdict):
                guard.forget(key)
            is_loss = entry.is_accepted and can_hold(verdict)
            verdicts.set(entry, verdicts.guarded(entry, verdict), "config")
            if is_loss and not event.is_forced:
                guard.lose(key)
        verdicts.export(*dict.fromkeys(entry.route.key.prefix for entry in entries))


def release_guard(verdicts: Verdicts, event: GuardReleased) -> Iterator[None]:
    """What was held goes by the data in force."""
    released = verdicts.guard.release()
    rib_in = verdicts.rib_in
    for number, keys in enumerate(_slices(released)):
        if number:
            yield
        for key in keys:
            entry = rib_in.find(key)
            if entry is not None and entry.verdict.kind is VerdictKind.HELD:
                group = verdicts.neighbors.group(key.neighbor)
                verdicts.rejudge(entry, group, "guard")
                verdicts.export(key.prefix)
    if released:
        verdicts.audit_guard("released", len(released), event.by, source="operator")


def all_repeated(verdicts: Verdicts, event: AllRepeated) -> Iterator[None]:
    """Every host has repeated itself after a restart: are the losses of the first data too many?
    Routers still have these routes; what is held of them they keep."""
    guard = verdicts.guard
    if event.is_over:
        yield from _forget_lost(verdicts)
    suspects = guard.take_suspects()
    accepted, lost_before = verdicts.rib_in.accepted + len(suspects), guard.lost
    holds = not guard.allows(len(suspects), accepted)
    held = 0
    for number, keys in enumerate(_slices(suspects)):
        if number:
            yield
        held += sum(_weighed(verdicts, key, holds=holds) for key in keys)
    if event.is_over:
        guard.stop_expecting()
    if held:
        detail = "the first data after a restart"
        verdicts.audit_guard(
            "held", held, detail, accepted=accepted, lost=lost_before, source="restart"
        )


def _forget_lost(verdicts: Verdicts) -> Iterator[None]:
    """What was lost before a restart, and has not come again, its host has withdrawn."""
    for keys in _slices(verdicts.guard.lost_keys()):
        for key in keys:
            if verdicts.rib_in.find(key) is None:
                verdicts.guard.gone(key)
        yield


def _weighed(verdicts: Verdicts, key: RouteKey, *, holds: bool) -> bool:
    """Hold a route that was accepted before a restart and that data reject, or count it as lost;
    True: it is held."""
    entry = verdicts.rib_in.find(key)
    if entry is None or entry.is_announced:
        return False
    verdict = verdicts.judge(entry, verdicts.neighbors.group(key.neighbor))
    if not holds or not comes_of_data(verdict):
        verdicts.guard.lose(key)
        return False
    verdicts.guard.hold(entry.route, verdict, verdicts.rules(entry))
    verdicts.set(entry, verdicts.guarded(entry, verdict), "guard")
    verdicts.export(key.prefix)
    return True


def export_all(verdicts: Verdicts) -> Iterator[None]:
    """Every prefix is brought up to date at the routers: another phase of a drain has begun."""
    rib_in, pace = verdicts.rib_in, _Pace()
    for prefix in rib_in.prefixes():
        count = rib_in.count(prefix)
        if count:
            verdicts.export(prefix)
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


def _set_together(verdicts: Verdicts, judged: list[_Judged], *, holds: bool) -> tuple[int, int]:
    """Sets the verdicts of one prefix: as they are by now, whatever hosts did since they were found
    to differ. How many are of another kind than before, and how many accepted routes are held."""
    flipped = held = 0
    for each in judged:
        entry = each.entry
        if not verdicts.rib_in.has(entry):
            continue
        verdict = each.now(verdicts)
        is_loss = entry.is_accepted and can_hold(verdict)
        if is_loss and holds:
            verdicts.guard.hold(entry.route, verdict, verdicts.rules(entry))
            held += 1
        was = entry.verdict.kind
        verdicts.set(entry, verdicts.guarded(entry, verdict), "data")
        if is_loss and not holds:
            verdicts.guard.lose(entry.route.key)
        flipped += entry.verdict.kind is not was
    if flipped:
        verdicts.export(judged[0].route.key.prefix)
    return flipped, held


def _concerned(rib_in: AdjRibIn, event: DataReplaced) -> Iterator[list[Entry]]:
    """Exactly the routes whose verdict can differ under the new data, each once, in lists."""
    if event.prefixes is None:
        yield from _entries(rib_in, rib_in.prefixes())
        return
    by_host = rib_in.of_hosts(event.asns, event.neighbors)
    for some in _slices(by_host):
        yield [entry for entry in some if rib_in.has(entry)]
    seen = {entry.number for entry in by_host}
    for prefix in _disjoint(event.prefixes):
        for entries in _entries(rib_in, rib_in.inside(prefix)):
            yield [entry for entry in entries if entry.number not in seen]


def _entries(rib_in: AdjRibIn, prefixes: list[Prefix]) -> Iterator[list[Entry]]:
    """The routes of these prefixes in lists of about `SLICE`, as they are at the moment that each
    list is asked for."""
    found: list[Entry] = []
    for prefix in prefixes:
        if rib_in.count(prefix) <= SLICE:
            found += rib_in.at(prefix)
        else:
            for some in _slices(list(rib_in.at(prefix))):
                if found:
                    yield found
                found = [entry for entry in some if rib_in.has(entry)]
        if len(found) >= SLICE:
            yield found
            found = []
    if found:
        yield found


def _disjoint(prefixes: Iterable[Prefix]) -> Iterator[Prefix]:
    """Those that no other one covers."""
    last: Prefix | None = None
    for prefix in sorted(prefixes):
        if last is None or not last.covers(prefix):
            last = prefix
            yield prefix


T = TypeVar("T")


def _slices(items: list[T]) -> Iterator[list[T]]:
    return (items[at : at + SLICE] for at in range(0, len(items), SLICE))
