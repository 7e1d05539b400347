"""The policy as a table: routes, what they are judged by, and every reason to reject them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from support.core_samples import addresses, data, host_group, prefixes, route

from rsfilter.routing.groups import HostGroup
from rsfilter.routing.judging import judge
from rsfilter.routing.model import Route, Verdict
from rsfilter.routing.validation import Data, Mode, Source

GROUP = host_group()
V4_LENGTHS = replace(GROUP, ipv4_lengths=frozenset({24, 28, 32}))
V6_LENGTHS = replace(GROUP, ipv6_lengths=frozenset({64, 128}))
PREPENDS = replace(GROUP, max_prepends=2)

OWNED = ("203.0.113.0/28-32 AS65007", "2001:db8:aa::/64-128 AS65007", "192.0.2.0/24 AS65008")
DATA = data(OWNED)
"""65007 owns what the sample routes announce."""

ANY = data(("0.0.0.0/0-32 AS65007", "::/0-128 AS65007"))
"""Data by which 65007 owns every prefix, so that only the check in question can reject."""

BOUND = data(OWNED, None, Mode.AUTHORITATIVE, ("hv7", 65007, "198.51.100.7 198.51.100.17"))
"""A host with two addresses of its own."""

LISTED = replace(GROUP, next_hops=prefixes("192.0.2.0/25 2001:db8:c633::1/128"))

MALFORMED = "treat-as-withdraw"
V6 = "2001:db8:aa::1/128"
V6_NEIGHBOR = "2001:db8:c633::7"


class Case(NamedTuple):
    """A route, what it is judged by, and every reason to reject it, in the order of the table."""

    id: str
    route: Route
    reasons: tuple[str, ...] = ()
    group: HostGroup | None = GROUP
    data: Data = DATA
    within_limit: bool = True

    def judged(self) -> Verdict:
        return judge(self.route, self.group, self.data, within_limit=self.within_limit)


def case(name: str, judged: Route, reasons: str = "", **by: object) -> Case:
    return Case(name, judged, tuple(reasons.split()), **by)  # type: ignore[arg-type]


NEIGHBOR = [
    case("IPv4", route()),
    case("IPv6", route(V6, neighbor=V6_NEIGHBOR)),
    case("IPv6 over an IPv4 session", route(V6, next_hops=V6_NEIGHBOR), "next_hop_not_owned"),
    case("in no group", route(), "neighbor_unknown", group=None),
    case("bound, first address", route(), data=BOUND),
    case("bound, second address", route(neighbor="198.51.100.17"), data=BOUND),
    case("bound elsewhere", route(neighbor="198.51.100.8"), "neighbor_not_bound", data=BOUND),
    case(
        "one of two hosts of the ASN is bound elsewhere",
        route(neighbor="198.51.100.9"),
        data=data(
            OWNED,
            None,
            Mode.AUTHORITATIVE,
            ("hv7", 65007, "198.51.100.7"),
            ("hv9", 65007, "198.51.100.9"),
            own={"hv9": OWNED[:1]},
        ),
    ),
    # binding holds both ways
    case("the address is another ASN's", route(), "neighbor_not_bound",
         data=data(OWNED, None, Mode.AUTHORITATIVE, ("hv8", 65008, "198.51.100.7"))),
    case("the address is another ASN's, and the ASN has its own", route(), "neighbor_not_bound",
         data=data(OWNED, None, Mode.AUTHORITATIVE, ("hv8", 65008, "198.51.100.7"),
                   ("hv7", 65007, "198.51.100.17"))),
    case("the address is another ASN's, and the ASN may speak from anywhere", route(),
         "neighbor_not_bound",
         data=data(OWNED, None, Mode.AUTHORITATIVE, ("hv8", 65008, "198.51.100.7"),
                   ("hv7", 65007, ""))),
    case(
        "the other host of the ASN names no address",
        route(neighbor="198.51.100.9"),
        "neighbor_not_bound",
        data=data(
            OWNED, None, Mode.AUTHORITATIVE, ("hv", 65007, ""), ("hv7", 65007, "198.51.100.7")
        ),
    ),
    case(
        "hosts that name no address",
        route(),
        data=data(OWNED, None, Mode.AUTHORITATIVE, ("hv", 65007, "")),
    ),
    case(
        "another ASN's binding",
        route(),
        data=data(OWNED, None, Mode.AUTHORITATIVE, ("hv8", 65008, "198.51.100.8")),
    ),
    case("malformed", route(malformed=MALFORMED), "attribute_malformed"),
    case("malformed, as the speaker has it", route(malformed=MALFORMED, as_path="", next_hops=""),
         "attribute_malformed as_path_missing"),
    case("beyond max_prefixes", route(), "max_prefixes", within_limit=False),
]  # fmt: skip

PREFIX = [
    case("a host's bits", route("203.0.113.1/31"), "prefix_malformed"),
    case("33 bits", route("203.0.113.0/33"), "prefix_malformed"),
    case("129 bits", route("2001:db8:aa::/129", neighbor=V6_NEIGHBOR), "prefix_malformed"),
    case("a bogon with a host's bits", route("127.0.0.1/8"), "prefix_malformed"),
    case("too short", route("203.0.113.0/31"), "prefix_too_short"),
    case("too short, IPv6", route("2001:db8:aa::/127", neighbor=V6_NEIGHBOR), "prefix_too_short"),
    case("IPv6 with IPv4's length", route("2001:db8::/32", neighbor=V6_NEIGHBOR),
         "prefix_too_short origin_not_found"),
    case("listed", route("203.0.113.0/28"), group=V4_LENGTHS),
    case("listed, the longest", route("203.0.113.0/32"), group=V4_LENGTHS),
    case("between two listed", route("203.0.113.0/30"), "prefix_too_short", group=V4_LENGTHS),
    case("shorter than any listed", route("192.0.0.0/16"), "prefix_too_short",
         group=V4_LENGTHS, data=ANY),
    case("longer than any listed", route(), "prefix_too_long",
         group=replace(GROUP, ipv4_lengths=frozenset({24, 31}))),
    case("IPv6 listed", route("2001:db8:aa::/64", neighbor=V6_NEIGHBOR), group=V6_LENGTHS),
    case("IPv6 longer", route(V6, neighbor=V6_NEIGHBOR), "prefix_too_long",
         group=replace(GROUP, ipv6_lengths=frozenset({64}))),
    case("no IPv4 at all", route(), "family_not_allowed",
         group=replace(GROUP, ipv4_lengths=frozenset())),
    case("IPv4's lengths are not IPv6's", route("2001:db8:aa::/64", neighbor=V6_NEIGHBOR),
         "prefix_too_short", group=replace(GROUP, ipv4_lengths=frozenset({32, 64}))),
]  # fmt: skip

BOGONS = [
    "0.0.0.0/32",
    "0.255.255.255/32",
    "127.0.0.1/32",
    "127.255.255.255/32",
    "169.254.0.1/32",
    "169.254.255.255/32",
    "224.0.0.1/32",
    "239.255.255.255/32",
    "240.0.0.0/32",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "::ffff:192.0.2.1/128",
    "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
    "100::/128",
    "100::ffff:ffff:ffff:ffff/128",
    "100:0:0:1::/128",
    "100::1:ffff:ffff:ffff:ffff/128",
    "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff/128",
    "64:ff9b::1:0:0/128",
    "64:ff9b:0:ffff::/128",
    "64:ff9b:2::/128",
    "64::/128",
    "fe80::1/128",
    "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
    "fec0::1/128",
    "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
    "ff00::/128",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
]
NEAR_BOGONS = [
    "1.0.0.0/32",
    "126.255.255.255/32",
    "128.0.0.0/32",
    "169.253.255.255/32",
    "169.255.0.0/32",
    "223.255.255.255/32",
    "10.0.0.1/32",  # private space: guests live there
    "100.64.0.1/32",
    "172.16.0.1/32",
    "192.168.0.1/32",
    "100:0:0:2::/128",
    "64:ff9b::/96",  # RFC 6052
    "64:ff9b::192.0.2.1/128",
    "64:ff9b::ffff:ffff/128",
    "64:ff9b:1::/48",  # RFC 8215
    "64:ff9b:1::/64",
    "64:ff9b:1:ffff:ffff:ffff:ffff:ffff/128",
    "2001:db8::1/128",
    "fc00::1/128",
    "fdff:ffff::1/128",
    "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
]
HOLDING_BOGONS = [
    "0.0.0.0/0",
    "0.0.0.0/1",
    "126.0.0.0/7",
    "169.0.0.0/8",
    "::/0",
    "::/7",
    "64:ff9b::/95",
    "64:ff9b::/47",
    "64:ff9b::/32",
    "fe00::/7",
]


def _any_length(text: str, reasons: str) -> Case:
    lengths = frozenset(range(129))
    group = replace(GROUP, ipv4_lengths=lengths, ipv6_lengths=lengths)
    neighbor = V6_NEIGHBOR if ":" in text else "198.51.100.7"
    return case(text, route(text, neighbor=neighbor), reasons, group=group, data=ANY)


BOGON_PREFIX = [_any_length(text, "bogon_prefix") for text in [*BOGONS, *HOLDING_BOGONS]] + [
    _any_length(text, "")
    for text in [*NEAR_BOGONS, "128.0.0.0/3", "192.0.0.0/4", "2000::/3", "fe00::/9"]
]

BOGON_ASN = [
    case(f"AS{asn}", route(asn=asn), "bogon_asn", data=data((f"203.0.113.0/28-32 AS{asn}",)))
    for asn in (23456, 65535, 4294967295)
] + [
    case(f"AS{asn}", route(asn=asn), data=data((f"203.0.113.0/28-32 AS{asn}",)))
    for asn in (1, 23455, 23457, 65534, 65536, 4294967294)
] + [
    case("AS0", route(asn=0), "bogon_asn origin_invalid_asn",
         data=data(("203.0.113.0/28-32 AS0",))),
    case("AS0 behind", route(as_path="65007 0"), "bogon_asn as_path_too_long"),
    case("AS_TRANS behind", route(as_path="65007 23456"), "bogon_asn as_path_too_long"),
    case("the session's, hidden in the path", route(asn=65535, as_path="65007"),
         "bogon_asn first_as_not_neighbor origin_invalid_asn"),
    case("in a set", route(as_path="65007|{0}"), "bogon_asn as_path_set as_path_too_long"),
]  # fmt: skip

AS_PATH = [
    case("none", route(as_path=""), "as_path_missing"),
    case("one empty segment", route(as_path=" "), "as_path_missing"),
    case("two empty segments", route(as_path="|"), "as_path_missing"),
    case("an empty set", route(as_path="{}"), "as_path_missing as_path_set"),
    case("an empty confederation", route(as_path="()"), "as_path_missing as_path_confed"),
    case("an empty segment before", route(as_path=" |65007"), "as_path_too_long"),
    case("an empty segment behind", route(as_path="65007|"), "as_path_too_long"),
    case("two segments", route(as_path="65007|65007"), "as_path_too_long"),
    case("two segments where repeats are allowed", route(as_path="65007|65007"),
         "as_path_too_long", group=PREPENDS),
    case("a set", route(as_path="{65007}"), "as_path_set"),
    case("a set of another", route(as_path="{65008}"), "as_path_set first_as_not_neighbor"),
    case("a set behind", route(as_path="65007|{65008 65009}"), "as_path_set as_path_too_long"),
    case("a set in front", route(as_path="{65008}|65007"),
         "as_path_set as_path_too_long first_as_not_neighbor"),
    case("a confederation in front", route(as_path="(65008)|65007"),
         "as_path_confed as_path_too_long first_as_not_neighbor"),
    case("a confederation alone", route(as_path="(65007)"), "as_path_confed"),
    case("a confederation's set", route(as_path="[65007]"), "as_path_confed"),
    case("both", route(as_path="65007|{65007}|[65007]"),
         "as_path_set as_path_confed as_path_too_long"),
    case("an unknown segment", route(as_path="?65007"), "as_path_set"),
    case("prepended", route(as_path="65007 65007"), "as_path_too_long"),
    case("prepended as often as allowed", route(as_path="65007 65007 65007"), group=PREPENDS),
    case("prepended once more", route(as_path="65007 65007 65007 65007"), "as_path_too_long",
         group=PREPENDS),
    case("another behind, where repeats are allowed", route(as_path="65007 65008"),
         "as_path_too_long", group=PREPENDS),
    case("another between, where repeats are allowed", route(as_path="65007 65008 65007"),
         "as_path_too_long", group=PREPENDS),
    case("another's repeated, where that is allowed", route(as_path="65008 65008"),
         "first_as_not_neighbor", group=PREPENDS),
    case("another's", route(as_path="65008"), "first_as_not_neighbor"),
    case("the session's behind", route(as_path="65008 65007"),
         "as_path_too_long first_as_not_neighbor"),
    case("a thousand", route(as_path="65007 " * 1000), "as_path_too_long"),
]  # fmt: skip

LISTS_ALL = replace(
    GROUP,
    next_hops=prefixes("0.0.0.0/0 ::/0"),
    others_addresses=frozenset(addresses("192.0.2.100 2001:db8:ffff::100 192.0.2.10 192.0.2.11")),
)
"""Lists allow every address; those of the route server and the routers are known."""

NEXT_HOP = [
    case("another host's", route(next_hops="198.51.100.8"), "next_hop_not_owned"),
    case("none", route(next_hops=""), "next_hop_not_owned"),
    case("two", route(next_hops="198.51.100.7 198.51.100.8"), "next_hop_not_owned"),
    case("two of the host's", route(next_hops="198.51.100.7 198.51.100.17"), "next_hop_not_owned",
         data=BOUND),
    case("the same as if in IPv6", route(next_hops="::ffff:198.51.100.7"),
         "next_hop_family"),
    case("listed, IPv4 by IPv6 (RFC 8950)", route(next_hops="2001:db8:c633::1"), "next_hop_family",
         group=LISTED),
    case("listed, IPv6 by IPv4", route(V6, neighbor=V6_NEIGHBOR, next_hops="192.0.2.1"),
         "next_hop_family", group=LISTED),
    case("own, IPv6 by IPv4", route(V6, next_hops="198.51.100.7"), "next_hop_family"),
    case("own, IPv4 by IPv6", route(neighbor=V6_NEIGHBOR), "next_hop_family"),
    case("truth's other address in the other family", route(next_hops=V6_NEIGHBOR),
         "next_hop_family", data=data(OWNED, None, Mode.AUTHORITATIVE,
                                      ("hv7", 65007, f"198.51.100.7 {V6_NEIGHBOR}"))),
    case("link-local, IPv4", route(next_hops="169.254.0.7"), "next_hop_not_owned"),
    case("a link-local session's", route(V6, neighbor="fe80::7"), "next_hop_not_owned"),
    case("a companion", route(V6, neighbor=V6_NEIGHBOR, next_hops=f"{V6_NEIGHBOR} fe80::7")),
    case("a companion in front",
         route(V6, neighbor=V6_NEIGHBOR, next_hops=f"fe80::7 {V6_NEIGHBOR}")),
    case("a companion of another's", route(V6, neighbor=V6_NEIGHBOR,
         next_hops="2001:db8:c633::8 fe80::7"), "next_hop_not_owned"),
    case("a companion alone", route(V6, neighbor=V6_NEIGHBOR, next_hops="fe80::7"),
         "next_hop_not_owned"),
    case("truth's other address", route(next_hops="198.51.100.17"), data=BOUND),
    case("the session's own, with truth", route(), data=BOUND),
    case("no address of the host", route(next_hops="198.51.100.18"), "next_hop_not_owned",
         data=BOUND),
    case("of another host of the ASN", route(next_hops="198.51.100.9"), "next_hop_not_owned",
         data=data(OWNED, None, Mode.AUTHORITATIVE, ("hv7", 65007, "198.51.100.7"),
                   ("hv9", 65007, "198.51.100.9"), own={"hv7": OWNED[:1]})),
    # never a host's, whatever a list has
    *(case(f"listed, but {what}", route(next_hops=hop), "next_hop_not_owned", group=LISTS_ALL)
      for what, hop in [("ours", "192.0.2.100"), ("a router's", "192.0.2.10"),
                        ("unspecified", "0.0.0.0"), ("of this network", "0.1.2.3"),
                        ("loopback", "127.0.0.1"), ("link-local", "169.254.1.1"),
                        ("multicast", "224.0.0.9"), ("reserved", "240.0.0.1"),
                        ("broadcast", "255.255.255.255")]),
    *(case(f"listed, but {what}", route(V6, neighbor=V6_NEIGHBOR, next_hops=hop),
           "next_hop_not_owned", group=LISTS_ALL)
      for what, hop in [("ours, IPv6", "2001:db8:ffff::100"), ("unspecified, IPv6", "::"),
                        ("loopback, IPv6", "::1"), ("link-local, IPv6", "fe80::1"),
                        ("multicast, IPv6", "ff02::1")]),
    case("truth's, but a router's", route(next_hops="192.0.2.10"), "next_hop_not_owned",
         group=LISTS_ALL, data=data(OWNED, None, Mode.AUTHORITATIVE,
                                    ("hv7", 65007, "198.51.100.7 192.0.2.10"))),
    case("truth's, but a router's, without a list", route(next_hops="192.0.2.10"),
         "next_hop_not_owned", group=replace(LISTS_ALL, next_hops=None),
         data=data(OWNED, None, Mode.AUTHORITATIVE, ("hv7", 65007, "198.51.100.7 192.0.2.10"))),
    case("beside ours", route(next_hops="192.0.2.101"), group=LISTS_ALL),
    case("a session over loopback", route(neighbor="127.0.0.7"), group=host_group("127.0.0.0/8")),
    # an IPv4-mapped one is an IPv4 address
    case("IPv4-mapped", route(V6, neighbor=V6_NEIGHBOR, next_hops="::ffff:198.51.100.7"),
         "next_hop_family"),
    case("IPv4-mapped and listed", route(V6, neighbor=V6_NEIGHBOR,
                                         next_hops="::ffff:198.51.100.7"),
         "next_hop_family", group=LISTS_ALL),
    case("IPv4-mapped for IPv4", route(next_hops="::ffff:198.51.100.7"), "next_hop_family",
         group=LISTS_ALL),
    case("the host's, from elsewhere", route(neighbor="198.51.100.8", next_hops="198.51.100.17"),
         "neighbor_not_bound next_hop_not_owned", data=BOUND),
    case("listed", route(next_hops="192.0.2.127"), group=LISTED),
    case("not listed", route(next_hops="192.0.2.128"), "next_hop_not_owned", group=LISTED),
    case("own, but not listed", route(), "next_hop_not_owned", group=LISTED),
    case("truth's, but not listed", route(next_hops="198.51.100.17"), "next_hop_not_owned",
         group=LISTED, data=BOUND),
    case("listed address", route(V6, neighbor=V6_NEIGHBOR, next_hops="2001:db8:c633::1"),
         group=LISTED),
    case("an empty list", route(), "next_hop_not_owned", group=replace(GROUP, next_hops=())),
    case("malformed, another's", route(malformed=MALFORMED, next_hops="198.51.100.8"),
         "attribute_malformed next_hop_not_owned"),
    case("malformed, none", route(malformed=MALFORMED, next_hops=""), "attribute_malformed"),
]  # fmt: skip

# Hosts that share an ASN: each one's own prefixes decide, wherever its address identifies it

SHARING = [("hv1", 65007, "198.51.100.7 2001:db8:c633::7"), ("hv2", 65007, "198.51.100.8")]
OWN = {
    "hv1": ["203.0.113.1/32 AS65007", "2001:db8:aa::/64-128 AS65007", "203.0.113.9/32 AS65007"],
    "hv2": ["203.0.113.2/32 AS65007", "203.0.113.64/26-28 AS65007", "203.0.113.9/32 AS65007"],
}
OF_ALL = [*OWN["hv1"], *OWN["hv2"]]


def shared(rtr: Sequence[str] | None = None, mode: Mode = Mode.AUTHORITATIVE) -> Data:
    return data(OF_ALL, rtr, mode, *SHARING, own=OWN)


FROM_HV2 = {"neighbor": "198.51.100.8"}
SHARED_ASN = [
    case("its own", route("203.0.113.1/32"), data=shared()),
    case("its own, the other host", route("203.0.113.2/32", **FROM_HV2), data=shared()),
    case("its own, from its other address", route(V6, neighbor=V6_NEIGHBOR), data=shared()),
    case("both own it", route("203.0.113.9/32"), data=shared()),
    case("both own it, the other host", route("203.0.113.9/32", **FROM_HV2), data=shared()),
    case("a theft", route("203.0.113.1/32", **FROM_HV2), "origin_invalid_asn", data=shared()),
    case("a theft the other way", route("203.0.113.2/32"), "origin_invalid_asn", data=shared()),
    case("a theft in IPv6", route(V6, neighbor="198.51.100.8", next_hops="2001:db8:c633::8"),
         "origin_invalid_asn", data=shared(),
         group=replace(GROUP, next_hops=prefixes("2001:db8:c633::/48"))),
    case("its own, longer than it may be", route("203.0.113.65/32", **FROM_HV2),
         "origin_invalid_length", data=shared()),
    case("another's, longer than that may be", route("203.0.113.65/32"), "origin_invalid_asn",
         data=shared()),
    case("nobody's", route("192.0.2.1/32"), "origin_not_found", data=shared()),
    case("RTR's, which truth does not know", route("192.0.2.1/32"),
         data=shared(["192.0.2.0/24-32 AS65007"])),
    *(case(f"a theft that a ROA of the ASN would allow, {mode.value}",
           route("203.0.113.1/32", **FROM_HV2), "origin_invalid_asn",
           data=shared(["203.0.113.0/24-32 AS65007"], mode))
      for mode in Mode),
    *(case(f"its own, and a ROA of the ASN, {mode.value}", route("203.0.113.1/32"),
           data=shared(["203.0.113.0/24-32 AS65007"], mode))
      for mode in Mode),
    case("the ASN from an address that is no host's", route("203.0.113.1/32",
                                                            neighbor="198.51.100.9"),
         "neighbor_not_bound", data=shared()),
]  # fmt: skip

TOLERANT = replace(GROUP, accept_not_found=True)
NO_TRUTH = replace(DATA, truth=None, truth_source=Source.UNAVAILABLE)
OTHERS = "203.0.113.0/28-32 AS65008"
MINE = "203.0.113.0/28-32 AS65007"
MINE_SHORT = "203.0.113.0/28 AS65007"
NOBODYS = "203.0.113.0/28-32 AS0"


def _without_rtr(*truth: str, mode: Mode = Mode.AUTHORITATIVE) -> Data:
    """Data of the truth alone: the configured caches have none."""
    return replace(data(truth, (), mode), rtr=None, rtr_source=Source.UNAVAILABLE)


ORIGIN = [
    case("nobody's", route("203.0.113.16/32"), "origin_not_found"),
    case("nobody's, where that is good", route("203.0.113.16/32"), group=TOLERANT),
    case("another's", route(), "origin_invalid_asn", data=data([OTHERS])),
    case("another's, where nobody's is good", route(), "origin_invalid_asn", group=TOLERANT,
         data=data([OTHERS])),
    case("own, too long", route(), "origin_invalid_length", data=data([MINE_SHORT])),
    case("own, too long, and another's", route(), "origin_invalid_length",
         data=data([OTHERS, MINE_SHORT])),
    case("own beside another's", route(), data=data([OTHERS, MINE])),
    case("AS0", route(), "origin_invalid_asn", data=data([NOBODYS])),
    case("AS0 beside own", route(), data=data([NOBODYS, MINE])),
    case("own by path only", route(asn=65008, as_path="65007"),
         "first_as_not_neighbor origin_invalid_asn"),
    case("victim prepended", route(asn=65008, as_path="65008 65007"),
         "as_path_too_long origin_invalid_asn"),
    case("no truth yet", route(), "data_unavailable", data=NO_TRUTH),
    case("no truth yet, tolerant", route(), "data_unavailable", data=NO_TRUTH, group=TOLERANT),
    case("no truth yet, the caches know", route(), "data_unavailable",
         data=replace(data(None, [MINE]), truth_source=Source.UNAVAILABLE)),
    case("nothing configured", route(), "data_unavailable", data=Data()),
    case("caches alone", route(), data=data(None, [MINE])),
    case("caches alone, another's", route(), "origin_invalid_asn", data=data(None, [OTHERS])),
    case("caches alone, gone", route(), "data_unavailable",
         data=replace(data(None, [MINE]), rtr_source=Source.UNAVAILABLE)),
    case("caches alone, nothing yet", route(), "data_unavailable",
         data=Data(rtr_source=Source.UNAVAILABLE)),
    case("covered by truth, caches gone", route(), data=_without_rtr(MINE)),
    case("another's by truth, caches gone", route(), "origin_invalid_asn",
         data=_without_rtr(OTHERS)),
    case("not covered by truth, caches gone", route(), "data_unavailable", data=_without_rtr()),
    case("not covered by truth, caches expired", route(), "data_unavailable",
         data=replace(data((), [MINE]), rtr_source=Source.UNAVAILABLE)),
    case("truth before the caches", route(), "origin_invalid_asn", data=data([OTHERS], [MINE])),
    case("truth's own beside the caches' others", route(), data=data([MINE], [OTHERS])),
    case("the caches elsewhere", route(), data=data(["192.0.2.0/24-32 AS65008"], [MINE])),
    case("nobody's by either", route(), "origin_not_found", data=data((), ())),
] + [
    case(f"{mode.value}: {truth or '-'} and {rtr or '-'}", route(), reasons,
         data=data([truth] if truth else (), [rtr] if rtr else (), mode))
    for mode, truth, rtr, reasons in [
        (Mode.UNION, MINE, OTHERS, ""),
        (Mode.UNION, OTHERS, MINE, ""),
        (Mode.UNION, MINE, "", ""),
        (Mode.UNION, "", MINE, ""),
        (Mode.UNION, OTHERS, "", "origin_invalid_asn"),
        (Mode.UNION, "", OTHERS, "origin_invalid_asn"),
        (Mode.UNION, OTHERS, MINE_SHORT, "origin_invalid_length"),
        (Mode.UNION, "", "", "origin_not_found"),
        (Mode.BOTH, MINE, MINE, ""),
        (Mode.BOTH, MINE, OTHERS, "origin_invalid_asn"),
        (Mode.BOTH, OTHERS, MINE, "origin_invalid_asn"),
        (Mode.BOTH, MINE_SHORT, MINE, "origin_invalid_length"),
        (Mode.BOTH, MINE, "", "origin_not_found"),
        (Mode.BOTH, "", MINE, "origin_not_found"),
        (Mode.BOTH, "", OTHERS, "origin_invalid_asn"),
        (Mode.BOTH, "", "", "origin_not_found"),
    ]
] + [
    case(f"{mode.value}: {truth or '-'}, caches gone", route(), reasons,
         data=_without_rtr(*filter(None, [truth]), mode=mode))
    for mode, truth, reasons in [
        (Mode.UNION, MINE, ""),
        (Mode.UNION, OTHERS, "data_unavailable"),
        (Mode.UNION, "", "data_unavailable"),
        (Mode.BOTH, MINE, "data_unavailable"),
        (Mode.BOTH, OTHERS, "origin_invalid_asn"),
        (Mode.BOTH, "", "data_unavailable"),
    ]
] + [
    case(f"{mode.value}, no caches configured", route(), reasons, data=data([truth], None, mode))
    for mode in Mode
    for truth, reasons in [(MINE, ""), (OTHERS, "origin_invalid_asn")]
]  # fmt: skip

CASES = [
    *NEIGHBOR,
    *PREFIX,
    *BOGON_PREFIX,
    *BOGON_ASN,
    *AS_PATH,
    *NEXT_HOP,
    *ORIGIN,
    *SHARED_ASN,
]
