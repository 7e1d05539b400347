"""A columnar copy of closed files, so that a question about millions of records takes no minutes.

    audit/index/audit-2026-11-22.jsonl.1f2e3d4c00a80c00.parquet      of audit-2026-11-22.jsonl.gz
    audit/index/audit-2026-11-22.jsonl.1f2e3d4c00a80c00.counts       what `stats` counts in it

Only an index: it is made from the log (`indexing`), and can be deleted at any time. `verify`
compares it with its file, because `query` and `stats` answer from it.
A name has the CRC and the size of the file that the index was made from (the end of its gzip form,
RFC 1952); where they differ the index does not count, and the file itself is read. Rows are in the
order of their prefixes, so that a question about one reads a small part of a file.
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
    import duckdb  # elsewhere where it is needed: loading it takes a tenth of a second

DIRECTORY = "index"

COUNTS = ".counts"
"""How the counts of a file end: as well Parquet, (name, value, number)."""

_TRAILER = 8
"""Octets of CRC-32 and size at the end of a gzip file."""


def index_path(directory: Path, key: FileKey) -> Path | None:
    """The index that was made from this very file; None when there is none."""
    path = place(directory, key)
    return path if path is not None and path.exists() else None


def counts_path(directory: Path, key: FileKey) -> Path | None:
    """The counts of this very file (`stats.COUNTING`); None when there are none."""
    path = place(directory, key)
    counts = path and path.with_suffix(COUNTS)
    return counts if counts and counts.exists() else None


def place(directory: Path, key: FileKey) -> Path | None:
    """The path of the index of a closed file; None if the file cannot be read."""
    try:
        with (directory / key.compressed_name).open("rb") as file:
            file.seek(-_TRAILER, os.SEEK_END)
            source = file.read().hex()
    except OSError:
        return None
    return directory / DIRECTORY / f"{key.name}.{source}.parquet"


def indexed_lines(path: Path, conditions: Mapping[str, object]) -> Iterator[bytes]:
    """The lines in an index that meet the conditions (SQL -> value), in order. OSError when it is
    damaged."""
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
    """The counts in these files added up: (name, value, number), of all names or of some. OSError
    when one is damaged."""
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
    """A cursor of a database in memory that is made once: making one takes longer than asking."""
    return _database().cursor()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(":memory:")


def bounds(prefix: Prefix) -> tuple[str, str]:
    """Its first and last address, as texts that compare as the addresses do; those of a malformed
    one as of the space that it lies in."""
    spare = max(0, BITS[prefix.family] - prefix.length)
    first = prefix.network >> spare << spare
    last = first | ((1 << spare) - 1)
    return f"{prefix.family}{first:032x}", f"{prefix.family}{last:032x}"
