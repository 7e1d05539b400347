"""What the guard holds, written down so that a restart does not let it go.

The file is `held.state`, beside the audit log. It has a line for each change, so that one among
100,000 held routes costs one line: `["+",neighbor,prefix,path_id,fingerprint]` for a route that is
held from then on, `["-",neighbor,prefix,path_id]` for one that no longer is. It is written anew
when most of it is past; when nothing is held there is no file. Its age says when a filter that held
these routes was last alive: an old one says nothing of what routers have now.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from pathlib import Path

from rsfilter.routing.guard import Changes, fingerprint
from rsfilter.routing.model import Address, Prefix, Route, RouteKey
from rsfilter.util.threads import on_own_thread

log = logging.getLogger(__name__)

NAME = "held.state"

Held = dict[RouteKey, str]
"""By route: its fingerprint."""

MAX_BYTES = 64 * 1024 * 1024
"""Of a file that is read: half a million held routes, more than twice the largest site."""

MAX_AGE_S = 300.0
"""An older file is not believed. A reboot takes less; routers wait 120 s for us (RFC 4724)."""

PULSE_S = 30.0
"""How often the file of a running filter is made young."""

STOP_TIMEOUT_S = 2.0
"""For the last changes at the end. ExaBGP starts nobody else before we are gone."""

SLACK_LINES = 1000
"""More lines than this, and than twice what is held: the file is written anew."""


def load(path: Path, now: float) -> Held:
    """What a filter that was alive at most `MAX_AGE_S` before `now` (wall clock) held. Nothing, and
    an error in the log, when the file cannot be used."""
    try:
        with path.open("rb") as file:
            age = now - os.fstat(file.fileno()).st_mtime
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        log.error("guard: cannot read what was held: %s: %s", path, error.strerror)
        return {}
    if age > MAX_AGE_S:
        log.warning("guard: %s is %d seconds old: what was held is let go", path, age)
        return {}
    if len(content) > MAX_BYTES:
        log.error("guard: %s is larger than %d octets: what was held is let go", path, MAX_BYTES)
        return {}
    try:
        return _parse(content)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        log.error("guard: %s cannot be read, what was held is let go: %.200r", path, error)
        return {}


def _parse(content: bytes) -> Held:
    held: Held = {}
    *lines, _torn = content.split(b"\n")
    for line in lines:
        sign, neighbor, prefix, path_id, *rest = json.loads(line)
        key = RouteKey(Address.parse(neighbor), Prefix.parse(prefix), int(path_id))
        if sign == "+":
            (held[key],) = map(str, rest)
        elif sign == "-":
            held.pop(key, None)
        else:
            raise ValueError(f"{sign!r} is neither + nor -")
    return held


class HeldFile:
    """Writes the file, on one thread at a time. OSError when the disk fails; the next call that
    succeeds makes up for it."""

    def __init__(self, path: Path, held: Held) -> None:
        """`held`: what the file says now."""
        self._path = path
        self._held = dict(held)
        self._lines: int | None = None
        """In the file; None: it has to be written anew."""

    def write(self, changes: Changes) -> None:
        """Takes in changes, and makes the file young."""
        lines = []
        for key, route in changes.items():
            if route is not None:
                self._held[key] = fingerprint(route)
                lines.append(_line("+", key, self._held[key]))
            elif self._held.pop(key, None) is not None:
                lines.append(_line("-", key))
        count = None if self._lines is None else self._lines + len(lines)
        self._lines = None  # until all went well
        if not self._held:
            self._path.unlink(missing_ok=True)
        elif (
            count is None
            or count > max(SLACK_LINES, 2 * len(self._held))
            or not self._path.exists()  # somebody has cleared up, or started a second filter
        ):
            self._write_anew()
            self._lines = len(self._held)
        else:
            with self._path.open("ab") as file:
                file.writelines(lines)
            os.utime(self._path)
            self._lines = count

    def _write_anew(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.writelines(_line("+", *held) for held in self._held.items())
            file.flush()
            # In place before it is on the disk: whoever kills us must not have to wait for that,
            # and a power failure takes ExaBGP along with what it would be needed for.
            temporary.replace(self._path)
            os.fsync(file.fileno())


def _line(sign: str, key: RouteKey, *rest: str) -> bytes:
    words = (sign, str(key.neighbor), str(key.prefix), key.path_id, *rest)
    return json.dumps(words, separators=(",", ":")).encode() + b"\n"


class HeldKeeper:
    """Keeps the file current, off the event loop: a slow disk keeps nobody waiting."""

    def __init__(self, path: Path, held: Held) -> None:
        """`held`: what the file says now, or what is left of it."""
        self._path = path
        self._file = HeldFile(path, held)
        self._changes: dict[RouteKey, Route | None] = {}
        self._wake = asyncio.Event()
        self._is_ending = False
        self._has_failed = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write what there is, then what comes."""
        self._task = asyncio.create_task(self._run(), name="held routes")

    def take(self, changes: Changes) -> None:
        """What became of held routes."""
        if changes:
            self._changes.update(changes)
            self._wake.set()

    async def stop(self) -> None:
        """Write what is left, and stop. A disk that does not answer is waited for briefly."""
        self._is_ending = True
        self._wake.set()
        if self._task is not None:
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._task
            except TimeoutError:
                log.error("guard: %s is not up to date: the disk does not answer", self._path)

    async def _run(self) -> None:
        while not self._is_ending:
            await self._write()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PULSE_S):
                    await self._wake.wait()
            self._wake.clear()
        await self._write()

    async def _write(self) -> None:
        changes, self._changes = self._changes, {}
        try:
            await on_own_thread(self._file.write, changes)
        except Exception as error:  # whatever it was: the next attempt may be the one that counts
            self._changes = changes | self._changes
            if not self._has_failed:
                log.error(
                    "guard: a restart would let go of what is held: %s: %s", self._path, error
                )
            self._has_failed = True
        else:
            self._has_failed = False
