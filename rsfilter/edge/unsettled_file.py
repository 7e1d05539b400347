"""Unfinished work with ExaBGP (`exabgp.unsettled`), stored for a process that takes over.

The file is `unsettled.state`, beside the audit log: one JSON object, `{"routers":[…],"hosts":[…]}`.
It exists while work is unfinished, usually for seconds after a start.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec

from rsfilter.exabgp.unsettled import SETTLED, Unsettled
from rsfilter.routing.model import Address
from rsfilter.util.threads import on_own_thread

log = logging.getLogger(__name__)

NAME = "unsettled.state"

MAX_OCTETS = 1 << 20
"""Octets of a file that is read: some 25,000 neighbors."""

STOP_TIMEOUT_S = 1.0
"""Seconds for the last change at the end."""


class _UnsettledFile(msgspec.Struct, forbid_unknown_fields=True):
    routers: list[str]
    hosts: list[str]


def load(path: Path) -> Unsettled:
    """Read what a process before this one had begun. Nothing, and an error in the log, when the
    file cannot be used."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_OCTETS + 1)
        if len(content) > MAX_OCTETS:
            raise ValueError(f"larger than {MAX_OCTETS} octets")
        found = msgspec.json.decode(content, type=_UnsettledFile)
        return Unsettled(_addresses(found.routers), _addresses(found.hosts))
    except FileNotFoundError:
        return SETTLED
    except (OSError, ValueError, RecursionError) as error:
        log.error("restart: %s cannot be read, and is left out: %.200s", path, error)
        return SETTLED


def _addresses(texts: Iterable[str]) -> frozenset[Address]:
    return frozenset(map(Address.parse, texts))


def write(path: Path, content: Unsettled) -> None:
    """Write the file; when nothing is under way there is none. Raises OSError."""
    if content == SETTLED:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    parts = {name: sorted(map(str, each)) for name, each in content._asdict().items()}
    temporary.write_text(json.dumps(parts) + "\n")
    temporary.replace(path)


class UnsettledKeeper:
    """Keeps the file current, off the event loop: a slow disk delays nothing."""

    def __init__(self, path: Path, content: Unsettled) -> None:
        """Make a keeper. `content`: the content of the file."""
        self._path = path
        self._wanted = self._written = content
        self._wake = asyncio.Event()
        self._is_ending = False
        self._has_failed = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write what there is, then what comes."""
        self._task = asyncio.create_task(self._run(), name="unsettled neighbors")

    def take(self, content: Unsettled) -> None:
        """Take what is under way now."""
        if content != self._wanted:
            self._wanted = content
            self._wake.set()

    async def stop(self) -> None:
        """Write what is left, and stop. A disk that does not answer is waited for briefly."""
        self._is_ending = True
        self._wake.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._task

    async def _run(self) -> None:
        while not self._is_ending:
            await self._wake.wait()
            self._wake.clear()
            await self._write(self._wanted)

    async def _write(self, content: Unsettled) -> None:
        if content == self._written:
            return
        try:
            await on_own_thread(write, self._path, content)
        except OSError as error:  # the next change is another attempt
            if not self._has_failed:
                log.error("restart: cannot write what is under way: %s: %s", self._path, error)
            self._has_failed = True
        else:
            self._written, self._has_failed = content, False
