"""The timeline of the audit log: counts by step, with starts and gaps as they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from support.audit_samples import DAY, NOON, PROVENANCE, verdict_change, write_log

from rsfilter.audit.indexing import build
from rsfilter.audit.record import ServiceEvent
from rsfilter.audit.timeline import MAX_POINTS, STEPS, timeline
from rsfilter.routing.effects import DataChange, SessionChange
from rsfilter.routing.model import Address

MINUTE = 60.0


def session(address: str, *, is_up: bool, role: str = "host") -> SessionChange:
    return SessionChange(Address.parse(address), 65001, role, "hypervisors", is_up, "")


def data_change(source: str) -> DataChange:
    return DataChange(source, "changed", 1, 0, 1, 0, PROVENANCE)


START = ServiceEvent("start", {})


def test_verdicts_are_counted_by_step_and_reason(tmp_path: Path) -> None:
    """Ten minutes in steps of five seconds: 120 of them. Second 7 is in step 1, 61 in step 12."""
    write_log(
        tmp_path,
        (NOON + 7, verdict_change("203.0.113.1/32")),
        (NOON + 9, verdict_change("203.0.113.2/32", reasons=("max_prefixes", "bogon_prefix"))),
        (NOON + 61, verdict_change("203.0.113.3/32", reasons=())),
    )
    found = timeline(tmp_path, NOON, NOON + 10 * MINUTE, None)
    assert found.step_s == 5
    assert found.times == [int(NOON) + 5 * n for n in range(120)]
    assert {at: n for at, n in enumerate(found.verdicts["rejected"]) if n} == {1: 2}
    assert {at: n for at, n in enumerate(found.verdicts["accepted"]) if n} == {12: 1}
    assert {name: sum(counts) for name, counts in found.reasons.items()} == {
        "origin_invalid_asn": 1,
        "max_prefixes": 1,
    }
    assert found.first == NOON + 7


def test_what_is_judged_again_after_a_start_is_no_wave_of_rejections(tmp_path: Path) -> None:
    """Two minutes, then it is news again."""
    write_log(
        tmp_path,
        (NOON, START),
        (NOON + 119, verdict_change("203.0.113.1/32")),
        (NOON + 120, verdict_change("203.0.113.2/32")),
    )
    found = timeline(tmp_path, NOON, NOON + 10 * MINUTE, None)
    assert found.starts == [NOON]
    assert {at: n for at, n in enumerate(found.verdicts["restart"]) if n} == {23: 1}
    assert {at: n for at, n in enumerate(found.verdicts["rejected"]) if n} == {24: 1}
    assert sum(found.reasons["origin_invalid_asn"]) == 1


A, B = "198.51.100.1", "198.51.100.2"


def test_sessions_follow_from_the_number_at_the_end(tmp_path: Path) -> None:
    """Three are up now. A left at 60 s, B came at 120 s: before both there were three as well."""
    write_log(
        tmp_path,
        (NOON + 60, session(A, is_up=False)),
        (NOON + 90, session("192.0.2.10", is_up=True, role="router")),
        (NOON + 120, session(B, is_up=True)),
    )
    sessions = timeline(tmp_path, NOON, NOON + 5 * MINUTE, 3).sessions
    assert sessions == [3] * 12 + [2] * 12 + [3] * 36
    assert timeline(tmp_path, NOON, NOON + 5 * MINUTE, None).sessions == [None] * 60


def test_sessions_begin_anew_with_a_start(tmp_path: Path) -> None:
    """No number is invented for the time before the start."""
    write_log(
        tmp_path,
        (NOON + 10, session(A, is_up=True)),
        (NOON + 60, START),
        (NOON + 90, session(A, is_up=True)),
    )
    sessions = timeline(tmp_path, NOON, NOON + 2 * MINUTE, 1).sessions
    assert sessions == [None] * 12 + [0] * 6 + [1] * 6


def test_changes_of_data(tmp_path: Path) -> None:
    write_log(tmp_path, (NOON + 1, data_change("truth")), (NOON + 2, data_change("rtr")))
    changes = timeline(tmp_path, NOON, NOON + MINUTE, None).changes
    assert [(change.at, change.source) for change in changes] == [
        (NOON + 1, "truth"),
        (NOON + 2, "rtr"),
    ]


@dataclass
class Span:
    seconds: float
    step_s: int


@pytest.mark.parametrize(
    "span",
    [Span(3600, 30), Span(DAY, 600), Span(7 * DAY, 3600), Span(365 * DAY, 86400)],
    ids=lambda span: str(span.seconds),
)
def test_steps_are_round_and_few(tmp_path: Path, span: Span) -> None:
    found = timeline(tmp_path, NOON, NOON + span.seconds, None)
    assert found.step_s == span.step_s
    assert found.step_s in STEPS
    assert len(found.times) <= max(MAX_POINTS, 366) + 1
    assert found.first is None


def test_an_index_changes_nothing(tmp_path: Path) -> None:
    events = [(NOON + day * DAY, verdict_change()) for day in range(3)]
    write_log(tmp_path, *events)
    before = timeline(tmp_path, NOON, NOON + 3 * DAY, None)
    list(build(tmp_path))
    assert timeline(tmp_path, NOON, NOON + 3 * DAY, None) == before
    assert sum(before.verdicts["rejected"]) == 3


def test_a_time_that_is_empty(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="before until"):
        timeline(tmp_path, NOON, NOON, None)
