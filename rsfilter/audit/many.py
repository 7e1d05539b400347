"""One query over several logs: a directory that holds one log per instance, such as copies.

An instance has the name of its directory; no line contains the name, because lines are sealed. `at`
is each machine's own clock: it orders records of several logs as well as the clocks agree, while
`seq` orders the records of one.
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
    """Find the logs, by name of their instance. A directory that is itself a log gives that one log
    under an empty name. Raises OSError if a directory cannot be read."""
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
    """Yield the records of all logs that meet every condition of `query`, in order of time. With
    several logs, records have an `instance`."""
    found = [
        _named(name, query(directory, limit=limit, **conditions))
        for name, directory in logs.items()
    ]
    merged = heapq.merge(*found, key=place_in_time)
    return merged if limit is None else iter(deque(merged, limit))


def place_in_time(record: Record) -> tuple[str, str, int]:
    """Return the sort key for records of several logs."""
    return record["at"], record.get("instance", ""), record["seq"]


def sql_all(logs: Mapping[str, Path], statement: str) -> SqlResult:
    """Run one SELECT over the table `audit`. With several logs the table has a column `instance`.
    Errors as for `sql`."""
    parts = [Part(path, list_keys(path), name or None) for name, path in logs.items()]
    with connect(parts) as connection:
        return select(connection, statement)


def _named(name: str, records: Iterator[Record]) -> Iterator[Record]:
    return ({"instance": name, **record} for record in records) if name else records
