"""Records of the audit log and the result of its check, as people read them.

Names and texts in the log come from hosts. No control character of theirs reaches a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rsfilter.audit.query import Record
from rsfilter.audit.verify import VerifyResult
from rsfilter.commands.output import clean_cell, console, print_table
from rsfilter.util.text import clean, count

_COLUMNS: dict[str, Callable[[Record], object]] = {
    "at": lambda r: r["at"][:19] + "Z",
    "event": lambda r: r.get("verdict") or r["event"],
    "neighbor": lambda r: r.get("neighbor", ""),
    "host": lambda r: r.get("host", ""),
    "asn": lambda r: r.get("asn", ""),
    "prefix": lambda r: r.get("prefix", ""),
    "as path": lambda r: _shortened(r.get("as_path", "").split(" "), " "),
    "why": lambda r: _why(r),
}
"""Columns of a table of records; --json shows all members."""

_MAX_SHOWN = 4
"""Items of a list in a table."""


def _why(record: Record) -> str:
    if record.get("reasons"):
        vrps = record.get("vrps", ())
        return _shortened(record["reasons"]) + (f" ({_shortened(vrps)})" if vrps else "")
    if "cause" in record:
        vrps = _shortened(record.get("vrps", ()))
        return f"{vrps} ({record['cause']})" if vrps else str(record["cause"])
    return _sentence(record["event"], record.get("data", {}))


def _sentence(event: str, data: Mapping[str, Any]) -> str:
    """Describe an event other than a verdict in a sentence."""
    match event:
        case "session_up":
            return f"{data['role']} of {data['group'] or 'no group'}"
        case "session_down":
            return data["reason"] or "no reason given"
        case "absent":
            return f"missing for {count(data['seconds'], 'second')}"
        case "present":
            return f"{data['detail']}, after {count(data['seconds'], 'second')}"
        case "data":
            return (
                f"{data['source']}: {data['detail']}; {count(data['flipped'], 'verdict')} changed"
            )
        case _:
            return ", ".join(f"{name} {value}" for name, value in data.items())


def summary(record: Record) -> str:
    """A record in one line, without empty cells."""
    return "  ".join(clean_cell(cell) for cell in _row(record) if cell)


def line(record: Record) -> str:
    """A record in one line, with every cell: a table would wait for its last row."""
    return "  ".join(map(clean_cell, _row(record)))


def _shortened(items: Sequence[str], separator: str = ", ") -> str:
    shown = separator.join(items[:_MAX_SHOWN])
    return f"{shown}{separator}..." if len(items) > _MAX_SHOWN else shown


def _row(record: Record) -> list[str]:
    return [str(column(record)) for column in _COLUMNS.values()]


def print_records(records: Iterable[Record], *, has_instances: bool = False) -> None:
    """Print records as a table. `has_instances`: they are of several logs, which get a column."""
    if has_instances:
        rows = ([record.get("instance", ""), *_row(record)] for record in records)
        print_table(("instance", *_COLUMNS), rows)
    else:
        print_table(tuple(_COLUMNS), map(_row, records))


def print_result(result: VerifyResult) -> None:
    """Print what a check of one log found."""
    out = console()
    for problem in result.problems:
        out.print(clean(str(problem)), style="red", soft_wrap=True)
    records, files = count(result.records, "record"), count(result.files, "file")
    out.print(f"{records} in {files}")
    if result.last_seq is not None:
        out.print(f"record {result.first_seq} to record {result.last_seq}")
        out.print(f"last hash {result.last_hash}", soft_wrap=True)
    if result.pruned_before is not None:
        out.print(f"older files are gone: nothing before record {result.pruned_before}")
    if not result.has_head and result.records:
        out.print("head.json is missing: records at the end may be, too")
    if result.is_ok and not result.records:
        out.print("There is no record, although a running filter writes some.")
    else:
        out.print("The log is intact." if result.is_ok else "The log is DAMAGED.")
