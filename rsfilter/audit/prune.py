"""Removal of old files of a log, oldest first, except those still needed elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from rsfilter.audit.chain import MAX_LINE, NotARecord, claimed_link
from rsfilter.audit.files import UNREADABLE, FileKey, list_keys, open_log


def prune(directory: Path, before: str, shipped: int | None = None) -> Iterator[FileKey]:
    """Remove the closed files of days before `before` (2026-11-22), and yield each. With `shipped`,
    remove only files whose records all have a `seq` up to it, because unshipped records would be
    lost.

    Stops at the first file that has to stay, and never removes the newest. Raises OSError if a file
    cannot be read or removed.
    """
    keys = list_keys(directory)
    for key, following in pairwise(keys):
        path = directory / key.compressed_name
        if key.date >= before or (directory / key.name).exists() or not path.exists():
            return
        first = first_seq(directory, following)
        if shipped is not None and (first is None or first > shipped + 1):
            return
        path.unlink()
        yield key


def first_seq(directory: Path, key: FileKey) -> int | None:
    """Return the number of the first record of a file; None if it has no readable record."""
    try:
        with open_log(directory, key) as file:
            return claimed_link(file.readline(MAX_LINE)).seq
    except (*UNREADABLE, NotARecord):
        return None
