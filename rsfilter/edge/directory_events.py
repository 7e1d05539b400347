"""Events of directories, by inotify(7). They trigger a check and are never taken as state.

To add a watch, the kernel may have to contact a file server and block until it responds. Watches
are therefore added on a thread of their own, through ctypes, which releases the interpreter
meanwhile: a library that keeps it would stop the whole process, and its end with it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import threading
from collections.abc import AsyncGenerator, Collection
from contextlib import suppress

from rsfilter.util.threads import on_own_thread

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
_IGNORED = 0x8000
"""The watch is gone, since the directory is."""

_MASK = (
    _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
    | _DELETE_SELF | _MOVE_SELF
)  # fmt: skip

_EVENT = struct.Struct("iIII")
"""struct inotify_event: watch, mask, cookie, octets of the name that follows."""

_READ = 1 << 16

_libc = ctypes.CDLL(None, use_errno=True)


async def changes(
    directories: Collection[str], *, quiet_s: float, busy_s: float, tick_s: float
) -> AsyncGenerator[None, None]:
    """Yield when something has changed in the directories, and nothing has for `quiet_s` since, or
    for `busy_s` without such a pause; and each `tick_s`, whatever has happened. Ends when one of
    them is gone. OSError: they cannot be watched."""
    is_given_up = threading.Event()
    adding = asyncio.ensure_future(on_own_thread(_watch, directories, is_given_up))
    try:
        while not adding.done():
            await asyncio.wait([adding], timeout=tick_s)
            yield
    finally:
        if not adding.done():
            is_given_up.set()
            adding.cancel()
    events = _EventReader(adding.result())
    try:
        while not events.is_over:
            if await events.come_within(tick_s):
                with suppress(TimeoutError):
                    async with asyncio.timeout(busy_s):
                        while await events.come_within(quiet_s):
                            pass
            yield
    finally:
        events.close()


class _EventReader:
    """Reader of an inotify descriptor."""

    def __init__(self, fd: int) -> None:
        self.is_over = False
        self._fd = fd
        self._have_come = asyncio.Event()
        asyncio.get_running_loop().add_reader(fd, self._read)

    async def come_within(self, seconds: float) -> bool:
        """Wait for so long for events since the last time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._have_come.wait()
        have_come = self._have_come.is_set()
        self._have_come.clear()
        return have_come

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            _, mask, _, length = _EVENT.unpack_from(data, at)
            self.is_over = self.is_over or bool(mask & _IGNORED)
            at += _EVENT.size + length
        self._have_come.set()


def _watch(directories: Collection[str], is_given_up: threading.Event) -> int:
    """Return an inotify descriptor that watches these."""
    fd = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "inotify")
    try:
        for directory in directories:
            added = _libc.inotify_add_watch(fd, os.fsencode(directory), _MASK)
            _checked(added, directory)
        if is_given_up.is_set():
            raise InterruptedError
    except BaseException:
        os.close(fd)
        raise
    return fd


def _checked(answer: int, what: str) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return answer
