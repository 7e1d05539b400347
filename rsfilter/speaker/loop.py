"""The loop: a peer has a turn when it needs one, and the loop sleeps until an event.

Replaces `Reactor.active_peers` (every peer that is not idle, each time round), `_wait_for_io`
(`poll` over all descriptors, with a result that the next time round discards), `_pending_adjribout`
and `Peer.socket`. `Reactor.run` itself is ExaBGP's: signals, reloads, helpers, exit codes and the
content of a turn are unchanged.

Peers and their turns:

    hurried   each time round: an event occurred, or its last turn requested the next at once
    slow      as often as in an idle ExaBGP: it connects, waits for a connection, is limited to a
              rate, or belongs to a range
    resting   none, until an event wakes it. A peer rests if it waits for its neighbor (for an
              OPEN, a KEEPALIVE or, once established, any message) and a few turns in a row had
              no work: these finish hidden work, such as the End-of-RIB after the first routes

A peer is woken by readable octets; by room to write, while a message is partly written; by its hold
timer, keepalive timer or connect delay, to the second; and by marks wherever work becomes pending
for it: in its RIB, an End-of-RIB, a ROUTE-REFRESH or an operational message, a connection, and any
change by reloads and commands.

A peer that is not known to rest is treated as ExaBGP treats it.

Upstream: main has one task for each peer, which checks its RIB every 0.1 s, and a loop that never
sleeps. To be proposed there: marks as here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rsfilter.speaker.replacement import Replacement
from rsfilter.speaker.rules import Rules
from rsfilter.speaker.turns import PeerState, Turns

MADE_FOR = {
    "exabgp.reactor.loop:Reactor": {
        "5.0.15": "4506da176784d0d49c453a24bb40aa975f7b12e73608f059d9b35a3dcfe6eda4",
    },
    "exabgp.reactor.peer:Peer": {
        "5.0.15": "9970c303e3324b749c5bccfb20a6de70ac02974d3be0a17c892e366d84ab3230",
    },
    "exabgp.reactor.protocol:Protocol": {
        "5.0.15": "98137c90d820478aa9e3a97685bcff23edcef4814b83d89717f44fcdace47fc9",
    },
    "exabgp.reactor.keepalive:KA": {
        "5.0.15": "71b1a0120f42abbc079cd8e072f16885188235d7e9a3ab251017cab0c4c496b5",
    },
    "exabgp.reactor.delay:Delay": {
        "5.0.15": "910a6bef7e774522bfe4d5a451f9cac699b6c94fd98fc6c754ab2c915a9954c0",
    },
    "exabgp.reactor.interrupt:Signal": {
        "5.0.15": "f393e2cbc9a1fd3fa109510738155eb0fb371d93d1af494d05aadb28151eeba2",
    },
    "exabgp.reactor.network.connection:Connection": {
        "5.0.15": "e250b7599c1c5487799854079c4c7bf97ce40071086f63fc954a82b2ce27bb6a",
    },
    "exabgp.bgp.timer:ReceiveTimer": {
        "5.0.15": "4d80a7b47fdb98939c3323eda299a278d9a7e6b2b0d50dec4e3e5767c415d36a",
    },
    "exabgp.bgp.timer:SendTimer": {
        "5.0.15": "951fa73447b0107209bfac94171260a51a62e4e804e66872846a8224aa8ed58f",
    },
    "exabgp.bgp.neighbor:Neighbor": {
        "5.0.15": "4f9709bc2017a35a9b62dff1a8d869f0f7890144d12b2b2227dd4b86c96f911f",
    },
    "exabgp.rib.outgoing:OutgoingRIB": {
        "5.0.15": "73e00146b7d49804274d853dde435ae45d0a70120954ae7f287ef89fedad4493",
    },
    "exabgp.configuration.configuration:_Configuration": {
        "5.0.15": "670c0c9d9b51faca37f81ec790ba36295a8d4dbe51573c82655393f3f9a1ad9a",
    },
}


def _install() -> None:
    from exabgp.configuration.configuration import _Configuration
    from exabgp.reactor.keepalive import KA
    from exabgp.reactor.loop import Reactor
    from exabgp.reactor.network.connection import Connection
    from exabgp.reactor.peer import Peer
    from exabgp.reactor.protocol import Protocol
    from exabgp.rib.outgoing import OutgoingRIB

    rules = Rules()
    Protocol.send_timer = None
    _replace_the_loop(Reactor, rules)
    _follow_peers(Peer)
    _follow_connections(Connection, KA)
    _mark_what_is_pending(OutgoingRIB, _Configuration)


def _replace_the_loop(Reactor: Any, rules: Rules) -> None:  # noqa: N803 - a class
    from exabgp.logger import log

    stock_init, stock_active = Reactor.__init__, Reactor.active_peers

    def init(self: Any, configuration: Any) -> None:
        stock_init(self, configuration)
        self.turns = Turns(self, rules)
        self._poller = self.turns.poller

    def active_peers(self: Any) -> set[str]:
        keys: set[str] = self.turns.next()
        if self.processes._broken:  # every peer has to see that
            keys |= stock_active(self)
        return keys

    def pending_adjribout(self: Any) -> bool:
        return any(self._peers[key].neighbor.rib.outgoing.pending() for key in stock_active(self))

    def wait_for_io(self: Any, _milliseconds: int) -> tuple[int, ...]:
        try:
            self.turns.wait()
        except KeyboardInterrupt:
            self._termination("^C received", self.Exit.normal)
        except Exception as error:  # as in ExaBGP: sessions are worth more than one round
            why = repr(error)
            log.critical(lambda: f"waiting failed: {why}", "reactor")
            self._prevent_spin()
        return ()  # the loop has no use for descriptors

    Reactor.__init__ = init
    Reactor.active_peers = active_peers
    Reactor._pending_adjribout = pending_adjribout
    Reactor._wait_for_io = wait_for_io


def _follow_peers(Peer: Any) -> None:  # noqa: N803 - a class
    stock_run, stock_init = Peer.run, Peer.__init__

    def init(self: Any, neighbor: Any, reactor: Any) -> None:
        self.turns = PeerState()
        stock_init(self, neighbor, reactor)
        reactor.turns.wake(self)

    def run(self: Any) -> Any:
        action = stock_run(self)
        self.reactor.turns.after(self, action)
        return action

    def waking(stock: Callable[..., Any]) -> Callable[..., Any]:
        def changed(self: Any, *arguments: Any, **named: Any) -> Any:
            try:
                return stock(self, *arguments, **named)
            finally:
                self.reactor.turns.wake(self)

        return changed

    Peer.__init__ = init
    Peer.run = run
    Peer.socket = lambda _: -1  # for the loop alone, which need not wait for it
    for name in (
        "handle_connection",
        "reconfigure",
        "reestablish",
        "remove",
        "resend",
        "shutdown",
        "stop",
        "teardown",
    ):
        setattr(Peer, name, waking(getattr(Peer, name)))


def _follow_connections(Connection: Any, KA: Any) -> None:  # noqa: N803 - classes
    stock_writer, stock_init = Connection.writer, KA.__init__

    def writer(self: Any, data: bytes) -> Iterator[bool]:
        for is_written in stock_writer(self, data):
            self.blocked = not is_written
            yield is_written

    def init(self: Any, session: Any, proto: Any) -> None:
        stock_init(self, session, proto)
        proto.send_timer = self.send_timer

    Connection.blocked = False
    Connection.watched = 0
    Connection.writer = writer
    KA.__init__ = init


def _mark_what_is_pending(OutgoingRIB: Any, Configuration: Any) -> None:  # noqa: N803 - classes
    from exabgp.bgp.neighbor import Neighbor

    OutgoingRIB.resting = None
    Neighbor.resting = None
    for name in ("_update_rib", "resend", "add_to_resend"):
        setattr(OutgoingRIB, name, _marking_rib(getattr(OutgoingRIB, name)))
    for name in ("inject_eor", "inject_refresh", "inject_operational"):
        setattr(Configuration, name, _marking_named(getattr(Configuration, name)))


def _marking_rib(stock: Callable[..., Any]) -> Callable[..., Any]:
    def changed(self: Any, *arguments: Any, **named: Any) -> Any:
        if self.resting:
            resting, self.resting = self.resting, None
            for peer in resting:
                peer.reactor.turns.wake(peer)
        return stock(self, *arguments, **named)

    return changed


def _marking_named(stock: Callable[..., Any]) -> Callable[..., Any]:
    def inject(self: Any, peers: Any, what: Any) -> Any:
        for name in peers:
            neighbor = self.neighbors.get(name)
            if neighbor is not None and neighbor.resting is not None:
                neighbor.resting.reactor.turns.wake(neighbor.resting)
        return stock(self, peers, what)

    return inject


REPLACEMENT = Replacement("loop", MADE_FOR, _install)
