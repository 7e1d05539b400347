"""Floods: the log is bounded, and its counts add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.audit_samples import PROVENANCE, verdict_change

from rsfilter.audit import flood
from rsfilter.audit.flood import Audited, Budget, Flood, Floods
from rsfilter.routing.effects import (
    AuditEvent,
    DataChange,
    NlriRefused,
    NotKept,
    SessionChange,
    VerdictChange,
)
from rsfilter.routing.model import Address, AsPath, Attributes, RouteKey, Verdict, VerdictKind

HOST, OTHER = "198.51.100.101", "198.51.100.102"
SMALL = Budget(burst=5, rate=1.0, window_s=10.0)
"""Five lines at once, then one a second; ten of a summary need not be, five changes are calm."""

ACCEPTED, REJECTED, HELD = VerdictKind.ACCEPTED, VerdictKind.REJECTED, VerdictKind.HELD
_KINDS = {"accepted": ACCEPTED, "rejected": REJECTED, "held": HELD, "gone": None}


def change(
    number: int, was: str, now: str, *, cause: str = "announce", neighbor: str = HOST
) -> VerdictChange:
    """Route `number` of a neighbor, from one verdict to another."""
    base = verdict_change(f"10.0.{number >> 8}.{number & 255}/32", neighbor=neighbor)
    assert base.verdict
    kind = _KINDS[now]
    reasons = () if kind is ACCEPTED else base.verdict.reasons
    verdict = None if kind is None else Verdict(kind, reasons, base.verdict.validation)
    return replace(base, verdict=verdict, was=_KINDS[was], cause=cause)


def session(is_up: bool, role: str = "host", neighbor: str = HOST) -> SessionChange:
    return SessionChange(Address.parse(neighbor), 65001, role, "hypervisors", is_up, "")


def refused(nlri: str) -> NlriRefused:
    return NlriRefused(
        Address.parse(HOST), 65001, "hv1", "ipv4 flow", nlri, "family_not_allowed", PROVENANCE
    )


def logged(events: Iterable[Audited]) -> list[str]:
    """One sentence each."""
    return [_sentence(event) for event in events]


def _sentence(event: Audited) -> str:
    if isinstance(event, Flood):
        _, _, host, phase, seconds, changes, routes, untold, not_kept = event
        if phase == "begins":
            return f"{host} begins"
        lines = f"{changes} = {routes} lines + {untold} untold"
        return f"{host} {phase}: {seconds} s, {lines}, {not_kept} not kept"
    suffix = f" x{event.changes}" if getattr(event, "changes", 0) else ""
    if isinstance(event, VerdictChange):
        was = event.was.value if event.was else "gone"
        now = event.verdict.kind.value if event.verdict else "gone"
        return f"{event.route.key.prefix.network & 0xFFFF} {was} -> {now}{suffix}"
    if isinstance(event, SessionChange):
        return f"{'up' if event.is_up else 'down'}{suffix}"
    if isinstance(event, NlriRefused):
        return f"{event.nlri} refused{suffix}"
    return type(event).__name__


def flooded(*events: AuditEvent, now: float = 0.0) -> Floods:
    """A host that has spent its budget at 0 s with withdrawn routes 1 to 5, and then did this."""
    floods = Floods(SMALL)
    spent = [change(n, "rejected", "gone", cause="withdraw") for n in range(1, 6)]
    assert len(list(floods.pass_on(spent, 0.0))) == 5
    assert logged(floods.pass_on(events, now))[:1] == (["hv1 begins"] if events else [])
    return floods


def summary(floods: Floods, now: float = 10.0) -> list[str]:
    return logged(floods.expire(now))


# Within the budget -------------------------------------------------------------------------------


def test_a_host_within_its_budget_is_logged_line_by_line() -> None:
    floods = Floods(SMALL)
    events = [change(1, "gone", "rejected"), session(True), refused("a flow"), session(False)]
    assert list(floods.pass_on(events, 0.0)) == events
    assert floods.next_timer() is None


def test_the_budget_is_refilled_with_time() -> None:
    floods = flooded()
    for second in range(1, 50):
        events = [change(7, "gone", "rejected")]
        assert list(floods.pass_on(events, float(second))) == events
    assert floods.neighbors == []


def test_a_budget_holds_no_more_than_a_burst() -> None:
    floods = flooded()
    events = [change(n, "gone", "rejected") for n in range(10)]
    assert len(list(floods.pass_on(events, 1e6))) == 5 + 1
    assert floods.neighbors == [Address.parse(HOST)]


def test_a_clock_that_does_not_move_or_steps_back_gives_nothing() -> None:
    floods = flooded()
    assert logged(floods.pass_on([change(1, "gone", "rejected")], -100.0)) == ["hv1 begins"]


def test_each_neighbor_has_its_own_budget() -> None:
    floods = flooded(change(6, "gone", "accepted"))
    events = [change(n, "gone", "accepted", neighbor=OTHER) for n in range(5)]
    assert list(floods.pass_on(events, 0.0)) == events


def test_what_no_host_causes_costs_nothing() -> None:
    floods = flooded()
    events: list[AuditEvent] = [
        DataChange("truth", "x", 1, 1, 1, 1, PROVENANCE),
        session(True, role="router", neighbor="192.0.2.10"),
    ] * 20
    assert list(floods.pass_on(events, 0.0)) == events


# In a flood --------------------------------------------------------------------------------------


def test_a_flap_becomes_one_line_that_counts() -> None:
    flap = [change(9, "gone", "accepted"), change(9, "accepted", "gone", cause="withdraw")]
    floods = flooded(*flap * 1000, change(9, "gone", "accepted"))
    assert floods.next_timer() == 10.0
    assert summary(floods, 9.9) == []
    assert summary(floods) == [
        "hv1 goes_on: 10 s, 2001 = 1 lines + 0 untold, 0 not kept",
        "9 gone -> accepted x2001",
    ]
    assert floods.next_timer() == 20.0
    assert summary(floods, 20.0) == ["hv1 ended: 10 s, 0 = 0 lines + 0 untold, 0 not kept"]
    assert floods.next_timer() is None
    assert floods.counters == {"floods": 1, "changes": 2001, "untold": 0}


def test_a_flap_that_ends_where_it_began_is_named_too() -> None:
    flap = [change(9, "accepted", "gone", cause="withdraw"), change(9, "gone", "accepted")]
    floods = flooded(*flap * 10)
    assert summary(floods)[1:] == ["9 accepted -> accepted x20"]


def test_of_rejected_routes_as_many_are_named_as_the_budget_allows() -> None:
    floods = flooded(*(change(n, "gone", "rejected") for n in range(100, 1100)))
    lines = summary(floods)
    assert lines[0] == "hv1 goes_on: 10 s, 1000 = 10 lines + 990 untold, 0 not kept"
    assert lines[1:] == [f"{n} gone -> rejected x1" for n in range(100, 110)]


@pytest.mark.parametrize("now", ["accepted", "held"])
def test_every_acceptance_is_logged(now: str) -> None:
    floods = flooded(*(change(n, "gone", now) for n in range(100, 200)))
    assert summary(floods)[0] == "hv1 goes_on: 10 s, 100 = 100 lines + 0 untold, 0 not kept"


def test_the_end_of_every_accepted_route_is_logged() -> None:
    gone = [change(n, "accepted", "gone", cause="session_down") for n in range(100, 200)]
    assert len(summary(flooded(*gone))) == 101
    lost = [change(n, "accepted", "rejected") for n in range(100, 200)]
    assert len(summary(flooded(*lost))) == 101


def test_what_came_and_went_within_a_window_need_not_be_kept() -> None:
    """A host that owns a /64 could otherwise make us keep all its addresses."""
    fleeting = [
        event
        for n in range(100, 1100)
        for event in (change(n, "gone", "accepted"), change(n, "accepted", "gone"))
    ]
    floods = flooded(*fleeting)
    assert summary(floods)[0] == "hv1 goes_on: 10 s, 2000 = 10 lines + 1980 untold, 0 not kept"


def test_a_long_summary_is_written_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood, "LINES_AT_ONCE", 40)
    floods = flooded(*(change(n, "gone", "accepted") for n in range(100, 200)))
    assert [len(summary(floods, 10.0 + n)) for n in range(4)] == [41, 40, 20, 0]


def test_the_next_summary_waits_for_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood, "LINES_AT_ONCE", 60)
    floods = flooded(*(change(n, "gone", "accepted") for n in range(100, 200)))
    assert len(summary(floods)) == 61
    assert floods.next_timer() == 10.0 + flood.PAY_EVERY_S
    assert list(floods.expire(10.0)) == []
    assert len(summary(floods, 20.0)) == 40
    assert logged(floods.expire(20.0))[0].startswith("hv1 ended: 10 s")


def test_a_route_that_changes_again_before_its_line_is_logged_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flood, "LINES_AT_ONCE", 1)
    floods = flooded(*(change(n, "gone", "accepted") for n in range(100, 110)))
    assert summary(floods)[1:] == ["100 gone -> accepted x1"]
    again = [change(105, "accepted", "gone"), change(105, "gone", "rejected")]
    assert logged(floods.pass_on(again, 11.0)) == ["105 gone -> accepted x1"]
    assert logged(floods.end(12.0))[-1] == "105 accepted -> rejected x2"


def test_what_the_operator_changes_is_a_line_of_its_own_and_in_order() -> None:
    floods = flooded(change(9, "gone", "accepted"), change(8, "gone", "rejected"))
    by_data = change(9, "accepted", "rejected", cause="data")
    assert logged(floods.pass_on([by_data], 1.0)) == [
        "9 gone -> accepted x1",
        "9 accepted -> rejected",
    ]
    assert summary(floods)[1:] == ["8 gone -> rejected x1"]


def test_a_session_is_logged_at_once_and_counted_when_it_flaps() -> None:
    floods = flooded(change(9, "gone", "rejected"))
    sessions = [session(n % 2 == 0) for n in range(21)]
    assert logged(floods.pass_on(sessions, 1.0)) == ["up", "down", "up", "down"]
    assert summary(floods)[1:] == ["9 gone -> rejected x1", "up x17"]


def test_what_is_no_route_at_all_is_bounded_too() -> None:
    floods = flooded(*(refused(f"flow {n % 20}") for n in range(100)))
    lines = summary(floods)
    assert lines[0] == "hv1 goes_on: 10 s, 100 = 10 lines + 50 untold, 0 not kept"
    assert lines[1:] == [f"flow {n} refused x5" for n in range(10)]


def test_what_is_not_kept_is_a_flood_by_itself() -> None:
    floods = Floods(SMALL)
    beyond = NotKept(Address.parse(HOST), 65001, "hv1", 300)
    assert logged(floods.pass_on([beyond] * 3, 0.0)) == ["hv1 begins"]
    assert summary(floods) == ["hv1 goes_on: 10 s, 0 = 0 lines + 0 untold, 900 not kept"]
    assert summary(floods, 20.0) == ["hv1 ended: 10 s, 0 = 0 lines + 0 untold, 0 not kept"]


def test_a_flood_ends_when_it_is_calm() -> None:
    floods = flooded(*(change(n, "gone", "rejected") for n in range(6)))
    assert summary(floods)[0].startswith("hv1 goes_on")
    list(floods.pass_on([change(n, "rejected", "gone") for n in range(5)], 15.0))
    assert summary(floods, 20.0)[0].startswith("hv1 ended: 10 s, 5 = 5 lines")


def test_the_end_logs_all_that_waits() -> None:
    floods = flooded(*(change(n, "gone", "accepted") for n in range(100, 2100)))
    assert len(list(floods.end(3.0))) == 2001
    assert list(floods.end(3.0))[1:] == []


# Size --------------------------------------------------------------------------------------------


def fat(attributes: Attributes) -> VerdictChange:
    event = change(1, "gone", "rejected")
    return replace(event, route=event.route.with_attributes(attributes))


def test_what_no_line_shows_does_not_wait_for_the_disk() -> None:
    long = Attributes(
        AsPath.sequence(*range(1, 1001)),
        communities=((65000, 1),) * 10,
        large_communities=((1, 2, 3),) * 5,
        extended_communities=(1, 2),
    )
    (event,) = Floods().pass_on([fat(long)], 0.0)
    assert isinstance(event, VerdictChange)
    kept = event.route.attributes
    assert kept == Attributes(AsPath.sequence(*range(1, 65))._replace(omitted=936))
    assert kept.as_path.length == 1000


def test_what_is_small_is_the_very_route() -> None:
    small = fat(Attributes(AsPath.sequence(*[1] * 64), communities=((65000, 1),) * 16))
    (event,) = Floods().pass_on([small], 0.0)
    assert event is small


# Adding up ---------------------------------------------------------------------------------------


class Reader:
    """Read the log: count its changes, and keep the last state of each route."""

    def __init__(self) -> None:
        self.counted: Counter[Address] = Counter()
        self.let_in: set[RouteKey] = set()
        self.lines = 0

    def read(self, events: Iterable[Audited]) -> None:
        for event in events:
            self.lines += 1
            if isinstance(event, Flood):
                self.counted[event.neighbor] += event.untold
            elif isinstance(event, VerdictChange):
                key = event.route.key
                self.counted[key.neighbor] += event.changes or 1
                assert (event.was is ACCEPTED) == (key in self.let_in), event
                if event.verdict is not None and event.verdict.kind is ACCEPTED:
                    self.let_in.add(key)
                else:
                    self.let_in.discard(key)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([HOST, HOST, HOST, OTHER]),
            st.integers(0, 30),
            st.sampled_from(["accepted", "rejected", "gone"]),
            st.sampled_from(["announce", "withdraw", "withdraw", "data"]),
            st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 30.0]),
        ),
        max_size=150,
    )
)
@settings(max_examples=300)
def test_every_change_is_logged_or_counted_and_accepted_routes_are_always_logged(
    steps: list[tuple[str, int, str, str, float]],
) -> None:
    floods, reader = Floods(Budget(burst=5, rate=0.3, window_s=10.0)), Reader()
    stands: dict[RouteKey, str] = {}
    happened: Counter[Address] = Counter()
    now = 0.0
    for neighbor, number, to, cause, wait in steps:
        now += wait
        if (timer := floods.next_timer()) is not None and timer <= now:
            reader.read(floods.expire(now))
        key = change(number, "gone", to, neighbor=neighbor).route.key
        if stands.get(key, "gone") != to:
            event = change(number, stands.get(key, "gone"), to, cause=cause, neighbor=neighbor)
            stands[key] = to
            happened[key.neighbor] += 1
            reader.read(floods.pass_on([event], now))
    if now + 10.0 >= (floods.next_timer() or 0.0):
        at = now + 10.0
        reader.read(floods.expire(at))
        while (timer := floods.next_timer()) is not None and timer <= at + flood.PAY_EVERY_S:
            at = max(at, timer)
            reader.read(floods.expire(at))
        assert reader.let_in == {key for key, verdict in stands.items() if verdict == "accepted"}
    reader.read(floods.end(now + 10.0))
    assert reader.counted == happened


@given(
    turns=st.lists(st.tuples(st.integers(1, 100), st.floats(0.0, 5.0)), min_size=1, max_size=30),
    prefixes=st.sampled_from([1, 20, 100_000]),
)
@settings(max_examples=100)
def test_the_lines_of_rejected_routes_are_bounded(
    turns: list[tuple[int, float]], prefixes: int
) -> None:
    """However many changes and however they come: a burst, the rate, and two for each window."""
    floods, reader = Floods(SMALL), Reader()
    now, number = 0.0, 0
    for changes, wait in turns:
        for _ in range(changes):
            number += 1
            is_there = number // prefixes % 2 == 0
            event = change(
                number % prefixes % 65536,
                "gone" if is_there else "rejected",
                "rejected" if is_there else "gone",
            )
            reader.read(floods.pass_on([event], now))
        now += wait
        reader.read(floods.expire(now))
    assert reader.lines <= 5 + 1.0 * now + 2 * (now / 10 + 1) + 10
