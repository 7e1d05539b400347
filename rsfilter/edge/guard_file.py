"""The guard's state, stored for the next process.

The file is `guard.state`, beside the audit log. It lists the accepted and the held routes, each
with a fingerprint, and the routes that data removed recently. It is a log of states, one per line,
and the last line of a route counts:

    198.51.100.1 10.1.0.1/32 0 a FINGERPRINT RULES             accepted
    198.51.100.1 10.1.0.2/32 0 h FINGERPRINT RULES REASONS     held
    198.51.100.1 10.1.0.3/32 0 l SECONDS                       removed by data (Unix time)
    198.51.100.1 10.1.0.4/32 0 -                               none of these
    = SECONDS CHECKSUM                                         time of writing; ends a batch

The checksum is SHA-256 over everything before it. A batch cut by a crash removes routes and adds
none. The time of the last batch shows when a filter with this state was last alive: an old file
does not show what routers have now. A file that another user owns or can write is not trusted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import stat
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from rsfilter.routing.events import GuardRestored
from rsfilter.routing.guard import Accepted, Expected, Held, Record, Records, fingerprint
from rsfilter.routing.model import Address, Prefix, RouteKey
from rsfilter.util.text import clean

log = logging.getLogger(__name__)

NAME = "guard.state"
NAME_0_1 = "held.state"

HEADER = b"rsfilter guard 1\n"

MAX_BYTES = 128 << 20
"""Octets of a file that is read: a million routes."""

MAX_LINE = 1000
"""Octets; ours have chunk 130."""

MAX_ACCEPTED = 500_000
"""Accepted routes that are written down: more than twice the largest site. What is over is not
guarded over a restart."""

MAX_AGE_S = 300.0
"""An older file is not believed. A reboot takes less; routers wait 120 s for us (RFC 4724)."""

MAX_AHEAD_S = 60.0
"""A file from a time to come by more than this has not been written by our clock."""

SLACK_LINES = 1000
"""More lines than this, and than twice what is known: the file is written anew."""

AT_ONCE = 1000
"""Lines that are put together between two chances for other threads."""

NOTHING = GuardRestored({})

Tails = dict[RouteKey, str]
"""The last words of each route's line. Equal ones are one object: a host's routes have the same."""


class UnusableError(Exception):
    """Raised for a file that cannot be trusted; the message gives the reason."""


# Reading ------------------------------------------------------------------------------------------


def load(path: Path, now: float) -> GuardRestored:
    """Load the state of a filter that was alive at most `MAX_AGE_S` before `now` (wall clock). If
    the file cannot be used, log an error and return an empty state."""
    try:
        with open_own(path, MAX_BYTES) as file:
            return _restored(_read(file, now), now)
    except FileNotFoundError:
        return _load_0_1(path.with_name(NAME_0_1), now)
    except OSError as error:
        log.error("guard: cannot read the held routes: %s: %s", path, error.strerror)
    except UnusableError as error:
        log.error("guard: %s is not used, held routes are released: %s", path, clean(str(error)))
    return NOTHING


def _load_0_1(path: Path, now: float) -> GuardRestored:
    """Load the file of rsfilter 0.1: held routes in JSON, and the file's own time."""
    held: dict[RouteKey, Expected] = {}
    try:
        with open_own(path, MAX_BYTES) as file:
            if now - os.fstat(file.fileno()).st_mtime > MAX_AGE_S:
                return NOTHING
            *lines, _torn = file.read(MAX_BYTES).split(b"\n")
        for line in lines:
            sign, neighbor, prefix, path_id, *rest = json.loads(line)
            key = RouteKey(Address.parse(neighbor), Prefix.parse(prefix), int(path_id))
            held.pop(key, None)
            if sign == "+" and key.prefix.is_well_formed:  # another one was never accepted
                (fingerprint,) = map(str, rest)
                held[key] = Expected(fingerprint)
    except FileNotFoundError:
        return NOTHING
    except (OSError, UnusableError, ValueError, TypeError, AttributeError, RecursionError) as error:
        log.error("guard: %s is not used, held routes are released: %.200r", path, error)
        return NOTHING
    return GuardRestored(held)


def open_own(path: Path, max_bytes: int) -> BinaryIO:
    """Open a file to read that only we (or root) can have written. UnusableError: it is another's,
    or too large."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnusableError("it is not a regular file")
        if status.st_uid not in (0, os.geteuid()):
            raise UnusableError(f"it belongs to user {status.st_uid}")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise UnusableError(f"others can write it (mode {stat.S_IMODE(status.st_mode):o})")
        if status.st_size > max_bytes:
            raise UnusableError(f"it is larger than {max_bytes} octets")
    except BaseException:
        file.close()
        raise
    return file


def _read(file: BinaryIO, now: float) -> Tails:
    """The state of each route; UnusableError."""
    if file.readline(MAX_LINE) != HEADER:
        raise UnusableError("it is not a guard state that this release can read")
    digest, tails, batch, at = hashlib.sha256(HEADER), Tails(), [], -math.inf
    for line in _lines(file):
        if not line.startswith(b"= "):
            batch.append(line)
            digest.update(line)
            continue
        at = _end_of_batch(line, digest)
        for key, tail in map(_parse, batch):
            _set(tails, key, tail)
        batch.clear()
    if not -MAX_AHEAD_S <= now - at <= MAX_AGE_S:
        raise UnusableError(f"it was last written {now - at:.0f} seconds ago")
    for key, tail in map(_parse, batch):
        if tail[0] in "-l":
            _set(tails, key, tail)
    return tails


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines: a crash may have cut the last one."""
    while (line := file.readline(MAX_LINE)).endswith(b"\n"):
        yield line
    if file.read(1):
        raise UnusableError(f"a line is longer than {MAX_LINE} octets")


def _end_of_batch(line: bytes, digest: hashlib._Hash) -> float:
    """Return the time of a batch. Raises UnusableError if its checksum differs."""
    seconds, _, checksum = line[2:-1].partition(b" ")
    digest.update(b"= " + seconds)
    if checksum.decode("ascii", "replace") != digest.hexdigest():
        raise UnusableError("a checksum is wrong")
    return _seconds(seconds.decode("ascii", "replace"))


def _parse(line: bytes) -> tuple[RouteKey, str]:
    try:
        neighbor, prefix, path_id, tail = line[:-1].decode("ascii").split(" ", 3)
        key = RouteKey(Address.parse(neighbor), Prefix.parse(prefix), int(path_id))
        _check(*tail.split(" "))
    except (ValueError, TypeError) as error:
        raise UnusableError(f"{line!r:.200} is no line of it") from error
    return key, tail


def _check(sign: str, *words: str) -> None:
    """ValueError or TypeError for a tail of another form."""
    match sign, *words:
        case ("-",) | ("a", _, _) | ("h", _, _, _):
            pass
        case ("l", at):
            _seconds(at)
        case _:
            raise ValueError("no tail of a line")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError as error:
        raise UnusableError(f"invalid time {text!r:.50}") from error
    if not math.isfinite(seconds):
        raise UnusableError(f"invalid time {text!r:.50}")
    return seconds


def _restored(tails: Tails, now: float) -> GuardRestored:
    held: dict[RouteKey, Expected] = {}
    accepted: dict[RouteKey, Expected] = {}
    lost: dict[RouteKey, float] = {}
    for key, tail in tails.items():
        match tail.split(" "):
            case ["h", fingerprint, rules, reasons]:
                known = () if reasons == "." else tuple(reasons.split(","))
                held[key] = Expected(fingerprint, "" if rules == "." else rules, known)
            case ["a", fingerprint, rules]:
                accepted[key] = Expected(fingerprint, rules)
            case ["l", at]:
                lost[key] = max(0.0, now - float(at))
    return GuardRestored(held, accepted, lost)


# Writing ------------------------------------------------------------------------------------------


class GuardFile:
    """Writes the file, on one thread at a time. OSError when the disk fails; the next call that
    succeeds makes up for it."""

    def __init__(self, path: Path, before: GuardRestored, now: float) -> None:
        """`before`: what was read of it at `now` (wall clock)."""
        self._path = path
        self._tails: Tails = {}
        self._accepted = 0
        self._words: dict[str, str] = {}
        """Equal tails are one object."""
        self._lines: int | None = None
        """Lines in the file; None if it has to be rewritten."""
        self._digest = hashlib.sha256()
        self._size = 0
        for key, expected in before.accepted.items():
            self._set(key, f"a {expected.fingerprint} {expected.rules}")
        for key, expected in before.held.items():
            self._set(key, _held(expected.fingerprint, expected.rules, expected.reasons))
        for key, age in before.lost.items():
            self._set(key, f"l {now - age:.3f}")

    def write(self, records: Records, wall: float, now: float) -> None:
        """Take in what became of routes, and make the file young. `now`: in the time of the
        records, when the wall clock shows `wall`."""
        changed = [key for key, record in records.items() if self._take(key, record, wall - now)]
        count, self._lines = self._lines, None  # until all went well
        if count is None or not self._is_ours() or self._has_slack(count + len(changed)):
            self._write_anew(wall)
            self._lines = len(self._tails)
        else:
            lines = (_line(key, self._tails.get(key, "-")) for key in changed)
            self._append(lines, wall)
            self._lines = count + len(changed)
        if len(self._words) > SLACK_LINES + 2 * len(self._tails):
            self._words = {tail: tail for tail in self._tails.values()}

    def _has_slack(self, lines: int) -> bool:
        return lines > SLACK_LINES + 2 * len(self._tails)

    def _take(self, key: RouteKey, record: Record, offset: float) -> bool:
        """Store a record; return whether the route's line changed."""
        before = self._tails.get(key, "-")
        match record:
            case Accepted():
                tail = f"a {fingerprint(record.route)} {record.rules}"
            case Held():
                tail = _held(fingerprint(record.route), record.rules, record.reasons)
            case None:
                tail = "-"
            case _:
                tail = f"l {record.at + offset:.3f}"
        return tail != before and self._set(key, tail)

    def _set(self, key: RouteKey, tail: str) -> bool:
        """False: there is no room for one more accepted route."""
        before = self._tails.get(key, "-")
        is_one_more = tail[0] == "a" and before[0] != "a"
        if is_one_more and self._accepted >= MAX_ACCEPTED:
            return before != "-" and self._set(key, "-")
        self._accepted += (tail[0] == "a") - (before[0] == "a")
        _set(self._tails, key, self._words.setdefault(tail, tail))
        return True

    def _is_ours(self) -> bool:
        """Return whether the file is as this process left it: not removed, and no second filter
        started."""
        try:
            status = self._path.lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == self._size

    def _append(self, lines: Iterable[bytes], wall: float) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self._path, flags), "ab") as file:
            self._batch(file, lines, wall)

    def _write_anew(self, wall: float) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".new")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(HEADER)
            self._digest, self._size = hashlib.sha256(HEADER), len(HEADER)
            self._batch(file, (_line(key, tail) for key, tail in self._tails.items()), wall)
            # In place before it is flushed to disk: a process that kills this one must not have to
            # wait for the flush, and after a power failure ExaBGP is gone too and the file is not
            # needed.
            temporary.replace(self._path)
            self._path.with_name(NAME_0_1).unlink(missing_ok=True)
            os.fsync(file.fileno())

    def _batch(self, file: BinaryIO, lines: Iterable[bytes], wall: float) -> None:
        lines = iter(lines)
        while chunk := b"".join(islice(lines, AT_ONCE)):
            self._digest.update(chunk)
            self._size += file.write(chunk)
        self._digest.update(b"= %.3f" % wall)
        end = f"= {wall:.3f} {self._digest.hexdigest()}\n".encode()
        self._size += file.write(end)
        file.flush()


def _held(fingerprint: str, rules: str, reasons: tuple[str, ...]) -> str:
    """The tail of a held route; a full stop stands for what is not known."""
    return f"h {fingerprint} {rules or '.'} {','.join(reasons) or '.'}"


def _line(key: RouteKey, tail: str) -> bytes:
    return f"{key.neighbor} {key.prefix} {key.path_id} {tail}\n".encode()


def _set(tails: Tails, key: RouteKey, tail: str) -> None:
    if tail == "-":
        tails.pop(key, None)
    else:
        tails[key] = tail
