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
        "put the data right, or let go: rsfilter guard release",
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
        "let the host speak with its own ASN, or correct the host's neighbors in the truth",
        2002,
    ),
    Reason(
        "attribute_malformed",
        "the UPDATE carried a malformed attribute (RFC 7606)",
        "the host's BGP speaker is at fault; see `malformed` in the audit log",
        2007,
    ),
    Reason(
        "family_not_allowed",
        "the family is not IPv4 or IPv6 unicast, or the group allows no prefix of it",
        "let the host announce IPv4 and IPv6 unicast only; or give the group prefix lengths of it",
        2003,
    ),
    Reason(
        "prefix_malformed",
        "host bits are set or the length is impossible",
        "let the host clear the host bits",
        2004,
    ),
    Reason(
        "prefix_too_long",
        "the prefix is longer than the group allows",
        "announce a shorter one, or widen ipv4_lengths or ipv6_lengths of the group",
        1,
    ),
    Reason(
        "prefix_too_short",
        "the prefix is shorter than the group allows",
        "announce host routes, or widen ipv4_lengths or ipv6_lengths of the group",
        2,
    ),
    Reason(
        "bogon_prefix",
        "the prefix can never be routed to a host",
        "let the host announce space that can be routed",
        3,
    ),
    Reason(
        "bogon_asn",
        "an ASN that nobody may use (RFC 7607, 6793, 7300)",
        "give the host another ASN",
        4,
    ),
    Reason(
        "as_path_missing",
        "the AS path is empty or absent",
        "let the host speak eBGP with its own ASN",
        6,
    ),
    Reason(
        "as_path_set",
        "the AS path has an AS_SET (RFC 9774)",
        "let the host announce its own routes, without aggregation",
        2005,
    ),
    Reason(
        "as_path_confed",
        "the AS path has a confederation segment (RFC 5065)",
        "let the host send no confederation segments",
        2006,
    ),
    Reason(
        "as_path_too_long",
        "the AS path has more than the host's own ASN",
        "let the host announce only what is its own; for its own prepends, max_prepends",
        5,
    ),
    Reason(
        "first_as_not_neighbor",
        "the first ASN is not the session's",
        "let the host announce with the ASN of its session",
        7,
    ),
    Reason(
        "next_hop_not_owned",
        "the next hop is not the host's own address, or one that no host can have",
        "announce with the session's address as next hop, or list the host's own in next_hop",
        8,
    ),
    Reason(
        "next_hop_family",
        "the next hop is of the other IP version (RFC 8950)",
        "announce with a next hop of the prefix's IP version; ::ffff:a.b.c.d is IPv4",
        2011,
    ),
    Reason(
        "data_unavailable",
        "there is no validation data, or it has expired",
        "bring the truth or an RTR cache back; rsfilter status says what is missing",
        2009,
    ),
    Reason(
        "origin_invalid_asn",
        "the prefix belongs to another ASN (RFC 6811), or to another host with the ASN",
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
        "nobody is known to own the prefix (RFC 6811)",
        'add the prefix to the truth (or a ROA), or not_found = "accept"',
        12,
    ),
    Reason(
        "max_prefixes",
        "the neighbor announces more prefixes than it may",
        "let the host announce fewer, or raise max_prefixes of the group",
        2008,
    ),
)

REASONS: dict[str, Reason] = {reason.name: reason for reason in _ALL}
"""Reasons by name, in the order in which they are given."""
