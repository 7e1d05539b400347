"""Hostile lines: cut, changed, forged, repeated, arbitrary."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.exabgp_lines import LINES, SHORT_LINES, capture
from support.hostile_lines import places, replaced

from rsfilter.exabgp import attributes
from rsfilter.exabgp.decode import decode, dialect, line_time
from rsfilter.exabgp.messages import (
    Ignored,
    Message,
    Opened,
    RefreshRequest,
    Reply,
    Sent,
    SentEndOfRib,
    SentUpdate,
    ShowLine,
    Shutdown,
    Skipped,
)
from rsfilter.routing.events import EndOfRib, RefreshMark, SessionDown, SessionUp, Update
from rsfilter.routing.model import Address, Attributes, Segment

MESSAGES = (
    Update | SessionUp | SessionDown | EndOfRib | RefreshMark | SentEndOfRib | SentUpdate | Sent
    | Opened | Reply | ShowLine | Shutdown | RefreshRequest | Ignored | Skipped
)  # fmt: skip

PEER_SPAN = re.compile(rb'"peer":( (?:"[^"]*"|\d+) )')
"""The only octets of a line that may change whose message it is."""


def test_no_beginning_of_a_line_is_a_message() -> None:
    for line in SHORT_LINES:
        if line.startswith(b"{"):
            for end in range(1, len(line)):
                assert type(decode(line[:end])) is Skipped, line[:end]
        else:
            for end in range(len(line)):
                assert isinstance(decode(line[:end]), Skipped | ShowLine), line[:end]
    for line in (line for line in LINES if len(line) >= 1500):
        for end in range(1, len(line), 499):
            assert type(decode(line[:end])) is Skipped


def test_no_end_of_a_line_is_a_message_from_a_neighbor() -> None:
    """The rest of a line whose beginning was lost."""
    for line in SHORT_LINES:
        for start in range(1, len(line)):
            assert isinstance(decode(line[start:]), Skipped | ShowLine | Reply)


def test_a_changed_octet_never_makes_it_another_neighbors_line() -> None:
    choose = random.Random(20240101)
    for line in SHORT_LINES:
        before = decode(line)
        owner = getattr(before, "neighbor", None)
        spans = [match.span(1) for match in PEER_SPAN.finditer(line)]
        for _ in range(40):
            at = choose.randrange(len(line))
            octet = bytes([choose.randrange(256)])
            got = decode(line[:at] + octet + line[at + 1 :])
            assert isinstance(got, MESSAGES)
            if isinstance(before, Sent | SentUpdate | SentEndOfRib):
                assert not isinstance(got, Update | EndOfRib | RefreshMark), octet
            if any(start <= at < end for start, end in spans):
                continue
            assert getattr(got, "neighbor", owner) == owner
            if owner is not None:
                assert getattr(got, "asn", None) in (None, getattr(before, "asn", None))


def content(update: Message) -> list[object]:
    """Content of an UPDATE, without its sender."""
    assert isinstance(update, Update)
    assert {route.key.neighbor for route in update.announced} <= {update.neighbor}
    assert {route.asn for route in update.announced} <= {update.asn}
    assert not update.withdrawn
    return [(r.key.prefix, r.key.path_id, r.attributes, r.next_hops) for r in update.announced]


def test_a_changed_octet_outside_the_message_leaves_the_routes_alone() -> None:
    (line,) = capture("5.0", "single-asn-32")
    start = line.index(b'"attribute"')
    before = decode(line)
    for at in range(start):
        for octet in b'"\\{}[],: 0a\x00\xff':
            got = decode(line[:at] + bytes([octet]) + line[at + 1 :])
            if isinstance(got, Update):
                assert content(got) == content(before)


HARMLESS = (Skipped, ShowLine, Reply)


@settings(max_examples=300)
@given(st.one_of(st.binary(), st.binary().map(b"{".__add__), st.binary().map(b"[".__add__)))
def test_arbitrary_octets_are_decoded_without_harm(line: bytes) -> None:
    assert isinstance(decode(line), HARMLESS)
    assert line_time(line) is None
    assert dialect(line) is None


names = st.sampled_from(
    [
        "exabgp",
        "type",
        "neighbor",
        "address",
        "asn",
        "peer",
        "update",
        "nlri",
        "eor",
        "x",
        "message",
    ]
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8),
    st.sampled_from(["5.0.0", "update", "192.0.2.1", "192.0.2.1/32", "ipv4", "unicast", "send"]),
    st.just(10**30),
)  # fmt: skip
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(documents)
def test_arbitrary_json_is_decoded_without_harm(document: Any) -> None:
    assert isinstance(decode(json.dumps(document).encode()), HARMLESS)


def _readable(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


DOCUMENTS = [
    document
    for line in SHORT_LINES
    if isinstance(document := _readable(line), dict) and "exabgp" in document
]


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(DOCUMENTS), st.data())
def test_any_value_in_any_place_is_decoded_without_harm(
    document: dict[str, Any], data: st.DataObject
) -> None:
    way = data.draw(st.sampled_from(places(document)))
    got = decode(json.dumps(replaced(document, way, data.draw(documents))).encode())
    assert isinstance(got, MESSAGES)
    before = decode(json.dumps(document).encode())
    if isinstance(got, Update) and not {"peer", "address", "asn", "neighbor"} & {*way}:
        assert isinstance(before, Update | EndOfRib | Ignored)
        assert got.neighbor == Address.parse(document["neighbor"]["address"]["peer"])


KEYED_BY_DATA = {"announce", "withdraw", "as-path", "capabilities", "ipv4 unicast", "ipv6 unicast"}
"""Objects whose names are data: an added one is content, not unknown."""


def test_unknown_members_change_nothing() -> None:
    for document in DOCUMENTS:
        want = decode(json.dumps(document).encode())
        for way in [(), *places(document)]:
            node: Any = document
            for step in way:
                node = node[step]
            if isinstance(node, dict) and not (way and way[-1] in KEYED_BY_DATA):
                for more in ("to-come", ["to", {"come": 1}]):
                    line = json.dumps(replaced(document, way, {"x-new": more, **node}))
                    assert decode(line.encode()) == want, way


class Twice(str):
    """A name that is written as another: json.dumps keeps both."""

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


def test_repeated_members_are_never_chosen_from() -> None:
    """Every member of every object, given a second time with another value."""
    for document in DOCUMENTS[::3]:
        whole = decode(json.dumps(document).encode())
        for way in places(document):
            node: Any = document
            for step in way[:-1]:
                node = node[step]
            if not isinstance(node, dict) or "negotiated" in way:
                continue
            line = json.dumps(replaced(document, way[:-1], {Twice(way[-1]): "other", **node}))
            assert line.count(json.dumps(way[-1]) + ":") > 1
            got = decode(line.encode())
            if isinstance(whole, Sent | SentUpdate) and "message" in way[:-1]:
                assert isinstance(got, Sent | SentUpdate | Skipped)
            elif "attribute" in way[:-1]:
                assert isinstance(got, Update)
                is_judged = all(route.attributes.malformed for route in got.announced)
                assert is_judged or way[-1] == "aggregator", way
            else:
                assert isinstance(got, Skipped), way


@settings(max_examples=300)
@given(st.dictionaries(
    st.sampled_from(["origin", "as-path", "as-set", "confederation-path", "med", "community",
                     "large-community", "extended-community", "error", "aggregator"]),
    documents, max_size=5,
))  # fmt: skip
def test_attributes_of_any_shape_are_parsed_without_harm(fields: dict[str, Any]) -> None:
    got = attributes.parse(json.dumps(fields).encode())
    assert isinstance(got, Attributes)
    assert all(isinstance(segment, Segment) for segment in got.as_path.segments)
    assert all(0 <= asn < 2**32 for asn in got.as_path.asns)
    assert got.origin in ("igp", "egp", "incomplete")
    assert got.med is None or 0 <= got.med < 2**32
    assert all(0 <= part < 2**16 for pair in got.communities for part in pair)
    if not got.malformed:
        assert fields.get("origin") in ("igp", "egp", "incomplete")


@pytest.mark.parametrize("text", [b"", b"[]", b"7", b'"x"', b"{", b'{"a": ' * 5000, b"\xff"])
def test_attributes_that_are_no_object(text: bytes) -> None:
    assert attributes.parse(text) == Attributes(malformed="attributes unreadable")
