"""The egress against a model of ExaBGP that has its faults: routers always end right.

The same storms that leave a router wrong for ever under an egress that just writes what happens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

import pytest
from support.egress_samples import OWN_ASN, PREFIXES, A, B, C, attributes
from support.exabgp_model import ExaBGP

from rsfilter.exabgp import egress as egress_module
from rsfilter.exabgp import encode
from rsfilter.exabgp import router as router_module
from rsfilter.exabgp.egress import (
    BARRIER_AGAIN_S,
    BARRIER_TIMEOUT_S,
    IN_STEP_S,
    RECONCILE_INTERVAL_S,
    Egress,
)
from rsfilter.exabgp.router import MAX_UNCONFIRMED, WINDOW
from rsfilter.exabgp.router_states import Phase
from rsfilter.routing.export import Paths
from rsfilter.routing.groups import RouterGroup
from rsfilter.routing.model import IPV4, Address, Prefix, RouteKey

ROUTERS = [Address.parse("192.0.2.1"), Address.parse("192.0.2.2")]


class Machine(Protocol):
    """The part that the storm drives: the egress, or the naive one."""

    def changed(self, group: str, prefixes: Sequence[Prefix]) -> None: ...
    def router_up(self, address: Address) -> None: ...
    def router_down(self, address: Address) -> None: ...
    def end_of_rib_sent(self, router: Address) -> None: ...
    def replied(self, *, ok: bool, now: float) -> None: ...
    def commands(self, now: float) -> list[bytes]: ...


class Naive:
    """Writes every change as it happens, to every router: the naive way."""

    def __init__(self, desired: dict[Prefix, Paths], sent: dict[Prefix, Paths]) -> None:
        self.desired, self.sent, self.lines = desired, sent, list[bytes]()

    def changed(self, group: str, prefixes: Sequence[Prefix]) -> None:
        (prefix,) = prefixes
        before, after = self.sent.get(prefix, ()), self.desired.get(prefix, ())
        self.sent[prefix] = after
        for path_id, wanted in after:
            self.lines += [line for line, _ in encode.announce(ROUTERS, path_id, wanted, [prefix])]
        for path_id, _ in before:
            if path_id not in dict(after):
                lines = encode.withdraw(ROUTERS, path_id, prefix.family, [prefix])
                self.lines += [line for line, _ in lines]

    def router_up(self, address: Address) -> None: ...
    def router_down(self, address: Address) -> None: ...
    def end_of_rib_sent(self, router: Address) -> None: ...
    def replied(self, *, ok: bool, now: float) -> None: ...

    def commands(self, now: float) -> list[bytes]:
        lines, self.lines = self.lines, []
        return lines


class Storm:
    """Random changes, flaps and delays; afterwards silence until nothing moves any more."""

    def __init__(self, seed: int, *, all_paths: bool, flaps: bool, naive: bool = False) -> None:
        self.random = random.Random(seed)
        self.group = RouterGroup("leaves", tuple(ROUTERS), 65200, all_paths=all_paths)
        self.flaps = flaps
        self.desired: dict[Prefix, Paths] = {}
        self.exabgp = ExaBGP([str(router) for router in ROUTERS])
        self.now = 0.0
        if naive:
            self.egress: Machine = Naive(self.desired, {})
        else:
            self.egress = Egress(OWN_ASN, [self.group], lambda _: self.desired)
            self.egress.is_ready = True

    def change(self) -> None:
        prefix = self.random.choice(PREFIXES)
        hosts = self.random.sample(range(1, 4), self.random.randint(0, 2))
        if self.group.all_paths:
            paths = tuple((host, attributes(host)) for host in sorted(hosts))
        else:
            paths = tuple((0, attributes(host)) for host in hosts[:1])
        if paths:
            self.desired[prefix] = paths
        else:
            self.desired.pop(prefix, None)
        self.egress.changed("leaves", [prefix])

    def flap(self) -> None:
        router = self.random.choice(ROUTERS)
        peer = self.exabgp.peers[str(router)]
        if peer.is_up:
            peer.down(keeps_pending=self.random.random() < 0.5)
            self.egress.router_down(router)
        else:
            peer.up()
            self.egress.router_up(router)

    def loop(self) -> None:
        """One turn of either side; replies and End-of-RIBs are seen one turn late."""
        for ok in self.exabgp.write(self.egress.commands(self.now)):
            self.egress.replied(ok=ok, now=self.now)
        replies, sent = self.exabgp.run()
        for router in sent:
            self.egress.end_of_rib_sent(Address.parse(router))
        for ok in replies:
            self.egress.replied(ok=ok, now=self.now)
        self.now += 0.001

    def rage(self, changes: int) -> None:
        for router in ROUTERS:
            self.exabgp.peers[str(router)].up()
            self.egress.router_up(router)
        for _ in range(changes):
            self.change()
            if self.flaps and self.random.random() < 0.05:
                self.flap()
            if self.random.random() < 0.1:
                self.loop()
        for router in ROUTERS:
            if not self.exabgp.peers[str(router)].is_up:
                self.exabgp.peers[str(router)].up()
                self.egress.router_up(router)
        for _ in range(400):
            self.loop()
        self.now += 100.0  # a reconciliation after an error may still be due
        for _ in range(400):
            self.loop()

    def wrong(self) -> list[str]:
        """Return where a router differs from what it should have."""
        oracle = {}
        for prefix, paths in self.desired.items():
            for path_id, wanted in paths:
                line = next(encode.announce(ROUTERS[:1], 0, wanted, [prefix]))[0].decode()
                text = line.split("next-hop ")[1].split(" nlri")[0]
                oracle[(str(prefix), str(Address(IPV4, path_id)) if path_id else "")] = text
        return [name for name, peer in self.exabgp.peers.items() if peer.table != oracle]


@pytest.mark.parametrize("all_paths", [False, True], ids=["best", "all-paths"])
@pytest.mark.parametrize("flaps", [False, True], ids=["steady", "flapping"])
def test_routers_end_right_whatever_happened(all_paths: bool, flaps: bool) -> None:
    for seed in range(60):
        storm = Storm(seed, all_paths=all_paths, flaps=flaps)
        storm.rage(120)
        assert storm.wrong() == [], f"seed {seed}"


@pytest.mark.parametrize("flaps", [False, True], ids=["steady", "flapping"])
def test_routers_end_right_when_there_is_hardly_room(
    flaps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows, steps and barriers that 2,000 prefixes need happen with five of them."""
    for module in (router_module, egress_module):
        monkeypatch.setattr(module, "WINDOW", 2)
    monkeypatch.setattr(router_module, "MAX_UNCONFIRMED", 2)
    for module in (router_module, encode):
        monkeypatch.setattr(module, "BATCH", 1)
    for seed in range(60):
        storm = Storm(seed, all_paths=False, flaps=flaps)
        storm.rage(120)
        assert storm.wrong() == [], f"seed {seed}"


def test_the_same_storms_leave_routers_wrong_under_a_naive_egress() -> None:
    wrong = 0
    for seed in range(60):
        storm = Storm(seed, all_paths=False, flaps=False, naive=True)
        storm.rage(120)
        wrong += bool(storm.wrong())
    assert wrong > 30


# One rule at a time ------------------------------------------------------------------------------


def wants(bench: Rig | Heir, prefix: Prefix, host: int | None) -> None:
    """The best path of a prefix is this host's from now on, or there is none."""
    if host is None:
        bench.desired.pop(prefix, None)
    else:
        bench.desired[prefix] = ((0, attributes(host)),)
    bench.egress.changed("leaves", [prefix])


class Rig:
    """An egress with one router, and what it wrote."""

    def __init__(self, *, asn: int = 65200) -> None:
        self.desired: dict[Prefix, Paths] = {}
        self.egress = Egress(
            OWN_ASN, [RouterGroup("leaves", (ROUTERS[0],), asn)], lambda _: self.desired
        )
        self.egress.is_ready = True
        self.state = self.egress.routers[ROUTERS[0]]

    def want(self, prefix: Prefix, host: int | None) -> None:
        wants(self, prefix, host)

    def lines(self, now: float = 0.0) -> list[str]:
        """Return the lines that are written now."""
        return [line.decode().strip() for line in self.egress.commands(now)]

    def reply(self, count: int = 1) -> None:
        for _ in range(count):
            self.egress.replied(ok=True, now=0.0)

    def end_of_rib(self) -> None:
        self.egress.end_of_rib_sent(ROUTERS[0])

    def pass_barrier(self, lines: list[str]) -> None:
        """ExaBGP takes these lines, and sends the End-of-RIBs among them."""
        self.reply(len(lines))
        for _ in range(sum("announce eor" in line for line in lines)):
            self.end_of_rib()

    def settle(self) -> None:
        self.egress.router_up(ROUTERS[0])
        while not self.state.is_idle:
            self.pass_barrier(self.lines())


def has(lines: list[str], *words: str) -> bool:
    return any(all(word in line for word in words) for line in lines)


def test_nothing_is_sent_to_a_router_that_is_down() -> None:
    rig = Rig()
    rig.want(A, 1)
    assert rig.lines() == []


def test_a_router_is_filled_with_announcements_then_both_end_of_ribs() -> None:
    rig = Rig()
    rig.want(A, 1)
    rig.egress.router_up(ROUTERS[0])
    assert rig.lines() == [
        "neighbor 192.0.2.1 announce attributes next-hop 198.51.100.1 as-path [ 65001 ] origin igp "
        "nlri 203.0.113.0/32",
        "neighbor 192.0.2.1 announce eor ipv4 unicast",
        "neighbor 192.0.2.1 announce eor ipv6 unicast",
    ]
    rig.reply(1)
    rig.end_of_rib()
    assert rig.state.phase is Phase.FILLING


def test_nothing_is_withdrawn_and_no_end_of_rib_sent_before_ready() -> None:
    rig = Rig()
    rig.egress.is_ready = False
    rig.egress.adopt(ROUTERS[0], B, 0)
    rig.want(A, 1)
    rig.egress.router_up(ROUTERS[0])
    lines = rig.lines()
    assert has(lines, "announce attributes", str(A))
    assert len(lines) == 1
    rig.egress.is_ready = True
    lines = rig.lines()
    assert has(lines, "announce eor")
    rig.reply(1)  # to the announcement
    rig.pass_barrier(lines)
    assert has(rig.lines(), "withdraw attributes", str(B))


class Heir:
    """ExaBGP and a router that hangs, and one filter's egress after the other."""

    def __init__(self, asn: int) -> None:
        self.group = RouterGroup("leaves", (ROUTERS[0],), asn)
        self.desired: dict[Prefix, Paths] = {}
        self.exabgp = ExaBGP([str(ROUTERS[0])])
        self.peer = self.exabgp.peers[str(ROUTERS[0])]
        self.now = 0.0
        self.peer.up()
        self.start()

    def start(self) -> None:
        self.egress = Egress(OWN_ASN, [self.group], lambda _: self.desired)
        self.egress.is_ready = True
        self.egress.router_up(ROUTERS[0])

    def inherit(self) -> None:
        """Another process finds what ExaBGP has, and what was written down."""
        before = self.egress.inherited
        self.start()
        self.egress.inherit(ROUTERS[0])
        for prefix, _ in self.peer.cache:
            is_doubtful = ROUTERS[0] in before
            self.egress.adopt(ROUTERS[0], Prefix.parse(prefix), 0, is_doubtful=is_doubtful)

    def want(self, prefix: Prefix, host: int | None) -> None:
        wants(self, prefix, host)
        self.work(0.05)

    def hang(self) -> None:
        self.exabgp.hung_until[str(ROUTERS[0])] = self.now + 1.0

    def work(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += 0.001
            refused = self.exabgp.write(self.egress.commands(self.now))
            replies, ends = self.exabgp.run(self.now)
            sent = [RouteKey(ROUTERS[0], Prefix.parse(key[0]), 0) for key, _ in self.peer.sent]
            self.peer.sent.clear()
            if self.egress.is_inherited(ROUTERS[0]):
                self.egress.update_sent(ROUTERS[0], sent)
            for _ in ends:
                self.egress.end_of_rib_sent(ROUTERS[0])
            for ok in (*refused, *replies):
                self.egress.replied(ok=ok, now=self.now)

    def table(self) -> dict[str, str]:
        return {prefix: text.split()[0] for (prefix, _), text in self.peer.table.items()}


@pytest.mark.parametrize("asn", [65200, OWN_ASN], ids=["eBGP", "iBGP"])
@pytest.mark.parametrize("before", [1, None], ids=["announced", "withdrawn"])
def test_what_a_dead_process_left_unsent_does_not_stay(before: int | None, asn: int) -> None:
    """The old change is sent after the next process's of the same prefix, if its bucket was there
    first."""
    heir = Heir(asn)
    heir.want(A, 1 if before is None else None)
    heir.want(C, 9)
    heir.hang()
    heir.want(C, 8)  # is being sent, and all that follows waits
    heir.want(B, 2)
    heir.want(A, before)
    assert heir.peer.pending
    heir.inherit()
    heir.want(A, 2)
    assert heir.peer.pending
    heir.work(3.0)
    assert heir.table() == {str(A): "198.51.100.2", str(B): "198.51.100.2", str(C): "198.51.100.8"}
    assert heir.egress.routers[ROUTERS[0]].is_idle


@pytest.mark.parametrize("asn", [65200, OWN_ASN], ids=["eBGP", "iBGP"])
def test_what_two_dead_processes_sent_is_sent_again(asn: int) -> None:
    """The second one dies before its first barrier, after ExaBGP has sent the changes of both in an
    order that the third has not seen."""
    heir = Heir(asn)
    heir.want(C, 9)
    heir.hang()
    heir.want(C, 8)  # is being sent, and all that follows waits
    heir.want(B, 2)
    heir.want(A, 1)
    heir.inherit()
    heir.want(A, 2)  # in the bucket of B, which was there first
    assert heir.egress.inherited
    for _ in range(3000):
        if not heir.peer.pending and not heir.peer.sending:
            break
        heir.now += 0.001
        heir.exabgp.run(heir.now)  # what it shows of this goes to a process that is dead
    heir.peer.sent.clear()
    assert heir.table()[str(A)] == "198.51.100.1", "the wrong one"
    heir.inherit()
    heir.work(3.0)
    assert heir.table() == {str(A): "198.51.100.2", str(B): "198.51.100.2", str(C): "198.51.100.8"}
    assert not heir.egress.inherited
    heir.inherit()
    heir.work(1.0)
    assert heir.egress.counters["repeated"] == 0, "what is settled is not told again"


def test_a_restart_repeats_nothing() -> None:
    heir = Heir(65200)
    for prefix in (A, B, C):
        heir.want(prefix, 1)
    heir.inherit()
    heir.want(B, 2)
    heir.work(3.0)
    assert heir.table() == dict(
        zip(map(str, (A, B, C)), ("198.51.100.1", "198.51.100.2", "198.51.100.1"), strict=True)
    )
    assert heir.egress.counters["repeated"] == 0


def test_a_second_change_waits_for_the_barrier_and_only_the_newest_is_sent() -> None:
    rig = Rig()
    rig.settle()
    rig.want(A, 1)
    first = rig.lines()
    assert has(first, "announce attributes", "198.51.100.1")
    rig.want(A, 2)
    barrier = rig.lines()
    assert barrier == ["neighbor 192.0.2.1 announce eor ipv4 unicast"]
    for host in (None, 3):
        rig.want(A, host)
        assert rig.lines() == []
    rig.pass_barrier(first + barrier)
    lines = rig.lines()
    assert has(lines, "announce attributes", "198.51.100.3")
    assert not has(lines, "198.51.100.2")
    assert not has(lines, "withdraw")


def test_a_change_that_is_undone_before_the_barrier_costs_nothing() -> None:
    rig = Rig()
    rig.settle()
    rig.want(A, 1)
    lines = rig.lines()
    rig.want(A, 2)
    lines += rig.lines()
    rig.want(A, 1)
    rig.pass_barrier(lines)
    assert rig.lines() == []


def test_other_prefixes_do_not_wait_for_the_barrier() -> None:
    rig = Rig()
    rig.settle()
    rig.want(A, 1)
    rig.lines()
    rig.want(B, 1)
    assert has(rig.lines(), "announce attributes", str(B))


def test_an_end_of_rib_counts_only_from_the_reply_to_its_command_on() -> None:
    rig = Rig()
    rig.settle()
    rig.want(A, 1)
    rig.lines()
    rig.want(A, 2)
    rig.lines()
    rig.end_of_rib()  # left over from an earlier session
    assert rig.lines() == []
    rig.reply(2)
    lines = rig.lines()
    assert lines == ["neighbor 192.0.2.1 announce eor ipv4 unicast"], "which one it was is unknown"
    rig.pass_barrier(lines)
    assert has(rig.lines(), "announce attributes", "198.51.100.2")


def test_only_negotiated_families_are_sent() -> None:
    rig = Rig()
    rig.egress.opened(ROUTERS[0], frozenset({6}), frozenset())
    rig.want(A, 1)
    rig.want(PREFIXES[4], 1)
    rig.egress.router_up(ROUTERS[0])
    lines = rig.lines()
    assert has(lines, "announce attributes", "2001:db8::1/128")
    assert not has(lines, str(A))
    assert lines[-1] == "neighbor 192.0.2.1 announce eor ipv6 unicast"


def test_a_router_without_add_path_gets_the_best_of_all_paths() -> None:
    desired: dict[Prefix, Paths] = {A: ((7, attributes(2)), (5, attributes(1)))}
    group = RouterGroup("leaves", tuple(ROUTERS[:1]), 65200, all_paths=True)
    egress = Egress(OWN_ASN, [group], lambda _: desired)
    egress.opened(ROUTERS[0], frozenset({4, 6}), frozenset({6}))
    egress.router_up(ROUTERS[0])
    (line,) = egress.commands(0.0)
    assert b"198.51.100.2" in line
    assert b"path-information" not in line


def test_what_was_under_way_when_the_session_ended_is_sent_again_behind_a_barrier() -> None:
    rig = Rig()
    rig.settle()
    rig.want(A, 1)
    rig.want(B, 1)
    rig.lines()
    rig.egress.router_down(ROUTERS[0])
    rig.want(B, None)
    rig.egress.router_up(ROUTERS[0])
    again = rig.lines()
    assert not has(again, "attributes")
    rig.reply(1)  # to what was written before
    rig.pass_barrier(again)
    lines = rig.lines()
    assert has(lines, "announce attributes", "local-preference", str(A))
    assert has(lines, "withdraw attributes", str(B))


def test_toward_ibgp_routers_a_repetition_is_a_flush_and_no_tag_is_seen() -> None:
    rig = Rig(asn=OWN_ASN)
    rig.settle()
    rig.want(A, 1)
    rig.lines()
    rig.egress.router_down(ROUTERS[0])
    rig.egress.router_up(ROUTERS[0])
    rig.reply(1)  # to what was written before
    rig.pass_barrier(rig.lines())
    lines = rig.lines()
    assert "neighbor 192.0.2.1 flush adj-rib out" in lines
    assert not has(lines, "local-preference")


def test_after_an_error_everything_under_way_is_sent_again_when_all_replies_are_in() -> None:
    rig = Rig()
    rig.settle()
    rig.want(A, 1)
    rig.lines()
    rig.want(B, 1)
    rig.lines()
    rig.egress.replied(ok=False, now=1.0)
    assert rig.egress.counters["errors"] == 1
    rig.end_of_rib()
    assert rig.lines(1.0) == [], "a reply is still to come: whose it is nobody knows"
    rig.reply(1)
    barrier = rig.lines(1.0)
    assert barrier == ["neighbor 192.0.2.1 announce eor ipv4 unicast"]
    rig.pass_barrier(barrier)
    assert has(rig.lines(1.0), "announce attributes", "local-preference", str(A))


def test_a_host_is_requested_to_repeat_itself_once_commands_may_be_written() -> None:
    rig = Rig()
    rig.settle()
    rig.want(A, 1)
    rig.lines()
    rig.egress.request_refresh(Address.parse("198.51.100.7"), IPV4)
    rig.egress.replied(ok=False, now=1.0)
    requested = "neighbor 198.51.100.7 announce route-refresh ipv4 unicast"
    lines = rig.lines(1.0)
    assert lines.count(requested) == 1
    assert rig.egress.unanswered == len(lines)
    rig.pass_barrier(lines)
    assert requested not in rig.lines(2.0)


def test_a_command_that_is_always_refused_is_no_loop() -> None:
    rig = Rig()
    rig.settle()
    for at in (1.0, 2.0):
        rig.want(A, int(at))
        lines = rig.lines(at)
        assert lines
        for _ in lines:
            rig.egress.replied(ok=False, now=at)
    assert rig.lines(2.0) == []
    assert rig.egress.next_timer() == 7.0
    assert rig.lines(7.0) != []


@pytest.mark.parametrize("is_removed", [False, True])
def test_the_loss_of_a_session_explains_an_error_without_a_wait(is_removed: bool) -> None:
    """ExaBGP reports that a router is down before it refuses what was written for it."""
    rig = Rig()
    for at in (1.0, 2.0, 3.0):
        rig.egress.router_up(ROUTERS[0])
        assert has(rig.lines(at), "announce eor")
        rig.egress.router_down(ROUTERS[0], is_removed=is_removed)
        while rig.egress.unanswered:
            rig.egress.replied(ok=False, now=at)
        assert rig.egress.next_timer() == at
        assert rig.lines(at) == []
        assert rig.egress.next_timer() is None


def test_a_host_that_is_down_is_not_requested_and_its_error_is_expected() -> None:
    host = Address.parse("198.51.100.7")
    rig = Rig()
    rig.settle()
    for at in (1.0, 2.0):
        rig.egress.request_refresh(host, IPV4)
        assert has(rig.lines(at), "route-refresh")
        rig.egress.host_down(host)
        rig.egress.replied(ok=False, now=at)
        rig.egress.request_refresh(host, IPV4)
        rig.egress.host_down(host)
        assert not has(rig.lines(at), "route-refresh")
        assert rig.egress.next_timer() is None


def test_an_excuse_is_for_what_was_written_before_the_loss() -> None:
    rig = Rig()
    rig.settle()
    rig.egress.router_down(ROUTERS[0])
    rig.egress.router_up(ROUTERS[0])
    for at in (1.0, 2.0):
        for _ in rig.lines(at):
            rig.egress.replied(ok=False, now=at)
    assert rig.egress.next_timer() == 2.0 + RECONCILE_INTERVAL_S


def test_a_lost_barrier_is_counted_and_another_one_is_sent() -> None:
    rig = Rig()
    rig.settle()
    rig.want(A, 1)
    rig.lines(10.0)
    rig.want(A, 2)
    rig.lines(10.0)
    assert rig.egress.next_timer() == 10.0 + BARRIER_TIMEOUT_S
    lines = rig.lines(10.0 + BARRIER_TIMEOUT_S)
    assert rig.egress.counters["barriers_lost"] == 1
    assert lines == ["neighbor 192.0.2.1 announce eor ipv4 unicast"]


def test_an_isolated_change_needs_no_barrier() -> None:
    rig = Rig()
    rig.settle()
    rig.want(A, 1)
    assert not has(rig.lines(), "announce eor")
    assert rig.lines() == []


def test_a_reload_between_the_real_end_of_ribs_loses_none() -> None:
    """ExaBGP has shown that of IPv4, and drops the other: the router would keep stale routes."""
    rig = Rig()
    rig.egress.router_up(ROUTERS[0])
    assert [line[-12:] for line in rig.lines(1.0)] == ["ipv4 unicast", "ipv6 unicast"]
    rig.reply(2)
    rig.egress.end_of_rib_sent(ROUTERS[0], 4)
    assert rig.state.is_idle
    assert rig.egress.next_timer() == BARRIER_AGAIN_S
    assert rig.lines(BARRIER_AGAIN_S) == ["neighbor 192.0.2.1 announce eor ipv6 unicast"]
    rig.reply()
    rig.egress.end_of_rib_sent(ROUTERS[0], 4)  # a barrier's
    assert rig.egress.next_timer() == 3 * BARRIER_AGAIN_S
    rig.egress.end_of_rib_sent(ROUTERS[0], 6)
    assert rig.egress.next_timer() is None
    assert rig.lines(100.0) == []


def test_a_removed_router_is_forgotten() -> None:
    rig = Rig()
    rig.want(A, 1)
    rig.settle()
    rig.egress.router_down(ROUTERS[0], is_removed=True)
    rig.egress.router_up(ROUTERS[0])
    assert has(rig.lines(), "announce attributes", str(A))


def announced(lines: list[str]) -> int:
    return sum(len(line.split(" nlri ")[1].split()) for line in lines if " nlri " in line)


def test_a_full_table_is_sent_in_windows_and_a_withdraw_overtakes_it() -> None:
    rig = Rig()
    rig.want(A, 1)
    rig.settle()
    for value in range(3 * WINDOW):
        rig.want(Prefix(IPV4, 0x0A000000 + value, 32), 1)
    assert announced(rig.lines()) == WINDOW
    assert rig.lines() == []
    rig.want(A, None)
    rig.reply()
    lines = rig.lines()
    assert has(lines, "withdraw", str(A))
    assert announced(lines) == encode.BATCH


def test_a_path_that_lives_only_while_a_router_is_blocked_is_not_remembered() -> None:
    """A host that owns a /64 could otherwise make us keep each address that it ever announced."""
    rig = Rig()
    rig.settle()
    for value in range(WINDOW):
        rig.want(Prefix(IPV4, 0x0A000000 + value, 32), 1)
    first = rig.lines()
    assert announced(first) == WINDOW
    for value in range(1000):
        fleeting = Prefix(IPV4, 0x0B000000 + value, 32)
        rig.want(fleeting, 1)
        rig.want(fleeting, None)
    rig.want(A, 1)
    assert list(rig.state._pending.fresh) == [A]


def test_replies_bound_what_is_outstanding_while_a_router_is_filled() -> None:
    rig = Rig()
    for value in range(3 * WINDOW):
        rig.want(Prefix(IPV4, 0x0A000000 + value, 32), 1)
    rig.egress.router_up(ROUTERS[0])
    first = rig.lines()
    assert announced(first) == WINDOW
    rig.egress.replied(ok=True, now=0.0)
    assert announced(rig.lines()) == encode.BATCH


def test_routers_that_want_the_same_share_a_command() -> None:
    desired: dict[Prefix, Paths] = {A: ((0, attributes(1)),)}
    egress = Egress(OWN_ASN, [RouterGroup("leaves", tuple(ROUTERS), 65200)], lambda _: desired)
    for router in ROUTERS:
        egress.router_up(router)
    lines = egress.commands(0.0)
    assert lines[0].startswith(b"neighbor 192.0.2.1 , neighbor 192.0.2.2 announce attributes ")
    assert len(lines) == 1


class Pair:
    """Two settled routers of a group, each with a barrier under way, and `count` new prefixes that
    wait for it."""

    def __init__(self, count: int = 2 * WINDOW) -> None:
        self.desired: dict[Prefix, Paths] = {A: ((0, attributes(1)),)}
        self.egress = Egress(
            OWN_ASN, [RouterGroup("leaves", tuple(ROUTERS), 65200)], lambda _: self.desired
        )
        self.egress.is_ready = True
        for router in ROUTERS:
            self.egress.router_up(router)
        self.taken(self.egress.commands(0.0))
        for _ in range(2):  # both families
            self.end_of_ribs(ROUTERS)
        for value in range(MAX_UNCONFIRMED + count):
            self.wants(Prefix(IPV4, 0x0A000000 + value, 32), 1)
        while not self.egress.routers[ROUTERS[0]].is_waiting:
            self.taken(self.egress.commands(1.0))

    def wants(self, prefix: Prefix, host: int) -> None:
        self.desired[prefix] = ((0, attributes(host)),)
        self.egress.changed("leaves", [prefix])

    def taken(self, lines: list[bytes]) -> None:
        for _ in lines:
            self.egress.replied(ok=True, now=1.0)

    def end_of_ribs(self, routers: list[Address]) -> None:
        for router in routers:
            self.egress.end_of_rib_sent(router)


def test_routers_that_are_sent_a_table_stay_in_step() -> None:
    """ExaBGP parses a command once, whatever the number of its routers."""
    pair = Pair()
    pair.end_of_ribs(ROUTERS[:1])
    assert pair.egress.commands(1.1) == []
    pair.end_of_ribs(ROUTERS[1:])
    lines = [line.decode() for line in pair.egress.commands(1.2)]
    announcements = [line for line in lines if " nlri " in line]
    assert announced(announcements) == WINDOW
    assert all(line.startswith("neighbor 192.0.2.1 , neighbor 192") for line in announcements)


def test_an_urgent_change_waits_neither_for_the_step_nor_for_a_barrier() -> None:
    pair = Pair()
    pair.end_of_ribs(ROUTERS[:1])
    pair.wants(A, 2)
    (line,) = [line.decode() for line in pair.egress.commands(1.1) if b" nlri " in line]
    assert line.startswith("neighbor 192.0.2.1 , neighbor 192.0.2.2 announce")
    assert line.endswith(f"nlri {A}\n")


def test_a_few_new_prefixes_do_not_wait_for_the_step() -> None:
    pair = Pair(encode.BATCH)
    pair.end_of_ribs(ROUTERS[:1])
    (line,) = [line.decode() for line in pair.egress.commands(1.1) if b" nlri " in line]
    assert line.startswith("neighbor 192.0.2.1 announce")
    assert announced([line]) == encode.BATCH


def test_a_router_that_hangs_holds_up_the_others_for_seconds_only() -> None:
    pair = Pair()
    pair.end_of_ribs(ROUTERS[:1])
    assert pair.egress.commands(1.1) == []
    assert pair.egress.next_timer() == 1.0 + IN_STEP_S
    lines = [line.decode() for line in pair.egress.commands(1.0 + IN_STEP_S)]
    announcements = [line for line in lines if " nlri " in line]
    assert announced(announcements) == WINDOW
    assert all(line.startswith("neighbor 192.0.2.1 announce") for line in announcements)


def test_a_router_that_is_filled_leaves_room_for_what_is_new_at_another() -> None:
    """Each path has attributes of its own, so a command has one prefix: a reply makes room for one.
    A router that waits for room for a whole command would wait for the other's table."""
    desired: dict[Prefix, Paths] = {}
    egress = Egress(OWN_ASN, [RouterGroup("leaves", tuple(ROUTERS), 65200)], lambda _: desired)
    egress.is_ready = True
    settled, filled = ROUTERS
    for med in range(3 * WINDOW):
        desired[Prefix(IPV4, 0x0A000000 + med, 32)] = ((0, attributes(1, med)),)
    egress.router_up(settled)
    while not egress.routers[settled].is_idle:
        for _ in egress.commands(1.0):
            egress.replied(ok=True, now=1.0)
        egress.end_of_rib_sent(settled)
    egress.router_up(filled)
    egress.commands(2.0)
    new = [Prefix(IPV4, 0x0B000000 + value, 32) for value in range(2 * encode.BATCH)]
    for prefix in new:
        desired[prefix] = ((0, attributes(2)),)
        egress.changed("leaves", [prefix])
    lines: list[str] = []
    for _ in range(WINDOW):
        egress.replied(ok=True, now=2.0)
        lines += [line.decode() for line in egress.commands(2.0)]
    sent = [line for line in lines if line.startswith(f"neighbor {settled} ")]
    assert announced(sent) == len(new)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"med": 0}, "med 0"),
        ({"communities": ((65005, 1), (65535, 0))}, "community [ 65005:1 65535:0 ]"),
        ({"large_communities": ((4200000000, 1, 2),)}, "large-community [ 4200000000:1:2 ]"),
        ({"extended_communities": (0x0002FDED00000064,)}, "[ 0x0002fded00000064 ]"),
        ({"as_path": (65100, 65005)}, "as-path [ 65100 65005 ]"),
        ({"origin": "incomplete"}, "origin incomplete"),
    ],
)
def test_attributes_are_written_into_a_command(extra: dict[str, object], words: str) -> None:
    line, count = next(encode.announce(ROUTERS[:1], 0, attributes(1)._replace(**extra), [A]))
    assert words in line.decode()
    assert count == 1


def test_a_path_id_is_written_as_a_dotted_quad() -> None:
    line, _ = next(encode.withdraw(ROUTERS[:1], 0xC6336401, 4, [A]))
    assert line == (
        b"neighbor 192.0.2.1 withdraw attributes next-hop 0.0.0.0 "
        b"path-information 198.51.100.1 nlri 203.0.113.0/32\n"
    )
