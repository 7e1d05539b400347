"""`rsfilter run`: wires the rooms together, and is the only owner of asyncio tasks.

Threads: one reads stdin, one writes stdout (`exabgp.pipe`), one writes the audit log, one for each
RTR cache. Everything else happens on the loop, in turns: take the lines that have come, let the
filter work, hand on what follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from rsfilter import __version__
from rsfilter.audit.log import AuditLog
from rsfilter.audit.record import ServiceEvent
from rsfilter.commands.output import FAILED, INVALID
from rsfilter.config.build import ReadinessConfig
from rsfilter.config.model import Config
from rsfilter.edge import alarms, guard_file
from rsfilter.edge.data_feed import DataFeed
from rsfilter.edge.ending import WORK_SIGNALS, Ending, within
from rsfilter.edge.pipe import CommandWriter, LineReader, private_stdout
from rsfilter.edge.readiness import ReadinessWatcher
from rsfilter.edge.recorder import Recorder
from rsfilter.edge.reload import Reloader
from rsfilter.edge.state_files import StateFiles
from rsfilter.edge.turn import Turn
from rsfilter.exabgp.decode import decode, may_wait
from rsfilter.exabgp.messages import Shutdown
from rsfilter.exabgp.speaker import VARIABLE, read_speaker
from rsfilter.exabgp.unsettled import SETTLED
from rsfilter.exabgp.unsupported import UnsupportedExaBgpError
from rsfilter.pipeline.inputs import Input, Lines, Moment, TruthRead
from rsfilter.pipeline.outputs import DataInForce, Outputs
from rsfilter.pipeline.pipeline import STOP, Pipeline
from rsfilter.routing.drain import DrainState
from rsfilter.routing.events import DrainRequested, DrainSource, GuardReleased
from rsfilter.util.text import clean_lines
from rsfilter.util.threads import on_own_thread
from rsfilter.web.context import Running
from rsfilter.web.server import WebServer

if TYPE_CHECKING:
    from rsfilter.fleet.supervisor import Supervisor

log = logging.getLogger(__name__)

WRITE_S = 2.5
"""Seconds for the last commands, audit records and held routes at the end: these go first."""

STOP_S = 1.0
"""Seconds for everything else to stop, all in parallel. Slower parts are left behind; together with
`WRITE_S` that is less than `ending.END_S`."""

SPARE_S = 0.2
"""Seconds beyond `WRITE_S` for writers that still have to report losses."""

EXPIRED_S = 0.001
"""Seconds after its last second at which an entry of the truth expires."""

CLOCK_CHECK_S = 60.0
"""Seconds between checks of the time of day, by which entries expire, and which may be set while no
event occurs."""

COLLECTOR = (10_000, 10, 1 << 30)
"""Thresholds of Python's collector of reference cycles. Routes make no cycles, and a collection
scans millions of objects: with the defaults that stops everything for 0.3 s at 300,000 routes
and takes a quarter of the time. Young objects are still collected, for 20 ms at most; old ones
never."""

SWITCH_INTERVAL_S = 0.001
"""Seconds after which a thread yields the interpreter to a waiting one. A route passes three
threads; with Python's 5 ms that takes 15 ms while a fourth thread reads a truth or the audit
log."""


def run(config: Config, record: Path | None, ending: Ending) -> int:
    """Run until stdin ends, ExaBGP reports its shutdown, or a signal arrives; then end the process.

    `record`: a file to record all input in, for `rsfilter replay`.
    """
    gc.set_threshold(*COLLECTOR)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # Not asyncio.run, which at the end waits for threads, and for tasks that wait for them.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        code = loop.run_until_complete(_serve(config, record, ending))
    except UnsupportedExaBgpError as error:
        sys.stderr.write(clean_lines(f"{error}\n"))
        code = ending.linger(INVALID)
    except Exception:
        log.critical("the filter cannot run", exc_info=True)
        code = ending.linger(FAILED)
    ending.leave(code)
    return code


async def _serve(config: Config, record: Path | None, ending: Ending) -> int:
    return await Service(config, record, ending, 0, private_stdout()).run()


class Service:
    """The running filter. Made and run on the event loop."""

    def __init__(
        self, config: Config, record: Path | None, ending: Ending, stdin: int, stdout: int
    ) -> None:
        """`stdin`, `stdout`: the descriptors of the pipe to ExaBGP."""
        loop = asyncio.get_running_loop()
        self._config = config
        self._ending = ending
        self._pipeline = Pipeline(config)
        self._audit = AuditLog(config.audit.directory)
        self._recorder = Recorder(record) if record else None
        self._feed = DataFeed(config, self._pipeline.sources, self._apply)
        self._fleet = _shipping(config)
        self._wake = asyncio.Event()
        self._reader = LineReader(
            stdin, lambda: loop.call_soon_threadsafe(self._wake.set), may_wait
        )
        self._writer = CommandWriter(
            stdout, lambda: loop.call_soon_threadsafe(self._end, "stdout is closed")
        )
        self._running = Running(
            config=config,
            filter=self._pipeline.filter,
            sources=self._pipeline.sources,
            audit=self._audit,
            reader=self._reader,
            writer=self._writer,
            release_guard=self.release_guard,
            drain=self.keep_drain,
            reload=self.reload,
            speaker=read_speaker(os.environ.get(VARIABLE)),
            watcher=self._feed.watcher,
            caches=self._feed.caches,
            fleet=self._fleet,
        )
        self._web = WebServer(self._running)
        self._files = StateFiles(config.audit.directory, self._writer.write)
        self._readiness = ReadinessWatcher(
            config.readiness or ReadinessConfig(), self._readiness_changed
        )
        self._reloader = Reloader(
            self._running, self._pipeline.filter.engine, self._feed, self._apply, self._configured
        )
        self._pending: list[bytes] = []
        """Lines that were read and wait for their turn."""
        self._is_ending = False
        self._is_closed = False
        """The last record has been written: nothing that happens now has an effect any more."""
        self._failure: Exception | None = None
        """Exception raised by an input. The state may be inconsistent, so the process ends."""
        self._revalidating_since: float | None = None
        """Arrival of the oldest data that are on their way through the table."""

    async def run(self) -> int:
        """See `run`."""
        loop = asyncio.get_running_loop()
        self._ending.at_signal(lambda why: loop.call_soon_threadsafe(self._end, why))
        loop.add_signal_handler(signal.SIGHUP, self._reloader.start, "SIGHUP")
        loop.add_signal_handler(signal.SIGUSR1, log.warning, "SIGUSR1 is for ExaBGP: ignored")
        loop.add_signal_handler(signal.SIGUSR2, self.release_guard, GuardReleased("SIGUSR2"))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WORK_SIGNALS)  # those that came are for us now
        begun = Moment(time.monotonic(), time.time())
        self._note(
            "start",
            begun,
            configuration=str(self._config.path),
            version=__version__,
            speaker=msgspec.to_builtins(self._running.speaker),
        )
        self._reader.start()
        self._writer.start()
        if self._fleet:
            self._fleet.start(begun.time)
        try:
            await self._start()
            await self._turns()
            if self._failure:
                raise self._failure
        except Exception:
            self._ending.arm(lingers=True)
            raise
        finally:
            await self._close()
        return 0

    async def _start(self) -> None:
        """Read the files of the last process, and start the sources of data. The end does not wait
        for it."""
        starting = asyncio.create_task(self._start_all(), name="start")
        starting.add_done_callback(lambda _: self._wake.set())
        while not self._is_ending and not starting.done():
            lines = self._reader.take()
            self._pending += lines
            if any(b'"shutdown"' in line and isinstance(decode(line), Shutdown) for line in lines):
                self._end("ExaBGP shuts down")
            self._end_if_late()
            await self._wait(None)
        if starting.done():
            starting.result()
            self._wake.set()  # for what came meanwhile
        starting.cancel()

    async def _start_all(self) -> None:
        await self._restore()
        await self._web.start()
        await self._readiness.start()  # before the first turn, so that nothing is announced
        await self._feed.start()

    async def _close(self) -> None:
        """Write all known state, even after a failure. Only then stop the other parts. Each part
        has its share of the time, and one that hangs is left behind."""
        self._running.is_ending = True
        self._reader.stop()
        try:
            self._note(STOP)
        finally:
            self._is_closed = True
            recorder = self._recorder
            await within(
                WRITE_S + SPARE_S,
                {
                    **self._files.stop(),
                    "ExaBGP": on_own_thread(self._writer.close, WRITE_S),
                    "the audit log": on_own_thread(self._audit.close, WRITE_S),
                    **({"recording": on_own_thread(recorder.close, WRITE_S)} if recorder else {}),
                },
            )
            if self._fleet:
                self._fleet.close()
            await within(
                STOP_S,
                {
                    "HTTP": self._web.stop(),
                    "the readiness files": self._readiness.stop(),
                    **self._feed.stop(),
                },
            )

    def _end(self, why: str, *, lingers: bool = False) -> None:
        if not self._is_ending:
            log.info("ending: %s", why)
        self._is_ending = True
        self._ending.arm(lingers=lingers)
        self._wake.set()

    def _end_if_late(self) -> None:
        """End the process if the time for input read before the end of stdin is over."""
        if self._reader.is_at_end:
            self._ending.arm()
        until = self._ending.input_until
        if until is not None and time.monotonic() >= until:
            self._end(f"stdin has ended, and {len(self._pending)} lines of it are not processed")

    def _note(self, event: str, moment: Moment | None = None, **fields: object) -> None:
        self._apply(ServiceEvent(event, fields), moment)

    # What comes in, and what follows -----------------------------------------------------------

    def _apply(self, what: Input, moment: Moment | None = None) -> None:
        """Take in one input. If that fails, so does the filter: ExaBGP starts another, which is
        better than one that has judged half of its table. `moment`: its time, if not now."""
        if self._is_closed:
            return
        moment = moment or Moment(time.monotonic(), time.time())
        try:
            if isinstance(what, TruthRead):
                self._running.truth_loaded = moment.time
            self._publish(self._pipeline.apply(what, moment), moment)
        except Exception as error:
            self._failure = error
            self._end("a failure", lingers=True)
            raise
        finally:  # also what is too much for the filter: that above all
            if self._recorder:
                self._recorder.write(moment, what)
        if not isinstance(what, Lines):
            self._wake.set()  # what it needs time for goes on in the turns, which may be asleep

    def _publish(self, out: Outputs, moment: Moment) -> None:
        """Hand on what follows, each in time for the next."""
        self._files.pass_on(out)
        if out.audit:
            self._audit.extend(moment.time, out.audit)
            self._web.publish(moment.time, out.audit)
        alarms.log_events(out.audit, out.notices)
        self._measure(out, moment)

    def _measure(self, out: Outputs, moment: Moment) -> None:
        """Note how long data are on their way through the table."""
        if any(isinstance(notice, DataInForce) for notice in out.notices):
            self._revalidating_since = self._revalidating_since or moment.now
        if self._revalidating_since and not out.is_busy:
            self._web.api.metrics.revalidated(time.monotonic() - self._revalidating_since)
            self._revalidating_since = None

    # Turns -------------------------------------------------------------------------------------

    async def _turns(self) -> None:
        pending = self._pending
        while not self._is_ending:
            is_at_end = self._reader.is_at_end  # before the last lines are taken, not after
            pending += self._reader.take()
            del pending[: self._turn(pending)]
            if self._pipeline.filter.lines.unsupported:
                raise UnsupportedExaBgpError(self._pipeline.filter.lines.unsupported)
            if self._pipeline.filter.is_shut_down:
                self._end("ExaBGP shuts down")
            elif not pending and is_at_end:
                self._end("stdin has ended")
            elif pending:
                self._end_if_late()
                await asyncio.sleep(0)
            else:
                await self._wait(self._pipeline.next_timer())

    def _turn(self, pending: list[bytes]) -> int:
        """Work on as many lines as a turn has time for; return how many."""
        started, turn = time.monotonic(), Turn(pending)
        self._apply(Lines(turn))
        if turn.lines:
            self._web.api.metrics.turned(len(turn.lines), time.monotonic() - started)
        return len(turn.lines)

    async def _wait(self, timer: float | None) -> None:
        """Wait for an event or for a timer; at the end, no longer than the remaining time."""
        times = [at for at in (timer, self._ending.input_until) if at is not None]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        if (last := self._pipeline.next_expiry) is not None:
            until = min(max(0.0, last - time.time()) + EXPIRED_S, CLOCK_CHECK_S)
            timeout = until if timeout is None else min(until, timeout)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        self._wake.clear()

    async def _restore(self) -> None:
        """The filter goes on where the process before this one ended."""
        before = await self._files.load()
        if before.unsettled != SETTLED:
            self._apply(before.unsettled)
        self._files.start(before, self._pipeline.take_records)
        if before.guard != guard_file.NOTHING:
            self._apply(before.guard)
        if before.drain_by is not None:
            self.drain(True, before.drain_by)

    # Requests of the operator ----------------------------------------------------------------

    def release_guard(self, request: GuardReleased) -> None:
        """Release routes that the guard holds."""
        if self._pipeline.filter.engine.guard.held == 0:
            log.warning("guard: release by %s: nothing is held", request.by)
        self._apply(request)

    @property
    def drain_state(self) -> DrainState:
        """Return the service state, and the requesters that keep the filter out of service."""
        return self._pipeline.filter.drain_state

    def drain(self, on: bool, by: str, source: DrainSource = "operator") -> None:
        """Leave service, or return if no other source requests a drain; `by` is the requester, for
        display."""
        self._apply(DrainRequested(source, on, by))

    async def keep_drain(self, on: bool, by: str) -> str:
        """`drain`, over restarts too. Why a restart would forget it, for people; empty: it will
        not."""
        self.drain(on, by)
        return await self._files.keep_drain(by if on else None)

    async def reload(self, by: str, *, is_forced: bool = False) -> list[str]:
        """See `Reloader.reload`."""
        return await self._reloader.reload(by, is_forced=is_forced)

    async def _configured(self, config: Config) -> None:
        """Pass another configuration on to the parts beside the pipeline that follow it."""
        if self._fleet:
            self._fleet.configure(config.hosts)
        await self._readiness.configure(config.readiness or ReadinessConfig())

    def _readiness_changed(self, why: str) -> None:
        self.drain(bool(why), why or "the files allow it", "readiness")


def _shipping(config: Config) -> Supervisor | None:
    if config.fleet is None:
        return None
    from rsfilter.fleet.supervisor import Supervisor  # of no use to a filter that stands alone

    return Supervisor(config.fleet, config.audit.directory, config.hosts)
