"""Floods: what one neighbor does is written line by line, up to a bound; then it is summed up.

A host decides how much happens: it can let a prefix flap thousands of times a second, or announce
millions of them. A line for each would hand it the disk, and the reviewer's day. So each neighbor
has a budget of lines. Once it is spent the log says so (`flood`, begins), and from then on the
neighbor is summed up once a minute: how much happened, and how its routes stand.

Nothing is lost uncounted. Of the changes in a flood each is either in the `changes` of a line that
is written for its route, or in `untold` of a `flood` record. Untold are only routes that nobody
has from us at both ends of the minute: the log always says, at most a minute late, what is let in.
What a change of data or the guard does is the operator's, and always a line of its own.

Pure: time comes in as `now`. A replay gives the same lines.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec.structs import replace

from rsfilter.routing.effects import AuditEvent, NlriRefused, NotKept, SessionChange, VerdictChange
from rsfilter.routing.model import Address, Attributes, VerdictKind

MAX_SESSIONS = 4
"""Changes of its session in a window that are written at once even in a flood: that the host was
shut down is what the reader waits for."""

LINES_AT_ONCE = 500
"""Lines of a summary in one go: some 3 ms, so that routes do not wait for the log."""

PAY_EVERY_S = 0.025
"""Between two of these: 20,000 lines a second, half of what the log can take. What is owed after a
full table in a flood is more than can wait for the disk at once."""

MAX_ASNS = 64
MAX_COMMUNITIES = 16
"""Attributes with more are cut before they wait for the disk, so that what waits is small whatever
hosts send. No line shows more ASNs (`record.MAX_PATH_ASNS`), or any community."""

OPERATORS_CAUSES = frozenset(("data", "guard", "config"))
"""Causes of a verdict that are not the host's."""


class Budget(NamedTuple):
    """How many lines one neighbor may cause."""

    burst: int = 20_000
    """At once, some 14 MB: a host with 5,000 prefixes may come, go and come back."""
    rate: float = 10.0
    """A second, in the long run: some 100 MB a day once they are compressed. No host whose routes
    mean something changes as often."""
    window_s: float = 60.0
    """In a flood, between two summaries: as late as the log may be then."""

    @property
    def named(self) -> int:
        """Lines of a summary that need not be: as many as the budget regains meanwhile."""
        return int(self.rate * self.window_s)

    @property
    def calm(self) -> int:
        """Changes in a window with which a flood ends: fewer than the budget regains, so that a
        host at the edge does not enter and leave all the time."""
        return self.named // 2


DEFAULT_BUDGET = Budget()


class Flood(NamedTuple):
    """A neighbor does more than is written line by line."""

    neighbor: Address
    asn: int
    host: str
    phase: str
    """begins, goes_on or ended."""
    seconds: int = 0
    """The time that is summed up."""
    changes: int = 0
    """What was not written when it happened: changes of verdicts and sessions, refused NLRI."""
    routes: int = 0
    """Lines that follow, each with the number of its `changes`."""
    untold: int = 0
    """Of `changes`: those that are in no line."""
    not_kept: int = 0
    """Announcements so far beyond `max_prefixes` that they were not even kept."""


Audited = AuditEvent | Flood
"""What goes on to the log."""

Foldable = VerdictChange | SessionChange | NlriRefused
"""What a host can cause as often as it likes."""


@dataclass(slots=True)
class _Folded:
    """Changes of one thing that are not written yet."""

    was: VerdictKind | None
    """As the log has it."""
    last: Foldable
    changes: int = 1

    @property
    def is_owed(self) -> bool:
        """The log would be wrong without it."""
        last = self.last
        if isinstance(last, VerdictChange):
            now = None if last.verdict is None else last.verdict.kind
            return _is_announced(self.was) or _is_announced(now)
        return isinstance(last, SessionChange)

    def line(self) -> Foldable:
        """All of it in one."""
        if isinstance(self.last, VerdictChange):
            return replace(self.last, was=self.was, changes=self.changes)
        return replace(self.last, changes=self.changes)


@dataclass(slots=True)
class _Window:
    """What happens in a flood, between two summaries."""

    since: float
    most_named: int
    folded: dict[Hashable, _Folded] = field(default_factory=dict)
    named: int = 0
    """Of `folded`: those that are not owed, `most_named` at most."""
    changes: int = 0
    untold: int = 0
    not_kept: int = 0
    sessions: int = 0

    def fold(self, key: Hashable, event: Foldable) -> None:
        """Notes a change instead of telling of it."""
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
        """What is folded of it, to be told now."""
        folded = self.folded.pop(key, None)
        if folded is not None:
            self.named -= not folded.is_owed
        return folded


@dataclass(slots=True)
class _Neighbor:
    """One neighbor's budget, and its flood."""

    address: Address
    budget: Budget
    at: float
    tokens: float
    asn: int = 0
    host: str = ""
    window: _Window | None = None
    """Set: there is a flood."""
    due: OrderedDict[Hashable, _Folded] = field(default_factory=OrderedDict)
    """What the last summary announced and is not written yet. Ordered: a plain dict finds its
    first key slowly once many before it have left."""

    @property
    def is_calm(self) -> bool:
        """There is no flood, and nothing due from one."""
        return self.window is None and not self.due

    def may_tell(self, now: float) -> bool:
        """Takes a line from the budget, if it has one."""
        if self.tokens < 1:
            self.refill(now)
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def refill(self, now: float) -> None:
        """The budget regains what time brings."""
        self.tokens = min(
            self.budget.burst, self.tokens + max(0.0, now - self.at) * self.budget.rate
        )
        self.at = now


class Floods:
    """Stands between the engine and the log."""

    def __init__(self, budget: Budget = DEFAULT_BUDGET) -> None:
        self.counters: Counter[str] = Counter()
        """floods, changes, untold, not_kept: as in `Flood`, since the start."""
        self._budget = budget
        self._neighbors: dict[Address, _Neighbor] = {}
        self._flooding: OrderedDict[Address, _Neighbor] = OrderedDict()
        """Those in a flood, the next to be summed up first."""
        self._due: OrderedDict[Address, _Neighbor] = OrderedDict()
        """Those with something due."""
        self._next_payment = float("-inf")
        self._slim = _Slim()

    @property
    def neighbors(self) -> list[Address]:
        """Those in a flood."""
        return list(self._flooding)

    def pass_on(self, events: Iterable[AuditEvent], now: float) -> list[Audited]:
        """What of these events is to be written now."""
        passed: list[Audited] = []
        for event in events:
            if isinstance(event, VerdictChange):
                if event.route.attributes is not self._slim.plain:
                    event = self._slim(event)
                key = event.route.key
                neighbor = self._neighbor(key.neighbor, event.route.asn, event.host, now)
                is_hosts = event.cause not in OPERATORS_CAUSES
                if is_hosts and neighbor.is_calm and neighbor.tokens >= 1:
                    neighbor.tokens -= 1  # what `_change` does, and so it is nearly always
                    passed.append(event)
                else:
                    passed += self._change(event, neighbor, key, now)
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
        """When to call `expire` at the latest."""
        if self._due:
            return self._next_payment
        first = next(iter(self._flooding.values()), None)
        return first.window.since + self._budget.window_s if first and first.window else None

    def expire(self, now: float) -> Iterator[Audited]:
        """What is to be written because of the time; `next_timer` says when to come back."""
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
        """All that is folded: nothing more will happen."""
        for neighbor in list(self._flooding.values()):
            while neighbor.due:
                yield from self._pay(LINES_AT_ONCE)
            if neighbor.window is not None:
                yield self._sum_up(neighbor, neighbor.window, now)
        while self._due:
            yield from self._pay(LINES_AT_ONCE)

    # One event, one summary ----------------------------------------------------------------------

    def _neighbor(self, address: Address, asn: int, host: str, now: float) -> _Neighbor:
        found = self._neighbors.get(address)
        if found is None:
            found = self._neighbors[address] = _Neighbor(
                address, self._budget, now, self._budget.burst
            )
        found.asn, found.host = asn, host
        return found

    def _change(
        self, event: Foldable, neighbor: _Neighbor, key: Hashable, now: float
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
            if neighbor.may_tell(now):
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

    def _not_kept(self, event: NotKept, neighbor: _Neighbor, now: float) -> Iterator[Audited]:
        if neighbor.window is None:
            neighbor.window = _Window(now, self._budget.named)
            yield self._begins(neighbor)
        neighbor.window.not_kept += event.routes
        self.counters["not_kept"] += event.routes

    def _begins(self, neighbor: _Neighbor) -> Flood:
        self.counters["floods"] += 1
        self._flooding[neighbor.address] = neighbor
        return Flood(neighbor.address, neighbor.asn, neighbor.host, "begins")

    def _sum_up(self, neighbor: _Neighbor, window: _Window, now: float) -> Flood:
        """The summary of a window; the next one begins, or the flood has ended."""
        is_over = window.changes <= self._budget.calm and not window.not_kept
        self.counters["untold"] += window.untold
        neighbor.due = OrderedDict(window.folded)
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
        """The next lines that are due."""
        while self._due and lines > 0:
            neighbor = next(iter(self._due.values()))
            while neighbor.due and lines > 0:
                _, folded = neighbor.due.popitem(last=False)
                yield folded.line()
                lines -= 1
            if not neighbor.due:
                del self._due[neighbor.address]


class _Slim:
    """Changes without what no line shows of their routes: a hostile host's can have 100 kB each."""

    def __init__(self) -> None:
        self.plain = Attributes()
        """The last that were left as they are: those of one UPDATE share them."""

    def __call__(self, change: VerdictChange) -> VerdictChange:
        """The change, or what is written of it."""
        attributes = change.route.attributes
        slim = _slimmed(attributes)
        if slim is attributes:
            self.plain = attributes
            return change
        return replace(change, route=replace(change.route, attributes=slim))


def _slimmed(attributes: Attributes) -> Attributes:
    path = attributes.as_path
    communities = (
        *attributes.communities,
        *attributes.large_communities,
        *attributes.extended_communities,
    )
    if len(communities) > MAX_COMMUNITIES:
        attributes = attributes._replace(
            communities=(), large_communities=(), extended_communities=()
        )
    if path.length > MAX_ASNS or len(path.segments) > MAX_ASNS:
        attributes = attributes._replace(as_path=path.cut(MAX_ASNS))
    return attributes


def _is_announced(kind: VerdictKind | None) -> bool:
    """Routers have the route."""
    return kind is VerdictKind.ACCEPTED or kind is VerdictKind.HELD
