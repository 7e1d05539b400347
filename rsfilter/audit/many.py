"""One question to several logs: a directory with a log of each instance in it, as copies are.

An instance is called by the name of its directory; the name is in no line, which is sealed. `at` is
each machine's own clock: it orders records of several logs as well as clocks agree, and `seq` those
of one.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rsfilter.audit.files import list_keys
from rsfilter.audit.query import Record, query
from rsfilter.audit.sql import Part, SqlResult, connect, select


def logs_in(directory: Path) -> dict[str, Path]:
    """The logs by name of their instance; of a directory that is a log itself that one, under an
    empty name. OSError when a directory cannot be read."""
    if list_keys(directory):
        return {"": directory}
    found = {
        path.name: path
        for path in sorted(directory.iterdir())
        if path.is_dir() and not path.is_symlink() and list_keys(path)
    }
    return found or {"": directory}


def query_all(
    logs: Mapping[str, Path], *, limit: int | None = None, **conditions: Any
) -> Iterator[Record]:
    """The records of all logs that meet every condition of `query`, in order of time; those of
    several logs have an `instance`."""
    found = [
        _named(name, query(directory, limit=limit, **conditions))
        for name, directory in logs.items()
    ]
    merged = heapq.merge(*found, key=place_in_time)
    return merged if limit is None else iter(deque(merged, limit))


def place_in_time(record: Record) -> tuple[str, str, int]:
    """What records of several logs are sorted by."""
    return record["at"], record.get("instance", ""), record["seq"]


def sql_all(logs: Mapping[str, Path], statement: str) -> SqlResult:
    """The rows of one SELECT over the table `audit`, which has a column `instance` where there are
    several logs. As `sql`."""
    parts = [Part(path, list_keys(path), name or None) for name, path in logs.items()]
    with connect(parts) as connection:
        return select(connection, statement)


def _named(name: str, records: Iterator[Record]) -> Iterator[Record]:
    return ({"instance": name, **record} for record in records) if name else records
