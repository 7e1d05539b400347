"""Faults of a fleet that take minutes, each with real servers and octet for octet compared: `make
fleet-faults`."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.patroni import FAILOVER, Cluster, Member, are_installed, cluster
from lab.postgresql import PostgreSql, slow_fsync, temporary
from rich.console import Console
from support.fleet_samples import (
    FLEET,
    Growing,
    QuickDisk,
    Worker,
    database,
    fleet_config,
    lines,
    shipped,
    wait_until,
)
from support.flood_scenarios import FAKETIME, environment, set_clock

from rsfilter.config.build import FleetConfig
from rsfilter.config.database import parse_url
from rsfilter.fleet.schema import schema_sql

pytestmark = [pytest.mark.lab, pytest.mark.slow]

FAILOVER_S = 180.0
"""Deadline for another primary: its lease of 20 s, and a busy machine."""


class SlowDisk(QuickDisk):
    """A disk of a route server whose fsync takes its time."""

    def fsync(self, descriptor: int) -> None:
        time.sleep(0.5)


def finish(growing: Growing, worker: Worker, server: PostgreSql) -> int:
    """All octets of the log are in the database, once; return the number of records."""
    everything = growing.end()
    wait_until(worker.has_shipped, f"everything is shipped: {worker.report}", 180)
    worker.end()
    assert len(everything) > 1000
    assert shipped(server) == everything == lines(growing.directory)
    return len(everything)


def has_more(server: PostgreSql, records: int) -> None:
    """Wait until so many more records are shipped."""
    before = len(shipped(server))
    wait_until(lambda: len(shipped(server)) > before + records, "more are shipped", 120)


@pytest.mark.skipif(not are_installed(), reason="needs patroni and etcd: .ci/packages fleet")
def test_patroni_has_the_standby_take_over(tmp_path: Path) -> None:
    """The machine of the primary dies under load. The standby takes over by itself, and what was
    acknowledged is there."""
    with cluster() as made:
        first, second = made.members
        growing = Growing(tmp_path)
        worker = ships_to(made, tmp_path)
        has_more(first, 1000)
        acknowledged = worker.report.shipped
        first.crash()
        began = time.monotonic()
        wait_until(second.is_primary, "the standby takes over", FAILOVER_S)
        took = time.monotonic() - began
        assert len(shipped(second)) >= acknowledged
        has_more(second, 500)
        count = finish(growing, worker, second)
        Console().print(f"another primary after {took:.0f} s; {count} records, octet for octet")
        # The machine comes back, as a standby that has all of it.
        first.start()
        wait_until(lambda: follows(first, second, count), "the old primary follows", FAILOVER_S)


@pytest.mark.skipif(not are_installed(), reason="needs patroni and etcd: .ci/packages fleet")
def test_etcd_loses_its_quorum(tmp_path: Path) -> None:
    """Two of three etcd servers die under load. The primary cannot know whether it still is the
    only one, and takes no more records: an alarm. It goes on by itself when etcd does."""
    with cluster() as made:
        growing = Growing(tmp_path)
        worker = ships_to(made, tmp_path)
        has_more(made.members[0], 1000)
        for etcd in made.etcds[1:]:
            etcd.kill()
        began = time.monotonic()
        wait_until(lambda: not is_writable(made), "no server takes records", FAILOVER_S)
        read_only = time.monotonic() - began
        wait_until(lambda: worker.report.problem == "unreachable", "the alarm", FAILOVER_S)
        assert "nothing is lost" in worker.report.detail
        wait_until(lambda: all(map(is_standby, made.members)), "both can be read", FAILOVER_S)
        kept = [shipped(member) for member in made.members]
        assert all(len(found) >= worker.report.shipped for found in kept)
        time.sleep(FAILOVER["ttl"] + 5)  # neither takes over meanwhile
        assert not is_writable(made)
        assert [shipped(member) for member in made.members] == kept
        for etcd in made.etcds[1:]:
            etcd.start(made.etcds)
        began = time.monotonic()
        wait_until(lambda: is_writable(made), "a server takes records again", FAILOVER_S)
        took = time.monotonic() - began
        (primary,) = [member for member in made.members if member.is_primary()]
        has_more(primary, 500)
        wait_until(lambda: not worker.report.problem, "the alarm ends", FAILOVER_S)
        count = finish(growing, worker, primary)
        Console().print(
            f"read-only after {read_only:.0f} s, and again a primary {took:.0f} s after etcd is "
            f"back; {count} records, octet for octet"
        )


def ships_to(made: Cluster, directory: Path) -> Worker:
    """Make rs1 known to a new cluster, and ship its log to whichever server takes records."""
    made.members[0].apply(schema_sql(FLEET, ["rs1"]))
    hosts = ",".join(f"127.0.0.1:{member.port}" for member in made.members)
    url = f"postgresql://rs1@{hosts}/postgres?target_session_attrs=read-write"
    return Worker(FleetConfig(FLEET, parse_url(url)), directory)


def is_writable(made: Cluster) -> bool:
    """Return whether any server takes records."""
    return any(member.is_primary() for member in made.members)


def is_standby(member: Member) -> bool:
    """Return whether it can be read and not written."""
    state = member.state()
    return state.get("state") in ("running", "streaming") and state.get("role") == "replica"


def follows(member: Member, primary: Member, count: int) -> bool:
    """The member is a standby, and has all records."""
    return is_standby(member) and len(shipped(member)) == count == len(shipped(primary))


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that a server which is not root can read."""
    made = temporary()
    yield made
    shutil.rmtree(made)


def test_the_databases_disk_is_slow(tmp_path: Path, place: Path) -> None:
    """Each fsync takes half a second, then one takes longer than the shipping process waits for an
    answer: the block that it gave up on may be there or not, and is there once in the end."""
    variables, delay = slow_fsync(place)
    with environment(variables), database("rs1") as server:
        growing = Growing(tmp_path)
        worker = Worker(fleet_config(server, "rs1"), tmp_path)
        has_more(server, 1000)
        delay.write_text("500")
        for _ in range(10):
            has_more(server, 1)
            assert not worker.report.problem
        delay.write_text("45000")
        wait_until(lambda: worker.report.problem == "unreachable", "the alarm", 180)
        assert "nothing is lost" in worker.report.detail
        delay.write_text("0")
        wait_until(lambda: not worker.report.problem, "it ships again", 180)
        has_more(server, 500)
        finish(growing, worker, server)


def test_the_route_servers_disk_is_slow(tmp_path: Path) -> None:
    """Only what its fsync has made safe is shipped, so that it is late, and nothing else."""
    with database("rs1") as server:
        growing = Growing(tmp_path, max_bytes=1 << 24, disk=SlowDisk())
        worker = Worker(fleet_config(server, "rs1"), tmp_path)
        has_more(server, 2000)
        assert not worker.report.problem
        finish(growing, worker, server)


def test_a_log_stays_whole_when_the_clock_steps(tmp_path: Path) -> None:
    """Clock of the route server, in its log and its shipping process: a day ahead, two back, a
    year ahead. Files of the log begin and end on the way."""
    clock = tmp_path / "clock"
    set_clock(clock, "+0")
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with database("rs1") as server:
        growing = Growing(tmp_path / "audit")
        with environment(faked):
            worker = Worker(fleet_config(server, "rs1"), tmp_path / "audit")
        for days in (1, -1, 365, -365, 0):
            set_clock(clock, f"{days:+}d")
            growing.ahead_s = days * 86400.0
            has_more(server, 500)
            assert not worker.report.problem
        days_of = {line[line.index(b'"at":"') :][6:16] for line in shipped(server)}
        assert len(days_of) > 3, "the clock did not step"
        finish(growing, worker, server)


def test_a_log_grows_for_long_while_everything_dies(tmp_path: Path) -> None:
    """Files of the log are begun, closed and compressed while the process, the database and both
    at once are killed in turns."""
    with database("rs1") as server:
        growing = Growing(tmp_path, max_bytes=150_000)
        worker = Worker(fleet_config(server, "rs1"), tmp_path)
        for number in range(12):
            has_more(server, 300)
            if number % 3 != 1:
                worker.kill()
            if number % 3:
                server.crash()
                server.start()
            if number % 3 != 1:
                worker.start()
        assert len(list(tmp_path.glob("*.gz"))) > 10
        finish(growing, worker, server)
