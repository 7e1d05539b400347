"""`rsfilter audit report`: a period of the log as one HTML file, for reviewers.

Its content comes from hosts, caches and files: the template escapes all of it, and the file loads
nothing and runs nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from rsfilter import __version__
from rsfilter.audit.many import logs_in, place_in_time, query_all
from rsfilter.audit.query import Record
from rsfilter.audit.stats import stats_of_all
from rsfilter.audit.verify import VerifyResult, verify
from rsfilter.util.text import clean, count

NOTABLE = ("data", "guard", "drain", "gap", "recovered", "flood", "reload", "reload_refused")
"""Events that a reviewer sees one by one."""

SHOWN = 200
"""Newest events shown of each kind. SQL gives the others."""

SERIES = (
    ("accepted", "#1a7f37"),
    ("rejected", "#c0262d"),
    ("held", "#9a6700"),
    ("gone", "#5a6470"),
)
"""Columns of the timeline, and their colours."""

WIDTH, HEIGHT = 900, 120


class Bar(NamedTuple):
    """A segment of a bar of the timeline."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    title: str


def report(directory: Path, since: float | None = None, until: float | None = None) -> str:
    """Render the HTML for a log or a directory of logs. Raises LogFileError and OSError as `stats`
    does."""
    logs = logs_in(directory)
    found = stats_of_all(logs, since, until)
    notable: list[Record] = []
    for event in NOTABLE:
        notable += query_all(logs, event=event, since=since, until=until, limit=SHOWN)
    thefts = query_all(logs, reason="origin_invalid_asn", since=since, until=until, limit=SHOWN)
    template = Environment(
        loader=PackageLoader("rsfilter.audit"),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
    ).get_template("report.html")
    return template.render(
        version=__version__,
        directory=str(directory),
        found=found,
        bars=list(bars(found["timeline"])),
        most=max((sum(row[1:]) for row in found["timeline"]), default=0),
        series=SERIES,
        size=(WIDTH, HEIGHT),
        notable=sorted(notable, key=place_in_time),
        thefts=list(thefts),
        integrity=[line for name in logs for line in integrity(verify(logs[name]), name)],
        is_fleet=list(logs) != [""],
        facts=facts,
        cell=cell,
        revision=revision,
    )


def shown(value: object) -> object:
    """Escape a value for the page, including bidirectional control characters."""
    return clean(value) if isinstance(value, str) else "" if value is None else value


def integrity(result: VerifyResult, name: str = "") -> list[str]:
    """Describe the result of `verify` in lines; the first one states whether the log is intact.
    `name`: instance of the log, if there are several."""
    log = f"The log of {name}" if name else "The log"
    first = f"{log} is intact." if result.is_ok else f"{log.upper()} IS DAMAGED."
    size = f"{count(result.records, 'record')} in {count(result.files, 'file')}"
    span = f"{size}, last hash {result.last_hash}"
    return [first, span, *(str(problem) for problem in result.problems[:SHOWN])]


def bars(timeline: list[list[Any]]) -> list[Bar]:
    """Lay out the timeline as rectangles: one stack for each row, of the columns in `SERIES`."""
    most = max((sum(row[1:]) for row in timeline), default=0)
    if not most:
        return []
    step = WIDTH / len(timeline)
    drawn = []
    for number, (at, *counts) in enumerate(timeline):
        top = float(HEIGHT)
        for (name, colour), size in zip(SERIES, counts, strict=True):
            height = HEIGHT * size / most
            top -= height
            if size:
                title = f"{at}: {size} {name}"
                drawn.append(Bar(number * step, top, max(1.0, step - 1), height, colour, title))
    return drawn


def cell(record: Record, name: str) -> str:
    """Return a member of a record; empty if it is missing, as in a log that was tampered with."""
    value = record.get(name, "")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def revision(record: Record) -> str:
    """Return the revision of the active truth."""
    truth = record.get("truth")
    return str(truth.get("revision", "")) if isinstance(truth, dict) else ""


def facts(record: Record) -> str:
    """Format the `data` of a record on one line."""
    return ", ".join(f"{name} {value}" for name, value in record.get("data", {}).items())
