"""Counts of records over a period, for `audit stats` and the report.

Indexed files whose records all lie in the period are not read: their counts are added up. Only the
rest is counted, chiefly the file being written.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsfilter.audit import index
from rsfilter.audit.counts import COLUMNS, COUNTING, FIRST, HOURS, LAST, RECORDS, TABLE, VALUES
from rsfilter.audit.files import FileKey, list_keys
from rsfilter.audit.record import timestamp
from rsfilter.audit.sql import Part, connect, select

MAX_HOURS = 96
"""Bars of a readable timeline: four days by the hour."""

TOP = 20
"""Neighbors, hosts and prefixes that are named."""

Counts = dict[str, Counter[str | None]]
"""Counts by name and value."""


def stats(
    directory: Path, since: float | None = None, until: float | None = None
) -> dict[str, Any]:
    """Count the records of a period (seconds since the epoch; `until` is exclusive).

    Returns `records`, `first` and `last` (RFC 3339, None without records), and counts by `events`,
    `verdicts`, `reasons`, and, for the busiest, `rejected_neighbors`, `rejected_prefixes`,
    `changed_prefixes` (flaps), `hosts` and truth `revisions`: each a list of [value, count], most
    first. `timeline`: [time, accepted, rejected, held, gone] for each hour, or each day if there
    are more than `MAX_HOURS`. Raises LogFileError if a file is too damaged, OSError if one cannot
    be read.
    """
    return _summary(_count(directory, since, until))


def stats_of_all(
    logs: Mapping[str, Path], since: float | None = None, until: float | None = None
) -> dict[str, Any]:
    """Count several logs together, by instance; `instances` has [name, records] of each."""
    total: Counts = defaultdict(Counter)
    records = []
    for name, directory in logs.items():
        counts = _count(directory, since, until)
        records.append([name, counts[RECORDS][None]])
        for kind, counter in counts.items():
            total[kind].update(counter)
    return {**_summary(total), "instances": records}


def _count(directory: Path, since: float | None, until: float | None) -> Counts:
    begin = timestamp(since or 0.0)
    end = timestamp(float("inf") if until is None else until)
    # No file holds records of a later day than its own.
    keys = [key for key in list_keys(directory) if key.date >= begin[:10]]
    whole = {
        key: path
        for key in keys
        if (path := index.counts_path(directory, key)) and _lies_in(path, begin, end)
    }
    counts: Counts = defaultdict(Counter)
    for name, value, number in index.sums(list(whole.values())):
        counts[name][value] += number
    for key in keys:
        if key not in whole:
            for name, value, number in _counted(directory, key, begin, end):
                counts[name][value] += number
    return counts


def _summary(counts: Counts) -> dict[str, Any]:
    return {
        "records": counts[RECORDS][None],
        "first": min(filter(None, counts[FIRST]), default=None),
        "last": max(filter(None, counts[LAST]), default=None),
        **{name: _most(counts[name]) for name in VALUES},
        "timeline": _timeline(counts),
    }


def _lies_in(path: Path, begin: str, end: str) -> bool:
    """Return whether all counted records lie in the period."""
    times = {name: value for name, value, _ in index.sums([path], [FIRST, LAST])}
    return times[FIRST] is None or begin <= times[FIRST] <= times[LAST] < end


def _counted(directory: Path, key: FileKey, begin: str, end: str) -> list[tuple[Any, ...]]:
    """Count the records of the period by reading the file."""
    with connect([Part(directory, [key])]) as connection:
        # A table, so that the file is read once. The statement's only external parts are numbers,
        # which `timestamp` wrote.
        connection.execute(
            f"CREATE TEMP TABLE {TABLE} AS SELECT {', '.join(COLUMNS)} FROM audit "
            f"WHERE \"at\" >= '{begin}'::TIMESTAMP AND \"at\" < '{end}'::TIMESTAMP"
        )
        return select(connection, COUNTING).rows


def _most(counter: Counter[str | None]) -> list[list[Any]]:
    """Return [value, count] of the most frequent; equal counts by value, records without a value
    last."""
    in_order = sorted(counter.items(), key=lambda item: (-item[1], item[0] is None, item[0] or ""))
    return [list(item) for item in in_order[:TOP]]


def _timeline(counts: Counts) -> list[list[Any]]:
    """Return [time, count by each name of `HOURS`] for the hours or days with any event."""
    by_hour = {name: counts[name] for name in HOURS}
    times = sorted({hour for counter in by_hour.values() for hour in counter if hour})
    if len(times) <= MAX_HOURS:
        return [[time, *(counter[time] for counter in by_hour.values())] for time in times]
    days: dict[str, Counter[str]] = {name: Counter() for name in by_hour}
    for name, counter in by_hour.items():
        for hour, number in counter.items():
            days[name][_day(hour)] += number
    times = sorted({day for counter in days.values() for day in counter})
    return [[time, *(counter[time] for counter in days.values())] for time in times]


def _day(hour: str | None) -> str:
    return f"{(hour or '')[:10]}T00:00:00Z"
