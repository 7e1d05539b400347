"""One door for all that comes in: written, read back and applied, and what follows is one value."""

from __future__ import annotations

import io
from pathlib import Path
from typing import get_args

import pytest
from support.filter_site import CONFIG
from support.places import ROOT
from support.recorded_site import audit

from rsfilter.audit.record import ServiceEvent
from rsfilter.commands.replay import replay
from rsfilter.config.build import load_config, parse_config
from rsfilter.exabgp.unsettled import Unsettled
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.filter import Filter
from rsfilter.pipeline.inputs import (
    Configured,
    Input,
    Lines,
    Moment,
    RtrGone,
    RtrRead,
    TruthRead,
)
from rsfilter.pipeline.outputs import LineNotUnderstood, Outputs
from rsfilter.pipeline.pipeline import SKIPPED_EVERY_S, Pipeline
from rsfilter.pipeline.recording import FORMS, decode, encode
from rsfilter.routing.events import DrainRequested, GuardReleased, GuardRestored
from rsfilter.routing.guard import Expected
from rsfilter.routing.model import Address, Prefix, RouteKey, Vrp
from rsfilter.rpki.truth import parse_truth
from rsfilter.rpki.vrps import RtrSnapshot, VrpSet

MIXED = ROOT / "fixtures" / "recordings" / "mixed"

AT = Moment(12.5, 1795376896.8)
KEY = RouteKey(Address.parse("198.51.100.1"), Prefix.parse("10.1.0.1/32"), 7)
VRPS = VrpSet.of([Vrp(Prefix.parse("10.0.0.0/8"), 32, 65001)])
TRUTH = b'{"roas": [{"prefix": "10.0.0.0/8", "maxLength": 32, "asn": 65001}]}'

INPUTS: list[tuple[Input, str]] = [
    (Lines([b"{}", b"\xff"]), '"lines": ["{}", "\\u00ff"]'),
    (Lines([]), '"lines": []'),
    (RtrGone("expired"), '"source": "expired"'),
    (RtrGone("given_up"), '"source": "given_up"'),
    (
        RtrRead(RtrSnapshot(VRPS, "192.0.2.50:8282", 7, 3, AT.now), "fresh"),
        '"rtr": {"cache": "192.0.2.50:8282", "session": 7, "serial": 3, '
        '"vrps": [["10.0.0.0/8", 32, 65001]]}, "reason": "fresh"',
    ),
    (GuardReleased("SIGUSR2"), '"release": "SIGUSR2"'),
    (
        GuardRestored(
            {KEY: Expected("f", "r", ("origin_not_found",))}, {KEY: Expected("g", "s")}, {KEY: 12.5}
        ),
        '"guard": {"held": [["198.51.100.1", "10.1.0.1/32", 7, "f", "r", ["origin_not_found"]]], '
        '"accepted": [["198.51.100.1", "10.1.0.1/32", 7, "g", "s"]], '
        '"lost": [["198.51.100.1", "10.1.0.1/32", 7, 12.5]]}',
    ),
    (
        Unsettled(frozenset({Address.parse("192.0.2.10")})),
        '"unsettled": {"routers": ["192.0.2.10"], "hosts": []}',
    ),
    (
        DrainRequested("readiness", True, "a file"),
        '"drain": true, "source": "readiness", "by": "a file"',
    ),
    (ServiceEvent("start", {"version": "0"}), '"note": "start", "data": {"version": "0"}'),
]


@pytest.mark.parametrize(("what", "members"), INPUTS, ids=lambda value: type(value).__name__)
def test_an_input_is_written_as_documented_and_read_back(what: Input, members: str) -> None:
    line = encode(AT, what)
    assert line.decode() == f'{{"now": 12.5, "time": 1795376896.8, {members}}}\n'
    assert decode(line) == (AT, what)


def test_a_truth_is_parsed_again_as_of_its_reading() -> None:
    what = TruthRead(parse_truth(TRUTH, "t.json", 9.5), TRUTH, "t.json", 9.5)
    line = encode(AT, what)
    assert line.decode().endswith(', "file": "t.json", "read": 9.5}\n')
    assert decode(line) == (AT, what)


def test_a_configuration_is_parsed_again() -> None:
    config = parse_config(CONFIG, Path("/etc/rsfilter/rsfilter.toml"))
    line = encode(AT, Configured(config, CONFIG, is_forced=True))
    assert line.decode().endswith(', "file": "/etc/rsfilter/rsfilter.toml", "forced": true}\n')
    assert decode(line) == (AT, Configured(config, CONFIG, is_forced=True))


def test_what_0_1_held_is_read() -> None:
    line = b'{"now": 12.5, "time": 1.0, "held": [["198.51.100.1", "10.1.0.1/32", 7, "f"]]}'
    assert decode(line)[1] == GuardRestored({KEY: Expected("f")})


def test_every_type_of_input_can_be_recorded() -> None:
    assert set(FORMS) == set(get_args(Input))


def test_a_recording_made_before_gives_the_same_octets(tmp_path: Path) -> None:
    """The recording has every kind of input; the output is that of the release that made it."""
    commands = io.BytesIO()
    config = load_config(MIXED / "rsfilter.toml")
    assert replay(config, [MIXED / "recording"], audit=tmp_path, commands=commands) == 0
    assert commands.getvalue() == (MIXED / "commands").read_bytes()
    assert audit(tmp_path) == (MIXED / "audit.jsonl").read_bytes()


# Notices -----------------------------------------------------------------------------------------


def machine() -> Pipeline:
    return Pipeline(parse_config(CONFIG, Path("/etc/rsfilter/rsfilter.toml")))


def beginnings(outputs: Outputs) -> list[bytes]:
    return [n.beginning for n in outputs.notices if isinstance(n, LineNotUnderstood)]


def test_lines_that_are_not_understood_are_noticed_once_a_minute() -> None:
    pipeline = machine()
    now = 100.0

    def turn(at: float) -> list[bytes]:
        return beginnings(pipeline.apply(Lines([b"{ torn", b"{ at %d" % at]), Moment(at, at)))

    assert turn(now) == [b"{ at 100"]
    assert turn(now + 1) == []
    assert turn(now + SKIPPED_EVERY_S - 1) == []
    assert turn(now + SKIPPED_EVERY_S) == [b"{ at 160"]


def test_a_few_of_the_lines_that_are_not_understood_are_kept() -> None:
    pipeline = machine()
    pipeline.apply(Lines([b"done"]), Moment(1.0, 1.0))
    skipped = pipeline.apply(Lines([b"{" + b"x" * 999] * 500), Moment(2.0, 2.0)).skipped
    assert [(each.number, each.why, len(each.beginning)) for each in skipped] == [
        (number, "not_json", 300) for number in (2, 3, 4, 5, 6)
    ]
    assert pipeline.apply(Lines([]), Moment(3.0, 3.0)).skipped == []


def test_an_exabgp_that_is_not_supported_leaves_no_timer() -> None:
    """Send nothing to it any more: a timer that is due for ever would keep the loop busy."""
    config = parse_config(CONFIG, Path("/etc/rsfilter/rsfilter.toml"))
    machine = Filter(config, Sources.of(config).nothing)
    assert machine.commands(0.0)
    assert machine.next_timer() is not None
    machine.line(b"exabgp 6.0.0", 0.0)
    assert machine.lines.unsupported
    assert (machine.commands(1e6), machine.next_timer()) == ([], None)
