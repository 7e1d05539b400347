"""Checks the configurations of many route servers together, without any of them running.

Every host should have sessions with two route servers whose rules are the same, and what serves the
routers has to be the same everywhere. netaddr adds up the ranges: sets of addresses are what it is
good at, and nothing here is in a hurry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from netaddr import IPAddress, IPNetwork, IPSet

from rsfilter.config.build import Config
from rsfilter.fleet.messages import GroupSettings
from rsfilter.routing.groups import HostGroup
from rsfilter.util.text import listed

SESSIONS = 2
"""Route servers that each host should have a session with: one may be taken out of service."""


class Conflict(NamedTuple):
    """A conflict between configurations."""

    level: str
    """error, or warning: it may be meant so."""
    place: str
    """The section that it is about."""
    text: str


class PlannedInstance(NamedTuple):
    """One route server of the plan."""

    name: str
    """The file, for people."""
    config: Config
    truth: str = ""
    """SHA-256 of its truth; empty if it has none."""
    bound: Sequence[tuple[str, str]] = ()
    """(host, address) of all that its truth binds."""

    @property
    def hosts(self) -> IPSet:
        """All addresses that its host groups may have sessions with."""
        return _set(network for group in self.config.hosts for network in group.networks)


def check(
    instances: Sequence[PlannedInstance], *, sessions: int = SESSIONS, covers: Iterable[str] = ()
) -> list[Conflict]:
    """Find conflicts. `covers`: prefixes in which every address has to be served."""
    return [
        *_identity(instances),
        *_served(instances),
        *_data(instances),
        *_groups(instances),
        *_coverage(instances, sessions, IPSet(map(IPNetwork, covers))),
    ]


# Who each of them is, and what serves the routers ------------------------------------------------


def _identity(instances: Sequence[PlannedInstance]) -> Iterator[Conflict]:
    yield from _same(instances, "error", "route_server.asn", lambda c: c.route_server.asn)
    yield from _unique(instances, "route_server.router_id", lambda c: [c.route_server.router_id])
    yield from _unique(
        instances, "route_server.local_address", lambda c: c.route_server.local_addresses
    )
    if any(one.config.fleet for one in instances):
        yield from _same(
            instances, "error", "fleet.name", lambda c: c.fleet.name if c.fleet else None
        )
        yield from _unique(
            instances, "fleet.database", lambda c: [c.fleet.instance] if c.fleet else []
        )


def _served(instances: Sequence[PlannedInstance]) -> Iterator[Conflict]:
    for key in ("addresses", "port", "shards", "ttl_security"):
        yield from _same(
            instances,
            "error",
            f"fanout.{key}",
            lambda c, key=key: _comparable(getattr(c.fanout, key)) if c.fanout else None,  # type: ignore[misc]
        )
    names = {group.name for one in instances for group in one.config.served}
    for name in sorted(names):
        yield from _same(
            instances,
            "error",
            f"routers {name}",
            lambda c, name=name: next(  # type: ignore[misc]
                (
                    (_comparable(g.neighbors), g.asn, g.port, g.all_paths, g.prepend)
                    for g in c.served
                    if g.name == name
                ),
                None,
            ),
        )


def _data(instances: Sequence[PlannedInstance]) -> Iterator[Conflict]:
    yield from _same(
        instances, "error", "truth.mode", lambda c: c.truth.mode.value if c.truth else None
    )
    yield from _same(
        instances,
        "warning",
        "rtr.caches",
        lambda c: [str(x) for x in c.rtr.caches] if c.rtr else None,
    )
    yield from _same(instances, "warning", "guard", lambda c: c.guard)
    truths = {one.name: one.truth for one in instances if one.truth}
    yield from _values(truths, "warning", "truth.file", str)


# Hosts -------------------------------------------------------------------------------------------


def _groups(instances: Sequence[PlannedInstance]) -> Iterator[Conflict]:
    """Groups of the same hosts have the same rules, and groups meet whole or not at all."""
    by_hosts: dict[str, list[tuple[str, HostGroup]]] = defaultdict(list)
    for one in instances:
        for group in one.config.hosts:
            by_hosts[GroupSettings.of(group).id].append((one.name, group))
    for same in by_hosts.values():
        policies = {GroupSettings.of(group).policy for _, group in same}
        if len(policies) > 1:
            names = [f"{name} ({group.name})" for name, group in same]
            text = f"the same neighbors are judged by different rules in {listed(names)}"
            yield Conflict("error", "hosts", text)
    sets = {
        (one.name, group.name): _set(group.networks)
        for one in instances
        for group in one.config.hosts
    }
    for ((file, name), mine), ((other, another), theirs) in combinations(sets.items(), 2):
        if file != other and mine != theirs and (common := mine & theirs):
            text = (
                f"{name} of {file} and {another} of {other} have {_ranges(common)} in "
                "common, and more that they have not: they cannot be compared"
            )
            yield Conflict("warning", "hosts", text)


def _coverage(
    instances: Sequence[PlannedInstance], sessions: int, covers: IPSet
) -> Iterator[Conflict]:
    served = [one.hosts for one in instances]
    most = max(sessions, 1) + 1
    at_least = [IPSet() for _ in range(most + 1)]  # addresses that so many of them serve
    for hosts in served:
        for number in range(most, 1, -1):
            at_least[number] |= hosts & at_least[number - 1]
        at_least[1] |= hosts
    for number in range(1, min(sessions, len(instances))):
        few = at_least[number] - at_least[number + 1]
        if few:
            text = f"{_ranges(few)}: only {number} of {sessions} route servers has them"
            yield Conflict("error", "hosts", text)
    if many := at_least[most]:
        text = f"{_ranges(many)}: more than {sessions} route servers have them"
        yield Conflict("warning", "hosts", text)
    if gap := covers - at_least[1]:
        yield Conflict("error", "hosts", f"{_ranges(gap)}: no route server has them")
    yield from _bound(instances, at_least[1])


def _bound(instances: Sequence[PlannedInstance], served: IPSet) -> Iterator[Conflict]:
    """Find addresses that truth binds to a host and no instance serves."""
    missing = {
        f"{host} {address}"
        for one in instances
        for host, address in one.bound
        if IPAddress(address) not in served
    }
    if missing:
        text = f"in no route server's ranges, although truth binds them: {listed(sorted(missing))}"
        yield Conflict("error", "truth", text)


# Comparing ---------------------------------------------------------------------------------------


def _same(
    instances: Sequence[PlannedInstance], level: str, place: str, value: Callable[[Config], object]
) -> Iterator[Conflict]:
    """All have the same value."""
    yield from _values({one.name: value(one.config) for one in instances}, level, place, repr)


def _values(
    values: dict[str, object] | dict[str, str], level: str, place: str, key: Callable[[object], str]
) -> Iterator[Conflict]:
    users = defaultdict(list)
    for name, value in values.items():
        users[key(value)].append(name)
    if len(users) > 1:
        texts = [f"{value} in {listed(names)}" for value, names in sorted(users.items())]
        yield Conflict(level, place, f"is not the same everywhere: {'; '.join(texts)}")


def _unique(
    instances: Sequence[PlannedInstance], place: str, values: Callable[[Config], Iterable[object]]
) -> Iterator[Conflict]:
    """No two have the same value."""
    users = defaultdict(list)
    for one in instances:
        for value in values(one.config):
            users[str(value)].append(one.name)
    for value, names in users.items():
        if len(names) > 1:
            yield Conflict("error", place, f"{value} is in {listed(names)}")


def _set(networks: Iterable[object]) -> IPSet:
    return IPSet(IPNetwork(str(network)) for network in networks)


def _ranges(addresses: IPSet) -> str:
    return listed([str(cidr) for cidr in addresses.iter_cidrs()])


def _comparable(value: object) -> object:
    """Addresses as texts, in no order."""
    return sorted(map(str, value)) if isinstance(value, tuple) else value
