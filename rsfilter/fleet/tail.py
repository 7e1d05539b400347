"""The records of a running log, from the last start of its filter on, as they are written."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from rsfilter.audit.chain import MAX_LINE
from rsfilter.audit.files import UNREADABLE, FileKey, list_keys, open_log
from rsfilter.fleet.ledger import Record, decode

_START = b'"event":"start",'


class _StartRecord(msgspec.Struct):
    at: str


class StartTail:
    """Reads on where it stood. Every method may raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: BinaryIO | None = None
        self._key = FileKey("", 0)

    def find(self, at: str = "") -> bool:
        """Go to the last `start` record, if its time is `at` (RFC 3339; empty: whatever it is);
        False if it is not there yet."""
        self.close()
        for key in reversed(list_keys(self._directory)):
            place = self._last_start(key)
            if place is None:
                continue
            file = open_log(self._directory, key)
            file.seek(place)
            found = _started_at(file.readline(MAX_LINE))
            if found is None or found != (at or found):
                file.close()
                return False
            file.seek(place)
            self._key, self._file = key, file
            return True
        return False

    def records(self) -> Iterator[Record]:
        """Yield the records added since the last call."""
        while self._file is not None:
            line = self._file.readline(MAX_LINE)
            if line.endswith(b"\n"):
                if (record := _decoded(line)) is not None:
                    yield record
                continue
            if line:  # it is being written: what was read ahead of it may be written anew
                place = self._file.tell() - len(line)
                self._file.close()
                self._file = open_log(self._directory, self._key)
                self._file.seek(place)
                return
            newer = [key for key in list_keys(self._directory) if key > self._key]
            if not newer:
                return
            self._file.close()
            self._key = newer[0]
            self._file = open_log(self._directory, self._key)

    def close(self) -> None:
        """Close the file that is being read."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _last_start(self, key: FileKey) -> int | None:
        """Return the offset of the last start in a file; None if it has none."""
        path = self._directory / key.name
        if path.exists():
            with (
                suppress(FileNotFoundError, ValueError),  # just compressed; empty
                path.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
            ):
                found = content.rfind(_START)
                return None if found < 0 else content.rfind(b"\n", 0, found) + 1
        place, start = 0, None
        with suppress(*UNREADABLE, FileNotFoundError), open_log(self._directory, key) as lines:
            for line in lines:
                if _START in line[:100]:
                    start = place
                place += len(line)
        return start


def _started_at(line: bytes) -> str | None:
    try:
        return msgspec.json.decode(line, type=_StartRecord).at
    except msgspec.DecodeError:
        return None


def _decoded(line: bytes) -> Record | None:
    try:
        return decode(line)
    except msgspec.DecodeError:
        return None
