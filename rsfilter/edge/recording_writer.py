"""A recording, written by a thread of its own: a disk may not answer, and the filter goes on.

What waits for the disk is bounded. Beyond that the recording ends: one with a hole cannot be
replayed.
"""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path

from rsfilter.pipeline.recording import TurnFile

log = logging.getLogger(__name__)

MAX_WAITING = 64 << 20
"""Octets that wait for the disk: a truth of a million entries, or seconds of the largest flood."""


class RecordingWriter:
    """Writes turns in their order. `write` never waits."""

    def __init__(self, path: Path, max_waiting: int = MAX_WAITING) -> None:
        self._path = path
        self._max_waiting = max_waiting
        self._turns: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def write(self, turn: bytes) -> None:
        """Take a turn; only while less than `max_waiting` octets wait."""
        if self._is_over:
            return
        with self._lock:
            is_late = self._waiting > self._max_waiting
            self._waiting += len(turn)
        if is_late:
            log.error("the recording %s ends: the disk does not answer", self._path)
            self._end()
        else:
            self._turns.put(turn)

    def close(self, timeout: float) -> None:
        """Write what waits, for so long at most."""
        if not self._is_over:
            self._end()
        self._thread.join(timeout)

    def _end(self) -> None:
        self._is_over = True
        self._turns.put(None)

    def _run(self) -> None:
        file = TurnFile(self._path)
        while (turn := self._turns.get()) is not None:
            file.write(turn)
            with self._lock:
                self._waiting -= len(turn)
