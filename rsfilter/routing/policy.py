"""The policy for routes: its checks. `judging` runs them.

Each check returns the names of the reasons it found (`reasons.REASONS`), independent of other
checks. Those of an announcement cannot see a prefix: they run once for all routes that share it.
Those of a prefix run for each route. Origin validation follows RFC 6811 and always validates the
session's AS, never the AS in the path: a host can lie in its path, but not in its OPEN.
"""

from __future__ import annotations

from collections.abc import Callable

from rsfilter.routing.groups import HostGroup
from rsfilter.routing.model import (
    BITS,
    Address,
    Announcement,
    OriginState,
    Prefix,
    SegmentType,
    Validation,
)
from rsfilter.routing.validation import Data

BOGON_ASNS = frozenset({0, 23456, 65535, 4294967295})
"""RFC 7607 (0), RFC 6793 section 9 (AS_TRANS), RFC 7300 (the last ASN of either size)."""

BOGON_PREFIXES = tuple(
    Prefix.parse(text)
    for text in (
        "0.0.0.0/8",  # RFC 791 section 3.2 "this network"
        "127.0.0.0/8",  # RFC 1122 section 3.2.1.3 loopback
        "169.254.0.0/16",  # RFC 3927 link-local
        "224.0.0.0/4",  # RFC 5771 multicast
        "240.0.0.0/4",  # RFC 1112 section 4 reserved, and RFC 919 limited broadcast
        "::/8",  # RFC 4291 section 4 reserved; unspecified, loopback and IPv4-mapped lie in it
        "100::/64",  # RFC 6666 discard-only
        "100:0:0:1::/64",  # RFC 9780 dummy prefix
        "fe80::/10",  # RFC 4291 section 2.5.6 link-local
        "fec0::/10",  # RFC 3879 site-local
        "ff00::/8",  # RFC 4291 section 2.7 multicast
    )
)
"""Space that is never routed to a host, after IANA's special-purpose address registries. Space that
these mark as forwardable is not listed: guests live in private space (RFC 1918, 6598, 4193)."""

ROUTABLE_IN_BOGONS = tuple(
    Prefix.parse(text)
    for text in (
        "64:ff9b::/96",  # RFC 6052 IPv4/IPv6 translation: globally reachable
        "64:ff9b:1::/48",  # RFC 8215 the same, within a network: forwardable
    )
)
"""Exceptions: routable space inside a bogon."""

IPV4_MAPPED = Prefix.parse("::ffff:0:0/96")
"""RFC 4291 section 2.5.5.2. As a next hop it is an IPv4 address: routers take it for one."""

NEVER_NEXT_HOPS = (
    *(
        Prefix.parse(text)
        for text in (
            "0.0.0.0/8",  # RFC 791 "this network"
            "127.0.0.0/8",  # RFC 1122 loopback
            "169.254.0.0/16",  # RFC 3927 section 2.6.2: routers do not forward to it
            "224.0.0.0/3",  # RFC 5771 multicast, RFC 1112 reserved
            "::/127",  # RFC 4291 unspecified and loopback
            "fe80::/10",  # RFC 4291 link-local: alone it reaches no router
            "ff00::/8",  # RFC 4291 multicast
        )
    ),
    IPV4_MAPPED,
)
"""Space that no list of next hops may include, because routers reach no host address in it (RFC
4271 section 6.3). A session's own address is not judged by this list: labs use loopback."""

BOGON_OCTETS = {
    family: frozenset(
        octet
        for octet in range(256)
        for bogon in BOGON_PREFIXES
        if bogon.overlaps(Prefix(family, octet << (bits - 8), 8))
    )
    for family, bits in BITS.items()
}
"""First octets of bogons, by family. Few routes have to be compared."""


# Checks: (announcement or prefix, group, data) -> names of reasons ----------------------------

Reasons = tuple[str, ...]
_OK: Reasons = ()


def check_neighbor(announced: Announcement, _group: HostGroup, data: Data) -> Reasons:
    """An address that truth binds takes its host's ASN only, and an ASN whose hosts are bound
    comes from their addresses only."""
    is_right = data.bindings.accepts(announced.asn, announced.neighbor)
    return _OK if is_right else ("neighbor_not_bound",)


def check_attributes(announced: Announcement, _group: HostGroup, _data: Data) -> Reasons:
    """RFC 7606: a malformed attribute is a withdraw; here it is a rejected route."""
    return ("attribute_malformed",) if announced.attributes.malformed else _OK


def check_length(prefix: Prefix, group: HostGroup, _data: Data) -> Reasons:
    """The prefix is a host route as the group defines them."""
    lengths = group.lengths(prefix.family)
    if prefix.length in lengths:
        return _OK
    if not lengths:
        return ("family_not_allowed",)
    is_longer_than_all = all(prefix.length > length for length in lengths)
    return ("prefix_too_long",) if is_longer_than_all else ("prefix_too_short",)


def check_bogon_prefix(prefix: Prefix, _group: HostGroup, _data: Data) -> Reasons:
    """The prefix neither lies in a bogon nor holds one (a default route holds them all)."""
    octet = prefix.network >> (BITS[prefix.family] - 8)
    if prefix.length >= 8 and octet not in BOGON_OCTETS[prefix.family]:
        return _OK
    if not any(map(prefix.overlaps, BOGON_PREFIXES)):
        return _OK
    is_routable = any(block.covers(prefix) for block in ROUTABLE_IN_BOGONS)
    return _OK if is_routable else ("bogon_prefix",)


def check_bogon_asn(announced: Announcement, _group: HostGroup, _data: Data) -> Reasons:
    """Check that neither the session's ASN nor one in the path is a bogon ASN."""
    asns = announced.attributes.as_path.asns
    if announced.asn in BOGON_ASNS or not BOGON_ASNS.isdisjoint(asns):
        return ("bogon_asn",)
    return _OK


def check_as_path(announced: Announcement, group: HostGroup, _data: Data) -> Reasons:
    """One AS_SEQUENCE with the host's own ASN, repeated at most `max_prepends` extra times."""
    path = announced.attributes.as_path
    if path.segments == ((SegmentType.SEQUENCE, (announced.asn,)),):
        return _OK
    reasons = [_SEGMENT_REASONS[s.type] for s in path.segments if s.type in _SEGMENT_REASONS]
    asns = path.asns
    if not asns:
        return ("as_path_missing", *reasons)
    too_long = len(asns) > 1 + group.max_prepends or any(asn != asns[0] for asn in asns)
    if too_long or len(path.segments) > 1:
        reasons.append("as_path_too_long")
    if asns[0] != announced.asn:
        reasons.append("first_as_not_neighbor")
    return tuple(reasons)


_SEGMENT_REASONS = {
    SegmentType.SET: "as_path_set",
    SegmentType.UNKNOWN: "as_path_set",
    SegmentType.CONFED_SEQUENCE: "as_path_confed",
    SegmentType.CONFED_SET: "as_path_confed",
}


def check_next_hop(announced: Announcement, group: HostGroup, data: Data) -> Reasons:
    """The next hop is the host's own: the session's address, another that truth gives the same
    host, or one that the group lists. An IPv6 link-local beside a global is ignored (RFC 2545).
    """
    if not announced.next_hops and announced.attributes.malformed:
        return _OK  # the speaker kept none: `check_attributes` reports it
    routable = [hop for hop in announced.next_hops if not hop.is_link_local]
    if len(routable) != 1:
        return ("next_hop_not_owned",)
    next_hop = routable[0]
    if IPV4_MAPPED.holds(next_hop):
        return _OK  # `check_next_hop_family` reports it
    return _OK if _owns(next_hop, announced, group, data) else ("next_hop_not_owned",)


def _owns(next_hop: Address, announced: Announcement, group: HostGroup, data: Data) -> bool:
    neighbor = announced.neighbor
    if next_hop != neighbor and (
        next_hop in group.others_addresses
        or any(block.holds(next_hop) for block in NEVER_NEXT_HOPS)
    ):
        return False
    if group.next_hops is not None:
        return any(prefix.holds(next_hop) for prefix in group.next_hops)
    if next_hop == neighbor:
        return True
    host = data.bindings.by_address.get(neighbor)
    return host is not None and host.asn == announced.asn and next_hop in host.neighbors


def check_next_hop_family(announced: Announcement, _group: HostGroup, _data: Data) -> Reasons:
    """The next hop is of the prefix's own IP version, and not IPv4-mapped. Hosts may send IPv4
    routes by IPv6 next hops (RFC 8950), but routers would ignore them: accepted for nothing.
    """
    family, hops = announced.family, announced.next_hops
    is_foreign = any(hop.family != family or IPV4_MAPPED.holds(hop) for hop in hops)
    return ("next_hop_family",) if is_foreign else _OK


PathCheck = Callable[[Announcement, HostGroup, Data], Reasons]
PrefixCheck = Callable[[Prefix, HostGroup, Data], Reasons]

PATH_CHECKS: tuple[PathCheck, ...] = (
    check_neighbor,
    check_attributes,
    check_bogon_asn,
    check_as_path,
    check_next_hop,
    check_next_hop_family,
)
"""Checks of what the routes of an UPDATE share. They run once for it."""

PREFIX_CHECKS: tuple[PrefixCheck, ...] = ()
"""Checks of a well-formed prefix. Add new ones here: they run for every route. Origin validation
checks the prefix too, and also returns the VRPs that matched."""

SPARED_CHECKS: tuple[PrefixCheck, ...] = (
    check_length,
    check_bogon_prefix,
)
"""Prefix checks that a plain host route always passes; `judging` skips them for such routes. If you
add one, extend its condition."""

MALFORMED: Reasons = ("prefix_malformed",)
"""The only reason for a malformed prefix."""


def check_origin(announced: Announcement, group: HostGroup, validation: Validation) -> Reasons:
    """RFC 6811 for the session's AS."""
    if validation.state is OriginState.VALID:
        return _OK
    if validation.state is OriginState.NOT_FOUND:
        return _OK if group.accept_not_found else ("origin_not_found",)
    asn = announced.asn
    owned = not validation.owners and any(vrp.asn == asn != 0 for vrp in validation.vrps)
    return ("origin_invalid_length",) if owned else ("origin_invalid_asn",)


NO_GROUP = HostGroup(name="", networks=())
"""Group of a neighbor without a group, so that every check can run."""
