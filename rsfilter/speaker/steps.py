"""Commands: their steps are taken without an asyncio event loop for each turn.

Replaces `ASYNC.run`, which searches all queued commands for coroutines, makes an event loop (a
selector and a pair of sockets) and runs 50 steps of generators in it, which never wait. Here the
generators are stepped directly. A queue that has a coroutine is left to ExaBGP; 5.0 has none.

A turn takes `LIMIT` steps, one for each prefix: more than ExaBGP's 50, because they cost less, so
UPDATEs carry more prefixes. Between two turns every peer that needs one has its turn.

Upstream: main is asyncio throughout and takes one command in a turn of its loop.
"""

from __future__ import annotations

from inspect import isgenerator
from typing import Any

from rsfilter.speaker.replacement import Replacement

MADE_FOR = {
    "exabgp.reactor.asynchronous:ASYNC": {
        "5.0.15": "0516fc1478a4d2f6ff6b9b0284cf72d343181c638690bbf878341e4ae946c993",
    },
}

LIMIT = 200
"""Steps in a turn: some 5 ms."""


def _install() -> None:
    from exabgp.logger import log
    from exabgp.reactor.asynchronous import ASYNC

    stock = ASYNC.run

    def run(self: Any) -> bool:
        """Run the steps; return whether work is left."""
        left = LIMIT
        while left and self._async:
            if not isgenerator(self._async[0][1]):
                return bool(stock(self))
            # As in ExaBGP, what runs is not in the queue: `clear` puts another queue in its place.
            uid, callback = self._async.popleft()
            try:
                while left:
                    left -= 1
                    next(callback)
            except StopIteration:
                continue
            except Exception as error:
                _log(log, uid, error)
                self._notify_error(uid)
                continue
            self._async.appendleft((uid, callback))
        return bool(self._async)

    ASYNC.run = run


def _log(log: Any, uid: str, error: Exception) -> None:
    log.error(lambda: f"async | {uid} | problem with function", "reactor")
    for line in str(error).split("\n"):
        log.error(lambda line=line: f"async | {uid} | {line}", "reactor")


REPLACEMENT = Replacement("steps", MADE_FOR, _install)
