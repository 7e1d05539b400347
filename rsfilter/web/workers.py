"""Child processes for expensive requests, with limits set before they start.

The filter passes data to a worker over a pipe, in slices, and receives one response. A worker
cannot stop the filter: neither by its interpreter (a parser holds only that of its own process) nor
by its memory, and at the end of the filter workers are killed. A worker has a lower CPU priority
than the filter (nice), limits of memory and CPU time (`confinement`), and is killed when the
request ends for any reason: response, disconnect or timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from rsfilter.web.confinement import OUT_OF_MEMORY, WorkerLimits
from rsfilter.web.frames import LENGTH, frame, length_of
from rsfilter.web.requests import ApiError

RETRY_AFTER_S = 5
"""Seconds that a client is advised to wait if no worker is free."""


class WorkerKind(NamedTuple):
    """A program, and what each of its processes may take."""

    module: str
    """Module that `python -m` runs."""
    limits: WorkerLimits
    most: int
    """Processes at a time."""
    name: str
    """Description of its work, for messages."""


class Workers:
    """The processes of one kind."""

    def __init__(self, kind: WorkerKind) -> None:
        self._kind = kind
        self._free = kind.most
        self._freed = asyncio.Event()
        self._processes: set[asyncio.subprocess.Process] = set()
        self._reaping: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def one(self, wait_s: float = 0.0) -> AsyncIterator[Worker]:
        """A worker for one request; it is killed at the end. ApiError 503 when none is free for
        `wait_s` seconds, or it fails, or takes more than its limits."""
        await self._take_place(wait_s)
        try:
            process = await self._start()
        except BaseException:
            self._free_place()
            raise
        self._processes.add(process)
        try:
            yield Worker(process, self._kind)
        finally:
            self._kill(process)
            task = asyncio.create_task(self._reap(process), name="reap a worker")
            self._reaping.add(task)
            task.add_done_callback(self._reaping.discard)

    def kill(self) -> None:
        """Ends all of them, at the end of the filter."""
        for process in self._processes:
            self._kill(process)

    async def _take_place(self, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while self._free == 0:
                    self._freed.clear()
                    await self._freed.wait()
        if self._free == 0:
            raise ApiError(
                503,
                "busy",
                f"{self._kind.most} {self._kind.name} at a time; try again",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self._free -= 1

    def _free_place(self) -> None:
        self._free += 1
        self._freed.set()

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", self._kind.module),
                *(str(os.getpid()), *map(str, self._kind.limits)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise ApiError(503, "no_worker", f"no process can be started: {error}") from None

    @staticmethod
    def _kill(process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    async def _reap(self, process: asyncio.subprocess.Process) -> None:
        """Frees its place once it has gone: a disk that hangs may keep a process that was killed,
        and there must not be more and more of them."""
        await process.wait()
        self._processes.discard(process)
        self._free_place()


class Worker:
    """One process, from the side of the filter."""

    def __init__(self, process: asyncio.subprocess.Process, kind: WorkerKind) -> None:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
        self._process = process
        self._kind = kind
        self._stdin, self._stdout = process.stdin, process.stdout

    async def send(self, content: bytes) -> None:
        """One frame; empty: the end of a sequence. Waits while the worker does not read."""
        try:
            self._stdin.write(frame(content))
            await self._stdin.drain()
        except (ConnectionError, RuntimeError):
            raise await self._error() from None

    async def receive(self) -> bytes:
        """The next frame of its answer."""
        try:
            head = await self._stdout.readexactly(LENGTH.size)
            return await self._stdout.readexactly(length_of(head))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            raise await self._error() from None

    async def _error(self) -> ApiError:
        """Return why it ended without a response."""
        code = await self._process.wait()
        limits = self._kind.limits
        if code == -signal.SIGXCPU:
            detail = f"it takes more than {limits.cpu_s} s of CPU time"
        elif code == OUT_OF_MEMORY:
            detail = f"it takes more than {limits.memory >> 20} MiB of memory"
        else:
            detail = f"the worker ended with {code}; rsfilter's log may have the reason"
            return ApiError(503, "worker_failed", detail)
        return ApiError(413, "too_large", f"the request is too expensive: {detail}")
