"""Export of accepted routes to routers, and choice of the best route of a prefix.

Built from parsed values only. The AS path is always made from the session's ASN, because ExaBGP
passes AS4_PATH and confederation segments off as a plain path.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from rsfilter.routing.groups import RouterGroup
from rsfilter.routing.model import IPV4, Address, Announcement, Attributes, Route

NO_EXPORT = (65535, 65281)
NO_ADVERTISE = (65535, 65282)
NO_EXPORT_SUBCONFED = (65535, 65283)
"""RFC 1997 well-known communities."""

LLGR_STALE = (65535, 6)
"""RFC 9494 section 4.6: last in every choice."""

GRACEFUL_SHUTDOWN = (65535, 0)
"""RFC 8326: use another path if there is one, this one is about to go."""

_STAYS_INSIDE = frozenset({NO_EXPORT, NO_ADVERTISE, NO_EXPORT_SUBCONFED})


class OutAttributes(NamedTuple):
    """The attributes of a route in an Adj-RIB-Out. Equal ones share an announcement."""

    next_hop: Address
    as_path: tuple[int, ...]
    """ASNs of one AS_SEQUENCE."""
    origin: str
    med: int | None
    communities: tuple[tuple[int, int], ...]
    large_communities: tuple[tuple[int, int, int], ...]
    extended_communities: tuple[int, ...]


class Withheld(Enum):
    """Reasons why a group of routers does not get an accepted route."""

    COMMUNITY = (1, "NO_EXPORT, NO_ADVERTISE or NO_EXPORT_SUBCONFED keeps it from these routers")
    NOT_BEST = (2, "another path of the prefix is better, and these routers get the best only")
    FAMILY = (3, "these routers are offered no routes of this IP version")
    DRAINED = (4, "the route server is drained and announces nothing")

    def __init__(self, number: int, text: str) -> None:
        self.number = number
        self.text = text


Paths = tuple[tuple[int, OutAttributes], ...]
"""Paths of one prefix that a router should have: (path id, attributes), the best path first."""

BEST_PATH_ID = 0
"""The path id toward routers that get only the best path: ADD-PATH is not spoken with them."""

_CACHED_SETS = 1 << 14
"""Attribute sets that are remembered: two for each of the 8,000 hosts that one instance is sized
for. Routes with the same attributes then share one object."""

_CACHED_COMMUNITIES = 16
"""Sets with more communities than this are not remembered: a host that varies its own could fill
memory with them, 1,000 communities at a time."""


class Export:
    """The attributes that one group of routers gets for a route, or None: not for them."""

    def __init__(
        self, own_asn: int, group: RouterGroup, asns: frozenset[int] = frozenset()
    ) -> None:
        """Make an export. `asns`: those of all routers. A host's communities that name one of them,
        or our own ASN, request an action of us or of a router; hosts may not request that, so they
        are removed."""
        self._named = asns | {own_asn, group.asn, *group.asns_behind}
        self._front = (own_asn,) if group.prepend else ()
        self._internal = group.asn == own_asn and not group.only_outside
        self.is_draining = False
        """True while everything is sent with GRACEFUL_SHUTDOWN."""
        self._build_and_remember = lru_cache(maxsize=_CACHED_SETS)(self._build)

    def attributes(self, announced: Announcement) -> OutAttributes | None:
        """Return the attributes of accepted routes: with one routable next hop and a path that was
        judged."""
        received = announced.attributes
        build = self._build_and_remember if _is_cacheable(received) else self._build
        return build(announced.asn, received, announced.next_hops, self.is_draining)

    def _build(
        self, asn: int, received: Attributes, next_hops: tuple[Address, ...], is_draining: bool
    ) -> OutAttributes | None:
        communities = received.communities
        if NO_ADVERTISE in communities:
            return None
        if not self._internal and not _STAYS_INSIDE.isdisjoint(communities):
            return None
        named = self._named
        passed = tuple(c for c in communities if c[0] not in named)
        if is_draining and GRACEFUL_SHUTDOWN not in passed:
            passed = (*passed, GRACEFUL_SHUTDOWN)
        return OutAttributes(
            next_hop=next(hop for hop in next_hops if not hop.is_link_local),
            as_path=(*self._front, *((asn,) * max(1, len(received.as_path.asns)))),
            origin=received.origin,
            med=received.med,
            communities=passed,
            large_communities=tuple(c for c in received.large_communities if c[0] not in named),
            extended_communities=tuple(
                c for c in received.extended_communities if _may_pass(c, named)
            ),
        )


def _is_cacheable(attributes: Attributes) -> bool:
    communities = (
        len(attributes.communities)
        + len(attributes.large_communities)
        + len(attributes.extended_communities)
    )
    return communities <= _CACHED_COMMUNITIES


def _may_pass(community: int, named: frozenset[int]) -> bool:
    """Transitive (RFC 4360 section 2) and naming none of these ASNs (RFC 4360, 5668, 7153).

    Not passing the non-transitive ones also keeps a host from forging an origin validation
    state (RFC 8097) toward routers.
    """
    kind = community >> 56
    if kind & 0x40:
        return False
    if kind in (0x00, 0x80):  # two-octet AS specific
        return (community >> 32) & 0xFFFF not in named
    if kind in (0x02, 0x82):  # four-octet AS specific
        return (community >> 16) & 0xFFFFFFFF not in named
    return True


def is_stale(route: Route) -> bool:
    """Return whether the route carries LLGR_STALE, added here or by the host."""
    return LLGR_STALE in route.attributes.communities


def preference(route: Route) -> tuple[bool, int, Address, int]:
    """Sort key of best-path selection: the lowest is the best, whatever the arrival order.

    Not stale before stale (RFC 9494 section 4.3), then the lowest MED (compared across ASNs: the
    metrics are the operator's own; absent is 0, RFC 4271 section 9.1.2.2), then the lowest
    neighbor address.
    """
    return is_stale(route), route.attributes.med or 0, route.key.neighbor, route.key.path_id


@lru_cache(maxsize=1 << 16)
def path_id(neighbor: Address, received: int) -> int:
    """The ADD-PATH identifier (RFC 7911) of what `neighbor` announces: the same for ever.

    A neighbor's IPv4 address is its own identifier; anything longer is hashed to 32 bits.
    0 is never used: it reads as "no identifier".
    """
    if neighbor.family == IPV4 and received == 0 and neighbor.value:
        return neighbor.value
    seed = f"{neighbor} {received}".encode()
    return int.from_bytes(hashlib.sha256(seed).digest()[:4], "big") or 1
