"""A columnar copy of closed files, so that a question about millions of records takes no minutes.

    audit/index/audit-2026-11-22.jsonl.parquet      of audit-2026-11-22.jsonl.gz

Only an index: it is made from the log, can be deleted at any time, and `verify` never looks at it.
Each names the file that it was made from by that file's CRC and size (the end of its gzip form,
RFC 1952); where they differ it does not count, and the file itself is read. Rows are in the order
of their prefixes, so that a question about one reads a small part of a file.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from rsfilter.audit.files import DIRECTORY_MODE, FILE_MODE, TEMPORARY, FileKey, list_keys
from rsfilter.routing.model import BITS, Prefix

log = logging.getLogger(__name__)

DIRECTORY = "index"

_TRAILER = 8
"""Octets of CRC-32 and size at the end of a gzip file."""

MEMORY_LIMIT = "2GB"
"""A file of 256 MiB takes half of it, and the filter runs beside us."""

_ROWS = 50_000
"""Rows of a group, the least that is read: some 5 MB."""


def index_path(directory: Path, key: FileKey) -> Path:
    """Where the index of a file is, if there is one."""
    return directory / DIRECTORY / f"{key.name}.parquet"


def is_indexed(directory: Path, key: FileKey) -> bool:
    """There is an index that was made from this very file."""
    path = index_path(directory, key)
    if not path.exists() or not (source := _source(directory, key)):
        return False
    import duckdb  # takes a while, and only those who ask need it

    try:
        with duckdb.connect(":memory:") as connection:
            found = connection.execute(
                "SELECT decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = 'source'",
                [str(path)],
            ).fetchone()
    except duckdb.Error:
        return False
    return found == (source,)


def build(directory: Path) -> Iterator[tuple[int, int]]:
    """Indexes every closed file that has no index: (done, to do), before each and at the end.

    Indexes of files that are gone go too. OSError when the directory cannot be made; a file
    that is damaged, or for which there is no room, stays without one, and the log says so.
    """
    (directory / DIRECTORY).mkdir(DIRECTORY_MODE, exist_ok=True)
    keys = list_keys(directory)
    for path in (directory / DIRECTORY).iterdir():
        if path not in {index_path(directory, key) for key in keys}:
            path.unlink()
    closed = [key for key in keys if _source(directory, key)]
    missing = [key for key in closed if not is_indexed(directory, key)]
    for done, key in enumerate(missing):
        yield done, len(missing)
        _build(directory, key)
    yield len(missing), len(missing)


def _build(directory: Path, key: FileKey) -> None:
    import duckdb

    from rsfilter.audit.sql import IN_LINE, STRUCTURE

    path = index_path(directory, key)
    temporary = path.with_name(path.name + TEMPORARY)
    # What is not ours in the statements: names of files, quoted, and a number in hexadecimal.
    log_file = _quoted(directory / key.compressed_name)
    read = f"read_ndjson_objects({log_file}, compression = 'gzip', ignore_errors = true)"
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
            connection.execute("SET preserve_insertion_order = false")
            connection.execute(f"SET temp_directory = {_quoted(path.with_suffix('.sort'))}")
            found = connection.execute(f"SELECT DISTINCT json->>'prefix' FROM {read}")  # noqa: S608
            spaces = list(_spaces(text for (text,) in found.fetchall()))
            connection.execute(
                "CREATE TEMP TABLE space AS SELECT unnest($1::VARCHAR[]) AS prefix, "
                "unnest($2::VARCHAR[]) AS low, unnest($3::VARCHAR[]) AS high",
                [list(column) for column in zip(*spaces, strict=True)] if spaces else [[], [], []],
            )
            # What is looked at rarely stays in the line, which is there whole.
            connection.execute(
                f"COPY (SELECT record.* EXCLUDE ({', '.join(IN_LINE)}), low, high FROM ("  # noqa: S608
                f"SELECT unnest(json_transform(json, '{STRUCTURE}')), json::VARCHAR AS line "
                f"FROM {read}) AS record LEFT JOIN space USING (prefix) "
                f"WHERE seq IS NOT NULL ORDER BY low, seq) TO {_quoted(temporary)} "
                f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROWS}, "
                f"KV_METADATA {{source: '{_source(directory, key)}'}})"
            )
        temporary.chmod(FILE_MODE)
        temporary.replace(path)
    except duckdb.Error as error:
        log.warning("%s is not indexed; `rsfilter audit verify` may say more: %s", key.name, error)
    finally:
        temporary.unlink(missing_ok=True)
        shutil.rmtree(path.with_suffix(".sort"), ignore_errors=True)


def lines(directory: Path, key: FileKey, conditions: Mapping[str, object]) -> Iterator[bytes]:
    """The lines of an indexed file that meet the conditions (SQL -> value), in order."""
    import duckdb

    where = " AND ".join(("true", *conditions))
    statement = f"SELECT line FROM read_parquet(?) WHERE {where} ORDER BY seq"  # noqa: S608
    with duckdb.connect(":memory:") as connection:
        path = str(index_path(directory, key))
        result = connection.execute(statement, [path, *conditions.values()])
        while rows := result.fetchmany(1000):
            for (line,) in rows:
                yield line.encode() + b"\n"


def _source(directory: Path, key: FileKey) -> str:
    """The end of the compressed file, in hexadecimal; empty while it is not closed."""
    try:
        with (directory / key.compressed_name).open("rb") as file:
            file.seek(-_TRAILER, os.SEEK_END)
            return file.read().hex()
    except OSError:
        return ""


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
    family, network, length = prefix
    spare = max(0, BITS[family] - length)
    first = network >> spare << spare
    return f"{family}{first:032x}", f"{family}{first | ((1 << spare) - 1):032x}"


def _quoted(path: Path) -> str:
    """A name in SQL."""
    text = str(path).replace("'", "''")
    return f"'{text}'"
