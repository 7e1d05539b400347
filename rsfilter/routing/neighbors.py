"""Who a neighbor is: which group its address belongs to, and which role that gives it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Literal, NamedTuple

from rsfilter.routing.model import BITS, Address, HostGroup, Prefix, RouterGroup

Role = Literal["host", "router", "unknown"]

Ranges = dict[int, dict[Prefix, HostGroup]]
"""By length. Those that hold one address are of one group (`rsfilter.config_checks`)."""

MAX_REMEMBERED = 1 << 14
"""Neighbors in ranges whose group is remembered: it is asked for with every route that is judged.
One ExaBGP has far fewer."""


class Identity(NamedTuple):
    """Who a neighbor is."""

    role: Role
    group: str
    """The group's name; empty when it is in none."""


class HostGroups:
    """Finds the host group of an address; quick with thousands of addresses and ranges."""

    def __init__(self, groups: Iterable[HostGroup]) -> None:
        self.addresses: dict[Address, HostGroup] = {}
        """What the configuration names one by one."""
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
        self._router_of = {a: group for group in routers for a in group.neighbors}

    def replace_hosts(self, hosts: Iterable[HostGroup]) -> None:
        """Other host groups are in force."""
        self.group = HostGroups(hosts)

    def is_router(self, neighbor: Address) -> bool:
        """The configuration names it as a router."""
        return neighbor in self._router_of

    def identify(self, neighbor: Address) -> Identity:
        """What the configuration says of an address."""
        if router := self._router_of.get(neighbor):
            return Identity("router", router.name)
        if group := self.group(neighbor):
            return Identity("host", group.name)
        return Identity("unknown", "")
