"""The "announce" and "withdraw" objects, and the prefixes in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.captures_expected import announce, keys
from support.exabgp_lines import PEER, line_of, update_of

from rsfilter.exabgp import nlri
from rsfilter.exabgp.decode import decode
from rsfilter.routing.events import Update
from rsfilter.routing.model import Address

ONE = "203.0.113.1/32"
GUEST = "2001:db8:30::1/128"
HOP_6 = "2001:db8:6::11"


def test_path_information_is_a_number_in_four_octets() -> None:
    paths = [
        {"nlri": ONE, "path-information": text}
        for text in ("0.0.0.0", "1.2.3.4", "255.255.255.255")
    ]
    got = update_of(announces={"ipv4 unicast": {PEER: paths}})
    assert [route.key.path_id for route in got.announced] == [0, 0x01020304, 0xFFFFFFFF]


def test_compact_nlri_is_plain_text() -> None:
    got = update_of(announces={"ipv4 unicast": {PEER: ["192.0.2.1/32", "192.0.2.2"]}})
    assert got == announce(PEER, "192.0.2.1/32", "192.0.2.2/32")
    gone = decode(line_of({"update": {"withdraw": {"ipv6 unicast": ["::/0"]}}}))
    assert isinstance(gone, Update)
    assert gone.withdrawn == keys(PEER, 0, "::/0")


def test_link_local_next_hop_comes_last_whatever_the_order() -> None:
    guest = [{"nlri": GUEST}]
    got = update_of(announces={"ipv6 unicast": {"fe80::1": guest, HOP_6: [*guest, *guest]}})
    assert got == announce(PEER, GUEST, hop=(HOP_6, "fe80::1"))


def test_a_next_hop_may_belong_to_some_of_the_prefixes() -> None:
    got = update_of(announces={"ipv6 unicast": {HOP_6: ["::1", "::2"], "fe80::1": ["::2", "::3"]}})
    hop, local = Address.parse(HOP_6), Address.parse("fe80::1")
    assert [(str(route.key.prefix), route.next_hops) for route in got.announced] == [
        ("::1/128", (hop,)),
        ("::2/128", (hop, local)),
        ("::3/128", (local,)),
    ]


@pytest.mark.parametrize("text", ["no-nexthop", "null", "", "192.0.2.300", "fe80::1%eth0"])
def test_next_hop_that_is_no_address(text: str) -> None:
    got = update_of({"med": -1}, {"ipv4 unicast": {text: ["192.0.2.1/32"], PEER: ["192.0.2.2/32"]}})
    assert [route.next_hops for route in got.announced] == [(), (Address.parse(PEER),)]
    assert {route.attributes.malformed for route in got.announced} == {
        "med invalid, next-hop missing"
    }


def test_what_is_no_unicast_prefix_is_reported_and_the_others_are_kept() -> None:
    flow_rule = {"destination-ipv4": ["10.0.0.0/24"], "string": "flow " + "x" * 300}
    strange = [
        7,
        None,
        {},
        {"nlri": 5},
        "10.0.0.0/x",
        "2001:db8::/32",
        {"nlri": ONE, "path-information": "x"},
    ]
    got = update_of(
        announces={
            "ipv4 flow": {"no-nexthop": [flow_rule]},
            "ipv4 unicast": {PEER: ["192.0.2.1/32", *strange, "192.0.2.2/33"]},
            "ipv6 mpls-vpn": "rd 1:1",
        }
    )
    assert [(route.key, route.next_hops) for route in got.announced] == [
        (key, (Address.parse(PEER),)) for key in keys(PEER, 0, "192.0.2.1/32", "192.0.2.2/33")
    ]
    (flow_family, flow_text), *others = got.other_families
    assert flow_family == "ipv4 flow"
    assert flow_text.startswith('{"destination-ipv4":["10.0.0.0/24"],"string":"flow xxx')
    assert len(flow_text) == 200
    assert others == [
        ("ipv4 unicast", "7"),
        ("ipv4 unicast", "null"),
        ("ipv4 unicast", "{}"),
        ("ipv4 unicast", '{"nlri":5}'),
        ("ipv4 unicast", "10.0.0.0/x"),
        ("ipv4 unicast", "2001:db8::/32"),
        ("ipv4 unicast", '{"nlri":"203.0.113.1/32","path-information":"x"}'),
        ("ipv6 mpls-vpn", "rd 1:1"),
    ]
    assert {route.attributes.malformed for route in got.announced} == {""}


def test_withdraws_of_other_families_are_of_no_interest() -> None:
    gone = {"ipv4 flow": [{"string": "x"}], "ipv4 unicast": ["x", ONE], "ipv6 unicast": "x"}
    got = decode(line_of({"update": {"withdraw": gone}}))
    assert isinstance(got, Update)
    assert (got.withdrawn, got.other_families) == (keys(PEER, 0, ONE), ())


STRANGE = [
    "10.0.0.1/33",
    "1.2.3.4/08",
    "01.2.3.4/8",
    "256.1.1.1/1",
    "1.2.3/4",
    "1.2.3.4",
    "1.2.3.4/129",
    "1.2.3.4/100",
    "::1/128",
    "1.2.3.4/5.6",
    "1.2.3.4/3,5.6.7.8/3",
    "1.2.3.4/3,1.2",
    "-1.2.3.4/1",
    "1e1.2.3.4/3",
    "\u0661.2.3.4/3",
    "1.2.3.4/32 ",
    "1.2.3.4/32\n",
    "255.255.255.255/99",
    "",
]
ITEMS = st.one_of(
    st.builds(lambda n: {"nlri": f"10.0.0.{n}/32"}, st.integers(0, 255)),
    st.builds(lambda text: {"nlri": text}, st.sampled_from(STRANGE)),
    st.builds(lambda text: {"nlri": text}, st.text(alphabet="0123456789./,", max_size=12)),
    st.sampled_from(["1.2.3.4/32", 5, None, {"a": 1}, {"nlri": 5}, {}, {"nlri": None}, ["nlri"]]),
    st.just({"nlri": "1.2.3.4/32", "path-information": "0.0.0.7"}),
)


@given(st.lists(ITEMS, max_size=5))
def test_nlri_that_are_read_together_are_those_that_are_read_one_by_one(items: list[Any]) -> None:
    peer = Address.parse(PEER)
    together = nlri.route_keys(peer, 4, items)
    each = [nlri.route_keys(peer, 4, [item]) for item in items]
    assert together == ([key for keys, _ in each for key in keys], [s for _, r in each for s in r])
    for item in items:
        assert nlri.route_keys(peer, 4, [item]) == nlri._keys_of_each(peer, 4, [item])
