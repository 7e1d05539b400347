"""Starts the shipping process of a filter, restarts it when it ends, and knows how it is.

Nothing here waits for the process: what it reports is read as it comes, and the end of the filter
is no more than closing a pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import time
from pathlib import Path

from msgspec import DecodeError, json

from rsfilter.config.build import FleetConfig
from rsfilter.fleet.messages import MAX_LINE, Report, Settings, line_of

log = logging.getLogger(__name__)

PROGRAM = (sys.executable, "-P", "-m", "rsfilter.fleet.worker")
"""-P: nothing is imported from the directory that ExaBGP happens to stand in."""

SILENT_S = 60.0
"""A process that has not reported for this long hangs; it reports once a second."""

RESTART_S = (1.0, 60.0)
"""First and longest wait before another process is started."""

LIVED_S = 60.0
"""A process that lived for this long was good: the waits begin anew."""


class Supervisor:
    """The shipping process. Made and used on the event loop."""

    def __init__(self, fleet: FleetConfig, directory: Path) -> None:
        """`directory` has the audit log."""
        self.instance = fleet.instance
        self.report = Report()
        """The last one."""
        self._settings = Settings.of(fleet, directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure = ""

    def start(self) -> None:
        """Start it, and keep it running."""
        self._task = asyncio.create_task(self._run(), name="fleet")

    def close(self) -> None:
        """Let it end by itself, after the last records: nobody waits for it."""
        if self._task is not None:
            self._task.cancel()
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    @property
    def problem(self) -> tuple[str, str]:
        """(name, text) of what is wrong; both empty if nothing is."""
        if self._failure:
            return "worker", self._failure
        return self.report.problem, self.report.detail

    async def _run(self) -> None:
        wait_s = RESTART_S[0]
        while True:
            started = time.monotonic()
            try:
                process = await asyncio.to_thread(self._spawn)
                await self._listen(process)
                self._fail(
                    f"the shipping process has ended ({process.returncode}); it is restarted"
                )
            except OSError as error:
                self._fail(f"the shipping process cannot be started: {error.strerror or error}")
            if time.monotonic() - started > LIVED_S:
                wait_s = RESTART_S[0]
            await asyncio.sleep(wait_s)
            wait_s = min(RESTART_S[1], wait_s * 2)

    def _spawn(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._process = process
        if process.stdin is not None:
            process.stdin.write(line_of(self._settings))
            process.stdin.flush()
        return process

    async def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Take its reports until it ends or hangs; then it is gone."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_LINE)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), process.stdout
        )
        try:
            with contextlib.suppress(TimeoutError, ValueError):
                while line := await asyncio.wait_for(reader.readline(), SILENT_S):
                    self._take(line)
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, 1.0)
        finally:
            transport.close()

    def _take(self, line: bytes) -> None:
        try:
            report = json.decode(line, type=Report)
        except DecodeError:
            return
        before = self.problem
        self.report, self._failure = report, ""
        if self.problem != before:
            self._log()

    def _fail(self, text: str) -> None:
        before, self._failure = self._failure, text
        if text != before:
            self._log()

    def _log(self) -> None:
        name, detail = self.problem
        if name:
            log.error("fleet: %s: %s", name, detail)
        else:
            log.info("fleet: shipping to the database goes on")
