"""Every reason for which a route is rejected or held, once.

Reasons are always listed in the order of this table, most specific first: the guard, the neighbor,
the message, the prefix, the path, the next hop, and last the validation data. Documentation, pages
and metrics are generated from it. The numbers up to 13 are Euro-IX's standard reject reasons for
route servers; those from 2001 on are rsfilter's own.
"""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """One reason, as documentation shows it."""

    name: str
    text: str
    remedy: str
    """Change that would have the route accepted."""
    euro_ix: int
    """Its number; see above."""


_ALL = (
    Reason(
        "held_by_guard",
        "a change of data would lose too many routes at once",
        "correct the data, or withdraw the held routes: rsfilter guard release",
        2010,
    ),
    Reason(
        "neighbor_unknown",
        "the neighbor is in no host group",
        "add the address to the neighbors of a [[hosts]] group",
        2001,
    ),
    Reason(
        "neighbor_not_bound",
        "truth binds the address to another ASN, or the ASN to other addresses",
        "configure the host's own ASN, or correct the host's neighbors in the truth",
        2002,
    ),
    Reason(
        "attribute_malformed",
        "the UPDATE carried a malformed attribute (RFC 7606)",
        "correct the host's BGP speaker; `malformed` in the audit log names the attribute",
        2007,
    ),
    Reason(
        "family_not_allowed",
        "the family is not IPv4 or IPv6 unicast, or the group allows no prefix of it",
        "announce IPv4 and IPv6 unicast only, or set prefix lengths of the family in the group",
        2003,
    ),
    Reason(
        "prefix_malformed",
        "host bits are set or the length is impossible",
        "clear the host bits in the host's announcement",
        2004,
    ),
    Reason(
        "prefix_too_long",
        "the prefix is longer than every length that the group allows",
        "announce a shorter prefix, or extend ipv4_lengths or ipv6_lengths of the group",
        1,
    ),
    Reason(
        "prefix_too_short",
        "the group does not allow this prefix length, only longer ones",
        "announce host routes, or extend ipv4_lengths or ipv6_lengths of the group",
        2,
    ),
    Reason(
        "bogon_prefix",
        "the prefix is special-purpose space, which no host may announce",
        "announce routable space",
        3,
    ),
    Reason(
        "bogon_asn",
        "the session or the path has a reserved ASN (RFC 7607, 6793, 7300)",
        "give the host another ASN",
        4,
    ),
    Reason(
        "as_path_missing",
        "the AS path is empty or absent",
        "configure eBGP with the host's own ASN",
        6,
    ),
    Reason(
        "as_path_set",
        "the AS path has an AS_SET (RFC 9774)",
        "announce the host's own routes without aggregation",
        2005,
    ),
    Reason(
        "as_path_confed",
        "the AS path has a confederation segment (RFC 5065)",
        "remove the host from the confederation, or strip its segments",
        2006,
    ),
    Reason(
        "as_path_too_long",
        "the AS path has other ASNs than the host's, or too many prepends",
        "announce only the host's own prefixes; for its own prepends, raise max_prepends",
        5,
    ),
    Reason(
        "first_as_not_neighbor",
        "the first ASN of the path is not that of the session",
        "announce with the ASN of the session",
        7,
    ),
    Reason(
        "next_hop_not_owned",
        "the next hop is not the host's own address, and the group does not permit it",
        "announce with the session's address as next hop, or list the host's own in next_hop",
        8,
    ),
    Reason(
        "next_hop_family",
        "the prefix and the next hop have different IP versions (RFC 8950)",
        "announce with a next hop of the prefix's IP version; ::ffff:a.b.c.d is IPv4",
        2011,
    ),
    Reason(
        "data_unavailable",
        "no validation data exist, or they have expired",
        "restore the truth or an RTR cache; rsfilter status shows which one is missing",
        2009,
    ),
    Reason(
        "origin_invalid_asn",
        "the prefix belongs to another ASN (RFC 6811), or to another host with this ASN",
        "correct the truth or the ROA, if the host is the owner",
        13,
    ),
    Reason(
        "origin_invalid_length",
        "the prefix is longer than its owner allows (RFC 6811)",
        "raise maxLength in the truth or the ROA",
        13,
    ),
    Reason(
        "origin_not_found",
        "neither truth nor a ROA covers the prefix (RFC 6811)",
        'add the prefix to the truth or a ROA, or set not_found = "accept" in the group',
        12,
    ),
    Reason(
        "max_prefixes",
        "the neighbor announces more prefixes than max_prefixes permits",
        "announce fewer prefixes, or raise max_prefixes of the group",
        2008,
    ),
)

REASONS: dict[str, Reason] = {reason.name: reason for reason in _ALL}
"""Reasons by name, in the order in which they are given."""
