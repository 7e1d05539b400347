"""Every reason for which a route is rejected or held, once.

The order is the order in which reasons are told: that the guard holds the route, who speaks, then
what is wrong with the message, then with the prefix, the path, the next hop, and last what the data
say. Documentation, pages and
metrics are generated from this table. The numbers up to 13 are Euro-IX's list of standard reject
reasons for route servers; from 2001 on they are rsfilter's own.
"""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """One reason, as documentation shows it."""

    name: str
    text: str
    euro_ix: int


_ALL = (
    Reason("held_by_guard", "a change of data would lose too many routes at once", 2010),
    Reason("neighbor_unknown", "the neighbor is in no host group", 2001),
    Reason("neighbor_not_bound", "truth lists the ASN's addresses and this is not one", 2002),
    Reason("attribute_malformed", "the UPDATE carried a malformed attribute (RFC 7606)", 2007),
    Reason("family_not_allowed", "the family is not IPv4 or IPv6 unicast", 2003),
    Reason("prefix_malformed", "host bits are set or the length is impossible", 2004),
    Reason("prefix_too_long", "the prefix is longer than the group allows", 1),
    Reason("prefix_too_short", "the prefix is shorter than the group allows", 2),
    Reason("bogon_prefix", "the prefix can never be routed to a host", 3),
    Reason("bogon_asn", "an ASN that nobody may use (RFC 7607, 6793, 7300)", 4),
    Reason("as_path_missing", "the AS path is empty or absent", 6),
    Reason("as_path_set", "the AS path has an AS_SET (RFC 9774)", 2005),
    Reason("as_path_confed", "the AS path has a confederation segment (RFC 5065)", 2006),
    Reason("as_path_too_long", "the AS path has more than the host's own ASN", 5),
    Reason("first_as_not_neighbor", "the first ASN is not the session's", 7),
    Reason("next_hop_not_owned", "the next hop is not the host's own address", 8),
    Reason("next_hop_family", "the next hop is of the other IP version (RFC 8950)", 2011),
    Reason("data_unavailable", "there is no validation data, or it has expired", 2009),
    Reason("origin_invalid_asn", "the prefix belongs to another ASN (RFC 6811)", 13),
    Reason("origin_invalid_length", "the prefix is longer than its owner allows (RFC 6811)", 13),
    Reason("origin_not_found", "nobody is known to own the prefix (RFC 6811)", 12),
    Reason("max_prefixes", "the neighbor announces more prefixes than it may", 2008),
)

REASONS: dict[str, Reason] = {reason.name: reason for reason in _ALL}
"""Reasons by name, in telling order."""
