"""One router as ExaBGP serves it: each rule on its own.

That the rules together keep routers right is tested by storm, in `test_egress`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest
from support.core_samples import address, prefix, prefixes
from support.egress_samples import attributes, best

from rsfilter.exabgp.changes import Changes
from rsfilter.exabgp.router import WINDOW, RouterState
from rsfilter.exabgp.router_states import Phase
from rsfilter.routing.export import OutAttributes, Paths
from rsfilter.routing.model import Prefix

A, B, C = prefixes("203.0.113.1 203.0.113.2 203.0.113.3")
SIX = prefix("2001:db8::1")
ONE, TWO = address("192.0.2.10"), address("192.0.2.11")


def settled(desired: Mapping[Prefix, Paths] | None = None) -> RouterState:
    """A router that is up and has all of `desired`."""
    state = RouterState(ONE)
    state.up(desired or {})
    state.take(desired or {}, WINDOW)
    pass_barrier(state)
    return state


def pass_barrier(state: RouterState) -> None:
    assert state.barrier()
    state.barrier_taken()
    state.end_of_rib_sent()


class Change(NamedTuple):
    """One path of one prefix, announced or (None) withdrawn."""

    prefix: Prefix
    path_id: int
    attributes: OutAttributes | None
    is_repeat: bool


def singly(changes: Changes) -> list[Change]:
    """The changes, one for each prefix."""
    for batch, together in changes.items():
        assert together
        assert {each.family for each in together} == {batch.family}
    return [
        Change(each, batch.path_id, batch.attributes, batch.is_repeat)
        for batch, together in changes.items()
        for each in together
    ]


def taken(state: RouterState, desired: Mapping[Prefix, Paths], *marked: Prefix) -> list[Change]:
    state.mark(marked)
    return singly(state.take(desired, WINDOW))


def test_the_phase_follows_session_and_end_of_rib() -> None:
    state = RouterState(ONE)
    assert state.phase is Phase.DOWN
    state.up({})
    assert state.phase is Phase.FILLING
    assert state.barrier() == [4, 6]
    assert state.is_waiting
    state.barrier_taken()
    assert state.phase is Phase.FILLING
    state.end_of_rib_sent()
    assert state.phase is Phase.SETTLED
    assert not state.is_waiting
    assert state.is_idle
    state.down()
    assert state.phase is Phase.DOWN
    assert not state.is_idle


def test_nothing_is_under_way_once_all_is_sent() -> None:
    """A gauge that stays above 0 without work left is no use for an alert."""
    state = settled()
    state.mark([A])
    assert state.under_way == 1
    taken(state, {A: best(1)}, A)
    assert (state.under_way, state.unconfirmed) == (0, 1)
    taken(state, {A: best(2)}, A)
    assert state.under_way == 1
    assert state.barrier() == [4]
    state.barrier_taken()
    state.end_of_rib_sent()
    assert state.under_way == 1
    taken(state, {A: best(2)}, A)
    assert state.under_way == 0


def test_a_barrier_passes_at_its_first_end_of_rib() -> None:
    state = settled()
    taken(state, {A: best(1)}, A)
    taken(state, {A: best(2)}, A)
    assert state.barrier() == [4]
    state.barrier_taken()
    state.end_of_rib_sent()
    assert state.unconfirmed == 0
    assert taken(state, {A: best(2)}) == [Change(A, 0, attributes(2), False)]


def test_a_reply_without_a_barrier_is_nothing() -> None:
    state = settled()
    state.barrier_taken()
    assert not state.is_waiting
    state.end_of_rib_sent()
    assert state.is_idle


def test_what_is_marked_first_is_sent_first() -> None:
    state = settled()
    desired = {each: best(1) for each in (A, B, C)}
    for each in (C, A, B):
        state.mark([each])
    assert [change.prefix for change in singly(state.take(desired, 2))] == [C, A]
    assert [change.prefix for change in singly(state.take(desired, 2))] == [B]


def test_changes_of_what_a_router_has_are_sent_before_new_prefixes() -> None:
    state = settled({B: best(1)})
    changes = taken(state, {A: best(1), B: best(2)}, A, B)
    assert [change.prefix for change in changes] == [B, A]


def test_only_differences_count_toward_the_room() -> None:
    state = settled({A: best(1)})
    desired = {A: best(1), B: best(1)}
    for each in (A, B):
        state.mark([each])
    assert singly(state.take(desired, 1)) == [Change(B, 0, attributes(1), False)]


def test_a_router_that_is_down_is_not_marked() -> None:
    state = RouterState(ONE)
    state.mark([A])
    assert singly(state.take({A: best(1)}, WINDOW)) == []


def test_paths_change_one_by_one() -> None:
    state = settled({A: ((5, attributes(5)), (7, attributes(7)))})
    changes = taken(state, {A: ((9, attributes(9)), (5, attributes(6)))}, A)
    assert changes == [
        Change(A, 9, attributes(9), False),
        Change(A, 5, attributes(6), False),
        Change(A, 7, None, False),
    ]
    assert state.announced[A] == ((9, attributes(9)), (5, attributes(6)))


def test_withdraws_beside_an_announcement_of_the_prefix_are_sent_last() -> None:
    both = ((5, attributes(5)), (7, attributes(7)))
    state = settled({A: both, B: both})
    state.mark([A, B])
    changes = state.take({A: ((9, attributes(9)),), B: ((5, attributes(5)),)}, WINDOW)
    withdrawn = {
        (batch.path_id, prefix): batch.goes_last
        for batch, prefixes in changes.items()
        for prefix in prefixes
        if batch.attributes is None
    }
    assert withdrawn == {(5, A): True, (7, A): True, (7, B): False}


def test_a_withdrawn_prefix_leaves_nothing_behind() -> None:
    state = settled({A: best(1)})
    assert taken(state, {}, A) == [Change(A, 0, None, False)]
    assert state.announced == {}


def test_while_a_router_fills_nothing_is_withdrawn() -> None:
    state = settled({A: ((5, attributes(5)), (7, attributes(7)))})
    state.down()
    now = {A: ((5, attributes(6)),)}
    state.up(now)
    assert singly(state.take(now, WINDOW)) == [Change(A, 5, attributes(6), False)]
    assert dict(state.announced[A]) == {5: attributes(6), 7: None}
    pass_barrier(state)
    assert singly(state.take(now, WINDOW)) == [Change(A, 7, None, False)]
    assert state.announced[A] == ((5, attributes(6)),)


def test_what_was_under_way_is_sent_again_with_the_paths_in_doubt() -> None:
    state = settled({A: ((5, attributes(5)), (7, attributes(7)))})
    taken(state, {A: ((5, attributes(5)), (8, attributes(8)))}, A)
    state.down()
    assert state.doubtful == {A: {7, 8}}
    now = {A: ((5, attributes(5)), (7, attributes(7)))}
    state.up(now)
    assert singly(state.take(now, WINDOW)) == []
    pass_barrier(state)
    assert singly(state.take(now, WINDOW)) == [
        Change(A, 5, attributes(5), False),
        Change(A, 7, attributes(7), True),
        Change(A, 8, None, True),
    ]
    assert state.doubtful == {}


def test_everything_is_sent_again_to_a_router_that_is_back() -> None:
    """A reload may have removed it while it was down, and another one brought it back."""
    state = settled({A: best(1), B: best(2)})
    state.down()
    now = {A: best(1)}
    state.up(now)
    assert singly(state.take(now, WINDOW)) == [Change(A, 0, attributes(1), False)]
    pass_barrier(state)
    assert singly(state.take(now, WINDOW)) == [Change(B, 0, None, False)]


@pytest.mark.parametrize("confirming", [False, True])
def test_doubt_is_about_everything_under_way(confirming: bool) -> None:
    state = settled()
    taken(state, {A: best(1)}, A)
    if confirming:
        state.mark([A])
        assert state.barrier() == [4]
    taken(state, {A: best(1), B: best(1)}, B)
    state.doubt()
    assert set(state.doubtful) == {A, B}
    assert state.unconfirmed == 0
    assert not state.is_waiting


def test_a_forgotten_router_has_nothing_but_what_is_still_on_its_way() -> None:
    state = settled({A: best(1)})
    state.adopt(A, 7)
    assert taken(state, {A: best(1)}, A) == [Change(A, 7, None, False)]
    assert state.doubtful
    state.forget()
    state.forget()
    assert (state.phase, state.announced, state.doubtful) == (Phase.DOWN, {}, {})
    state = settled({A: best(1)})
    taken(state, {B: best(1)}, B)
    state.forget()
    assert (state.phase, state.announced, set(state.doubtful)) == (Phase.DOWN, {}, {B})
    state.up({})
    pass_barrier(state)
    assert singly(state.take({}, WINDOW)) == [Change(B, 0, None, True)]


# What it was sent before us ----------------------------------------------------------------------


def test_adopted_paths_are_known_to_be_there_and_no_more() -> None:
    state = RouterState(ONE)
    state.adopt(A, 7)
    state.adopt(A, 5)
    assert dict(state.announced[A]) == {5: None, 7: None}
    now = {A: ((5, attributes(5)),)}
    state.up(now)
    assert singly(state.take(now, WINDOW)) == [Change(A, 5, attributes(5), False)]
    pass_barrier(state)
    assert singly(state.take(now, WINDOW)) == [Change(A, 7, None, False)]


def test_adopting_what_this_process_sent_changes_nothing() -> None:
    state = settled({A: best(1)})
    state.adopt(A, 0)
    assert state.announced[A] == best(1)
    assert singly(state.take({A: best(1)}, WINDOW)) == []


def test_an_adopted_path_is_reviewed_once_and_first() -> None:
    state = RouterState(ONE)
    desired = {A: best(1), B: best(1)}
    state.up(desired)
    state.adopt(B, 0)
    assert singly(state.take(desired, 1)) == [Change(B, 0, attributes(1), False)]
    assert singly(state.take(desired, WINDOW)) == [Change(A, 0, attributes(1), False)]
    assert singly(state.take(desired, WINDOW)) == []


def test_an_adopted_path_that_changed_waits_for_the_barrier() -> None:
    state = RouterState(ONE)
    desired = {A: best(1), B: best(1)}
    state.up(desired)
    state.adopt(B, 0)
    assert singly(state.take(desired, 1)) == [Change(B, 0, attributes(1), False)]
    assert taken(state, {A: best(1), B: best(2)}, B) == [Change(A, 0, attributes(1), False)]
    pass_barrier(state)
    assert taken(state, {A: best(1), B: best(2)}) == [Change(B, 0, attributes(2), False)]


# What it speaks ----------------------------------------------------------------------------------


def test_a_router_without_families_gets_no_end_of_rib() -> None:
    state = RouterState(ONE, families=frozenset())
    state.up({A: best(1)})
    assert singly(state.take({A: best(1)}, WINDOW)) == []
    assert state.barrier() == []
    assert not state.is_waiting


@pytest.mark.parametrize("add_path", [frozenset({4}), frozenset({6}), frozenset()])
def test_withdraws_reach_routers_with_and_without_add_path(add_path: frozenset[int]) -> None:
    state = RouterState(ONE, add_path=add_path)
    desired: dict[Prefix, Paths] = {A: ((7, attributes(7)), (5, attributes(5)))}
    state.up(desired)
    paths = [(change.path_id, change.attributes) for change in singly(state.take(desired, WINDOW))]
    assert paths == (
        [(7, attributes(7)), (5, attributes(5))] if 4 in add_path else [(0, attributes(7))]
    )
    pass_barrier(state)
    gone = [change.path_id for change in taken(state, {}, A)]
    assert gone == ([5, 7] if 4 in add_path else [0])


def test_leaving_add_path_the_best_path_is_sent_again_after_the_others_are_withdrawn() -> None:
    """A withdraw without a path id (RFC 7911) takes away whatever the router has."""
    desired: dict[Prefix, Paths] = {A: ((7, attributes(7)), (5, attributes(5)))}
    state = settled(desired)
    state.down()
    state.add_path = frozenset()
    state.up(desired)
    assert singly(state.take(desired, WINDOW)) == [Change(A, 0, attributes(7), False)]
    pass_barrier(state)
    assert singly(state.take(desired, WINDOW)) == [
        Change(A, 5, None, False),
        Change(A, 7, None, False),
    ]
    assert not state.is_idle
    pass_barrier(state)
    assert singly(state.take(desired, WINDOW)) == [Change(A, 0, attributes(7), True)]
    assert state.is_idle
    assert state.announced == {A: ((0, attributes(7)),)}
    assert state.doubtful == {}


def test_what_leaving_add_path_takes_away_is_sent_again_only_after_its_own_barrier() -> None:
    desired: dict[Prefix, Paths] = {A: best(1), B: best(1)}
    state = settled(desired)
    taken(state, {**desired, B: best(2)}, B)
    desired = {**desired, B: best(3)}
    taken(state, desired, B)
    assert state.barrier() == [4]
    state.adopt(A, 7)
    assert taken(state, desired) == [Change(A, 7, None, False)]
    state.barrier_taken()
    state.end_of_rib_sent()
    assert singly(state.take(desired, WINDOW)) == [Change(B, 0, attributes(3), False)]
    pass_barrier(state)
    assert singly(state.take(desired, WINDOW)) == [Change(A, 0, attributes(1), True)]


def test_what_leaving_add_path_takes_away_is_sent_again_whatever_goes_wrong() -> None:
    desired: dict[Prefix, Paths] = {A: best(1)}
    state = settled(desired)
    state.adopt(A, 7)
    assert taken(state, desired, A) == [Change(A, 7, None, False)]
    state.doubt()
    pass_barrier(state)
    assert singly(state.take(desired, WINDOW)) == [
        Change(A, 0, attributes(1), True),
        Change(A, 7, None, True),
    ]
    pass_barrier(state)
    assert singly(state.take(desired, WINDOW)) == [Change(A, 0, attributes(1), True)]
    assert state.is_idle


def test_one_of_several_paths_is_withdrawn_without_doubt() -> None:
    state = settled({A: ((7, attributes(7)), (5, attributes(5)))})
    assert taken(state, {A: ((5, attributes(5)),)}, A) == [Change(A, 7, None, False)]
    assert state.is_idle
