"""The audit log from the filter's side: `extend` takes events without waiting for the disk.

Events wait in a bounded queue for one thread, which numbers, chains and writes them (`writer`). A
full, absent or slow disk never delays the filter: the thread retries for as long as necessary, the
queue fills, and events without room are counted. A `gap` record at their place in the log has that
count, once there is room again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rsfilter.audit.files import Disk
from rsfilter.audit.record import Auditable, ServiceEvent, timestamp
from rsfilter.audit.writer import ChainWriter, Entry

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Octets at which a file is closed: some 400,000 records of routes, which are compressed in seconds
while the queue has room for new events."""

MAX_QUEUE = 1 << 18
"""Events that may wait. They share their routes with the RIB: some 50 MB."""

BATCH = 256
"""Events per write: some 3 ms, so that the filter does not wait long for the interpreter."""

SYNC_S = 1.0
"""Seconds of records that a power failure can lose."""

RETRY_S = 1.0
"""Seconds between attempts while the disk fails."""

STALL_S = 10.0
"""Seconds after which a disk that does not respond counts as failing."""


class LogHealth(NamedTuple):
    """State of the log."""

    is_ok: bool
    reason: str
    """Reason for display; empty if the log is healthy."""
    queued: int
    """Waiting events."""
    dropped: int
    """Events dropped for lack of room, since the start."""


class _Gap(NamedTuple):
    """Events dropped for lack of room."""

    first: float
    last: float
    size: int

    def entry(self) -> Entry:
        data = {"from": timestamp(self.first), "to": timestamp(self.last), "count": self.size}
        return self.last, ServiceEvent("gap", data)


class AuditLog:
    """Writer of the audit log of one directory. Made, fed and closed by one thread.

    `synchronous`: without thread and queue, for `replay`; the files have the same octets. `append`
    and `close` then raise OSError: a replay that cannot write has failed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = MAX_FILE_BYTES,
        max_queue: int = MAX_QUEUE,
        synchronous: bool = False,
        retry_s: float = RETRY_S,
        disk: Disk | None = None,
    ) -> None:
        self._directory = directory
        self._writer = ChainWriter(directory, max_bytes, disk or Disk())
        self._max_queue = max_queue
        self._retry_s = retry_s
        self._queue: deque[Entry] = deque()
        self._gap: _Gap | None = None
        self._dropped = 0
        self._failure = ""
        self._busy_since: float | None = None
        self._is_closing = False
        self._is_hurried = False
        """Closing with little time: records are written before files are compressed."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        if not synchronous:
            self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
            self._thread.start()

    def append(self, at: float, event: Auditable) -> None:
        """Append one event, as `extend` does."""
        self.extend(at, (event,))

    def extend(self, at: float, events: Sequence[Auditable]) -> None:
        """Append events that happened at `at`, seconds since the epoch. Never waits for a disk."""
        entries = [(at, event) for event in events]
        if self._thread is None:
            self._queue.extend(entries)
            while len(self._queue) >= BATCH:
                self._write_batch()
            return
        with self._changed:
            was_empty = not self._queue
            if self._gap is None and len(self._queue) + len(entries) <= self._max_queue:
                self._queue.extend(entries)
            else:
                for entry in entries:
                    self._take(entry)
            if was_empty:
                self._changed.notify()

    def _take(self, entry: Entry) -> None:
        """Queue an event if there is room."""
        if self._gap is not None:
            # Wait until the queue is half empty: otherwise a full queue would be half gaps.
            if len(self._queue) > self._max_queue // 2:
                self._drop(entry[0])
                return
            self._queue.append(self._gap.entry())
            self._gap = None
        elif len(self._queue) >= self._max_queue:
            self._drop(entry[0])
            return
        self._queue.append(entry)

    def close(self, timeout: float | None = None) -> None:
        """Write the queued events. Gives up after `timeout` seconds, or at once if the disk
        fails."""
        if self._thread is None:
            self._write_all()
            self._writer.close()
            return
        self._is_hurried = timeout is not None
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(timeout)
        if lost := len(self._queue):
            log.error("audit log %s: %d records are lost", self._directory, lost)

    @property
    def health(self) -> LogHealth:
        """Return the current state of the log."""
        reason = self._failure
        busy_since = self._busy_since
        if not reason and busy_since is not None:
            waiting = time.monotonic() - busy_since
            if waiting > STALL_S:
                reason = f"{self._directory}: the disk has not answered for {waiting:.0f} s"
        if not reason and self._gap is not None:
            reason = f"{self._directory}: the disk is slower than the filter; records are dropped"
        return LogHealth(not reason, reason, len(self._queue), self._dropped)

    def _drop(self, at: float) -> None:
        gap = self._gap or _Gap(at, at, 0)
        self._gap = _Gap(gap.first, at, gap.size + 1)
        self._dropped += 1

    def _write_all(self) -> None:
        while self._queue:
            self._write_batch()

    def _write_batch(self) -> None:
        # Only this thread removes entries from the queue, and only written ones.
        with self._changed:
            batch = list(islice(self._queue, BATCH))
        done = self._writer.write(batch)
        with self._changed:
            for _ in range(done):
                self._queue.popleft()
        self._writer.tidy(lambda: self._is_hurried)

    # The thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        sync_at: float | None = None
        while self._wait(sync_at):
            self._busy_since = now = time.monotonic()
            try:
                if self._queue:
                    self._write_batch()
                    sync_at = sync_at or now + SYNC_S
                if sync_at is not None and now >= sync_at:
                    self._writer.sync()
                    sync_at = None
            except Exception as error:  # any error: without this, the log would end unnoticed
                if not self._fail(error):
                    break
            else:
                self._succeed()
        self._end()

    def _wait(self, sync_at: float | None) -> bool:
        """Wait for work. False: none will follow."""
        self._busy_since = None
        with self._changed:
            while not self._queue:
                if self._gap is not None:
                    self._queue.append(self._gap.entry())
                    self._gap = None
                elif self._is_closing:
                    return False
                elif sync_at is None:
                    self._changed.wait()
                else:
                    rest = sync_at - time.monotonic()
                    if rest <= 0:
                        break
                    self._changed.wait(rest)
        return True

    def _fail(self, error: Exception) -> bool:
        """Wait before the next attempt. False: closing does not wait for the disk."""
        self._busy_since = None
        is_disk = isinstance(error, OSError)
        reason = f"{self._directory}: {error if is_disk else repr(error)}"
        if reason != self._failure:
            trace = None if is_disk else error
            log.error("audit log fails, filtering goes on: %s", reason, exc_info=trace)
        self._failure = reason
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing, self._retry_s)
            return not self._is_closing

    def _succeed(self) -> None:
        if self._failure:
            log.info("audit log %s: ok again", self._directory)
        self._failure = ""

    def _end(self) -> None:
        try:
            self._writer.close()
        except OSError as error:
            log.error("audit log %s: %s", self._directory, error)
