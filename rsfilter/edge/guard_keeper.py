"""Keeper of the guard's file, off the event loop. Commands wait until the file is current.

Routes removed by data, and held routes, are written before the commands that follow. If the process
is killed in between, the next one must neither restore removed routes nor withdraw held ones. A
disk that does not respond delays commands for `FIRST_TIMEOUT_S`, once, and never the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from rsfilter.edge.guard_file import GuardFile
from rsfilter.routing.events import GuardRestored
from rsfilter.routing.guard import Records
from rsfilter.util.threads import on_own_thread

log = logging.getLogger(__name__)

PULSE_S = 30.0
"""Seconds between updates of the file's time. Changes by hosts are written then, too."""

STOP_TIMEOUT_S = 2.0
"""Seconds for the last records at the end. ExaBGP starts the next filter only after this one
ends."""

FIRST_TIMEOUT_S = 1.0
"""Seconds that commands wait for the records that must be on disk first."""


class GuardKeeper:
    """Writes changes of routes to the guard's file, every `PULSE_S` or on request."""

    def __init__(self, path: Path, before: GuardRestored, take: Callable[[], Records]) -> None:
        """Make a keeper. `before`: the content of the file. `take`: returns the changes since its
        last call."""
        self._path = path
        self._file = GuardFile(path, before, time.time())
        self._take = take
        self._unwritten: Records = {}
        """Records that a failing disk has not accepted."""
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._is_ending = False
        self._has_failed = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write what there is, then what comes."""
        self._task = asyncio.create_task(self._run(), name="guard file")

    def write(self) -> asyncio.Future[None]:
        """Write now what became of routes until now. Done when it is written, or when the disk has
        failed."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(written)
        self._wake.set()
        return written

    async def stop(self) -> None:
        """Write what is left, and stop. A disk that does not answer is waited for briefly."""
        self._is_ending = True
        self._wake.set()
        if self._task is not None:
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._task
            except TimeoutError:
                log.error("guard: %s is not up to date: the disk does not answer", self._path)

    async def _run(self) -> None:
        while not self._is_ending:
            await self._write()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PULSE_S):
                    await self._wake.wait()
            self._wake.clear()
        await self._write()

    async def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        records = self._unwritten | self._take() if self._unwritten else self._take()
        self._unwritten = {}
        try:
            await on_own_thread(self._file.write, records, time.time(), time.monotonic())
        except Exception as error:  # whatever it was: the next attempt may be the one that counts
            self._unwritten = records
            if not self._has_failed:
                log.error("guard: a restart would release held routes: %s: %s", self._path, error)
            self._has_failed = True
        else:
            self._has_failed = False
        for written in waiting:
            if not written.done():
                written.set_result(None)


class CommandGate:
    """Passes commands on in order, each after what had to be written before it."""

    def __init__(self, write: Callable[[list[bytes]], None]) -> None:
        self._write = write
        self._queue: deque[list[bytes] | asyncio.Future[None]] = deque()
        self._late: asyncio.Future[None] | None = None
        """Write that is late. Commands do not wait for the disk again until it is done."""

    def wait_for(self, written: asyncio.Future[None]) -> None:
        """Commands from here on wait until this is done, or for `FIRST_TIMEOUT_S`."""
        if self._late is not None and not self._late.done():
            return
        self._queue.append(written)
        written.add_done_callback(lambda _: self._pass_on())
        asyncio.get_running_loop().call_later(FIRST_TIMEOUT_S, self._give_up, written)

    def write(self, lines: list[bytes]) -> None:
        """Pass these on when it is their turn."""
        if not self._queue:
            self._write(lines)
        elif lines:
            self._queue.append(lines)

    def open(self) -> None:
        """Pass on everything now: this is the end."""
        while self._queue:
            head = self._queue.popleft()
            if isinstance(head, list):
                self._write(head)

    def _give_up(self, written: asyncio.Future[None]) -> None:
        if written.done() or written not in self._queue:
            return
        log.error(
            "guard: the disk does not answer: commands no longer wait for it, and a restart in "
            "the meantime would not know what they withdraw"
        )
        self._late = written
        self._queue = deque(item for item in self._queue if isinstance(item, list))
        self._pass_on()

    def _pass_on(self) -> None:
        while self._queue:
            head = self._queue[0]
            if isinstance(head, list):
                self._write(head)
            elif not head.done():
                break
            self._queue.popleft()
