"""The audit log as an SQL table, by DuckDB: `audit`, one row for a record.

A statement can read the files of the log and nothing else: they are opened here and DuckDB is
given the descriptors, so that no name of a file is ever part of SQL and a file that is compressed
meanwhile is still read to its end. Only SELECT runs, and what is asked about goes as a parameter.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from rsfilter.audit.chain import MAX_LINE
from rsfilter.audit.files import FileKey, list_keys
from rsfilter.audit.index import index_path
from rsfilter.audit.schema import COLUMNS, IN_LINE

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "1GB"
"""A reviewer's question must not take the memory of the filter that runs beside it."""

_DESCRIPTOR = re.compile(r"/proc/self/fd/\d+")
"""What DuckDB calls a file."""


class SqlError(Exception):
    """A statement cannot be run, or a file of the log is too damaged for it; the message is
    DuckDB's, and says when an index has to be deleted."""


class SqlResult(NamedTuple):
    """What a statement answered."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class Part(NamedTuple):
    """Files of one log."""

    directory: Path
    keys: Sequence[FileKey]
    instance: str | None = None
    """Whose log it is, as a column of the table; None: there is no such column."""


def sql(directory: Path, statement: str) -> SqlResult:
    """The rows of one SELECT over the table `audit`. SqlError, or OSError when a file cannot be
    read."""
    with connect([Part(directory, list_keys(directory))]) as connection:
        return select(connection, statement)


@contextlib.contextmanager
def connect(parts: Sequence[Part]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory with the view `audit` of these files, locked away from everything else.

    SqlError for whatever DuckDB has against what is done with it; OSError when a file cannot be
    read.
    """
    import duckdb  # takes a while, and only those who ask need it

    with ExitStack() as stack:
        options: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": "",
        }
        # Before the files are open: they may leave it no descriptor.
        connection = stack.enter_context(duckdb.connect(":memory:", config=options))
        opened = [
            [stack.enter_context(_open(part.directory, key)) for key in part.keys] for part in parts
        ]
        files = [file for of_part in opened for file in of_part]
        try:
            connection.execute(_view(parts, opened))
        except duckdb.Error as error:
            # The statement is ours, so a file is at fault; where in the statement helps nobody.
            message = str(error).partition("\n\nLINE ")[0]
            raise SqlError(_told(message, files, is_file=True)) from None
        paths = ", ".join(f"'{_path(file)}'" for file in files)
        connection.execute(f"SET allowed_paths = [{paths}]")
        # As "at" is: what compares it with now() must not depend on where the machine stands.
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            yield connection
        except duckdb.Error as error:
            # What has no class of its own comes from the reader of Parquet.
            raise SqlError(_told(str(error), files, is_file=type(error) is duckdb.Error)) from None


def select(connection: duckdb.DuckDBPyConnection, statement: str) -> SqlResult:
    """The rows of one SELECT. SqlError when it is anything else."""
    import duckdb

    try:
        statement.encode()
    except UnicodeEncodeError:  # an octet of the command line that is not UTF-8
        raise SqlError("the statement is not UTF-8") from None
    statements = connection.extract_statements(statement)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        # COPY could write to the very files that may be read.
        raise SqlError("exactly one SELECT is needed")
    connection.execute(statements[0])
    columns = tuple(column[0] for column in connection.description or ())
    return SqlResult(columns, connection.fetchall())


def _open(directory: Path, key: FileKey) -> BinaryIO:
    """A file as it lies on the disk, under whichever name, or its index."""
    if indexed := index_path(directory, key):
        return indexed.open("rb")
    try:
        return (directory / key.name).open("rb")
    except FileNotFoundError:
        return (directory / key.compressed_name).open("rb")


def _told(message: str, files: Sequence[BinaryIO], *, is_file: bool) -> str:
    """DuckDB's message with the names of files, and what to do when an index is damaged.

    `is_file`: it is about a file, even when it names none.
    """
    names = {_path(file): file.name for file in files}
    told = _DESCRIPTOR.sub(lambda found: names.get(found[0], found[0]), message)
    indexes = [Path(name) for name in names.values() if Path(name).suffix == ".parquet"]
    if not indexes or "Cannot open file" in message:  # such as for want of descriptors
        return told
    # Of several the first is at fault: it is compared with the others.
    named = _DESCRIPTOR.search(message)
    if named is None:
        return f"{indexes[0].parent}: delete it: {told}" if is_file else told
    path = Path(names.get(named[0], ""))
    return f"{path}: delete it: {told}" if path in indexes else told


def _path(file: BinaryIO) -> str:
    return f"/proc/self/fd/{file.fileno()}"


def _view(parts: Sequence[Part], opened: Sequence[Sequence[BinaryIO]]) -> str:
    """The statement that makes the view. Nothing in it comes from outside but numbers, and names of
    instances, which are quoted."""
    selects = []
    for part, files in zip(parts, opened, strict=True):
        name = "" if part.instance is None else part.instance.replace("'", "''")
        column = "" if part.instance is None else f"'{name}' AS instance, "
        selects += [f"SELECT {column}* FROM ({select})" for select in _selects(files)]
    # What is no record, such as a line that is being written, has no number.
    rows = " UNION ALL ".join(selects)
    return f"CREATE VIEW audit AS SELECT * FROM ({rows}) WHERE seq IS NOT NULL"


def _selects(files: Sequence[BinaryIO]) -> list[str]:
    """All records of some files, as SELECTs."""
    columns = ", ".join(f"\"{name}\": '{type_}'" for name, type_ in COLUMNS.items())
    options = (
        f"columns = {{{columns}}}, format = 'newline_delimited', ignore_errors = true, "
        f"maximum_object_size = {2 * MAX_LINE}"
    )
    parts = []
    by_suffix: dict[str, list[str]] = {}
    for file in files:
        by_suffix.setdefault(Path(file.name).suffix, []).append(f"'{_path(file)}'")
    for suffix, paths in by_suffix.items():
        if suffix == ".parquet":
            names = ", ".join(
                f"line->>'{name}' AS {name}" if name in IN_LINE else f'"{name}"' for name in COLUMNS
            )
            parts.append(f"SELECT {names} FROM read_parquet([{', '.join(paths)}])")
        else:
            compression = "gzip" if suffix == ".gz" else "uncompressed"
            parts.append(
                f"SELECT * FROM read_json([{', '.join(paths)}], "
                f"compression = '{compression}', {options})"
            )
    if not parts:
        empty = ", ".join(f'NULL::{type_} AS "{name}"' for name, type_ in COLUMNS.items())
        parts.append(f"SELECT {empty}")
    return parts
