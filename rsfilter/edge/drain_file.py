"""A drain that somebody requested, written down: a restart of rsfilter does not end it.

The file is `drain.state`, beside the audit log: `{"by": "HTTP from 192.0.2.1"}`. It is there while
the operator wants the filter out of service. What the readiness files say needs no file.
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
"""How long a request waits for the disk."""

SOMEBODY = "somebody, before a restart"


def load(path: Path) -> str | None:
    """The words of whoever wants the filter out of service; None: nobody does. A file that is ours
    and cannot be read counts: whoever requested a drain relies on it."""
    try:
        with open_own(path, MAX_BYTES) as file:
            content = json.loads(file.read(MAX_BYTES))
        return clean(str(content["by"]))[:MAX_TEXT] or SOMEBODY
    except FileNotFoundError:
        return None
    except (OSError, UnusableError) as error:
        log.error("drain: %s is not used: %s", path, error)
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        log.error("drain: %s is no drain of ours, and counts all the same: remove it", path)
        return SOMEBODY


def write(path: Path, by: str | None) -> None:
    """Write down who wants the filter out of service, or None that nobody does. OSError."""
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
        """Write down `by`, or None that nobody wants it. Why it is not written, for people; empty:
        it is. A disk that does not answer is waited for `KEEP_TIMEOUT_S`."""
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
