"""The audit directory: names, order, reading, and replacing a file without a moment of neither.

    audit-2026-11-22.jsonl.gz  audit-2026-11-22.1.jsonl.gz  audit-2026-11-23.jsonl
    head.json                  where the chain ends, at least
    lock                       held by the one who writes

A closed file is compressed: the new file is complete on the disk under its name before the old one
goes. Whoever finds both finds the same records twice, and takes the old one.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from rsfilter.audit.chain import MAX_LINE, Link

HEAD_NAME = "head.json"
LOCK_NAME = "lock"
TEMPORARY = ".tmp"

FILE_MODE = 0o640
DIRECTORY_MODE = 0o750
"""The group (of the reviewers) may read; nobody else sees who announces what."""

UNREADABLE = (EOFError, zlib.error, gzip.BadGzipFile)
"""What reading a damaged compressed file raises."""

_CHUNK = 1 << 20
_COMPRESSION_LEVEL = 6
"""zlib's own default: half of a line is hashes, which no level makes smaller."""

_GZIP = 16 + zlib.MAX_WBITS
"""Tells zlib to write the gzip form (RFC 1952), which it gives no time and no name: the same bytes
for the same records."""

_NAME = re.compile(r"audit-(\d{4}-\d\d-\d\d)(?:\.([1-9]\d{0,8}))?\.jsonl(\.gz)?", re.ASCII)


class FileKey(NamedTuple):
    """A file of the log, compressed or not. Orders as the chain does."""

    date: str
    """The UTC day of its first record; later records of it are never of a later day."""
    number: int
    """0 for the first file of the day."""

    @property
    def name(self) -> str:
        """Its name while it is not compressed."""
        return f"audit-{self.date}{f'.{self.number}' if self.number else ''}.jsonl"

    @property
    def compressed_name(self) -> str:
        """Its name once it is compressed."""
        return f"{self.name}.gz"


class Disk:
    """The system calls that a full or broken disk makes fail. Tests put failing ones in."""

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """As os.write: may write less than all."""
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        """As os.fsync."""
        os.fsync(descriptor)

    def write_all(self, descriptor: int, data: bytes) -> None:
        """Writes all of it. OSError says that any part of it may have been written."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.write(descriptor, rest) :]


def list_keys(directory: Path) -> list[FileKey]:
    """The files of the log, in order. OSError when the directory cannot be read.

    A directory that changes while it is listed may show neither the old nor the new name of a
    file. So it is listed until it says the same twice.
    """
    seen = _scan(directory)
    for _ in range(10):
        again = _scan(directory)
        if again == seen:
            break
        seen = again
    return sorted({key for key, _ in seen})


def _scan(directory: Path) -> set[tuple[FileKey, bool]]:
    found = set()
    for name in os.listdir(directory):
        if match := _NAME.fullmatch(name):
            date, number, suffix = match.groups()
            found.add((FileKey(date, int(number or 0)), bool(suffix)))
    return found


def open_log(directory: Path, key: FileKey) -> BinaryIO:
    """The records of a file, to be read as bytes. Finds it under either name.

    FileNotFoundError when it is gone; reading may raise any of UNREADABLE.
    """
    try:
        return (directory / key.name).open("rb")
    except FileNotFoundError:
        # Where it is compressed while we look, its new name was there before its old one went.
        return open_compressed(directory / key.compressed_name)


def open_compressed(path: Path) -> BinaryIO:
    """The content of a gzip file."""
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, gzip.open(path, "rb")), _CHUNK))


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Every line with its line feed; the last may have none. What is longer than a line can be
    comes in pieces."""
    return iter(lambda: file.readline(MAX_LINE), b"")


class Tail(NamedTuple):
    """The end of a file."""

    line: bytes | None
    """Its last complete line; None when it has none."""
    end: int
    """Octets up to there."""
    size: int
    """Octets of the whole file: more than `end` when a line was cut."""


def read_tail(file: BinaryIO) -> Tail:
    """The end of an uncompressed file."""
    size = file.seek(0, io.SEEK_END)
    end = _after_last_feed(file, size)
    if end == 0:
        return Tail(None, 0, size)
    start = _after_last_feed(file, end - 1)
    file.seek(start)
    return Tail(file.read(min(end - start, MAX_LINE + 1)), end, size)


def _after_last_feed(file: BinaryIO, end: int) -> int:
    """The offset after the last line feed before `end`; 0 when there is none."""
    while end > 0:
        start = max(0, end - MAX_LINE)
        file.seek(start)
        position = file.read(end - start).rfind(b"\n")
        if position >= 0:
            return start + position + 1
        end = start
    return 0


def replace_file(directory: Path, name: str, content: Iterable[bytes], disk: Disk) -> None:
    """Puts a file in place: whole, or not at all."""
    temporary = directory / (name + TEMPORARY)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        try:
            os.fchmod(descriptor, FILE_MODE)
            for chunk in content:
                disk.write_all(descriptor, chunk)
            disk.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(directory / name)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(directory, disk)


def sync_directory(directory: Path, disk: Disk) -> None:
    """Makes new names survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        disk.fsync(descriptor)
    finally:
        os.close(descriptor)


def compress(
    directory: Path, key: FileKey, disk: Disk, should_stop: Callable[[], bool] = lambda: False
) -> None:
    """Compresses a closed file, or completes what a crash interrupted.

    OSError when it cannot; FileExistsError when other content has the name already: then both
    stay for `verify` to tell. InterruptedError when `should_stop`, which is asked now and then,
    says so: then all is as before.
    """
    plain, compressed = directory / key.name, directory / key.compressed_name
    if compressed.exists():
        if not is_same_content(plain, compressed):
            raise FileExistsError(f"{compressed} is there and is not {plain} compressed")
    else:
        with plain.open("rb") as file:
            replace_file(directory, key.compressed_name, _deflated(file, should_stop), disk)
    plain.unlink()


def _deflated(file: BinaryIO, should_stop: Callable[[], bool]) -> Iterator[bytes]:
    compressor = zlib.compressobj(_COMPRESSION_LEVEL, zlib.DEFLATED, _GZIP)
    while chunk := file.read(_CHUNK):
        if should_stop():
            raise InterruptedError("there is no time for it now")
        yield compressor.compress(chunk)
    yield compressor.flush()


def is_same_content(plain: Path, compressed: Path) -> bool:
    """The one is the other compressed."""
    with plain.open("rb") as one, open_compressed(compressed) as other:
        try:
            while chunk := one.read(_CHUNK):
                if other.read(len(chunk)) != chunk:
                    return False
            return not other.read(1)
        except UNREADABLE:
            return False


def write_head(directory: Path, link: Link, disk: Disk) -> None:
    """Notes that the chain reaches `link`, which must be safe on the disk."""
    content = json.dumps({"seq": link.seq, "hash": link.hash}) + "\n"
    replace_file(directory, HEAD_NAME, [content.encode()], disk)


def read_head(directory: Path) -> Link | None:
    """Where the chain ends, at least (its `prev` is not told); None: nothing is noted.

    ValueError when the note is none.
    """
    try:
        with (directory / HEAD_NAME).open("rb") as file:
            content = file.read(1000)
    except FileNotFoundError:
        return None
    match = re.fullmatch(rb'\{"seq": (\d{1,18}), "hash": "([0-9a-f]{64})"\}\n', content)
    if match is None:
        raise ValueError(f"{HEAD_NAME} is damaged")
    return Link(int(match[1]), "", match[2].decode())
