"""Live events for each client (Server-Sent Events, HTML Living Standard 9.2).

An event's `data` is the audit record of docs/audit.md without its chain. A client that reads too
slowly loses events and gets their number (`event: dropped`): the filter never waits, and no
client's queue grows beyond its bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from itertools import islice

from rsfilter.audit.record import Auditable, body, timestamp
from rsfilter.routing.effects import (
    Absence,
    DataChange,
    DrainChange,
    GuardChange,
    NlriRefused,
    SessionChange,
    VerdictChange,
)

MAX_QUEUE = 2000
"""Events that wait for one client: what a host with a full table causes at once. Each refers to
what the audit log holds anyway."""

BATCH = 50
"""Events encoded in one go: a millisecond."""

KINDS: dict[type, str] = {
    VerdictChange: "verdict",
    NlriRefused: "verdict",
    SessionChange: "session",
    Absence: "absence",
    DataChange: "data",
    GuardChange: "guard",
    DrainChange: "drain",
}
"""The SSE event types by what happened; everything else is "service"."""

KIND_NAMES = (*dict.fromkeys(KINDS.values()), "service")


class Listener:
    """A client of the stream. `kinds`: of the events that it gets; empty for all."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self.dropped = 0
        """Events that found no room since the last `take`."""
        self._kinds = kinds
        self._queue: deque[tuple[str, float, Auditable]] = deque()
        self._is_filled = asyncio.Event()

    def offer(self, kind: str, at: float, event: Auditable) -> bool:
        """Queue an event; return whether there was room."""
        if self._kinds and kind not in self._kinds:
            return True
        self._is_filled.set()
        if len(self._queue) >= MAX_QUEUE:
            self.dropped += 1
            return False
        self._queue.append((kind, at, event))
        return True

    async def take(self) -> bytes:
        """The next events as they go over the wire, when there are any."""
        await self._is_filled.wait()
        batch = list(islice(self._queue, BATCH))
        for _ in batch:
            self._queue.popleft()
        lines = [_message(*item) for item in batch]
        if not self._queue:
            self._is_filled.clear()
            if self.dropped:
                lines.append(b'event: dropped\ndata: {"count":%d}\n\n' % self.dropped)
                self.dropped = 0
        return b"".join(lines)


class Events:
    """Publishes events to every client."""

    def __init__(self) -> None:
        self.clients: set[Listener] = set()
        self.dropped = 0
        """Events that slow clients did not get, since the start."""

    def publish(self, at: float, events: Iterable[Auditable]) -> None:
        """Publish events that happened at `at`, seconds since the epoch."""
        for event in events if self.clients else ():
            kind = KINDS.get(type(event), "service")
            for client in self.clients:
                self.dropped += not client.offer(kind, at, event)


def _message(kind: str, at: float, event: Auditable) -> bytes:
    return f'event: {kind}\ndata: {{"at":"{timestamp(at)}",{body(event)}}}\n\n'.encode("ascii")
