"""Going through the table in slices, while hosts go on: routers never lose what is valid all along,
never get what is valid at no time, and end where going through it in one go ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.core_samples import data, host_group, prefix, route, up, update, withdraw
from support.engine_bench import HOSTS, after, engine, logged, paths, replaced
from support.engine_model import Model, difference
from support.engine_rules import HOSTS as MODEL_HOSTS
from support.engine_rules import (
    MAX_OVER_LIMIT,
    OWN_ASN,
    ROUTERS,
    START,
    Ledger,
    Speaker,
    data_sets,
    named,
    new_engine,
    routes_out,
    speakers,
    updates,
    verdicts,
    what_changed,
)

from rsfilter.routing import adj_rib_in, revalidation, slices
from rsfilter.routing.drain import DEFAULT_DRAIN_TIME_S
from rsfilter.routing.effects import Actions, DataChange
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import (
    AllRepeated,
    DataReplaced,
    DrainRequested,
    GuardReleased,
    GuardRestored,
    PolicyReplaced,
    SessionDown,
    SessionUp,
    Update,
)
from rsfilter.routing.export import Paths
from rsfilter.routing.groups import Limits
from rsfilter.routing.guard import Expected
from rsfilter.routing.model import Prefix, Verdict, VerdictKind
from rsfilter.routing.validation import Data, Mode

HV7, HV8 = "198.51.100.7", "198.51.100.8"
GUESTS = [f"203.0.113.{n}/32" for n in range(6)]
OF_HV7 = data(["203.0.113.0/28-32 AS65007"])
OF_HV8 = data(["203.0.113.0/28-32 AS65008"])
NOBODYS = data([])
NO_GUARD = Limits(100, 0)


@pytest.fixture(autouse=True)
def _one_at_a_time() -> Iterator[None]:
    with patch.object(slices, "SLICE", 1):
        yield


def settled(machine: Engine) -> list[Actions]:
    """The actions of every slice that is left."""
    done = []
    while machine.is_busy:
        assert machine.next_timer() == float("-inf")
        done.append(machine.expire(0.0))
    assert machine.next_timer() != float("-inf")
    return done


def announced(machine: Engine) -> set[str]:
    return {str(where) for where in machine.routes_out("leaves")}


def filled(*, limits: Limits = NO_GUARD, by: Data = OF_HV7) -> Engine:
    """Every guest announced by both hosts."""
    machine = engine(by, limits=limits)
    for guest in GUESTS:
        after(machine, update(route(guest)), update(route(guest, neighbor=HV8, asn=65008)))
    return machine


def test_nothing_is_withdrawn_before_everything_is_judged() -> None:
    """The guard has to know how much would be lost."""
    machine = filled(limits=Limits(50, 1))
    for step in (machine.handle(replaced(NOBODYS), 0.0), *settled(machine)):
        assert step.out == []
    assert machine.guard.held == len(GUESTS)


def test_a_prefix_that_changes_hands_is_never_missing() -> None:
    machine = filled()
    machine.handle(replaced(OF_HV8), 0.0)
    while machine.is_busy:
        assert announced(machine) == set(GUESTS)
        machine.expire(0.0)
    hops = {str(paths[0][1].next_hop) for paths in machine.routes_out("leaves").values()}
    assert hops == {HV8}


@pytest.mark.parametrize("gone", [None, "198.51.100.3"])
def test_a_prefix_is_never_missing_though_its_first_route_goes_in_between(gone: str | None) -> None:
    """Old and new owner are judged one after the other, and stay together."""
    machine = engine(OF_HV7, limits=NO_GUARD)
    anycast = GUESTS[0]
    third = route(anycast, neighbor="198.51.100.3", asn=65003)
    after(machine, update(third), *(update(route(guest)) for guest in GUESTS))
    after(machine, update(route(anycast, neighbor=HV8, asn=65008)))
    moved = data(
        ["203.0.113.0/28-32 AS65008"], None, Mode.AUTHORITATIVE, ("hv7", 65007, "198.51.100.99")
    )
    with patch.object(revalidation, "_PART_BITS", 0):
        machine.handle(replaced(moved, [prefix("203.0.113.0/28")], asns=[65007]), 0.0)
        machine.expire(0.0)  # of HV7 something is judged
        if gone:
            machine.handle(withdraw(third.key), 0.0)
        while machine.is_busy:
            machine.expire(0.0)
            assert anycast in announced(machine)
    assert paths(machine, anycast) == {0: HV8}


@pytest.mark.parametrize("event", [AllRepeated(), GuardReleased("SIGUSR2")], ids=repr)
def test_what_no_host_announces_again_after_a_restart_is_forgotten_in_slices(
    event: AllRepeated | GuardReleased,
) -> None:
    machine = engine(OF_HV7)
    known = {route(guest).key: Expected("f", "r") for guest in GUESTS}
    machine.handle(GuardRestored({}, known, {}), 0.0)
    machine.handle(event, 0.0)
    steps = [machine.guard.take_records()]
    while machine.is_busy:
        machine.expire(0.0)
        steps.append(machine.guard.take_records())
    assert max(map(len, steps)) == 1
    assert {key: record for step in steps for key, record in step.items()} == dict.fromkeys(known)


def test_a_host_that_comes_in_between_is_judged_by_the_new_data() -> None:
    machine = filled()
    machine.handle(replaced(data(["203.0.113.0/24-32 AS65008"])), 0.0)
    newcomer = "203.0.113.77/32"
    actions = machine.handle(update(route(newcomer, neighbor=HV8, asn=65008)), 0.0)
    assert logged(actions) == [f"{newcomer} accepted (announce)"]


def test_a_host_that_withdraws_in_between_is_not_judged() -> None:
    machine = filled()
    machine.handle(replaced(NOBODYS), 0.0)
    machine.handle(withdraw(route(GUESTS[5]).key), 0.0)
    lines = [line for step in settled(machine) for line in logged(step)]
    assert not [line for line in lines if line.startswith(f"{GUESTS[5]} accepted")]
    assert announced(machine) == set()


def test_the_share_is_of_what_was_accepted_when_the_data_came() -> None:
    """The share is not that of the rest: a guard that is off stays off, whichever host leaves."""
    machine = engine(data([f"203.0.113.0/28-32 AS{n}" for n in (65007, 65008)]), limits=NO_GUARD)
    after(machine, *(update(route(guest)) for guest in GUESTS))
    after(machine, update(route(GUESTS[0], neighbor=HV8, asn=65008)))
    machine.handle(replaced(NOBODYS), 0.0)
    for _ in GUESTS[2:]:
        machine.expire(0.0)  # most are judged, and lost
    machine.handle(SessionDown(route().key.neighbor, 65007, "", administrative=False), 0.0)
    settled(machine)
    assert (announced(machine), machine.guard.held) == (set(), 0)


def test_a_host_that_is_lost_in_between_keeps_nothing_that_the_new_data_reject() -> None:
    machine = engine(OF_HV7, limits=NO_GUARD, hosts=host_group(stale_time=600))
    after(machine, up(HV7, 65007), *(update(route(guest)) for guest in GUESTS))
    machine.handle(replaced(NOBODYS), 0.0)
    for _ in GUESTS[1:]:
        machine.expire(0.0)  # they are judged, and nothing is set yet
    assert announced(machine) == set(GUESTS)
    machine.handle(SessionDown(route().key.neighbor, 65007, "", administrative=False), 0.0)
    settled(machine)
    assert announced(machine) == set()


def test_a_route_that_moves_up_in_between_is_not_judged_as_beyond_the_limit() -> None:
    machine = engine(OF_HV8, limits=NO_GUARD, hosts=host_group(max_prefixes=1))
    after(machine, up(HV7, 65007), update(route(GUESTS[0])), update(route(GUESTS[1])))
    machine.handle(replaced(OF_HV7), 0.0)
    machine.expire(0.0)  # both are judged, and nothing is set yet
    machine.handle(withdraw(route(GUESTS[0]).key), 0.0)
    settled(machine)
    assert announced(machine) == {GUESTS[1]}


def test_a_route_that_is_announced_anew_in_between_is_not_judged_as_it_was() -> None:
    """The new data would accept what the host announced before."""
    machine = filled(by=NOBODYS)
    machine.handle(replaced(OF_HV7), 0.0)
    for _ in GUESTS[1:]:
        machine.expire(0.0)  # they are judged, and nothing is set yet
    machine.handle(update(route(GUESTS[0], as_path="65007 65008")), 0.0)
    settled(machine)
    assert announced(machine) == set(GUESTS[1:])


def test_the_next_data_wait_for_their_turn_and_the_newest_win() -> None:
    machine = filled()
    for newer in (NOBODYS, OF_HV8, NOBODYS, OF_HV7):
        machine.handle(replaced(newer), 0.0)
    changes = [e for step in settled(machine) for e in step.audit if isinstance(e, DataChange)]
    assert [change.rejudged for change in changes] == [12, 0, 0, 12]
    assert announced(machine) == set(GUESTS)
    assert machine.data is OF_HV7


def test_what_newer_data_leave_out_is_judged_all_the_same() -> None:
    """Each names what differs from the data before it, which were never judged by."""
    machine = filled()
    one, two = (prefix(guest) for guest in GUESTS[:2])
    without_one = data([f"{guest} AS65007" for guest in GUESTS[1:]])
    without_two = data([f"{guest} AS65007" for guest in GUESTS[2:]])
    machine.handle(replaced(OF_HV7), 0.0)
    machine.handle(replaced(without_one, [one]), 0.0)
    machine.handle(replaced(without_two, [two]), 0.0)
    settled(machine)
    assert announced(machine) == set(GUESTS[2:])


def test_a_release_waits_for_the_data_under_way() -> None:
    machine = filled(limits=Limits(50, 1))
    machine.handle(replaced(NOBODYS), 0.0)
    machine.handle(GuardReleased("test"), 0.0)
    found = [line for step in settled(machine) for line in logged(step)]
    assert found[-1] == f"guard: released {len(GUESTS)}, 0 held"
    assert announced(machine) == set()


def test_a_held_route_that_is_withdrawn_during_a_release_is_not_logged_again() -> None:
    machine = filled(limits=Limits(50, 1))
    machine.handle(replaced(NOBODYS), 0.0)
    settled(machine)
    machine.handle(GuardReleased("test"), 0.0)
    machine.handle(withdraw(route(GUESTS[5]).key), 0.0)
    found = [line for step in settled(machine) for line in logged(step)]
    assert not [line for line in found if line.startswith(GUESTS[5])]
    assert announced(machine) == set()


def test_another_policy_is_applied_in_slices_too() -> None:
    machine = filled()
    strict = host_group(ipv4_lengths=frozenset({31}))
    machine.handle(PolicyReplaced((strict,), NO_GUARD, 30.0), 0.0)
    assert machine.is_busy
    settled(machine)
    assert announced(machine) == set()
    machine.handle(PolicyReplaced((HOSTS,), NO_GUARD, 30.0), 0.0)
    settled(machine)
    assert announced(machine) == set(GUESTS)


def test_data_that_are_replaced_before_anything_was_judged_lose_nothing() -> None:
    """Each change names what it concerns: both have to be judged by the last data, and no more."""
    machine = filled()
    machine.handle(replaced(OF_HV7), 0.0)  # keeps it busy
    less = [f"{guest}-32 AS65007" for guest in GUESTS]
    for number in (1, 2):
        machine.handle(replaced(data(less[number:]), [prefix(GUESTS[number - 1])]), 0.0)
    found = [event for step in settled(machine) for event in step.audit]
    assert announced(machine) == set(GUESTS[2:])
    assert [e.rejudged for e in found if isinstance(e, DataChange)] == [2 * len(GUESTS), 0, 2 * 2]


def test_hosts_that_are_replaced_before_anything_was_judged_are_judged() -> None:
    machine = filled()
    machine.handle(replaced(OF_HV7), 0.0)  # keeps it busy
    elsewhere = data(
        ["203.0.113.0/28-32 AS65007"], None, Mode.AUTHORITATIVE, ("hv7", 65007, "198.51.100.99")
    )
    machine.handle(replaced(elsewhere, [], asns=[65007]), 0.0)
    machine.handle(replaced(elsewhere, []), 0.0)
    settled(machine)
    assert announced(machine) == set()


def is_accepted(verdict: Verdict) -> bool:
    return verdict.kind is VerdictKind.ACCEPTED


class SlicedMachine(RuleBasedStateMachine):
    """All events mixed, with one route to a slice."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = [
            patch.object(adj_rib_in, "MAX_OVER_LIMIT", MAX_OVER_LIMIT),
            patch.object(adj_rib_in, "MANY", 1),
            patch.object(slices, "SLICE", 1),
        ]
        for each in self.patches:
            each.start()
        self.engine = new_engine()
        self.by = START
        self.models = [Model(OWN_ASN, MODEL_HOSTS, ROUTERS, START, MAX_OVER_LIMIT)]
        """One for the data at the last rest, and one for each that came since."""
        self.ledger = Ledger()
        self.seen: dict[tuple[str, Prefix], Paths] = {}

    def teardown(self) -> None:
        for each in self.patches:
            each.stop()

    def follow(self, actions: Actions) -> None:
        """Check that the log and the changes for routers agree with the tables."""
        self.ledger.read(actions.audit)
        now = verdicts(self.engine)
        assert self.ledger.known == {r.key: (v.kind, v.reasons) for r, v in now.items()}
        have = routes_out(self.engine)
        assert difference(self.seen, have) <= {*named(actions)}
        self.seen = have

    @rule(update=speakers.flatmap(updates))
    def update(self, update: Update) -> None:
        for model in self.models:
            for key in update.withdrawn:
                model.withdraw(update.neighbor, (key.prefix, key.path_id))
            for announced in update.announced:
                model.announce(announced)
        self.follow(self.engine.handle(update, 0.0))

    @rule(speaker=speakers, is_up=st.booleans())
    def session(self, speaker: Speaker, is_up: bool) -> None:
        for model in self.models:
            model.drop(speaker.neighbor)
        down = SessionDown(*speaker, "lost", administrative=False)
        self.follow(self.engine.handle(down, 0.0))
        if is_up:
            self.follow(self.engine.handle(SessionUp(*speaker), 0.0))

    @rule(new=data_sets(), is_vague=st.booleans())
    def data_replaced(self, new: Data, is_vague: bool) -> None:
        touched, asns, neighbors = what_changed(self.by, new)
        self.by = new
        last = self.models[-1]
        model = Model(OWN_ASN, MODEL_HOSTS, ROUTERS, new, MAX_OVER_LIMIT)
        model.announced = {neighbor: dict(table) for neighbor, table in last.announced.items()}
        model.phase = last.phase
        self.models.append(model)
        prefixes = None if is_vague else touched
        event = DataReplaced(new, "truth", "", prefixes, asns, neighbors=neighbors)
        self.follow(self.engine.handle(event, 0.0))

    @rule(on=st.booleans(), is_over=st.booleans())
    def drain(self, on: bool, is_over: bool) -> None:
        """The filter leaves service, maybe all the way, or comes back."""
        events = [lambda: self.engine.handle(DrainRequested("operator", on, "test"), 0.0)]
        if on and is_over:
            events.append(lambda: self.engine.expire(DEFAULT_DRAIN_TIME_S))
        for event in events:
            actions = event()
            self.add_phase(self.engine.drain.state.phase.value)
            self.follow(actions)

    def add_phase(self, phase: str) -> None:
        """Combine a phase with every data set since the last rest: it holds at once, and routes
        may still have the verdicts of any of them."""
        known = {(id(model.data), model.phase): model for model in self.models}
        for model in self.models:
            announced = {neighbor: dict(table) for neighbor, table in model.announced.items()}
            known.pop((id(model.data), phase), None)
            known[id(model.data), phase] = replace(model, announced=announced, phase=phase)
        self.models = list(known.values())

    @precondition(lambda self: self.engine.is_busy)
    @rule(count=st.integers(1, 6))
    def go_on(self, count: int) -> None:
        for _ in range(count):
            self.follow(self.engine.expire(0.0))

    @invariant()
    def routers_have_nothing_else(self) -> None:
        """A route that every data set since the last rest accepts keeps its prefix there, and
        nothing is there that none of them has."""
        accepted = [
            {each for each, verdict in model.verdicts().items() if is_accepted(verdict)}
            for model in self.models
        ]
        always = {route.key.prefix for route in set.intersection(*accepted)}
        wanted = [set(model.routes_out()) for model in self.models]
        kept = {(group, where) for group, where in set.intersection(*wanted) if where in always}
        assert kept <= set(self.seen) <= set.union(*wanted)

    @invariant()
    def at_rest_verdicts_follow_the_newest_data(self) -> None:
        if self.engine.is_busy:
            return
        self.models = self.models[-1:]
        assert verdicts(self.engine) == self.models[0].verdicts()
        assert self.seen == self.models[0].routes_out()


SlicedMachine.TestCase.settings = settings(max_examples=250, stateful_step_count=40)
TestSlicedMachine = SlicedMachine.TestCase
