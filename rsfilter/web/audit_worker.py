"""The worker behind every question to the audit log over HTTP.

It gets a `Question` in a frame and answers with `Found`. A disk that hangs hangs the worker, which
the filter kills when the time is over.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from rsfilter.audit.query import GaveUpError, parse_time, query
from rsfilter.audit.sql import LogFileError, SqlError
from rsfilter.audit.timeline import timeline
from rsfilter.web import confinement
from rsfilter.web.frames import frame, frames

Problem = Literal["", "bad_request", "unreadable", "too_much"]


class Question(msgspec.Struct):
    """A query, its time limit in seconds, and its conditions as received."""

    directory: str
    time_s: float
    conditions: dict[str, Any]
    """Arguments of `audit.query.query` or `audit.timeline.timeline`; times are text."""
    wanted: Literal["records", "timeline"] = "records"


class Found(msgspec.Struct):
    """The records that meet the conditions, oldest first."""

    records: msgspec.Raw = msgspec.Raw(b"[]")
    """A JSON list; or the timeline."""
    count: int = 0
    problem: Problem = ""
    """"too_much": the time was over before everything was read."""
    detail: str = ""


def work(pipe: BinaryIO, answer: BinaryIO) -> None:
    """Serves one request."""
    (given,) = frames(pipe)
    answer.write(frame(msgspec.json.encode(_answer(msgspec.json.decode(given, type=Question)))))


def _answer(question: Question) -> Found:
    deadline = time.monotonic() + question.time_s
    try:
        conditions = dict(question.conditions)
        for name in ("since", "until"):
            if conditions.get(name) is not None:
                conditions[name] = parse_time(conditions[name])
        directory = Path(question.directory)
        if question.wanted == "timeline":
            return _timeline(directory, conditions)
        records = list(
            query(directory, **conditions, should_end=lambda: time.monotonic() > deadline)
        )
    except GaveUpError as error:
        return _found(error.found, "too_much")
    except ValueError as error:
        return Found(problem="bad_request", detail=str(error))
    except (LogFileError, SqlError) as error:
        return Found(problem="unreadable", detail=str(error))
    except FileNotFoundError:
        return Found()  # the first record is still on its way
    except OSError as error:
        detail = f"{question.directory}: {error.strerror or error}"
        return Found(problem="unreadable", detail=detail)
    return _found(records)


def _timeline(directory: Path, conditions: dict[str, Any]) -> Found:
    until = conditions.pop("until")
    now = time.time()
    found = timeline(directory, until=now if until is None else until, **conditions)
    return Found(msgspec.Raw(msgspec.json.encode(found)), 1)


def _found(records: list[dict[str, Any]], problem: Problem = "") -> Found:
    return Found(msgspec.Raw(msgspec.json.encode(records)), len(records), problem)


if __name__ == "__main__":
    confinement.run(work)
