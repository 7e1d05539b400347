"""Count a time of the log in equal steps: verdicts, reasons, sessions, changes of data. For plots.

After a start every route is judged anew, and by data that arrive meanwhile. Such records are no
news of the network: they are counted apart (`restart`) for `RESTART_S`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from rsfilter.audit.files import FileKey, list_keys
from rsfilter.audit.record import timestamp
from rsfilter.audit.sql import Part, connect, select

STEPS = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
"""Seconds of a step: numbers that an axis shows well."""

MAX_POINTS = 200
"""Steps of one timeline, but for a time of more than 200 days."""

MAX_STARTS = MAX_CHANGES = 1000
"""Starts and changes of data of one timeline, the newest."""

RESTART_S = 120.0
"""Seconds after a start in which hosts repeat their routes, at most."""

KINDS = ("accepted", "rejected", "held", "gone", "restart")


class Change(msgspec.Struct):
    """Other data came into force."""

    at: float
    source: str
    """truth or rtr."""


class Timeline(msgspec.Struct):
    """Counts by step. Times are seconds since the epoch."""

    step_s: int
    times: list[int]
    """Begin of each step."""
    first: float | None
    """The first record, if the log begins within this time; null: it is older, or empty."""
    verdicts: dict[str, list[int]]
    """Changes to accepted, rejected and held; gone: routes that were removed; restart: routes that
    were judged again after a start."""
    reasons: dict[str, list[int]]
    """Changes to rejected by their most specific reason, without those of `restart`."""
    sessions: list[int | None]
    """Host sessions that are up at the end of each step; null: not known."""
    changes: list[Change]
    starts: list[float]


def timeline(directory: Path, since: float, until: float, sessions_up: int | None) -> Timeline:
    """Return the timeline of [`since`, `until`), in seconds since the epoch.

    `sessions_up`: host sessions that are up at `until`; None if that is not known. ValueError if
    the time is empty; LogFileError or OSError if a file is damaged or cannot be read.
    """
    if not 0 <= since < until:
        raise ValueError("since: must be before until")
    step = next((each for each in STEPS if (until - since) / each <= MAX_POINTS), STEPS[-1])
    begin = int(since // step) * step
    times = list(range(begin, int(-(-until // step)) * step, step))
    first, last = timestamp(begin), timestamp(until)
    every = list_keys(directory)
    keys = [key for key in every if first[:10] <= key.date <= last[:10]]
    with connect([Part(directory, keys)]) as connection:
        connection.execute(_RECORDS.format(first=first, last=last))
        connection.execute(_JUDGED.format(restart=RESTART_S))
        rows = {name: select(connection, text).rows for name, text in _SELECTS.items()}
    starts = [at for (at,) in rows["starts"]]
    return Timeline(
        step_s=step,
        times=times,
        first=_first(every, first, rows["first"][0][0]),
        verdicts=_by_name(rows["verdicts"], times, step, KINDS),
        reasons=_by_name(rows["reasons"], times, step),
        sessions=_sessions(rows["sessions"], times, step, sessions_up),
        changes=[Change(at, source or "") for at, source in rows["changes"][-MAX_CHANGES:]],
        starts=starts[-MAX_STARTS:],
    )


# Nothing in these statements comes from outside but texts that `timestamp` wrote.
_RECORDS = """CREATE TEMP TABLE r AS
    SELECT epoch("at")::DOUBLE AS t, event, verdict, was, cause, reasons[1] AS reason, neighbor,
        data->>'role' AS role, data->>'source' AS source, seq
    FROM audit WHERE "at" >= '{first}'::TIMESTAMP AND "at" < '{last}'::TIMESTAMP"""

_JUDGED = """CREATE TEMP TABLE judged AS
    SELECT r.t, r.reason, CASE
        WHEN r.event = 'withdraw' THEN 'gone'
        WHEN r.t < s.t + {restart} AND (r.was IS NULL OR r.cause = 'data') THEN 'restart'
        ELSE r.verdict END AS kind
    FROM r ASOF LEFT JOIN (SELECT t FROM r WHERE event = 'start') s ON r.t >= s.t
    WHERE r.event IN ('verdict', 'withdraw')"""

_SELECTS = {
    "first": "SELECT min(t) FROM r",
    "starts": "SELECT t FROM r WHERE event = 'start' ORDER BY seq",
    "verdicts": "SELECT floor(t)::BIGINT, kind, count(*) FROM judged GROUP BY ALL",
    "reasons": "SELECT floor(t)::BIGINT, coalesce(reason, ''), count(*) FROM judged "
    "WHERE kind = 'rejected' GROUP BY ALL",
    "sessions": "SELECT t, event, neighbor FROM r WHERE event = 'start' OR "
    "(event IN ('session_up', 'session_down') AND role = 'host') ORDER BY seq",
    "changes": "SELECT t, source FROM r WHERE event = 'data' ORDER BY seq",
}


def _first(every: Sequence[FileKey], begin: str, first: float | None) -> float | None:
    is_older = any(key.date < begin[:10] for key in every)
    return None if is_older else first


def _by_name(
    rows: Sequence[tuple[Any, ...]], times: list[int], step: int, names: Sequence[str] = ()
) -> dict[str, list[int]]:
    counts = {name: [0] * len(times) for name in names}
    for second, name, number in rows:
        counts.setdefault(name, [0] * len(times))[(second - times[0]) // step] += number
    return counts


def _sessions(
    rows: Sequence[tuple[Any, ...]], times: list[int], step: int, sessions_up: int | None
) -> list[int | None]:
    """A start begins with no session. Before the first one the number is not known; without any
    start it follows from the number at the end."""
    up: set[str] = set()
    others: int | None = None  # sessions that are up and have no record in this time
    if sessions_up is not None and all(event != "start" for _, event, _ in rows):
        first = {neighbor: event for _, event, neighbor in reversed(rows)}
        last = {neighbor: event for _, event, neighbor in rows}
        up = {neighbor for neighbor, event in first.items() if event == "session_down"}
        others = sessions_up - sum(event == "session_up" for event in last.values())
    levels: list[int | None] = []
    pending = deque(rows)
    for begin in times:
        while pending and pending[0][0] < begin + step:
            _, event, neighbor = pending.popleft()
            if event == "start":
                up, others = set(), 0
            elif event == "session_up":
                up.add(neighbor)
            else:
                up.discard(neighbor)
        levels.append(None if others is None else others + len(up))
    return levels
