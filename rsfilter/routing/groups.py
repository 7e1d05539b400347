"""Groups of neighbors: the group of an address, and its role."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Literal, NamedTuple, get_args

from rsfilter.routing.model import BITS, BOTH_FAMILIES, IPV4, Address, Prefix, Vrp

Capability = Literal["asn4", "graceful-restart", "route-refresh"]
CAPABILITIES: tuple[Capability, ...] = get_args(Capability)
"""Capabilities that a host can be required to offer: RFC 6793, 4724 and 2918."""

MAX_HOPS = 254
"""RFC 5082: packets leave with a TTL of 255 and arrive with at least 1."""


@dataclass(frozen=True, slots=True)
class HostGroup:
    """A group of neighbors whose routes are judged: `[[hosts]]` of the configuration."""

    name: str
    networks: tuple[Prefix, ...]
    """Session addresses that belong to the group: addresses and ranges."""
    ipv4_lengths: frozenset[int] = frozenset({32})
    """Empty: no IPv4 prefix is allowed."""
    ipv6_lengths: frozenset[int] = frozenset({128})
    families: frozenset[int] = BOTH_FAMILIES
    """Families offered on sessions with the group: 4 and 6."""
    asn: int | None = None
    """Only to render neighbors that truth does not bind."""
    max_prefixes: int = 1000
    max_prefixes_warning: int = 75
    """Percentage of `max_prefixes` at which a host is a warning."""
    max_prepends: int = 0
    next_hops: tuple[Prefix, ...] | None = None
    """Allowed next hops; None: only the host's own addresses."""
    others_addresses: frozenset[Address] = frozenset()
    """Addresses of the route server and of routers: never a host's next hop, whatever a list
    contains (RFC 4271 sections 5.1.3 and 6.3)."""
    accept_not_found: bool = False
    stale_time: int = 0
    """Seconds; 0 withdraws a lost host's routes at once."""
    password_file: str | None = None
    """Path of the file with the passwords of sessions (TCP MD5); only to render neighbors."""
    requires: tuple[Capability, ...] = ()
    """Capabilities without which a host is a warning."""
    ttl_security: int = 0
    """Number of hops to the hosts at most (GTSM, RFC 5082); 0: not checked."""

    def lengths(self, family: int) -> frozenset[int]:
        """Prefix lengths of a family (4 or 6) that may be announced."""
        return self.ipv4_lengths if family == IPV4 else self.ipv6_lengths


class Limits(NamedTuple):
    """Limits on the routes that a change of data may remove: `[guard]`."""

    max_loss_percent: int = 20
    """Percentage of accepted routes."""
    min_loss: int = 10
    """Routes; a smaller loss is never held."""
    window: float = 3600.0
    """Seconds within which losses count together; 0: each change of data alone."""

    def allow(self, lost: int, accepted: int) -> bool:
        """Return whether `lost` of `accepted` routes may be lost."""
        return lost < self.min_loss or lost * 100 <= self.max_loss_percent * accepted


@dataclass(frozen=True, slots=True)
class RouterGroup:
    """A group of neighbors that get what was accepted: `[[routers]]` of the configuration."""

    name: str
    neighbors: tuple[Address, ...]
    asn: int
    port: int = 179
    """TCP port to connect to; 0: the router connects to us."""
    families: frozenset[int] = BOTH_FAMILIES
    """Families offered on sessions with the group: 4 and 6."""
    all_paths: bool = False
    """ADD-PATH: every accepted path of a prefix, not just the best."""
    prepend: bool = False
    """Our ASN in front of the path; else the path is transparent (RFC 7947 section 2.2.2)."""
    asns_behind: frozenset[int] = frozenset()
    """ASNs of routers behind a fan-out."""
    only_outside: bool = False
    """A fan-out of our own AS with routers of others only: what must not leave the AS is nothing
    for it, and would hide the next best path."""
    password_file: str | None = None
    ttl_security: int = 0
    """Both as in `HostGroup`."""


@dataclass(frozen=True, slots=True)
class TruthHost:
    """One host of the operator's truth: who it is, and where it may speak from."""

    name: str
    asn: int
    neighbors: frozenset[Address]
    """Session addresses that the host may use; empty: any."""
    prefixes: tuple[Vrp, ...] = field(default=(), compare=False)
    """Prefixes that the host itself owns. Kept only if another host has the same ASN."""
    routes: tuple[Prefix, ...] = field(default=(), compare=False)
    """Host routes that it owns: it is expected to announce them. Kept only with `neighbors`."""
    password: str = field(default="", compare=False)
    """Name of its password in the group's `password_file`; empty: it names none."""
    ttl_security: int | None = field(default=None, compare=False)
    """Number of hops to the host at most, in place of the group's; None: the group's is valid."""


Role = Literal["host", "router", "unknown"]

Ranges = dict[int, dict[Prefix, HostGroup]]
"""Ranges by length. Those that hold one address are of one group (`rsfilter.config.overlaps`)."""

MAX_REMEMBERED = 1 << 14
"""Neighbors in ranges whose group is cached: it is needed for every judged route. One ExaBGP has
far fewer neighbors."""


class Identity(NamedTuple):
    """Group and role of a neighbor."""

    role: Role
    group: str
    """The group's name; empty when it is in none."""


class HostGroups:
    """Finds the host group of an address; quick with thousands of addresses and ranges."""

    def __init__(self, groups: Iterable[HostGroup]) -> None:
        self.addresses: dict[Address, HostGroup] = {}
        """Addresses that the configuration names one by one."""
        ranges: Ranges = defaultdict(dict)
        for group in groups:
            for network in group.networks:
                if network.length == BITS[network.family]:
                    self.addresses[network.address] = group
                else:
                    ranges[network.length][network] = group
        self._in_range = lru_cache(maxsize=MAX_REMEMBERED)(partial(_holding, ranges))

    def __call__(self, address: Address) -> HostGroup | None:
        return self.addresses.get(address) or self._in_range(address)


def _holding(ranges: Ranges, address: Address) -> HostGroup | None:
    own = Prefix(address.family, address.value, BITS[address.family])
    for length, groups in ranges.items():
        if length <= own.length and (group := groups.get(own.masked(length))):
            return group
    return None


class Neighbors:
    """The neighbors of a configuration."""

    def __init__(self, hosts: Iterable[HostGroup], routers: Iterable[RouterGroup]) -> None:
        self.group = HostGroups(hosts)
        """The host group of an address; None when it is in none."""
        self.routers = {address: group for group in routers for address in group.neighbors}
        """The group of each router that the configuration names."""

    def replace_hosts(self, hosts: Iterable[HostGroup]) -> None:
        """Other host groups are in force."""
        self.group = HostGroups(hosts)

    def is_router(self, neighbor: Address) -> bool:
        """The configuration names it as a router."""
        return neighbor in self.routers

    def identify(self, neighbor: Address) -> Identity:
        """Return the group and role that the configuration gives to an address."""
        if router := self.routers.get(neighbor):
            return Identity("router", router.name)
        if group := self.group(neighbor):
            return Identity("host", group.name)
        return Identity("unknown", "")
