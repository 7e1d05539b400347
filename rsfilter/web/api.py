"""What the answers of the API are made from."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from rsfilter.audit.query import Record
from rsfilter.util.threads import to_its_end
from rsfilter.web.context import Running
from rsfilter.web.event_stream import Events
from rsfilter.web.health import Watch
from rsfilter.web.metrics import Metrics
from rsfilter.web.requests import Token
from rsfilter.web.table_reader import REST_S, CensusTaker, Slices

MAX_AUDIT_QUERIES = 2
"""Questions to the audit log at a time; each has a thread."""


class Api:
    """The running filter as handlers see it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.slices = Slices()
        self.census = CensusTaker(running, self.slices)
        self.events = Events()
        self.metrics = Metrics(running, self.events)
        self.watch = Watch(running, self.metrics.looked)
        self.token = Token(running.config.http.token_file)
        self.impact_lock = asyncio.Lock()
        self.silent: set[asyncio.BaseProtocol] = set()
        """Connections that have asked nothing yet."""
        self._audit_queries = asyncio.Semaphore(MAX_AUDIT_QUERIES)

    async def audit(
        self, ask: Callable[[Callable[[], bool]], list[Record]], time_s: float
    ) -> list[Record]:
        """What `ask(should_end)` finds, in a thread. Raises GaveUpError, ValueError and OSError."""
        left = threading.Event()
        async with self._audit_queries:
            deadline = time.monotonic() + time_s

            def should_end() -> bool:
                time.sleep(REST_S)  # the threads of the pipe get the interpreter now
                return left.is_set() or time.monotonic() > deadline

            return await to_its_end(lambda: ask(should_end), left.set)
