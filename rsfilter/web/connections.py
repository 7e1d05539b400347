"""Connections on which nothing is asked: each for a bounded time, and none in the way of others.

A connection is silent until its first request is there, whole, and again from each answer to the
next request. Octets of a request that never gets whole do not count: somebody who sends one now and
then could hold all the connections that there may be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

FIRST_REQUEST_S = 10.0
"""A connection that has asked nothing in this time is closed."""

KEEPALIVE_S = 30.0
"""Between two requests: Prometheus asks every 15 s by default."""


class SilentConnections:
    """Closes those that are silent for too long, or the longest when there must be room."""

    def __init__(self) -> None:
        self._timers: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        """By connection, the longest silent first."""

    def add(self, protocol: asyncio.BaseProtocol, seconds: float) -> None:
        """The connection is silent from now on, for so long at most."""
        self.discard(protocol)
        loop = asyncio.get_running_loop()
        self._timers[protocol] = loop.call_later(seconds, self._expire, protocol)

    def discard(self, protocol: asyncio.BaseProtocol) -> None:
        """Something is asked on it, or it has gone."""
        if timer := self._timers.pop(protocol, None):
            timer.cancel()

    def make_room(self, is_one: Callable[[asyncio.BaseTransport], bool]) -> bool:
        """Closes the one that is silent for the longest, among those that `is_one` holds for; false
        if all have something to do."""
        return any(self._close(protocol, is_one) for protocol in list(self._timers))

    def _expire(self, protocol: asyncio.BaseProtocol) -> None:
        self._close(protocol)
        self.discard(protocol)

    def _close(
        self,
        protocol: asyncio.BaseProtocol,
        is_one: Callable[[asyncio.BaseTransport], bool] = lambda _: True,
    ) -> bool:
        transport = getattr(protocol, "transport", None)
        if transport is None or not is_one(transport):  # not there yet, gone already, another's
            return False
        self.discard(protocol)
        transport.close()
        return True
