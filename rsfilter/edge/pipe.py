"""Both ends of the pipe to ExaBGP: free of deadlock and loss, with everything counted.

ExaBGP writes our stdin with a blocking write from its only thread, and reads our stdout from the
same thread. A helper that writes without reading at the same time can therefore stop ExaBGP for
ever, with all sessions, at a few thousand routes. So one thread only reads stdin, and another one
writes stdout and may block. The egress bounds the output that waits; ExaBGP's printing speed bounds
the input.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import stat
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from rsfilter.exabgp.decode import MAX_LINE_OCTETS

log = logging.getLogger(__name__)

PIPE_BYTES = 1 << 20
"""Linux lets an unprivileged process have pipes of 1 MiB (fs.pipe-max-size): some 3,000 lines
that ExaBGP can write before it blocks, instead of 200."""

MAX_WAITING = 100
"""Lines that may wait, after which they are to be taken all the same: some 250 kB."""

READ_BYTES = 1 << 16
"""One read, of mostly one line. From 128 KiB on the allocator maps memory for each, which takes
longer than the read; whole megabytes would hold the interpreter too long at each split."""


class LineReader:
    """Reads lines on a thread of its own and keeps them until they are taken."""

    def __init__(
        self,
        fd: int,
        on_lines: Callable[[], object],
        may_wait: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        """`on_lines` is called on the reading thread, once, when there is something to take; it
        must only wake the thread that takes. Lines that `may_wait` do not wake it alone, unless
        there are many of them."""
        self.counters: Counter[str] = Counter()
        """lines, bytes, too_long."""
        self.is_at_end = False
        """True if no more input will arrive; the untaken rest is complete."""
        self._is_stopped = False
        self._fd = fd
        self._on_lines = on_lines
        self._may_wait = may_wait
        self._has_called = False
        """True if the callback was called since lines were last taken."""
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._thread = threading.Thread(target=self._run, name="stdin", daemon=True)

    def start(self) -> None:
        """Begins to read."""
        enlarge(self._fd)
        self._thread.start()

    def take(self) -> list[bytes]:
        """The lines read since the last call, whole, without their newlines."""
        with self._lock:
            lines, self._lines = self._lines, []
            self._has_called = False
        return lines

    def stop(self) -> None:
        """Stop taking lines and calling back. Further input is discarded: an ExaBGP blocked in a
        write when this process ends would drop all its sessions."""
        self._is_stopped = True

    def _run(self) -> None:
        try:
            while chunk := os.read(self._fd, READ_BYTES):
                if not self._is_stopped:
                    self._split(chunk)
        except Exception as error:  # whatever it was: a filter that is deaf must not go on
            if not self._is_stopped:
                log.error("stdin cannot be read any more: %s", error)
        if not self._is_stopped:
            self.is_at_end = True
            self._on_lines()

    def _split(self, chunk: bytes) -> None:
        self.counters["bytes"] += len(chunk)
        *lines, rest = chunk.split(b"\n")
        if lines:
            lines[0] = b"".join((*self._rest, lines[0]))
            self._rest, self._rest_bytes = [], 0
        if rest:
            self._rest.append(rest)
            self._rest_bytes += len(rest)
        if self._rest_bytes > MAX_LINE_OCTETS:
            self._rest, self._rest_bytes = [TOO_LONG], len(TOO_LONG)
            self.counters["too_long"] += 1
        if not lines:
            return
        self.counters["lines"] += len(lines)
        can_wait = all(map(self._may_wait, lines))
        with self._lock:
            self._lines += lines
            is_due = len(self._lines) >= MAX_WAITING or not can_wait
            calls = is_due and not self._has_called
            self._has_called |= calls
        if calls:
            self._on_lines()


TOO_LONG = b"\x00too long\x00"
"""Stands for the dropped beginning of a line that is longer than `decode` takes: what is left of it
will not pass for a message."""


class CommandWriter:
    """Writes lines on a thread of its own, in order, each whole."""

    def __init__(self, fd: int, on_broken: Callable[[], object]) -> None:
        """Make a writer. `on_broken` is called on the writing thread if nothing more can be
        written: the reader is gone, or writing failed."""
        self.counters: Counter[str] = Counter()
        """lines, bytes."""
        self._fd = fd
        self._on_broken = on_broken
        self._ready = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="stdout", daemon=True)

    def start(self) -> None:
        """Begins to write."""
        enlarge(self._fd)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Lines that ExaBGP has not taken yet."""
        return len(self._lines)

    def write(self, lines: list[bytes]) -> None:
        """Queues whole lines; never blocks."""
        if not lines:
            return
        with self._ready:
            self._lines.extend(lines)
            self._ready.notify()

    def close(self, timeout: float) -> None:
        """Write the queued lines, for at most `timeout` seconds."""
        with self._ready:
            self._is_closed = True
            self._ready.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while line := self._next():
                self._write(line)
        except Exception as error:  # whatever it was: a filter that is mute must not go on
            log.error("stdout cannot be written any more: %s", error)
            self._on_broken()

    def _next(self) -> bytes | None:
        with self._ready:
            while not self._lines and not self._is_closed:
                self._ready.wait()
            return self._lines.popleft() if self._lines else None

    def _write(self, line: bytes) -> None:
        self.counters["lines"] += 1
        self.counters["bytes"] += len(line)
        view = memoryview(line)
        while view:
            view = view[os.write(self._fd, view) :]


_LAST_READER = "trap '' HUP INT TERM; read -r _; exec cat <&1 >/dev/null"
"""Waits for the end of its stdin, which comes with ours, then reads the pipe: its stdout. A signal
to the process group ends us within seconds, and must not end the shell before."""


def leave_a_reader(fd: int) -> subprocess.Popen[bytes] | None:
    """Start a process that reads a pipe to its end after this process has ended, however it ends.

    ExaBGP ends itself, with every session, if it writes to a helper that is gone, and it lets all
    its neighbors write before it checks. A shell outlives this process until ExaBGP has checked.
    Its input is lost, like all input not read before: the next process requests everything.

    Keep the returned object: the shell reads nothing while it exists.
    """
    try:
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            return None
        return subprocess.Popen(  # noqa: S603 (every word is ours)
            ["/bin/sh", "-c", _LAST_READER],
            stdin=subprocess.PIPE,
            stdout=fd,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        log.warning("if rsfilter dies while ExaBGP writes to it, ExaBGP ends too: %s", error)
        return None


def linger(fd: int, until: float) -> None:
    """Read a pipe and discard the input, until `until` (time.monotonic()) or its end.

    ExaBGP ends itself, with every session, at a helper's sixth exit within 64 s. One that cannot
    start must not end at once, and must not leave ExaBGP blocked in a write meanwhile.
    """
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        return  # no parent that would restart this process
    # Without blocking, because the thread of a failed filter may take announcements; with a
    # separate file description, because other readers of the pipe must block.
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:  # the pipe of another user
        os.set_blocking(fd, False)
        own = os.dup(fd)
    try:
        while (left := until - time.monotonic()) > 0:
            with contextlib.suppress(BlockingIOError):
                if select.select([own], [], [], left)[0] and not os.read(own, READ_BYTES):
                    return
    finally:
        os.close(own)


def enlarge(fd: int) -> None:
    """Set the capacity of a pipe to 1 MiB; any other file stays as it is."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError as error:
        log.debug("descriptor %d keeps its size: %s", fd, error)


def private_stdout() -> int:
    """Moves stdout to a descriptor of our own, and lets descriptor 1 be stderr.

    Whatever prints by mistake, in any library, then ends in the log and not in ExaBGP's parser.
    """
    ours = os.dup(1)
    os.dup2(2, 1)
    return ours
