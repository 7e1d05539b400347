"""The process in which `rsfilter run` ships: `python -m rsfilter.fleet.worker`.

A process of its own, so that neither the compression nor a database that stands still costs the
filter anything. It ends when its stdin does, because the filter has ended or was killed. Then it
ships for a moment more, so that the last records are there too, and is gone, whatever it waits for.

    main thread     reads stdin, reports on stdout, ends what waits for too long
    ship            moves blocks
    beat            sends heartbeats, and compares this instance with the others
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

from msgspec import json, structs

from rsfilter.fleet.beat import BeatLoop, View
from rsfilter.fleet.database import Database, DatabaseError, ErrorKind
from rsfilter.fleet.messages import Settings, ShippingReport, line_of
from rsfilter.fleet.shipper import Shipper

log = logging.getLogger(__name__)

POLL_S = 1.0
"""Seconds between two checks for new records: `head.json` is written once a second."""

ANSWER_S = 20.0
"""The database has this long for an answer: a block passes through 10 kB a second in it."""

RETRY_S = (0.3, 30.0)
"""First and longest wait after the database has failed. It doubles in between."""

STOPPED_S = 60.0
"""Seconds between two checks of a log that cannot be shipped (a fork, a gap, damage): each reads a
file."""

PATIENCE_S = 10.0
"""A database that cannot be reached for less than this is no problem yet: it fails over."""

FAREWELL_S = 2.0
"""Seconds for the last records after the filter has ended."""

ALIVE_S = 10.0
"""Seconds between two reports, at most."""

NICE = 5
"""The filter beside us comes first."""


class ShipLoop:
    """Ships for ever, in a thread."""

    def __init__(self, shipper: Shipper, database: Database) -> None:
        self._shipper = shipper
        self._database = database
        self._wake = threading.Event()
        self._is_ending = False
        self._failing_since: float | None = None
        self._retry_s = RETRY_S[0]

    def run(self) -> None:
        """Ship; returns after `end`, once nothing is left to ship."""
        while True:
            wait_s = self._turn()
            if wait_s and self._is_ending:
                return
            self._wake.wait(wait_s)

    def end(self) -> None:
        """Ship what is there, and return from `run`."""
        self._is_ending = True
        self._wake.set()

    @property
    def report(self) -> ShippingReport:
        """Return the progress."""
        state = self._shipper.state
        return ShippingReport(
            shipped=state.shipped.seq,
            hash=state.shipped.hash,
            head=state.head,
            problem=state.problem,
            detail=state.detail,
        )

    def _turn(self) -> float:
        """Ship one block; seconds until the next turn."""
        try:
            has_shipped = self._shipper.step()
        except DatabaseError as error:
            return self._failed(error)
        self._failing_since, self._retry_s = None, RETRY_S[0]
        if has_shipped:
            return 0.0
        return STOPPED_S if self._shipper.state.problem else POLL_S

    def _failed(self, error: DatabaseError) -> float:
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        is_passing = error.kind in (ErrorKind.UNREACHABLE, ErrorKind.CONFLICT)
        if not is_passing or now - self._failing_since >= PATIENCE_S:
            self._shipper.fail(error.kind.name.lower(), str(error))
        wait_s, self._retry_s = self._retry_s, min(RETRY_S[1], self._retry_s * 2)
        return wait_s


def main() -> None:
    """Ship until stdin ends."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # for the filter, which ends; then so does stdin
    os.nice(NICE)
    settings = json.decode(sys.stdin.buffer.readline(), type=Settings)
    databases = Database(settings.fleet), Database(settings.fleet)
    loop = ShipLoop(Shipper(Path(settings.directory), databases[0]), databases[0])
    beats = BeatLoop(settings, databases[1], lambda: loop.report)
    ending = threading.Event()
    threads = [
        threading.Thread(target=loop.run, name="ship", daemon=True),
        threading.Thread(target=beats.run, args=[ending], name="beat", daemon=True),
    ]
    for thread in threads:
        thread.start()
    reporter = _Reporter()
    while all(thread.is_alive() for thread in threads) and not _has_ended(0, POLL_S):
        for database in databases:
            database.abandon(ANSWER_S)
        reporter.write(loop.report, beats.view)
    ending.set()
    loop.end()
    threads[0].join(FAREWELL_S)
    reporter.write(loop.report, beats.view)
    os._exit(0)  # whatever a thread still waits for


class _Reporter:
    """Writes reports: those with news, and others to show that the process is alive."""

    def __init__(self) -> None:
        self._last = b""
        self._written = 0.0

    def write(self, report: ShippingReport, view: View) -> None:
        """Write a report, if it is time."""
        line = line_of(structs.replace(report, **view._asdict()))
        now = time.monotonic()
        if line != self._last or now - self._written >= ALIVE_S:
            self._last, self._written = line, now
            _write(line)


def _has_ended(descriptor: int, timeout_s: float) -> bool:
    """The filter has closed its end. Waits so long for that."""
    readable, _, _ = select.select([descriptor], [], [], timeout_s)
    return bool(readable) and not os.read(descriptor, 1 << 16)


def _write(line: bytes) -> None:
    with contextlib.suppress(OSError):  # the filter has ended
        os.write(1, line)


if __name__ == "__main__":
    main()
