"""Blocks from an audit directory: the directory is the spool, nothing is kept beside it.

Never beyond `head.json`, which is written after fsync: records beyond it can be lost by a power
failure, and the next start would write others under the same numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rsfilter.audit.chain import MAX_LINE, Link, NotARecord, claimed_link
from rsfilter.audit.files import HEAD_NAME, UNREADABLE, FileKey, list_keys, open_log, read_head
from rsfilter.fleet.block import MAX_OCTETS, MAX_RECORDS, START, Block, DamagedError, pack


class ForkError(Exception):
    """Raised if the local log is not the one whose records were shipped; the message explains."""


class PrunedError(Exception):
    """Raised if unshipped records were removed; the message names them."""


class LogReader:
    """Reads the log of a directory in blocks, also while it grows. Every method may raise OSError.

    After any exception, `seek` again.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: BinaryIO | None = None
        self._key = FileKey("", 0)
        self._after = START
        self._last = b""
        """The last line of the last block, if it is in this file and was not just sought."""

    @property
    def after(self) -> Link:
        """The last record of the last block, or the one that was sought."""
        return self._after

    def head(self) -> int:
        """The `seq` up to which records are safe on the disk; 0 if nothing is. Raises DamagedError
        when the note cannot be read."""
        try:
            head = read_head(self._directory)
        except ValueError as error:
            raise DamagedError(f"{self._directory}: {error}") from None
        return head.seq if head else 0

    def seek(self, after: Link) -> None:
        """Go to the record that follows `after`. Raises ForkError if the log here has another
        record in its place or ends before it, PrunedError if it begins later."""
        self.close()
        self._after = after
        found = self._file_with(after)
        if found is None:
            return
        self._key, first = found
        self._file = open_log(self._directory, self._key)
        if after.seq >= first.seq:
            self._pass(after)
        elif first.prev != after.hash:
            raise ForkError(
                f"record {after.seq} was shipped with the hash {after.hash}; here the record "
                f"after it follows {first.prev}"
            )

    def block(self, head: int) -> Block | None:
        """The next block, of records up to `head`; None if there are none. Raises DamagedError, and
        ForkError when the log was replaced under our hands."""
        if self._is_replaced():
            self.seek(self._after)
        try:
            return self._block(head)
        except DamagedError:
            # What was read ahead, beyond the head, may have been taken back since: read it again.
            # ForkError if the last record is not here either.
            self.seek(self._after)
            return self._block(head)

    def _block(self, head: int) -> Block | None:
        lines: list[bytes] = []
        size, seq = 0, self._after.seq
        while len(lines) < MAX_RECORDS and size < MAX_OCTETS and seq < head:
            line = self._line()
            if not line:
                break
            lines.append(line)
            size += len(line)
            seq += 1
        if not lines:
            if seq < head:
                raise DamagedError(
                    f"{self._directory}: {HEAD_NAME} names {head}, {seq} is the last"
                )
            return None
        try:
            block = pack(lines, self._after)
        except DamagedError as error:
            raise DamagedError(f"{self._directory / self._key.name}: {error}") from None
        self._after = Link(block.last, "", block.hash)
        self._last = lines[-1] if self._file and self._file.tell() >= len(lines[-1]) else b""
        return block

    def close(self) -> None:
        """Close the file that is being read."""
        if self._file is not None:
            self._file.close()
        self._file, self._last = None, b""

    # Files ---------------------------------------------------------------------------------------

    def _files(self) -> Iterator[tuple[FileKey, Link]]:
        """Files that have a record, newest first, each with its first one."""
        for key in reversed(list_keys(self._directory)):
            try:
                with open_log(self._directory, key) as file:
                    line = file.readline(MAX_LINE)
            except (*UNREADABLE, FileNotFoundError):
                continue
            try:
                yield key, claimed_link(line)
            except NotARecord:
                continue

    def _file_with(self, after: Link) -> tuple[FileKey, Link] | None:
        """The file that has the record after `after`, or will have it, with its first record; None
        if nothing was written and nothing was shipped."""
        first = None
        for key, first in self._files():
            if first.seq <= after.seq + 1:
                return key, first
        if first is not None:
            raise PrunedError(
                f"records {after.seq + 1} to {first.seq - 1} were not shipped and are not here: "
                f"the log begins with record {first.seq}"
            )
        if after.seq:
            raise ForkError(f"record {after.seq} was shipped, and there is no record here")
        return None

    def _pass(self, after: Link) -> None:
        """Read up to the record `after`, which has to be there."""
        seq = 0
        while line := self._line():
            try:
                link = claimed_link(line)
            except NotARecord:
                continue
            seq = link.seq
            if seq < after.seq:
                continue
            if seq == after.seq and link.hash != after.hash:
                raise ForkError(
                    f"record {seq} was shipped with the hash {after.hash}, and has {link.hash} here"
                )
            if seq > after.seq:
                raise ForkError(f"record {after.seq} was shipped, and is missing here")
            return
        raise ForkError(f"record {after.seq} was shipped, and the log here ends with {seq}")

    def _line(self) -> bytes:
        """The next whole line, of the next file too; empty if there is none yet."""
        while True:
            if self._file is None:
                return b""
            line = self._file.readline(MAX_LINE)
            if line.endswith(b"\n") or len(line) == MAX_LINE:
                return line
            newer = [key for key in list_keys(self._directory) if key > self._key]
            if line:  # it is being written, or was cut
                self._reopen(self._file.tell() - len(line))
            if line or not newer:
                return b""
            self._file.close()
            self._key = newer[0]
            self._file = open_log(self._directory, self._key)

    def _reopen(self, place: int) -> None:
        """Go to a place in the file, and forget what was read ahead: it may be written anew."""
        if self._file is not None:
            self._file.close()
        self._file = open_log(self._directory, self._key)
        self._file.seek(place)

    def _is_replaced(self) -> bool:
        """No file is open, another one has its name, or it no longer has the last line that was
        read."""
        if self._file is None:
            return True
        try:
            named = os.stat(self._directory / self._key.name)
        except FileNotFoundError:  # it was compressed
            return not (self._directory / self._key.compressed_name).exists()
        ours = os.fstat(self._file.fileno())
        if (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino):
            return True
        size = len(self._last)
        return os.pread(self._file.fileno(), size, self._file.tell() - size) != self._last
