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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import DecodeError, json
from msgspec.structs import replace

from rsfilter.audit.record import timestamp
from rsfilter.config.build import FleetConfig
from rsfilter.fleet.messages import MAX_LINE, GroupSettings, Settings, ShippingReport, line_of
from rsfilter.fleet.state import CAUSES
from rsfilter.routing.groups import HostGroup

log = logging.getLogger(__name__)

PROGRAM = (sys.executable, "-P", "-m", "rsfilter.fleet.worker")
"""-P: nothing is imported from the directory that ExaBGP happens to stand in."""

SILENT_S = 60.0
"""A process that has not reported for this long hangs; it reports once a second."""

RESTART_S = (1.0, 60.0)
"""First and longest wait before another process is started."""

MAX_NAMED = 5
"""Instances that a warning names."""

LIVED_S = 60.0
"""A process that lived for this long was good: the waits begin anew."""


class Supervisor:
    """The shipping process. Made and used on the event loop."""

    def __init__(
        self, fleet: FleetConfig, directory: Path, hosts: Sequence[HostGroup] = ()
    ) -> None:
        """`directory` has the audit log. `hosts` are the groups whose routes are compared."""
        self.name, self.instance = fleet.name, fleet.instance
        self.report = ShippingReport()
        """The last one."""
        self._settings = Settings.of(fleet, directory, hosts)
        self._process: subprocess.Popen[bytes] | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure = ""
        self._is_replaced = False
        """True if it was requested to end, so that another one takes its place."""

    def start(self, started: float) -> None:
        """Start it, and keep it running. `started`: time of the `start` record of the log, in
        seconds since the epoch."""
        self._settings = replace(self._settings, started=timestamp(started))
        self._task = asyncio.create_task(self._run(), name="fleet")

    def configure(self, hosts: Sequence[HostGroup]) -> None:
        """Compare by other groups from now on: another process does, which reads the log anew."""
        self._settings = replace(self._settings, groups=tuple(map(GroupSettings.of, hosts)))
        self._is_replaced = True
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def close(self) -> None:
        """Let it end by itself, after the last records, without waiting for it."""
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

    def warnings(self) -> Iterator[tuple[str, str]]:
        """(name, text) of what people should know of."""
        name, text = self.problem
        if name:
            yield name, text
        if silent := [peer.instance for peer in self.report.peers if peer.is_silent]:
            yield "silent", f"silent: {', '.join(silent[:MAX_NAMED])}"
        causes = Counter(one.cause for one in self.report.differences)
        for cause, count in sorted(causes.items()):
            example = next(one for one in self.report.differences if one.cause == cause)
            yield (
                f"differs_{cause}",
                f"{count} routes differ from {example.peer} ({CAUSES[cause]}), such as "
                f"{example.prefix} of {example.host}: rsfilter fleet diff",
            )

    async def _run(self) -> None:
        wait_s = RESTART_S[0]
        while True:
            started = time.monotonic()
            try:
                process = await asyncio.to_thread(self._spawn)
                await self._listen(process)
                if not self._is_replaced:
                    self._fail(
                        f"the shipping process has ended ({process.returncode}); it is restarted"
                    )
                self._is_replaced = False
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
        reports = Reports(self._take)
        transport, _ = await loop.connect_read_pipe(lambda: reports, process.stdout)
        try:
            await reports.ended()
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, 1.0)
        finally:
            transport.close()

    def _take(self, line: bytes) -> None:
        try:
            report = json.decode(line, type=ShippingReport)
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
            log.info("fleet: shipping to the database continues")


class Reports(asyncio.Protocol):
    """Splits what the process writes into lines. A stream with a timeout for each line would take
    ten times as many calls of the loop that filters."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._rest = b""
        self._is_heard = True
        self._has_ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Take whole lines."""
        self._is_heard = True
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._rest) > MAX_LINE:
            self._has_ended.set()

    def connection_lost(self, _: Exception | None) -> None:
        """Note that no more will come."""
        self._has_ended.set()

    async def ended(self) -> None:
        """Wait until nothing more comes: the process has ended, writes no lines, or was silent for
        `SILENT_S` at least, and twice that at most."""
        while self._is_heard:
            self._is_heard = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_ended.wait(), SILENT_S)
                return
