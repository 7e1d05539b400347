"""The columns of the audit log as a table: of SQL, and of the index (docs/audit.md)."""

from __future__ import annotations

import json

COLUMNS = {
    "v": "INTEGER",
    "seq": "BIGINT",
    "at": "TIMESTAMP",
    "event": "VARCHAR",
    "neighbor": "VARCHAR",
    "host": "VARCHAR",
    "asn": "BIGINT",
    "prefix": "VARCHAR",
    "path_id": "BIGINT",
    "as_path": "VARCHAR",
    "as_path_length": "BIGINT",
    "next_hop": "VARCHAR",
    "verdict": "VARCHAR",
    "was": "VARCHAR",
    "reasons": "VARCHAR[]",
    "cause": "VARCHAR",
    "state": "VARCHAR",
    "vrps": "VARCHAR[]",
    "truth": "STRUCT(revision VARCHAR, sha256 VARCHAR)",
    "rtr": "STRUCT(cache VARCHAR, session BIGINT, serial BIGINT)",
    "data": "JSON",
    "prev": "VARCHAR",
    "hash": "VARCHAR",
}
"""The table, by DuckDB's types. `at` is UTC."""


def _structure(type_: str) -> object:
    """A type as DuckDB's `json_transform` wants it."""
    if type_.startswith("STRUCT("):
        fields = (field.split(" ") for field in type_[7:-1].split(", "))
        return dict(fields)
    return [type_[:-2]] if type_.endswith("[]") else type_


IN_LINE = ("prev", "hash")
"""Columns that an index has in its copy of the whole line only."""

STRUCTURE = json.dumps({name: _structure(type_) for name, type_ in COLUMNS.items()})
"""The whole table for `json_transform`."""
