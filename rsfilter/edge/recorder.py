"""Files of recordings (`pipeline.recording`): written beside the running filter, and read.

A thread of its own writes: a disk may not answer, and the filter goes on. What waits for the disk
is bounded. Beyond that the recording ends, because one with a hole cannot be replayed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
from codecs import BOM_UTF8
from collections.abc import Iterator
from io import FileIO
from itertools import pairwise
from math import isfinite
from pathlib import Path

from rsfilter.exabgp.decode import line_time
from rsfilter.pipeline.inputs import Input, Lines, Moment
from rsfilter.pipeline.recording import BEGINNING, decode, encode

log = logging.getLogger(__name__)

KEPT = 3
"""Earlier recordings that are kept: the service may be restarted before they are copied."""

MAX_WAITING = 64 << 20
"""Octets that wait for the disk: a truth of a million entries, or seconds of the largest flood."""


class RecordingError(Exception):
    """A recording cannot be read. The message has its file and line."""


class Recorder:
    """Writes inputs in their order. `write` never waits."""

    def __init__(self, path: Path, max_waiting: int = MAX_WAITING) -> None:
        self._path = path
        self._max_waiting = max_waiting
        self._turns: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def write(self, moment: Moment, what: Input) -> None:
        """Take an input; only while less than `max_waiting` octets wait."""
        if self._is_over:
            return
        turn = encode(moment, what)
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
        file = RecordingFile(self._path)
        while (turn := self._turns.get()) is not None:
            file.write(turn)
            with self._lock:
                self._waiting -= len(turn)


class RecordingFile:
    """The file of a recording. Where it cannot be written, the recording ends.

    An earlier file is kept as `NAME.1`: a process that failed is restarted with the same arguments,
    and its recording shows why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None
        self._size = 0
        try:
            _keep_earlier(path)
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            log.error("there is no recording, filtering goes on: %s", error)

    def write(self, turn: bytes) -> None:
        """Write a line, whole or not at all."""
        if self._file is None:
            return
        rest = memoryview(turn)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            log.error("the recording %s ends here, filtering goes on: %s", self._path, error)
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)  # half a turn cannot be replayed
            self._file.close()
            self._file = None
        else:
            self._size += len(turn)


def _keep_earlier(path: Path) -> None:
    """Earlier recordings get the next number, and the oldest goes."""
    if not path.is_file():
        return  # none, or /dev/null
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, KEPT + 1))]
    for newer, older in reversed(list(pairwise(names))):
        if newer.exists():
            newer.replace(older)


def read(path: Path) -> Iterator[tuple[Moment, Input]]:
    """Yield the inputs of a recording, or of bare lines of ExaBGP: each then is an input of its
    own, at the time that it carries. RecordingError names what cannot be read. A copy of a running
    filter's recording may end in the middle of a line."""
    last = Moment(0.0, 0.0)
    is_recording = False
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = raw.rstrip(b"\n")
            if number == 1:
                line = line.removeprefix(BOM_UTF8)  # an editor put it there
            is_turn = line.startswith(BEGINNING)
            is_recording = is_recording or is_turn
            is_cut = is_recording and not raw.endswith(b"\n")
            try:
                turn = decode(line) if is_turn else None
            except (ValueError, OverflowError, RecursionError) as error:
                if not is_cut:
                    raise RecordingError(f"{path}:{number}: not a turn: {error!r:.200}") from None
                turn = None
            if turn is not None:
                yield turn
            elif is_cut:
                log.warning("%s:%d: was cut and is left out; all before it is whole", path, number)
            else:
                at = line_time(line) or _time_within(line)
                last = last if at is None else Moment(at, at)
                yield last, Lines([line])


def _time_within(line: bytes) -> float | None:
    """Return the time of a line whose members something has put into another order."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    at = document.get("time") if isinstance(document, dict) else None
    return float(at) if isinstance(at, int | float) and isfinite(at) else None
