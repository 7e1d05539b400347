"""New connections: many in a turn, each matched with its neighbor by an index.

Replaces `Listener.incoming`, which accepts one connection of each socket in a turn, and
`Listener.new_connections`, which compares it with every neighbor (8,000 connecting hosts take 64
million comparisons). Here up to `LIMIT` connections are accepted, and a neighbor with one address
and one local address is found by these two. ExaBGP's own rules are kept: the first neighbor in the
order of the configuration wins; ranges come after all others; a connection without a configured
neighbor, or with two matching ranges, is refused with the same NOTIFICATION.

The backlog of a listening socket is 4096, not 200: with 200, a restarted route server would make
many hosts wait for their next try.

Upstream: main has the same loops.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rsfilter.speaker import generation
from rsfilter.speaker.replacement import Replacement

MADE_FOR = {
    "exabgp.reactor.listener:Listener": {
        "5.0.15": "aa660caf65af7327c141d699e600aaf80d8b92f68895d6c5cb176afcfe80cf13",
    },
    "exabgp.reactor.network.incoming:Incoming": {
        "5.0.15": "bf049cc8c2e5554edab0e3fbd2e716b84620af4007cf3729b73ee7078e85a5f7",
    },
    "exabgp.reactor.loop:Reactor.handle_connection": {
        "5.0.15": "59b07b76f5992a6f2847e58266e48c3654e8a895e4bd6b51ca334a780a78ca10",
    },
    "exabgp.bgp.neighbor:Neighbor.name": {
        "5.0.15": "29d9b938617d8c3005d0d4ecd726bd6f99dec5b0b20e3527ec861bd4e57ab1f7",
    },
    **generation.RELIES_ON,
}

LIMIT = 64
"""Connections that are accepted in a turn: some 3 ms."""

BACKLOG = 4096


class Index:
    """Neighbors by the addresses of a connection, as the numbers that ExaBGP compares."""

    def __init__(self, reactor: Any) -> None:
        self._made_for = generation.generation(reactor)
        self._plain: dict[tuple[int, int], str] = {}
        self._others: list[tuple[int, int]] = []
        for key, peer in reactor._peers.items():
            neighbor = peer.neighbor
            first = neighbor["peer-address"].address()
            if neighbor.range_size != 1 or neighbor.auto_discovery:
                self._others.append((first, first + neighbor.range_size))
            else:
                self._plain.setdefault((first, neighbor["local-address"].address()), key)

    def holds(self, reactor: Any) -> bool:
        """Return whether the peers are those it was made of."""
        return self._made_for == generation.generation(reactor)

    def key(self, peer: int, local: int) -> str | None:
        """The first neighbor with these addresses, if no range claims them as well."""
        if any(first <= peer < end for first, end in self._others):
            return None
        return self._plain.get((peer, local))


def _install() -> None:
    from exabgp.reactor.listener import Listener

    stock_init, stock_new = Listener.__init__, Listener.new_connections
    generation.install()

    def init(self: Any, reactor: Any, backlog: int = BACKLOG) -> None:
        stock_init(self, reactor, backlog)
        self._waiting = []
        self._index = None

    def new_connections(self: Any) -> Iterator[None]:
        if not self.serving:
            return
        yield None
        waiting, self._waiting = self._waiting, []
        for sock, io in waiting:
            # A socket that a reload closed drops what it has accepted.
            if sock in self._sockets and not _is_taken(self, sock, io):
                self._accepted = {sock: io}
                for _ in stock_new(self):
                    continue

    Listener.__init__ = init
    Listener.incoming = _incoming
    Listener.new_connections = new_connections


def _incoming(self: Any) -> bool:
    """Return whether connections were accepted that `new_connections` has not seen yet."""
    if not self.serving or self._waiting:
        return False
    for sock in self._sockets:
        for _ in range(LIMIT):
            if (io := _accepted(self._reactor, sock)) is None:
                break
            self._waiting.append((sock, io))
    return bool(self._waiting)


def _accepted(reactor: Any, sock: Any) -> Any:
    from exabgp.logger import log
    from exabgp.reactor.network.error import error

    try:
        return sock.accept()[0]
    except OSError as exc:
        if exc.errno not in error.block:
            why = str(exc)
            log.critical(lambda: why, "network")
            reactor._prevent_spin()
        return None


def _is_taken(listener: Any, sock: Any, io: Any) -> bool:
    """Hand a connection to the one neighbor that has its addresses. False when ExaBGP is to find
    out who it is of."""
    from exabgp.logger import log
    from exabgp.reactor.network.error import NetworkError

    try:
        peer, local = io.getpeername()[0], io.getsockname()[0]
        key = _neighbor(listener, peer, local)
        if key is not None:
            _hand_over(listener, sock, io, (peer, local), key)
    except (NetworkError, OSError) as exc:  # it has gone already
        why = str(exc)
        log.critical(lambda: why, "network")
        return True
    return key is not None


def _neighbor(listener: Any, peer: str, local: str) -> str | None:
    from exabgp.protocol.ip import IP

    if listener._index is None or not listener._index.holds(listener._reactor):
        listener._index = Index(listener._reactor)
    found: str | None = listener._index.key(IP.create(peer).address(), IP.create(local).address())
    return found


def _hand_over(listener: Any, sock: Any, io: Any, addresses: tuple[str, str], key: str) -> None:
    from exabgp.logger import log
    from exabgp.reactor.listener import set_accepted_ttl
    from exabgp.reactor.network.incoming import Incoming

    reactor, (peer, local) = listener._reactor, addresses
    connection = Incoming(listener._family_AFI_map[sock.family], local, peer, io)
    log.debug(lambda: f"new connection received {connection.name()}", "network")
    set_accepted_ttl(connection, reactor.neighbor(key))
    verb = "refused" if reactor.handle_connection(key, connection) else "accepted"
    log.debug(lambda: f"{verb} connection from {connection.name()}", "network")


REPLACEMENT = Replacement("accepting", MADE_FOR, _install)
