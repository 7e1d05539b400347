"""A columnar copy of closed files, so that a question about millions of records takes no minutes.

    audit/index/audit-2026-11-22.jsonl.1f2e3d4c00a80c00.parquet      of audit-2026-11-22.jsonl.gz
    audit/index/audit-2026-11-22.jsonl.1f2e3d4c00a80c00.counts       what `stats` counts in it

Only an index: it is made from the log, can be deleted at any time, and `verify` never looks at it.
A name has the CRC and the size of the file that the index was made from (the end of its gzip form,
RFC 1952); where they differ the index does not count, and the file itself is read. Rows are in the
order of their prefixes, so that a question about one reads a small part of a file.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rsfilter.audit.counts import COUNTING, TABLE
from rsfilter.audit.files import DIRECTORY_MODE, FILE_MODE, TEMPORARY, FileKey, list_keys
from rsfilter.audit.schema import IN_LINE, STRUCTURE
from rsfilter.routing.model import BITS, Prefix

if TYPE_CHECKING:
    import duckdb  # elsewhere where it is needed: loading it takes a tenth of a second

log = logging.getLogger(__name__)

DIRECTORY = "index"

_COUNTS = ".counts"
"""How the counts of a file end: as well Parquet, (name, value, number)."""

_TRAILER = 8
"""Octets of CRC-32 and size at the end of a gzip file."""

MEMORY_LIMIT = "2GB"
"""A file of 256 MiB takes half of it, and the filter runs beside us."""

_ROWS = 50_000
"""Rows of a group, the least that is read: some 5 MB."""


def index_path(directory: Path, key: FileKey) -> Path | None:
    """The index that was made from this very file; None when there is none."""
    path = _path(directory, key)
    return path if path is not None and path.exists() else None


def counts_path(directory: Path, key: FileKey) -> Path | None:
    """The counts of this very file (`stats.COUNTING`); None when there are none."""
    path = _path(directory, key)
    counts = path and path.with_suffix(_COUNTS)
    return counts if counts and counts.exists() else None


def _path(directory: Path, key: FileKey) -> Path | None:
    """Where the index of a closed file belongs."""
    try:
        with (directory / key.compressed_name).open("rb") as file:
            file.seek(-_TRAILER, os.SEEK_END)
            source = file.read().hex()
    except OSError:
        return None
    return directory / DIRECTORY / f"{key.name}.{source}.parquet"


def build(directory: Path) -> Iterator[tuple[int, int]]:
    """Indexes every closed file that has no index: (done, to do), before each and at the end.

    Indexes of files that are gone go too. OSError when the directory cannot be made, or another
    process is at it; a file that is damaged, or for which there is no room, stays without one, and
    the log says so.
    """
    (directory / DIRECTORY).mkdir(DIRECTORY_MODE, exist_ok=True)
    with _locked(directory / DIRECTORY):
        yield from _build_missing(directory)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Two processes would take each other's unfinished files for their own."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BlockingIOError(f"{directory}: another process makes this index") from None
    finally:
        os.close(lock)


def _build_missing(directory: Path) -> Iterator[tuple[int, int]]:
    wanted = {path: key for key in list_keys(directory) if (path := _path(directory, key))}
    counts = {path.with_suffix(_COUNTS): path for path in wanted}
    for path in (directory / DIRECTORY).iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path not in wanted and path not in counts:
            path.unlink()
    missing = [
        (path, wanted[path])
        for counted, path in counts.items()
        if not (path.exists() and counted.exists())
    ]
    for done, (path, key) in enumerate(missing):
        yield done, len(missing)
        _build(directory / key.compressed_name, path)
    yield len(missing), len(missing)


def _build(log_file: Path, path: Path) -> None:
    import duckdb

    temporary = path.with_name(path.name + TEMPORARY)
    counts = path.with_suffix(_COUNTS)
    counts_temporary = counts.with_name(counts.name + TEMPORARY)
    # What is not ours in the statements: names of files, quoted.
    read = f"read_ndjson_objects({_quoted(log_file)}, compression = 'gzip', ignore_errors = true)"
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
            connection.execute("SET preserve_insertion_order = false")
            connection.execute(f"SET temp_directory = {_quoted(path.with_suffix('.sort'))}")
            found = connection.execute(f"SELECT DISTINCT json->>'prefix' FROM {read}")
            spaces = list(_spaces(text for (text,) in found.fetchall()))
            connection.execute(
                "CREATE TEMP TABLE space AS SELECT unnest($1::VARCHAR[]) AS prefix, "
                "unnest($2::VARCHAR[]) AS low, unnest($3::VARCHAR[]) AS high",
                [list(column) for column in zip(*spaces, strict=True)] if spaces else [[], [], []],
            )
            # What is looked at rarely stays in the line, which is there whole.
            connection.execute(
                f"COPY (SELECT record.* EXCLUDE ({', '.join(IN_LINE)}), low, high FROM ("
                f"SELECT unnest(json_transform(json, '{STRUCTURE}')), json::VARCHAR AS line "
                f"FROM {read}) AS record LEFT JOIN space USING (prefix) "
                f"WHERE seq IS NOT NULL ORDER BY low, seq) TO {_quoted(temporary)} "
                f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROWS})"
            )
            connection.execute(
                f"CREATE VIEW {TABLE} AS SELECT * FROM read_parquet({_quoted(temporary)})"
            )
            connection.execute(f"COPY ({COUNTING}) TO {_quoted(counts_temporary)} (FORMAT parquet)")
        for made, place in ((temporary, path), (counts_temporary, counts)):
            made.chmod(FILE_MODE)
            made.replace(place)
    except duckdb.Error as error:
        log.warning("%s is not indexed; `rsfilter audit verify` may say more: %s", log_file, error)
    finally:
        temporary.unlink(missing_ok=True)
        counts_temporary.unlink(missing_ok=True)
        shutil.rmtree(path.with_suffix(".sort"), ignore_errors=True)


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


def _spaces(texts: Iterator[str | None]) -> Iterator[tuple[str, str, str]]:
    for text in texts:
        if text is not None:
            try:
                yield (text, *bounds(Prefix.parse(text)))
            except ValueError:  # no prefix: no record of ours
                continue


def bounds(prefix: Prefix) -> tuple[str, str]:
    """Its first and last address, as texts that compare as the addresses do; those of a malformed
    one as of the space that it lies in."""
    spare = max(0, BITS[prefix.family] - prefix.length)
    first = prefix.network >> spare << spare
    last = first | ((1 << spare) - 1)
    return f"{prefix.family}{first:032x}", f"{prefix.family}{last:032x}"


def _quoted(path: Path) -> str:
    """A name in SQL."""
    text = str(path).replace("'", "''")
    return f"'{text}'"
