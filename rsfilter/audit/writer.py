"""Writer of the chain: one writer, one thread, one process for a directory.

The state is the last written line and its file. A failure leaves the state as it was and the file
cut back to it, so that the call can simply be repeated. `recovery` finds the end of the chain at a
start.

Files are named after the day of their first record. A clock that steps back never leads back to an
older file: the order of the files is the order of the chain.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rsfilter.audit.chain import GENESIS, Link, seal
from rsfilter.audit.files import (
    DIRECTORY_MODE,
    FILE_MODE,
    LOCK_NAME,
    Disk,
    FileKey,
    compress,
    sync_directory,
    write_head,
)
from rsfilter.audit.record import Auditable, Bodies, ServiceEvent, body, timestamp
from rsfilter.audit.recovery import find_end

log = logging.getLogger(__name__)

Entry = tuple[float, Auditable]
"""(seconds since the epoch, event)."""


class ChainWriter:
    """Appends records to the files of a directory. Every method may raise OSError."""

    def __init__(self, directory: Path, max_bytes: int, disk: Disk) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._disk = disk
        self._lock: int | None = None
        self._last: Link | None = None
        """Last line written; None if it is not known yet."""
        self._is_recovered = False
        self._key: FileKey | None = None
        """Newest file, open or not."""
        self._file: int | None = None
        self._size = 0
        self._is_torn = False
        """True if the file may have octets beyond `_size`."""
        self._is_synced = True
        self._to_note: dict[str, Any] = {}
        """Findings of the recovery that are not written yet."""
        self._to_compress: list[FileKey] = []
        self._not_compressed: list[FileKey] = []
        """Files not compressed for lack of room; retried when the next file is closed."""
        self._body = Bodies()

    def write(self, entries: Sequence[Entry]) -> int:
        """Write some of the entries (at least one) to one file; return their number."""
        if not self._is_recovered or self._is_disturbed():
            self._recover()
        key, file = self._file_for(timestamp(entries[0][0])[:10])
        seq, prev, digest = self._last or Link(0, "", GENESIS)
        lines: list[str] = []
        size = self._size
        notes = self._notes(entries[0][0], key)
        stamped, stamp, is_later = None, "", False
        for at, event in chain(notes, entries):
            if at != stamped:
                stamped, stamp = at, timestamp(at)
                is_later = stamp[:10] > key.date
            if (is_later or size >= self._max_bytes) and len(lines) > len(notes):
                break
            seq, prev = seq + 1, digest
            line, digest = seal(seq, stamp, self._safe_body(event), prev)
            lines.append(line)
            size += len(line)
        self._append(file, "".join(lines).encode("ascii"))
        self._last, self._to_note = Link(seq, prev, digest), {}
        return len(lines) - len(notes)

    def sync(self) -> None:
        """Flush written records to disk, and record how far the chain reaches."""
        if self._is_synced or self._file is None or self._last is None:
            return
        self._disk.fsync(self._file)
        write_head(self._directory, self._last, self._disk)
        self._is_synced = True

    def tidy(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Compress closed files, which takes seconds. A file that cannot be compressed, or is
        skipped because of `should_stop`, stays until the next file is closed; if other files have
        its name, until the next start."""
        while self._to_compress:
            key = self._to_compress.pop()
            try:
                compress(self._directory, key, self._disk, should_stop)
            except OSError as error:
                log.warning("%s is not compressed: %s", self._directory / key.name, error)
                if not isinstance(error, FileExistsError | FileNotFoundError):
                    self._not_compressed.append(key)

    def close(self) -> None:
        """Sync, and release the lock."""
        try:
            self.sync()
        finally:
            self._close_file()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None
            self._is_recovered, self._last = False, None

    # Lines and files -----------------------------------------------------------------------------

    def _notes(self, at: float, key: FileKey) -> list[Entry]:
        """Return the log's own records that precede the next entry, with its time."""
        notes: list[Entry] = []
        if self._size == 0:
            notes.append((at, ServiceEvent("file", {"file": key.name})))
        if self._to_note:
            notes.append((at, ServiceEvent("recovered", self._to_note)))
        return notes

    def _append(self, file: int, data: bytes) -> None:
        if self._is_torn:
            os.ftruncate(file, self._size)
        self._is_torn = True
        self._is_synced = False
        try:
            self._disk.write_all(file, data)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._size)
                self._is_torn = False
            raise
        self._is_torn = False
        self._size += len(data)

    def _is_disturbed(self) -> bool:
        """Return whether another process removed, emptied or changed the file."""
        if self._file is None or self._is_torn:
            return False
        status = os.fstat(self._file)
        return status.st_nlink == 0 or status.st_size != self._size

    def _recover(self) -> None:
        self._is_recovered = False
        self._close_file()
        self._directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self._take_lock()
        end = find_end(self._directory, self._last, self._disk)
        if end.notes:
            log.warning("audit log %s: recovered: %s", self._directory, end.notes)
        self._to_note |= end.notes
        self._key, self._to_compress, self._not_compressed = end.newest, list(end.closed), []
        if end.newest is not None and end.is_appendable:
            self._open(end.newest)
        self._last = end.last
        self._is_recovered = True

    def _take_lock(self) -> None:
        """Take the lock. Two writers would tear the chain: the second waits for the first to
        end."""
        if self._lock is not None:
            if os.fstat(self._lock).st_nlink:
                return
            os.close(self._lock)
            self._lock = None
        path = self._directory / LOCK_NAME
        lock = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise BlockingIOError(f"{self._directory}: another process writes this log") from None
        self._lock = lock

    def _file_for(self, date: str) -> tuple[FileKey, int]:
        """Return the open file for a record of that day; another one if the day is later or the
        file full."""
        key, file = self._key, self._file
        if key is not None and file is not None:
            if date <= key.date and self._size < self._max_bytes:
                return key, file
            self.sync()
            self._close_file()
            self._to_compress += [*self._not_compressed, key]
            self._not_compressed = []
        if key is None or date > key.date:
            key = FileKey(date, 0)
        else:
            key = FileKey(key.date, key.number + 1)
        return key, self._open(key)

    def _open(self, key: FileKey) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        file = os.open(self._directory / key.name, flags, FILE_MODE)
        os.fchmod(file, FILE_MODE)
        self._key, self._file = key, file
        self._size = os.fstat(file).st_size
        self._is_torn = False
        sync_directory(self._directory, self._disk)
        return file

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _safe_body(self, event: Auditable) -> str:
        try:
            return self._body(event)
        except Exception as error:
            # An unexpected value must not end the log: a record replaces the missing line.
            log.exception("an event cannot be written to the audit log")
            return body(ServiceEvent("gap", {"count": 1, "problem": repr(error)}))
