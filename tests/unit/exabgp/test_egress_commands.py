"""The commands of the egress for several routers, reply by reply: each rule on its own.

That the rules together keep routers right is tested by storm, in `test_egress`.
"""

from __future__ import annotations

import pytest
from support.core_samples import OWN_ASN, address, prefix, prefixes, router_group
from support.egress_samples import best

from rsfilter.exabgp import egress as egress_module
from rsfilter.exabgp import router as router_module
from rsfilter.exabgp.egress import BARRIER_TIMEOUT_S, FIRST_TAG, RECONCILE_INTERVAL_S, Egress
from rsfilter.exabgp.router_states import Phase
from rsfilter.routing.export import Paths
from rsfilter.routing.model import Prefix

A, B, C = prefixes("203.0.113.1 203.0.113.2 203.0.113.3")
SIX = prefix("2001:db8::1")
ONE, TWO = address("192.0.2.10"), address("192.0.2.11")


class EgressBench:
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
    bench = EgressBench()
    bench.settle(str(ONE), str(TWO))
    bench.want(1, A, B)
    assert bench.lines() == [announce(1, f"{A} {B}", to=BOTH)]
    bench.drop(A)
    assert bench.lines() == [
        f"neighbor {router} announce eor ipv4 unicast" for router in (ONE, TWO)
    ]
    bench.reply(3)
    bench.egress.end_of_rib_sent(ONE)
    bench.egress.end_of_rib_sent(TWO)
    assert bench.lines() == [f"{BOTH} {WITHDRAW} 0.0.0.0 nlri {A}"]
    bench.reply(1)
    bench.drop(B)
    assert bench.lines() == [f"{BOTH} {WITHDRAW} 0.0.0.0 nlri {B}"]
    for _ in range(2):
        bench.egress.replied(ok=False, now=0.0)
    assert bench.egress.counters == {
        "announced": 4,
        "withdrawn": 4,
        "commands": 5,
        "barriers": 2,
        "replies": 6,
        "errors": 2,
    }


def test_the_end_of_rib_of_another_family_is_no_barrier() -> None:
    bench = EgressBench()
    bench.egress.router_up(ONE)
    assert bench.lines() == [f"neighbor {ONE} announce eor ipv{n} unicast" for n in (4, 6)]
    bench.reply(1)
    bench.egress.end_of_rib_sent(ONE)
    bench.want(1, A)
    assert bench.lines() == [announce(1, str(A))]
    bench.want(2, A)
    assert bench.lines() == [f"neighbor {ONE} announce eor ipv4 unicast"]
    bench.reply(1)  # to the IPv6 one
    bench.egress.end_of_rib_sent(ONE)
    assert bench.lines() == [], "its change may still be on its way"
    bench.reply(2)
    assert bench.lines() == [f"neighbor {ONE} announce eor ipv4 unicast"]
    bench.egress.end_of_rib_sent(ONE)
    assert bench.lines() == [announce(2, str(A))]


def test_an_unexpected_reply_is_counted() -> None:
    bench = EgressBench()
    bench.settle(str(ONE))
    bench.reply(2)
    assert bench.egress.counters == {"replies": 2}
    assert bench.egress.next_timer() is None


def test_an_end_of_rib_to_an_unknown_peer_is_ignored() -> None:
    bench = EgressBench()
    bench.egress.end_of_rib_sent(address("192.0.2.99"))
    assert bench.lines() == []


def test_each_group_has_its_own_table() -> None:
    bench = EgressBench()
    bench.want(1, A)
    bench.want(2, B, group="inside")
    bench.egress.router_up(address("192.0.2.30"))
    assert bench.lines()[0] == announce(2, str(B), to="neighbor 192.0.2.30")
    bench.egress.router_up(ONE)
    assert bench.lines()[0] == announce(1, str(A))


def test_a_session_that_starts_anew_unseen_puts_in_doubt_what_was_under_way() -> None:
    bench = EgressBench()
    bench.settle(str(ONE))
    bench.want(1, A)
    bench.lines()
    bench.egress.router_up(ONE)
    assert bench.egress.routers[ONE].doubtful == {A: {0}}
    bench.egress.router_up(TWO)
    assert bench.egress.routers[TWO].phase is Phase.FILLING


def test_a_router_that_is_down_has_no_barrier_to_lose() -> None:
    bench = EgressBench()
    bench.egress.router_up(ONE)
    bench.lines(5.0)
    assert bench.egress.next_timer() == 5.0 + BARRIER_TIMEOUT_S
    bench.egress.router_down(ONE)
    bench.reply(2)
    assert bench.egress.next_timer() is None


def test_a_reply_to_an_earlier_sessions_barrier_does_not_count() -> None:
    bench = EgressBench()
    bench.egress.router_up(ONE)
    before = bench.lines()
    bench.egress.router_down(ONE)
    bench.egress.router_up(ONE)
    again = bench.lines()
    assert before == again == [f"neighbor {ONE} announce eor {f} unicast" for f in ("ipv4", "ipv6")]
    bench.reply(2)
    bench.egress.end_of_rib_sent(ONE)  # of the session that is over
    assert bench.egress.routers[ONE].phase is Phase.FILLING
    bench.reply(2)
    assert bench.lines() == again[:1], "an End-of-RIB came whose it is nobody knows"
    assert bench.lines() == []
    bench.egress.end_of_rib_sent(ONE)
    assert bench.egress.routers[ONE].phase is Phase.SETTLED


def test_an_end_of_rib_before_each_reply_makes_no_loop() -> None:
    """ExaBGP may send an old End-of-RIB just before it takes our next command for one: each new
    barrier would meet the End-of-RIB of the one before it."""
    bench = EgressBench()
    bench.settle(str(ONE))
    bench.want(1, A)
    bench.lines()
    bench.want(2, A)
    assert bench.lines() == [f"neighbor {ONE} announce eor ipv4 unicast"]
    bench.egress.end_of_rib_sent(ONE)  # an old one
    bench.reply(2)
    assert bench.lines() == [f"neighbor {ONE} announce eor ipv4 unicast"]
    bench.egress.end_of_rib_sent(ONE)  # of the barrier, before the reply to the second command
    bench.reply(1)
    assert bench.lines() == [announce(2, str(A))]


def test_a_reply_to_another_routers_barrier_still_counts() -> None:
    bench = EgressBench()
    bench.egress.router_up(ONE)
    bench.egress.router_up(TWO)
    bench.lines()
    bench.egress.router_down(ONE)
    bench.reply(4)
    bench.egress.end_of_rib_sent(TWO)
    assert bench.egress.routers[TWO].phase is Phase.SETTLED


def test_a_connection_that_fails_changes_no_session() -> None:
    bench = EgressBench()
    bench.settle(str(ONE))
    bench.egress.opened(ONE, frozenset({6}), frozenset())
    bench.want(1, A)
    assert bench.lines() == [announce(1, str(A))]
    bench.egress.router_up(ONE)
    assert bench.egress.routers[ONE].families == {6}
    assert bench.egress.routers[ONE].add_path == frozenset()


def test_a_barrier_that_passed_is_not_lost() -> None:
    bench = EgressBench()
    bench.settle(str(ONE))
    assert bench.egress.next_timer() is None
    bench.lines(2 * BARRIER_TIMEOUT_S)
    assert bench.egress.counters["barriers_lost"] == 0


def test_a_barrier_that_exabgp_took_may_still_be_lost() -> None:
    bench = EgressBench()
    bench.egress.router_up(ONE)
    lines = bench.lines(5.0)
    for _ in lines:
        bench.egress.replied(ok=True, now=6.0)
    ends = lines[-2:]
    requested = [at for at in range(6, 125) if bench.lines(float(at)) == ends]
    assert requested == [6 + 5, 11 + 10, 21 + 20, 41 + 40], "twice as long each time"
    assert bench.egress.next_timer() == 5.0 + BARRIER_TIMEOUT_S
    bench.egress.end_of_rib_sent(ONE)
    assert bench.egress.routers[ONE].phase is Phase.SETTLED
    bench.reply(2 * len(requested))
    assert bench.egress.next_timer() is None


def test_the_first_lost_barrier_sets_the_timer() -> None:
    bench = EgressBench()
    bench.egress.router_up(TWO)
    bench.lines(5.0)
    bench.egress.router_up(ONE)
    bench.lines(6.0)
    assert bench.egress.next_timer() == 5.0 + BARRIER_TIMEOUT_S


def test_lost_barriers_are_counted_and_replies_are_matched_anew() -> None:
    bench = EgressBench()
    bench.want(1, A)
    for router in (ONE, TWO):
        bench.egress.router_up(router)
    first = bench.lines()
    assert bench.lines(BARRIER_TIMEOUT_S - 0.1) == []
    again = bench.lines(BARRIER_TIMEOUT_S)
    assert bench.egress.counters["barriers_lost"] == 2
    assert again == first[1:], "what is in doubt comes after the barrier"
    bench.reply(len(again))
    for router in (ONE, TWO):
        bench.egress.end_of_rib_sent(router)
    assert bench.lines(BARRIER_TIMEOUT_S) == [
        announce(1, str(A), to=BOTH, more=f" local-preference {FIRST_TAG + 1}")
    ]
    for router in (ONE, TWO):
        bench.egress.router_up(router)
    bench.lines(BARRIER_TIMEOUT_S)
    bench.lines(2 * BARRIER_TIMEOUT_S)
    assert bench.egress.counters["barriers_lost"] == 4


def test_a_reply_that_never_comes_after_an_error_is_lost() -> None:
    bench = EgressBench()
    bench.settle(str(ONE))
    bench.want(1, A)
    bench.want(2, B)
    assert len(bench.lines(5.0)) == 2
    bench.egress.replied(ok=False, now=6.0)
    assert bench.lines(4.9 + BARRIER_TIMEOUT_S) == []
    assert bench.egress.next_timer() == 5.0 + BARRIER_TIMEOUT_S
    (barrier,) = bench.lines(5.0 + BARRIER_TIMEOUT_S)
    assert barrier == f"neighbor {ONE} announce eor ipv4 unicast"
    assert bench.egress.counters["replies_lost"] == 1
    bench.reply(1)
    bench.egress.end_of_rib_sent(ONE)
    assert [line.rpartition(" ")[2] for line in bench.lines(126.0)] == [str(A), str(B)]


def test_a_router_that_fills_does_not_wait_without_end_for_a_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(egress_module, "WINDOW", 2)
    bench = EgressBench()
    bench.want(1, A, B, C)
    bench.egress.router_up(ONE)
    assert bench.lines(5.0) == [announce(1, f"{A} {B}")]
    assert bench.lines(6.0) == []
    assert bench.egress.next_timer() == 5.0 + BARRIER_TIMEOUT_S
    assert bench.lines(5.0 + BARRIER_TIMEOUT_S)[0] == announce(1, str(C))


def test_a_lost_end_of_rib_is_one_routers_trouble() -> None:
    bench = EgressBench()
    bench.settle(str(ONE), str(TWO))
    bench.want(1, A)
    bench.reply(len(bench.lines(1.0)))
    bench.drop(A)
    bench.reply(len(bench.lines(1.0)))
    bench.egress.end_of_rib_sent(TWO)
    assert bench.lines(2.0) == [f"neighbor {TWO} {WITHDRAW} 0.0.0.0 nlri {A}"]
    assert bench.lines(1.0 + BARRIER_TIMEOUT_S) == [f"neighbor {ONE} announce eor ipv4 unicast"]
    assert bench.egress.counters["barriers_lost"] == 1
    assert bench.egress.counters["replies_lost"] == 0
    assert bench.egress.routers[TWO].doubtful == {}


def test_announcements_come_before_withdraws() -> None:
    bench = EgressBench()
    bench.want(1, A)
    bench.settle(str(ONE))
    bench.drop(A)
    bench.want(2, B)
    assert bench.lines() == [
        announce(2, str(B)),
        f"neighbor {ONE} {WITHDRAW} 0.0.0.0 nlri {A}",
    ]


def test_families_and_attributes_do_not_share_a_command() -> None:
    bench = EgressBench()
    bench.settle(str(ONE))
    bench.want(1, A, SIX)
    bench.want(2, B)
    assert bench.lines() == [announce(1, str(A)), announce(1, f"{SIX}"), announce(2, str(B))]
    bench = EgressBench()
    bench.want(1, A, SIX)
    bench.settle(str(ONE))
    bench.drop(A, SIX)
    assert bench.lines() == [
        f"neighbor {ONE} {WITHDRAW} 0.0.0.0 nlri {A}",
        f"neighbor {ONE} {WITHDRAW} :: nlri {SIX}",
    ]


def test_routers_share_a_command_where_they_lack_the_same() -> None:
    bench = EgressBench()
    bench.want(1, A)
    bench.settle(str(ONE))
    bench.egress.router_up(TWO)
    bench.want(1, B, C)
    assert bench.lines()[:2] == [
        announce(1, f"{B} {C}", to=BOTH),
        announce(1, str(A), to=f"neighbor {TWO}"),
    ]


def doubtful_desk(*routers: str, group: str = "leaves") -> EgressBench:
    """A and B are in doubt, and the barrier has passed."""
    bench = EgressBench()
    bench.settle(*routers)
    bench.want(1, A, group=group)
    bench.want(2, B, group=group)
    bench.reply(len(bench.lines()))
    for router in routers:
        bench.egress.router_up(address(router))
    bench.reply(len(bench.lines()))
    for router in routers:
        bench.egress.end_of_rib_sent(address(router))
    bench.egress.counters.clear()
    return bench


def test_every_repetition_has_a_tag_of_its_own() -> None:
    bench = doubtful_desk(str(ONE))
    assert bench.lines() == [
        announce(1, str(A), more=f" local-preference {FIRST_TAG + 1}"),
        announce(2, str(B), more=f" local-preference {FIRST_TAG + 2}"),
    ]
    assert bench.egress.counters["repeated"] == 2


def test_toward_ibgp_one_flush_repeats_everything() -> None:
    bench = doubtful_desk("192.0.2.30", group="inside")
    to = "neighbor 192.0.2.30"
    assert bench.lines() == [
        announce(1, str(A), to=to),
        announce(2, str(B), to=to),
        f"{to} flush adj-rib out",
    ]
    assert bench.egress.counters == {"announced": 2, "repeated": 2, "commands": 3}


def test_without_doubt_nothing_is_flushed() -> None:
    bench = EgressBench()
    bench.settle("192.0.2.30")
    bench.want(1, A, group="inside")
    assert bench.lines() == [announce(1, str(A), to="neighbor 192.0.2.30")]


def test_after_an_error_nothing_is_written_before_all_replies_are_in() -> None:
    bench = EgressBench()
    bench.settle(str(ONE))
    bench.want(1, A)
    bench.want(2, B)
    assert len(bench.lines()) == 2
    bench.egress.replied(ok=False, now=3.0)
    bench.want(3, C)
    assert bench.lines(3.0) == []
    assert bench.egress.next_timer() == BARRIER_TIMEOUT_S, "only if a reply never comes"
    bench.reply(1)
    assert bench.egress.next_timer() == 3.0
    assert bench.lines(3.0)[0] == announce(3, str(C))


def test_errors_that_repeat_are_answered_at_intervals() -> None:
    bench = EgressBench()
    bench.settle(str(ONE))
    bench.want(1, A)
    bench.lines()
    bench.egress.replied(ok=False, now=3.0)
    (barrier,) = bench.lines(3.0)
    assert barrier == f"neighbor {ONE} announce eor ipv4 unicast"
    bench.egress.replied(ok=False, now=3.5)
    assert bench.egress.next_timer() == 3.0 + RECONCILE_INTERVAL_S
    assert bench.lines(3.0 + RECONCILE_INTERVAL_S - 0.1) == []
    assert bench.lines(3.0 + RECONCILE_INTERVAL_S) == [barrier]


def test_a_barrier_whose_reply_came_among_errors_is_in_doubt_too() -> None:
    bench = EgressBench()
    bench.egress.router_up(ONE)
    assert len(bench.lines()) == 2
    bench.egress.replied(ok=False, now=0.0)
    bench.reply(1)
    bench.egress.end_of_rib_sent(ONE)
    assert bench.egress.routers[ONE].phase is Phase.FILLING
    assert len(bench.lines()) == 2


@pytest.mark.parametrize(("replies", "more"), [(0, 0), (1, 1), (2, 3)])
def test_replies_make_room_while_a_router_fills(
    replies: int, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress_module, "WINDOW", 3)
    bench = EgressBench()
    bench.want(1, A)
    bench.want(2, B, C)
    bench.want(3, *prefixes("203.0.113.4 203.0.113.5 203.0.113.6"))
    bench.egress.router_up(ONE)
    assert bench.lines() == [announce(1, str(A)), announce(2, f"{B} {C}")]
    bench.reply(replies)
    assert sum(line.count("203.0.113.") for line in bench.lines()) == more


def test_only_prefixes_take_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_module, "WINDOW", 2)
    bench = EgressBench()
    bench.reply(1)  # of no command
    for router in ("192.0.2.30", str(ONE)):
        bench.egress.router_up(address(router))
        assert len(bench.lines()) == 2
    bench.want(1, A, B, C)
    bench.egress.router_up(TWO)
    assert bench.lines() == [announce(1, f"{A} {B}", to=BOTH)]


def test_a_flush_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = doubtful_desk("192.0.2.30", group="inside")
    monkeypatch.setattr(egress_module, "WINDOW", 3)
    assert len(bench.lines()) == 3
    bench.reply(2)
    bench.want(1, A, B, C)
    bench.egress.router_up(ONE)
    assert bench.lines()[0] == announce(1, f"{A} {B} {C}")


def test_lost_replies_give_their_room_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_module, "WINDOW", 2)
    bench = EgressBench()
    bench.want(1, A, B)
    bench.egress.router_up(ONE)
    bench.lines()
    bench.lines(BARRIER_TIMEOUT_S)
    bench.egress.router_up(TWO)
    assert bench.lines(BARRIER_TIMEOUT_S)[0] == announce(1, f"{A} {B}", to=f"neighbor {TWO}")


def test_replies_make_room_once_it_is_settled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_module, "WINDOW", 2)
    bench = EgressBench()
    bench.settle(str(ONE))
    bench.want(1, A, B, C)
    assert bench.lines() == [announce(1, f"{A} {B}")]
    assert bench.lines() == []
    bench.reply(1)
    assert bench.lines() == [announce(1, str(C))]


def full_desk(monkeypatch: pytest.MonkeyPatch, *announced: Prefix) -> EgressBench:
    """A bench with a settled router that has what was `told`; A and B are behind a barrier that
    ExaBGP has taken, and there is no room for more."""
    bench = EgressBench()
    bench.want(1, *announced)
    bench.settle(str(ONE))
    for module in (egress_module, router_module):
        monkeypatch.setattr(module, "WINDOW", 2)
    monkeypatch.setattr(router_module, "MAX_UNCONFIRMED", 2)
    bench.want(1, A, B)
    assert bench.lines() == [
        announce(1, f"{A} {B}"),
        f"neighbor {ONE} announce eor ipv4 unicast",
    ]
    bench.reply(2)
    return bench


def test_a_barrier_comes_before_too_much_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = full_desk(monkeypatch)
    bench.want(1, C)
    assert bench.lines() == []
    bench.egress.end_of_rib_sent(ONE)
    assert bench.lines() == [announce(1, str(C))]


def test_a_withdraw_waits_for_no_barrier_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = full_desk(monkeypatch, C)
    bench.drop(C)
    assert bench.lines() == [f"neighbor {ONE} {WITHDRAW} 0.0.0.0 nlri {C}"]


def test_withdraws_pause_so_that_a_barrier_can_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """ExaBGP sends no End-of-RIB while there is something else to send."""
    sent = prefixes("203.0.113.4 203.0.113.5 203.0.113.6")
    bench = full_desk(monkeypatch, *sent)
    bench.drop(*sent)
    assert bench.lines() == [f"neighbor {ONE} {WITHDRAW} 0.0.0.0 nlri {sent[0]} {sent[1]}"]
    bench.reply(1)
    assert bench.lines() == []
    bench.egress.end_of_rib_sent(ONE)
    assert f"{WITHDRAW} 0.0.0.0 nlri {sent[2]}" in bench.lines()[0]
