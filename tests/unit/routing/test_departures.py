"""Whole tables that go in slices, while hosts come back and others announce the same: every reader
of a route sees it as if all had gone at once, and in the end all has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from support.core_samples import data, down, host_group, route, up, update, withdraw
from support.engine_bench import after, engine, logged, paths, replaced
from support.engine_model import difference
from support.engine_rules import (
    HOSTS,
    OWN_ASN,
    ROUTERS,
    START,
    Ledger,
    Speaker,
    data_sets,
    named,
    routes_out,
    speakers,
    updates,
    verdicts,
    what_changed,
)

from rsfilter.routing import departures, table
from rsfilter.routing.effects import Actions, GuardChange, VerdictChange
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import (
    DataReplaced,
    EndOfRib,
    Event,
    RefreshMark,
    SessionDown,
    SessionUp,
    Update,
)
from rsfilter.routing.export import Paths
from rsfilter.routing.groups import Limits
from rsfilter.routing.model import UNICAST, Prefix, RouteKey
from rsfilter.routing.validation import Data

HV7, HV8 = "198.51.100.7", "198.51.100.8"
GUESTS = [f"203.0.113.{n}/32" for n in range(6)]
BOTHS = data(["203.0.113.0/28-32 AS65007", "203.0.113.0/28-32 AS65008"])
OF_HV8 = data(["203.0.113.0/28-32 AS65008"])


@contextmanager
def slices_of(size: int) -> Iterator[None]:
    with patch.object(departures, "SLICE", size), patch.object(table, "SLICE", size):
        yield


@pytest.fixture(autouse=True)
def _two_at_a_time() -> Iterator[None]:
    with slices_of(2):
        yield


def filled(*, stale_time: int = 0, by: Data = BOTHS, limits: Limits | None = None) -> Engine:
    """One host announces every guest."""
    group = host_group(stale_time=stale_time, max_prefixes=100)
    machine = engine(by, hosts=group, limits=limits or Limits(100, 0))
    after(machine, up(), update(*map(route, GUESTS)))
    return machine


def steps(machine: Engine, now: float = 0.0) -> list[Actions]:
    """The steps until the engine rests, and what follows from each."""
    done = []
    while machine.is_busy or (machine.next_timer() or now + 1) <= now:
        done.append(machine.expire(now))
    return done


def gone(actions: Actions) -> int:
    return sum(isinstance(event, VerdictChange) and not event.verdict for event in actions.audit)


def hops(machine: Engine) -> dict[str, str]:
    routes = machine.routes_out("leaves").items()
    return {str(prefix): str(paths[0][1].next_hop) for prefix, paths in routes}


# A step is bounded -------------------------------------------------------------------------------


def test_no_step_takes_more_than_a_slice_of_a_host_that_goes() -> None:
    machine = filled()
    counts = [gone(machine.handle(down(), 0.0)), *map(gone, steps(machine))]
    assert counts == [2, 2, 2]
    assert not machine.rib_in.tables


def test_no_step_takes_more_than_a_slice_of_a_host_that_is_lost() -> None:
    machine = filled(stale_time=120)
    first = machine.handle(down(), 0.0)
    assert [len(logged(each)) for each in (first, *steps(machine))] == [3, 2, 2]


def test_no_step_takes_more_than_a_slice_of_what_has_expired() -> None:
    machine = filled(stale_time=120)
    after(machine, down())
    steps(machine)
    assert list(map(gone, steps(machine, 120.0))) == [2, 2, 2]
    assert machine.next_timer() is None


def test_no_step_takes_more_than_a_slice_of_what_end_of_rib_leaves_out() -> None:
    machine = filled(stale_time=120)
    after(machine, down())
    steps(machine)
    after(machine, up(), update(route(GUESTS[0])))
    first = machine.handle(EndOfRib(route().key.neighbor, 65007, UNICAST[4]), 0.0)
    assert list(map(gone, (first, *steps(machine)))) == [2, 2, 1]
    assert hops(machine) == {GUESTS[0]: HV7}


def test_no_step_takes_more_than_a_slice_of_what_a_refresh_leaves_out() -> None:
    machine = filled()
    begin, end = (RefreshMark(route().key.neighbor, 65007, UNICAST[4], e) for e in (False, True))
    after(machine, begin, update(route(GUESTS[5])))
    first = machine.handle(end, 0.0)
    assert list(map(gone, (first, *steps(machine)))) == [2, 2, 1]
    assert hops(machine) == {GUESTS[5]: HV7}


def test_hosts_that_go_at_once_take_turns() -> None:
    """A small one does not wait for a large one."""
    machine = filled()
    after(machine, *(update(route(g, neighbor=HV8, asn=65008)) for g in GUESTS[:3]))
    after(machine, down(), down(HV8, 65008))
    ends = [event.route.asn for each in steps(machine) for event in each.audit if gone(each)]
    assert ends[:3] == [65007, 65007, 65008]


# What happens in the middle ----------------------------------------------------------------------


def test_a_host_that_is_back_in_the_middle_keeps_what_it_announces_again() -> None:
    machine = filled()
    after(machine, down(), up(), update(route(GUESTS[4])))
    assert set(hops(machine)) == {*GUESTS[2:]}
    steps(machine)
    assert hops(machine) == {GUESTS[4]: HV7}


def test_an_owner_that_comes_in_the_middle_is_not_behind_one_that_goes() -> None:
    """The one that goes has the lower address: otherwise it would be the better one."""
    machine = filled()
    after(machine, down())
    actions = after(machine, update(route(GUESTS[4], neighbor=HV8, asn=65008)))
    assert paths(machine, GUESTS[4]) == {0: HV8}
    assert len(named(actions)) == len(set(named(actions)))
    steps(machine)
    assert hops(machine) == {GUESTS[4]: HV8}


def test_a_successor_in_the_middle_does_not_count_against_the_limit_twice() -> None:
    group = host_group(max_prefixes=len(GUESTS))
    machine = engine(BOTHS, hosts=group)
    after(machine, up(), update(*map(route, GUESTS)), down(), up())
    after(machine, update(*map(route, reversed(GUESTS))))
    assert set(hops(machine)) == {*GUESTS}
    steps(machine)
    assert set(hops(machine)) == {*GUESTS}


def test_a_stale_route_that_is_refreshed_in_the_middle_of_the_expiry_stays() -> None:
    machine = filled(stale_time=120)
    after(machine, down())
    steps(machine)
    after(machine, up(), now=119.0)
    machine.expire(120.0)
    after(machine, update(route(GUESTS[4])), now=120.0)
    steps(machine, 120.0)
    assert hops(machine) == {GUESTS[4]: HV7}


def test_a_host_that_is_lost_again_after_its_end_of_rib_keeps_what_it_had_repeated() -> None:
    machine = filled(stale_time=120)
    after(machine, down())
    steps(machine)
    after(machine, up(), EndOfRib(route().key.neighbor, 65007, UNICAST[4]))
    after(machine, update(route(GUESTS[5])), down())
    after(machine, update(route(GUESTS[5], neighbor=HV8, asn=65008)))
    assert paths(machine, GUESTS[5]) == {0: HV8}, "not stale before stale"
    after(machine, withdraw(route(GUESTS[5], neighbor=HV8, asn=65008).key))
    steps(machine)
    assert hops(machine) == {GUESTS[5]: HV7}


def test_what_a_host_takes_with_it_is_no_loss_of_data_in_the_middle() -> None:
    """Data wait for the end: the share of the guard is of what is left."""
    machine = filled(limits=Limits(50, 0))
    after(machine, *(update(route(g, neighbor=HV8, asn=65008)) for g in GUESTS[:1]), down())
    after(machine, replaced(data([])))
    held = [e for each in steps(machine) for e in each.audit if isinstance(e, GuardChange)]
    assert [(each.routes, each.accepted) for each in held] == [(1, 1)]


def test_what_the_guard_holds_is_held_again_after_a_restart_of_the_session_in_the_middle() -> None:
    machine = filled(limits=Limits(50, 0))
    after(machine, replaced(data([])))
    steps(machine)
    assert machine.guard.held == len(GUESTS)
    lost = SessionDown(route().key.neighbor, 65007, "", administrative=False, is_restart=True)
    after(machine, lost, up(), update(*map(route, GUESTS)))
    steps(machine)
    assert machine.guard.held == len(GUESTS)
    assert set(hops(machine)) == {*GUESTS}


def refreshed(machine: Engine) -> None:
    """A host begins and ends a refresh, and repeats nothing."""
    for is_end in (False, True):
        after(machine, RefreshMark(route().key.neighbor, 65007, UNICAST[4], is_end))


def test_equal_events_in_a_row_wait_once() -> None:
    """A host can send any number while its routes go."""
    machine = filled(stale_time=120)
    after(machine, down(), up(), update(*map(route, GUESTS)))
    for _ in range(100):
        refreshed(machine)
        for family in UNICAST.values():
            after(machine, EndOfRib(route().key.neighbor, 65007, family))
    assert len(machine.rib_in.tables[route().key.neighbor].departures) <= 4
    steps(machine)
    assert not machine.rib_in.tables[route().key.neighbor].entries


def test_data_do_not_wait_for_a_host_that_begins_again_and_again() -> None:
    machine = filled()
    refreshed(machine)
    after(machine, replaced(OF_HV8))
    for _ in range(20):
        after(machine, update(*map(route, GUESTS)))
        refreshed(machine)
        machine.expire(0.0)
    assert machine.is_busy, "routes of the host are going all the time"
    assert not machine.is_revalidating
    assert machine.data is OF_HV8


# Whatever the order ------------------------------------------------------------------------------


class DepartureMachine(RuleBasedStateMachine):
    """Two engines: of one everything goes at once."""

    sliced: Engine
    whole: Engine

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.by = START
        self.ledger = Ledger()
        self.seen: dict[tuple[str, Prefix], Paths] = {}
        self.history: list[dict[tuple[str, Prefix], Paths]] = []
        """Routes that routers should have had since the last rest."""
        self.is_later = False
        """Data came, or time passed, since the last rest: both may still wait."""

    @initialize(stale_time=st.sampled_from((0, 100)), most=st.sampled_from((3, 50)))
    def start(self, stale_time: int, most: int) -> None:
        group = host_group(stale_time=stale_time, max_prefixes=most, max_prepends=1)
        assert group.networks == HOSTS.networks
        limits = Limits(100, 0)
        self.whole, self.sliced = (
            Engine(OWN_ASN, (group,), ROUTERS, START, limits) for _ in range(2)
        )
        self.history = [routes_out(self.whole)]

    def handle(self, event: Event) -> None:
        self.whole.handle(event, self.now)
        while self.whole.is_busy:
            self.whole.expire(self.now)
        self.history.append(routes_out(self.whole))
        with slices_of(1):
            self.follow(self.sliced.handle(event, self.now))

    def follow(self, actions: Actions) -> None:
        self.ledger.read(actions.audit)
        have = routes_out(self.sliced)
        assert difference(self.seen, have) <= {*named(actions)}
        self.seen = have

    @rule(update=speakers.flatmap(updates))
    def update(self, update: Update) -> None:
        """A route that routers have comes, changes or goes without waiting for a slice."""
        announced = [each.key for each in update.announced]
        touched = {key for key in (*update.withdrawn, *announced) if self.is_announced(key)}
        self.handle(update)
        touched |= {key for key in announced if self.is_announced(key)}
        should_have = self.history[-1]
        for where in [(group.name, key.prefix) for group in ROUTERS for key in touched]:
            assert self.is_later or self.seen.get(where) == should_have.get(where)

    def is_announced(self, key: RouteKey) -> bool:
        entry = self.sliced.rib_in.find(key)
        return entry is not None and entry.is_announced

    @rule(speaker=speakers, administrative=st.booleans(), is_up=st.booleans())
    def session(self, speaker: Speaker, administrative: bool, is_up: bool) -> None:
        self.handle(SessionDown(*speaker, "lost", administrative=administrative))
        if is_up:
            self.handle(SessionUp(*speaker))

    @rule(speaker=speakers, family=st.sampled_from((4, 6)))
    def end_of_rib(self, speaker: Speaker, family: int) -> None:
        self.handle(EndOfRib(*speaker, UNICAST[family]))

    @rule(speaker=speakers, family=st.sampled_from((4, 6)), is_end=st.booleans())
    def refresh(self, speaker: Speaker, family: int, is_end: bool) -> None:
        self.handle(RefreshMark(*speaker, UNICAST[family], is_end))

    @rule(new=data_sets())
    def data_replaced(self, new: Data) -> None:
        touched, asns, neighbors = what_changed(self.by, new)
        self.by = new
        self.is_later = True
        self.handle(DataReplaced(new, "truth", "", touched, asns, neighbors=neighbors))

    @rule(seconds=st.sampled_from((30, 60, 100)))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        self.is_later = True
        while (self.whole.next_timer() or self.now + 1) <= self.now:
            self.whole.expire(self.now)
        self.history.append(routes_out(self.whole))
        self.go_on(1)

    @precondition(lambda self: self.is_due)
    @rule(count=st.integers(1, 4))
    def go_on(self, count: int) -> None:
        with slices_of(1):
            for _ in range(count):
                self.follow(self.sliced.expire(self.now))

    @property
    def is_due(self) -> bool:
        timer = self.sliced.next_timer()
        return timer is not None and timer <= self.now

    @invariant()
    def nothing_is_missing_and_nothing_is_new(self) -> None:
        always = set.intersection(*map(set, self.history))
        assert always <= self.seen.keys()
        for where, found in self.seen.items():
            assert self.is_later or found in [each.get(where) for each in self.history]

    @invariant()
    def at_rest_both_are_the_same(self) -> None:
        if self.is_due:
            return
        assert verdicts(self.sliced) == verdicts(self.whole)
        assert routes_out(self.sliced) == routes_out(self.whole)
        for neighbor, found in self.sliced.rib_in.tables.items():
            assert found.leaving == 0
            assert not found.departures
            other = self.whole.rib_in.tables.get(neighbor)
            assert list(found.stale.values()) == (list(other.stale.values()) if other else [])
        assert self.sliced.rib_in.accepted == self.whole.rib_in.accepted
        self.history, self.is_later = self.history[-1:], False


DepartureMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestDepartureMachine = DepartureMachine.TestCase
