"""One router as ExaBGP serves it, and the accounts of the egress: each rule on its own.

That the rules together keep routers right is tested by storm, in `test_egress`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest
from support.core_samples import OWN_ASN, address, prefix, prefixes, router_group

from rsfilter.exabgp import egress as egress_module
from rsfilter.exabgp import router as router_module
from rsfilter.exabgp.egress import BARRIER_TIMEOUT_S, FIRST_TAG, RECONCILE_INTERVAL_S, Egress
from rsfilter.exabgp.router import WINDOW, Changes, RouterState
from rsfilter.exabgp.router_states import Phase
from rsfilter.routing.export import OutAttributes, Paths
from rsfilter.routing.model import Prefix

A, B, C = prefixes("203.0.113.1 203.0.113.2 203.0.113.3")
SIX = prefix("2001:db8::1")
ONE, TWO = address("192.0.2.10"), address("192.0.2.11")


def out(host: int, med: int | None = None) -> OutAttributes:
    return OutAttributes(address(f"198.51.100.{host}"), (65000 + host,), "igp", med, (), (), ())


def best(host: int) -> Paths:
    return ((0, out(host)),)


# One router --------------------------------------------------------------------------------------


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
    assert taken(state, {A: best(2)}) == [Change(A, 0, out(2), False)]


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
    assert singly(state.take(desired, 1)) == [Change(B, 0, out(1), False)]


def test_a_router_that_is_down_is_not_marked() -> None:
    state = RouterState(ONE)
    state.mark([A])
    assert singly(state.take({A: best(1)}, WINDOW)) == []


def test_paths_change_one_by_one() -> None:
    state = settled({A: ((5, out(5)), (7, out(7)))})
    changes = taken(state, {A: ((9, out(9)), (5, out(6)))}, A)
    assert changes == [
        Change(A, 9, out(9), False),
        Change(A, 5, out(6), False),
        Change(A, 7, None, False),
    ]
    assert state.told[A] == ((9, out(9)), (5, out(6)))


def test_withdraws_beside_an_announcement_of_the_prefix_are_sent_last() -> None:
    both = ((5, out(5)), (7, out(7)))
    state = settled({A: both, B: both})
    state.mark([A, B])
    changes = state.take({A: ((9, out(9)),), B: ((5, out(5)),)}, WINDOW)
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
    assert state.told == {}


def test_while_a_router_fills_nothing_is_withdrawn() -> None:
    state = settled({A: ((5, out(5)), (7, out(7)))})
    state.down()
    now = {A: ((5, out(6)),)}
    state.up(now)
    assert singly(state.take(now, WINDOW)) == [Change(A, 5, out(6), False)]
    assert dict(state.told[A]) == {5: out(6), 7: None}
    pass_barrier(state)
    assert singly(state.take(now, WINDOW)) == [Change(A, 7, None, False)]
    assert state.told[A] == ((5, out(6)),)


def test_what_was_under_way_is_sent_again_with_the_paths_in_doubt() -> None:
    state = settled({A: ((5, out(5)), (7, out(7)))})
    taken(state, {A: ((5, out(5)), (8, out(8)))}, A)
    state.down()
    assert state.doubtful == {A: {7, 8}}
    now = {A: ((5, out(5)), (7, out(7)))}
    state.up(now)
    assert singly(state.take(now, WINDOW)) == []
    pass_barrier(state)
    assert singly(state.take(now, WINDOW)) == [
        Change(A, 5, out(5), False),
        Change(A, 7, out(7), True),
        Change(A, 8, None, True),
    ]
    assert state.doubtful == {}


def test_everything_is_sent_again_to_a_router_that_is_back() -> None:
    """A reload may have removed it while it was down, and another one brought it back."""
    state = settled({A: best(1), B: best(2)})
    state.down()
    now = {A: best(1)}
    state.up(now)
    assert singly(state.take(now, WINDOW)) == [Change(A, 0, out(1), False)]
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
    assert (state.phase, state.told, state.doubtful) == (Phase.DOWN, {}, {})
    state = settled({A: best(1)})
    taken(state, {B: best(1)}, B)
    state.forget()
    assert (state.phase, state.told, set(state.doubtful)) == (Phase.DOWN, {}, {B})
    state.up({})
    pass_barrier(state)
    assert singly(state.take({}, WINDOW)) == [Change(B, 0, None, True)]


# What it was sent before us ----------------------------------------------------------------------


def test_adopted_paths_are_known_to_be_there_and_no_more() -> None:
    state = RouterState(ONE)
    state.adopt(A, 7)
    state.adopt(A, 5)
    assert dict(state.told[A]) == {5: None, 7: None}
    now = {A: ((5, out(5)),)}
    state.up(now)
    assert singly(state.take(now, WINDOW)) == [Change(A, 5, out(5), False)]
    pass_barrier(state)
    assert singly(state.take(now, WINDOW)) == [Change(A, 7, None, False)]


def test_adopting_what_this_process_sent_changes_nothing() -> None:
    state = settled({A: best(1)})
    state.adopt(A, 0)
    assert state.told[A] == best(1)
    assert singly(state.take({A: best(1)}, WINDOW)) == []


def test_an_adopted_path_is_reviewed_once_and_first() -> None:
    state = RouterState(ONE)
    desired = {A: best(1), B: best(1)}
    state.up(desired)
    state.adopt(B, 0)
    assert singly(state.take(desired, 1)) == [Change(B, 0, out(1), False)]
    assert singly(state.take(desired, WINDOW)) == [Change(A, 0, out(1), False)]
    assert singly(state.take(desired, WINDOW)) == []


def test_an_adopted_path_that_changed_waits_for_the_barrier() -> None:
    state = RouterState(ONE)
    desired = {A: best(1), B: best(1)}
    state.up(desired)
    state.adopt(B, 0)
    assert singly(state.take(desired, 1)) == [Change(B, 0, out(1), False)]
    assert taken(state, {A: best(1), B: best(2)}, B) == [Change(A, 0, out(1), False)]
    pass_barrier(state)
    assert taken(state, {A: best(1), B: best(2)}) == [Change(B, 0, out(2), False)]


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
    desired: dict[Prefix, Paths] = {A: ((7, out(7)), (5, out(5)))}
    state.up(desired)
    paths = [(change.path_id, change.attributes) for change in singly(state.take(desired, WINDOW))]
    assert paths == ([(7, out(7)), (5, out(5))] if 4 in add_path else [(0, out(7))])
    pass_barrier(state)
    gone = [change.path_id for change in taken(state, {}, A)]
    assert gone == ([5, 7] if 4 in add_path else [0])


def test_leaving_add_path_the_best_path_is_sent_again_after_the_others_are_withdrawn() -> None:
    """A withdraw without a path id (RFC 7911) takes away whatever the router has."""
    desired: dict[Prefix, Paths] = {A: ((7, out(7)), (5, out(5)))}
    state = settled(desired)
    state.down()
    state.add_path = frozenset()
    state.up(desired)
    assert singly(state.take(desired, WINDOW)) == [Change(A, 0, out(7), False)]
    pass_barrier(state)
    assert singly(state.take(desired, WINDOW)) == [
        Change(A, 5, None, False),
        Change(A, 7, None, False),
    ]
    assert not state.is_idle
    pass_barrier(state)
    assert singly(state.take(desired, WINDOW)) == [Change(A, 0, out(7), True)]
    assert state.is_idle
    assert state.told == {A: ((0, out(7)),)}
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
    assert singly(state.take(desired, WINDOW)) == [Change(B, 0, out(3), False)]
    pass_barrier(state)
    assert singly(state.take(desired, WINDOW)) == [Change(A, 0, out(1), True)]


def test_what_leaving_add_path_takes_away_is_sent_again_whatever_goes_wrong() -> None:
    desired: dict[Prefix, Paths] = {A: best(1)}
    state = settled(desired)
    state.adopt(A, 7)
    assert taken(state, desired, A) == [Change(A, 7, None, False)]
    state.doubt()
    pass_barrier(state)
    assert singly(state.take(desired, WINDOW)) == [
        Change(A, 0, out(1), True),
        Change(A, 7, None, True),
    ]
    pass_barrier(state)
    assert singly(state.take(desired, WINDOW)) == [Change(A, 0, out(1), True)]
    assert state.is_idle


def test_one_of_several_paths_is_withdrawn_without_doubt() -> None:
    state = settled({A: ((7, out(7)), (5, out(5)))})
    assert taken(state, {A: ((5, out(5)),)}, A) == [Change(A, 7, None, False)]
    assert state.is_idle


# The accounts of the egress ----------------------------------------------------------------------


class Desk:
    """An egress for two eBGP routers of one group and an iBGP router of another."""

    def __init__(self) -> None:
        self.leaves: dict[Prefix, Paths] = {}
        self.inside: dict[Prefix, Paths] = {}
        self.egress = Egress(
            OWN_ASN,
            [
                router_group("leaves", f"{ONE} {TWO}"),
                router_group("inside", "192.0.2.30", asn=OWN_ASN),
            ],
            lambda group: {"leaves": self.leaves, "inside": self.inside}[group],
        )
        self.egress.is_ready = True

    def settle(self, *routers: str) -> None:
        for router in routers:
            self.egress.router_up(address(router))
        lines = self.lines()
        self.reply(len(lines))
        for router in routers:
            self.egress.end_of_rib_sent(address(router))
        self.egress.counters.clear()

    def want(self, host: int, *prefixes: Prefix, group: str = "leaves") -> None:
        table = self.leaves if group == "leaves" else self.inside
        for each in prefixes:
            table[each] = best(host)
            self.egress.changed(group, [each])

    def drop(self, *prefixes: Prefix) -> None:
        for each in prefixes:
            del self.leaves[each]
            self.egress.changed("leaves", [each])

    def lines(self, now: float = 0.0) -> list[str]:
        return [line.decode().strip() for line in self.egress.commands(now)]

    def reply(self, count: int, now: float = 0.0) -> None:
        for _ in range(count):
            self.egress.replied(ok=True, now=now)


def announce(host: int, what: str, *, to: str = f"neighbor {ONE}", more: str = "") -> str:
    return (
        f"{to} announce attributes next-hop 198.51.100.{host} as-path [ {65000 + host} ] "
        f"origin igp{more} nlri {what}"
    )


BOTH = f"neighbor {ONE} , neighbor {TWO}"
WITHDRAW = "withdraw attributes next-hop"


def test_every_prefix_is_counted_in_exactly_one_place() -> None:
    desk = Desk()
    desk.settle(str(ONE), str(TWO))
    desk.want(1, A, B)
    assert desk.lines() == [announce(1, f"{A} {B}", to=BOTH)]
    desk.drop(A)
    assert desk.lines() == [f"neighbor {router} announce eor ipv4 unicast" for router in (ONE, TWO)]
    desk.reply(3)
    desk.egress.end_of_rib_sent(ONE)
    desk.egress.end_of_rib_sent(TWO)
    assert desk.lines() == [f"{BOTH} {WITHDRAW} 0.0.0.0 nlri {A}"]
    desk.reply(1)
    desk.drop(B)
    assert desk.lines() == [f"{BOTH} {WITHDRAW} 0.0.0.0 nlri {B}"]
    for _ in range(2):
        desk.egress.replied(ok=False, now=0.0)
    assert desk.egress.counters == {
        "announced": 4,
        "withdrawn": 4,
        "commands": 5,
        "barriers": 2,
        "replies": 6,
        "errors": 2,
    }


def test_the_end_of_rib_of_another_family_is_nobody_elses_barrier() -> None:
    desk = Desk()
    desk.egress.router_up(ONE)
    assert desk.lines() == [f"neighbor {ONE} announce eor ipv{n} unicast" for n in (4, 6)]
    desk.reply(1)
    desk.egress.end_of_rib_sent(ONE)
    desk.want(1, A)
    assert desk.lines() == [announce(1, str(A))]
    desk.want(2, A)
    assert desk.lines() == [f"neighbor {ONE} announce eor ipv4 unicast"]
    desk.reply(1)  # to the IPv6 one
    desk.egress.end_of_rib_sent(ONE)
    assert desk.lines() == [], "its change may still be on its way"
    desk.reply(2)
    assert desk.lines() == [f"neighbor {ONE} announce eor ipv4 unicast"]
    desk.egress.end_of_rib_sent(ONE)
    assert desk.lines() == [announce(2, str(A))]


def test_a_reply_that_nobody_waits_for_is_counted() -> None:
    desk = Desk()
    desk.settle(str(ONE))
    desk.reply(2)
    assert desk.egress.counters == {"replies": 2}
    assert desk.egress.next_timer() is None


def test_an_end_of_rib_to_an_unknown_peer_is_ignored() -> None:
    desk = Desk()
    desk.egress.end_of_rib_sent(address("192.0.2.99"))
    assert desk.lines() == []


def test_each_group_has_its_own_table() -> None:
    desk = Desk()
    desk.want(1, A)
    desk.want(2, B, group="inside")
    desk.egress.router_up(address("192.0.2.30"))
    assert desk.lines()[0] == announce(2, str(B), to="neighbor 192.0.2.30")
    desk.egress.router_up(ONE)
    assert desk.lines()[0] == announce(1, str(A))


def test_a_session_that_starts_anew_unseen_puts_in_doubt_what_was_under_way() -> None:
    desk = Desk()
    desk.settle(str(ONE))
    desk.want(1, A)
    desk.lines()
    desk.egress.router_up(ONE)
    assert desk.egress.routers[ONE].doubtful == {A: {0}}
    desk.egress.router_up(TWO)
    assert desk.egress.routers[TWO].phase is Phase.FILLING


def test_a_router_that_is_down_has_no_barrier_to_lose() -> None:
    desk = Desk()
    desk.egress.router_up(ONE)
    desk.lines(5.0)
    assert desk.egress.next_timer() == 5.0 + BARRIER_TIMEOUT_S
    desk.egress.router_down(ONE)
    desk.reply(2)
    assert desk.egress.next_timer() is None


def test_a_reply_to_an_earlier_sessions_barrier_does_not_count() -> None:
    desk = Desk()
    desk.egress.router_up(ONE)
    before = desk.lines()
    desk.egress.router_down(ONE)
    desk.egress.router_up(ONE)
    again = desk.lines()
    assert before == again == [f"neighbor {ONE} announce eor {f} unicast" for f in ("ipv4", "ipv6")]
    desk.reply(2)
    desk.egress.end_of_rib_sent(ONE)  # of the session that is over
    assert desk.egress.routers[ONE].phase is Phase.FILLING
    desk.reply(2)
    assert desk.lines() == again[:1], "an End-of-RIB came whose it is nobody knows"
    assert desk.lines() == []
    desk.egress.end_of_rib_sent(ONE)
    assert desk.egress.routers[ONE].phase is Phase.SETTLED


def test_an_end_of_rib_before_each_reply_makes_no_loop() -> None:
    """ExaBGP may send an old End-of-RIB just before it takes our next command for one: each new
    barrier would meet the End-of-RIB of the one before it."""
    desk = Desk()
    desk.settle(str(ONE))
    desk.want(1, A)
    desk.lines()
    desk.want(2, A)
    assert desk.lines() == [f"neighbor {ONE} announce eor ipv4 unicast"]
    desk.egress.end_of_rib_sent(ONE)  # an old one
    desk.reply(2)
    assert desk.lines() == [f"neighbor {ONE} announce eor ipv4 unicast"]
    desk.egress.end_of_rib_sent(ONE)  # of the barrier, before the reply to the second command
    desk.reply(1)
    assert desk.lines() == [announce(2, str(A))]


def test_a_reply_to_another_routers_barrier_still_counts() -> None:
    desk = Desk()
    desk.egress.router_up(ONE)
    desk.egress.router_up(TWO)
    desk.lines()
    desk.egress.router_down(ONE)
    desk.reply(4)
    desk.egress.end_of_rib_sent(TWO)
    assert desk.egress.routers[TWO].phase is Phase.SETTLED


def test_a_connection_that_fails_changes_no_session() -> None:
    desk = Desk()
    desk.settle(str(ONE))
    desk.egress.opened(ONE, frozenset({6}), frozenset())
    desk.want(1, A)
    assert desk.lines() == [announce(1, str(A))]
    desk.egress.router_up(ONE)
    assert desk.egress.routers[ONE].families == {6}
    assert desk.egress.routers[ONE].add_path == frozenset()


def test_a_barrier_that_passed_is_not_lost() -> None:
    desk = Desk()
    desk.settle(str(ONE))
    assert desk.egress.next_timer() is None
    desk.lines(2 * BARRIER_TIMEOUT_S)
    assert desk.egress.counters["barriers_lost"] == 0


def test_a_barrier_that_exabgp_took_may_still_be_lost() -> None:
    desk = Desk()
    desk.egress.router_up(ONE)
    lines = desk.lines(5.0)
    for _ in lines:
        desk.egress.replied(ok=True, now=6.0)
    ends = lines[-2:]
    asked = [at for at in range(6, 125) if desk.lines(float(at)) == ends]
    assert asked == [6 + 5, 11 + 10, 21 + 20, 41 + 40], "twice as long each time"
    assert desk.egress.next_timer() == 5.0 + BARRIER_TIMEOUT_S
    desk.egress.end_of_rib_sent(ONE)
    assert desk.egress.routers[ONE].phase is Phase.SETTLED
    desk.reply(2 * len(asked))
    assert desk.egress.next_timer() is None


def test_the_first_lost_barrier_sets_the_timer() -> None:
    desk = Desk()
    desk.egress.router_up(TWO)
    desk.lines(5.0)
    desk.egress.router_up(ONE)
    desk.lines(6.0)
    assert desk.egress.next_timer() == 5.0 + BARRIER_TIMEOUT_S


def test_lost_barriers_are_counted_and_replies_are_matched_anew() -> None:
    desk = Desk()
    desk.want(1, A)
    for router in (ONE, TWO):
        desk.egress.router_up(router)
    first = desk.lines()
    assert desk.lines(BARRIER_TIMEOUT_S - 0.1) == []
    again = desk.lines(BARRIER_TIMEOUT_S)
    assert desk.egress.counters["barriers_lost"] == 2
    assert again == first[1:], "what is in doubt comes after the barrier"
    desk.reply(len(again))
    for router in (ONE, TWO):
        desk.egress.end_of_rib_sent(router)
    assert desk.lines(BARRIER_TIMEOUT_S) == [
        announce(1, str(A), to=BOTH, more=f" local-preference {FIRST_TAG + 1}")
    ]
    for router in (ONE, TWO):
        desk.egress.router_up(router)
    desk.lines(BARRIER_TIMEOUT_S)
    desk.lines(2 * BARRIER_TIMEOUT_S)
    assert desk.egress.counters["barriers_lost"] == 4


def test_a_reply_that_never_comes_after_an_error_is_lost() -> None:
    desk = Desk()
    desk.settle(str(ONE))
    desk.want(1, A)
    desk.want(2, B)
    assert len(desk.lines(5.0)) == 2
    desk.egress.replied(ok=False, now=6.0)
    assert desk.lines(4.9 + BARRIER_TIMEOUT_S) == []
    assert desk.egress.next_timer() == 5.0 + BARRIER_TIMEOUT_S
    (barrier,) = desk.lines(5.0 + BARRIER_TIMEOUT_S)
    assert barrier == f"neighbor {ONE} announce eor ipv4 unicast"
    assert desk.egress.counters["replies_lost"] == 1
    desk.reply(1)
    desk.egress.end_of_rib_sent(ONE)
    assert [line.rpartition(" ")[2] for line in desk.lines(126.0)] == [str(A), str(B)]


def test_a_router_that_fills_does_not_wait_without_end_for_a_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(egress_module, "WINDOW", 2)
    desk = Desk()
    desk.want(1, A, B, C)
    desk.egress.router_up(ONE)
    assert desk.lines(5.0) == [announce(1, f"{A} {B}")]
    assert desk.lines(6.0) == []
    assert desk.egress.next_timer() == 5.0 + BARRIER_TIMEOUT_S
    assert desk.lines(5.0 + BARRIER_TIMEOUT_S)[0] == announce(1, str(C))


def test_a_lost_end_of_rib_is_one_routers_trouble() -> None:
    desk = Desk()
    desk.settle(str(ONE), str(TWO))
    desk.want(1, A)
    desk.reply(len(desk.lines(1.0)))
    desk.drop(A)
    desk.reply(len(desk.lines(1.0)))
    desk.egress.end_of_rib_sent(TWO)
    assert desk.lines(2.0) == [f"neighbor {TWO} {WITHDRAW} 0.0.0.0 nlri {A}"]
    assert desk.lines(1.0 + BARRIER_TIMEOUT_S) == [f"neighbor {ONE} announce eor ipv4 unicast"]
    assert desk.egress.counters["barriers_lost"] == 1
    assert desk.egress.counters["replies_lost"] == 0
    assert desk.egress.routers[TWO].doubtful == {}


def test_announcements_come_before_withdraws() -> None:
    desk = Desk()
    desk.want(1, A)
    desk.settle(str(ONE))
    desk.drop(A)
    desk.want(2, B)
    assert desk.lines() == [
        announce(2, str(B)),
        f"neighbor {ONE} {WITHDRAW} 0.0.0.0 nlri {A}",
    ]


def test_families_and_attributes_do_not_share_a_command() -> None:
    desk = Desk()
    desk.settle(str(ONE))
    desk.want(1, A, SIX)
    desk.want(2, B)
    assert desk.lines() == [announce(1, str(A)), announce(1, f"{SIX}"), announce(2, str(B))]
    desk = Desk()
    desk.want(1, A, SIX)
    desk.settle(str(ONE))
    desk.drop(A, SIX)
    assert desk.lines() == [
        f"neighbor {ONE} {WITHDRAW} 0.0.0.0 nlri {A}",
        f"neighbor {ONE} {WITHDRAW} :: nlri {SIX}",
    ]


def test_routers_share_a_command_where_they_lack_the_same() -> None:
    desk = Desk()
    desk.want(1, A)
    desk.settle(str(ONE))
    desk.egress.router_up(TWO)
    desk.want(1, B, C)
    assert desk.lines()[:2] == [
        announce(1, f"{B} {C}", to=BOTH),
        announce(1, str(A), to=f"neighbor {TWO}"),
    ]


def doubtful_desk(*routers: str, group: str = "leaves") -> Desk:
    """A and B are in doubt, and the barrier has passed."""
    desk = Desk()
    desk.settle(*routers)
    desk.want(1, A, group=group)
    desk.want(2, B, group=group)
    desk.reply(len(desk.lines()))
    for router in routers:
        desk.egress.router_up(address(router))
    desk.reply(len(desk.lines()))
    for router in routers:
        desk.egress.end_of_rib_sent(address(router))
    desk.egress.counters.clear()
    return desk


def test_every_repetition_has_a_tag_of_its_own() -> None:
    desk = doubtful_desk(str(ONE))
    assert desk.lines() == [
        announce(1, str(A), more=f" local-preference {FIRST_TAG + 1}"),
        announce(2, str(B), more=f" local-preference {FIRST_TAG + 2}"),
    ]
    assert desk.egress.counters["repeated"] == 2


def test_toward_ibgp_one_flush_repeats_everything() -> None:
    desk = doubtful_desk("192.0.2.30", group="inside")
    to = "neighbor 192.0.2.30"
    assert desk.lines() == [
        announce(1, str(A), to=to),
        announce(2, str(B), to=to),
        f"{to} flush adj-rib out",
    ]
    assert desk.egress.counters == {"announced": 2, "repeated": 2, "commands": 3}


def test_without_doubt_nothing_is_flushed() -> None:
    desk = Desk()
    desk.settle("192.0.2.30")
    desk.want(1, A, group="inside")
    assert desk.lines() == [announce(1, str(A), to="neighbor 192.0.2.30")]


def test_after_an_error_nothing_is_written_before_all_replies_are_in() -> None:
    desk = Desk()
    desk.settle(str(ONE))
    desk.want(1, A)
    desk.want(2, B)
    assert len(desk.lines()) == 2
    desk.egress.replied(ok=False, now=3.0)
    desk.want(3, C)
    assert desk.lines(3.0) == []
    assert desk.egress.next_timer() == BARRIER_TIMEOUT_S, "only if a reply never comes"
    desk.reply(1)
    assert desk.egress.next_timer() == 3.0
    assert desk.lines(3.0)[0] == announce(3, str(C))


def test_errors_that_repeat_are_answered_at_intervals() -> None:
    desk = Desk()
    desk.settle(str(ONE))
    desk.want(1, A)
    desk.lines()
    desk.egress.replied(ok=False, now=3.0)
    (barrier,) = desk.lines(3.0)
    assert barrier == f"neighbor {ONE} announce eor ipv4 unicast"
    desk.egress.replied(ok=False, now=3.5)
    assert desk.egress.next_timer() == 3.0 + RECONCILE_INTERVAL_S
    assert desk.lines(3.0 + RECONCILE_INTERVAL_S - 0.1) == []
    assert desk.lines(3.0 + RECONCILE_INTERVAL_S) == [barrier]


def test_a_barrier_whose_reply_came_among_errors_is_in_doubt_too() -> None:
    desk = Desk()
    desk.egress.router_up(ONE)
    assert len(desk.lines()) == 2
    desk.egress.replied(ok=False, now=0.0)
    desk.reply(1)
    desk.egress.end_of_rib_sent(ONE)
    assert desk.egress.routers[ONE].phase is Phase.FILLING
    assert len(desk.lines()) == 2


@pytest.mark.parametrize(("replies", "more"), [(0, 0), (1, 1), (2, 3)])
def test_replies_make_room_while_a_router_fills(
    replies: int, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress_module, "WINDOW", 3)
    desk = Desk()
    desk.want(1, A)
    desk.want(2, B, C)
    desk.want(3, *prefixes("203.0.113.4 203.0.113.5 203.0.113.6"))
    desk.egress.router_up(ONE)
    assert desk.lines() == [announce(1, str(A)), announce(2, f"{B} {C}")]
    desk.reply(replies)
    assert sum(line.count("203.0.113.") for line in desk.lines()) == more


def test_only_prefixes_take_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_module, "WINDOW", 2)
    desk = Desk()
    desk.reply(1)  # of no command
    for router in ("192.0.2.30", str(ONE)):
        desk.egress.router_up(address(router))
        assert len(desk.lines()) == 2
    desk.want(1, A, B, C)
    desk.egress.router_up(TWO)
    assert desk.lines() == [announce(1, f"{A} {B}", to=BOTH)]


def test_a_flush_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = doubtful_desk("192.0.2.30", group="inside")
    monkeypatch.setattr(egress_module, "WINDOW", 3)
    assert len(desk.lines()) == 3
    desk.reply(2)
    desk.want(1, A, B, C)
    desk.egress.router_up(ONE)
    assert desk.lines()[0] == announce(1, f"{A} {B} {C}")


def test_lost_replies_give_their_room_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_module, "WINDOW", 2)
    desk = Desk()
    desk.want(1, A, B)
    desk.egress.router_up(ONE)
    desk.lines()
    desk.lines(BARRIER_TIMEOUT_S)
    desk.egress.router_up(TWO)
    assert desk.lines(BARRIER_TIMEOUT_S)[0] == announce(1, f"{A} {B}", to=f"neighbor {TWO}")


def test_replies_make_room_once_it_is_settled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_module, "WINDOW", 2)
    desk = Desk()
    desk.settle(str(ONE))
    desk.want(1, A, B, C)
    assert desk.lines() == [announce(1, f"{A} {B}")]
    assert desk.lines() == []
    desk.reply(1)
    assert desk.lines() == [announce(1, str(C))]


def full_desk(monkeypatch: pytest.MonkeyPatch, *told: Prefix) -> Desk:
    """A desk with a settled router that has what was `told`; A and B are behind a barrier that
    ExaBGP has taken, and there is no room for more."""
    desk = Desk()
    desk.want(1, *told)
    desk.settle(str(ONE))
    for module in (egress_module, router_module):
        monkeypatch.setattr(module, "WINDOW", 2)
    monkeypatch.setattr(router_module, "MAX_UNCONFIRMED", 2)
    desk.want(1, A, B)
    assert desk.lines() == [
        announce(1, f"{A} {B}"),
        f"neighbor {ONE} announce eor ipv4 unicast",
    ]
    desk.reply(2)
    return desk


def test_a_barrier_comes_before_too_much_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = full_desk(monkeypatch)
    desk.want(1, C)
    assert desk.lines() == []
    desk.egress.end_of_rib_sent(ONE)
    assert desk.lines() == [announce(1, str(C))]


def test_a_withdraw_waits_for_no_barrier_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = full_desk(monkeypatch, C)
    desk.drop(C)
    assert desk.lines() == [f"neighbor {ONE} {WITHDRAW} 0.0.0.0 nlri {C}"]


def test_withdraws_pause_so_that_a_barrier_can_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """ExaBGP sends no End-of-RIB while there is something else to send."""
    told = prefixes("203.0.113.4 203.0.113.5 203.0.113.6")
    desk = full_desk(monkeypatch, *told)
    desk.drop(*told)
    assert desk.lines() == [f"neighbor {ONE} {WITHDRAW} 0.0.0.0 nlri {told[0]} {told[1]}"]
    desk.reply(1)
    assert desk.lines() == []
    desk.egress.end_of_rib_sent(ONE)
    assert f"{WITHDRAW} 0.0.0.0 nlri {told[2]}" in desk.lines()[0]
