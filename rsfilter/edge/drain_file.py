"""A requested drain, stored so that a restart of rsfilter does not end it.

The file is `drain.state`, beside the audit log: `{"by": "HTTP from 192.0.2.1"}`. It exists while
the operator keeps the filter out of service. Drains by readiness files need no such file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path

from rsfilter.edge.guard_file import UnusableError, open_own
from rsfilter.util.text import clean
from rsfilter.util.threads import on_own_thread

log = logging.getLogger(__name__)

NAME = "drain.state"

MAX_BYTES = 10_000
MAX_TEXT = 200

KEEP_TIMEOUT_S = 2.0
"""Seconds that a request waits for the disk."""

UNNAMED = "a request before the restart"


def load(path: Path) -> str | None:
    """Return who requested the drain; None if no drain is requested. A file of ours that cannot be
    read counts as a drain, because its requester relies on it."""
    try:
        with open_own(path, MAX_BYTES) as file:
            content = json.loads(file.read(MAX_BYTES))
        return clean(str(content["by"]))[:MAX_TEXT] or UNNAMED
    except FileNotFoundError:
        return None
    except (OSError, UnusableError) as error:
        log.error("drain: %s is not used: %s", path, error)
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        log.error("drain: %s cannot be decoded, and counts as a drain: remove it to end that", path)
        return UNNAMED


def write(path: Path, by: str | None) -> None:
    """Store who requested the drain, or None to end it. Raises OSError."""
    if by is None:
        path.unlink(missing_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(draft, flags, 0o600), "w", encoding="ascii") as file:
            json.dump({"by": by}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class DrainKeeper:
    """Writes the file, one write at a time, the newest wish last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wanted: str | None = None
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, by: str | None) -> str:
        """Store `by`, or None to end the drain. Returns why it was not stored, for display; empty
        on success. Waits `KEEP_TIMEOUT_S` for a disk that does not respond."""
        self._wanted = by
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="drain file")
        try:
            async with asyncio.timeout(KEEP_TIMEOUT_S):
                await asyncio.shield(self._writing)
        except TimeoutError:
            return f"{self._path}: the disk does not answer"
        except OSError as error:
            return f"{self._path}: {error.strerror}"
        return ""

    async def _write(self) -> None:
        while True:
            by = self._wanted
            await on_own_thread(write, self._path, by)
            if by == self._wanted:
                return
