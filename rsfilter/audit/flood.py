"""Floods: the log has a line for each change of a neighbor up to a bound, then summaries.

A host decides how much happens: it can flap a prefix thousands of times a second, or announce
millions of prefixes. With a line for each change, the host could fill the disk and hide its changes
from the reviewer. Each neighbor therefore has a budget of lines. When it is spent, the log records
the start of a flood (`flood`, begins), and from then on one summary of the neighbor a minute: the
number of changes, and the state of its routes.

Every change is counted. Each change in a flood is counted either in `changes` of the line written
for its route, or in `untold` of a `flood` record. A change may be omitted only if the route was
announced to no router both before and after the minute. Every accepted route is therefore logged
within a minute. Changes caused by data or by the guard are the operator's, and always get a line.

Pure: time is passed as `now`. A replay gives the same lines.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec.structs import replace

from rsfilter.routing.effects import AuditEvent, NlriRefused, NotKept, SessionChange, VerdictChange
from rsfilter.routing.model import Address, Announcement, Route, VerdictKind

MAX_SESSIONS = 4
"""Session changes in a window that are logged at once even in a flood, so that a reviewer sees the
shutdown of the host."""

LINES_AT_ONCE = 500
"""Lines of a summary written in one go: some 3 ms, so that routes do not wait for the log."""

PAY_EVERY_S = 0.025
"""Seconds between two of these: 20,000 lines a second, half the capacity of the log. After a full
table in a flood, more lines are due than can wait for the disk at once."""

MAX_ASNS = 64
MAX_COMMUNITIES = 16
"""Communities kept in attributes that wait for the disk; attributes with more are cut, so that the
memory of waiting events stays bounded. Lines show at most `members.MAX_PATH_ASNS` ASNs, and no
communities."""

OPERATORS_CAUSES = frozenset(("data", "guard", "config"))
"""Causes of a verdict that are not the host's."""


class Budget(NamedTuple):
    """Lines that one neighbor may cause."""

    burst: int = 20_000
    """Lines at once, some 14 MB: a host with 5,000 prefixes may connect, disconnect and
    reconnect."""
    rate: float = 10.0
    """Lines a second in the long run: some 100 MB a day when compressed. No host with stable routes
    changes as often."""
    window_s: float = 60.0
    """Seconds between two summaries of a flood, which bounds the delay of the log."""

    @property
    def named(self) -> int:
        """Optional lines of a summary: as many as the budget regains meanwhile."""
        return int(self.rate * self.window_s)

    @property
    def calm(self) -> int:
        """Changes in a window with which a flood ends: fewer than the budget regains, so that a
        host at the limit does not enter and leave a flood again and again."""
        return self.named // 2


DEFAULT_BUDGET = Budget()


class Flood(NamedTuple):
    """A flood: a neighbor changes more than is logged line by line."""

    neighbor: Address
    asn: int
    host: str
    phase: str
    """begins, goes_on or ended."""
    seconds: int = 0
    """Seconds covered by the summary."""
    changes: int = 0
    """Changes not written when they happened: of verdicts and sessions, and refused NLRI."""
    routes: int = 0
    """Lines that follow, each with the number of its `changes`."""
    untold: int = 0
    """Part of `changes` that appears in no line."""
    not_kept: int = 0
    """Announcements so far beyond `max_prefixes` that the routes were not kept."""


Audited = AuditEvent | Flood
"""Events that go to the log."""

Foldable = VerdictChange | SessionChange | NlriRefused
"""Events that a host can cause without limit."""


@dataclass(slots=True)
class _Folded:
    """Unwritten changes of one route or session."""

    was: VerdictKind | None
    """Last verdict in the log."""
    last: Foldable
    changes: int = 1

    @property
    def is_owed(self) -> bool:
        """Return whether the log would be wrong without a line."""
        last = self.last
        if isinstance(last, VerdictChange):
            now = None if last.verdict is None else last.verdict.kind
            return _is_announced(self.was) or _is_announced(now)
        return isinstance(last, SessionChange)

    def line(self) -> Foldable:
        """Combine the changes into one event."""
        if isinstance(self.last, VerdictChange):
            return replace(self.last, was=self.was, changes=self.changes)
        return replace(self.last, changes=self.changes)


@dataclass(slots=True)
class _Window:
    """Changes in a flood between two summaries."""

    since: float
    most_named: int
    folded: OrderedDict[Hashable, _Folded] = field(default_factory=OrderedDict)
    """Lines of the next summary. It takes them over as they are: a copy of 200,000 takes 0.1 s."""
    named: int = 0
    """Part of `folded` that is optional, at most `most_named`."""
    changes: int = 0
    untold: int = 0
    not_kept: int = 0
    sessions: int = 0

    def fold(self, key: Hashable, event: Foldable) -> None:
        """Store a change instead of logging it."""
        self.changes += 1
        folded = self.folded.get(key)
        if folded is None:
            was = event.was if isinstance(event, VerdictChange) else None
            folded = self.folded[key] = _Folded(was, event)
        else:
            self.named -= not folded.is_owed
            folded.last, folded.changes = event, folded.changes + 1
        if folded.is_owed:
            return
        if self.named < self.most_named:
            self.named += 1
        else:
            self.untold += folded.changes
            del self.folded[key]

    def take(self, key: Hashable) -> _Folded | None:
        """Remove and return the changes stored under `key`, to be logged now."""
        folded = self.folded.pop(key, None)
        if folded is not None:
            self.named -= not folded.is_owed
        return folded


@dataclass(slots=True)
class _NeighborBudget:
    """Budget of one neighbor, and its flood."""

    address: Address
    budget: Budget
    at: float
    tokens: float
    asn: int = 0
    host: str = ""
    window: _Window | None = None
    """Set during a flood."""
    due: OrderedDict[Hashable, _Folded] = field(default_factory=OrderedDict)
    """Lines that the last summary announced and that are not written yet. Ordered: a plain dict
    finds its first key slowly after many removals at the front."""

    @property
    def is_calm(self) -> bool:
        """Return whether there is no flood, and nothing due from one."""
        return self.window is None and not self.due

    def may_log(self, now: float) -> bool:
        """Take a line from the budget, if it has one."""
        if self.tokens < 1:
            self.refill(now)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def refill(self, now: float) -> None:
        """Add the lines regained since the last call."""
        self.tokens = min(
            self.budget.burst, self.tokens + max(0.0, now - self.at) * self.budget.rate
        )
        self.at = now


class Floods:
    """The stage between engine and log."""

    def __init__(self, budget: Budget = DEFAULT_BUDGET) -> None:
        self.counters: Counter[str] = Counter()
        """Totals since the start: floods, changes, untold, not_kept, as in `Flood`."""
        self._budget = budget
        self._neighbors: dict[Address, _NeighborBudget] = {}
        self._flooding: OrderedDict[Address, _NeighborBudget] = OrderedDict()
        """Neighbors in a flood, the next summary first."""
        self._due: OrderedDict[Address, _NeighborBudget] = OrderedDict()
        """Neighbors with lines due."""
        self._next_payment = float("-inf")

    @property
    def neighbors(self) -> list[Address]:
        """Return the neighbors in a flood."""
        return list(self._flooding)

    def pass_on(self, events: Iterable[AuditEvent], now: float) -> list[Audited]:
        """Return the events to write now."""
        passed: list[Audited] = []
        announced: Announcement | None = None
        slim: Announcement | None = None
        neighbor: _NeighborBudget | None = None  # all of the last verdict: an UPDATE has many
        for event in events:
            if isinstance(event, VerdictChange):
                route = event.route
                if neighbor is None or slim is None or route.announcement is not announced:
                    announced = route.announcement
                    slim = _slimmed(announced)
                    neighbor = self._neighbor(announced.neighbor, announced.asn, event.host, now)
                neighbor.host = event.host
                if slim is not announced:
                    event = replace(event, route=Route(route.key, slim))
                is_hosts = event.cause not in OPERATORS_CAUSES
                if is_hosts and neighbor.tokens >= 1 and neighbor.is_calm:
                    neighbor.tokens -= 1  # inline copy of the common case of `_change`
                    passed.append(event)
                else:
                    passed += self._change(event, neighbor, route.key, now)
            elif isinstance(event, NlriRefused):
                neighbor = self._neighbor(event.neighbor, event.asn, event.host, now)
                passed += self._change(event, neighbor, (event.family, event.nlri), now)
            elif isinstance(event, SessionChange) and event.role != "router":
                neighbor = self._neighbor(event.neighbor, event.asn, event.host or event.group, now)
                passed += self._change(event, neighbor, "session", now)
            elif isinstance(event, NotKept):
                neighbor = self._neighbor(event.neighbor, event.asn, event.host, now)
                passed += self._not_kept(event, neighbor, now)
            else:
                passed.append(event)
        return passed

    def next_timer(self) -> float | None:
        """Latest time of the next call to `expire`."""
        if self._due:
            return self._next_payment
        first = next(iter(self._flooding.values()), None)
        return first.window.since + self._budget.window_s if first and first.window else None

    def expire(self, now: float) -> Iterator[Audited]:
        """Yield the events due by `now`; `next_timer` is the time of the next call."""
        while self._flooding:
            neighbor = next(iter(self._flooding.values()))
            window = neighbor.window
            if window is None or now < window.since + self._budget.window_s or neighbor.due:
                break
            yield self._sum_up(neighbor, window, now)
        if self._due and now >= self._next_payment:
            self._next_payment = now + PAY_EVERY_S
            yield from self._pay(LINES_AT_ONCE)

    def end(self, now: float) -> Iterator[Audited]:
        """Yield everything stored: no further event follows."""
        for neighbor in list(self._flooding.values()):
            while neighbor.due:
                yield from self._pay(LINES_AT_ONCE)
            if neighbor.window is not None:
                yield self._sum_up(neighbor, neighbor.window, now)
        while self._due:
            yield from self._pay(LINES_AT_ONCE)

    # One event, one summary ----------------------------------------------------------------------

    def _neighbor(self, address: Address, asn: int, host: str, now: float) -> _NeighborBudget:
        found = self._neighbors.get(address)
        if found is None:
            found = self._neighbors[address] = _NeighborBudget(
                address, self._budget, now, self._budget.burst
            )
        found.asn, found.host = asn, host
        return found

    def _change(
        self, event: Foldable, neighbor: _NeighborBudget, key: Hashable, now: float
    ) -> Iterator[Audited]:
        if neighbor.due and (due := neighbor.due.pop(key, None)):
            yield due.line()
        window = neighbor.window
        if isinstance(event, VerdictChange) and event.cause in OPERATORS_CAUSES:
            if window is not None and (folded := window.take(key)):
                yield folded.line()
            yield event
            return
        if window is None:
            if neighbor.may_log(now):
                yield event
                return
            window = neighbor.window = _Window(now, self._budget.named)
            yield self._begins(neighbor)
        if isinstance(event, SessionChange) and window.sessions < MAX_SESSIONS:
            window.sessions += 1
            yield event
            return
        self.counters["changes"] += 1
        window.fold(key, event)

    def _not_kept(self, event: NotKept, neighbor: _NeighborBudget, now: float) -> Iterator[Audited]:
        if neighbor.window is None:
            neighbor.window = _Window(now, self._budget.named)
            yield self._begins(neighbor)
        neighbor.window.not_kept += event.routes
        self.counters["not_kept"] += event.routes

    def _begins(self, neighbor: _NeighborBudget) -> Flood:
        self.counters["floods"] += 1
        self._flooding[neighbor.address] = neighbor
        return Flood(neighbor.address, neighbor.asn, neighbor.host, "begins")

    def _sum_up(self, neighbor: _NeighborBudget, window: _Window, now: float) -> Flood:
        """Summarise a window, and start the next one or end the flood."""
        is_over = window.changes <= self._budget.calm and not window.not_kept
        self.counters["untold"] += window.untold
        neighbor.due = window.folded
        neighbor.refill(now)
        neighbor.tokens = max(0.0, neighbor.tokens - len(neighbor.due))
        neighbor.window = None if is_over else _Window(now, self._budget.named)
        if is_over:
            del self._flooding[neighbor.address]
        else:
            self._flooding.move_to_end(neighbor.address)
        if neighbor.due:
            self._due[neighbor.address] = neighbor
        return Flood(
            neighbor=neighbor.address,
            asn=neighbor.asn,
            host=neighbor.host,
            phase="ended" if is_over else "goes_on",
            seconds=round(now - window.since),
            changes=window.changes,
            routes=len(neighbor.due),
            untold=window.untold,
            not_kept=window.not_kept,
        )

    def _pay(self, lines: int) -> Iterator[Audited]:
        """Yield the next lines that are due."""
        while self._due and lines > 0:
            neighbor = next(iter(self._due.values()))
            while neighbor.due and lines > 0:
                _, folded = neighbor.due.popitem(last=False)
                yield folded.line()
                lines -= 1
            if not neighbor.due:
                del self._due[neighbor.address]


def _slimmed(announced: Announcement) -> Announcement:
    """Return the announcement without attributes that no line shows: those of a hostile host can
    have 100 kB."""
    attributes = announced.attributes
    path = attributes.as_path
    communities = (
        len(attributes.communities)
        + len(attributes.large_communities)
        + len(attributes.extended_communities)
    )
    if communities > MAX_COMMUNITIES:
        attributes = attributes._replace(
            communities=(), large_communities=(), extended_communities=()
        )
    if path.length > MAX_ASNS or len(path.segments) > MAX_ASNS:
        attributes = attributes._replace(as_path=path.cut(MAX_ASNS))
    if attributes is announced.attributes:
        return announced
    return replace(announced, attributes=attributes)


def _is_announced(kind: VerdictKind | None) -> bool:
    """Return whether routers have the route."""
    return kind is VerdictKind.ACCEPTED or kind is VerdictKind.HELD
