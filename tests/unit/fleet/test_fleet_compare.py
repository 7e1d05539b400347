"""Digests of what was decided, and where two instances differ and why. No clock, no database."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsfilter.fleet.beat import HURRY_S
from rsfilter.fleet.compare import (
    DATA_SETTLE_S,
    MISSING_S,
    RELEARN_S,
    STANDS_S,
    Comparer,
    causes_of_data,
    decoded,
    encoded,
    is_young,
)
from rsfilter.fleet.ledger import (
    BUCKETS,
    SETTLE_S,
    DataRecord,
    Group,
    Ledger,
    Record,
    decode,
)
from rsfilter.fleet.state import Detail, GroupState, Heartbeat, Peer, RouteDifference

HV1, HV2 = "198.51.100.1", "198.51.100.2"
TRUTH, RTR = {"sha256": "ab" * 32, "revision": "r1"}, {"cache": "c:1", "session": 7, "serial": 42}


def ledger(key: str = "key") -> Ledger:
    return Ledger(key, lambda neighbor: "g" if neighbor.startswith("198.51.100.") else "")


def verdict(prefix: str, what: str = "accepted", *reasons: str, neighbor: str = HV1) -> Record:
    return Record(
        0, "verdict", neighbor=neighbor, host="hv", prefix=prefix, verdict=what, reasons=reasons
    )


def withdraw(prefix: str, neighbor: str = HV1) -> Record:
    return Record(0, "withdraw", neighbor=neighbor, prefix=prefix)


def session(what: str, neighbor: str = HV1) -> Record:
    return Record(0, f"session_{what}", neighbor=neighbor)


def settled(*records: Record) -> Ledger:
    made = ledger()
    for record in records:
        made.apply(record, 0.0)
    made.settle(SETTLE_S)
    return made


def sums(made: Ledger) -> list[int]:
    group = made.groups.get("g")
    return list(group.sums) if group else [0] * BUCKETS


# The digest --------------------------------------------------------------------------------------

changes = st.lists(
    st.tuples(
        st.sampled_from(["203.0.113.1/32", "203.0.113.2/32", "2001:db8::1/128"]),
        st.sampled_from([HV1, HV2]),
        st.sampled_from([None, ("accepted",), ("rejected", "bogon_asn"), ("held", "guard")]),
    )
)


@given(changes, st.integers(0, 3))
def test_the_digest_is_of_the_last_decisions_whatever_came_before(
    history: list[Any], pause: int
) -> None:
    made, now = ledger(), 0.0
    last: dict[tuple[str, str], Any] = {}
    for prefix, neighbor, what in history:
        now += pause
        made.settle(now)
        last[prefix, neighbor] = what
        record = verdict(prefix, *what, neighbor=neighbor) if what else withdraw(prefix, neighbor)
        made.apply(record, now)
    made.settle(now + SETTLE_S)
    plain = settled(
        *(verdict(p, *what, neighbor=n) for (p, n), what in reversed(last.items()) if what)
    )
    assert sums(made) == sums(plain)
    assert made.verdicts.total() == len(plain.routes)
    assert (made.groups["g"].routes if "g" in made.groups else 0) == len(plain.routes)


def test_what_differs_shows_in_one_bucket() -> None:
    prefixes = [f"10.0.{n // 256}.{n % 256}/32" for n in range(2000)]
    one = settled(*map(verdict, prefixes))
    other = settled(*map(verdict, prefixes[:-1]), verdict(prefixes[-1], "rejected", "bogon_asn"))
    assert sum(a != b for a, b in zip(sums(one), sums(other), strict=True)) == 1
    assert one.groups["g"].root != other.groups["g"].root
    assert one.groups["g"].root == settled(*map(verdict, prefixes)).groups["g"].root


def test_without_the_key_nothing_can_be_foreseen() -> None:
    made = ledger("another key")
    made.apply(verdict("203.0.113.1/32"), 0.0)
    made.settle(SETTLE_S)
    assert sums(made) != sums(settled(verdict("203.0.113.1/32")))


def test_a_route_counts_when_it_has_settled() -> None:
    made = ledger()
    made.apply(verdict("203.0.113.1/32"), 0.0)
    made.settle(SETTLE_S - 1)
    assert "g" not in made.groups
    made.settle(SETTLE_S)
    assert made.groups["g"].routes == 1
    made.apply(verdict("203.0.113.1/32", "rejected", "bogon_asn"), 100.0)
    assert made.groups["g"].routes == 0
    assert sums(made) == [0] * BUCKETS


def test_a_start_a_gap_and_a_flood() -> None:
    made = settled(verdict("203.0.113.1/32"), verdict("203.0.113.2/32", neighbor=HV2))
    made.apply(Record(0, "flood", neighbor=HV1), 1.0)
    assert made.groups["g"].routes == 1  # not all changes of that neighbor are in the log
    made.apply(verdict("203.0.113.9/32"), 2.0)
    made.settle(100.0)
    assert made.groups["g"].routes == 1
    assert len(made.routes) == 3
    made.apply(session("up"), 100.0)
    made.apply(verdict("203.0.113.1/32", "rejected", "bogon_asn"), 101.0)
    made.settle(200.0)
    assert made.groups["g"].routes == 2
    made.apply(Record(0, "gap"), 201.0)
    assert not made.is_complete
    made.apply(Record(0, "start"), 202.0)
    assert made.is_complete
    assert (made.routes, made.groups) == ({}, {})


def test_sums_survive_their_encoding_as_text() -> None:
    made = settled(*(verdict(f"10.0.0.{n}/32") for n in range(200)))
    found = decoded(encoded(made.groups["g"].sums))
    assert found is not None
    assert list(found) == sums(made)
    for text in ("", "x", "AAAA", "é"):
        assert decoded(text) is None


def test_releases_have_the_same_digests_of_the_same_routes() -> None:
    """Releases run beside each other during an upgrade: other digests would be differences."""
    made = ledger()
    for n in range(300):
        made.apply(
            Record(
                n,
                "verdict",
                neighbor=f"198.51.100.{n % 9}",
                prefix=f"10.0.{n % 7}.{n}/32",
                path_id=n % 3,
                verdict="accepted" if n % 5 else "rejected",
                reasons=() if n % 5 else ("bogon_asn", "x"),
            ),
            0.0,
        )
    made.settle(SETTLE_S)
    assert made.groups["g"].root == "c0cec903de94c8c1"


def test_the_sums_of_a_group_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making them for each route that settles, 32 kB, took half of what a change costs."""
    made: list[Group] = []
    monkeypatch.setattr("rsfilter.fleet.ledger.Group", lambda: made.append(Group()) or made[-1])
    settled(*(verdict(f"10.0.0.{n}/32") for n in range(50)))
    assert len(made) == 1


def test_only_a_record_of_data_is_read_for_its_data() -> None:
    line = b'{"v":1,"seq":7,"at":"","event":"%s","truth":%s,"rtr":null,"data":{"vrps":"ab"}}'
    assert type(decode(line % (b"verdict", b'{"sha256":"cd"}'))) is Record
    assert decode(line % (b"data", b"null")) == DataRecord(7, "data", data={"vrps": "ab"})
    with pytest.raises(msgspec.DecodeError):
        decode(line % (b"data", b"[1]"))


def test_what_a_change_costs() -> None:
    """A record is decoded and folded in at most 30 microseconds, in the shipping process: nothing
    of it is in the filter."""
    made = ledger()
    records = [verdict(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32") for n in range(50_000)]
    before = time.process_time()
    for record in records:
        made.apply(record, 0.0)
    made.settle(SETTLE_S)
    assert (time.process_time() - before) / len(records) < 30e-6


# Two instances -----------------------------------------------------------------------------------


class Fleet:
    """Instances that beat in turns, with the database's rows in a dict."""

    def __init__(self, *names: str) -> None:
        self.ledgers = {name: ledger() for name in names}
        self.comparers = {name: Comparer(made) for name, made in self.ledgers.items()}
        self.policy = dict.fromkeys(names, "p")
        self.data_since = dict.fromkeys(names, -1000.0)
        self.rows: dict[str, tuple[float, Heartbeat, Detail | None]] = {}
        self.now = -1000.0
        for name in names:
            self.apply(name, Record(0, "start"), DataRecord(0, "data", truth=TRUTH, rtr=RTR))
            self.apply(name, session("up"), session("up", HV2))
        self.now = 0.0

    def apply(self, name: str, *records: Record) -> None:
        for record in records:
            self.ledgers[name].apply(record, self.now)

    def all(self, *records: Record) -> None:
        for name in self.ledgers:
            self.apply(name, *records)

    def state(self, name: str) -> Heartbeat:
        made = self.ledgers[name]
        group = made.groups.get("g")
        return Heartbeat(
            truth=made.data.truth[:16],
            rtr=made.data.rtr,
            vrps=made.data.vrps[:16],
            data_age=int(self.now - made.data_since),
            is_complete=made.is_complete,
            is_young=is_young(made, self.now),
            groups=[GroupState("g", "g", self.policy[name], group.root if group else "")],
        )

    def beat(self, seconds: float = HURRY_S) -> None:
        """Every instance beats once, and time goes on."""
        for name, made in self.ledgers.items():
            made.settle(self.now)
            state = self.state(name)
            peers = [
                Peer(other, self.now - at, theirs, detail)
                for other, (at, theirs, detail) in self.rows.items()
                if other != name
            ]
            detail = self.comparers[name].round(state, peers, self.now)
            self.rows[name] = (self.now, state, detail)
            self.now += 0.1
        self.now += seconds

    def beats(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.beat()

    def found(self) -> dict[str, list[RouteDifference]]:
        return {
            name: detail.differences if detail else [] for name, (_, _, detail) in self.rows.items()
        }

    def causes(self) -> set[str]:
        return {one.cause for found in self.found().values() for one in found}


PREFIXES = [f"10.0.{n // 256}.{n % 256}/32" for n in range(1000)]


@pytest.fixture
def fleet() -> Fleet:
    made = Fleet("rs1", "rs2")
    made.all(*map(verdict, PREFIXES))
    made.beats(60)
    assert made.found() == {"rs1": [], "rs2": []}
    return made


def test_equal_instances_exchange_roots_alone(fleet: Fleet) -> None:
    assert [detail for _, _, detail in fleet.rows.values()] == [None, None]


def test_one_verdict_is_named_within_30_seconds(fleet: Fleet) -> None:
    began = fleet.now
    fleet.apply("rs2", verdict(PREFIXES[7], "rejected", "bogon_asn"))
    while not any(fleet.found().values()):
        fleet.beat()
        assert fleet.now - began < 30
    fleet.beats(STANDS_S)
    ((mine,), (theirs,)) = fleet.found()["rs1"], fleet.found()["rs2"]
    assert (mine.prefix, mine.here, mine.there, mine.cause) == (
        PREFIXES[7], "accepted", "rejected bogon_asn", "unexplained",
    )  # fmt: skip
    assert (theirs.here, theirs.there, theirs.peer) == ("rejected bogon_asn", "accepted", "rs1")
    fleet.apply("rs2", verdict(PREFIXES[7]))
    fleet.beats(30)
    assert [detail for _, _, detail in fleet.rows.values()] == [None, None]


def test_both_decisions_have_lasted_whatever_differed_before(fleet: Fleet) -> None:
    """A route that is decided anew in a bucket that has differed for long, so that it is shown at
    once, is a difference no sooner than others."""
    by_bucket: dict[int, list[str]] = {}
    for entry in fleet.ledgers["rs1"].routes.values():
        by_bucket.setdefault(entry.bucket, []).append(entry.key[1])
    first, second = next(prefixes for prefixes in by_bucket.values() if len(prefixes) == 2)
    fleet.apply("rs2", verdict(first, "rejected", "bogon_asn"))
    fleet.beats(60)
    fleet.apply("rs2", verdict(second, "rejected", "bogon_asn"))
    began = fleet.now
    while second not in {one.prefix for found in fleet.found().values() for one in found}:
        fleet.beat()
        assert fleet.now - began < 30
    named_at = fleet.now - HURRY_S  # the time since then went by after it
    assert named_at - began >= STANDS_S


def test_another_truth_is_the_cause(fleet: Fleet) -> None:
    other = {"sha256": "cd" * 32, "revision": "r2"}
    fleet.apply("rs2", DataRecord(0, "data", truth=other, rtr=RTR))
    fleet.apply("rs2", *(verdict(p, "rejected", "origin_not_found") for p in PREFIXES[:300]))
    fleet.beats(60)
    assert fleet.causes() == {"truth"}
    fleet.apply("rs1", DataRecord(0, "data", truth=other, rtr=RTR))
    fleet.apply("rs1", *(verdict(p, "rejected", "origin_not_found") for p in PREFIXES[:300]))
    fleet.beats(30)
    assert fleet.found() == {"rs1": [], "rs2": []}


def test_nothing_is_unexplained_until_both_have_stood_by_their_data(fleet: Fleet) -> None:
    new = {"cache": "c:1", "session": 7, "serial": 43}
    fleet.all(DataRecord(0, "data", truth=TRUTH, rtr=new))
    began = fleet.now
    fleet.apply("rs2", verdict(PREFIXES[7], "rejected", "bogon_asn"))
    while not any(fleet.found().values()):
        fleet.beat()
    assert fleet.now - began >= DATA_SETTLE_S
    assert fleet.causes() == {"unexplained"}


@pytest.mark.parametrize(
    ("cause", "change"),
    [
        (
            "rtr",
            [DataRecord(0, "data", truth=TRUTH, rtr={"cache": "d:1", "session": 1, "serial": 1})],
        ),
        ("configuration", []),
    ],
)
def test_other_configuration_or_data_are_named_as_the_cause(
    fleet: Fleet, cause: str, change: list[Record]
) -> None:
    fleet.apply("rs2", *change, verdict(PREFIXES[7], "rejected", "prefix_too_long"))
    if cause == "configuration":
        fleet.policy["rs2"] = "q"
    fleet.beats(60)
    assert fleet.causes() == {cause}


@pytest.mark.parametrize(
    ("cause", "decided"),
    [("guard", ("held", "held_by_guard")), ("max_prefixes", ("rejected", "max_prefixes"))],
)
def test_the_cause_follows_from_the_decision(
    fleet: Fleet, cause: str, decided: tuple[str, ...]
) -> None:
    fleet.apply("rs2", verdict(PREFIXES[7], *decided))
    fleet.beats(60)
    assert fleet.causes() == {cause}


def rtr_data(cache: str, session: int, serial: int, vrps: str = "") -> Record:
    """A record of data of a cache, with a digest of its VRPs unless an older release wrote it."""
    rtr = {"cache": cache, "session": session, "serial": serial}
    return DataRecord(0, "data", truth=TRUTH, rtr=rtr, data={"vrps": vrps} if vrps else {})


SAME, OTHER = "ab" * 16, "cd" * 16


@pytest.mark.parametrize(
    ("one", "other", "cause"),
    [
        pytest.param(("c:1", 7, 42, SAME), ("d:1", 9, 3, SAME), "unexplained", id="two caches"),
        pytest.param(("c:1", 7, 42, SAME), ("d:1", 9, 3, OTHER), "rtr", id="other VRPs"),
        pytest.param(("c:1", 7, 42, SAME), ("c:1", 7, 42, OTHER), "rtr", id="a cache that lies"),
        pytest.param(("c:1", 7, 42, SAME), ("c:1", 7, 43, SAME), "unexplained", id="a new serial"),
        pytest.param(("c:1", 7, 42), ("d:1", 9, 3, SAME), "rtr", id="an older release"),
        pytest.param(("c:1", 7, 42), ("c:1", 7, 42, SAME), "unexplained", id="the same cache"),
    ],
)
def test_the_vrps_count_and_not_how_caches_number_them(
    fleet: Fleet, one: tuple[Any, ...], other: tuple[Any, ...], cause: str
) -> None:
    """A difference is of the RTR data only if the VRPs are others."""
    fleet.apply("rs1", rtr_data(*one))
    fleet.apply("rs2", rtr_data(*other), verdict(PREFIXES[7], "rejected", "origin_not_found"))
    fleet.beats(90)
    assert fleet.causes() == {cause}


def test_expired_data_are_the_cause_although_they_were_the_same(fleet: Fleet) -> None:
    fleet.all(rtr_data("c:1", 7, 42, SAME))
    fleet.apply("rs2", verdict(PREFIXES[7], "rejected", "data_unavailable"))
    fleet.beats(90)
    assert fleet.causes() == {"rtr"}


def test_a_filter_may_begin_without_data(fleet: Fleet) -> None:
    """A restarted filter hears its hosts before its RTR cache has answered. Only when that lasts is
    it a difference."""
    fleet.apply("rs2", Record(0, "start"), session("up"))
    fleet.apply("rs2", *(verdict(p, "rejected", "data_unavailable") for p in PREFIXES))
    began = fleet.now
    while not any(fleet.found().values()):
        fleet.beat()
        assert fleet.now - began < 60
    assert fleet.now - began >= DATA_SETTLE_S
    assert fleet.causes() == {"truth"}


def test_instances_with_other_data_are_counted_if_they_have_the_same_hosts() -> None:
    group, strange = GroupState("g", "g", "p"), GroupState("h", "h", "p")
    peers = [
        Peer("rs1", 0.0, Heartbeat(truth="a", vrps="1", groups=[group]), None),
        Peer("rs2", 0.0, Heartbeat(truth="b", vrps="1", groups=[group, strange]), None),
        Peer("rs3", 0.0, Heartbeat(truth="a", vrps="2", groups=[group]), None),
        Peer("rs4", 0.0, Heartbeat(truth="a", vrps="1", groups=[group]), None),
        Peer("rs5", 999.0, Heartbeat(truth="c", groups=[group]), None),
        Peer("rs6", 0.0, Heartbeat(truth="c", groups=[strange]), None),
    ]
    assert causes_of_data("rs1", peers) == {"truth": 1, "rtr": 1}
    assert causes_of_data("rs9", peers) == {}


def test_a_host_without_its_second_session_is_the_cause(fleet: Fleet) -> None:
    fleet.apply("rs2", *map(withdraw, PREFIXES), session("down"))
    fleet.beats(MISSING_S + 60)
    assert fleet.causes() == {"session"}
    assert fleet.found()["rs2"][0].here == ""
    fleet.apply("rs2", session("up"), *map(verdict, PREFIXES))
    fleet.beats(30)
    assert fleet.found() == {"rs1": [], "rs2": []}


def test_a_route_that_only_one_instance_received_is_named(fleet: Fleet) -> None:
    fleet.apply("rs1", verdict("203.0.113.9/32"))
    began = fleet.now
    while not any(fleet.found().values()):
        fleet.beat()
    assert fleet.now - began >= MISSING_S
    assert fleet.causes() == {"route"}


def restart(fleet: Fleet, name: str) -> list[Record]:
    """The filter of one instance is started again, and has a session with each host; return what
    it heard before."""
    routes = [
        verdict(entry.key[1], entry.decision.verdict, *entry.decision.reasons)
        for entry in fleet.ledgers[name].routes.values()
    ]
    fleet.apply(name, Record(0, "start"), DataRecord(0, "data", truth=TRUTH, rtr=RTR))
    fleet.apply(name, session("up"), session("up", HV2))
    return routes


def test_a_restarted_instance_hears_its_hosts_for_minutes(fleet: Fleet) -> None:
    """Large tables on a busy machine: as long as they may still come, no route is missing."""
    for route in restart(fleet, "rs2")[::10]:
        fleet.apply("rs2", route)
        fleet.beat(2.0)
        assert fleet.found() == {"rs1": [], "rs2": []}, fleet.now
    fleet.beats(RELEARN_S)
    assert fleet.causes() == {"route"}  # nine in ten never came


def test_a_restarted_instance_hears_withdrawals_late(fleet: Fleet) -> None:
    """A host's whole table waits before its withdrawal: the other instance has had no such route
    for minutes, and nothing is missing there."""
    routes = restart(fleet, "rs1")
    fleet.apply("rs1", *routes)
    fleet.apply("rs2", withdraw(PREFIXES[7]))
    for _ in range(60):
        fleet.beat()
        assert fleet.found() == {"rs1": [], "rs2": []}, fleet.now
    fleet.beats(RELEARN_S)
    assert fleet.causes() == {"route"}


def test_a_session_that_was_lost_for_less_than_a_minute_is_none_that_is_missing(
    fleet: Fleet,
) -> None:
    """The session comes back, and then the host repeats a large table."""
    routes = list(map(verdict, PREFIXES))
    fleet.apply("rs2", *map(withdraw, PREFIXES), session("down"))
    for _ in range(15):
        fleet.beat()
        assert fleet.found() == {"rs1": [], "rs2": []}, fleet.now
    fleet.apply("rs2", session("up"))
    for route in routes[::10]:
        fleet.apply("rs2", route)
        fleet.beat(1.0)
        assert fleet.found() == {"rs1": [], "rs2": []}, fleet.now
    fleet.apply("rs2", *routes)
    fleet.beats(60)
    assert fleet.found() == {"rs1": [], "rs2": []}


def test_a_withdrawal_that_one_instance_hears_late_is_no_difference(fleet: Fleet) -> None:
    fleet.apply("rs1", withdraw(PREFIXES[7]))
    for _ in range(15):
        fleet.beat()
        assert fleet.found() == {"rs1": [], "rs2": []}, fleet.now
    fleet.apply("rs2", withdraw(PREFIXES[7]))
    fleet.beats(60)
    assert fleet.found() == {"rs1": [], "rs2": []}


def test_who_is_silent_or_has_lost_records_is_not_compared(fleet: Fleet) -> None:
    fleet.apply("rs2", verdict(PREFIXES[7], "rejected", "bogon_asn"), Record(0, "gap"))
    fleet.beats(60)
    assert fleet.found() == {"rs1": [], "rs2": []}


def test_groups_of_other_hosts_are_not_compared() -> None:
    fleet = Fleet("rs1", "rs2")
    fleet.apply("rs1", verdict("203.0.113.9/32"))
    state = fleet.state("rs1")
    state.groups[0].id = "another"
    fleet.beat()
    fleet.rows["rs1"] = (fleet.now, state, None)
    assert (
        fleet.comparers["rs2"].round(fleet.state("rs2"), [Peer("rs1", 0.0, state, None)], fleet.now)
        is None
    )


def test_steady_churn_makes_no_difference() -> None:
    """An hour in which routes change all the time, each at the other instance 0.3 s later, and
    restarts in between: at no time is anything called different."""
    fleet = Fleet("rs1", "rs2")
    fleet.all(*map(verdict, PREFIXES))
    step = 0
    while fleet.now < 3600:
        step += 1
        what = ("accepted",) if step % 3 else ("rejected", "bogon_asn")
        some = PREFIXES[step * 37 % 900 : step * 37 % 900 + 60]
        changes = [verdict(p, *what) if step % 5 else withdraw(p) for p in some]
        fleet.apply("rs1", *changes)
        if step % 2:
            fleet.beat(0.3)
        fleet.apply("rs2", *changes)
        if step % 100 == 0:  # rs2 is started again: it hears all routes anew
            routes = [
                verdict(e.key[1], e.decision.verdict, *e.decision.reasons)
                for e in fleet.ledgers["rs2"].routes.values()
            ]
            fleet.apply("rs2", Record(0, "start"), DataRecord(0, "data", truth=TRUTH, rtr=RTR))
            fleet.apply("rs2", session("up"), session("up", HV2), *routes)
        fleet.beat(10.0)
        assert fleet.found() == {"rs1": [], "rs2": []}, fleet.now
