"""VrpSet against RFC 6811: by table, and against an oracle written from the text of the RFC."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsfilter.routing.model import BITS, IPV4, IPV6, OriginState, Prefix, Vrp
from rsfilter.rpki import vrps as vrps_module
from rsfilter.rpki.vrp_tables import MAX_ASN, Numbers
from rsfilter.rpki.vrps import EMPTY, MAX_NAMED_VRPS, VrpSet

VALID, INVALID, NOT_FOUND = OriginState.VALID, OriginState.INVALID, OriginState.NOT_FOUND


def vrp(text: str) -> Vrp:
    """A VRP from `prefix-maxLength ASn`, the notation of `Vrp.__str__`."""
    payload, _, asn = text.partition(" AS")
    prefix, _, max_length = payload.partition("-")
    return Vrp(Prefix.parse(prefix), int(max_length), int(asn))


def vrps(*texts: str) -> VrpSet:
    return VrpSet.of(map(vrp, texts))


# RFC 6811 by table -------------------------------------------------------------------------------

TABLE = [
    # (VRPs, prefix, ASN, state, the VRPs named, in order)
    ([], "203.0.113.1/32", 1, NOT_FOUND, []),
    (["203.0.113.0/24-32 AS1"], "203.0.113.1/32", 1, VALID, ["203.0.113.0/24-32 AS1"]),
    (["203.0.113.0/24-32 AS1"], "203.0.113.1/32", 2, INVALID, ["203.0.113.0/24-32 AS1"]),
    (["203.0.113.0/24-31 AS1"], "203.0.113.1/32", 1, INVALID, ["203.0.113.0/24-31 AS1"]),
    (["203.0.113.0/24-32 AS1"], "203.0.113.0/24", 1, VALID, ["203.0.113.0/24-32 AS1"]),
    (["203.0.113.0/24-32 AS1"], "203.0.112.0/23", 1, NOT_FOUND, []),
    (["203.0.113.0/24-32 AS1"], "203.0.114.1/32", 1, NOT_FOUND, []),
    (["203.0.113.1/32-32 AS1"], "203.0.113.1/32", 1, VALID, ["203.0.113.1/32-32 AS1"]),
    (["203.0.113.0/32-32 AS1"], "203.0.113.1/32", 1, NOT_FOUND, []),
    (["2001:db8::1/128-128 AS1"], "2001:db8::1/128", 1, VALID, ["2001:db8::1/128-128 AS1"]),
    (["2001:db8::/32-64 AS1"], "2001:db8::1/128", 1, INVALID, ["2001:db8::/32-64 AS1"]),
    (["0.0.0.0/0-32 AS1"], "203.0.113.1/32", 1, VALID, ["0.0.0.0/0-32 AS1"]),
    (["0.0.0.0/0-0 AS1"], "0.0.0.0/0", 1, VALID, ["0.0.0.0/0-0 AS1"]),
    (["::/0-128 AS1"], "2001:db8::1/128", 2, INVALID, ["::/0-128 AS1"]),
    # Families never mix, whatever the bits.
    (["0.0.0.0/0-32 AS1"], "::/0", 1, NOT_FOUND, []),
    (["::/0-128 AS1"], "0.0.0.0/32", 1, NOT_FOUND, []),
    # AS0 covers and never matches, not even a route "from AS0" (RFC 6483, RFC 7607).
    (["203.0.113.0/24-32 AS0"], "203.0.113.1/32", 1, INVALID, ["203.0.113.0/24-32 AS0"]),
    (["203.0.113.0/24-32 AS0"], "203.0.113.1/32", 0, INVALID, ["203.0.113.0/24-32 AS0"]),
    (
        ["203.0.113.0/24-24 AS0", "203.0.113.0/24-32 AS1"],
        "203.0.113.1/32",
        1,
        VALID,
        ["203.0.113.0/24-32 AS1"],
    ),
    # A less specific VRP is as good as a more specific one; Valid names those that match only.
    (
        ["203.0.113.0/24-32 AS1", "203.0.113.0/28-32 AS2", "203.0.113.1/32-32 AS3"],
        "203.0.113.1/32",
        1,
        VALID,
        ["203.0.113.0/24-32 AS1"],
    ),
    # Invalid names its own first, then the most specific.
    (
        ["203.0.112.0/20-32 AS9", "203.0.113.0/24-24 AS1", "203.0.113.1/32-32 AS3"],
        "203.0.113.1/32",
        1,
        INVALID,
        ["203.0.113.0/24-24 AS1", "203.0.113.1/32-32 AS3", "203.0.112.0/20-32 AS9"],
    ),
    (
        ["203.0.113.0/24-32 AS2", "203.0.113.0/24-25 AS2", "203.0.113.0/24-25 AS1"],
        "203.0.113.1/32",
        7,
        INVALID,
        ["203.0.113.0/24-25 AS1", "203.0.113.0/24-25 AS2", "203.0.113.0/24-32 AS2"],
    ),
]


@pytest.mark.parametrize(("given_vrps", "prefix", "asn", "state", "named"), TABLE)
def test_validation_follows_rfc_6811(
    given_vrps: list[str], prefix: str, asn: int, state: OriginState, named: list[str]
) -> None:
    validation = vrps(*given_vrps).validate(Prefix.parse(prefix), asn)
    assert validation.state is state
    assert [str(one) for one in validation.vrps] == named


def test_the_named_vrps_are_bounded_and_keep_the_own_ones() -> None:
    others = [f"203.0.113.0/24-32 AS{asn}" for asn in range(100, 200)]
    table = vrps(*others, "203.0.0.0/16-16 AS7")
    validation = table.validate(Prefix.parse("203.0.113.1/32"), 7)
    assert validation.state is INVALID
    assert len(validation.vrps) == MAX_NAMED_VRPS
    assert validation.vrps[0] == vrp("203.0.0.0/16-16 AS7")
    assert validation.vrps[1] == vrp("203.0.113.0/24-32 AS100")


MALFORMED = [
    Vrp(Prefix(IPV4, 1, 24), 32, 1),  # host bits
    Vrp(Prefix(IPV4, 0, 33), 33, 1),
    Vrp(Prefix(IPV4, 0, 24), 33, 1),
    Vrp(Prefix(IPV4, 0, 24), 23, 1),
    Vrp(Prefix(IPV4, 0, -1), 0, 1),
    Vrp(Prefix(IPV4, 1 << 32, 0), 0, 1),
    Vrp(Prefix(IPV4, -(1 << 8), 24), 24, 1),
    Vrp(Prefix(IPV6, 0, 129), 129, 1),
    Vrp(Prefix(IPV6, 1, 127), 128, 1),
    Vrp(Prefix(IPV4, 0, 24), 24, -1),
    Vrp(Prefix(IPV4, 0, 24), 24, 1 << 32),
    Vrp(Prefix(5, 0, 0), 0, 1),
]


@pytest.mark.parametrize("malformed", MALFORMED)
def test_what_cannot_be_a_vrp_is_refused(malformed: Vrp) -> None:
    with pytest.raises(ValueError, match="not a VRP"):
        VrpSet.of([vrp("203.0.113.0/24-32 AS1"), malformed])


# VRPs are put in together, and it makes no difference ---------------------------------------------


def can_be(numbers: Numbers) -> bool:
    """Each condition of a VRP for itself, by comparison of numbers."""
    family, network, length, max_length, asn = numbers
    bits = BITS.get(family, -1)
    return (
        0 <= length <= max_length <= bits
        and 0 <= network < 2**bits
        and network % 2 ** (bits - length) == 0
        and 0 <= asn < 2**32
    )


@st.composite
def some_numbers(draw: st.DrawFn, *, wrong: bool = False) -> Numbers:
    """Few lengths, networks and ASNs: many VRPs are alike, of one prefix, or the same."""
    family = draw(st.sampled_from((IPV4, IPV6)))
    bits = BITS[family]
    length = draw(st.sampled_from((0, 1, 24, 31, bits - 1, bits)))
    network = draw(st.integers(0, min(3, 2**length - 1))) << (bits - length)
    max_length = draw(st.integers(length, min(length + 2, bits)))
    numbers = [family, network, length, max_length, draw(st.sampled_from((0, 1, 2, MAX_ASN)))]
    if wrong:
        which = draw(st.integers(0, 4))
        numbers[which] = draw(st.sampled_from((-1, 5, 129, 1 << 32, 1 << 128, -1 << 32, -1 << 128)))
    family, network, length, max_length, asn = numbers
    return family, network, length, max_length, asn


def test_a_vrp_with_host_bits_is_in_no_set() -> None:
    table = vrps("203.0.113.0/24-32 AS1")
    assert vrp("203.0.113.0/24-32 AS1") in table
    assert vrp("203.0.113.1/24-32 AS1") not in table


slices = st.integers(1, 7).map(lambda size: patch.object(vrps_module, "_SLICE", size))


@given(st.lists(some_numbers(), max_size=20), slices)
def test_many_are_the_set_of_each(many: list[Numbers], small_slices: Any) -> None:
    with small_slices:
        table = VrpSet.of_numbers(iter(many))
    expected = {Vrp(Prefix(f, network, length), m, asn) for f, network, length, m, asn in many}
    assert list(table) == sorted(expected)
    assert len(table) == len(expected)
    assert all(each in table for each in expected)
    assert table == VrpSet.of(expected)


@given(
    st.lists(some_numbers(), max_size=8),
    st.lists(some_numbers(wrong=True), max_size=2),
    st.randoms(use_true_random=False),
    slices,
)
def test_one_that_cannot_be_is_found_among_many(
    good: list[Numbers], doubtful: list[Numbers], rng: random.Random, small_slices: Any
) -> None:
    many = good + doubtful
    rng.shuffle(many)
    wrong = [each for each in many if not can_be(each)]
    with small_slices:
        if not wrong:
            assert len(VrpSet.of_numbers(many)) == len(set(many))
            return
        with pytest.raises(ValueError, match="not a VRP: ") as caught:
            VrpSet.of_numbers(many)
    named = str(caught.value).removeprefix("not a VRP: ")
    assert named in {
        *map(str, wrong),
        *(f"family {family} has no prefix of length {length}" for family, _, length, *_ in wrong),
    }


# RFC 6811 against an oracle ----------------------------------------------------------------------


def bits_of(prefix: Prefix) -> str:
    """The bits that a prefix fixes."""
    return format(prefix.network, f"0{BITS[prefix.family]}b")[: prefix.length]


def oracle(known: Iterable[Vrp], prefix: Prefix, asn: int) -> tuple[OriginState, set[Vrp]]:
    """RFC 6811 section 2, sentence by sentence, one VRP after the other.

    "Covered": the VRP prefix length is at most the route prefix length, and both are identical
    for all bits of the VRP prefix length. "Matched": covered, the route prefix length is at most
    the VRP maximum length, and the route origin ASN equals the VRP ASN. AS 0 is never matched.
    """
    covered = {
        one
        for one in known
        if one.prefix.family == prefix.family and bits_of(prefix).startswith(bits_of(one.prefix))
    }
    matched = {
        one for one in covered if prefix.length <= one.max_length and asn == one.asn and asn != 0
    }
    if matched:
        return VALID, matched
    return (INVALID, covered) if covered else (NOT_FOUND, set())


@st.composite
def prefixes(draw: st.DrawFn) -> Prefix:
    """Prefixes that nest often: few distinct bits at either end of the address."""
    family = draw(st.sampled_from((IPV4, IPV6)))
    bits = BITS[family]
    length = draw(st.one_of(st.integers(0, bits), st.sampled_from((0, 1, 8, bits - 1, bits))))
    network = draw(st.integers(0, 3)) << (bits - 2) | draw(st.integers(0, 3))
    return Prefix(family, network >> (bits - length) << (bits - length), length)


asns = st.sampled_from((0, 1, 2, 65536, 2**32 - 1))


@st.composite
def some_vrps(draw: st.DrawFn) -> Vrp:
    prefix = draw(prefixes())
    bits = BITS[prefix.family]
    return Vrp(prefix, draw(st.integers(prefix.length, bits)), draw(asns))


vrp_lists = st.lists(some_vrps(), max_size=12)
vrp_sets = vrp_lists.map(VrpSet.of)


@pytest.mark.parametrize("large", [1, 2, 64])
@given(known=vrp_lists, prefix=prefixes(), asn=asns)
def test_validation_agrees_with_the_oracle(
    large: int, known: list[Vrp], prefix: Prefix, asn: int
) -> None:
    with patch.object(vrps_module, "_LARGE", large):
        table = VrpSet.of(known)
        for _ in range(2):
            validation = table.validate(prefix, asn)
            assert (validation.state, set(validation.vrps)) == oracle(known, prefix, asn)
            assert len(set(validation.vrps)) == len(validation.vrps)
    assert table.covers(prefix) is (validation.state is not NOT_FOUND)


def test_many_vrps_of_one_prefix_are_scanned_once() -> None:
    """A cache can send hundreds of thousands: every route under it would wait for each."""
    where = Prefix.parse("203.0.113.0/24")
    table = VrpSet.of(Vrp(where, 32, asn) for asn in range(1, 1001))
    visited = 0

    class Counted(tuple[int, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[int]:
            nonlocal visited
            visited += len(self)
            return super().__iter__()

    ((_, _, buckets),) = table._tables[IPV4]
    for key, bucket in buckets.items():
        buckets[key] = Counted(bucket)
    for asn in range(1, 101):
        assert table.validate(where, asn).state is VALID
    assert visited == 1000


@given(vrp_lists, prefixes(), asns)
def test_neither_order_nor_repetition_matters(known: list[Vrp], prefix: Prefix, asn: int) -> None:
    one, other = VrpSet.of(known), VrpSet.of(known[::-1] + known)
    assert one == other
    assert list(one) == list(other)
    assert one.validate(prefix, asn) == other.validate(prefix, asn)


# The set and its algebra -------------------------------------------------------------------------


@given(vrp_lists, some_vrps())
def test_vrps_are_a_set_in_natural_order(known: list[Vrp], one: Vrp) -> None:
    table = VrpSet.of(known)
    assert list(table) == sorted(set(known))
    assert len(table) == len(set(known))
    assert all(each in table for each in known)
    assert (one in table) is (one in set(known))


@given(vrp_sets, vrp_sets, st.integers(0, 8))
def test_two_sets_have_a_difference(old: VrpSet, new: VrpSet, most: int) -> None:
    prefixes = {vrp.prefix for vrp in set(new) ^ set(old)}
    assert old.difference(new, most) == (
        len(set(new) - set(old)),
        len(set(old) - set(new)),
        prefixes if len(prefixes) <= most else None,
    )
    assert (old == new) is (not prefixes)


def test_the_garbage_collector_has_nothing_to_walk() -> None:
    """The collector stops every thread: for a quarter of a second with the RPKI as named tuples."""
    gc.collect()
    before = len(gc.get_objects())
    many = [(4, i << 8, 24, 24 + i % 8, i % 50) for i in range(10_000)]
    table = VrpSet.of_numbers([*many, *((f, n, p, 32, 7) for f, n, p, _, _ in many)])
    del many
    gc.collect()
    assert len(table) == 20_000
    assert len(gc.get_objects()) - before < 1_000


@given(vrp_sets, st.integers(0, 2**32 - 1))
def test_without_these_removes_exactly_these(table: VrpSet, asn: int) -> None:
    kept = table.without(lambda one: one.asn >= asn)
    assert set(kept) == {one for one in table if one.asn < asn}


def test_the_empty_set_covers_nothing() -> None:
    assert len(EMPTY) == 0
    assert list(EMPTY) == []
    assert VrpSet.of([]) == EMPTY
    assert vrps("203.0.113.0/24-32 AS1") != EMPTY
    assert "203.0.113.0/24-32 AS1" not in EMPTY
    assert not EMPTY.covers(Prefix.parse("203.0.113.1/32"))
