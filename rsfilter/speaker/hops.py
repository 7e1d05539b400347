"""GTSM (RFC 5082) on connections that a neighbor opens.

Replaces `exabgp.reactor.listener:set_accepted_ttl`, which sets only the TTL to send. ExaBGP checks
`incoming-ttl` on connections that it opens itself, and cannot on its listening socket, which all
neighbors share. Here the kernel drops whatever arrives on an accepted connection with a lower TTL.

Replaces `Reactor._listen_for_neighbors`, so that listening sockets send with a TTL of 255 if a
neighbor uses GTSM. Else a neighbor that checks the TTL from the first packet on, as FRR does, would
never see a connection accepted.

What arrived before that is not trusted beyond one message: a neighbor sends OPEN, and nothing more
until it has seen ours (RFC 4271 section 8.2.2). If there is more, the connection is closed. So a
session needs at least a KEEPALIVE with a sufficient TTL.

Upstream: to be proposed there.
"""

from __future__ import annotations

import socket
from typing import Any

from rsfilter.speaker.replacement import Replacement

MADE_FOR = {
    "exabgp.reactor.listener:set_accepted_ttl": {
        "5.0.15": "87c1dc1ff2882e4b303824fdfab11d824b56e0fb5872d2f95fb2fc44150b4b66",
    },
    "exabgp.reactor.listener:Listener": {
        "5.0.15": "aa660caf65af7327c141d699e600aaf80d8b92f68895d6c5cb176afcfe80cf13",
    },
    "exabgp.reactor.loop:Reactor._listen_for_neighbors": {
        "5.0.15": "ab813846666eacde48298321ea32ea0524e142dc7a68b4c591d98ca668e6289b",
    },
    "exabgp.reactor.network.tcp:set_sending_ttl": {
        "5.0.15": "9d4e1dc8fc4aaf3e251417133b06d515d608c6ce67330d4abb2ccbfb4cd9650c",
    },
    "exabgp.reactor.network.tcp:set_minimum_ttl": {
        "5.0.15": "bbee94b45d528f856ba55204837d9521504a5f41414ea69c58cd860e7cbb3c9a",
    },
    "exabgp.reactor.network.tcp:min_ttl": {
        "5.0.15": "9d82b923d30a7debcde498d9292aba5d4ecc773e74ebead7d688728d021895d8",
    },
    "exabgp.reactor.network.tcp:min_ttlv6": {
        "5.0.15": "95d125d579aff4aff62de00967ff3df5e0b9f5fde7b61c4a5808c6c697cf24d1",
    },
    "exabgp.reactor.network.connection:Connection.close": {
        "5.0.15": "0d0988c133df2bc3dd10052f371a6b12027f70b43b6874a0f00af475d6ff2710",
    },
}

HEADER = 19
"""Octets of a message's header (RFC 4271 section 4.1): a marker of 16, the length, the type."""

MAX_OPEN = 4096
"""Octets of the longest OPEN (RFC 4271 section 4.1)."""


def _install() -> None:
    from exabgp.reactor import listener
    from exabgp.reactor.loop import Reactor

    stock_accepted, stock_listen = listener.set_accepted_ttl, Reactor._listen_for_neighbors

    def set_accepted_ttl(connection: Any, neighbor: Any) -> None:
        stock_accepted(connection, neighbor)
        if neighbor["incoming-ttl"] and connection.io is not None:
            _check(connection, neighbor["incoming-ttl"])

    def listen_for_neighbors(self: Any) -> bool:
        is_listening: bool = stock_listen(self)
        if any(each["incoming-ttl"] for each in self.configuration.neighbors.values()):
            _send_with_most(self.listener)
        return is_listening

    listener.set_accepted_ttl = set_accepted_ttl
    Reactor._listen_for_neighbors = listen_for_neighbors


def _send_with_most(listener: Any) -> None:
    """Set the TTL of listening sockets to 255. Neighbors without GTSM do not notice."""
    from exabgp.logger import log
    from exabgp.reactor.network.error import NetworkError
    from exabgp.reactor.network.tcp import GTSM_SENDING_TTL, set_sending_ttl

    for sock in listener._sockets:
        try:
            afi = listener._family_AFI_map[sock.family]
            set_sending_ttl(sock, afi, "all neighbors", GTSM_SENDING_TTL)
        except NetworkError as exc:
            why = str(exc)
            log.error(lambda: why, "network")  # noqa: B023 - logged at once


def _check(connection: Any, minimum: int) -> None:
    from exabgp.logger import log
    from exabgp.reactor.network.error import NetworkError
    from exabgp.reactor.network.tcp import set_minimum_ttl

    try:
        set_minimum_ttl(connection.io, connection.afi, connection.peer, minimum)
        if not has_more_than_open(connection.io):
            return
        why = "data came before the TTL could be checked"
    except (NetworkError, OSError) as exc:
        why = str(exc)
    name = connection.name()
    log.error(lambda: f"closing {name}: {why}", "network")
    connection.close()


def has_more_than_open(io: socket.socket) -> bool:
    """Return whether more octets wait than one message has."""
    try:
        waiting = io.recv(MAX_OPEN + 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    if len(waiting) <= HEADER:
        return False
    return len(waiting) > int.from_bytes(waiting[16:18], "big")


REPLACEMENT = Replacement("hops", MADE_FOR, _install)
