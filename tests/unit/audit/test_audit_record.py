"""One event, one line: its form, its bounds, its hash."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.audit_samples import PROVENANCE, VRP, note, verdict_change
from support.places import ROOT

from rsfilter.audit.chain import GENESIS, MAX_LINE, NotARecord, claimed_link, is_intact, seal
from rsfilter.audit.record import EVENTS, MAX_TEXT, Bodies, ServiceEvent, body, timestamp
from rsfilter.routing.effects import (
    NO_PROVENANCE,
    DataChange,
    GuardChange,
    NlriRefused,
    Provenance,
    SessionChange,
)
from rsfilter.routing.model import (
    Address,
    AsPath,
    OriginState,
    Segment,
    SegmentType,
    Validation,
    Verdict,
    VerdictKind,
)


def line_of(event, seq=1, at=1795348800.25, prev=GENESIS):
    return seal(seq, timestamp(at), body(event), prev)[0].encode()


def read(event):
    return json.loads(line_of(event))


TRUTH = {"revision": "3f2a1c", "sha256": "ab" * 32}
RTR = {"cache": "192.0.2.50:8282", "session": 7, "serial": 42}


def test_a_rejected_route():
    line = line_of(verdict_change())
    digest = hashlib.sha256(re.sub(rb',"hash":"[0-9a-f]{64}"\}\n$', b"}", line)).hexdigest()
    expected = {
        "v": 1,
        "seq": 1,
        "at": "2026-11-22T12:00:00.250000Z",
        "event": "verdict",
        "neighbor": "198.51.100.101",
        "host": "hv1",
        "asn": 65001,
        "prefix": "203.0.113.1/32",
        "path_id": 0,
        "as_path": "65001",
        "as_path_length": 1,
        "next_hop": "198.51.100.101",
        "verdict": "rejected",
        "was": None,
        "reasons": ["origin_invalid_asn"],
        "cause": "announce",
        "state": "Invalid",
        "vrps": ["203.0.113.0/28-32 AS65002"],
        "truth": TRUTH,
        "rtr": RTR,
        "prev": GENESIS,
        "hash": digest,
    }
    assert line == json.dumps(expected, separators=(",", ":")).encode() + b"\n"  # order too


def test_a_withdrawn_route_has_no_verdict():
    gone = replace(
        verdict_change(),
        verdict=None,
        was=VerdictKind.ACCEPTED,
        cause="session_down",
        provenance=NO_PROVENANCE,
    )
    record = read(gone)
    assert record["event"] == "withdraw"
    assert record["prefix"] == "203.0.113.1/32"
    assert (record["verdict"], record["was"], record["state"]) == (None, "accepted", None)
    assert (record["reasons"], record["vrps"]) == ([], [])
    assert record["cause"] == "session_down"
    assert (record["truth"], record["rtr"]) == (None, None)


def test_two_next_hops_and_what_was_malformed():
    change = verdict_change(malformed="attribute 4: length 3")
    hops = (Address.parse("2001:db8::1"), Address.parse("fe80::1"))
    announced = replace(change.route.announcement, next_hops=hops)
    record = read(replace(change, route=replace(change.route, announcement=announced)))
    assert record["next_hop"] == "2001:db8::1 fe80::1"
    assert record["data"] == {"malformed": "attribute 4: length 3"}


@pytest.mark.parametrize("is_stale", [True, False])
def test_a_route_that_becomes_stale_or_fresh(is_stale):
    change = replace(verdict_change(reasons=()), was=VerdictKind.ACCEPTED, stale=is_stale)
    record = read(change)
    assert (record["verdict"], record["was"]) == ("accepted", "accepted")
    assert record["data"] == {"stale": is_stale}


def test_every_event_has_its_name_in_the_list():
    """Events that the code writes, and events in the manual."""
    root = ROOT
    source = "".join(path.read_text() for path in (root / "rsfilter").rglob("*.py"))
    written = re.findall(r'(?:_note\(\s*|ServiceEvent\(\s*|"event": )"(\w+)"', source)
    assert {"gap", "start", "drain", "flood"} < {*written} - {"VARCHAR"} < {*EVENTS}
    manual = (root / "docs" / "audit.md").read_text()
    assert [event for event in EVENTS if f"`{event}`" not in manual] == []


@pytest.mark.parametrize(("is_up", "event"), [(True, "session_up"), (False, "session_down")])
def test_a_session_change_has_its_record(is_up, event):
    neighbor = Address.parse("2001:db8::1")
    change = SessionChange(neighbor, 65001, "host", "hypervisors", is_up, "hold timer")
    assert read(change)["host"] == "hypervisors"
    record = read(replace(change, host="hv1"))
    del record["v"], record["seq"], record["at"], record["prev"], record["hash"]
    assert record == {
        "event": event,
        "neighbor": "2001:db8::1",
        "host": "hv1",
        "asn": 65001,
        "data": {"role": "host", "group": "hypervisors", "reason": "hold timer"},
    }


def test_a_change_of_data_has_its_record():
    record = read(DataChange("truth", "reloaded", 3, 2, 10, 1, PROVENANCE))
    assert record["event"] == "data"
    assert (record["truth"], record["rtr"]) == (TRUTH, RTR)
    assert record["data"] == {
        "source": "truth",
        "detail": "reloaded",
        "added": 3,
        "removed": 2,
        "rejudged": 10,
        "flipped": 1,
    }


def test_other_data_have_a_digest_of_their_vrps():
    change = DataChange("rtr", "serial 43", 3, 2, 10, 1, PROVENANCE._replace(rtr_digest="ab" * 16))
    record = read(change)
    assert record["data"]["vrps"] == "ab" * 16
    assert record["rtr"] == RTR


def test_an_act_of_the_guard_has_its_record():
    record = read(GuardChange("held", 450, 500, 460, "rtr", "serial 43", PROVENANCE, lost=7))
    assert record["event"] == "guard"
    assert (record["truth"], record["rtr"]) == (TRUTH, RTR)
    assert record["data"] == {
        "action": "held",
        "routes": 450,
        "accepted": 500,
        "lost": 7,
        "held": 460,
        "source": "rtr",
        "detail": "serial 43",
    }


def test_an_event_of_the_service_cannot_pose_as_anything_else():
    record = read(ServiceEvent("start", {"seq": 99, "hash": "x", "path": "a b"}))
    assert record["seq"] == 1
    assert record["data"] == {"seq": 99, "hash": "x", "path": "a b"}


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1795348800.000001, "2026-11-22T12:00:00.000001Z"),
        (1795348799.9999999, "2026-11-22T12:00:00.000000Z"),
        (-1.0, "1970-01-01T00:00:00.000000Z"),
        (math.nan, "1970-01-01T00:00:00.000000Z"),
        (-math.inf, "1970-01-01T00:00:00.000000Z"),
        (math.inf, "9999-12-31T23:59:59.000000Z"),
        (1e300, "9999-12-31T23:59:59.000000Z"),
    ],
)
def test_times_are_of_constant_width_and_in_range(at, text):
    assert timestamp(at) == text


SEQUENCE, SET = SegmentType.SEQUENCE, SegmentType.SET


@pytest.mark.parametrize(
    ("path", "text", "length"),
    [
        (AsPath(()), "", 0),
        (AsPath.sequence(1, 2), "1 2", 2),
        (AsPath((Segment(SEQUENCE, (1,)), Segment(SET, (2, 3)))), "1 {2 3}", 3),
        (AsPath.sequence(*[7] * 32), " ".join(["7"] * 32), 32),
        (AsPath.sequence(*[7] * 33), " ".join(["7"] * 32) + " ...", 33),
        (
            AsPath((Segment(SEQUENCE, (7,) * 31), Segment(SET, (8, 9)))),
            " ".join(["7"] * 31) + " {8} ...",
            33,
        ),
        (AsPath((Segment(SET, ()),) * 1000), " ".join(["{}"] * 32) + " ...", 0),
    ],
)
def test_long_paths_are_cut_and_keep_their_length(path, text, length):
    record = read(verdict_change(path=path))
    assert (record["as_path"], record["as_path_length"]) == (text, length)


def test_many_vrps_are_cut():
    verdict = Verdict(
        VerdictKind.REJECTED, ("origin_invalid_asn",), Validation(OriginState.INVALID, (VRP,) * 40)
    )
    vrps = read(replace(verdict_change(), verdict=verdict))["vrps"]
    assert vrps == ["203.0.113.0/28-32 AS65002"] * 32 + ["... 8 more"]


def test_the_largest_record_of_a_route_fits_into_a_line():
    worst = "\U0001f600" * 100_000
    provenance = PROVENANCE._replace(truth_revision=worst, rtr_cache=worst)
    verdict = Verdict(VerdictKind.REJECTED, ("max_prefixes",) * 30, Validation(OriginState.INVALID))
    path = AsPath.sequence(*[4294967295] * 5000)
    change = verdict_change(host=worst, malformed=worst, path=path)
    line = line_of(replace(change, provenance=provenance, verdict=verdict))
    assert len(line) < MAX_LINE
    assert json.loads(line)["host"] == "\U0001f600" * 1000


def test_an_event_that_does_not_fit_is_replaced_by_its_size():
    tree = {str(i): {str(j): "x" * 1000 for j in range(64)} for i in range(64)}
    record = read(ServiceEvent("status", tree))
    assert record["event"] == "status"
    assert record["data"]["too_large"] > MAX_LINE


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"raw", "b'raw'"),
        (1 << 70, str(1 << 70)),
        (math.inf, "inf"),
        ({"a": {"b": {"c": {}}}}, {"a": {"b": {"c": "{}"}}}),
        (("a", None, True, 1.5), ["a", None, True, 1.5]),
        ([0] * 100, [0] * 64),
    ],
)
def test_values_that_json_has_not_become_text(value, written):
    record = read(ServiceEvent("note", {"value": value}))
    assert record["data"]["value"] == written


texts = st.text(st.characters(exclude_categories=()), max_size=60)


@example(host="\x7f", malformed="", reason="")
@example(host="\ud800", malformed="\u2028", reason="\x7f")
@given(host=texts, malformed=texts, reason=texts)
def test_no_text_breaks_a_line(host, malformed, reason):
    for event in (
        verdict_change(host=host, malformed=malformed),
        SessionChange(Address.parse("192.0.2.1"), 1, "host", host, False, reason),
        ServiceEvent("note", {host: reason}),
    ):
        line = line_of(event)
        assert line.endswith(b"}\n")
        assert all(0x20 <= octet < 0x7F for octet in line[:-1])
        link = claimed_link(line)
        assert is_intact(line, link)
        assert json.loads(line)["hash"] == link.hash


@given(st.text(max_size=60))
def test_text_is_written_unchanged(text):
    assert read(verdict_change(host=text))["host"] == text


def test_a_lone_surrogate_is_spelled_out():
    assert read(verdict_change(host="a\ud800"))["host"] == "a\\ud800"


def test_a_text_cannot_pose_as_the_end_of_a_line():
    forged = '","prev":"' + "1" * 64 + '","hash":"' + "2" * 64 + '"}'
    line = line_of(ServiceEvent("note", {"text": forged}))
    link = claimed_link(line)
    assert link.prev == GENESIS
    assert is_intact(line, link)


@pytest.mark.parametrize("line", [b"", b"\n", b"{}\n", b"\x00" * 100, b'{"v":1}\n'])
def test_a_line_that_is_no_record_is_refused(line):
    with pytest.raises(NotARecord):
        claimed_link(line)


def test_a_line_longer_than_any_is_no_record():
    line = line_of(verdict_change()).replace(b'"hv1"', b'"%s"' % (b"h" * MAX_LINE))
    with pytest.raises(NotARecord):
        claimed_link(line)


@given(st.data())
def test_any_changed_octet_is_found(data):
    line = line_of(verdict_change())[:-1]
    place = data.draw(st.integers(0, len(line) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda value: value != line[place]))
    changed = line[:place] + bytes([octet]) + line[place + 1 :]
    with contextlib.suppress(NotARecord):
        assert not is_intact(changed, claimed_link(changed))


def test_what_cannot_be_a_route_is_a_rejection() -> None:
    refused = NlriRefused(
        Address.parse("198.51.100.7"),
        65007,
        "hv7",
        "ipv4 flow",
        "x\x1b]0;",
        "family_not_allowed",
        Provenance("r1", "abc"),
    )
    record = json.loads(f"{{{body(refused)}}}")
    assert (record["verdict"], record["reasons"]) == ("rejected", ["family_not_allowed"])
    assert record["data"] == {"family": "ipv4 flow", "nlri": "x\x1b]0;"}
    assert "\x1b" not in body(refused)


STRANGE = verdict_change(
    host='hv"1\x7f\ud800', neighbor="2001:db8::7", malformed="\u202e\n", asn=4200000005
)
RELATED = [
    verdict_change(),
    verdict_change("2001:db8::1/128"),
    verdict_change(asn=65002),
    verdict_change(reasons=()),
    replace(verdict_change(reasons=()), stale=True),
    replace(verdict_change(), verdict=None, cause="withdraw"),
    replace(verdict_change(), provenance=NO_PROVENANCE),
    STRANGE,
    replace(STRANGE, host="hv1"),
    verdict_change(malformed="m" * MAX_TEXT, reasons=("r" * 64,) * 1024),
    note(),
]


@given(st.lists(st.sampled_from(RELATED), min_size=2, max_size=8))
def test_bodies_one_after_the_other_are_what_each_is_alone(events):
    bodies = Bodies()
    assert [bodies(event) for event in events] == [body(event) for event in events]
