"""Audit events and directories that the tests of the audit log share."""

from __future__ import annotations

import errno
import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

from rsfilter.audit.files import Disk, FileKey, list_keys, open_log
from rsfilter.audit.log import AuditLog
from rsfilter.audit.record import Auditable, ServiceEvent
from rsfilter.routing.effects import Provenance, VerdictChange
from rsfilter.routing.model import (
    Address,
    AsPath,
    Attributes,
    OriginState,
    Prefix,
    Route,
    RouteKey,
    Validation,
    Verdict,
    VerdictKind,
    Vrp,
)

NOON = 1795348800.0
"""2026-11-22T12:00:00Z."""

HOUR = 3600.0
DAY = 24 * HOUR

PROVENANCE = Provenance("3f2a1c", "ab" * 32, "192.0.2.50:8282", 7, 42)

VRP = Vrp(Prefix.parse("203.0.113.0/28"), 32, 65002)


def verdict_change(
    prefix: str = "203.0.113.1/32",
    *,
    neighbor: str = "198.51.100.101",
    host: str = "hv1",
    asn: int = 65001,
    reasons: tuple[str, ...] = ("origin_invalid_asn",),
    path: AsPath | None = None,
    malformed: str = "",
) -> VerdictChange:
    """A route that was announced and rejected; without reasons, accepted."""
    attributes = Attributes(path or AsPath.sequence(asn), malformed=malformed)
    address = Address.parse(neighbor)
    kind = VerdictKind.REJECTED if reasons else VerdictKind.ACCEPTED
    state = OriginState.INVALID if reasons else OriginState.VALID
    return VerdictChange(
        route=Route.of(RouteKey(address, Prefix.parse(prefix), 0), asn, attributes, (address,)),
        host=host,
        verdict=Verdict(kind, reasons, Validation(state, (VRP,))),
        was=None,
        cause="announce",
        provenance=PROVENANCE,
    )


def note(text: str = "x") -> ServiceEvent:
    """A small record."""
    return ServiceEvent("note", {"text": text})


def write_log(directory: Path, *entries: tuple[float, Auditable], max_bytes: int = 1 << 20) -> None:
    """Write events as one run of the filter."""
    log = AuditLog(directory, synchronous=True, max_bytes=max_bytes)
    for at, event in entries:
        log.append(at, event)
    log.close()


def sample_log(directory: Path) -> None:
    """Three days in five files, all but the last compressed: records 1-5, 6-10 and 11-15 of the
    first day, 16-19, 20-23; each file begins with its `file` record."""
    first_day = [(NOON + i, verdict_change(f"203.0.113.{i}/32")) for i in range(12)]
    second_day = [(NOON + DAY + i, note(f"second {i}")) for i in range(3)]
    third_day = [(NOON + 2 * DAY + i, note(f"third {i}")) for i in range(3)]
    write_log(directory, *first_day, *second_day, *third_day, max_bytes=2500)


def lines_of_file(directory: Path, key: FileKey) -> list[bytes]:
    """The lines of a file, compressed or not."""
    with open_log(directory, key) as file:
        return file.read().splitlines(keepends=True)


def put_lines(directory: Path, key: FileKey, lines: list[bytes]) -> None:
    """Replace the lines of a file, in the form that it has."""
    path = directory / key.name
    if path.exists():
        path.write_bytes(b"".join(lines))
    else:
        (directory / key.compressed_name).write_bytes(gzip.compress(b"".join(lines)))


def all_lines(directory: Path) -> list[bytes]:
    """Every line of a log, in order."""
    return [line for key in list_keys(directory) for line in lines_of_file(directory, key)]


def records(directory: Path) -> list[dict[str, Any]]:
    """Every record of a log, in order."""
    return [json.loads(line) for line in all_lines(directory)]


def events(directory: Path, *names: str) -> list[dict[str, Any]]:
    """The records of these events, in order."""
    return [record for record in records(directory) if record["event"] in names]


class FullDisk(Disk):
    """A disk with room for so many octets; `free` makes room for all."""

    def __init__(self, room: int) -> None:
        self.room: float = room

    def free(self) -> None:
        """Make room."""
        self.room = float("inf")

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fits = data[: int(min(self.room, len(data)))]
        self.room -= len(fits)
        return super().write(descriptor, fits)


class StuckDisk(Disk):
    """Answers no write until it is released, or lets one through."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.is_reached = threading.Event()
        self._tickets = threading.Semaphore(0)

    def let_one_through(self) -> None:
        """One write is answered."""
        self._tickets.release()

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        self.is_reached.set()
        while not self.released.is_set() and not self._tickets.acquire(timeout=0.005):
            pass
        return super().write(descriptor, data)
