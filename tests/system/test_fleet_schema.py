"""The schema of the fleet's database, in a real PostgreSQL, as each role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from lab.postgresql import PostgreSql
from support.fleet_samples import (
    FLEET,
    database,
    fleet_config,
    lines,
    ship_all,
    shipped,
    shipper,
    write,
)

from rsfilter.audit.chain import GENESIS
from rsfilter.audit.files import list_keys
from rsfilter.fleet import schema
from rsfilter.fleet.database import Database, DatabaseError, ErrorKind
from rsfilter.fleet.schema import schema_sql

pytestmark = pytest.mark.lab

INSERT = "INSERT INTO rsfilter.block (first, last, prev, hash, lines) VALUES (%s, %s, %s, %s, 'x')"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with database("rs1", "rs2") as made:
        yield made


@pytest.fixture(scope="module")
def filled(server: PostgreSql, tmp_path_factory: pytest.TempPathFactory) -> PostgreSql:
    """rs1 and rs2 have shipped 2,500 records each."""
    for instance in ("rs1", "rs2"):
        directory = tmp_path_factory.mktemp(instance) / "audit"
        write(directory, 2500)
        ship_all(shipper(server, instance, directory))
        assert shipped(server, instance) == lines(directory)
    return server


REFUSED = {
    "DELETE FROM rsfilter.block": "permission denied",
    "UPDATE rsfilter.block SET hash = prev": "permission denied",
    "UPDATE rsfilter.block SET at = now()": "permission denied",
    "TRUNCATE rsfilter.block": "permission denied",
    "DROP TABLE rsfilter.block": "must be owner",
    "ALTER TABLE rsfilter.block DISABLE ROW LEVEL SECURITY": "must be owner",
    "ALTER TABLE rsfilter.block DISABLE TRIGGER follows": "must be owner",
    "DROP POLICY read_own ON rsfilter.block": "must be owner",
    "DROP TRIGGER follows ON rsfilter.block": "must be owner",
    "SET session_replication_role = replica": "permission denied",
    "INSERT INTO rsfilter.block (instance, first, last, prev, hash, lines) "
    f"VALUES ('rs2', 1, 1, '{GENESIS}', '{GENESIS}', 'x')": "permission denied",
    f"INSERT INTO rsfilter.block (at, first, last, prev, hash, lines) "
    f"VALUES (now(), 1, 1, '{GENESIS}', '{GENESIS}', 'x')": "permission denied",
    "INSERT INTO rsfilter.genesis (instance) VALUES ('rs3')": "permission denied",
    "UPDATE rsfilter.genesis SET seq = 5": "permission denied",
    "DELETE FROM rsfilter.genesis": "permission denied",
    "UPDATE rsfilter.fleet SET name = 'x'": "permission denied",
    "SELECT rsfilter.prune(now())": "permission denied",
    "SELECT rsfilter.follows()": "permission denied",
    "CREATE TABLE rsfilter.other (a int)": "permission denied",
    "CREATE TABLE public.other (a int)": "permission denied",
    "SET ROLE rs2": "permission denied",
    "SET ROLE postgres": "permission denied",
    "SET ROLE rsfilter_collector": "permission denied",
    "SET SESSION AUTHORIZATION rs2": "permission denied",
    "SELECT pg_read_file('/etc/passwd')": "permission denied",
    "COPY rsfilter.block TO '/tmp/x'": "pg_write_server_files",
    "SELECT * FROM pg_authid": "permission denied",
}
"""Statements that an instance may not run, and PostgreSQL's error for each."""


@pytest.mark.parametrize("statement", REFUSED)
def test_an_instance_may_insert_and_read_and_nothing_else(
    filled: PostgreSql, statement: str
) -> None:
    before = filled.query("SELECT * FROM rsfilter.block ORDER BY instance, first")
    with pytest.raises(psycopg.Error, match=REFUSED[statement]):
        filled.query(statement, role="rs1")
    assert filled.query("SELECT * FROM rsfilter.block ORDER BY instance, first") == before


def test_a_collector_reads_everything_and_writes_nothing(filled: PostgreSql) -> None:
    count = "SELECT count(*) FROM rsfilter.block"
    assert filled.query(count, role="auditor") == filled.query(count)
    for statement in ("DELETE FROM rsfilter.block", "UPDATE rsfilter.block SET at = now()"):
        with pytest.raises(psycopg.Error, match="permission denied"):
            filled.query(statement, role="auditor")
    with pytest.raises(psycopg.Error, match="permission denied"):
        filled.query(INSERT, 1, 1, GENESIS, GENESIS, role="auditor")


def test_an_instance_sees_its_own_blocks_alone(filled: PostgreSql) -> None:
    assert filled.query("SELECT DISTINCT instance FROM rsfilter.block", role="rs1") == [("rs1",)]
    assert filled.query("SELECT instance FROM rsfilter.genesis", role="rs2") == [("rs2",)]


def test_as_the_group_of_all_instances_nothing_can_be_written(filled: PostgreSql) -> None:
    with filled.connect("rs1") as connection:
        connection.execute("SET ROLE rsfilter_instance")
        assert connection.execute("SELECT count(*) FROM rsfilter.block").fetchone() == (0,)
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            connection.execute(INSERT, (1, 1, GENESIS, "a" * 64))


def test_the_chain_is_kept_by_the_database(filled: PostgreSql) -> None:
    newest, *_ = filled.query(
        "SELECT first, last, prev, hash FROM rsfilter.block WHERE instance = 'rs1' "
        "ORDER BY first DESC LIMIT 1"
    )
    first, last, prev, digest = newest
    with pytest.raises(psycopg.errors.UniqueViolation):  # the same again
        filled.query(INSERT, first, last, prev, digest, role="rs1")
    with pytest.raises(psycopg.errors.UniqueViolation):  # another one in its place
        filled.query(INSERT, first, last, prev, "f" * 64, role="rs1")
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):  # one is missing between
        filled.query(INSERT, last + 2, last + 2, "e" * 64, "d" * 64, role="rs1")
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):  # right hash, wrong number
        filled.query(INSERT, last + 2, last + 2, digest, "d" * 64, role="rs1")
    with pytest.raises(psycopg.errors.UniqueViolation):  # from the beginning
        filled.query(INSERT, 1, 1, GENESIS, "d" * 64, role="rs1")
    with pytest.raises(psycopg.errors.CheckViolation):
        filled.query(INSERT, last + 1, last, digest, "d" * 64, role="rs1")
    with pytest.raises(psycopg.errors.CheckViolation):
        filled.query(INSERT, last + 1, last + 1, digest, "no hash", role="rs1")


def test_applied_twice_it_changes_nothing(filled: PostgreSql) -> None:
    everything = "SELECT * FROM rsfilter.block ORDER BY instance, first"
    before = filled.query(everything)
    filled.apply(schema_sql(FLEET, ["rs1", "rs2"], ["auditor"]))
    assert filled.query(everything) == before
    assert filled.query("SELECT name, version FROM rsfilter.fleet") == [(FLEET, schema.VERSION)]


def test_another_fleet_is_refused(filled: PostgreSql) -> None:
    with pytest.raises(AssertionError, match="this database is of the fleet site-a"):
        filled.apply(schema_sql("site-b"))


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "a'b", "../a", ".a", "a/b", "ä", "a" * 64])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        schema_sql(FLEET, [name])
    with pytest.raises(ValueError, match="is not a name"):
        schema_sql(name)


def test_old_blocks_are_removed_by_the_administrator_alone(tmp_path: Path) -> None:
    with database("rs1") as server:
        write(tmp_path / "audit", 3500)
        shipping = shipper(server, "rs1", tmp_path / "audit")
        ship_all(shipping)
        everything = lines(tmp_path / "audit")
        firsts = [row[0] for row in server.query("SELECT first FROM rsfilter.block ORDER BY first")]
        assert server.query("SELECT rsfilter.prune(now() - interval '1 hour')") == [(0,)]
        assert shipped(server) == everything
        removed = len(firsts) - 1  # the newest has the place at which it goes on
        assert server.query("SELECT rsfilter.prune(now() + interval '1 hour')") == [(removed,)]
        assert shipped(server) == everything[firsts[-1] - 1 :]
        write(tmp_path / "audit", 10, first=3500)
        ship_all(shipping)
        assert not shipping.state.problem
        assert shipped(server) == lines(tmp_path / "audit")[firsts[-1] - 1 :]


def test_a_database_whose_clock_was_in_the_past_prunes_nothing_that_came_before(
    tmp_path: Path,
) -> None:
    """A server that started without its clock stamped one block with 1970: what came before it is
    not older than that."""
    write(tmp_path / "audit", 3500)
    with database("rs1") as server:
        ship_all(shipper(server, "rs1", tmp_path / "audit"))
        firsts = [row[0] for row in server.query("SELECT first FROM rsfilter.block ORDER BY first")]
        set_time = "UPDATE rsfilter.block SET at = %s::timestamptz WHERE first = %s"
        server.query(set_time, "1970-01-02", firsts[2])
        prune = "SELECT rsfilter.prune(now() - interval '1 year')"
        assert server.query(prune) == [(0,)]
        assert shipped(server) == lines(tmp_path / "audit")
        for first in firsts[:2]:
            server.query(set_time, "2000-01-01", first)
        assert server.query(prune) == [(3,)]


def test_a_log_without_its_oldest_files_begins_where_the_administrator_decides(
    tmp_path: Path,
) -> None:
    write(tmp_path / "audit", 3000, max_bytes=500_000)
    everything = lines(tmp_path / "audit")
    oldest = list_keys(tmp_path / "audit")[0]
    (tmp_path / "audit" / oldest.compressed_name).unlink()
    left = lines(tmp_path / "audit")
    gone = len(everything) - len(left)
    with database("rs1") as server:
        shipping = shipper(server, "rs1", tmp_path / "audit")
        ship_all(shipping)
        assert shipping.state.problem == "pruned"
        assert f"records 1 to {gone} were not shipped" in shipping.state.detail
        server.query("DELETE FROM rsfilter.genesis")
        digest = everything[gone - 1][-67:-3].decode()
        server.apply(schema_sql(FLEET, ["rs1"], begins_after=(gone, digest)))
        ship_all(shipping)
        assert not shipping.state.problem
        assert shipped(server) == left


def test_a_role_that_is_no_instance_gets_an_error() -> None:
    with database("rs1") as server:
        server.query("CREATE ROLE rs9 LOGIN")
        with pytest.raises(DatabaseError) as caught:
            Database(fleet_config(server, "rs9")).newest()
        assert caught.value.kind is ErrorKind.NOT_ENROLLED
        server.query("GRANT rsfilter_instance TO rs9")
        with pytest.raises(DatabaseError, match="rs9 is no instance of this fleet") as caught:
            Database(fleet_config(server, "rs9")).newest()
        assert caught.value.kind is ErrorKind.NOT_ENROLLED


def test_an_instance_cannot_take_all_connections() -> None:
    with database("rs1") as server:
        made = [server.connect("rs1") for _ in range(schema.MAX_CONNECTIONS)]
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            server.connect("rs1")
        for connection in made:
            connection.close()
