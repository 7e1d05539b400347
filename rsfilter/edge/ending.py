"""The end of `rsfilter run`, in bounded time even if a thread, disk, client or peer hangs.

A signal, or the end of stdin, sets a deadline. Before it the service writes what is due and ends
(`service`). At the deadline a thread that does nothing else ends the process, so that a hanging
main thread does not delay the end. ExaBGP starts the next filter only after this one has ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NoReturn

from rsfilter.edge.pipe import linger

log = logging.getLogger(__name__)

END_S = 4.5
"""Seconds from the request to the end. The promise is 5 s (docs/guarantees.md)."""

INPUT_S = 1.5
"""Seconds after the end of stdin in which lines read before are still processed."""

SHORTEST_LIFE_S = 15.0
"""Lifetime of a filter that cannot run. ExaBGP gives up at the sixth exit within 64 s; this makes
four."""

FORCED = 1
"""Exit code of a forced end."""

LAST_WORDS_S = 0.2
"""Seconds for the message of a forced end: stderr may be a pipe without a reader."""

END_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""Taken by a thread of their own: a main thread that hangs handles no signal."""

WORK_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Their default is to kill. They wait until the filter is at work, which handles them."""


class Ending:
    """The end of this process. Every method may be called from any thread.

    `leave` ends the process with an exit code, as `os._exit` does: threads that hang, and whatever
    waits for them at a normal exit, are left behind.
    """

    def __init__(self, leave: Callable[[int], object] = os._exit, end_s: float = END_S) -> None:
        self._leave = leave
        self._end_s = end_s
        self._started = time.monotonic()
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._input_until: float | None = None
        self._on_signal: Callable[[str], object] | None = None
        self._code = 0

    def watch(self, fd: int) -> None:
        """Take the signals, and watch for the end of the pipe `fd`. Called by the main thread
        before there are others: they inherit which signals are blocked."""
        signal.pthread_sigmask(signal.SIG_BLOCK, (*END_SIGNALS, *WORK_SIGNALS))
        for work in (self._await_signals, lambda: self._await_hang_up(fd)):
            threading.Thread(target=work, name="ending", daemon=True).start()

    def at_signal(self, on_signal: Callable[[str], object]) -> None:
        """Call `on_signal(why)` for each signal from now on, from another thread. Before this call
        nothing is due, and a signal ends the process at once."""
        with self._changed:
            self._on_signal = on_signal

    def arm(self, *, lingers: bool = False) -> None:
        """The end has begun: sets the deadline, unless there is an earlier one. `lingers`: the
        process calls `linger` before it leaves, which may take longer."""
        now = time.monotonic()
        due = now + self._end_s
        if lingers:
            due = max(due, self._started + SHORTEST_LIFE_S + self._end_s)
        with self._changed:
            is_first = self._deadline is None
            self._deadline = due if self._deadline is None else min(due, self._deadline)
            self._input_until = self._input_until or now + INPUT_S
            self._changed.notify_all()
        if is_first:
            threading.Thread(target=self._enforce, name="deadline", daemon=True).start()

    @property
    def input_until(self) -> float | None:
        """Deadline for processing input (time.monotonic()); None if the end has not begun."""
        return self._input_until

    def linger(self, code: int, fd: int = 0) -> int:
        """Return `code` once the process has lived for `SHORTEST_LIFE_S`, or ExaBGP has ended.
        Reads the pipe meanwhile. A signal ends the process at once."""
        until = self._started + SHORTEST_LIFE_S
        with self._changed:
            self._code, self._on_signal = code, None
        linger(fd, until)
        return code

    def disarm(self) -> None:
        """The process ends as any other does: nothing of it can hang."""
        self._leave = int

    def leave(self, code: int) -> None:
        """Ends the process."""
        self.arm()  # a flush may hang as well
        sys.stderr.flush()
        self._leave(code)

    def _await_signals(self) -> NoReturn:
        while True:
            number = signal.sigwait(END_SIGNALS)
            self.arm()
            with self._changed:
                on_signal = self._on_signal
            if on_signal is None:
                self._leave(self._code)
            else:
                on_signal(f"signal {signal.Signals(number).name}")

    def _await_hang_up(self, fd: int) -> None:
        """Wait for the end of a pipe, which is visible even while the pipe is not read."""
        poll = select.poll()
        poll.register(fd, 0)
        poll.poll()
        self.arm()

    def _enforce(self) -> None:
        with self._changed:
            while (left := (self._deadline or 0.0) - time.monotonic()) > 0:
                self._changed.wait(left)
        words = threading.Thread(target=log.critical, args=(_FORCED,), daemon=True)
        words.start()
        words.join(LAST_WORDS_S)
        self._leave(FORCED)


_FORCED = "ending took too long: what hangs is abandoned"


async def within(seconds: float, parts: Mapping[str, Coroutine[Any, Any, object]]) -> None:
    """Run the parts side by side for so long. Those that take longer are left behind."""
    tasks = {name: asyncio.create_task(part) for name, part in parts.items()}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=seconds)
    for name, task in tasks.items():
        if not task.done():
            log.warning("ending without waiting for %s", name)
        elif not task.cancelled() and (error := task.exception()):
            log.error("at the end: %s: %r", name, error)
