"""Turns of peers, and the sleep of the loop (`loop`)."""

from __future__ import annotations

import heapq
import time
from itertools import count
from typing import Any

from rsfilter.speaker.poller import READABLE, WRITABLE, Poller
from rsfilter.speaker.rules import LONGEST_SLEEP_S, Rules

QUIET_TURNS = 3
"""Turns in a row with nothing to do before a peer rests. One finishes an End-of-RIB that follows
the first routes, two a ROUTE-REFRESH."""

PATIENCE = 100
"""Hurried turns in a row that had nothing to do, after which a peer is slow: it then is in a state
that this module does not know."""


class PeerState:
    """State that the loop keeps of one peer."""

    __slots__ = ("due", "fsm", "hurried_in_vain", "is_closed", "key", "quiet", "rests_since")

    def __init__(self) -> None:
        self.key: str | None = None
        """Key in the reactor's dict."""
        self.fsm = 0
        self.quiet = 0
        self.hurried_in_vain = 0
        self.due: float | None = None
        """Its place in the queue of deadlines."""
        self.rests_since = 0.0
        self.is_closed = False


class Turns:
    """The peers of one reactor that need a turn."""

    def __init__(self, reactor: Any, rules: Rules) -> None:
        self._reactor = reactor
        self._rules = rules
        self._hurried: set[Any] = set()
        self._slow: set[Any] = set()
        self._slow_at = 0.0
        self._pace = max(reactor._sleep_time, 0.001)
        self._deadlines: list[tuple[float, int, Any]] = []
        self._numbers = count()
        self.poller = Poller()

    def wake(self, peer: Any) -> None:
        """Give a peer a turn, after an event."""
        state = peer.turns
        state.quiet = state.hurried_in_vain = 0
        self._slow.discard(peer)
        self._hurried.add(peer)

    def next(self) -> set[str]:
        """Keys of the peers that have a turn this time round."""
        self._wake_the_due()
        candidates = list(self._hurried)
        if self._slow and (now := time.monotonic()) >= self._slow_at:
            self._slow_at = now + self._pace
            candidates += self._slow
        keys = set()
        for peer in candidates:
            key = self._key(peer)
            if key is None or self._rules.is_idle(peer):
                self._hurried.discard(peer)
                self._slow.discard(peer)
                continue
            keys.add(key)
            if self._rules.is_limited(peer):  # it may be refused its turn
                self._hurried.discard(peer)
                self._slow.add(peer)
        return keys

    def after(self, peer: Any, action: Any) -> None:
        """A peer had its turn, which ended with this action."""
        self._hurried.discard(peer)
        self._slow.discard(peer)
        rules, state = self._rules, peer.turns
        if action == rules.close or action is True:
            state.is_closed = True
        elif rules.is_limited(peer):
            self._slow.add(peer)
        elif rules.is_blocked(peer):
            self._rest(peer, READABLE | WRITABLE)
        elif rules.waits(peer, action):
            self._settle(peer)
        elif action == rules.now:
            state.quiet = 0
            self._hurried.add(peer)
        elif (until := rules.backs_off_until(peer)) is not None:
            self._alarm(peer, until)
        else:
            state.quiet = 0
            self._slow.add(peer)

    def timeout(self) -> float:
        """Seconds that the loop may sleep for."""
        reactor = self._reactor
        if (
            self._hurried
            or not reactor.asynchronous.ready()
            or reactor.signal.received
            or (reactor._stopping and not reactor._peers)
        ):
            return 0.0
        timeout = LONGEST_SLEEP_S
        if self._slow:
            timeout = min(timeout, self._slow_at - time.monotonic())
        if self._deadlines:
            timeout = min(timeout, self._deadlines[0][0] - time.time())
        return max(timeout, 0.0)

    def wait(self) -> None:
        """Sleep until something happens, and wake the peers that it concerns."""
        self.poller.follow(self._reactor.processes, self._reactor.listener)
        for peer in self.poller.wait(self.timeout()):
            self.wake(peer)

    def _settle(self, peer: Any) -> None:
        """A peer waits for its neighbor: it rests when it has for some turns."""
        state = peer.turns
        if state.fsm != peer.fsm.state or self._rules.has_pending(peer):
            state.fsm = peer.fsm.state
            state.quiet = 0
        else:
            state.quiet += 1
        state.hurried_in_vain += 1
        if state.quiet >= QUIET_TURNS:
            self._rest(peer, READABLE)
        elif state.hurried_in_vain > PATIENCE:
            self._slow.add(peer)
        else:
            self._hurried.add(peer)

    def _rest(self, peer: Any, mask: int) -> None:
        peer.turns.hurried_in_vain = 0
        peer.turns.rests_since = time.time()
        self.poller.watch(peer, mask)
        if not mask & WRITABLE:
            self._rules.leave_word(peer)
        self._alarm(peer, self._rules.deadline(peer))

    def _alarm(self, peer: Any, at: float) -> None:
        """Wake a peer at this time, or before. An earlier deadline stays, and is checked when it is
        reached."""
        due = peer.turns.due
        if due is None or at < due:
            peer.turns.due = at
            heapq.heappush(self._deadlines, (at, next(self._numbers), peer))

    def _wake_the_due(self) -> None:
        now = time.time()
        while self._deadlines and self._deadlines[0][0] <= now:
            at, _, peer = heapq.heappop(self._deadlines)
            if peer.turns.due != at or peer.turns.is_closed:
                continue
            peer.turns.due = None
            if peer in self._hurried or peer in self._slow:
                continue
            real = self._rules.deadline(peer)
            if real > now:
                self._alarm(peer, real)
            else:
                self.wake(peer)

    def _key(self, peer: Any) -> str | None:
        """The key of a peer in the reactor; None when it is not there any more."""
        peers = self._reactor._peers
        if peer.turns.key is None:  # a new peer
            for key, each in peers.items():
                each.turns.key = key
        key = peer.turns.key
        return key if key is not None and peers.get(key) is peer else None
