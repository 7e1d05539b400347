"""Attributes that routers get: nothing that a host can forge, nothing lost on the way."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.core_samples import OWN_ASN, address, path, route, router_group

from rsfilter.routing.export import (
    LLGR_STALE,
    NO_ADVERTISE,
    NO_EXPORT,
    NO_EXPORT_SUBCONFED,
    Export,
    OutAttributes,
    is_stale,
    path_id,
    preference,
)
from rsfilter.routing.groups import RouterGroup
from rsfilter.routing.model import Address, Attributes, Route

TRANSPARENT = router_group()
PREPEND = router_group(prepend=True)
IBGP = router_group(asn=OWN_ASN)
FANOUT = router_group(asn=OWN_ASN, only_outside=True)

GRACEFUL_SHUTDOWN = (65535, 0)
MANY = tuple((65007, value) for value in range(40))
"""More communities than attribute sets that are remembered have."""


def sent(route: Route, group: RouterGroup = TRANSPARENT, own_asn: int = OWN_ASN) -> OutAttributes:
    attributes = Export(own_asn, group).attributes(route.announcement)
    assert attributes is not None
    return attributes


def with_attributes(**attributes: object) -> Route:
    return route(attributes=Attributes(as_path=path("65007"), **attributes))  # type: ignore[arg-type]


def test_attributes_go_out_as_they_came() -> None:
    came = with_attributes(
        origin="egp",
        med=7,
        communities=((65007, 1), GRACEFUL_SHUTDOWN),
        large_communities=((65007, 1, 2),),
        extended_communities=(0x0002_FDEF_0000_0001,),
    )
    assert sent(came) == OutAttributes(
        next_hop=address("198.51.100.7"),
        as_path=(65007,),
        origin="egp",
        med=7,
        communities=((65007, 1), GRACEFUL_SHUTDOWN),
        large_communities=((65007, 1, 2),),
        extended_communities=(0x0002_FDEF_0000_0001,),
    )


@pytest.mark.parametrize("med", [None, 0, 1, 2**32 - 1])
def test_an_absent_med_stays_absent(med: int | None) -> None:
    assert sent(with_attributes(med=med)).med == med


# The path and the next hop -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("as_path", "transparent", "prepended"),
    [
        ("65007", (65007,), (65100, 65007)),
        ("65007 65007 65007", (65007, 65007, 65007), (65100, 65007, 65007, 65007)),
        ("65008", (65007,), (65100, 65007)),
        ("65007|{65008}|(65009)", (65007,) * 3, (65100, 65007, 65007, 65007)),
        ("", (65007,), (65100, 65007)),
    ],
)
def test_the_path_is_made_of_the_sessions_asn(
    as_path: str, transparent: tuple[int, ...], prepended: tuple[int, ...]
) -> None:
    assert sent(route(as_path=as_path)).as_path == transparent
    assert sent(route(as_path=as_path), PREPEND).as_path == prepended


@pytest.mark.parametrize("next_hops", ["2001:db8:c633::7 fe80::7", "fe80::7 2001:db8:c633::7"])
def test_a_link_local_companion_is_left_out(next_hops: str) -> None:
    came = route("2001:db8:aa::1/128", neighbor="2001:db8:c633::7", next_hops=next_hops)
    assert sent(came).next_hop == address("2001:db8:c633::7")


# Communities -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("community", "ebgp", "ibgp"),
    [
        (NO_EXPORT, False, True),
        (NO_EXPORT_SUBCONFED, False, True),
        (NO_ADVERTISE, False, False),
        (GRACEFUL_SHUTDOWN, True, True),
        (LLGR_STALE, True, True),
        ((65535, 65280), True, True),
        ((65535, 65284), True, True),
    ],
)
@pytest.mark.parametrize("beside", [(), ((65007, 1),), MANY], ids=["alone", "one", "many"])
def test_well_known_communities_are_obeyed(
    community: tuple[int, int], ebgp: bool, ibgp: bool, beside: tuple[tuple[int, int], ...]
) -> None:
    came = with_attributes(communities=(*beside, community))
    for group, goes in [(TRANSPARENT, ebgp), (PREPEND, ebgp), (FANOUT, ebgp), (IBGP, ibgp)]:
        attributes = Export(OWN_ASN, group).attributes(came.announcement)
        assert (attributes is not None) is goes
        if attributes is not None:
            assert attributes.communities == (*beside, community)


def test_well_known_communities_have_their_numbers() -> None:
    """RFC 1997 and RFC 9494, by hand."""
    assert NO_EXPORT == (0xFFFF, 0xFF01)
    assert NO_ADVERTISE == (0xFFFF, 0xFF02)
    assert NO_EXPORT_SUBCONFED == (0xFFFF, 0xFF03)
    assert LLGR_STALE == (0xFFFF, 0x0006)


@pytest.mark.parametrize("group", [TRANSPARENT, PREPEND, IBGP], ids=["eBGP", "prepend", "iBGP"])
def test_communities_that_name_our_asn_are_removed(group: RouterGroup) -> None:
    came = with_attributes(
        communities=((65100, 1), (65007, 65100), (65101, 1), (65100, 65100)),
        large_communities=((65100, 1, 1), (65007, 65100, 65100), (65101, 1, 1)),
    )
    assert sent(came, group).communities == ((65007, 65100), (65101, 1))
    assert sent(came, group).large_communities == ((65007, 65100, 65100), (65101, 1, 1))


@pytest.mark.parametrize(
    ("community", "own_asn", "passes"),
    [
        # type, subtype, 2-octet ASN, 4 octets (RFC 4360 section 3.1): 65100 is 0xFE4C
        (0x0002_FE4C_0000_0001, 65100, False),
        (0x0003_FE4C_0000_0001, 65100, False),
        (0x0002_FE4D_0000_0001, 65100, True),
        (0x0002_FDEF_0000_FE4C, 65100, True),
        # type, subtype, 4-octet ASN, 2 octets (RFC 5668): 65100, then 4200000100 is 0xFA56EA64
        (0x0202_0000_FE4C_0001, 65100, False),
        (0x0202_0001_FE4C_0001, 65100, True),
        (0x0202_0000_FDEF_FE4C, 65100, True),
        (0x0203_FA56_EA64_0001, 4200000100, False),
        (0x0203_FA56_EA65_0001, 4200000100, True),
        (0x0002_EA64_0000_0001, 4200000100, True),
        # an IPv4 address (RFC 4360 section 3.2) or a colour (RFC 9012) that equals our ASN
        (0x0102_FE4C_0000_0001, 65100, True),
        (0x030B_0000_0000_FE4C, 65100, True),
        (0x030C_FE4C_0000_0008, 65100, True),
        # not transitive: origin validation state (RFC 8097), link bandwidth, and whatever else
        (0x4300_0000_0000_0000, 65100, False),
        (0x4300_0000_0000_0002, 65100, False),
        (0x4004_FDEF_4B18_9680, 65100, False),
        (0x4204_0000_FDEF_0001, 65100, False),
        (0xC000_0000_0000_0000, 65100, False),
        # flow specification's (RFC 8955 section 7, RFC 7674): redirect:65100:1 by both kinds of ASN
        (0x8008_FE4C_0000_0001, 65100, False),
        (0x8208_0000_FE4C_0001, 65100, False),
        (0x8208_FA56_EA64_0001, 4200000100, False),
        (0x8108_FE4C_0000_0001, 65100, True),
        (0x8006_FDEF_0000_0000, 65100, True),
        (0x8208_0000_FDEF_FE4C, 65100, True),
    ],
)
def test_extended_communities_that_pass(community: int, own_asn: int, passes: bool) -> None:
    kept = 0x0002_FDEF_0000_0001
    came = with_attributes(extended_communities=(community, kept))
    expected = (community, kept) if passes else (kept,)
    assert sent(came, own_asn=own_asn).extended_communities == expected


def test_a_four_octet_asn_of_ours_is_found_in_large_communities_only() -> None:
    came = with_attributes(communities=((60004, 1),), large_communities=((4200000100, 1, 1),))
    assert sent(came, own_asn=4200000100).communities == ((60004, 1),)
    assert sent(came, own_asn=4200000100).large_communities == ()


# Memory ------------------------------------------------------------------------------------------


def test_communities_that_name_the_routers_asn_are_removed() -> None:
    """Communities that request an action of a router are removed: with the ASN of its own group, of
    other groups, and of routers behind a fan-out. Those with another ASN pass."""
    group = replace(FANOUT, asns_behind=frozenset({65201, 4200000201}))
    export = Export(OWN_ASN, group, frozenset({65200, OWN_ASN}))
    left = export.attributes(
        with_attributes(
            communities=((65200, 120), (65201, 1), (65007, 1), (65535, 0)),
            large_communities=((65200, 1, 2), (4200000201, 1, 2), (65007, 65200, 65201)),
            extended_communities=(
                0x0002_FEB0_0000_0001,  # route target, two-octet AS 65200
                0x0002_FEB1_0000_0001,  # 65201
                0x0202_FA56_EAC9_0001,  # four-octet AS 4200000201
                0x0002_FDEF_0000_0001,  # 65007
            ),
        ).announcement
    )
    assert left is not None
    assert left.communities == ((65007, 1), (65535, 0))
    assert left.large_communities == ((65007, 65200, 65201),)
    assert left.extended_communities == (0x0002_FDEF_0000_0001,)


def test_equal_attributes_are_one_object() -> None:
    export = Export(OWN_ASN, TRANSPARENT)
    one, other = route("203.0.113.1/32"), route("203.0.113.2/32")
    assert export.attributes(one.announcement) is export.attributes(other.announcement)


@pytest.mark.parametrize("kind", ["communities", "large_communities", "extended_communities"])
def test_what_a_host_can_vary_at_length_is_not_remembered(kind: str) -> None:
    value: dict[str, object] = {
        "communities": (65007, 1),
        "large_communities": (65007, 1, 1),
        "extended_communities": 0x0002_FDEF_0000_0001,
    }
    export = Export(OWN_ASN, TRANSPARENT)
    plain = with_attributes(**{kind: (value[kind],) * 16})
    long = with_attributes(**{kind: (value[kind],) * 17})
    built, built_long = export.attributes(plain), export.attributes(long)
    assert export.attributes(plain) is built
    assert export.attributes(long) == built_long
    assert export.attributes(long) is not built_long


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsfilter.routing.export._CACHED_SETS", 1)
    export = Export(OWN_ASN, TRANSPARENT)
    one, other = with_attributes(med=1), with_attributes(med=2)
    first = export.attributes(one)
    assert export.attributes(one) is first
    export.attributes(other)
    assert export.attributes(one) is not first


def test_remembering_does_not_mix_hosts_or_groups() -> None:
    export = Export(OWN_ASN, TRANSPARENT)
    same = Attributes(as_path=path("65007"))
    assert export.attributes(route(attributes=same)) != export.attributes(
        route(attributes=same, asn=65008)
    )
    assert export.attributes(route(attributes=same)) != export.attributes(
        route(attributes=same, next_hops="198.51.100.8")
    )


# Preference --------------------------------------------------------------------------------------


def candidate(
    neighbor: str, med: int | None = None, *, stale: bool = False, received: int = 0
) -> Route:
    communities = ((65007, 1), LLGR_STALE) if stale else ((65007, 1),)
    attributes = Attributes(as_path=path("65007"), med=med, communities=communities)
    return route(neighbor=neighbor, attributes=attributes, path_id=received)


BEST_FIRST = [
    candidate("198.51.100.7"),
    candidate("198.51.100.7", 0, received=1),
    candidate("198.51.100.8", 0),
    candidate("198.51.100.10", 0),
    candidate("2001:db8::1"),
    candidate("2001:db8::2"),
    candidate("198.51.100.1", 1),
    candidate("198.51.100.6", 2**32 - 1),
    candidate("198.51.100.2", 5, stale=True),
    candidate("198.51.100.1", 6, stale=True),
]
"""Stale routes last, then lowest MED (absent is 0), address as a number, IPv4, path id."""


@given(st.permutations(BEST_FIRST))
def test_the_best_path_is_the_best_in_any_order(routes: list[Route]) -> None:
    assert sorted(routes, key=preference) == BEST_FIRST


def test_stale_is_what_carries_the_community() -> None:
    assert is_stale(candidate("198.51.100.1", stale=True))
    assert not is_stale(candidate("198.51.100.1"))


# Path ids ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("neighbor", "received", "expected"),
    [
        ("198.51.100.7", 0, 0xC6336407),
        ("0.0.0.1", 0, 1),
        ("255.255.255.255", 0, 0xFFFFFFFF),
        # printf 'ADDRESS ID' | sha256sum | cut -c 1-8
        ("198.51.100.7", 1, 0x9E643B18),
        ("2001:db8:c633::7", 0, 0xE40B6326),
        ("2001:db8:c633::7", 1, 0x6CD312A3),
        ("0.0.0.0", 0, 0xCDECCD47),
    ],
)
def test_path_ids_are_the_same_for_ever(neighbor: str, received: int, expected: int) -> None:
    """Routers keep them across our restarts and upgrades: changing one is a flap."""
    assert path_id(address(neighbor), received) == expected


@given(st.ip_addresses().map(str), st.integers(0, 2**32 - 1))
def test_path_ids_fit_the_wire_and_are_never_zero(neighbor: str, received: int) -> None:
    assert 0 < path_id(address(neighbor), received) < 2**32


def test_path_ids_distinguish_neighbors_and_their_paths() -> None:
    chance = random.Random(7)
    pairs = {
        (Address(family, chance.getrandbits(bits)), received)
        for family, bits in ((4, 32), (6, 128))
        for _ in range(300)
        for received in (0, 1)
    }
    assert len({path_id(*pair) for pair in pairs}) == len(pairs)
