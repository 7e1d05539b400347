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
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import msgspec

from rsfilter import __version__
from rsfilter.audit.log import AuditLog
from rsfilter.audit.record import ServiceEvent
from rsfilter.commands.output import FAILED, INVALID
from rsfilter.config import changes
from rsfilter.config.build import ReadinessConfig, parse_config, read_config
from rsfilter.config.model import Config, ConfigError
from rsfilter.edge import alarms, drain_file, guard_file, unsettled_file
from rsfilter.edge.ending import WORK_SIGNALS, Ending
from rsfilter.edge.guard_keeper import CommandGate, GuardKeeper
from rsfilter.edge.pipe import CommandWriter, LineReader, private_stdout
from rsfilter.edge.readiness import ReadinessWatcher
from rsfilter.edge.recorder import Recorder
from rsfilter.edge.truth_watcher import Reading, TruthWatcher
from rsfilter.edge.turn import Turn
from rsfilter.exabgp.decode import decode, may_wait
from rsfilter.exabgp.messages import Shutdown
from rsfilter.exabgp.speaker import VARIABLE, read_speaker
from rsfilter.exabgp.unsettled import SETTLED
from rsfilter.exabgp.unsupported import UnsupportedExaBgpError
from rsfilter.pipeline.inputs import (
    Configured,
    Input,
    Lines,
    Moment,
    RtrGone,
    RtrRead,
    TruthRead,
)
from rsfilter.pipeline.outputs import DataInForce, Outputs
from rsfilter.pipeline.pipeline import STOP, Pipeline
from rsfilter.routing.drain import DrainState
from rsfilter.routing.events import DrainAsked, DrainSource, GuardReleased
from rsfilter.routing.groups import Neighbors
from rsfilter.routing.guard import Haste
from rsfilter.routing.impact import PolicyImpact
from rsfilter.rpki.truth import TruthError
from rsfilter.rpki.vrps import RtrSnapshot
from rsfilter.rtr.caches import RtrCaches
from rsfilter.util.text import clean_lines
from rsfilter.util.threads import on_own_thread
from rsfilter.web.context import Running
from rsfilter.web.server import WebServer

if TYPE_CHECKING:
    from rsfilter.fleet.supervisor import Supervisor

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

WRITE_S = 2.5
"""How long the last commands, audit records and held routes may take at the end: they go first."""

STOP_S = 1.0
"""How long everything else may take to stop, all at the same time. What takes longer is left
behind; together with `WRITE_S` that is less than `ending.END_S`."""

SPARE_S = 0.2
"""Beyond `WRITE_S`, for those who write to say what is lost."""

CONFIG_STALL_S = 60.0
"""A configuration file that does not answer for so long is an error of the reload."""

BEFORE_TIMEOUT_S = 2.0
"""For what the last process wrote. ExaBGP's lines wait meanwhile."""

EXPIRED_S = 0.001
"""After its last second an entry of the truth is in force no longer."""

CLOCK_CHECK_S = 60.0
"""Entries expire by the time of day, which somebody may set while nothing else happens."""

COLLECTOR = (10_000, 10, 1 << 30)
"""Thresholds of Python's collector of reference cycles. Routes make none, and there are millions of
objects to look through: with the default values that stops everything for 0.3 s at 300,000 routes
and takes a quarter of the time. The young are still searched, for 20 ms at most; the old never."""

SWITCH_INTERVAL_S = 0.001
"""After this long a thread gives the interpreter to another that waits for it. A route passes three
threads; with Python's 5 ms that takes 15 ms while a fourth reads a truth or the audit log."""


def run(config: Config, record: Path | None, ending: Ending) -> int:
    """Runs until stdin ends, ExaBGP says that it shuts down, or a signal; then ends the process.

    `record`: a file to record everything in that comes in, for `rsfilter replay`.
    """
    gc.set_threshold(*COLLECTOR)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # Not asyncio.run, which at the end waits for threads, and for tasks that wait for them.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        code = loop.run_until_complete(Service(config, record, ending).run())
    except UnsupportedExaBgpError as error:
        sys.stderr.write(clean_lines(f"{error}\n"))
        code = ending.linger(INVALID)
    except Exception:
        log.critical("the filter cannot run", exc_info=True)
        code = ending.linger(FAILED)
    ending.leave(code)
    return code


class Service:
    """The running filter."""

    def __init__(self, config: Config, record: Path | None, ending: Ending) -> None:
        self._config = config
        self._ending = ending
        self._pipeline = Pipeline(config)
        self._audit = AuditLog(config.audit.directory)
        self._recorder = Recorder(record) if record else None
        self._running = Running(
            config=config,
            filter=self._pipeline.filter,
            sources=self._pipeline.sources,
            audit=self._audit,
            release_guard=self.release_guard,
            drain=self.keep_drain,
            reload=self.reload,
            speaker=read_speaker(os.environ.get(VARIABLE)),
        )
        self._running.fleet = self._fleet = _shipping(config)
        self._web = WebServer(self._running)
        self._gate = CommandGate(lambda lines: self._writer.write(lines))
        self._drain_path = config.audit.directory / drain_file.NAME
        self._drain_keeper = drain_file.DrainKeeper(self._drain_path)
        self._guard_keeper: GuardKeeper | None = None
        self._unsettled: unsettled_file.UnsettledKeeper | None = None
        """Both are None until what the last process wrote is read."""
        self._readiness = ReadinessWatcher(
            config.readiness or ReadinessConfig(), self._readiness_changed
        )
        self._reload_lock = asyncio.Lock()
        self._reloads: set[asyncio.Task[list[str]]] = set()
        self._wake = asyncio.Event()
        self._pending: list[bytes] = []
        """Lines that were read and wait for their turn."""
        self._is_ending = False
        self._is_closed = False
        """The last record has been written: nothing that happens now has an effect any more."""
        self._failure: Exception | None = None
        """Of an input: the filter's state is not to be trusted."""
        self._revalidating_since: float | None = None
        """When the first of the data came that are on their way through the table."""

    async def run(self) -> int:
        """See `run`."""
        loop = asyncio.get_running_loop()
        self._ending.at_signal(lambda why: loop.call_soon_threadsafe(self._end, why))
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        loop.add_signal_handler(signal.SIGUSR1, log.warning, "SIGUSR1 is for ExaBGP: ignored")
        loop.add_signal_handler(signal.SIGUSR2, self.release_guard, GuardReleased("SIGUSR2"))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WORK_SIGNALS)  # those that came are for us now
        self._reader = LineReader(0, lambda: loop.call_soon_threadsafe(self._wake.set), may_wait)
        self._writer = CommandWriter(
            private_stdout(), lambda: loop.call_soon_threadsafe(self._end, "stdout is closed")
        )
        self._running.reader, self._running.writer = self._reader, self._writer
        self._note(
            "start",
            configuration=str(self._config.path),
            version=__version__,
            speaker=msgspec.to_builtins(self._running.speaker),
        )
        self._reader.start()
        self._writer.start()
        if self._fleet:
            self._fleet.start()
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
        """Reads what the last process wrote, and starts what delivers data. The end does not wait
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
        await self._start_data()

    async def _close(self) -> None:
        """Writes what is known, also when something has failed: then most of all. Only then stops
        the rest. Each part has its share of the time, and what hangs is left behind."""
        self._running.is_ending = True
        self._reader.stop()
        try:
            self._note(STOP)
        finally:
            self._is_closed = True
            self._gate.open()
            keeper, unsettled, recorder = self._guard_keeper, self._unsettled, self._recorder
            await _within(
                WRITE_S + SPARE_S,
                {
                    "ExaBGP": on_own_thread(self._writer.close, WRITE_S),
                    "the audit log": on_own_thread(self._audit.close, WRITE_S),
                    "what the guard knows": keeper.stop() if keeper else None,
                    "which routers are settled": unsettled.stop() if unsettled else None,
                    "the recording": on_own_thread(recorder.close, WRITE_S) if recorder else None,
                },
            )
            if self._fleet:
                self._fleet.close()
            running = self._running
            await _within(
                STOP_S,
                {
                    "HTTP": self._web.stop(),
                    "the readiness files": self._readiness.stop(),
                    "the truth": running.watcher.stop() if running.watcher else None,
                    "the RTR caches": running.caches.stop() if running.caches else None,
                },
            )

    def _end(self, why: str, *, lingers: bool = False) -> None:
        if not self._is_ending:
            log.info("ending: %s", why)
        self._is_ending = True
        self._ending.arm(lingers=lingers)
        self._wake.set()

    def _end_if_late(self) -> None:
        """After the end of stdin there is little time for what was read before it."""
        if self._reader.is_at_end:
            self._ending.arm()
        until = self._ending.input_until
        if until is not None and time.monotonic() >= until:
            self._end(f"stdin has ended, and {len(self._pending)} lines of it are not worked on")

    def _note(self, event: str, **fields: object) -> None:
        self._apply(ServiceEvent(event, fields))

    # What comes in, and what follows -----------------------------------------------------------

    def _apply(self, what: Input) -> None:
        """Take in one input. If that fails, so does the filter: ExaBGP starts another, which is
        better than one that has judged half of its table."""
        if self._is_closed:
            return
        moment = Moment(time.monotonic(), time.time())
        try:
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
        if self._unsettled:
            self._unsettled.take(out.unsettled)
        if self._guard_keeper and out.haste:
            written = self._guard_keeper.write()
            if out.haste is Haste.FIRST:
                self._gate.wait_for(written)
        if out.commands:
            self._gate.write(out.commands)
        if out.audit:
            self._audit.extend(moment.time, out.audit)
            self._web.told(moment.time, out.audit)
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
            if self._pipeline.filter.unsupported:
                raise UnsupportedExaBgpError(self._pipeline.filter.unsupported)
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
        """Waits until something happens, or for a timer; at the end not longer than there is."""
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
        directory = self._config.audit.directory
        unsettled, guard = directory / unsettled_file.NAME, directory / guard_file.NAME
        under_way, known, drain_by = await asyncio.gather(
            _before(SETTLED, unsettled_file.load, unsettled),
            _before(guard_file.NOTHING, guard_file.load, guard, time.time()),
            _before(None, drain_file.load, self._drain_path),
        )
        if under_way != SETTLED:
            self._apply(under_way)
        self._unsettled = unsettled_file.UnsettledKeeper(unsettled, under_way)
        self._unsettled.start()
        self._guard_keeper = GuardKeeper(guard, known, self._pipeline.take_records)
        self._guard_keeper.start()
        if known != guard_file.NOTHING:
            self._apply(known)
        if drain_by is not None:
            self.drain(True, drain_by)

    # What the operator asks for -----------------------------------------------------------------

    def release_guard(self, asked: GuardReleased) -> None:
        """Release routes that the guard holds."""
        if self._pipeline.filter.engine.guard.held == 0:
            log.warning("guard: %s, and nothing is held", asked.by)
        self._apply(asked)

    @property
    def drain_state(self) -> DrainState:
        """Whether the filter is in service, and who keeps it out."""
        return self._pipeline.filter.drain_state

    def drain(self, on: bool, by: str, source: DrainSource = "operator") -> None:
        """Leaves service, or comes back if nobody else wants it out; `by` says who, for people."""
        self._apply(DrainAsked(source, on, by))

    async def keep_drain(self, on: bool, by: str) -> str:
        """`drain`, over restarts too. Why a restart would forget it, for people; empty: it will
        not."""
        self.drain(on, by)
        return await self._drain_keeper.keep(by if on else None)

    def _hang_up(self) -> None:
        task = asyncio.create_task(self.reload("SIGHUP"), name="reload")
        self._reloads.add(task)  # else it may vanish in the middle
        task.add_done_callback(self._reloads.discard)

    async def reload(self, by: str, *, is_forced: bool = False) -> list[str]:
        """Takes in the configuration and the truth as their files are now. What is wrong with the
        configuration, one text each: then the one that is in force stays. `is_forced`: what it
        would take away is meant."""
        async with self._reload_lock:
            problems = await self._reload_config(by, is_forced=is_forced)
        if self._running.watcher:
            await self._running.watcher.reload()
        return problems

    async def _reload_config(self, by: str, *, is_forced: bool) -> list[str]:
        path = self._config.path
        try:
            async with asyncio.timeout(CONFIG_STALL_S):
                text, wanted = await on_own_thread(_read_config, path)
        except ConfigError as error:
            problems = error.problems
        except TimeoutError:
            problems = [f"{path}: has not answered for {CONFIG_STALL_S:.0f} s"]
        else:
            problems = [f"{path}: {why}" for why in changes.refusals(self._config, wanted)]
            if not problems and not is_forced:
                problems = [f"{path}: {why}" for why in await self._losses(wanted)]
        self._running.reload_problems = problems
        if problems:
            log.error("the configuration that is in force stays: %s", "; ".join(problems))
            self._note("reload_refused", by=by, problems=problems[:10])
            return problems
        await self._configure(wanted, text, by, is_forced=is_forced)
        return []

    async def _losses(self, wanted: Config) -> list[str]:
        """Why the guard refuses a configuration: what it would take away, if that is too much."""
        if wanted.hosts == self._config.hosts:
            return []
        engine = self._pipeline.filter.engine
        impact = PolicyImpact(Neighbors(wanted.hosts, wanted.routers), engine.data)
        for _ in impact.judge(engine.rib_in):
            await asyncio.sleep(0)
        guard = engine.guard
        if guard.allows(impact.lost, impact.accepted):
            return []
        before = f", beside {guard.lost} that were lost before" if guard.lost else ""
        return [
            f"hosts: this would reject {impact.lost} of {impact.accepted} accepted routes{before}: "
            "more than [guard] allows. If that is meant, say so: rsfilter reload --force"
        ]

    async def _configure(
        self, wanted: Config, text: str, by: str, *, is_forced: bool = False
    ) -> None:
        sections = changes.changed(self._config, wanted)
        log.info("configuration read again: %s", ", ".join(sections) or "no change")
        self._note("reload", by=by, sections=sections)
        if not sections:
            return
        self._config = self._running.config = wanted
        self._apply(Configured(wanted, text, is_forced=is_forced))
        if self._fleet:
            self._fleet.configure(wanted.hosts)
        await self._readiness.configure(wanted.readiness or ReadinessConfig())

    def _readiness_changed(self, why: str) -> None:
        self.drain(bool(why), why or "the files allow it", "readiness")

    # Data --------------------------------------------------------------------------------------

    async def _start_data(self) -> None:
        await self._readiness.start()  # before the first turn, so that nothing is announced
        if self._config.truth:
            watcher = TruthWatcher(
                self._config.truth.file,
                self._truth_loaded,
                self._truth_refused,
                may_be_empty=self._config.truth_may_be_empty,
            )
            self._running.watcher = watcher
            await watcher.start()
        if rtr := self._config.rtr:
            caches = RtrCaches(
                rtr.caches,
                refresh=rtr.refresh,
                retry=rtr.retry,
                expire=rtr.expire,
                on_change=self._rtr_changed,
                on_expired=self._rtr_expired,
            )
            await caches.start()
            self._running.caches = caches
            asyncio.get_running_loop().call_later(rtr.startup_wait, self._give_up)

    async def _truth_loaded(self, reading: Reading) -> None:
        truth = reading.truth
        for warning in truth.warnings:
            log.warning("%s", warning)
        prepared = await asyncio.to_thread(self._pipeline.sources.prepare_truth, truth)
        self._running.truth_loaded = time.time()
        file = str(self._config.truth.file) if self._config.truth else ""
        self._apply(TruthRead(truth, reading.content, file, reading.at, prepared))

    def _truth_refused(self, error: TruthError) -> None:
        log.error("the truth that is in force stays: %s", error)
        self._note("truth_refused", problems=[str(p) for p in error.problems[:10]])

    async def _rtr_changed(self, snapshot: RtrSnapshot, reason: str) -> None:
        prepared = await asyncio.to_thread(self._pipeline.sources.prepare_rtr, snapshot)
        self._apply(RtrRead(snapshot, reason, prepared))

    def _rtr_expired(self) -> None:
        log.error("no RTR cache has been fresh for so long that its data have expired")
        self._note("rtr_expired")
        self._apply(RtrGone("expired"))

    def _give_up(self) -> None:
        if not self._pipeline.sources.waits_for_caches:
            return
        log.error("no RTR cache has delivered: what it would decide is rejected")
        self._note("rtr_given_up")
        self._apply(RtrGone("given_up"))


async def _within(seconds: float, parts: Mapping[str, Coroutine[Any, Any, object] | None]) -> None:
    """Runs the parts side by side for so long; those that take longer are left behind."""
    tasks = {name: asyncio.create_task(part) for name, part in parts.items() if part is not None}
    await asyncio.wait(tasks.values(), timeout=seconds)
    for name, task in tasks.items():
        if not task.done():
            log.warning("the end does not wait for %s", name)
        elif not task.cancelled() and (error := task.exception()):
            log.error("at the end: %s: %r", name, error)


async def _before(nothing: T, load: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the last process wrote: `nothing` where the disk does not answer."""
    try:
        async with asyncio.timeout(BEFORE_TIMEOUT_S):
            return await on_own_thread(load, *args, **kwargs)
    except TimeoutError:
        log.error("restart: the disk does not answer, and is left out: %s", *args[:1])
        return nothing


def _read_config(path: Path) -> tuple[str, Config]:
    text = read_config(path)
    return text, parse_config(text, path)


def _shipping(config: Config) -> Supervisor | None:
    if config.fleet is None:
        return None
    from rsfilter.fleet.supervisor import Supervisor  # of no use to a filter that stands alone

    return Supervisor(config.fleet, config.audit.directory, config.hosts)
