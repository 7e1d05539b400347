"""The fleet's database: `newest`, `append`, `read`. All that knows PostgreSQL is here.

A connection is used by one thread. What it waits for it may wait for without end: a commit whose
synchronous standby is away, a server that stands still. `abandon`, from another thread, ends that.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from msgspec import MsgspecError, json
from psycopg import errors

from rsfilter.audit.chain import Link
from rsfilter.config.build import FleetConfig
from rsfilter.fleet.block import Block
from rsfilter.fleet.schema import VERSION
from rsfilter.fleet.state import Detail, Heartbeat, Peer

CONNECT_TIMEOUT_S = 5
"""Seconds for each host of the URL."""

_TRANSPORT = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "rsfilter",
}
"""A connection that was cut is noticed after some ten seconds."""

MAX_PASSWORD = 1000
"""Octets. PostgreSQL takes less."""


class ErrorKind(Enum):
    """Kinds of errors, by remedy."""

    UNREACHABLE = "the database cannot be reached; nothing is lost, the audit log here is kept"
    REFUSED = "set the role's password to that of password_file, or see pg_hba.conf"
    NOT_ENROLLED = "apply `rsfilter fleet schema FLEET --instance NAME` to the database"
    WRONG_SCHEMA = "apply `rsfilter fleet schema FLEET` to the database"
    WRONG_FLEET = "let [fleet] name the fleet, or [fleet] database its database"
    FULL = "give the database room, or remove old blocks with rsfilter.prune()"
    NO_STANDBY = "bring the synchronous standby back, or change synchronous_standby_names"
    CONFLICT = "the database has other records than it had: see docs/fleet.md"
    FAILED = "see the log of PostgreSQL"


class DatabaseError(Exception):
    """Raised for an error of the database. `kind` determines the remedy."""

    def __init__(self, kind: ErrorKind, text: str) -> None:
        super().__init__(f"{text}: {kind.value}")
        self.kind = kind


class Instance(NamedTuple):
    """A route server whose log is there."""

    name: str
    newest: Link
    """Its last record in the database; of an empty log the place that it begins after."""
    age: float | None
    """Seconds since the newest block came, by the database's clock; None: there is none."""


class Database:
    """One connection as one role, made when it is needed."""

    def __init__(self, config: FleetConfig) -> None:
        self._config = config
        self._connection: psycopg.Connection[Any] | None = None
        self._lock = threading.Lock()
        self._warnings: list[str] = []
        self._busy_since: float | None = None

    @property
    def instance(self) -> str:
        """The role, which is the name of the instance."""
        return self._config.instance

    # Blocks --------------------------------------------------------------------------------------

    def newest(self) -> Link:
        """Return the last record of this instance that is there. Raises DatabaseError, with
        NO_STANDBY while a block of an earlier connection waits for the standby: another one would
        wait behind it, and so would all that follow."""
        with self._errors():
            connection = self._connected()
            if connection.execute(_WAITING).fetchone() != (0,):
                raise DatabaseError(
                    ErrorKind.NO_STANDBY, "a block waits for the synchronous standby"
                )
            row = connection.execute(_NEWEST).fetchone()
            if row is None:
                raise DatabaseError(
                    ErrorKind.NOT_ENROLLED, f"{self._config.instance} is no instance of this fleet"
                )
            return Link(int(row[0]), "", str(row[1]))

    def append(self, block: Block) -> None:
        """Add a block. Returns when it is safe, by the database's own rules (with a synchronous
        standby: on both). Raises DatabaseError; `newest` then shows whether the block was added."""
        with self._errors():
            connection = self._connected()
            self._warnings.clear()
            connection.execute(_APPEND, tuple(block))
            if self._warnings:
                raise DatabaseError(ErrorKind.NO_STANDBY, self._warnings[0])

    def read(self, instance: str, after: int, limit: int) -> list[Block]:
        """The blocks of an instance that have records after `after`, in order, at most so many.
        Raises DatabaseError."""
        with self._errors():
            values = {"instance": instance, "after": after, "limit": limit}
            rows = self._connected().execute(_READ, values).fetchall()
            return [Block(a, b, c, d, bytes(lines)) for a, b, c, d, lines in rows]

    def instances(self) -> list[Instance]:
        """All instances that this role may see. Raises DatabaseError."""
        with self._errors():
            rows = self._connected().execute(_INSTANCES).fetchall()
            return [Instance(name, Link(seq, "", digest), age) for name, seq, digest, age in rows]

    # Heartbeats ----------------------------------------------------------------------------------

    def key(self) -> str:
        """The fleet's key for digests. Raises DatabaseError."""
        with self._errors():
            row = self._connected().execute("SELECT key FROM rsfilter.fleet").fetchone()
            return str(row[0]) if row else ""

    def beat(self, state: Heartbeat, detail: Detail | None) -> None:
        """Publish the state of this instance. Returns without the synchronous standby: the next
        heartbeat replaces this one, and one that waited would hold its row. Raises
        DatabaseError."""
        with self._errors():
            more = None if detail is None else json.encode(detail).decode()
            self._connected().execute(_BEAT, (json.encode(state).decode(), more))

    def peers(self, *, is_detailed: bool) -> list[Peer]:
        """All instances that have sent a heartbeat; with what they add to it, if that is wanted.
        Raises DatabaseError."""
        with self._errors():
            rows = self._connected().execute(_PEERS, (is_detailed,)).fetchall()
            return [peer for row in rows if (peer := _peer(*row))]

    # The connection ------------------------------------------------------------------------------

    def abandon(self, after_s: float) -> None:
        """End a call of the connection that has lasted longer than `after_s`, from another thread:
        the call raises DatabaseError. The server gets no cancel request, because a commit that
        waits for its standby would then complete without it."""
        with self._lock:
            connection, since = self._connection, self._busy_since
            if connection is None or connection.closed or since is None:
                return
            if time.monotonic() - since < after_s:
                return
            with contextlib.suppress(OSError, psycopg.Error):
                twin = socket.socket(fileno=os.dup(connection.pgconn.socket))
                with twin:
                    twin.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next call makes another."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        url = self._config.database
        parameters: dict[str, Any] = {**_TRANSPORT, **dict(url.parameters)}
        if self._config.password_file is not None:
            parameters["password"] = read_password(self._config.password_file)
        connection = psycopg.connect(
            user=url.user, dbname=url.database, autocommit=True, **parameters
        )
        connection.add_notice_handler(self._notice)
        with self._lock:
            self._connection = connection
        self._check(connection)
        return connection

    def _check(self, connection: psycopg.Connection[Any]) -> None:
        """Check that the database is that of this fleet, with the required schema."""
        row = connection.execute("SELECT name, version FROM rsfilter.fleet").fetchone()
        name, version = row or ("", 0)
        if name != self._config.name:
            raise DatabaseError(
                ErrorKind.WRONG_FLEET, f'it is of the fleet "{name}", not "{self._config.name}"'
            )
        if version < VERSION:
            raise DatabaseError(
                ErrorKind.WRONG_SCHEMA, f"its schema has version {version}, {VERSION} is needed"
            )

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.sqlstate == _NOT_REPLICATED:
            self._warnings.append(notice.message_primary or "")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise DatabaseError for all that goes wrong, and begin anew with another connection."""
        self._busy_since = time.monotonic()
        try:
            yield
        except psycopg.Error as error:
            self.close()
            raise _translated(error) from None
        except OSError as error:  # the password file
            self.close()
            raise DatabaseError(ErrorKind.REFUSED, f"{error.filename}: {error.strerror}") from None
        except DatabaseError:
            self.close()
            raise
        finally:
            self._busy_since = None


_NEWEST = """
SELECT last, hash FROM (
  (SELECT last, hash, 1 AS rank FROM rsfilter.block
   WHERE instance = current_user ORDER BY first DESC LIMIT 1)
  UNION ALL
  SELECT seq, hash, 2 FROM rsfilter.genesis WHERE instance = current_user
) AS found ORDER BY rank LIMIT 1
"""

_APPEND = "INSERT INTO rsfilter.block (first, last, prev, hash, lines) VALUES (%s, %s, %s, %s, %b)"

_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE usename = current_user AND wait_event = 'SyncRep' AND pid <> pg_backend_pid()
"""

_READ = """
SELECT first, last, prev, hash, lines FROM rsfilter.block
WHERE instance = %(instance)s AND first >= coalesce((
  SELECT first FROM rsfilter.block
  WHERE instance = %(instance)s AND first <= %(after)s + 1 ORDER BY first DESC LIMIT 1), 0)
AND last > %(after)s ORDER BY first LIMIT %(limit)s
"""

_INSTANCES = """
SELECT g.instance, coalesce(b.last, g.seq), coalesce(b.hash, g.hash),
  extract(epoch FROM now() - b.at)::float8
FROM rsfilter.genesis g LEFT JOIN LATERAL (
  SELECT last, hash, at FROM rsfilter.block WHERE instance = g.instance
  ORDER BY first DESC LIMIT 1) b ON true
ORDER BY g.instance
"""

_BEAT = """
SELECT set_config('synchronous_commit', 'local', true), rsfilter.beat(%s::jsonb, %s::jsonb)
"""

_PEERS = """
SELECT instance, extract(epoch FROM clock_timestamp() - at)::float8, state::text,
  CASE WHEN %s THEN detail::text END
FROM rsfilter.status ORDER BY instance
"""

_NOT_REPLICATED = "01000"
"""SQLSTATE of the warning that a commit was done without its synchronous standby."""

_KINDS: tuple[tuple[tuple[type[psycopg.Error], ...], ErrorKind], ...] = (
    ((errors.InvalidPassword, errors.InvalidAuthorizationSpecification), ErrorKind.REFUSED),
    (
        (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn),
        ErrorKind.WRONG_SCHEMA,
    ),
    ((errors.UndefinedFunction,), ErrorKind.WRONG_SCHEMA),
    ((errors.InsufficientPrivilege,), ErrorKind.NOT_ENROLLED),
    ((errors.DiskFull, errors.OutOfMemory), ErrorKind.FULL),
    ((errors.IntegrityError,), ErrorKind.CONFLICT),
    ((errors.ReadOnlySqlTransaction, errors.AdminShutdown), ErrorKind.UNREACHABLE),
    ((errors.CannotConnectNow, errors.CrashShutdown), ErrorKind.UNREACHABLE),
)

_REFUSALS = ("authentication failed", "no pg_hba.conf entry", "certificate", "no password supplied")
"""Texts of libpq for a refused connection, which has no code."""


def _translated(error: psycopg.Error) -> DatabaseError:
    text = " ".join(str(error).split()) or type(error).__name__
    for types, kind in _KINDS:
        if isinstance(error, types):
            return DatabaseError(kind, text)
    if isinstance(error, psycopg.OperationalError):
        is_refused = any(words in text for words in _REFUSALS)
        return DatabaseError(ErrorKind.REFUSED if is_refused else ErrorKind.UNREACHABLE, text)
    return DatabaseError(ErrorKind.FAILED, text)


def _peer(instance: str, age: float, state: str, detail: str | None) -> Peer | None:
    """One row; None if what another instance wrote there cannot be read."""
    try:
        more = None if detail is None else json.decode(detail, type=Detail)
        # A heartbeat of the future came before the database's clock stepped back, at an unknown
        # time. An instance that is alive replaces it with the next one.
        return Peer(instance, abs(age), json.decode(state, type=Heartbeat), more)
    except MsgspecError:
        return None


def read_password(path: Path) -> str:
    """The first line of a password file. OSError when it cannot be read or is empty."""
    with path.open("rb") as file:
        line = file.readline(MAX_PASSWORD).strip()
    try:
        password = line.decode()
    except UnicodeDecodeError:
        password = ""
    if not password:
        raise OSError(0, "has no password in its first line", str(path))
    return password
