"""Sources of the API's responses."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from rsfilter.web.audit_worker import Found, Question
from rsfilter.web.confinement import WorkerLimits
from rsfilter.web.connections import SilentConnections
from rsfilter.web.context import Running
from rsfilter.web.event_stream import Events
from rsfilter.web.health import Watch
from rsfilter.web.looking_glass import LookingGlass
from rsfilter.web.metrics import Metrics
from rsfilter.web.requests import ReadToken, Token
from rsfilter.web.table_reader import RouteReader, TableCounter
from rsfilter.web.workers import WorkerKind, Workers

IMPACT = WorkerKind("rsfilter.web.impact_worker", WorkerLimits(2 << 30, 40), 2, "impacts")
"""A truth of a million entries takes 0.6 GiB and 2.4 s of CPU time; then come the routes."""

AUDIT = WorkerKind("rsfilter.web.audit_worker", WorkerLimits(3 << 30, 20), 2, "audit queries")
"""DuckDB, which reads indexes, keeps to 1 GB, and reserves more."""

AUDIT_GRACE_S = 2.0
"""Beyond the time of a question: a worker starts in some tenths of a second."""

AUDIT_WAIT_S = 5.0
"""Seconds to wait for a worker while others use them."""


class Api:
    """The running filter as handlers see it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.reader = RouteReader()
        self.counter = TableCounter(running, self.reader)
        self.events = Events()
        self.metrics = Metrics(running, self.events)
        http = running.config.http
        self.glass = LookingGlass(running, self.reader)
        self.watch = Watch(running, self._sample)
        self.token = Token(http.token_file)
        self.read_token = ReadToken(Token(http.read_token_file), self.token)
        self.impacts = Workers(IMPACT)
        self.silent = SilentConnections()
        self._auditors = Workers(AUDIT)

    def _sample(self, lag: float) -> None:
        self.metrics.sample(lag)
        if self.running.config.http.looking_glass:
            self.glass.note()

    async def audit(self, time_s: float, **conditions: Any) -> Found:
        """Return the records that a query finds within `time_s` seconds (`audit.query.query`).
        Raises ApiError if no worker is free, or one fails."""
        return await self._question(Question(self._log, time_s, conditions))

    async def timeline(self, time_s: float, **conditions: Any) -> Found:
        """The same for `audit.timeline.timeline`."""
        return await self._question(Question(self._log, time_s, conditions, "timeline"))

    @property
    def _log(self) -> str:
        return str(self.running.config.audit.directory)

    async def _question(self, question: Question) -> Found:
        encoded, time_s = msgspec.json.encode(question), question.time_s
        async with self._auditors.one(AUDIT_WAIT_S) as worker:
            try:
                async with asyncio.timeout(time_s + AUDIT_GRACE_S):
                    await worker.send(encoded)
                    await worker.send(b"")
                    return msgspec.json.decode(await worker.receive(), type=Found)
            except TimeoutError:  # a disk that does not answer
                return Found(problem="too_much")

    def end_workers(self) -> None:
        """Kill the workers at the end of the filter, because no response is awaited."""
        self.impacts.kill()
        self._auditors.kill()
