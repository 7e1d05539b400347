"""decode: captured lines, crafted ones, sessions, refreshes and replies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.captures_expected import (
    CONFED_SEQUENCE,
    CONFED_SET,
    SEQUENCE,
    SET,
    SHOW_NEIGHBOR_JSON,
    announce,
    expected,
    path,
)
from support.exabgp_lines import CAPTURES, FIXTURES, PEER, capture, line_of, update_of

from rsfilter.exabgp.decode import (
    MAX_LINE_OCTETS,
    decode,
    dialect,
    line_time,
    may_wait,
    release,
)
from rsfilter.exabgp.messages import (
    Ignored,
    Message,
    RefreshRequest,
    Reply,
    Sent,
    SentEndOfRib,
    SentUpdate,
    ShowLine,
    Shutdown,
    Skipped,
)
from rsfilter.exabgp.unsupported import is_unsupported
from rsfilter.routing.events import EndOfRib, RefreshMark, SessionDown, SessionUp, Update
from rsfilter.routing.model import Address, AsPath

EXPECTED = {name: expected(name) for name in ("4.2", "5.0")}


@pytest.mark.parametrize(("name", "stem"), CAPTURES)
def test_every_capture_is_decoded_to_what_was_sent(name: str, stem: str) -> None:
    lines = capture(name, stem)
    wanted = EXPECTED[name][stem]
    assert len(lines) == len(wanted)
    for number, (line, want) in enumerate(zip(lines, wanted, strict=True), 1):
        got = decode(line)
        if want == ShowLine(SHOW_NEIGHBOR_JSON):
            want = ShowLine(line.decode())
        assert got == want, f"line {number}"


@pytest.mark.parametrize("name", ["4.2", "5.0"])
def test_no_capture_is_forgotten(name: str) -> None:
    stems = {stem for dialect_name, stem in CAPTURES if dialect_name == name}
    only_5_0 = {"range-neighbor-peer-as-auto"}
    assert stems == set(EXPECTED[name]) - (only_5_0 if name == "4.2" else set())


def test_both_dialects_give_equal_events() -> None:
    for stem in ("single-asn-32", "as-set-in-path", "communities-large", "up-again"):
        assert [decode(line) for line in capture("4.2", stem)] == [
            decode(line) for line in capture("5.0", stem)
        ]


VECTORS = {
    vector["name"]: vector
    for vector in map(json.loads, (FIXTURES / "decode-vectors.jsonl").read_text().splitlines())
}
OLD, NEW, NEXT = "exabgp-4.2.25", "exabgp-5.0.13", "exabgp-6.0-dev@4460078e0"
API = {OLD: "4.0.1", NEW: "5.0.0", NEXT: "6.0.0"}
ONE = "203.0.113.1/32"
GUEST = "2001:db8:30::1/128"
HOP, HOP_6 = "192.0.2.1", "2001:db8:6::11"


def vector_update(*prefixes: str, hop: Any = HOP, **rest: Any) -> Update:
    as_path = rest.pop("as_path", AsPath.sequence(65005))
    return announce(PEER, *prefixes, hop=hop, as_path=as_path, **rest)


def malformed(**rest: Any) -> Update:
    return vector_update(ONE, hop=(), malformed="treat-as-withdraw", **rest)


def withdrawn(prefix: str) -> Update:
    return vector_update(as_path=path(), withdraws=(prefix,))


PLAIN = vector_update(ONE)
TWICE = AsPath.sequence(65005, 65005)
V6_EOR = EndOfRib(Address.parse(PEER), 65005, "ipv6 unicast")
V4_EOR = EndOfRib(Address.parse(PEER), 65005, "ipv4 unicast")

# name: the result of both, or those of 4.2 and 5.0, which differ as the captures do.
WANTED: dict[str, Update | tuple[Message | None, Message]] = {
    "v4-single-as": PLAIN,
    "v4-two-nlri": vector_update(ONE, "203.0.113.2/32"),
    "v4-as-path-prepended": vector_update(ONE, as_path=TWICE),
    "v4-as-path-empty": vector_update(ONE, as_path=path()),
    "v4-as-path-missing": vector_update(ONE, as_path=path()),
    "v4-as-path-truncated": (
        malformed(as_path=path()), malformed(as_path=path())
    ),
    "v4-as-path-bad-segment-type": (
        malformed(as_path=path()), malformed(as_path=path())
    ),
    "v4-as-set": vector_update(ONE, as_path=path((SET, [65005]))),
    "v4-as-seq-then-set": vector_update(ONE, as_path=path((SEQUENCE, [65005]), (SET, [65005]))),
    "v4-as-confed-sequence": (
        vector_update(ONE, as_path=path((CONFED_SEQUENCE, [65005]))),
        PLAIN,
    ),
    "v4-as-confed-set": (
        vector_update(ONE, as_path=path((CONFED_SET, [65005]))),
        PLAIN,
    ),
    "v4-as-seq-split-two-segments": (
        vector_update(ONE, as_path=TWICE),
        vector_update(ONE, as_path=path((SEQUENCE, [65005]), (SEQUENCE, [65005]))),
    ),
    "v4-as-zero": vector_update(ONE, as_path=AsPath.sequence(0)),
    "v4-med-bad-length": (None, malformed()),
    "v4-origin-missing": vector_update(ONE, origin="incomplete", malformed="origin missing"),
    "v4-next-hop-missing": vector_update(ONE, hop=(), malformed="next-hop missing"),
    "v4-withdraw": withdrawn(ONE),
    "v4-withdraw-and-announce-same-prefix": PLAIN,
    "v4-default-route": vector_update("0.0.0.0/0"),
    "v4-host-bits-set": vector_update("203.0.113.1/31"),
    "v4-duplicate-nlri": PLAIN,
    "v4-communities-gshut-llgr-stale-med": vector_update(
        ONE, med=100, communities=((65535, 0), (65535, 6)), large_communities=((1000, 1101, 13),)
    ),
    "v6-single-as-global-nh": vector_update(GUEST, hop=HOP_6),
    "v6-global-and-link-local-nh": (
        vector_update(GUEST, hop=(HOP_6, "fe80::11")),
        vector_update(GUEST, hop=(HOP_6, "fe80::11")),
    ),
    "v6-withdraw": withdrawn(GUEST),
    "v6-withdraw-and-announce-same-prefix": vector_update(GUEST, hop=HOP_6),
    "v4-mapped-v6-nlri": vector_update("::ffff:203.0.113.1/128", hop=HOP_6),
    "eor-v4": (V4_EOR, V4_EOR),
    "eor-v6": (V6_EOR, V6_EOR),
    "otc-attribute": PLAIN,
}  # fmt: skip


@pytest.mark.parametrize("name", list(VECTORS))
def test_a_crafted_update_is_decoded_alike_in_every_version(name: str) -> None:
    wanted = WANTED[name]
    each = (wanted, wanted) if isinstance(wanted, Update) else wanted
    for version, want in zip((OLD, NEW), each, strict=True):
        printed = VECTORS[name][version]
        if want is None:
            assert printed is None
        else:
            assert decode(line_of(printed, api=API[version])) == want, version


@pytest.mark.parametrize("name", list(VECTORS))
def test_what_series_6_prints_is_no_dialect_of_ours(name: str) -> None:
    """The End-of-RIB of another family is ignored, and so are its malformed attributes."""
    assert decode(line_of(VECTORS[name][NEXT], api=API[NEXT])) == Skipped("unknown_dialect")


def test_every_vector_is_used() -> None:
    assert set(VECTORS) == set(WANTED)


def state_line(state: str, reason: str | None = None, api: str = "5.0.0") -> bytes:
    more = "" if reason is None else f', "reason": {reason}'
    return (
        f'{{ "exabgp": "{api}", "time": 1.5, "host" : "vm", "pid" : 1, "ppid" : 1, "counter": 1, '
        '"type": "state", "neighbor": { "address": { "local": "192.0.2.100", "peer": '
        '"2001:DB8:0:0::1" }, "asn": { "local": 65100, "peer": 65005 }, "router-id": '
        f'"192.0.2.100" , "state": "{state}"{more} }} }}'
    ).encode()


@pytest.mark.parametrize(
    ("reason", "administrative"),
    [
        ("notification received (6,2)", True),
        ("notification received (6,3)", True),
        ("notification received (6,9)", True),
        ("peer reset, message (notification received (6,2)) error(Cease / x)", True),
        ("notification received (6,1)", False),
        ("notification received (6,4)", False),
        ("notification received (6,22)", False),
        ("notification received (5,2)", False),
        ("notification sent (6,2)", False),
        ("peer reset, message (notification sent (6,2)) error(notification received (6,2))", False),
        ("closing connection", False),
        ("x notification received (6,2)", False),
        ("", False),
    ],
)
def test_down_is_administrative_only_if_the_peer_sent_that_notification(
    reason: str, administrative: bool
) -> None:
    got = decode(state_line("down", json.dumps(reason)))
    assert got == SessionDown(Address.parse("2001:db8::1"), 65005, reason, administrative)


def test_down_reason_is_short_printable_and_may_be_absent() -> None:
    got = decode(state_line("down", json.dumps("a\x1b[31m\u2028" + "é" * 300)))
    assert isinstance(got, SessionDown)
    assert got.reason == "a [31m " + "é" * 193
    assert decode(state_line("down")) == SessionDown(Address.parse("2001:db8::1"), 65005, "", False)


def test_escaped_quotation_marks_do_not_hide_a_repeated_name() -> None:
    """Two of them come back as characters, as many as the lost name had around it."""
    line = state_line("down", r'"\u0022\u0022"')
    assert isinstance(decode(line), SessionDown)
    twice = line.replace(b'"peer": 65005', b'"peer": 65006, "peer": 65005')
    assert decode(twice) == Skipped("repeated_key")


def test_raw_control_characters_are_mended_for_4_2_alone() -> None:
    reason = '"peer reset\x17 \x00\x1f"'
    got = decode(state_line("down", reason, api="4.0.1"))
    assert got == SessionDown(Address.parse("2001:db8::1"), 65005, "peer reset    ", False)
    assert decode(state_line("down", reason)) == Skipped("not_json")


def test_nothing_else_of_4_2_is_mended() -> None:
    (line,) = capture("4.2", "single-asn-32")
    assert decode(line.replace(b"igp", b"ig\x01")) == Skipped("not_json")
    (refresh,) = capture("4.2", "route-refresh-from-hypervisor")
    assert decode(refresh.replace(b'""ipv4""', b'""ipv4"')) == Skipped("not_json")
    assert decode(refresh.replace(b"4.0.1", b"5.0.0")) == Skipped("not_json")


@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        (b'"up"', b'"flapping"', Skipped("bad_shape")),
        (b'"state": "up"', b'"stat": "up"', Skipped("bad_shape")),
        (b'"peer": 65005', b'"peer": null', Skipped("bad_shape")),
        (b'"peer": 65005', b'"peer": "65005"', Skipped("bad_shape")),
        (b'"peer": 65005', b'"peer": 65005.0', Skipped("bad_shape")),
        (b'"peer": 65005', b'"peer": true', Skipped("bad_shape")),
        (b'"peer": 65005', b'"peer": -1', Skipped("bad_shape")),
        (b'"peer": 65005', b'"peer": 4294967296', Skipped("bad_shape")),
        (b'"peer": 65005', b'"peer": 65005, "peer": 65005', Skipped("repeated_key")),
        (b'"peer": 65005', b'"peer": NaN', Skipped("not_json")),
        (b'"2001:DB8:0:0::1"', b'"2001:db8::1::"', Skipped("bad_shape")),
        (b'"2001:DB8:0:0::1"', b'"fe80::1%eth0"', Skipped("bad_shape")),
        (b'"2001:DB8:0:0::1"', b"1", Skipped("bad_shape")),
        (b'"type": "state"', b'"type": "dream"', Skipped("unknown_type")),
        (b'"type": "state"', b'"type": 1', Skipped("bad_shape")),
        (b'"exabgp": "5.0.0"', b'"exabgp": "3.4.8"', Skipped("unknown_dialect")),
        (b'"exabgp": "5.0.0"', b'"exabgp": "6.0.0"', Skipped("unknown_dialect")),
        (b'"exabgp": "5.0.0"', b'"exabgp": "50.0.0"', Skipped("unknown_dialect")),
        (b'"exabgp": "5.0.0"', b'"exabgp": "5.0.0", "exabgp": "5.0.0"', Skipped("repeated_key")),
        (b'"host" : "vm"', b'"host" : "\xff"', Skipped("not_utf8")),
    ],
)  # fmt: skip
def test_session_line_that_is_not_as_it_has_to_be(old: bytes, new: bytes, want: Message) -> None:
    line = state_line("up")
    assert decode(line) == SessionUp(Address.parse("2001:db8::1"), 65005)
    assert old in line
    assert decode(line.replace(old, new, 1)) == want


def refresh_of(subtype: str, family: str = "ipv4 unicast", direction: str = "receive") -> Message:
    afi, safi = family.split()
    line = line_of({}, direction=direction).replace(b'"type": "update"', b'"type": "refresh"')
    members = json.dumps({"afi": afi, "safi": safi, "subtype": subtype}).encode()
    return decode(line.replace(b'"message": {}', b'"route-refresh": ' + members))


def test_route_refresh_messages_are_decoded() -> None:
    peer = Address.parse(PEER)
    assert refresh_of("query") == RefreshRequest(peer, "ipv4 unicast")
    assert refresh_of("begin", "ipv6 unicast") == RefreshMark(peer, 65005, "ipv6 unicast", False)
    assert refresh_of("end") == RefreshMark(peer, 65005, "ipv4 unicast", True)
    assert refresh_of("query", "ipv4 flow") == Ignored("other_family")
    assert refresh_of("query", direction="send") == Sent()
    assert refresh_of("restart") == Skipped("bad_shape")
    assert refresh_of("query", direction="sideways") == Skipped("bad_shape")


def test_end_of_rib_of_another_family() -> None:
    message = {"eor": {"afi": "l2vpn", "safi": "evpn"}}
    assert decode(line_of(message)) == Ignored("other_family")
    assert decode(line_of(message, direction="send")) == Sent()


@pytest.mark.parametrize(
    ("body", "family"),
    [
        ("0x00000000", "ipv4 unicast"),
        ("0x00000007900F0003000201", "ipv6 unicast"),
        ("0x00000006800F03000201", "ipv6 unicast"),
        ("0x00000006800F03000101", "ipv4 unicast"),
        ("0x00000006800F03000185", None),  # ipv4 flow
        ("0x00000006800E03000201", None),  # MP_REACH_NLRI
        ("0x00000007800F0400020100", None),  # withdraws ::/0
        ("0x000000", None),
        ("0x0000000000", None),
        ("0x", None),
        ("0x0", None),
        ("zz", None),
    ],
)
def test_raw_copy_of_a_sent_end_of_rib(body: str, family: str | None) -> None:
    message = {"category": 2, "header": "0x" + "FF" * 16 + "001702", "body": body}
    want = SentEndOfRib(Address.parse(PEER), family) if family else Sent()
    assert decode(line_of(message, direction="send")) == want
    assert decode(line_of(message)) == Ignored("packets")


def test_sent_end_of_rib_is_a_barrier_only_beyond_doubt() -> None:
    eor = {"eor": {"afi": "ipv4", "safi": "unicast"}}
    line = line_of(eor, direction="send")
    assert decode(line) == SentEndOfRib(Address.parse(PEER), "ipv4 unicast")
    assert decode(line.replace(b'"ipv4"', b'"ipv6", "afi": "ipv4"')) == Skipped("repeated_key")
    keepalive = {"category": 4, "header": "0x", "body": "0x00000000"}
    assert decode(line_of(keepalive, direction="send")) == Sent()


@pytest.mark.parametrize(
    "text",
    [
        '", "direction": "send", "x": "',
        '"direction": "send"',
        '" } }\n{ "exabgp": "5.0.0"',
        '\\", "direction": "send"',
        "done",
    ],
)
def test_what_a_host_writes_stays_inside_its_string(text: str) -> None:
    """A host chooses this text; ExaBGP quotes it."""
    spoken = {"attribute-0x63-0xE0": text, text: "send", "direction": "send"}
    assert update_of(spoken) == announce(PEER, "192.0.2.1/32", as_path=AsPath.sequence(65005))
    got = decode(state_line("down", json.dumps(text)))
    assert isinstance(got, SessionDown)
    notification = line_of({}).replace(b'"type": "update"', b'"type": "notification"')
    sent = json.dumps({"code": 6, "message": text, "notification": "shutdown"}).encode()
    assert decode(notification.replace(b'"message": {}', b'"notification": ' + sent)) == Ignored(
        "notification"
    )


@pytest.mark.parametrize(
    ("line", "want"),
    [
        (b"done", Reply(ok=True)),
        (b"error", Reply(ok=False)),
        (b"done ", ShowLine("done ")),
        (b"Done", ShowLine("Done")),
        (b"exabgp 5.0.15", ShowLine("exabgp 5.0.15")),
        (b"::1 ipv6 unicast ::/0 next-hop ::1", ShowLine("::1 ipv6 unicast ::/0 next-hop ::1")),
        (b"[]", ShowLine("[]")),
        (b"{}", ShowLine("{}")),
        (b'{"192.0.2.1": {"routes": []}}', ShowLine('{"192.0.2.1": {"routes": []}}')),
        (b"", Skipped("not_json")),
        (b" ", Skipped("not_json")),
        (b"}", Skipped("not_json")),
        (b'unicast": [ { "nlri": "192.0.2.1/32" } ] } } } } }', Skipped("not_json")),
        (b"[1", Skipped("not_json")),
        (b"1\x002", Skipped("not_json")),
        (b"\xff", Skipped("not_utf8")),
        (b"\xef\xbb\xbf{}", Skipped("not_json")),
        (b"null", ShowLine("null")),
        (b"{" * 100_000, Skipped("not_json")),
        (b"[" * 100_000, Skipped("not_json")),
        (b'{"a":' * 100_000, Skipped("not_json")),
        (b"{" + b" " * MAX_LINE_OCTETS, Skipped("too_long")),
        (b"a" * (MAX_LINE_OCTETS + 1), Skipped("too_long")),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_lines_that_are_no_message(line: bytes, want: Message) -> None:
    assert decode(line) == want


def test_a_neighbor_cannot_cause_a_shutdown() -> None:
    line = b'{ "exabgp": "5.0.0", "time": 1.0, "type": "%s", "notification": "shutdown" }'
    assert decode(line % b"notification") == Shutdown()
    assert decode(line % b"state") == Skipped("bad_shape")
    assert decode((line % b"notification").replace(b"down", b"up")) == Skipped("bad_shape")


def test_time_and_dialect_are_read_at_the_head() -> None:
    (line,) = capture("5.0", "single-asn-32")
    assert (line_time(line), dialect(line)) == (1795376896.8110952, "5.0")
    (old,) = capture("4.2", "route-refresh-from-hypervisor")
    assert dialect(old) == "4.2"
    assert line_time(b'{ "exabgp": "6.0.0", "time": 17, "type"') == 17.0
    for text in (b"done", b"", b'{ "time": 1.0, "exabgp": "5.0.0" }', b'{ "exabgp": "5.0.0" }'):
        assert (line_time(text), dialect(text)) == (None, None)
    assert dialect(b'{ "exabgp": "3.4.8", "time": 1.0, ') is None
    assert line_time(b'{ "exabgp": "5.0.0", "time": ' + b"9" * 400 + b", ") is None


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("exabgp 5.0.15", "5.0.15"),
        ("exabgp 4.2.25", "4.2.25"),
        ("exabgp 6.0.0-4460078e0", "6.0.0-4460078e0"),
        ('{"version": "6.0.0", "application": "exabgp"}', "6.0.0"),
        ("exabgp", None),
        ("exabgp six", None),
        ("192.0.2.10 ipv4 unicast 203.0.113.1/32 next-hop 198.51.100.1", None),
        ('{"application": "exabgp"}', None),
    ],
)
def test_the_release_is_what_exabgp_answers(text: str, version: str | None) -> None:
    assert release(decode(text.encode())) == version


def test_series_6_and_later_are_not_supported() -> None:
    versions = ["3.4.8", "4.0.1", "4.2.25", "5.0.0", "5.1.0", "6.0.0", "6.0.0-44", "50.0.0"]
    assert [is_unsupported(version) for version in versions] == [False] * 5 + [True] * 3


def test_a_string_that_never_ends_is_read_once() -> None:
    """Each of its quotation marks could be its beginning: a minute for a line of 16 MB."""
    head = b'{ "exabgp": "5.0.0", "time": 1.0, "type": "update", "x": NaN, "text": "'
    for octets in (b'\\"', b"a", b"NaN"):
        assert decode(head + octets * 200_000) == Skipped("not_json")


def test_only_copies_of_updates_may_wait() -> None:
    """Only these lines have no immediate effect."""
    lines = [(stem, line) for name, stem in CAPTURES for line in capture(name, stem)]
    waiting = [(stem, line) for stem, line in lines if may_wait(line)]
    assert {type(decode(line)) for _, line in waiting} == {SentUpdate}
    assert [stem for stem, _ in waiting].count("send-direction-updates-and-eor-barrier") == 4
    words = '"direction": "send", "message": { "update": {'
    assert not may_wait(line_of({"update": {"withdraw": {"ipv4 unicast": [words]}}}))
