"""Shipping under faults, with real servers: the database ends with the same octets."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from lab.postgresql import PostgreSql, servers
from support.config_sample import configuration
from support.fleet_samples import (
    FLEET,
    Growing,
    Worker,
    database,
    fleet_config,
    lines,
    ship_all,
    shipped,
    shipper,
    wait_until,
    write,
)
from support.rewritten_log import rewritten

from rsfilter.audit.files import list_keys
from rsfilter.cli import main
from rsfilter.config.build import FleetConfig
from rsfilter.config.database import parse_url
from rsfilter.fleet import worker as worker_module
from rsfilter.fleet.database import Database, DatabaseError, ErrorKind
from rsfilter.fleet.reader import LogReader
from rsfilter.fleet.schema import schema_sql

pytestmark = pytest.mark.lab


@pytest.fixture
def server() -> Iterator[PostgreSql]:
    with database("rs1", "rs2") as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[PostgreSql, PostgreSql]]:
    """A primary and its synchronous standby."""
    for primary, standby in servers(2):
        primary.initialise()
        primary.start()
        primary.apply(schema_sql(FLEET, ["rs1"]))
        standby.follow(primary)
        standby.start()
        primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.query("SELECT pg_reload_conf()")
        wait_until(partial(PostgreSql.is_synchronous, primary), "the standby is synchronous")
        yield primary, standby


def both(primary: PostgreSql, standby: PostgreSql) -> FleetConfig:
    """Connection string for the server that can be written to."""
    url = (
        f"postgresql://rs1@/postgres?host={primary.place},{standby.place}"
        "&target_session_attrs=read-write"
    )
    return FleetConfig(FLEET, parse_url(url))


def finish(growing: Growing, worker: Worker, server: PostgreSql) -> None:
    """All octets of the log are in the database."""
    everything = growing.end()
    wait_until(worker.has_shipped, f"everything is shipped: {worker.report}", 120)
    worker.end()
    assert len(everything) > 1000
    assert shipped(server) == everything


def test_a_log_that_grows(server: PostgreSql, tmp_path: Path) -> None:
    growing = Growing(tmp_path)
    worker = Worker(fleet_config(server, "rs1"), tmp_path)
    wait_until(lambda: len(list(tmp_path.glob("*.gz"))) > 3, "files are closed")
    finish(growing, worker, server)


def test_nothing_is_lost_when_the_process_is_killed_again_and_again(
    server: PostgreSql, tmp_path: Path
) -> None:
    growing = Growing(tmp_path)
    worker = Worker(fleet_config(server, "rs1"), tmp_path)
    for _ in range(8):
        before = len(shipped(server))
        wait_until(lambda: len(shipped(server)) > before, "something is shipped")  # noqa: B023
        worker.kill()
        worker.start()
    finish(growing, worker, server)


def test_nothing_is_lost_when_the_database_is_killed(server: PostgreSql, tmp_path: Path) -> None:
    growing = Growing(tmp_path)
    worker = Worker(fleet_config(server, "rs1"), tmp_path)
    for _ in range(3):
        before = len(shipped(server))
        wait_until(lambda: len(shipped(server)) > before, "something is shipped")  # noqa: B023
        server.crash()
        server.start()
    finish(growing, worker, server)


def test_two_processes_may_ship_the_same_log(server: PostgreSql, tmp_path: Path) -> None:
    growing = Growing(tmp_path)
    config = fleet_config(server, "rs1")
    worker, other = Worker(config, tmp_path), Worker(config, tmp_path)
    wait_until(lambda: len(shipped(server)) > 2000, "2000 records are shipped")
    other.end()
    finish(growing, worker, server)


def test_the_database_is_put_back_to_an_older_state(server: PostgreSql, tmp_path: Path) -> None:
    growing = Growing(tmp_path)
    worker = Worker(fleet_config(server, "rs1"), tmp_path)
    wait_until(lambda: len(shipped(server)) > 500, "some are shipped")
    server.stop()
    kept = server.save()
    server.start()
    before = len(shipped(server))
    wait_until(lambda: len(shipped(server)) > before + 1000, "more are shipped")
    server.stop(signal.SIGQUIT)
    server.restore(kept)
    server.start()
    finish(growing, worker, server)


def test_the_primary_dies_and_the_standby_is_promoted(
    pair: tuple[PostgreSql, PostgreSql], tmp_path: Path
) -> None:
    primary, standby = pair
    growing = Growing(tmp_path)
    worker = Worker(both(primary, standby), tmp_path)
    wait_until(lambda: len(shipped(primary)) > 1000, "some are shipped")
    primary.crash()
    standby.promote()
    standby.query("ALTER SYSTEM SET synchronous_standby_names = ''")
    standby.query("SELECT pg_reload_conf()")
    finish(growing, worker, standby)


def test_kill_9_of_the_standby(pair: tuple[PostgreSql, PostgreSql], tmp_path: Path) -> None:
    """A block waits until the standby is back; both servers then have every octet once."""
    primary, standby = pair
    growing = Growing(tmp_path)
    worker = Worker(both(primary, standby), tmp_path)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    for _ in range(3):
        has = len(shipped(primary))
        wait_until(lambda before=has: len(shipped(primary)) > before + 300, "more are shipped")  # type: ignore[misc]
        standby.crash()
        wait_until(lambda: primary.query(waiting) != [(0,)], "a commit waits")
        standby.start()
    finish(growing, worker, primary)
    assert shipped(standby) == lines(tmp_path)


def test_the_standby_stands_still(pair: tuple[PostgreSql, PostgreSql], tmp_path: Path) -> None:
    """Blocks wait for ever. They are not repeated on top of each other; the alarm gives the reason,
    also in a heartbeat, which does not wait, and neither does the end of the process."""
    primary, standby = pair
    write(tmp_path, 200)
    ship_all(shipper(primary, "rs1", tmp_path))
    standby.freeze()
    write(tmp_path, 200, first=200)
    worker = Worker(fleet_config(primary, "rs1"), tmp_path)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    wait_until(lambda: primary.query(waiting) == [(1,)], "a commit waits")
    wait_until(lambda: worker.report.problem == "no_standby", "the alarm", 90)
    assert "bring the synchronous standby back" in worker.report.detail
    published = "SELECT state->>'problem' FROM rsfilter.status"
    wait_until(lambda: primary.query(published) == [("no_standby",)], "a heartbeat with the alarm")
    assert primary.query(waiting) == [(1,)]
    assert primary.query("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]
    assert len(shipped(primary)) == 201
    assert worker.end() < worker_module.FAREWELL_S + 2
    standby.thaw()
    worker.start()
    wait_until(worker.has_shipped, "everything is shipped")
    assert not worker.report.problem
    worker.end()
    assert shipped(primary) == shipped(standby) == lines(tmp_path)


def test_a_commit_that_was_cancelled_is_not_taken_for_safe(
    pair: tuple[PostgreSql, PostgreSql], tmp_path: Path
) -> None:
    primary, standby = pair
    standby.freeze()
    write(tmp_path, 5)
    block = LogReader(tmp_path).block(6)
    assert block is not None
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    stop = threading.Event()

    def canceller() -> None:
        while not stop.wait(0.2):
            primary.query(cancel)

    thread = threading.Thread(target=canceller, daemon=True)
    thread.start()
    with pytest.raises(DatabaseError) as caught:
        Database(fleet_config(primary, "rs1")).append(block)
    stop.set()
    thread.join()
    assert caught.value.kind is ErrorKind.NO_STANDBY
    standby.thaw()


def test_a_database_that_stands_still(server: PostgreSql, tmp_path: Path) -> None:
    """The server takes connections and never answers: the process ends all the same."""
    growing = Growing(tmp_path)
    worker = Worker(fleet_config(server, "rs1"), tmp_path)
    wait_until(lambda: len(shipped(server)) > 500, "some are shipped")
    server.freeze()
    wait_until(lambda: worker.report.problem == "unreachable", "the alarm", 120)
    assert worker.end() < worker_module.FAREWELL_S + 2
    server.thaw()
    worker.start()
    finish(growing, worker, server)


def test_a_rewritten_log_stops_shipping(server: PostgreSql, tmp_path: Path) -> None:
    write(tmp_path, 500)
    worker = Worker(fleet_config(server, "rs1"), tmp_path)
    wait_until(worker.has_shipped, "everything is shipped")
    before = shipped(server)
    rewritten(tmp_path, 300)
    wait_until(lambda: worker.report.problem == "fork", "the alarm")
    assert "record 501 was shipped with the hash" in worker.report.detail
    assert "nothing more is shipped" in worker.report.detail
    worker.end()
    assert shipped(server) == before


def test_a_lost_disk_and_how_to_go_on(
    server: PostgreSql, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = tmp_path / "audit"
    write(audit, 500)
    ship_all(shipper(server, "rs1", audit))
    before = lines(audit)
    audit.rename(tmp_path / "lost")
    write(audit, 20)
    shipping = shipper(server, "rs1", audit)
    ship_all(shipping)
    assert shipping.state.problem == "fork"
    assert "record 501 was shipped, and the log here ends with 21" in shipping.state.detail
    toml = tmp_path / "rsfilter.toml"
    fleet = f'[fleet]\nname = "{FLEET}"\ndatabase = "{server.url("rs1")}"\n'
    toml.write_text(configuration() + fleet)
    assert main(["fleet", "resume", "-c", str(toml)]) == 2
    assert "is not empty" in capsys.readouterr().err
    audit.rename(tmp_path / "aside")
    assert main(["fleet", "resume", "-c", str(toml)]) == 0
    assert "goes on after record 501" in capsys.readouterr().out
    write(audit, 20)
    assert main(["fleet", "ship", "-c", str(toml)]) == 0
    assert shipped(server) == before + lines(audit)
    assert b'"event":"recovered"' in lines(audit)[1]


def test_missing_records_are_shipped_from_a_copy(
    server: PostgreSql, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "audit", 2000, max_bytes=300_000)
    shutil.copytree(tmp_path / "audit", tmp_path / "copy")
    oldest = list_keys(tmp_path / "audit")[0]
    (tmp_path / "audit" / oldest.compressed_name).unlink()
    shipping = shipper(server, "rs1", tmp_path / "audit")
    ship_all(shipping)
    assert shipping.state.problem == "pruned"
    ship_all(shipper(server, "rs1", tmp_path / "copy"))
    ship_all(shipping)
    assert not shipping.state.problem
    assert shipped(server) == lines(tmp_path / "copy")


# What an operator has to put right ---------------------------------------------------------------


def problem(config: FleetConfig) -> DatabaseError:
    """Faults of a database."""
    with pytest.raises(DatabaseError) as caught:
        Database(config).newest()
    return caught.value


def test_an_error_about_refused_credentials_does_not_repeat_them(tmp_path: Path) -> None:
    with database("rs1") as server:
        (server.place / "data" / "pg_hba.conf").write_text(
            "local all postgres trust\nlocal all all scram-sha-256\n"
        )
        server.query("ALTER ROLE rs1 PASSWORD 'correct horse'")
        server.query("SELECT pg_reload_conf()")
        file = tmp_path / "password"
        file.write_text("correct horse\nanother line\n")
        write(tmp_path / "audit", 5)
        good = fleet_config(server, "rs1", password_file=file)
        wait_until(lambda: Database(good).newest().seq == 0, "the password is taken")
        file.write_text("hunter2-wrong\n")
        error = problem(good)
        assert error.kind is ErrorKind.REFUSED
        assert "password authentication failed" in str(error)
        assert "hunter2" not in str(error)
        for content, words in ((b"", "has no password"), (b"\xff\n", "has no password")):
            file.write_bytes(content)
            assert words in str(problem(good))
        file.unlink()
        assert "No such file" in str(problem(good))


def test_another_fleet_and_an_older_schema_are_refused(server: PostgreSql) -> None:
    config = fleet_config(server, "rs1")
    server.query("UPDATE rsfilter.fleet SET version = 0")
    error = problem(config)
    assert error.kind is ErrorKind.WRONG_SCHEMA
    assert "its schema has version 0" in str(error)
    server.query("UPDATE rsfilter.fleet SET name = 'site-b'")
    error = problem(config)
    assert error.kind is ErrorKind.WRONG_FLEET
    assert 'it is of the fleet "site-b", not "site-a"' in str(error)
    server.query("DROP SCHEMA rsfilter CASCADE")
    assert problem(config).kind is ErrorKind.WRONG_SCHEMA


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    url = f"postgresql://rs1@/r?host={tmp_path}"
    error = problem(FleetConfig(FLEET, parse_url(url)))
    assert error.kind is ErrorKind.UNREACHABLE
    assert "nothing is lost" in str(error)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_of_the_database_is_an_alarm_and_loses_nothing(tmp_path: Path) -> None:
    """The table is on a file system that is full: an alarm, and all is shipped once there is
    room."""
    with database("rs1") as server:
        space = server.place / "space"
        space.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", space], check=True)
        try:
            status = server.place.stat()
            os.chown(space, status.st_uid, status.st_gid)
            server.query(f"CREATE TABLESPACE small LOCATION '{space}'")
            server.query("ALTER TABLE rsfilter.block SET TABLESPACE small")
            write(tmp_path, 20_000)
            shipping = shipper(server, "rs1", tmp_path)
            with pytest.raises(DatabaseError) as caught:
                ship_all(shipping)
            assert caught.value.kind is ErrorKind.FULL
            assert "give the database room" in str(caught.value)
            subprocess.run(["mount", "-o", "remount,size=64m", space], check=True)
            ship_all(shipping)
            assert shipped(server) == lines(tmp_path)
        finally:
            server.stop()
            subprocess.run(["umount", space], check=True)


def test_a_backlog_is_caught_up_with(server: PostgreSql, tmp_path: Path) -> None:
    """The aim is 20,000 records a second of CPU: 50 microseconds each."""
    write(tmp_path, 40_000)
    shipping = shipper(server, "rs1", tmp_path)
    shipping.step()
    before = time.process_time()
    ship_all(shipping)
    each = (time.process_time() - before) / 39_000
    assert shipped(server) == lines(tmp_path)
    assert each < 50e-6, f"{each * 1e6:.1f} microseconds of CPU a record"


def test_no_other_role_may_ship_as_an_instance(server: PostgreSql) -> None:
    with pytest.raises(psycopg.OperationalError):
        server.query("SELECT 1", role="rs3")
