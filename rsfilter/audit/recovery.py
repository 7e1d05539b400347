"""Recovery of the chain's end, at a start or after the files of a running log were changed.

A line cut by a crash is removed. A file whose last line does not match its hash is left alone, and
the chain continues in a new file. The log itself records both (`recovered`), and also missing
records: `head.json` and a running writer know how far the chain reached.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsfilter.audit.chain import GENESIS, Link, NotARecord, claimed_link, is_intact
from rsfilter.audit.files import (
    HEAD_NAME,
    TEMPORARY,
    UNREADABLE,
    Disk,
    FileKey,
    Tail,
    lines_of,
    list_keys,
    open_compressed,
    read_head,
    read_tail,
)

_START = Link(0, "", GENESIS)


@dataclass(slots=True)
class End:
    """The point at which the chain continues."""

    last: Link = _START
    """Last line of the chain."""
    newest: FileKey | None = None
    is_appendable: bool = False
    """True if the newest file is intact and not compressed, so that it is continued."""
    closed: list[FileKey] = field(default_factory=list)
    """Other files that are not compressed yet."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Findings and actions, for the log. Empty if all was in order."""


def find_end(directory: Path, known: Link | None, disk: Disk) -> End:
    """Find the end of the chain in a directory that this process has locked.

    `known`: the last line written by a running writer. Raises OSError if files cannot be read.
    """
    _remove_temporary(directory)
    keys = list_keys(directory)
    end = End()
    if known is None:
        try:
            known = read_head(directory)
        except ValueError as error:
            end.notes["problem"] = str(error)
    if keys:
        end.newest = keys[-1]
        end.closed = [key for key in keys[:-1] if (directory / key.name).exists()]
        found = _last_link(directory, keys, end, disk)
    else:
        found = _START
    end.last = found
    if known is not None and known.seq > found.seq:
        end.notes["missing"] = {"from": found.seq + 1, "to": known.seq}
        end.last = known
    elif known is not None and known.seq == found.seq and known.hash != found.hash:
        end.notes["problem"] = f"record {known.seq} had the hash {known.hash}"
    return end


def _remove_temporary(directory: Path) -> None:
    for pattern in ("audit-*.jsonl.gz", HEAD_NAME):
        for path in directory.glob(pattern + TEMPORARY):
            path.unlink(missing_ok=True)


def _last_link(directory: Path, keys: Iterable[FileKey], end: End, disk: Disk) -> Link:
    """Return the last line of the newest file that has one, and decide the fate of the newest
    file."""
    for key in reversed(list(keys)):
        is_newest = key == end.newest
        path = directory / key.name
        is_uncompressed = path.exists()
        tail = _uncompressed_tail(path) if is_uncompressed else _compressed_tail(directory, key)
        link, is_good = _judge(tail)
        if not is_good:
            end.notes |= {"file": key.name, "problem": "the last line does not match its hash"}
        if is_newest and is_uncompressed and is_good:
            end.is_appendable = True
            if tail.size > tail.end:
                end.notes |= {"file": key.name, "cut_octets": tail.size - tail.end}
                _cut(path, tail.end, disk)
        if link is not None:
            return link
    return _START


def _judge(tail: Tail) -> tuple[Link | None, bool]:
    """Return the place claimed by the last line, if any, and whether the line is intact (no line
    counts as intact)."""
    if tail.line is None:
        return None, True
    try:
        link = claimed_link(tail.line)
    except NotARecord:
        return None, False
    return link, is_intact(tail.line, link)


def _uncompressed_tail(path: Path) -> Tail:
    with path.open("rb") as file:
        return read_tail(file)


def _compressed_tail(directory: Path, key: FileKey) -> Tail:
    last, size = None, 0
    try:
        with open_compressed(directory / key.compressed_name) as file:
            for line in lines_of(file):
                last, size = line, size + len(line)
    except UNREADABLE:
        return Tail(b"", size, size)
    return Tail(last, size, size)


def _cut(path: Path, size: int, disk: Disk) -> None:
    with path.open("r+b") as file:
        os.ftruncate(file.fileno(), size)
        disk.fsync(file.fileno())
