"""Idle connections: bounded in time, and never an obstacle for others.

A connection is idle until its first request has arrived completely, and again from each response to
the next request. Octets of an incomplete request do not count, because a client that sends one now
and then could occupy all permitted connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

FIRST_REQUEST_S = 10.0
"""Seconds after which a connection without a request is closed."""

KEEPALIVE_S = 30.0
"""Seconds between two requests: Prometheus scrapes every 15 s by default."""


class SilentConnections:
    """Closes those that are silent for too long, or the longest when there must be room."""

    def __init__(self) -> None:
        self._timers: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        """Timers by connection, the longest idle first."""

    def add(self, protocol: asyncio.BaseProtocol, seconds: float) -> None:
        """The connection is silent from now on, for so long at most."""
        self.discard(protocol)
        loop = asyncio.get_running_loop()
        self._timers[protocol] = loop.call_later(seconds, self._expire, protocol)

    def discard(self, protocol: asyncio.BaseProtocol) -> None:
        """Stop the timer: a request has arrived, or the connection is closed."""
        if timer := self._timers.pop(protocol, None):
            timer.cancel()

    def make_room(self, is_one: Callable[[asyncio.BaseTransport], bool]) -> bool:
        """Close the connection that has been idle longest, among those that `is_one` accepts. False
        if none is idle."""
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
