"""The audit log as an SQL table, by DuckDB: `audit`, one row per record.

A statement can read the files of the log and nothing else. They are opened here, and DuckDB gets
the descriptors: so no file name is part of the SQL, and a file that is compressed meanwhile is
still read to its end. Only SELECT runs; values are passed as parameters.
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
"""Memory limit of DuckDB. A reviewer's query must not take the memory of the filter beside it."""

_DESCRIPTOR = re.compile(r"/proc/self/fd/\d+")
"""File names in DuckDB's messages."""


class SqlError(Exception):
    """Raised for a statement that cannot run. The message is DuckDB's."""


class LogFileError(Exception):
    """Raised if a file of the log cannot be used, such as a damaged one. The message is DuckDB's,
    and names an index that has to be deleted."""


class SqlResult(NamedTuple):
    """Result of a statement."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class Part(NamedTuple):
    """Files of one log."""

    directory: Path
    keys: Sequence[FileKey]
    instance: str | None = None
    """Instance of the log, as a column of the table; None if there is no such column."""


def sql(directory: Path, statement: str) -> SqlResult:
    """Run one SELECT over the table `audit`. Raises SqlError, LogFileError or
    OSError."""
    with connect([Part(directory, list_keys(directory))]) as connection:
        return select(connection, statement)


@contextlib.contextmanager
def connect(parts: Sequence[Part]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in memory with the view `audit` of these files, cut off from everything else.

    Raises LogFileError or SqlError for any DuckDB error in the block, by what is at fault, and
    OSError if a file cannot be opened.
    """
    import duckdb  # imported late: slow, and needed for SQL only

    with ExitStack() as stack:
        options: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": "",
        }
        # Before the files are opened, because they may use up the descriptors.
        connection = stack.enter_context(duckdb.connect(":memory:", config=options))
        opened = [
            [stack.enter_context(_open(part.directory, key)) for key in part.keys] for part in parts
        ]
        files = [file for of_part in opened for file in of_part]
        try:
            connection.execute(_view(parts, opened))
        except duckdb.Error as error:
            # The statement is ours, so a file is at fault; the position in the statement is of no
            # use.
            message = str(error).partition("\n\nLINE ")[0]
            raise LogFileError(_with_names(message, files, is_file=True)) from None
        paths = ", ".join(f"'{_path(file)}'" for file in files)
        connection.execute(f"SET allowed_paths = [{paths}]")
        # UTC, as in "at": a comparison with now() must not depend on the machine's time zone.
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            yield connection
        except duckdb.Error as error:
            # What has no class of its own comes from the reader of Parquet.
            is_of_parquet = type(error) is duckdb.Error
            # A statement may name a descriptor too, and is refused for it.
            is_of_file = isinstance(error, duckdb.IOException) or (
                _DESCRIPTOR.search(str(error)) and not isinstance(error, duckdb.PermissionException)
            )
            kind = LogFileError if is_of_parquet or is_of_file else SqlError
            raise kind(_with_names(str(error), files, is_file=is_of_parquet)) from None


def select(connection: duckdb.DuckDBPyConnection, statement: str) -> SqlResult:
    """Run one SELECT. Raises SqlError for anything else."""
    import duckdb

    try:
        statement.encode()
    except UnicodeEncodeError:  # an octet from the command line that is not UTF-8
        raise SqlError("the statement is not UTF-8") from None
    statements = connection.extract_statements(statement)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        # COPY could write to the very files that may be read.
        raise SqlError("exactly one SELECT is needed")
    connection.execute(statements[0])
    columns = tuple(column[0] for column in connection.description or ())
    return SqlResult(columns, connection.fetchall())


def _open(directory: Path, key: FileKey) -> BinaryIO:
    """Open a file as it is on disk, under either name, or its index."""
    if indexed := index_path(directory, key):
        return indexed.open("rb")
    try:
        return (directory / key.name).open("rb")
    except FileNotFoundError:
        return (directory / key.compressed_name).open("rb")


def _with_names(message: str, files: Sequence[BinaryIO], *, is_file: bool) -> str:
    """Return DuckDB's message with file names, and the remedy if an index is damaged.

    `is_file`: the error concerns a file, even if the message names none.
    """
    names = {_path(file): file.name for file in files}
    text = _DESCRIPTOR.sub(lambda found: names.get(found[0], found[0]), message)
    indexes = [Path(name) for name in names.values() if Path(name).suffix == ".parquet"]
    if not indexes or "Cannot open file" in message:  # such as for want of descriptors
        return text
    # If it names several, the first is at fault: it is compared with the others.
    named = _DESCRIPTOR.search(message)
    if named is None:
        return f"{indexes[0].parent}: delete it: {text}" if is_file else text
    path = Path(names.get(named[0], ""))
    return f"{path}: delete it: {text}" if path in indexes else text


def _path(file: BinaryIO) -> str:
    return f"/proc/self/fd/{file.fileno()}"


def _view(parts: Sequence[Part], opened: Sequence[Sequence[BinaryIO]]) -> str:
    """Return the statement that makes the view. Its only external parts are numbers, and names of
    instances, which are quoted."""
    selects = []
    for part, files in zip(parts, opened, strict=True):
        name = "" if part.instance is None else part.instance.replace("'", "''")
        column = "" if part.instance is None else f"'{name}' AS instance, "
        selects += [f"SELECT {column}* FROM ({select})" for select in _selects(files)]
    # Lines that are not records, such as a line being written, have no number.
    rows = " UNION ALL ".join(selects)
    return f"CREATE VIEW audit AS SELECT * FROM ({rows}) WHERE seq IS NOT NULL"


def _selects(files: Sequence[BinaryIO]) -> list[str]:
    """Return SELECTs for all records of some files."""
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
