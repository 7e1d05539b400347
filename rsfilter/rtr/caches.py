"""The RTR caches: all connected at once, one active (RFC 8210).

Owns the connections, the active snapshot and its age. Snapshots are always complete: a cache that
restarts, disconnects or sends garbage never appears as a moment with fewer VRPs. `librtr.py`
delivers the snapshots, `failover.py` chooses between them.

An empty table counts as a fault of the cache, not as data: no working validator has an empty table,
and "no VRPs" would make every route NotFound.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import operator
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from rsfilter.rpki.vrps import Difference, RtrSnapshot
from rsfilter.rtr import librtr
from rsfilter.rtr.ages import MAX_PREFIXES, NO_LIMITS, AgeLimits, Differences, Standing
from rsfilter.rtr.failover import CacheChoice, Failover, grace_of
from rsfilter.rtr.librtr import CachedVrps, Connection, Report, RtrError
from rsfilter.util.addresses import CacheAddress
from rsfilter.util.threads import on_own_thread

__all__ = ["CacheAddress", "CacheStatus", "RtrCaches", "RtrError", "RtrSnapshot"]

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 3.0
"""Timeout for threads of librtr that wait for a name server or a host. After it they are left
behind: they hold only their socket."""

COMPARING_SHARE = 100
"""A comparison of two caches waits so many times as long as the last one took."""


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """Status of one cache, for display."""

    address: CacheAddress
    state: str
    """One of `librtr.STATES`."""
    decides: bool
    """True for the cache whose data are active."""
    is_fresh: bool
    age: float | None
    """Seconds since the cache last confirmed its data; None if it never did."""
    session: int
    serial: int
    vrps: int
    dropped: int
    """Records that are not possible VRPs."""
    errors: int
    """Lost connections and failed synchronisations."""
    expire: float
    """Seconds after which its data expire: ours, or the cache's own if that is less."""
    unchanged: float | None
    """Seconds since its data last changed, as far as this process has seen; None if there are
    none."""
    is_unchanged_long: bool
    """True if that is too long."""
    missing: int
    """VRPs that the deciding cache has and it does not."""
    extra: int
    """VRPs that it has and the deciding cache does not."""
    differs: float | None
    """Seconds for which the oldest difference has lasted; None if there is none."""
    lasting: int
    """Prefixes that have differed for too long."""


class RtrCaches:
    """Keeps the newest complete snapshot of the active cache.

    `caches`: in order of preference. `refresh`, `retry`, `expire`: seconds. `ages`: limits of
    other ages, for display. `on_change(snapshot, reason)`: other VRPs are active, or the same VRPs
    are fresh again. It is awaited before the next callback. `on_expired()`: no cache has been fresh
    for `expire` seconds; the last snapshot is stale. Both are called on the event loop and must not
    block.
    """

    def __init__(
        self,
        caches: Iterable[CacheAddress],
        *,
        refresh: int,
        retry: int,
        expire: int,
        on_change: Callable[[RtrSnapshot, str], Awaitable[None]],
        on_expired: Callable[[], None],
        ages: AgeLimits = NO_LIMITS,
    ) -> None:
        self._caches = [_Connected(address) for address in caches]
        self._refresh = refresh
        self._retry = retry
        self._failover = Failover(
            len(self._caches), refresh=refresh, grace=grace_of(retry), expire=expire
        )
        self._ages = ages
        self._comparisons: dict[frozenset[int | None], _Compared] = {}
        """The deciding cache with each other one, while both are fresh."""
        self._on_change = on_change
        self._on_expired = on_expired
        self._wake = asyncio.Event()
        self._wake_fd = -1
        """Event descriptor by which librtr's threads wake the loop; -1 before the start."""
        self._task: asyncio.Task[None] | None = None
        self._decides: int | None = None
        self._in_force: CachedVrps | None = None
        self._is_fresh = False

    async def start(self) -> None:
        """Connect to every cache. Raises RtrError if librtr refuses the settings."""
        if not log.isEnabledFor(logging.DEBUG):
            librtr.silence()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._wake_fd, self._woken)
        self._task = asyncio.create_task(self._run())
        try:
            for cache in self._caches:
                cache.connection = Connection(
                    cache.address, refresh=self._refresh, retry=self._retry, wake_fd=self._wake_fd
                )
                cache.connection.start()
        except RtrError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Disconnect; no callback follows. Takes at most `STOP_TIMEOUT_S`."""
        task, self._task = self._task, None
        if task is None:
            return
        asyncio.get_running_loop().remove_reader(self._wake_fd)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        connections = [cache.connection for cache in self._caches if cache.connection]
        threads = [threading.Thread(target=each.stop, daemon=True) for each in connections]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for thread in threads:
            await on_own_thread(thread.join, max(0.0, deadline - time.monotonic()))
        if not any(thread.is_alive() for thread in threads):
            os.close(self._wake_fd)  # else a thread of librtr still writes to it

    @property
    def is_fresh(self) -> bool:
        """Return whether the active data have not expired. False also before there are any."""
        return self._is_fresh

    def status(self) -> list[CacheStatus]:
        """Return the status of every cache, in order of preference."""
        now = time.monotonic()
        return [self._status(index, now) for index in range(len(self._caches))]

    def _status(self, index: int, now: float) -> CacheStatus:
        cache = self._caches[index]
        vrps = len(cache.table.vrps) if cache.table else 0
        unchanged = None if cache.standing.since is None else now - cache.standing.since
        is_fresh = self._failover.is_fresh(index, now)
        pair = self._comparisons.get(frozenset((index, self._decides)))
        limit = self._ages.max_differing
        return CacheStatus(
            address=cache.address,
            state=cache.report.state,
            decides=index == self._decides,
            is_fresh=is_fresh,
            age=None if cache.report.confirmed is None else now - cache.report.confirmed,
            session=cache.report.session,
            serial=cache.report.serial,
            vrps=vrps,
            dropped=cache.table.dropped if cache.table else 0,
            errors=cache.report.errors,
            expire=self._failover.expire_of(index),
            unchanged=unchanged,
            is_unchanged_long=is_fresh and self._ages.is_unchanged_long(unchanged, vrps),
            missing=pair.change_from(self._decides).removed if pair else 0,
            extra=pair.change_from(self._decides).added if pair else 0,
            differs=pair.differs_for(now) if pair else None,
            lasting=pair.differences.lasting(now, limit) if pair and limit else 0,
        )

    def _woken(self) -> None:
        os.eventfd_read(self._wake_fd)
        self._wake.set()

    async def _run(self) -> None:
        deadline: float | None = None
        while True:
            self._wake.clear()
            try:
                deadline = await self._turn()
            except Exception:
                log.exception("the RTR caches may hold other data than those in force")
                deadline = time.monotonic() + self._retry  # delayed, because it may fail again
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
            # Not wait_for: before Python 3.12 it loses a cancellation that coincides with a wake-
            # up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._wake.wait()

    async def _turn(self) -> float | None:
        """Apply the reports that arrived. Returns the time of the next turn if none arrives."""
        for index, cache in enumerate(self._caches):
            if cache.connection:
                await self._poll(index, cache, cache.connection.poll())
        decision = self._failover.decide(time.monotonic())
        await self._apply(decision)
        times = await self._compare(time.monotonic())
        times += [] if decision.deadline is None else [decision.deadline]
        if any(cache.unread is not None for cache in self._caches):
            times.append(time.monotonic() + self._retry)
        return min(times, default=None)

    async def _poll(self, index: int, cache: _Connected, report: Report) -> None:
        cache.unread = cache.unread if report.records is None else report.records
        if cache.unread is not None:
            await self._read(cache, cache.unread)
        if cache.is_empty or cache.unread is not None:
            was = cache.report
            report = report._replace(
                confirmed=was.confirmed,
                session=was.session,
                serial=was.serial,
                expire=was.expire,
                lost=was.lost or report.lost or time.monotonic(),
            )
        _log_change(cache, report)
        cache.report = report._replace(records=None)
        self._failover.report(index, report.confirmed, report.lost, report.expire)
        if report.confirmed is not None and cache.table is not None:
            cache.standing.report(
                report.session, report.serial, cache.table.digest, report.confirmed
            )

    async def _read(self, cache: _Connected, records: bytes) -> None:
        known = [other.table for other in self._caches if other.table]
        try:
            table = await asyncio.to_thread(_read_table, records, known)
        except Exception:  # no memory, no thread: the other caches continue
            log.exception("RTR cache %s: cannot read its data, trying again", cache.address)
            return
        cache.unread = None
        cache.is_empty = len(table.vrps) == 0
        if cache.is_empty:
            log.error("RTR cache %s has no VRPs: its data are not used", cache.address)
            return
        cache.table = table
        if table.dropped:
            log.warning("RTR cache %s: dropped %d non-VRPs", cache.address, table.dropped)

    async def _apply(self, decision: CacheChoice) -> None:
        if decision.cache is None:
            return
        before, self._decides = self._decides, decision.cache
        if not decision.is_fresh:
            if self._is_fresh:
                self._on_expired()
            self._is_fresh = False
            return
        cache = self._caches[decision.cache]
        table, report = cache.table, cache.report
        if table is None or report.confirmed is None:
            return
        if before not in (None, decision.cache):
            log.warning("RTR cache %s is now in use", cache.address)
        if self._is_fresh and self._in_force and self._in_force.digest == table.digest:
            return
        snapshot = RtrSnapshot(
            table.vrps,
            str(cache.address),
            report.session,
            report.serial,
            report.confirmed,
            table.digest.hex(),
        )
        await self._on_change(
            snapshot, f"{cache.address}, serial {report.serial}: {len(table.vrps)} VRPs"
        )
        self._in_force, self._is_fresh = table, True  # last, so that a failed step is repeated

    async def _compare(self, now: float) -> list[float]:
        """Compare the deciding cache with each other one. For display only: data are in force by
        now. Returns the times of comparisons that are put off."""
        put_off = []
        fresh = {
            index: cache.table
            for index, cache in enumerate(self._caches)
            if cache.table and self._failover.is_fresh(index, now)
        }
        pairs: dict[frozenset[int | None], _Compared] = {}
        active = None if self._decides is None else fresh.pop(self._decides, None)
        for index, table in fresh.items():
            if active is None:
                break
            key = frozenset((index, self._decides))
            pair = pairs[key] = self._comparisons.get(key) or _Compared()
            try:
                if not await pair.compare(self._decides, active, table, now):
                    put_off.append(pair.not_before)
            except Exception:  # no memory, no thread
                log.exception("RTR cache %s: cannot compare its data", self._caches[index].address)
        self._comparisons = pairs
        return put_off


class _Compared:
    """Two caches, and in what they differ."""

    def __init__(self) -> None:
        self.differences = Differences()
        self.change = _NO_CHANGE
        self.not_before = 0.0
        """Time of the next comparison: two caches of the whole RPKI take a second of CPU time, and
        change every minute."""
        self._tables: tuple[CachedVrps, CachedVrps] | None = None
        self._index: int | None = None

    def change_from(self, index: int | None) -> Difference:
        """Return the difference as seen from one of the two caches."""
        added, removed, prefixes = self.change
        return self.change if index == self._index else Difference(removed, added, prefixes)

    def differs_for(self, now: float) -> float | None:
        """Return the seconds for which the oldest difference has lasted; None if there is none."""
        return None if self.change == _NO_CHANGE else now - self.differences.since(now)

    async def compare(
        self, index: int | None, active: CachedVrps, other: CachedVrps, now: float
    ) -> bool:
        """Compare two tables, unless they were compared last. False: that is put off. `index`: the
        cache of the active one."""
        tables = (active, other)
        if self._tables is not None and not any(map(operator.is_not, self._tables, tables)):
            return True
        if active.digest == other.digest:
            self.change = _NO_CHANGE
        elif now < self.not_before:
            return False
        else:
            began, difference = time.monotonic(), active.vrps.difference
            self.change = await asyncio.to_thread(difference, other.vrps, MAX_PREFIXES)
            self.not_before = now + COMPARING_SHARE * (time.monotonic() - began)
        self.differences.report(self.change.prefixes, now)
        self._tables, self._index = tables, index
        return True


_NO_CHANGE = Difference(0, 0, frozenset())


class _Connected:
    """A connection and its last report."""

    def __init__(self, address: CacheAddress) -> None:
        self.address = address
        self.connection: Connection | None = None
        self.table: CachedVrps | None = None
        self.unread: bytes | None = None
        """Records not parsed yet: librtr delivers each snapshot once."""
        self.is_empty = False
        self.standing = Standing()
        self.report = Report(
            state="not started",
            errors=0,
            confirmed=None,
            lost=None,
            session=0,
            serial=0,
            expire=0,
            records=None,
        )


def _read_table(records: bytes, known: list[CachedVrps]) -> CachedVrps:
    """Parse the records; return the same object as another cache with equal records."""
    digest = librtr.digest_of(records)
    same = [table for table in known if table.digest == digest and not table.dropped]
    return same[0] if same else librtr.read_table(records)


def _log_change(cache: _Connected, report: Report) -> None:
    """Log a change of state once, for the operator on call."""
    was = cache.report
    if report.lost is not None and was.lost is None:
        log.warning("RTR cache %s is not answering (%s)", cache.address, report.state)
    elif report.lost is None and report.confirmed is not None and (was.lost or not was.confirmed):
        log.info("RTR cache %s is in sync, serial %d", cache.address, report.serial)
