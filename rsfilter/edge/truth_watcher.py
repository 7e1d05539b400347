"""Watcher that keeps a truth current with its file.

Owns the decision when the file is read again. inotify triggers a check at once, and the file's
status decides whether to read. A slow tick covers changes without an event: a directory that was
created or replaced, a link with another target, a network file system. So every usual deployment
works: rename, rewrite, delete and create, and the link swap of a Kubernetes ConfigMap. Checks run
on a thread of their own, because a file system may not respond.

A file being rewritten in place is half old, half new, or short. It is read only after the directory
has been quiet for `_QUIET_S`, and discarded if its status changed while it was read; truncated JSON
never parses. Operators should write to another name and rename.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from rsfilter.edge import directory_events
from rsfilter.edge.truth_file import read_file
from rsfilter.rpki.document import Problem, TruthError
from rsfilter.rpki.truth import Truth, parse_truth
from rsfilter.util.threads import on_own_thread

_QUIET_S = 0.02
"""Seconds that the directory must be quiet before the file is read."""

_BUSY_S = 0.2
"""Longest wait for quiet, so that other files in the directory cannot keep the truth out."""

_TICK_S = 0.5
"""Seconds between checks of the file's status without an event."""

_SETTLE_S = 2.0
"""Age of a status, in seconds, below which it proves nothing: two writes within one tick of the
file system's clock have the same status (the coarsest clock, FAT's, ticks every 2 s). The content
is compared then."""

_STALL_S = 60.0
"""A file that does not answer for this long is an error, and a start waits no longer. A million
entries are read and parsed in 4 s, the largest file in some 40."""

_RETRY_S = 5.0
"""Seconds to wait after a failed takeover, which may last: each attempt parses the file again."""

logger = logging.getLogger(__name__)

_Status = tuple[int, ...]

T = TypeVar("T")


class Reading(NamedTuple):
    """A truth, and what it was parsed from."""

    truth: Truth
    content: bytes
    at: float
    """Time of reading, in seconds since the epoch: entries that had expired are left out."""


class _Content(NamedTuple):
    """Result of a check of the file."""

    status: _Status | None
    """Status before the file was read."""
    key: str
    """SHA-256 of the bytes, or the reason why there are none: a repeated key is not reported
    again."""
    outcome: Reading | TruthError | None
    """Parsed content; None if it was reported before."""


class TruthWatcher:
    """Reads a truth file whenever its content changes, on a thread of its own.

    `on_truth` gets each valid content that differs from the previous valid one, and is awaited.
    `on_error` gets the error of each invalid content once. Both are called on the event loop, and
    called again if they fail. After an error the last valid truth stays active, and `error` gives
    the problem until the file is valid again.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        on_truth: Callable[[Reading], Awaitable[None]],
        on_error: Callable[[TruthError], None],
        clock: Callable[[], float] = time.time,
        *,
        may_be_empty: bool = False,
    ) -> None:
        """`may_be_empty`: see `parse_truth`."""
        self.path = Path(path)
        self._error: TruthError | None = None
        self._on_truth = on_truth
        self._on_error = on_error
        self._clock = clock
        self._may_be_empty = may_be_empty
        self._good = ""  # key of the last good content
        self._seen = ""  # key of the last content
        self._settled: _Status | None = None  # status of a content that needs no second check
        self._lock = asyncio.Lock()
        self._beside: frozenset[str] = frozenset()  # `_directories` at the last check
        self._waiting: list[float] = []  # since when the file system owes answers (monotonic)
        self._has_checked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the file, then keep watching it until `stop`. One that does not answer is read as
        soon as it does."""
        self._task = asyncio.create_task(self._watch(), name="truth watcher")
        with suppress(TimeoutError):
            async with asyncio.timeout(_STALL_S):
                await self._has_checked.wait()

    async def stop(self) -> None:
        """Stop watching. Nothing is called afterwards."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    @property
    def error(self) -> TruthError | None:
        """Problem of the file in its current state; None if there is none."""
        return self._stall() or self._error

    def _stall(self) -> TruthError | None:
        now = time.monotonic()
        waiting = now - min(self._waiting, default=now)
        if waiting <= _STALL_S:
            return None
        return self._problem(f"has not answered for {waiting:.0f} s")

    async def reload(self) -> TruthError | None:
        """Read the content now, whatever the file's status, even if it is unchanged: entries may
        have expired, or be valid again after the clock was corrected. Returns the remaining error.
        A file that does not respond is read once it does."""
        self._settled = None
        if stall := self._stall():
            return stall
        async with self._lock:
            if self._seen == self._good:
                self._seen = ""
            self._good = ""
        await self._check()
        return self.error

    async def _watch(self) -> None:
        async with aclosing(self._wakes()) as wakes:
            await self._try_check()
            self._has_checked.set()
            async for _ in wakes:
                if not await self._try_check():
                    await asyncio.sleep(_RETRY_S)

    async def _try_check(self) -> bool:
        try:
            await self._check()
        except Exception as error:  # of a callback: the next change must be seen
            logger.exception("cannot apply %s, trying again", self.path)
            self._error = self._problem(f"cannot be applied: {error!r}")
            self._settled = None  # that it is good again is to be found out
            self._seen = ""
            return False
        return True

    async def _in_thread(self, check: Callable[[], T]) -> T:
        """Run a check of the file system, however long it takes."""
        since = time.monotonic()
        self._waiting.append(since)
        try:
            return await on_own_thread(check)
        finally:
            self._waiting.remove(since)

    def _problem(self, text: str) -> TruthError:
        return TruthError((Problem(str(self.path), "", text),))

    async def _wakes(self) -> AsyncGenerator[None, None]:
        """Yield whenever the file may have changed, and at every tick."""
        while True:
            try:
                directories = await self._in_thread(self._directories)
                async with aclosing(_events(directories)) as events:
                    async for _ in events:
                        yield
                        if self._beside != directories:
                            break
            except Exception as error:
                # No such directory, no permission, no inotify watches left: the tick remains.
                logger.debug("cannot watch beside %s: %s", self.path, error)
                await asyncio.sleep(_TICK_S)
                yield

    def _directories(self) -> frozenset[str]:
        """Return the directories in which a change of the file shows: that of its name, and those
        of link targets."""
        return frozenset(
            (os.path.realpath(self.path.parent), os.path.dirname(os.path.realpath(self.path)))
        )

    def _status(self) -> _Status | None:
        """Return a status that changes when the file does; None if there is no file."""
        try:
            found = os.stat(self.path)
        except (OSError, ValueError):
            return None
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    async def _check(self) -> None:
        async with self._lock:
            self._beside, content = await self._in_thread(self._read_around)
            if content is None:
                return
            if content.key != self._seen:
                self._seen, self._settled = "", None  # until it was reported
                await self._publish(content)
                self._seen = content.key
            status = content.status
            if status is not None and abs(self._clock() - status[-1] / 1e9) > _SETTLE_S:
                self._settled = status

    def _read_around(self) -> tuple[frozenset[str], _Content | None]:
        """Check the file. Returns the directories as they were before the check, because a link
        that moves during the check must trigger another one."""
        return self._directories(), self._read_new()

    def _read_new(self) -> _Content | None:
        """The content, parsed when it is new; None when it is settled, or changed while it was
        read."""
        status = self._status()
        if status is not None and status == self._settled:
            return None
        try:
            data = read_file(self.path)
        except TruthError as error:
            return _Content(status, str(error), error)
        if self._status() != status:
            return None
        key = hashlib.sha256(data).hexdigest()
        if key in (self._seen, self._good):
            return _Content(status, key, None)
        at = self._clock()
        try:
            truth = parse_truth(data, os.fspath(self.path), at, may_be_empty=self._may_be_empty)
        except TruthError as error:
            return _Content(status, key, error)
        return _Content(status, key, Reading(truth, data, at))

    async def _publish(self, content: _Content) -> None:
        if isinstance(content.outcome, TruthError):
            self._error = content.outcome
            self._on_error(content.outcome)
            return
        if content.outcome is not None:
            await self._on_truth(content.outcome)
            self._good = content.key
        if self._error is not None:
            self._error = None
            logger.info("%s: ok again", self.path)


def _events(directories: frozenset[str]) -> AsyncGenerator[None, None]:
    return directory_events.changes(directories, quiet_s=_QUIET_S, busy_s=_BUSY_S, tick_s=_TICK_S)
