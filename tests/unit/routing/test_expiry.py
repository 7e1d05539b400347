"""`expires` of an entry of the truth holds at its second, whether its file changes or not."""

from __future__ import annotations

import json
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.core_samples import vrp
from support.filter_site import CONFIG, HOST, ROUTER, ROUTERS
from support.speaker import Speaker, announce, state

from rsfilter.commands.replay import Machine
from rsfilter.config.build import parse_config
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.inputs import Input, Lines, Moment, TruthRead
from rsfilter.routing.validation import Mode
from rsfilter.rpki.truth import Truth, parse_truth
from rsfilter.rpki.vrp_tables import Numbers
from rsfilter.rpki.vrps import VrpSet

NOW = 1_800_000_000
PREFIX = "203.0.113.0/24"


def roas(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"roas": list(entries)}).encode()


def roa(asn: int = 65001, prefix: str = PREFIX, **more: int) -> dict[str, Any]:
    return {"prefix": prefix, "maxLength": 32, "asn": asn, **more}


def read(*entries: dict[str, Any], now: float = NOW) -> Truth:
    return parse_truth(roas(*entries), "truth.json", now)


def asns(truth: Truth) -> set[int]:
    return {each.asn for each in truth.vrps}


@pytest.mark.parametrize(
    ("at", "left"),
    [
        (NOW, {1, 2, 3, 4}),
        (NOW + 10, {1, 2, 3, 4}),  # its last second
        (NOW + 10.001, {1, 3, 4}),
        (NOW + 19, {1, 3, 4}),
        (NOW + 21, {1}),  # both that end then
        (NOW + 10_000, {1}),
    ],
)
def test_an_entry_is_in_force_up_to_its_last_second(at: float, left: set[int]) -> None:
    truth = read(
        roa(3, expires=NOW + 20), roa(1), roa(2, expires=NOW + 10), roa(4, expires=NOW + 20)
    )
    assert asns(truth.expired(at)[0]) == left
    assert asns(truth) == {1, 2, 3, 4}, "a truth never changes"


@pytest.mark.parametrize(
    ("entries", "until"),
    [
        ([roa(1, expires=NOW + 10), roa(1)], None),
        ([roa(1), roa(1, expires=NOW + 10)], None),
        ([roa(1, expires=NOW + 10), roa(1, expires=NOW + 20)], NOW + 20),
        ([roa(1, expires=NOW + 20), roa(1, expires=NOW + 10)], NOW + 20),
        ([roa(1, expires=NOW - 10), roa(1, expires=NOW + 10)], NOW + 10),
    ],
)
def test_the_last_of_equal_entries_counts(entries: list[dict[str, Any]], until: int | None) -> None:
    truth = read(*entries, roa(2))
    assert [at for at, _ in truth.expiries] == ([] if until is None else [until])


TEXTS = [f"10.{n}.0.0/{16 + n % 3}-{24 + n % 2} AS{65000 + n % 4}" for n in (0, 4, 8, 12, 16, 20)]
TEXTS += ["10.0.0.0/16-32 AS65009", "2001:db8::/32-128 AS65001", "2001:db8:1::/48 AS65002"]


@given(st.sets(st.sampled_from(TEXTS)), st.data())
def test_a_set_without_some_is_the_set_of_the_others(texts: set[str], draw: st.DataObject) -> None:
    gone = draw.draw(st.sets(st.sampled_from(sorted(texts)))) if texts else set()
    whole = VrpSet.of(map(vrp, texts))
    numbers: list[Numbers] = [
        (v.prefix.family, v.prefix.network, v.prefix.length, v.max_length, v.asn)
        for v in map(vrp, gone)
    ]
    rest = whole.without_these(numbers)
    assert rest == VrpSet.of(map(vrp, texts - gone))
    assert len(rest) == len(texts - gone)
    assert whole == VrpSet.of(map(vrp, texts)), "a set never changes"


def test_what_expires_is_a_change_of_data_that_names_its_prefixes() -> None:
    sources = Sources(mode=Mode.AUTHORITATIVE, has_truth=True, has_rtr=False, reject_expired=False)
    sources.truth_loaded(read(roa(1), roa(2, "10.0.0.0/8", expires=NOW + 10)))
    assert sources.next_expiry == NOW + 10
    assert sources.expire_truth(NOW + 10) is None
    event = sources.expire_truth(NOW + 11)
    assert event is not None
    assert (event.detail, event.added, event.removed) == ("1 VRPs have expired", 0, 1)
    assert event.prefixes is not None
    assert list(map(str, event.prefixes)) == ["10.0.0.0/8"]
    assert sources.next_expiry is None
    assert sources.expire_truth(NOW + 12) is None


def test_a_replay_expires_by_the_time_of_the_recording(tmp_path: Path) -> None:
    """The turn that comes after the last second is judged without the entry; so are its routes."""
    config = parse_config(CONFIG, tmp_path / "rsfilter.toml")
    truth = roas(roa(expires=NOW + 10), roa(prefix="10.0.0.0/8"))
    commands = BytesIO()
    machine = Machine(config, tmp_path / "audit", commands)

    def turn(at: float, what: Input) -> None:
        machine.apply(Moment(at, NOW + at), what)

    def lines(at: float, *those: bytes) -> None:
        turn(at, Lines([line.rstrip(b"\n") for line in those]))

    turn(0.0, TruthRead(parse_truth(truth, "truth.json", NOW), truth, "truth.json", NOW))
    lines(1.0, state(HOST, 65001, "up"), announce(HOST, 65001, ["203.0.113.1/32"]))
    lines(11.0, announce(HOST, 65001, ["203.0.113.2/32", "10.0.0.1/32"]))
    machine.close()
    records = [
        json.loads(line)
        for file in sorted((tmp_path / "audit").glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    verdicts = [(r["prefix"], r["verdict"]) for r in records if r["event"] == "verdict"]
    assert verdicts == [
        ("203.0.113.1/32", "accepted"),
        ("203.0.113.1/32", "rejected"),
        ("203.0.113.2/32", "rejected"),
        ("10.0.0.1/32", "accepted"),
    ]


def test_a_running_filter_needs_no_change_of_the_file(tmp_path: Path) -> None:
    """The slower the machine, the longer an entry has to last to be seen in force."""
    assert any(expires_before_our_eyes(tmp_path, seconds) for seconds in (4, 20, 100))


def expires_before_our_eyes(place: Path, seconds: int) -> bool:
    """Run a filter while an entry of its truth expires; False if that was too soon to be seen."""
    config = place / "rsfilter.toml"
    config.write_text(CONFIG)
    until = int(time.time()) + seconds
    (place / "truth.json").write_bytes(roas(roa(expires=until), roa(prefix="10.0.0.0/8")))
    with Speaker(config, ROUTERS) as speaker:
        table = speaker.tables[ROUTER]
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32", "10.0.0.1/32"]))
        speaker.wait("in force", lambda: "203.0.113.1/32" in table or time.time() >= until)
        if "203.0.113.1/32" not in table:
            return False
        speaker.wait("withdrawn", lambda: set(table) == {"10.0.0.1/32"})
        assert time.time() >= until
        speaker.write(announce(HOST, 65001, ["203.0.113.2/32", "10.0.0.2/32"]))
        speaker.wait("the next", lambda: "10.0.0.2/32" in table)
        assert "203.0.113.2/32" not in table
        return True
