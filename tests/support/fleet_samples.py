"""Logs and databases that the tests of the fleet share."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lab.postgresql import PostgreSql, servers
from msgspec import json
from support.audit_samples import NOON, verdict_change

from rsfilter.audit.files import Disk, lines_of, list_keys, open_log, read_head
from rsfilter.audit.log import AuditLog
from rsfilter.config.build import FleetConfig
from rsfilter.config.database import parse_url
from rsfilter.fleet.block import Block, unpack
from rsfilter.fleet.database import Database
from rsfilter.fleet.messages import Settings, ShippingReport, line_of
from rsfilter.fleet.schema import schema_sql
from rsfilter.fleet.shipper import Shipper
from rsfilter.fleet.supervisor import PROGRAM

FLEET = "site-a"


class QuickDisk(Disk):
    """A disk without fsync: these tests are not about power failures."""

    def fsync(self, descriptor: int) -> None:
        """Do nothing."""


def write(directory: Path, count: int, *, first: int = 0, max_bytes: int = 1 << 28) -> None:
    """Let the product's own writer append verdicts to the log of a directory."""
    log = AuditLog(directory, synchronous=True, max_bytes=max_bytes, disk=QuickDisk())
    for number in range(first, first + count):
        reasons = () if number % 7 else ("origin_invalid_asn",)
        prefix = f"203.0.{number // 256 % 256}.{number % 256}/32"
        log.append(NOON + number, verdict_change(prefix, reasons=reasons))
    log.close()


def lines(directory: Path) -> list[bytes]:
    """All lines of a log. A log that has not been begun has none."""
    if not directory.exists():
        return []
    found = []
    for key in list_keys(directory):
        with open_log(directory, key) as file:
            found += list(lines_of(file))
    return found


@contextmanager
def database(*instances: str, collectors: tuple[str, ...] = ("auditor",)) -> Iterator[PostgreSql]:
    """A database of the fleet with these instances in it."""
    for made in servers(1):
        server = made[0]
        server.initialise()
        server.start()
        server.apply(schema_sql(FLEET, instances, collectors))
        yield server


def fleet_config(server: PostgreSql, role: str, **values: object) -> FleetConfig:
    """Return the URL by which a role reaches a database."""
    return FleetConfig(FLEET, parse_url(server.url(role)), **values)  # type: ignore[arg-type]


def shipper(server: PostgreSql, role: str, directory: Path) -> Shipper:
    """Return a shipper of a directory as an instance."""
    return Shipper(directory, Database(fleet_config(server, role)))


def ship_all(shipping: Shipper) -> None:
    """Ship until nothing is left or something is wrong."""
    while shipping.step():
        pass


def shipped(server: PostgreSql, instance: str = "rs1") -> list[bytes]:
    """All lines of an instance that the database has."""
    rows = server.query(
        "SELECT first, last, prev, hash, lines FROM rsfilter.block WHERE instance = %s "
        "ORDER BY first",
        instance,
    )
    return [line for row in rows for line in unpack(Block(*row[:4], bytes(row[4])))]


def wait_until(is_done: Callable[[], bool], what: str, deadline_s: float = 60.0) -> None:
    """Wait until `is_done()`; AssertionError after so long."""
    end = time.monotonic() + deadline_s
    while not is_done():
        assert time.monotonic() < end, f"still not: {what}"
        time.sleep(0.05)


class Worker:
    """The shipping process of a filter, started as `rsfilter run` starts it."""

    def __init__(self, config: FleetConfig, directory: Path) -> None:
        self._config = config
        self._directory = directory
        self.report = ShippingReport()
        """The last one."""
        self.start()

    def start(self) -> None:
        """Start it, after `kill` too."""
        settings = line_of(Settings.of(self._config, self._directory))
        self.process = subprocess.Popen(
            PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.process.stdin is not None
        self.process.stdin.write(settings)
        self.process.stdin.flush()
        threading.Thread(target=self._listen, args=[self.process.stdout], daemon=True).start()

    def _listen(self, output: BinaryIO) -> None:
        for line in output:
            self.report = json.decode(line, type=ShippingReport)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def end(self) -> float:
        """Let it end as the filter does; seconds that it took."""
        started = time.monotonic()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)
        return time.monotonic() - started

    def has_shipped(self) -> bool:
        """Ship until the database has everything that is safe on the disk."""
        head = read_head(self._directory)
        return head is not None and self.report.shipped == head.seq


class Growing:
    """A log that grows, by the product's own writer with its thread and its fsync."""

    def __init__(
        self, directory: Path, *, max_bytes: int = 400_000, disk: Disk | None = None
    ) -> None:
        self.directory = directory
        self.ahead_s = 0.0
        """Seconds by which the clock of the log is ahead."""
        self._log = AuditLog(directory, max_bytes=max_bytes, disk=disk or Disk())
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._grow, daemon=True)
        self._thread.start()

    def _grow(self) -> None:
        first = 0
        while not self._is_ending.wait(0.02):
            for number in range(first, first + 40):
                prefix = f"203.0.{number // 256 % 256}.{number % 256}/32"
                reasons = () if number % 7 else ("origin_invalid_asn",)
                self._log.append(
                    time.time() + self.ahead_s, verdict_change(prefix, reasons=reasons)
                )
            first += 40

    def end(self) -> list[bytes]:
        """Stop; all lines of the log."""
        self._is_ending.set()
        self._thread.join()
        self._log.close()
        return lines(self.directory)
