"""Copies of all logs on another machine: the same lines in the same files, octet for octet.

A log names its files itself (`file` records), and gzip is made without time and name. So the copy
of a log has the same names and the same octets, and every `rsfilter audit` command works on it. The
copy itself is the only state. Every hash is checked before a line is written, and existing lines
are never changed: if the database has other records, the copy of that instance stops with a
problem.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from rsfilter.audit.chain import Link, claimed_link
from rsfilter.audit.files import (
    DIRECTORY_MODE,
    FILE_MODE,
    LOCK_NAME,
    Disk,
    FileKey,
    compress,
    list_keys,
    sync_directory,
    write_head,
)
from rsfilter.audit.recovery import find_end
from rsfilter.fleet.block import Block, DamagedError, unpack
from rsfilter.fleet.reader import ForkError, LogReader, PrunedError

BLOCKS_AT_ONCE = 64
"""Blocks that are read with one question, and brought to the disk together: some 30 MB of lines."""

_FILE = re.compile(rb'.{0,80}"event":"file",', re.DOTALL)
"""Beginning of the record of a new file."""

_NAME = re.compile(r"audit-(\d{4}-\d\d-\d\d)(?:\.([1-9]\d{0,8}))?\.jsonl", re.ASCII)


class BlockSource(Protocol):
    """Source of blocks."""

    def read(self, instance: str, after: int, limit: int) -> list[Block]:
        """The blocks of an instance that have records after `after`, in order, at most so many."""


class _FileData(msgspec.Struct):
    file: str


class _FileRecord(msgspec.Struct):
    data: _FileData


class CopyState(NamedTuple):
    """State of the copy of one instance."""

    instance: str
    records: int
    """Records that were added."""
    last: int
    """`seq` of its last record."""
    behind: int
    """Records that the database has and the copy has not."""
    problem: str
    """Problem, for display; empty if there is none."""


class Copy:
    """The copy of one log, in a directory of its own. A context manager: no two at a time.

    Every method may raise OSError, and DamagedError when the copy itself is damaged.
    """

    def __init__(self, directory: Path, disk: Disk | None = None) -> None:
        self._directory = directory
        self._disk = disk or Disk()
        self._file: int | None = None
        directory.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
        self._lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            self._begin()
        except BaseException:
            os.close(self._lock)
            raise

    def _begin(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(f"{self._directory}: another process writes this copy") from None
        end = find_end(self._directory, None, self._disk)
        if damage := end.notes.keys() & {"problem", "missing"}:
            what = ", ".join(f"{name}: {end.notes[name]}" for name in sorted(damage))
            raise DamagedError(f"{self._directory}: the copy is damaged: {what}")
        self.last: Link = end.last
        self._key = end.newest
        self.skipped = 0
        """Records that no file could begin with: the database has them without those before."""
        for key in end.closed:
            compress(self._directory, key, self._disk)
        if end.newest is not None and end.is_appendable:
            self._open(end.newest)
            self._drop_if_empty()

    def __enter__(self) -> Copy:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.sync()
        finally:
            self._close_file()
            os.close(self._lock)

    def take(self, block: Block) -> int:
        """Add what the copy has not yet; the number of records. Raises ForkError when the block is
        of another log, PrunedError when records between are missing."""
        lines = unpack(block)
        known = self.last
        if block.first > known.seq + 1 and known.seq:
            raise PrunedError(
                f"records {known.seq + 1} to {block.first - 1} are not in the database any more"
            )
        if block.last <= known.seq:
            return 0
        new = lines[max(0, known.seq + 1 - block.first) :]
        first = claimed_link(new[0])
        if known.seq and first.prev != known.hash:
            raise ForkError(
                f"record {known.seq} is {known.hash} here; in the database record {first.seq} "
                f"follows {first.prev}"
            )
        return self._write(new)

    def sync(self) -> None:
        """Bring to the disk what was written."""
        if self._file is not None and self.last.seq:
            self._disk.fsync(self._file)
            write_head(self._directory, self.last, self._disk)

    # Files ---------------------------------------------------------------------------------------

    def _write(self, lines: Sequence[bytes]) -> int:
        """Write lines, each into the file that it belongs to."""
        begins = [number for number, line in enumerate(lines) if _FILE.match(line)]
        if self._file is None and begins[:1] != [0]:  # in the middle of a file that is not here
            start = begins[0] if begins else len(lines)
            self.skipped += start
            lines, begins = lines[start:], [number - start for number in begins]
        written = 0
        for start, end in zip([0, *begins], [*begins, len(lines)], strict=True):
            part = lines[start:end]
            if not part:
                continue
            if start in begins:
                self._next(part[0])
            written += self._append(part)
        return written

    def _append(self, lines: Sequence[bytes]) -> int:
        if self._file is None:
            raise DamagedError(f"{self._directory}: no file is open")
        self._disk.write_all(self._file, b"".join(lines))
        self.last = claimed_link(lines[-1])
        return len(lines)

    def _next(self, line: bytes) -> None:
        """Begin the file that a record names."""
        try:
            name = msgspec.json.decode(line, type=_FileRecord).data.file
        except msgspec.DecodeError:
            name = ""
        match = _NAME.fullmatch(name)
        key = FileKey(match[1], int(match[2] or 0)) if match else None
        if key is None or (self._key is not None and key <= self._key):
            raise DamagedError(f"record {claimed_link(line).seq} names no new file: {name!r}")
        before = self._key if self._file is not None else None
        self.sync()
        self._close_file()
        self._open(key)
        if before is not None:
            compress(self._directory, before, self._disk)

    def _open(self, key: FileKey) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._file = os.open(self._directory / key.name, flags, FILE_MODE)
        self._key = key
        sync_directory(self._directory, self._disk)

    def _drop_if_empty(self) -> None:
        """A crash left a file without a line: the next record begins it anew."""
        if self._file is None or self._key is None or os.fstat(self._file).st_size:
            return
        self._close_file()
        (self._directory / self._key.name).unlink()
        self._key = max(list_keys(self._directory), default=None)

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def collect(
    source: BlockSource, instance: str, newest: Link, directory: Path
) -> Iterator[CopyState]:
    """Bring the copy of one instance up to `newest`, its last record in the database: how it
    stands, after each step and at the end.

    What is wrong with one instance is in its last Finding. Raises what the source raises.
    """
    added, last = 0, 0
    try:
        with Copy(directory) as copy:
            last = copy.last.seq
            _check_behind(copy.last, newest, directory)
            while last < newest.seq:
                blocks = source.read(instance, last, BLOCKS_AT_ONCE)
                if not blocks:
                    break
                for block in blocks:
                    added += copy.take(block)
                copy.sync()
                last = max(copy.last.seq, blocks[-1].last)
                yield CopyState(instance, added, copy.last.seq, newest.seq - last, "")
            yield CopyState(instance, added, copy.last.seq, max(0, newest.seq - last), "")
    except (ForkError, PrunedError, DamagedError) as error:
        yield CopyState(instance, added, last, max(0, newest.seq - last), str(error))
    except OSError as error:
        text = f"{directory}: {error.strerror or error}"
        yield CopyState(instance, added, last, max(0, newest.seq - last), text)


def _check_behind(last: Link, newest: Link, directory: Path) -> None:
    """The database may be behind the copy (it was put back, and is filled again). Raises ForkError
    if it has another record than the copy."""
    if newest.seq <= last.seq and newest != Link(last.seq, "", last.hash) and newest.seq:
        reader = LogReader(directory)
        try:
            reader.seek(newest)
        finally:
            reader.close()
