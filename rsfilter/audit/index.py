"""A columnar copy of closed files, so that a query over millions of records does not take minutes.

    audit/index/audit-2026-11-22.jsonl.1f2e3d4c00a80c00.parquet      of audit-2026-11-22.jsonl.gz
    audit/index/audit-2026-11-22.jsonl.1f2e3d4c00a80c00.counts       the counts that `stats` uses

An index only: it is built from the log (`indexing`), and can be deleted at any time. `verify`
compares it with its file, because `query` and `stats` answer from it. A name contains the CRC and
the size of the file that the index was built from (the end of its gzip form, RFC 1952). If they
differ, the index is ignored and the file itself is read. Rows are sorted by prefix, so that a query
for one prefix reads a small part of a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rsfilter.audit.files import FileKey
from rsfilter.routing.model import BITS, Prefix

if TYPE_CHECKING:
    import duckdb  # imported late: loading it takes a tenth of a second

DIRECTORY = "index"

COUNTS = ".counts"
"""Suffix of the counts of a file: Parquet too, rows of (name, value, number)."""

_TRAILER = 8
"""Octets of CRC-32 and size at the end of a gzip file."""


def index_path(directory: Path, key: FileKey) -> Path | None:
    """Return the index built from this very file; None if there is none."""
    path = place(directory, key)
    return path if path is not None and path.exists() else None


def counts_path(directory: Path, key: FileKey) -> Path | None:
    """Return the counts of this very file (`stats.COUNTING`); None if there are none."""
    path = place(directory, key)
    counts = path and path.with_suffix(COUNTS)
    return counts if counts and counts.exists() else None


def place(directory: Path, key: FileKey) -> Path | None:
    """Return the path of the index of a closed file; None if the file cannot be read."""
    try:
        with (directory / key.compressed_name).open("rb") as file:
            file.seek(-_TRAILER, os.SEEK_END)
            source = file.read().hex()
    except OSError:
        return None
    return directory / DIRECTORY / f"{key.name}.{source}.parquet"


def indexed_lines(path: Path, conditions: Mapping[str, object]) -> Iterator[bytes]:
    """Yield the lines in an index that meet the conditions (SQL -> value), in order. Raises OSError
    if the index is damaged."""
    import duckdb

    where = " AND ".join(("true", *conditions))
    statement = f"SELECT line FROM read_parquet(?) WHERE {where} ORDER BY seq"
    try:
        result = _reader().execute(statement, [str(path), *conditions.values()])
        while rows := result.fetchmany(1000):
            for (line,) in rows:
                yield line.encode() + b"\n"
    except duckdb.Error as error:
        raise OSError(f"{path}: delete it: {error}") from None


def sums(paths: Sequence[Path], names: Sequence[str] | None = None) -> list[tuple[str, str, int]]:
    """Add up the counts in these files: (name, value, number), of all names or of some. Raises
    OSError if one is damaged."""
    import duckdb

    if not paths:
        return []
    statement = (
        "SELECT name, value, sum(number)::BIGINT FROM read_parquet($paths) "
        "WHERE $names IS NULL OR list_contains($names, name) GROUP BY name, value"
    )
    try:
        given = {"paths": list(map(str, paths)), "names": names}
        return _reader().execute(statement, given).fetchall()
    except duckdb.Error as error:
        raise OSError(f"{paths[0].parent}: delete it: {error}") from None


def _reader() -> duckdb.DuckDBPyConnection:
    """Return a cursor of a shared database in memory: making a database takes longer than the
    query."""
    return _database().cursor()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(":memory:")


def bounds(prefix: Prefix) -> tuple[str, str]:
    """Return the first and last address as texts that sort as the addresses do. A malformed prefix
    gives those of the enclosing network."""
    spare = max(0, BITS[prefix.family] - prefix.length)
    first = prefix.network >> spare << spare
    last = first | ((1 << spare) - 1)
    return f"{prefix.family}{first:032x}", f"{prefix.family}{last:032x}"
