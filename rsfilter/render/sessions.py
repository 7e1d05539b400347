"""Sessions of hosts to render, and warnings about those that are not or that will not work.

Ranges of the configuration authorise hosts and are never rendered, because ExaBGP's range neighbors
share one table. Every neighbor is explicit, so a host gets a session when truth or configuration
names its address and the file is rendered again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rsfilter.config.model import Config
from rsfilter.config.types import session_fault
from rsfilter.routing.groups import HostGroups
from rsfilter.routing.model import Address
from rsfilter.rpki.truth import Truth
from rsfilter.util.text import listed

MAX_OUTSIDE = 5
"""Addresses of a kind that get a warning each. More of them are not typing errors."""


class HostNeighbor(NamedTuple):
    """A host's session to render."""

    address: Address
    asn: int
    group: str
    password: str = ""
    """Name of its password, as truth has it."""
    hops: int | None = None
    """Number of hops to it at most, as truth has it; None: as its group has it."""


class Plan(NamedTuple):
    """Hosts to render, and warnings about the others."""

    hosts: tuple[HostNeighbor, ...]
    """Sorted by address."""
    warnings: tuple[str, ...]
    problems: tuple[str, ...]
    """Problems; if there is any, the configuration cannot be rendered."""


def plan(config: Config, truth: Truth | None) -> Plan:
    """Plan the host neighbors: those bound by truth or named one by one in the configuration."""
    group_of = HostGroups(config.hosts)
    hosts: dict[Address, HostNeighbor] = {}
    unusable, outside, problems = [], [], hosts_of_our_as(config, truth)
    for host in truth.hosts if truth else ():
        for address in sorted(host.neighbors):
            group = group_of(address)
            if fault := session_fault(address):
                unusable.append(f"truth host {host.name!a}: {address} is not rendered: {fault}")
            elif group is None:
                outside.append(
                    f"truth host {host.name!a}: {address} is in no [[hosts]] group; it is "
                    "not rendered, widen the neighbors of a group or correct the truth"
                )
            else:
                hosts[address] = HostNeighbor(
                    address, host.asn, group.name, host.password, host.ttl_security
                )
    unbound: dict[Address, HostNeighbor] = {}
    for address, group in group_of.addresses.items():
        if address in hosts:
            continue
        if group.asn is None:
            problems.append(
                f"{config.path}: hosts {group.name}: {address} has no ASN; bind it to a host in "
                "truth, or set asn in the group"
            )
        else:
            unbound[address] = HostNeighbor(address, group.asn, group.name)
    hosts |= unbound
    if not hosts and not problems:
        problems.append(
            f"{config.path}: hosts: no address of a host is named; ranges only authorise, list "
            "addresses in neighbors, or bind them to hosts in truth"
        )
    planned = tuple(sorted(hosts.values()))
    warnings = (
        *_abridged(unusable, "cannot be those of a BGP session; they are not rendered"),
        *_abridged(
            outside,
            "are in no [[hosts]] group; they are not rendered, as is right for the hosts of "
            "another route server",
        ),
        *_not_carried(config, truth),
        *_bound_elsewhere(unbound.values(), truth),
        *_taken_for_loops(config, planned),
    )
    return Plan(planned, warnings, tuple(problems))


def hosts_of_our_as(config: Config, truth: Truth | None) -> list[str]:
    """Return a problem for each host to which truth gives our own ASN and an address of a group.
    Its session would be iBGP, and no route over it is ever accepted."""
    own, group_of = config.route_server.asn, HostGroups(config.hosts)
    return [
        f"truth host {host.name!a}: AS{own} is our own: over iBGP the path of its routes is empty, "
        "and each is rejected (as_path_missing); give the host another ASN, or no neighbors"
        for host in (truth.hosts if truth else ())
        if host.asn == own and any(map(group_of, host.neighbors))
    ]


def _abridged(found: list[str], what: str) -> Iterator[str]:
    """Yield warnings about addresses in truth, the first few one by one: with many shards, most
    addresses are outside every group of one shard."""
    yield from found[:MAX_OUTSIDE]
    if more := found[MAX_OUTSIDE:]:
        yield f"truth: {len(more)} more addresses of hosts {what}"


def _not_carried(config: Config, truth: Truth | None) -> Iterator[str]:
    """Yield a warning for each group whose sessions do not offer a family in which truth has
    addresses of their hosts."""
    group_of = HostGroups(config.hosts)
    found: dict[tuple[str, int], list[str]] = defaultdict(list)
    for host in truth.hosts if truth else ():
        families = {address.family for address in host.neighbors}
        groups = {group.name: group for a in host.neighbors if (group := group_of(a))}
        for group in groups.values():
            for family in sorted(families - group.families):
                if group.lengths(family):
                    found[group.name, family].append(host.name)
    for (name, family), names in found.items():
        yield (
            f"hosts {name}: sessions do not offer IPv{family}, although truth has an address of "
            f"it for {listed([ascii(each) for each in names], 1)}: add such addresses to "
            "neighbors, or set families"
        )


def _bound_elsewhere(unbound: Iterable[HostNeighbor], truth: Truth | None) -> Iterator[str]:
    """Yield a warning for each neighbor with the ASN of its group, if truth accepts that ASN only
    from other addresses."""
    bound = {host.asn: host.name for host in (truth.hosts if truth else ()) if host.neighbors}
    found: dict[tuple[str, int], list[str]] = defaultdict(list)
    for neighbor in unbound:
        if neighbor.asn in bound:
            found[neighbor.group, neighbor.asn].append(str(neighbor.address))
    for (group, asn), addresses in found.items():
        yield (
            f"hosts {group}: truth binds AS{asn} to other addresses, those of {bound[asn]!a}: "
            f"every route of {listed(addresses, 1)} is rejected (neighbor_not_bound); bind the "
            "address to a host in truth"
        )


def _taken_for_loops(config: Config, hosts: Sequence[HostNeighbor]) -> Iterator[str]:
    """Yield a warning for each router that has a host's ASN."""
    for routers in config.served:
        if same := [str(host.address) for host in hosts if host.asn == routers.asn]:
            yield (
                f"routers {routers.name}: AS{routers.asn} is also that of {listed(same, 1)}: these "
                "routers take such routes for loops and discard them (RFC 4271 section 9.1.2), "
                "unless they are configured not to"
            )
