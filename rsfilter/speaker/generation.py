"""Invalidation of results computed from the set of peers.

ExaBGP keeps its peers in a dict of the reactor. A peer is added by `Peer.__init__`, gets another
neighbor by `reconfigure` or `_reset`, and is deleted from the dict without a call.
"""

from __future__ import annotations

from typing import Any

RELIES_ON = {
    "exabgp.reactor.peer:Peer": {
        "5.0.15": "9970c303e3324b749c5bccfb20a6de70ac02974d3be0a17c892e366d84ab3230",
    },
}

_changes = 0
_is_installed = False


def generation(reactor: Any) -> tuple[int, int, int]:
    """Differs from what it was when a peer has come, gone, or got another neighbor since."""
    return id(reactor), _changes, len(reactor._peers)


def install() -> None:
    """Count what happens to peers. Does nothing the second time."""
    global _is_installed
    from exabgp.reactor.peer import Peer

    if _is_installed:
        return
    _is_installed = True
    for name in ("__init__", "_reset", "reconfigure"):
        setattr(Peer, name, _counted(getattr(Peer, name)))


def _counted(stock: Any) -> Any:
    def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        global _changes
        before = getattr(self, "neighbor", None)
        try:
            return stock(self, *arguments, **named)
        finally:
            if self.neighbor is not before:
                _changes += 1

    return counted
