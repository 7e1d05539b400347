"""Octets on the wire, through ExaBGP's own parser and writer, to the decoded message."""

from __future__ import annotations

import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.core_samples import prefix
from support.exabgp_writer import HOST, PLAIN, attribute, line_of_update, nlri

from rsfilter.exabgp.decode import decode
from rsfilter.routing.events import Update

GUEST = nlri(("203.0.113.1", 32))
OTHER = nlri(("203.0.113.2", 32))


def understood(attributes: bytes, *, announced: bytes = b"", withdrawn: bytes = b"") -> Update:
    update = decode(line_of_update(attributes, announced=announced, withdrawn=withdrawn))
    assert isinstance(update, Update)
    return update


def announced_of(update: Update) -> dict[str, str]:
    """Prefix -> what is malformed."""
    return {str(r.key.prefix): r.attributes.malformed for r in update.announced}


def withdrawn_of(update: Update) -> set[str]:
    return {str(key.prefix) for key in update.withdrawn}


def bgp_ls(*tlvs: tuple[int, bytes]) -> bytes:
    """The BGP-LS attribute (RFC 9552 section 5.3), which any UPDATE may have."""
    value = b"".join(struct.pack("!HH", kind, len(octets)) + octets for kind, octets in tlvs)
    return attribute(29, value, 0x80)


@pytest.mark.parametrize(
    ("malformed", "error"),
    [
        (attribute(8, b"\0\0\0\0", 0x40), "treat-as-withdraw"),
        (attribute(8, b"", 0xC0), "treat-as-withdraw due to community"),
        (attribute(4, b"", 0x80), "treat-as-withdraw due to med"),
        (attribute(7, b"", 0xC0), "treat-as-withdraw due to aggregator"),
    ],
    ids=["flags", "no community", "no med", "no aggregator"],
)
def test_what_exabgp_treats_as_withdrawn_is_rejected_with_its_reason(
    malformed: bytes, error: str
) -> None:
    update = understood(PLAIN + malformed, announced=GUEST)
    assert (announced_of(update), withdrawn_of(update)) == ({"203.0.113.1/32": error}, set())


@pytest.mark.parametrize(
    "strange",
    [
        bgp_ls((1026, b'a"'), (1026, b"b")),
        bgp_ls((1089, b"\x7f\xc0\0\0")),
        bgp_ls((1090, b"\x7f\x80\0\0")),
        bgp_ls((1090, b"\xff\x80\0\0")),
        bgp_ls((1091, b"\x7f\xc0\0\0" * 8)),
    ],
    ids=["a name twice and an escape", "NaN", "Infinity", "-Infinity", "a list of NaN"],
)
def test_an_unread_attribute_takes_no_withdraw_with_it(strange: bytes) -> None:
    update = understood(strange, withdrawn=GUEST)
    assert withdrawn_of(update) == {"203.0.113.1/32"}
    assert "203.0.113.2/32" in announced_of(understood(PLAIN + strange, announced=OTHER))


def test_bits_past_the_length_of_a_withdrawn_prefix_mean_nothing() -> None:
    """RFC 4271 section 4.3."""
    update = understood(b"", withdrawn=bytes([28, 203, 0, 113, 0x1F]))
    assert "203.0.113.16/28" in withdrawn_of(update)


def test_a_malformed_announcement_is_of_one_route_whatever_its_bits() -> None:
    dirty = bytes([28, 203, 0, 113, 0x1F])
    update = understood(PLAIN + attribute(8, b"", 0xC0), announced=dirty)
    assert len(update.announced) == 1
    assert withdrawn_of(update) == {"203.0.113.16/28"}, "as it may be known"


def test_what_is_announced_too_is_not_withdrawn() -> None:
    """RFC 4271 section 4.3."""
    update = understood(PLAIN, announced=GUEST, withdrawn=GUEST + OTHER)
    assert announced_of(update) == {"203.0.113.1/32": ""}
    assert withdrawn_of(update) == {"203.0.113.2/32"}


attributes = st.lists(
    st.builds(
        attribute,
        st.integers(4, 40).filter(lambda code: code not in (14, 15)),
        st.binary(max_size=24),
        st.sampled_from([0x40, 0x80, 0xC0, 0xE0]),
    ),
    max_size=4,
).map(b"".join)


@given(attributes)
def test_whatever_else_an_update_has_no_prefix_of_it_is_lost(more: bytes) -> None:
    line = line_of_update(PLAIN + more, announced=GUEST, withdrawn=OTHER)
    assume(line)  # ExaBGP ends the session
    update = decode(line)
    assert isinstance(update, Update)
    assert update.neighbor == prefix(f"{HOST}/32").address
    known = {str(r.key.prefix) for r in update.announced} | withdrawn_of(update)
    assert known == {"203.0.113.1/32", "203.0.113.2/32"}
    if b"treat-as-withdraw" in line:
        assert all(announced_of(update).values())
