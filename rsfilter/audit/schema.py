"""Columns of the audit log as a table, for SQL and for the index (docs/audit.md)."""

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
"""Columns and their DuckDB types. `at` is UTC."""


def _structure(type_: str) -> object:
    """Return the structure of a type for DuckDB's `json_transform`."""
    if type_.startswith("STRUCT("):
        fields = (field.split(" ") for field in type_[7:-1].split(", "))
        return dict(fields)
    return [type_[:-2]] if type_.endswith("[]") else type_


IN_LINE = ("prev", "hash")
"""Columns that an index holds only inside its copy of the line."""

STRUCTURE = json.dumps({name: _structure(type_) for name, type_ in COLUMNS.items()})
"""Structure of the whole table for `json_transform`."""
