"""The probe on logs as BIRD writes them: what it sees, and what it must not overlook."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from lab.probe import Probe

GUEST, OTHER = "10.0.0.1/32", "10.0.0.2/32"


class Log:
    """A router's log, written line by line, a second apart."""

    def __init__(self, place: Path) -> None:
        self.router = SimpleNamespace(
            name="leaf", log=place, lab=SimpleNamespace(report=lambda: "")
        )
        self.probe = Probe(self.router)  # type: ignore[arg-type]
        self.second = 0

    def _write(self, text: str) -> None:
        self.second += 1
        with open(self.router.log, "a") as log:
            log.write(f"2026-11-23 09:12:{self.second:02}.500000 {text}\n")

    def starts(self) -> None:
        self._write("<INFO> Started")

    def gets(
        self, prefix: str, hop: str = "192.0.2.11", path: str = "65001", number: int = 0
    ) -> None:
        self._write(f"<INFO> received|{prefix}|{hop}|(path {path})|(clist (65535,0) (65001,7))")
        self._write(f"<TRACE> rs_4.ipv4 > added [best] {prefix} {number}L 3G unreachable")

    def repeats(self, prefix: str) -> None:
        self._write(f"<INFO> received|{prefix}|192.0.2.99|(path 65099)|(clist )")
        self._write(f"<TRACE> rs_4.ipv4 > ignored [best] {prefix} 0L 3G unreachable")

    def loses(self, prefix: str, number: int = 0) -> None:
        self._write(f"<TRACE> rs_4.ipv4 > removed [sole] {prefix} {number}L 3G unreachable")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    new = Log(tmp_path / "log")
    new.starts()
    return new


def test_the_probe_reads_every_part_of_a_path(log: Log) -> None:
    log.gets("2001:db8::1/128", hop="2001:db8::b fe80::b", path="65001 {7 8} 65002", number=9)
    (change,) = log.probe.changes()
    assert change.was is None
    assert change.now is not None
    assert change.place.prefix == "2001:db8::1/128"
    assert change.place.path_id == 9
    assert change.now.next_hop == "2001:db8::b"
    assert change.now.as_path == (65001, "{7 8}", 65002)
    assert change.now.asn == 65002
    assert change.now.communities == {(65535, 0), (65001, 7)}


def test_a_line_that_is_not_whole_yet_is_read_later(log: Log) -> None:
    log.gets(GUEST)
    text = log.router.log.read_text()
    log.router.log.write_text(text[:-20])
    assert log.probe.changes() == []
    log.router.log.write_text(text)
    assert len(log.probe.changes()) == 1


def test_a_gap_between_two_probes_is_found(log: Log) -> None:
    log.gets(GUEST)
    start = log.probe.moment()
    log.probe.never_missing([GUEST], start)
    log.loses(GUEST)
    log.gets(GUEST)
    with pytest.raises(AssertionError, match=r"missed 10.0.0.1/32 for 2.0+ s until at 09:12:06"):
        log.probe.never_missing([GUEST], start)
    log.probe.never_missing([GUEST], log.probe.moment())
    assert [change.place.prefix for change in log.probe.withdraws(start)] == [GUEST]


def test_a_replacement_is_no_gap(log: Log) -> None:
    log.gets(GUEST)
    start = log.probe.moment()
    log.gets(GUEST, hop="192.0.2.12", path="65002")
    log.repeats(GUEST)
    log.probe.never_missing([GUEST], start)
    assert log.probe.withdraws(start) == []
    with pytest.raises(AssertionError, match="leaf replaced"):
        log.probe.quiet(start)


def test_what_never_came_is_missing(log: Log) -> None:
    log.gets(OTHER)
    with pytest.raises(AssertionError, match=r"misses 10.0.0.1/32 since before"):
        log.probe.never_missing([GUEST, OTHER], log.probe.moment())


def test_paths_are_counted(log: Log) -> None:
    log.gets(GUEST, number=1)
    log.gets(GUEST, number=2)
    start = log.probe.moment()
    log.probe.never_missing([GUEST], start, paths=2)
    log.loses(GUEST, number=1)
    log.probe.never_missing([GUEST], start)
    with pytest.raises(AssertionError, match="misses"):
        log.probe.never_missing([GUEST], start, paths=2)


def test_a_hijack_of_a_moment_is_found(log: Log) -> None:
    log.gets(GUEST)
    start = log.probe.moment()
    log.gets(GUEST, path="65002")
    log.gets(GUEST)
    log.probe.never_had([GUEST], start, asn=65003)
    log.probe.never_had([OTHER], start)
    with pytest.raises(AssertionError, match="leaf had"):
        log.probe.never_had([GUEST], start, asn=65002)
    with pytest.raises(AssertionError, match="already before"):
        log.probe.never_had([GUEST], log.probe.moment(), asn=65001)


def test_a_repetition_changes_nothing(log: Log) -> None:
    log.gets(GUEST)
    start = log.probe.moment()
    log.repeats(GUEST)
    log.probe.quiet(start)
    log.probe.never_had([GUEST], start, asn=65099)


def test_a_router_that_starts_again_has_lost_everything(log: Log) -> None:
    log.gets(GUEST)
    start = log.probe.moment()
    log.starts()
    log.gets(GUEST)
    with pytest.raises(AssertionError, match="missed"):
        log.probe.never_missing([GUEST], start)


def test_a_path_that_changes_its_id(log: Log) -> None:
    log.gets(GUEST, number=1)
    log.gets(GUEST, hop="192.0.2.12", number=2)
    log.probe.path_ids_keep()
    log.loses(GUEST, number=1)
    log.gets(GUEST, number=3)
    with pytest.raises(AssertionError, match="one id"):
        log.probe.path_ids_keep()
