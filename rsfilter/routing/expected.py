"""Expected and absent: hosts without a session, and host routes that their host does not announce.

Truth names the expected hosts and routes: the addresses that it binds to hosts, as far as they
belong to a host group, and the host routes of these hosts. One that is missing for `absent_after`
seconds is absent. The time counts from the moment at which it was first missing: after a start, or
after a change of truth that added it. A new truth that still expects the same changes nothing.

No route pays for this. An UPDATE or a session marks its host, and marked hosts are checked some
seconds later; only a new truth, or new groups, have every host checked. Work is done in steps of
bounded cost, and its sum is linear in the changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from rsfilter.routing.adj_rib_in import MANY, AdjRibIn
from rsfilter.routing.bindings import NO_BINDINGS, Bindings
from rsfilter.routing.effects import Absence
from rsfilter.routing.groups import TruthHost
from rsfilter.routing.model import Address, Prefix, RouteKey

DEFAULT_ABSENT_AFTER_S = 300

CHECK_S = 5.0
"""Seconds from the first mark until marked hosts are checked, and between two checks of a host that
changes all the time."""

STEP = 500
"""Hosts, addresses and prefixes to a step: a millisecond."""

STEPS = 2
"""Steps for one call of `expire`."""

Item = Address | Prefix
"""A session or prefix that can be missing."""


class Absent(NamedTuple):
    """A session or a route that truth expects and that is missing for too long."""

    host: TruthHost
    neighbor: Address
    """The host's address; of a prefix, its first one."""
    prefix: Prefix | None
    """Missing prefix; None if the session itself is missing."""
    since: float
    """Time at which it was first missing."""


@dataclass(slots=True)
class _Missing:
    """Missing session and prefixes of a host."""

    host: TruthHost
    since: dict[Item, float] = field(default_factory=dict)
    """Time at which each was first missing."""


class Expectations:
    """Keeps what truth expects, and since when what of it is missing. Reads the tables it is given.

    `expected_hosts`, `absent_hosts` and `absent_prefixes` are for readers; those of the last two
    that are missing longest come first.
    """

    def __init__(
        self,
        rib_in: AdjRibIn,
        has_group: Callable[[Address], bool],
        is_up: Callable[[Address, int], bool],
        absent_after: float,
    ) -> None:
        """`has_group`: of an address; `is_up`: of the session of an address with an ASN.
        `absent_after`: seconds; 0 expects nothing."""
        self.expected_hosts = 0
        """Addresses that should have a session."""
        self.absent_hosts: dict[Address, Absent] = {}
        self.absent_prefixes: dict[tuple[str, Prefix], Absent] = {}
        """Absent prefixes by host name and prefix: a prefix can have several owners."""
        self._rib_in = rib_in
        self._has_group = has_group
        self._is_up = is_up
        self._absent_after = absent_after
        self._bindings = NO_BINDINGS
        self._now = 0.0
        self._missing: dict[str, _Missing] = {}
        """Missing items by host name."""
        self._due: deque[tuple[float, str]] = deque()
        """Times at which an item will have been missing for `absent_after`, earliest first."""
        self._marked: dict[str, TruthHost] = {}
        """Hosts to be checked at `_check_at`."""
        self._check_at: float | None = None
        self._work: Iterator[None] | None = None
        """A check that is under way."""
        self._seen = 0
        """Hosts, addresses and prefixes checked so far, which divides the work into steps."""
        self._events: list[Absence] = []

    def replace(self, bindings: Bindings) -> None:
        """Expect the hosts of a truth; the same one again if groups have changed."""
        if not self._absent_after:
            return
        self._bindings = bindings
        self._marked.clear()
        self._check_at = None
        self._work = self._check_all(bindings)

    @property
    def bindings(self) -> Bindings:
        """The truth's hosts that are expected."""
        return self._bindings

    def mark(self, neighbor: Address, now: float) -> None:
        """Note that a neighbor's session or its routes may have changed."""
        host = self._bindings.by_address.get(neighbor)
        if host is not None:
            self._marked[host.name] = host
            if self._check_at is None:
                self._check_at = now + CHECK_S

    def is_expected(self, neighbor: Address) -> bool:
        """Return whether truth expects a session with an address."""
        return neighbor in self._bindings.by_address and self._has_group(neighbor)

    def missing_since(self, neighbor: Address) -> float:
        """Return the time at which an expected session without a state was first missing; now if it
        is new."""
        host = self._bindings.by_address.get(neighbor)
        return self._since(host.name).get(neighbor, self._now) if host else self._now

    def next_timer(self) -> float | None:
        """Latest time of the next call to `expire`; None if no timer is active."""
        if self._work is not None:
            return float("-inf")
        times = (self._check_at, self._due[0][0] if self._due else None)
        return min((at for at in times if at is not None), default=None)

    def expire(self, now: float) -> list[Absence]:
        """Do the next steps; return the items that have become absent, or are no longer absent."""
        self._now = now
        is_due = bool(self._due) and self._due[0][0] <= now
        # Before anything is reported, marked hosts are checked: one of them may have just come.
        if self._work is None and self._check_at is not None and (is_due or now >= self._check_at):
            marked, self._marked, self._check_at = self._marked, {}, None
            self._work = self._check_each(marked.values())
        if self._work is None and is_due:
            self._work = self._report_due()
        if self._work is not None and sum(1 for _ in islice(self._work, STEPS)) < STEPS:
            self._work = None
        events, self._events = self._events, []
        return events

    # Checks: generators that yield after each step; the tables are right whenever one is left ----

    def _ends_step(self) -> bool:
        self._seen += 1
        return self._seen % STEP == 0

    def _check_all(self, bindings: Bindings) -> Iterator[None]:
        """Check every host of a truth, and forget those that it does not have."""
        count = 0
        known: set[str] = set()
        for host in _bound(bindings):
            if self._ends_step():
                yield
            count += sum(map(self._has_group, host.neighbors))
            yield from self._check(host)
            if host.name in self._missing:
                known.add(host.name)
        self.expected_hosts = count
        for name in [name for name in self._missing if name not in known]:
            yield from self._forget(name, list(self._missing[name].since))

    def _check_each(self, hosts: Iterable[TruthHost]) -> Iterator[None]:
        for host in hosts:
            if self._ends_step():
                yield
            yield from self._check(host)

    def _check(self, host: TruthHost) -> Iterator[None]:
        """Note what is missing of a host, and what is so no longer."""
        since, missing, is_due_known = self._now, 0, False
        for item, is_there in self._items(host):
            if self._ends_step():
                yield
            if is_there:
                self._found(host.name, item)
                continue
            missing += 1
            if self._miss(host, item, since) and not is_due_known:
                is_due_known = True
                self._due.append((since + self._absent_after, host.name))
        known = self._since(host.name)
        if len(known) > missing:  # the truth before this one expected more
            expected = {item for item, _ in self._items(host)}
            yield from self._forget(host.name, [item for item in known if item not in expected])

    def _items(self, host: TruthHost) -> Iterator[tuple[Item, bool]]:
        """Yield what is expected of a host, and whether it is there. While the host has no session,
        of its routes those that were missing before are."""
        neighbors = [each for each in sorted(host.neighbors) if self._has_group(each)]
        up = [each for each in neighbors if self._is_up(each, host.asn)]
        yield from ((each, each in up) for each in neighbors)
        before = self._since(host.name)
        for prefix in host.routes if neighbors else ():
            yield prefix, self._is_announced(prefix, host) if up else prefix not in before

    def _is_announced(self, prefix: Prefix, host: TruthHost) -> bool:
        tables = self._rib_in.tables
        for each in host.neighbors:
            if each in tables and RouteKey(each, prefix, 0) in tables[each].entries:
                return True
        # Hosts that speak ADD-PATH, which `render` does not offer, have other path ids.
        if self._rib_in.count(prefix) > MANY:
            return False
        return any(entry.route.key.neighbor in host.neighbors for entry in self._rib_in.at(prefix))

    def _since(self, name: str) -> dict[Item, float]:
        known = self._missing.get(name)
        return known.since if known else {}

    def _miss(self, host: TruthHost, item: Item, since: float) -> bool:
        """Note that something is missing; return whether that is new."""
        known = self._missing.setdefault(host.name, _Missing(host))
        known.host = host
        return known.since.setdefault(item, since) == since

    def _found(self, name: str, item: Item) -> None:
        if item in self._since(name):
            detail = "the session is up" if isinstance(item, Address) else "announced"
            self._end(name, item, detail)

    def _forget(self, name: str, items: Iterable[Item]) -> Iterator[None]:
        for item in items:
            if self._ends_step():
                yield
            self._end(name, item, "no longer expected")

    def _end(self, name: str, item: Item, detail: str) -> None:
        """Record that an item is no longer missing."""
        known = self._missing[name].since
        del known[item]
        if not known:
            del self._missing[name]
        if isinstance(item, Address):
            absent = self.absent_hosts.pop(item, None)
        else:
            absent = self.absent_prefixes.pop((name, item), None)
        if absent is not None:
            self._report(absent, is_absent=False, detail=detail)

    def _report_due(self) -> Iterator[None]:
        """Report what has been missing for `absent_after`."""
        while self._due and self._due[0][0] <= self._now:
            if self._ends_step():
                yield
            _, name = self._due[0]
            for item, since in list(self._since(name).items()):
                if self._ends_step():
                    yield
                if since + self._absent_after <= self._now:
                    self._become_absent(self._missing[name].host, item, since)
            self._due.popleft()

    def _become_absent(self, host: TruthHost, item: Item, since: float) -> None:
        if isinstance(item, Address):
            absent = Absent(host, item, None, since)
            is_known = self.absent_hosts.setdefault(item, absent) is not absent
        else:
            absent = Absent(host, min(host.neighbors), item, since)
            is_known = self.absent_prefixes.setdefault((host.name, item), absent) is not absent
        if not is_known:
            self._report(absent, is_absent=True, detail="")

    def _report(self, absent: Absent, *, is_absent: bool, detail: str) -> None:
        self._events.append(
            Absence(
                neighbor=absent.neighbor,
                asn=absent.host.asn,
                host=absent.host.name,
                prefix=absent.prefix,
                is_absent=is_absent,
                seconds=int(self._now - absent.since),
                detail=detail,
            )
        )


def _bound(bindings: Bindings) -> Iterator[TruthHost]:
    """Yield the hosts that list addresses."""
    for hosts in bindings.by_asn.values():
        yield from (host for host in hosts if host.neighbors)
