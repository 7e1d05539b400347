"""Turns of peers in ExaBGP's loop, and how long it may sleep: by a virtual clock."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from exabgp.bgp.fsm import FSM
from exabgp.reactor.peer import ACTION

from rsfilter.speaker import rules as rules_module
from rsfilter.speaker import turns as turns_module
from rsfilter.speaker.accepting import Index
from rsfilter.speaker.poller import READABLE, WRITABLE, Poller
from rsfilter.speaker.rules import LONGEST_SLEEP_S, Rules
from rsfilter.speaker.turns import PATIENCE, QUIET_TURNS, PeerState, Turns

NOON = 1_000_000.0
HOLD_S = 90
KEEPALIVE_S = 30


class Clock:
    """Time, as it is set."""

    def __init__(self) -> None:
        self.now = NOON

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock() -> Iterator[Clock]:
    made = Clock()
    with (
        mock.patch.object(turns_module, "time", made),
        mock.patch.object(rules_module, "time", made),
    ):
        yield made


class Stage:
    """A reactor without a network."""

    def __init__(self) -> None:
        self.reactor = mock.Mock(_sleep_time=0.01, _peers={}, _stopping=False)
        self.reactor.asynchronous.ready.return_value = True
        self.reactor.signal.received = 0
        self.turns = Turns(self.reactor, Rules())
        self.turns.poller = mock.Mock()
        self.watched: dict[Any, int] = {}
        self.turns.poller.watch.side_effect = self.watched.__setitem__

    def peer(self, name: str = "one", state: int = FSM.ESTABLISHED, **settings: Any) -> Any:
        """A peer with a session, of which nothing is pending."""
        peer = mock.Mock(_teardown=None, name=name)
        peer.stopping.return_value = False
        peer.turns = PeerState()
        peer.fsm.state = state
        outgoing = SimpleNamespace(pending=lambda: False, resting=None)
        values = {"rate-limit": 0, "passive": True, "capability": {"route-refresh": True}}
        peer.neighbor = mock.MagicMock(generated=False, eor=[], messages=[], refresh=[])
        peer.neighbor.__getitem__.side_effect = {**values, **settings}.__getitem__
        peer.neighbor.rib.outgoing = outgoing
        peer.proto.connection.blocked = False
        peer.proto.fd.return_value = 7
        peer.recv_timer = mock.Mock(last_read=int(NOON), holdtime=HOLD_S)
        peer.proto.send_timer = mock.Mock(last_sent=int(NOON), keepalive=KEEPALIVE_S)
        self.reactor._peers[name] = peer
        self.turns.wake(peer)
        return peer

    def has_turn(self, peer: Any, action: int | None = ACTION.LATER) -> bool:
        """Return whether the peer gets a turn in this round; the turn ends with `action`."""
        keys = self.turns.next()
        if not any(self.reactor._peers[key] is peer for key in keys):
            return False
        self.turns.after(peer, action)
        return True

    def rests(self, peer: Any) -> int:
        """Give turns until it rests; how many it took."""
        count = 0
        while self.has_turn(peer):
            count += 1
            assert count < 10
        return count


@pytest.fixture
def stage(clock: Clock) -> Stage:
    return Stage()


def test_a_peer_with_nothing_to_do_rests_after_some_turns(stage: Stage) -> None:
    peer = stage.peer()
    assert stage.rests(peer) == QUIET_TURNS + 1
    assert stage.watched == {peer: READABLE}


@pytest.mark.parametrize("state", [FSM.CONNECT, FSM.OPENSENT, FSM.OPENCONFIRM, FSM.ESTABLISHED])
def test_a_session_rests_wherever_it_waits_for_its_neighbor(stage: Stage, state: int) -> None:
    assert stage.rests(stage.peer(state=state)) == QUIET_TURNS + 1


@pytest.mark.parametrize("state", [FSM.IDLE, FSM.ACTIVE])
def test_what_connects_is_as_quick_as_an_idle_exabgp(
    stage: Stage, clock: Clock, state: int
) -> None:
    peer = stage.peer(state=state)
    peer.proto = None
    peer.neighbor.__getitem__.side_effect = {"rate-limit": 0, "passive": False}.__getitem__
    peer.generator = iter(())
    assert stage.has_turn(peer)
    assert stage.turns.timeout() == pytest.approx(0.0)
    assert stage.has_turn(peer)
    assert not stage.has_turn(peer)
    assert stage.turns.timeout() == pytest.approx(0.01)
    clock.now += 0.01
    assert stage.has_turn(peer)


def test_an_awaited_keepalive_requests_turns_but_gets_none(stage: Stage) -> None:
    peer = stage.peer(state=FSM.OPENCONFIRM)
    turns = 0
    while stage.has_turn(peer, ACTION.NOW):
        turns += 1
    assert turns == QUIET_TURNS + 1


def test_a_peer_that_requests_the_next_turn_gets_it(stage: Stage) -> None:
    peer = stage.peer()
    for _ in range(50):
        assert stage.has_turn(peer, ACTION.NOW)
        assert stage.turns.timeout() == 0.0


@pytest.mark.parametrize("what", ["eor", "messages", "refresh", "routes", "teardown"])
def test_a_peer_that_has_something_pending_does_not_rest(stage: Stage, what: str) -> None:
    peer = stage.peer()
    stage.rests(peer)
    stage.turns.wake(peer)
    if what == "routes":
        peer.neighbor.rib.outgoing.pending = lambda: True
    elif what == "teardown":
        peer._teardown = 3
    else:
        setattr(peer.neighbor, what, ["something"])
    for _ in range(PATIENCE):
        assert stage.has_turn(peer)


def test_a_refresh_that_is_never_sent_keeps_no_session_awake(stage: Stage) -> None:
    peer = stage.peer(capability={"route-refresh": False})
    peer.neighbor.refresh = ["something"]
    stage.rests(peer)


def test_an_unknown_state_costs_no_more_than_in_an_idle_exabgp(stage: Stage, clock: Clock) -> None:
    peer = stage.peer()
    peer.neighbor.eor = ["for ever"]
    for _ in range(PATIENCE + 1):
        assert stage.has_turn(peer)
    assert stage.turns.timeout() == pytest.approx(0.0)
    assert stage.has_turn(peer)  # as a slow one
    assert not stage.has_turn(peer)
    clock.now += 0.01
    assert stage.has_turn(peer)


def test_a_rib_and_a_neighbor_know_who_rests(stage: Stage) -> None:
    peer = stage.peer()
    stage.rests(peer)
    assert peer.neighbor.rib.outgoing.resting == {peer}
    assert peer.neighbor.resting is peer


def test_a_stuck_message_waits_for_room_and_for_no_route(stage: Stage) -> None:
    peer = stage.peer()
    peer.proto.connection.blocked = True
    assert stage.has_turn(peer, ACTION.NOW)
    assert not stage.has_turn(peer)
    assert stage.watched == {peer: READABLE | WRITABLE}
    assert peer.neighbor.rib.outgoing.resting is None


def test_keepalives_and_hold_timers_wake_to_the_second(stage: Stage, clock: Clock) -> None:
    peer = stage.peer()
    stage.rests(peer)
    clock.now = NOON + KEEPALIVE_S - 0.25
    assert stage.turns.timeout() == pytest.approx(0.25)
    assert not stage.has_turn(peer)
    clock.now = NOON + KEEPALIVE_S
    assert stage.has_turn(peer)
    peer.proto.send_timer.last_sent = int(clock.now)
    stage.rests(peer)
    peer.proto.send_timer.keepalive = 10_000
    for moment in (KEEPALIVE_S * 2, HOLD_S + 0.9):
        clock.now = NOON + moment
        assert not stage.has_turn(peer)
    clock.now = NOON + HOLD_S + 1
    assert stage.has_turn(peer)


def test_what_was_received_meanwhile_moves_the_deadline(stage: Stage, clock: Clock) -> None:
    peer = stage.peer()
    peer.proto.send_timer.keepalive = 0
    stage.rests(peer)
    peer.recv_timer.last_read += 60
    clock.now = NOON + HOLD_S + 1
    assert not stage.has_turn(peer)
    clock.now += 60
    assert stage.has_turn(peer)


def test_a_session_without_timers_rests_until_something_happens(stage: Stage, clock: Clock) -> None:
    peer = stage.peer()
    peer.recv_timer.holdtime = peer.proto.send_timer.keepalive = 0
    stage.rests(peer)
    clock.now += 500
    assert not stage.has_turn(peer)
    stage.turns.wake(peer)
    assert stage.has_turn(peer)


def test_a_handshake_is_checked_each_second(stage: Stage, clock: Clock) -> None:
    peer = stage.peer(state=FSM.OPENSENT)
    stage.rests(peer)
    clock.now += LONGEST_SLEEP_S - 0.01
    assert not stage.has_turn(peer)
    clock.now += 0.02
    assert stage.has_turn(peer)


def test_a_connect_delay_is_waited_for(stage: Stage, clock: Clock) -> None:
    peer = stage.peer(state=FSM.IDLE, passive=False)
    peer.proto = peer.generator = None
    peer._delay._time = NOON + 5
    assert stage.has_turn(peer)
    clock.now = NOON + 4.9
    assert not stage.has_turn(peer)
    clock.now = NOON + 5
    assert stage.has_turn(peer)


def test_a_passive_peer_without_a_connection_has_no_turn(stage: Stage) -> None:
    peer = stage.peer()
    peer.proto = None
    assert not stage.has_turn(peer)
    assert stage.turns.timeout() == LONGEST_SLEEP_S
    peer.stopping.return_value = True
    stage.turns.wake(peer)
    assert stage.has_turn(peer)


def test_a_peer_that_is_limited_or_of_a_range_never_rests(stage: Stage, clock: Clock) -> None:
    limited = stage.peer(**{"rate-limit": 10})
    generated = stage.peer("two")
    generated.neighbor.generated = True
    for _ in range(20):
        assert stage.has_turn(limited)
        stage.turns.wake(generated)
        assert stage.has_turn(generated)
        clock.now += 0.01
    assert stage.watched == {}


def test_a_peer_that_is_refused_its_turn_does_not_spin(stage: Stage, clock: Clock) -> None:
    limited = stage.peer(**{"rate-limit": 1})
    assert stage.turns.next()  # and ExaBGP's loop passes it over
    assert stage.turns.timeout() == pytest.approx(0.0)
    assert stage.turns.next()
    assert stage.turns.timeout() == pytest.approx(0.01)
    assert limited.turns.due is None


def test_a_peer_that_was_closed_or_removed_is_forgotten(stage: Stage, clock: Clock) -> None:
    closed, removed = stage.peer("closed"), stage.peer("removed")
    stage.rests(closed)
    stage.turns.wake(closed)
    assert stage.has_turn(closed, ACTION.CLOSE)
    del stage.reactor._peers["removed"]
    assert "removed" not in stage.turns.next()
    clock.now += 10_000
    assert removed.turns.key is None or removed not in stage.turns._hurried
    assert not stage.has_turn(closed)


def test_nothing_sleeps_while_there_is_work(stage: Stage) -> None:
    assert stage.turns.timeout() == LONGEST_SLEEP_S
    stage.reactor.asynchronous.ready.return_value = False
    assert stage.turns.timeout() == 0.0
    stage.reactor.asynchronous.ready.return_value = True
    stage.reactor.signal.received = -1
    assert stage.turns.timeout() == 0.0
    stage.reactor.signal.received = 0
    stage.reactor._stopping = True
    assert stage.turns.timeout() == 0.0


# What the loop waits for --------------------------------------------------------------------------


def connected(mask: int, poller: Poller) -> tuple[Any, socket.socket, socket.socket]:
    """A peer that is watched, its socket, and its neighbor's."""
    ours, theirs = socket.socketpair()
    connection = mock.Mock(watched=0)
    connection.fd.side_effect = ours.fileno
    peer = mock.Mock()
    peer.proto.connection = connection
    peer.proto.fd.side_effect = ours.fileno
    poller.watch(peer, mask)
    return peer, ours, theirs


def test_octets_wake_their_peer_until_they_are_read() -> None:
    poller = Poller()
    peer, ours, theirs = connected(READABLE, poller)
    other, *sockets = connected(READABLE, poller)
    assert list(poller.wait(0)) == []
    theirs.send(b"x")
    assert list(poller.wait(0)) == [peer]
    assert list(poller.wait(0)) == [peer]
    ours.recv(1)
    assert list(poller.wait(0)) == []
    assert other is not None
    assert sockets


def test_room_wakes_only_a_peer_that_waits_for_it() -> None:
    poller = Poller()
    peer, *sockets = connected(READABLE | WRITABLE, poller)
    assert list(poller.wait(0)) == [peer]
    poller.watch(peer, READABLE)
    assert list(poller.wait(0)) == []
    assert sockets


def test_a_number_that_is_used_again_is_not_taken_for_its_old_peer() -> None:
    poller = Poller()
    old, ours, theirs = connected(READABLE, poller)
    number = ours.fileno()
    ours.close()
    theirs.close()
    reader, writer = os.pipe()
    if reader != number:
        os.dup2(reader, number)
    helper = mock.Mock(closed=False)
    helper.fileno.return_value = number
    poller.follow(mock.Mock(_process={"p": mock.Mock(stdout=helper)}), None)
    os.write(writer, b"x")
    assert list(poller.wait(1)) == []
    assert old is not None


def test_a_signal_ends_the_sleep() -> None:
    poller = Poller()
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        list(poller.wait(0))
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.kill(os.getpid(), signal.SIGUSR1)
        began = time.monotonic()
        assert list(poller.wait(30)) == []
        assert time.monotonic() - began < 20
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)


def test_helpers_come_and_go() -> None:
    poller = Poller()
    reader, writer = os.pipe()
    first = os.fdopen(reader, "rb", 0)
    poller.follow(mock.Mock(_process={"p": mock.Mock(stdout=first)}), mock.Mock(_sockets={}))
    os.close(writer)
    assert poller._epoll.poll(1)  # its end
    poller.follow(mock.Mock(_process={}), None)
    assert poller._epoll.poll(0) == []
    first.close()


# Whose a connection is ----------------------------------------------------------------------------


def neighbors(*addresses: tuple[int, int, int, bool]) -> Any:
    """A reactor with neighbors: (first address, how many, local address, finds it itself)."""
    peers = {}
    for number, (first, size, local, is_auto) in enumerate(addresses):
        peer = mock.Mock()
        peer.neighbor.range_size, peer.neighbor.auto_discovery = size, is_auto
        values = {"peer-address": first, "local-address": local}
        peer.neighbor.__getitem__ = lambda _, name, values=values: mock.Mock(
            address=lambda: values[name]
        )
        peers[f"n{number}"] = peer
    return mock.Mock(_peers=peers)


def test_the_first_neighbor_with_both_addresses_is_found() -> None:
    index = Index(neighbors((1, 1, 9, False), (2, 1, 8, False), (2, 1, 9, False), (2, 1, 9, False)))
    assert index.key(2, 9) == "n2"
    assert index.key(2, 8) == "n1"
    assert index.key(1, 8) is None
    assert index.key(3, 9) is None


def test_what_a_range_claims_is_left_to_exabgp() -> None:
    index = Index(neighbors((1, 1, 9, False), (0, 4, 9, False), (7, 1, 9, True), (8, 1, 9, False)))
    assert index.key(1, 9) is None
    assert index.key(7, 9) is None
    assert index.key(8, 9) == "n3"


def test_an_index_holds_until_the_peers_change() -> None:
    reactor = neighbors((1, 1, 9, False))
    index = Index(reactor)
    assert index.holds(reactor)
    reactor._peers["more"] = reactor._peers["n0"]
    assert not index.holds(reactor)
