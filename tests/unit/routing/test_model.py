"""Addresses, prefixes and AS paths: values against the `ipaddress` module and the RFCs."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.core_samples import path, prefix
from support.places import ROOT

from rsfilter.routing.model import (
    IPV4,
    IPV6,
    Address,
    AsPath,
    Prefix,
    Segment,
    SegmentType,
    Vrp,
)
from rsfilter.routing.reasons import REASONS

IP = st.ip_addresses()


@st.composite
def networks(draw: st.DrawFn) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Networks that often touch: few high bits, any length."""
    version = draw(st.sampled_from((4, 6)))
    bits = 32 if version == 4 else 128
    length = draw(st.integers(0, bits))
    high = draw(st.integers(0, 7)) << (bits - 3)
    low = draw(st.integers(0, 7))
    kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    return kind((high | low, length), strict=False)


def as_prefix(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Prefix:
    return Prefix(network.version, int(network.network_address), network.prefixlen)


# Addresses ---------------------------------------------------------------------------------------


@given(IP)
def test_an_address_reads_what_it_writes(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    parsed = Address.parse(str(ip))
    assert parsed == Address(ip.version, int(ip))
    assert Address.parse(str(parsed)) == parsed
    if ip not in MAPPED:  # which Python spells in two ways
        assert str(parsed) == str(ip)


MAPPED = ipaddress.ip_network("::ffff:0:0/96")


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        ("0000:0000:0000:0000:0000:0000:0000:0000", "::"),
        ("0000:0000:0000:0000:0000:0000:0000:0001", "::1"),
        ("0001:0000:0000:0000:0000:0000:0000:0000", "1::"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
        ("2001:0DB8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"),  # the first of equal ones
        ("2001:0db8:0000:0000:0001:0000:0000:0000", "2001:db8:0:0:1::"),  # the longest
        ("2001:0db8:0000:0001:0001:0001:0001:0001", "2001:db8:0:1:1:1:1:1"),  # one group alone
        ("0000:0001:0001:0001:0001:0001:0001:0000", "0:1:1:1:1:1:1:0"),
        ("0001:0002:0003:0004:0005:0006:0007:0008", "1:2:3:4:5:6:7:8"),
        ("0000:0000:0000:0000:0000:ffff:c000:0201", "::ffff:192.0.2.1"),  # section 5
        ("0000:0000:0000:0000:0000:ffff:0000:0000", "::ffff:0.0.0.0"),
        ("0000:0000:0000:0000:0000:fffe:c000:0201", "::fffe:c000:201"),
        ("0000:0000:0000:0000:0000:0000:c000:0201", "::c000:201"),
        ("0064:ff9b:0000:0000:0000:0000:c000:0201", "64:ff9b::c000:201"),
        ("fe80:0000:0000:0000:0000:0000:0000:000a", "fe80::a"),
    ],
)
def test_an_ipv6_address_is_spelled_as_rfc_5952_has_it(groups: str, text: str) -> None:
    """Texts of addresses must not change: logs and recordings are compared across Python's
    versions."""
    value = int(groups.replace(":", ""), 16)
    assert str(Address(6, value)) == text
    assert str(Prefix(6, value, 128)) == f"{text}/128"
    assert Address.parse(text) == Address(6, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "198.51.100",
        "198.51.100.256",
        "198.51.100.1/32",
        "fe80::1%eth0",
        "::g",
        " 192.0.2.1",
        "1",
    ],
)
def test_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        Address.parse(text)


def test_a_zone_id_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'fe80::1%eth0' has a zone id"):
        Address.parse("fe80::1%eth0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("169.253.255.255", False),
        ("169.254.0.0", True),
        ("169.254.255.255", True),
        ("169.255.0.0", False),
        ("fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", False),
        ("fe80::", True),
        ("febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", True),
        ("fec0::", False),
        ("::1", False),
        ("::169.254.0.1", False),
    ],
)
def test_link_local_addresses_are_recognised(text: str, expected: bool) -> None:
    assert Address.parse(text).is_link_local is expected


def test_addresses_order_by_family_and_then_as_numbers() -> None:
    texts = ["9.0.0.1", "10.0.0.1", "255.255.255.255", "::1", "2001:db8::1"]
    assert [str(a) for a in sorted(map(Address.parse, reversed(texts)))] == texts


# Prefixes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.1/32", (IPV4, 0xCB007101, 32)),
        ("203.0.113.1", (IPV4, 0xCB007101, 32)),
        ("0.0.0.0/0", (IPV4, 0, 0)),
        ("10.0.0.1/8", (IPV4, 0x0A000001, 8)),
        ("10.0.0.0/33", (IPV4, 0x0A000000, 33)),
        ("10.0.0.0/999", (IPV4, 0x0A000000, 999)),
        ("2001:db8::/32", (IPV6, 0x20010DB8 << 96, 32)),
        ("2001:db8::1", (IPV6, (0x20010DB8 << 96) + 1, 128)),
        ("::/0", (IPV6, 0, 0)),
    ],
)
def test_prefixes_are_read_as_they_were_sent(text: str, expected: tuple[int, int, int]) -> None:
    assert Prefix.parse(text) == Prefix(*expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/32",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/8 ",
        "10.0.0.0/1000",
        "10.0.0.0/٣",
        "10.0.0.0/255.0.0.0",
        "10/8",
        "10.0.0.0/8/8",
        "fe80::%1/64",
    ],
)
def test_text_that_is_no_prefix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Prefix.parse(text)


def test_a_length_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'10.0.0.0/x' has no usable prefix length"):
        Prefix.parse("10.0.0.0/x")


@given(networks())
def test_a_prefix_reads_what_it_writes(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> None:
    assert Prefix.parse(str(network)) == as_prefix(network)
    assert str(as_prefix(network)) == str(network)
    assert as_prefix(network).is_well_formed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0/0", True),
        ("128.0.0.0/0", False),
        ("203.0.113.1/32", True),
        ("203.0.113.0/33", False),
        ("203.0.113.1/31", False),
        ("203.0.113.2/31", True),
        ("::/0", True),
        ("2001:db8::1/128", True),
        ("2001:db8::/129", False),
        ("2001:db8::1/127", False),
        ("2001:db8::/33", True),
    ],
)
def test_well_formed_prefixes_are_parsed(text: str, expected: bool) -> None:
    assert Prefix.parse(text).is_well_formed is expected


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("203.0.113.7", 32, "203.0.113.7/32"),
        ("203.0.113.7/28", 28, "203.0.113.0/28"),
        ("203.0.113.255/33", 25, "203.0.113.128/25"),
        ("203.0.113.7", 0, "0.0.0.0/0"),
        ("2001:db8:ffff::1/64", 33, "2001:db8:8000::/33"),
    ],
)
def test_masking_clears_the_host_bits(text: str, length: int, expected: str) -> None:
    assert str(Prefix.parse(text).masked(length)) == expected


def test_a_prefix_has_its_address_part() -> None:
    assert Prefix.parse("203.0.113.7/24").address == Address.parse("203.0.113.7")
    assert Prefix.parse("2001:db8::/32").address == Address.parse("2001:db8::")


@given(networks(), networks())
def test_covering_is_that_of_ipaddress(
    one: ipaddress.IPv4Network | ipaddress.IPv6Network,
    other: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> None:
    same_family = one.version == other.version
    assert as_prefix(one).covers(as_prefix(other)) is (
        same_family and other.subnet_of(one)  # type: ignore[arg-type]
    )
    assert as_prefix(one).overlaps(as_prefix(other)) is (same_family and one.overlaps(other))


@given(networks(), IP)
def test_holding_is_that_of_ipaddress(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    assert as_prefix(network).holds(Address.parse(str(ip))) is (ip in network)


@given(networks())
def test_a_network_holds_its_ends_and_not_what_is_past_them(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> None:
    whole = as_prefix(network)
    bits = network.max_prefixlen
    first, last = int(network.network_address), int(network.broadcast_address)
    assert whole.holds(Address(network.version, first))
    assert whole.holds(Address(network.version, last))
    if first:
        assert not whole.holds(Address(network.version, first - 1))
    if last + 1 < 1 << bits:
        assert not whole.holds(Address(network.version, last + 1))


def test_families_do_not_mix() -> None:
    assert not prefix("0.0.0.0/0").covers(prefix("::/0"))
    assert not prefix("0.0.0.0/0").overlaps(prefix("::/0"))
    assert not prefix("0.0.0.0/0").holds(Address.parse("::1"))


# AS paths ----------------------------------------------------------------------------------------


def test_a_path_of_one_sequence_has_its_asns() -> None:
    assert AsPath.sequence(1, 2) == AsPath((Segment(SegmentType.SEQUENCE, (1, 2)),))
    assert AsPath.sequence() == AsPath(())


@pytest.mark.parametrize(
    ("text", "shown", "asns"),
    [
        ("", "", ()),
        ("65007", "65007", (65007,)),
        ("1 2|{3 4}|(5 6)|[7 8]|?9", "1 2 {3 4} (5 6) [7 8] [9]", (1, 2, 3, 4, 5, 6, 7, 8, 9)),
    ],
)
def test_paths_as_people_write_them(text: str, shown: str, asns: tuple[int, ...]) -> None:
    assert str(path(text)) == shown
    assert path(text).asns == asns


def test_a_vrp_as_people_write_it() -> None:
    assert str(Vrp(prefix("203.0.113.0/28"), 32, 65005)) == "203.0.113.0/28-32 AS65005"


# Reasons -----------------------------------------------------------------------------------------


def test_no_number_ever_changes() -> None:
    """Numbers must not change: logs and looking glasses keep them. A new reason needs no line here,
    but its own number: the first ones are Euro-IX's, from 2000 on they are ours."""
    numbers = {name: reason.euro_ix for name, reason in REASONS.items()}
    own = [number for number in numbers.values() if number > 2000]
    assert len(own) == len(set(own))
    assert {
        **numbers,
        "neighbor_unknown": 2001,
        "neighbor_not_bound": 2002,
        "family_not_allowed": 2003,
        "prefix_malformed": 2004,
        "prefix_too_long": 1,
        "prefix_too_short": 2,
        "bogon_prefix": 3,
        "bogon_asn": 4,
        "as_path_too_long": 5,
        "as_path_missing": 6,
        "as_path_set": 2005,
        "as_path_confed": 2006,
        "first_as_not_neighbor": 7,
        "next_hop_not_owned": 8,
        "attribute_malformed": 2007,
        "origin_not_found": 12,
        "origin_invalid_asn": 13,
        "origin_invalid_length": 13,
        "max_prefixes": 2008,
        "data_unavailable": 2009,
        "held_by_guard": 2010,
        "next_hop_family": 2011,
    } == numbers


def test_every_reason_has_a_text_and_a_remedy() -> None:
    assert all(name == reason.name and reason.text for name, reason in REASONS.items())
    assert len({reason.text for reason in REASONS.values()}) == len(REASONS)


def test_the_policy_names_no_reason_that_the_table_lacks() -> None:
    """A name that the policy spells and the table lacks would be lost on the way."""
    source = ROOT / "rsfilter" / "routing" / "policy.py"
    quoted = set(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', source.read_text(encoding="utf-8")))
    assert quoted - set(REASONS) == set()


ADDRESSES = st.one_of(
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
    st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
    st.ip_addresses(v=4).map(lambda address: f"64:ff9b::{address}"),
    st.from_regex(r"[0-9a-f:.]{1,20}", fullmatch=True),
    st.from_regex(r"([0-9]{1,4}\.){3}[0-9]{1,4}", fullmatch=True),
    st.from_regex(r"([0-9a-f]{0,5}:){2,8}[0-9a-f]{0,5}", fullmatch=True),
    st.text(max_size=12),
)


@settings(max_examples=400)
@given(
    ADDRESSES, st.one_of(st.just(""), st.integers(-1, 1000).map("/{}".format), st.text(max_size=3))
)
@example("::ffff:192.0.2.1", "/128")
@example("192.0.2.01", "/32")
@example("192.0.2.1", "/032")
@example("1:2:3:4:5:6:7::", "/128")
@example("\x00", "")
@example("fe80::1%eth0", "/128")
@example("\u0661.2.3.4", "/32")
@example("192.0.2.1", "/\u0663\u0662")
def test_a_prefix_is_read_as_the_standard_library_reads_its_address(
    address: str, length: str
) -> None:
    text = address + length
    where, slash, digits = text.partition("/")
    try:
        if "%" in where or (slash and re.fullmatch(r"[0-9]{1,3}", digits) is None):
            raise ValueError(text)
        known = ipaddress.ip_address(where)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            Prefix.parse(text)
    else:
        length_read = int(digits) if slash else known.max_prefixlen
        assert Prefix.parse(text) == Prefix(known.version, int(known), length_read)
