"""The audit log, as a test reads it: JSON Lines in a directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.story import details, expecting
from lab.waiting import DEADLINE_S, eventually

Record = dict[str, Any]


class Audit:
    """Records that a filter has written down."""

    def __init__(self, directory: Path, evidence: Callable[[], str]) -> None:
        self.directory = directory
        self._evidence = evidence

    def records(self, **fields: object) -> list[Record]:
        """The lines whose fields are all as given, in order; not one that is being written."""
        lines = [
            line
            for path in sorted(self.directory.glob("*.jsonl"))
            for line in path.read_text().splitlines(keepends=True)
        ]
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        return [record for record in records if _matches(record, fields)]

    def has(self, *, deadline_s: float = DEADLINE_S, **fields: object) -> Record:
        """Wait for a line whose fields are all as given; the latest such line."""
        found: list[Record] = []

        def probe() -> str | None:
            found[:] = self.records(**fields)
            return None if found else f"the audit has no line with {fields}"

        with expecting(f"the audit has a line{details(fields)}"):
            eventually(probe, lambda: self._report(fields) + self._evidence(), deadline_s)
        return found[-1]

    def _report(self, fields: dict[str, object]) -> str:
        near = self.records(prefix=fields["prefix"]) if "prefix" in fields else self.records()
        return "".join(f"    {json.dumps(record)}\n" for record in near[-20:])


def _matches(record: Record, fields: dict[str, object]) -> bool:
    return all(record.get(name) == value for name, value in fields.items())
