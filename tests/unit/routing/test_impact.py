"""Impact: what other data would change, computed without changing anything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.core_samples import data, down, host_group, route, up, update
from support.engine_bench import after, engine

from rsfilter.routing.engine import Engine
from rsfilter.routing.events import DataReplaced, PolicyReplaced
from rsfilter.routing.groups import Neighbors
from rsfilter.routing.guard import Limits
from rsfilter.routing.impact import MAX_FLIPS, Impact, PolicyImpact
from rsfilter.routing.model import VerdictKind
from rsfilter.routing.validation import Data, Source

OPEN = Limits(100, 10)


def impact_of(machine: Engine, new: Data) -> Impact:
    found = Impact(machine.neighbors, new)
    for entry in machine.rib_in.entries():
        found.add([entry])
    return found


def machine_with(count: int, *, max_prefixes: int = 1000) -> Engine:
    """Routes of hv7: of its own 203.0.113.0 ... .15 the requested ones."""
    machine = engine(hosts=host_group(max_prefixes=max_prefixes), limits=OPEN)
    after(machine, up(), *(update(route(f"203.0.113.{n}/32")) for n in range(count)))
    return machine


def test_lost_and_gained_routes_are_named_with_both_verdicts() -> None:
    machine = machine_with(3)
    after(machine, update(route("203.0.113.16/32")))
    new = data(("203.0.113.0/31-32 AS65007", "203.0.113.16/32 AS65007"))
    found = impact_of(machine, new)
    assert (found.judged, found.accepted_before, found.accepted_after) == (4, 3, 3)
    assert (found.lost, found.gained) == (1, 1)
    ((lost, was, verdict),) = found.lost_routes
    assert str(lost.key.prefix) == "203.0.113.2/32"
    assert (was.kind, verdict.kind) == (VerdictKind.ACCEPTED, VerdictKind.REJECTED)
    assert verdict.reasons == ("origin_not_found",)
    ((gained, was, verdict),) = found.gained_routes
    assert str(gained.key.prefix) == "203.0.113.16/32"
    assert (was.reasons, verdict.reasons) == (("origin_invalid_asn",), ())
    assert found.lost_by_reason == {"origin_not_found": 1}


def test_other_reasons_are_no_flip() -> None:
    machine = machine_with(0)
    after(machine, update(route("198.18.0.1/32")))
    found = impact_of(machine, data(("198.18.0.0/24 AS1",)))
    assert (found.judged, found.lost, found.gained) == (1, 0, 0)


def test_routes_beyond_the_limit_stay_out() -> None:
    machine = machine_with(3, max_prefixes=2)
    found = impact_of(machine, data(("203.0.113.0/24-32 AS65007",)))
    assert (found.accepted_before, found.accepted_after, found.gained) == (2, 2, 0)


def test_what_the_guard_holds_counts_as_there_but_not_as_a_new_loss() -> None:
    machine = machine_with(15)
    machine.guard.limits = Limits(20, 10)
    nothing = data(("198.51.100.0/24 AS1",))
    after(machine, DataReplaced(nothing, "truth", "", None))
    assert machine.guard.held == 15
    found = impact_of(machine, nothing)
    assert (found.accepted_before, found.lost) == (15, 15)
    assert not found.would_hold(Limits(20, 10))


def test_the_guard_would_hold_what_is_beyond_its_limits() -> None:
    found = impact_of(machine_with(15), data(("203.0.113.0/32 AS65007",)))
    assert found.lost == 14
    assert found.would_hold(Limits(20, 10))
    assert not found.would_hold(Limits(20, 15))
    assert not found.would_hold(Limits(100, 10))


def test_the_losses_of_the_window_count_as_the_guard_counts_them() -> None:
    """Six of fifteen are lost; three more are nine of fifteen, although three of nine."""
    machine = machine_with(15)
    machine.guard.limits = limits = Limits(50, 0)
    own = [f"203.0.113.{n}/32 AS65007" for n in range(15)]
    after(machine, DataReplaced(data(own[6:]), "truth", "", None))
    assert (machine.guard.lost, machine.guard.held) == (6, 0)
    found = impact_of(machine, data(own[9:]))
    assert not found.would_hold(limits)
    assert found.would_hold(limits, machine.guard.lost)
    assert found.result(limits, machine.guard.lost).would_hold
    after(machine, DataReplaced(data(own[9:]), "truth", "", None))
    assert machine.guard.held == 3


def test_a_source_that_is_not_there_is_not_held() -> None:
    """`on_expire = "reject"` requires it."""
    found = impact_of(machine_with(15), Data(truth_source=Source.UNAVAILABLE))
    assert (found.lost, found.would_hold(Limits(20, 10))) == (15, False)


def test_no_more_routes_are_kept_than_a_person_can_read() -> None:
    machine = engine(data(("10.0.0.0/8-32 AS65007",)), hosts=host_group(max_prefixes=5000))
    routes = [route(f"10.0.{n >> 8}.{n & 255}/32") for n in range(MAX_FLIPS + 1)]
    after(machine, up(), *(update(one) for one in routes))
    found = impact_of(machine, data(("192.0.2.0/24 AS1",)))
    assert (found.lost, len(found.lost_routes)) == (MAX_FLIPS + 1, MAX_FLIPS)


@given(
    st.lists(st.tuples(st.integers(0, 15), st.sampled_from((65007, 65008)))),
    st.lists(st.tuples(st.integers(0, 15), st.sampled_from((65007, 65008)))),
)
def test_impact_is_what_then_happens(
    before: list[tuple[int, int]], then: list[tuple[int, int]]
) -> None:
    """The engine without a guard does under the new data what impact predicted."""

    def owners(pairs: list[tuple[int, int]]) -> Data:
        return data(tuple(f"203.0.113.{n}/32 AS{asn}" for n, asn in pairs))

    machine = engine(owners(before), limits=OPEN)
    after(machine, up(), *(update(route(f"203.0.113.{n}/32")) for n in range(16)))
    found = impact_of(machine, owners(then))
    was = {entry.route.key for entry in machine.rib_in.entries() if entry.is_accepted}
    after(machine, DataReplaced(owners(then), "truth", "", None))
    now = {entry.route.key for entry in machine.rib_in.entries() if entry.is_accepted}
    assert {flip.route.key for flip in found.lost_routes} == was - now
    assert {flip.route.key for flip in found.gained_routes} == now - was
    assert (found.accepted_before, found.accepted_after) == (len(was), len(now))


# Another configuration ---------------------------------------------------------------------------


@given(
    routes=st.integers(0, 8),
    before=st.integers(0, 8),
    max_prefixes=st.integers(1, 8),
    lengths=st.sampled_from([{32}, {31}]),
    is_lost=st.booleans(),
)
def test_what_a_configuration_would_take_away_is_what_it_takes_away(
    routes: int, before: int, max_prefixes: int, lengths: set[int], is_lost: bool
) -> None:
    machine = engine(hosts=host_group(max_prefixes=max(before, 1), stale_time=60), limits=OPEN)
    after(machine, up(), *(update(route(f"203.0.113.{n}/32")) for n in range(routes)))
    if is_lost:
        after(machine, down())
    accepted = machine.rib_in.accepted
    wanted = host_group(max_prefixes=max_prefixes, ipv4_lengths=frozenset(lengths), stale_time=60)
    impact = PolicyImpact(Neighbors([wanted], ()), machine.data)
    for _ in impact.judge(machine.rib_in):
        assert machine.rib_in.accepted == accepted, "it changes nothing"
    was = {e.route.key for e in machine.rib_in.entries() if e.is_accepted}
    after(machine, PolicyReplaced((wanted,), OPEN, 30.0))
    kept = {e.route.key for e in machine.rib_in.entries() if e.is_accepted}
    assert (impact.accepted, impact.lost) == (len(was), len(was - kept))
    assert machine.guard.lost == impact.lost
