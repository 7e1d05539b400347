"""Building of the indexes of a log, and comparison of both.

The owner of the log's directory may plant links there and swap directories, and indexes are often
built by root. So root acts as the directory's owner, the directory of the indexes is opened once
and never through a link, unfinished files are in a directory that only this process can enter, and
only files with our name and our owner are deleted.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rsfilter.audit.counts import COUNTING, TABLE
from rsfilter.audit.files import DIRECTORY_MODE, FILE_MODE, FileKey, list_keys
from rsfilter.audit.index import COUNTS, DIRECTORY, bounds, counts_path, index_path, place
from rsfilter.audit.schema import IN_LINE, STRUCTURE
from rsfilter.routing.model import Prefix

if TYPE_CHECKING:
    import duckdb  # imported late: loading it takes a tenth of a second

log = logging.getLogger(__name__)

MEMORY_LIMIT = "2GB"
"""Memory limit of DuckDB. A file of 256 MiB takes half of it, and the filter runs beside."""

_ROWS = 50_000
"""Rows of a group, the least that is read: some 5 MB."""

_WORK = ".work-"
"""Prefix of the names of directories for unfinished files."""

_OURS = re.compile(
    r"audit-\d{4}-\d\d-\d\d(\.\d{1,9})?\.jsonl\.[0-9a-f]{16}\.(parquet|counts|sort)(\.tmp)?"
    rf"|{re.escape(_WORK)}\w+",
    re.ASCII,
)
"""Names that this program gives, and gave, in the directory of the indexes."""


def build(directory: Path) -> Iterator[tuple[int, int]]:
    """Index every closed file that has no index. Yields (done, total), before each file and at the
    end.

    Removes indexes of removed files. Raises OSError if the directory cannot be created, is a link,
    or is in use by another process. A file that is damaged, or for which there is no room, stays
    without an index, and a warning is logged.
    """
    with _as_owner(directory), _opened(directory) as index:
        yield from _build_missing(directory, index)


@contextmanager
def _as_owner(directory: Path) -> Iterator[None]:
    """Act as the owner of the directory if this process is root: then a link that the owner planted
    gives access only to files that the owner can access anyway."""
    owner = directory.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([owner.st_gid])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """Open and lock the directory of the indexes: two processes would mistake each other's
    unfinished files for their own."""
    path = directory / DIRECTORY
    with suppress(FileExistsError):
        path.mkdir(DIRECTORY_MODE)
    index = _open_directory(path)
    try:
        fcntl.flock(index, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield index
    except BlockingIOError:
        raise BlockingIOError(f"{path}: another process makes this index") from None
    finally:
        os.close(index)


def _open_directory(path: Path | str, inside: int | None = None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(path, flags, dir_fd=inside)
    except NotADirectoryError:
        text = "is not a directory; remove it"
        raise NotADirectoryError(errno.ENOTDIR, text, str(path)) from None


def _build_missing(directory: Path, index: int) -> Iterator[tuple[int, int]]:
    wanted = {path.name: key for key in list_keys(directory) if (path := place(directory, key))}
    counts = {_counts_of(name): name for name in wanted}
    _remove_others(index, wanted.keys() | counts.keys())
    there = set(os.listdir(index))
    missing = [
        (name, wanted[name]) for counted, name in counts.items() if not {name, counted} <= there
    ]
    for done, (name, key) in enumerate(missing):
        yield done, len(missing)
        _build(directory / key.compressed_name, index, name)
    yield len(missing), len(missing)


def _counts_of(name: str) -> str:
    return str(Path(name).with_suffix(COUNTS))


def _remove_others(index: int, kept: set[str]) -> None:
    """Remove files that this program made here and no longer needs. Other files stay."""
    for name in os.listdir(index):
        if name in kept or not _OURS.fullmatch(name):
            continue
        status = os.stat(name, dir_fd=index, follow_symlinks=False)
        if status.st_uid != os.geteuid():
            log.warning("%s/%s belongs to another user and is not removed", DIRECTORY, name)
        elif stat.S_ISDIR(status.st_mode):
            shutil.rmtree(name, dir_fd=index)
        else:
            os.unlink(name, dir_fd=index)


def _build(log_file: Path, index: int, name: str) -> None:
    import duckdb

    with _workplace(index) as work:
        scratch = _path_of(work)
        made, counted = scratch / "made", scratch / "counted"
        try:
            with _reading(log_file, scratch) as connection:
                connection.execute(
                    f"COPY (SELECT * FROM made ORDER BY low, seq) TO {_quoted(made)} "
                    f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROWS})"
                )
                connection.execute(
                    f"CREATE VIEW {TABLE} AS SELECT * FROM read_parquet({_quoted(made)})"
                )
                connection.execute(f"COPY ({COUNTING}) TO {_quoted(counted)} (FORMAT parquet)")
        except duckdb.Error as error:
            text = "%s is not indexed; `rsfilter audit verify` may show the cause: %s"
            log.warning(text, log_file, error)
            return
        for path, final in ((made, name), (counted, _counts_of(name))):
            path.chmod(FILE_MODE)
            os.rename(path.name, final, src_dir_fd=work, dst_dir_fd=index)


@contextmanager
def _workplace(index: int) -> Iterator[int]:
    """Open a directory that only this process can enter, even if its name is replaced."""
    name = os.path.basename(tempfile.mkdtemp(prefix=_WORK, dir=_path_of(index)))
    try:
        work = _open_directory(name, index)
        try:
            if os.fstat(work).st_uid != os.geteuid():
                raise PermissionError(errno.EPERM, "was replaced by another user", name)
            yield work
        finally:
            os.close(work)
    finally:
        shutil.rmtree(name, ignore_errors=True, dir_fd=index)


def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}")


@contextmanager
def _reading(log_file: Path, scratch: Path | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database with the view `made`: the rows of the index of a file, computed from the
    file. `scratch`: directory for data beyond memory; None: nothing may be written."""
    import duckdb

    # File names are the only external part of the statements, and they are quoted.
    read = f"read_ndjson_objects({_quoted(log_file)}, compression = 'gzip', ignore_errors = true)"
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("SET preserve_insertion_order = false")
        sort = "" if scratch is None else str(scratch / "sort")
        connection.execute(f"SET temp_directory = {_quoted(sort)}")
        found = connection.execute(f"SELECT DISTINCT json->>'prefix' FROM {read}")
        spaces = list(_spaces(text for (text,) in found.fetchall()))
        connection.execute(
            "CREATE TEMP TABLE space AS SELECT unnest($1::VARCHAR[]) AS prefix, "
            "unnest($2::VARCHAR[]) AS low, unnest($3::VARCHAR[]) AS high",
            [list(column) for column in zip(*spaces, strict=True)] if spaces else [[], [], []],
        )
        # Rarely used members stay in the line, which is stored whole.
        connection.execute(
            f"CREATE TEMP VIEW made AS SELECT record.* EXCLUDE ({', '.join(IN_LINE)}), low, high "
            f"FROM (SELECT unnest(json_transform(json, '{STRUCTURE}')), json::VARCHAR AS line "
            f"FROM {read}) AS record LEFT JOIN space USING (prefix) WHERE seq IS NOT NULL"
        )
        yield connection


def _spaces(texts: Iterator[str | None]) -> Iterator[tuple[str, str, str]]:
    for text in texts:
        if text is not None:
            try:
                yield (text, *bounds(Prefix.parse(text)))
            except ValueError:  # no prefix: not a record of ours
                continue


def _quoted(path: Path | str) -> str:
    """Quote a name for SQL."""
    text = str(path).replace("'", "''")
    return f"'{text}'"


# Comparison --------------------------------------------------------------------------------------

CHANGED = "differs from the log, so `query` and `stats` may be wrong: delete it"


def differing(directory: Path, key: FileKey) -> list[Path]:
    """Return the index and the counts of a file, if they exist and differ from the file."""
    import duckdb

    path, counts = index_path(directory, key), counts_path(directory, key)
    bad = []
    with _reading(directory / key.compressed_name, None) as connection:
        connection.execute(f"CREATE TEMP VIEW {TABLE} AS SELECT * FROM made")
        for given, wanted in ((path, "SELECT * FROM made"), (counts, COUNTING)):
            if given is not None:
                have = f"SELECT * FROM read_parquet({_quoted(given)})"
                try:
                    is_same = _is_same(connection, wanted, have)
                except duckdb.Error:  # damaged, or of another form
                    is_same = False
                if not is_same:
                    bad.append(given)
    return bad


def _is_same(connection: duckdb.DuckDBPyConnection, one: str, other: str) -> bool:
    """Return whether two statements yield the same rows, in any order."""
    missing = f"SELECT 1 FROM (({one}) EXCEPT ALL ({other}))"
    added = f"SELECT 1 FROM (({other}) EXCEPT ALL ({one}))"
    statement = f"SELECT count(*) FROM ({missing} UNION ALL {added})"
    return connection.execute(statement).fetchall() == [(0,)]
