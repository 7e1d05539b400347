"""Log lines for the person on call."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from rsfilter.audit.flood import Flood
from rsfilter.edge import alarms
from rsfilter.pipeline.outputs import (
    DataInForce,
    HostsAbsent,
    LineNotUnderstood,
    ReleaseKnown,
    ResyncProblem,
)
from rsfilter.routing.effects import NO_PROVENANCE, DrainChange, GuardChange, NotKept
from rsfilter.routing.model import Address

HOST = Address.parse("192.0.2.11")


def guard(action: str) -> GuardChange:
    return GuardChange(
        action, 40, accepted=90, held=41, source="truth", detail="end", provenance=NO_PROVENANCE
    )


def logged(caplog: pytest.LogCaptureFixture) -> tuple[int, str]:
    (record,) = caplog.records
    return record.levelno, record.getMessage()


@pytest.mark.parametrize(
    ("event", "level", "words"),
    [
        (guard("held"), logging.ERROR, ["40 of 90", "41 held in all", "rsfilter guard release"]),
        (guard("restored"), logging.WARNING, ["40 routes were held before a restart"]),
        (guard("released"), logging.WARNING, ["40 held routes released by end"]),
        (guard("ended"), logging.INFO, ["end"]),
        (DrainChange("in_service", "ask", ()), logging.WARNING, ["ask", "now in service"]),
        (Flood(HOST, 65001, "hv1", "begins"), logging.WARNING, ["192.0.2.11 (hv1, AS65001)"]),
        (Flood(HOST, 65001, "", "begins"), logging.WARNING, ["in no group"]),
        (Flood(HOST, 65001, "hv1", "ended"), logging.INFO, ["flood ended"]),
    ],
)
def test_alarms_are_logged_at_their_level(
    event: GuardChange | DrainChange | Flood,
    level: int,
    words: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    alarms.log_events([event])
    logged_at, text = logged(caplog)
    assert logged_at == level
    assert [word for word in words if word not in text] == []


def test_a_line_that_was_not_understood_is_shown_escaped(caplog: pytest.LogCaptureFixture) -> None:
    alarms.log_events((), [LineNotUnderstood("not_json", b'{ "peer": "192.0.2.11" \x1b[31m\n')])
    level, text = logged(caplog)
    assert level == logging.WARNING
    assert [word for word in ("not_json", "192.0.2.11") if word not in text] == []
    assert text.isprintable()


@pytest.mark.parametrize(
    "event", [Flood(HOST, 65001, "hv1", "goes_on"), NotKept(HOST, 65001, "hv1", 5)]
)
def test_small_events_are_in_the_audit_log_only(
    event: Flood | NotKept, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    alarms.log_events([event])
    assert caplog.records == []


def test_an_exabgp_that_is_not_safe(caplog: pytest.LogCaptureFixture) -> None:
    alarms.log_events((), [ReleaseKnown("5.0.15")])
    assert caplog.records == []
    alarms.log_events((), [ReleaseKnown("4.2.25")])
    level, text = logged(caplog)
    assert level == logging.WARNING
    assert "Use 5.0.15 or later" in text


def test_an_incomplete_resync_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    alarms.log_events((), [ResyncProblem(Counter({"unreadable": 2, "late": 1}))])
    assert logged(caplog)[0] == logging.ERROR
    assert "(late: 1, unreadable: 2)" in logged(caplog)[1]


def test_hosts_that_are_not_back_are_named_up_to_five(caplog: pytest.LogCaptureFixture) -> None:
    alarms.log_events((), [HostsAbsent([])])
    assert caplog.records == []
    alarms.log_events((), [HostsAbsent([Address(HOST.family, HOST.value + n) for n in range(6)])])
    text = logged(caplog)[1]
    assert "6 hosts" in text
    assert text.endswith("192.0.2.15 ...")


def test_data_in_force_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    alarms.log_events((), [DataInForce("truth", "hosts, 2 VRPs")])
    assert logged(caplog) == (logging.INFO, "data in force: truth: hosts, 2 VRPs")
