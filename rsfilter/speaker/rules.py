"""Meaning of a peer's state for the loop: everything that depends on ExaBGP's code (`loop`)."""

from __future__ import annotations

import time
from typing import Any

LONGEST_SLEEP_S = 1.0
"""Deadlines are of the wall clock, as ExaBGP's timers are: a clock that is set is noticed soon."""

LONGEST_REST_S = 600.0
"""Seconds, for a peer without a timer."""


class Rules:
    """Meaning of a peer's state: everything that depends on ExaBGP's code."""

    def __init__(self) -> None:
        from exabgp.bgp.fsm import FSM
        from exabgp.reactor.peer import ACTION

        self.now, self.later, self.close = ACTION.NOW, ACTION.LATER, ACTION.CLOSE
        self._established = FSM.ESTABLISHED
        self._reads_open = (FSM.CONNECT, FSM.OPENSENT)
        self._reads_keepalive = FSM.OPENCONFIRM

    def is_idle(self, peer: Any) -> bool:
        """Return whether a peer waits for a connection, and so has no turn."""
        return not peer.stopping() and peer.neighbor["passive"] and not peer.proto

    def is_limited(self, peer: Any) -> bool:
        """Return whether ExaBGP decides the turns of a peer: `rate-limit` counts them, and the
        peers of a range share pending work."""
        return bool(peer.neighbor["rate-limit"] > 0 or peer.neighbor.generated)

    def is_blocked(self, peer: Any) -> bool:
        """Return whether a message is partly written, because the neighbor accepts no more."""
        proto = peer.proto
        if proto is None or proto.connection is None:
            return False
        return bool(proto.connection.blocked)

    def waits(self, peer: Any, action: Any) -> bool:
        """Return whether a peer's turn did nothing but wait for its neighbor."""
        if peer.proto is None or peer.proto.fd() == -1:
            return False
        state = peer.fsm.state
        if state == self._reads_keepalive:  # it requests the next turn at once until one arrives
            return action in (self.now, self.later)
        return action == self.later and (state == self._established or state in self._reads_open)

    def has_pending(self, peer: Any) -> bool:
        """Return whether the next turn has work."""
        neighbor = peer.neighbor
        if peer.fsm.state != self._established:
            return peer._teardown is not None
        return bool(
            peer._teardown
            or neighbor.rib.outgoing.pending()
            or neighbor.eor
            or neighbor.messages
            or (neighbor.refresh and neighbor["capability"]["route-refresh"])
        )

    def leave_word(self, peer: Any) -> None:
        """Arrange that a peer is woken when work becomes pending for it."""
        neighbor = peer.neighbor
        neighbor.resting = peer
        outgoing = neighbor.rib.outgoing
        if not outgoing.resting:
            outgoing.resting = set()
        outgoing.resting.add(peer)

    def deadline(self, peer: Any) -> float:
        """Latest time of the next turn of a resting peer, by the wall clock."""
        proto = peer.proto
        if proto is None:
            return float(peer._delay._time)
        if peer.fsm.state != self._established:
            return float(peer.turns.rests_since + LONGEST_SLEEP_S)
        at = peer.turns.rests_since + LONGEST_REST_S
        received, sent = peer.recv_timer, proto.send_timer
        if received.holdtime:
            at = min(at, received.last_read + received.holdtime + 1)
        if sent is not None and sent.keepalive:
            at = min(at, sent.last_sent + sent.keepalive)
        return float(at)

    def backs_off_until(self, peer: Any) -> float | None:
        """Time at which a peer may connect again; None if it does not wait for that."""
        if peer.proto is None and peer.generator is None and peer._delay._time > time.time():
            return float(peer._delay._time)
        return None
