"""The audit directory: names, order, reading, and replacing files without a gap.

    audit-2026-11-22.jsonl.gz  audit-2026-11-22.1.jsonl.gz  audit-2026-11-23.jsonl
    head.json                  minimum end of the chain
    lock                       held by the writer

A closed file is compressed: the new file is complete on disk under its name before the old one is
removed. A reader that finds both finds the same records twice, and uses the old file.
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
"""The group (reviewers) may read. Others must not see who announces which prefix."""

UNREADABLE = (EOFError, zlib.error, gzip.BadGzipFile)
"""Exceptions raised by reading a damaged compressed file."""

_CHUNK = 1 << 20
_COMPRESSION_LEVEL = 6
"""zlib's own default: half of a line is hashes, which no level compresses further."""

_GZIP = 16 + zlib.MAX_WBITS
"""Selects the gzip form (RFC 1952) in zlib, without time and name: equal records give equal
bytes."""

_NAME = re.compile(r"audit-(\d{4}-\d\d-\d\d)(?:\.([1-9]\d{0,8}))?\.jsonl(\.gz)?", re.ASCII)


class FileKey(NamedTuple):
    """A file of the log, compressed or not. Sorts as the chain does."""

    date: str
    """UTC day of its first record. Later records in it never have a later day."""
    number: int
    """Number within the day, 0 for the first file."""

    @property
    def name(self) -> str:
        """Name while it is not compressed."""
        return f"audit-{self.date}{f'.{self.number}' if self.number else ''}.jsonl"

    @property
    def compressed_name(self) -> str:
        """Name once it is compressed."""
        return f"{self.name}.gz"


class Disk:
    """System calls that fail on a full or broken disk. Tests replace them with failing ones."""

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write as os.write does, perhaps only a part."""
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        """Synchronise as os.fsync does."""
        os.fsync(descriptor)

    def write_all(self, descriptor: int, data: bytes) -> None:
        """Write all of `data`. Raises OSError; any part may have been written then."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.write(descriptor, rest) :]


def list_keys(directory: Path) -> list[FileKey]:
    """Return the files of the log, in order. Raises OSError if the directory cannot be read.

    A listing made while the directory changes may contain neither the old nor the new name of a
    file. The directory is therefore listed until two listings agree.
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
    """Open the records of a file as bytes, under either name.

    Raises FileNotFoundError if it was removed; reading may raise any of UNREADABLE.
    """
    try:
        return (directory / key.name).open("rb")
    except FileNotFoundError:
        # If it is compressed meanwhile, the new name exists before the old one is removed.
        return open_compressed(directory / key.compressed_name)


def open_compressed(path: Path) -> BinaryIO:
    """Open the content of a gzip file."""
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, gzip.open(path, "rb")), _CHUNK))


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield every line with its line feed; the last may have none. A line longer than a record may
    be is yielded in pieces."""
    return iter(lambda: file.readline(MAX_LINE), b"")


class Tail(NamedTuple):
    """The end of a file."""

    line: bytes | None
    """Last complete line; None if there is none."""
    end: int
    """Octets up to the end of that line."""
    size: int
    """Octets of the whole file: more than `end` if a line was cut."""


def read_tail(file: BinaryIO) -> Tail:
    """Read the end of an uncompressed file."""
    size = file.seek(0, io.SEEK_END)
    end = _after_last_feed(file, size)
    if end == 0:
        return Tail(None, 0, size)
    start = _after_last_feed(file, end - 1)
    file.seek(start)
    return Tail(file.read(min(end - start, MAX_LINE + 1)), end, size)


def _after_last_feed(file: BinaryIO, end: int) -> int:
    """Return the offset after the last line feed before `end`; 0 if there is none."""
    while end > 0:
        start = max(0, end - MAX_LINE)
        file.seek(start)
        position = file.read(end - start).rfind(b"\n")
        if position >= 0:
            return start + position + 1
        end = start
    return 0


def replace_file(directory: Path, name: str, content: Iterable[bytes], disk: Disk) -> None:
    """Replace a file atomically."""
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
    """Make new names survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        disk.fsync(descriptor)
    finally:
        os.close(descriptor)


def compress(
    directory: Path, key: FileKey, disk: Disk, should_stop: Callable[[], bool] = lambda: False
) -> None:
    """Compress a closed file, or complete an interrupted compression.

    Raises OSError on failure, and FileExistsError if other content has the name already: then both
    files stay, and `verify` reports them. Raises InterruptedError if `should_stop`, which is called
    now and then, returns true: then all is as before.
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
    """Return whether one file is the other compressed."""
    with plain.open("rb") as one, open_compressed(compressed) as other:
        try:
            while chunk := one.read(_CHUNK):
                if other.read(len(chunk)) != chunk:
                    return False
            return not other.read(1)
        except UNREADABLE:
            return False


def write_head(directory: Path, link: Link, disk: Disk) -> None:
    """Record that the chain reaches `link`, which must be safe on disk."""
    content = json.dumps({"seq": link.seq, "hash": link.hash}) + "\n"
    replace_file(directory, HEAD_NAME, [content.encode()], disk)


def read_head(directory: Path) -> Link | None:
    """Return the minimum end of the chain (without its `prev`); None if none is recorded.

    Raises ValueError if the file is malformed.
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
