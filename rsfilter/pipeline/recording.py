"""A recording of a running filter: everything that came in, and when.

JSON Lines. One object for each turn of the filter, in order:

    {"now": 12.5, "time": 1795376896.8, "lines": ["…", …]}        what ExaBGP wrote (may be empty)
    {"now": …, "time": …, "truth": "…", "file": "truth.json", "read": 1795376896.5}
                                                  another truth, as in its file at `read`
    {"now": …, "time": …, "rtr": {"cache", "session", "serial", "vrps": [["10.0.0.0/8", 32, 65001],
                                   …]}, "reason": "…"}            another snapshot decides
    {"now": …, "time": …, "source": "expired" | "given_up"}       the caches are too old, or late
    {"now": …, "time": …, "release": "SIGUSR2"}                   the guard was told to let go
    {"now": …, "time": …, "config": "…", "file": "rsfilter.toml", "forced": false}
                                                  another configuration
    {"now": …, "time": …, "guard": {"held": [["198.51.100.1", "10.1.0.1/32", 0, "…", "…", ["…"]],
                                   …], "accepted": [[…, "…", "…"], …], "lost": [[…, 12.5], …]}}
                                                  what the guard knew before a restart
    {"now": …, "time": …, "unsettled": {"routers": ["192.0.2.10"], "hosts": []}}
                                                  what was under way before a restart
    {"now": …, "time": …, "drain": true, "source": "operator", "by": "…"}   asked to leave service
    {"now": …, "time": …, "note": "start", "data": {…}}           what else the audit log was told

`now` is the clock that timers run by, `time` the one that the audit log shows. Octets are written
as the characters of the same number (Latin-1), so that lines which are not UTF-8 survive.
"""

from __future__ import annotations

import contextlib
import json
import logging
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from io import FileIO
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from rsfilter.audit.record import ServiceEvent
from rsfilter.exabgp.decode import line_time
from rsfilter.exabgp.unsettled import Unsettled
from rsfilter.routing.events import DrainAsked, GuardRestored
from rsfilter.routing.guard import Expected
from rsfilter.routing.model import Address, Prefix, RouteKey, Vrp
from rsfilter.rpki.vrps import RtrSnapshot, VrpSet

log = logging.getLogger(__name__)

KEPT = 3
"""Earlier recordings: somebody restarts the service before anybody has looked."""


class Moment(NamedTuple):
    """When something came in."""

    now: float
    time: float


class Entry(NamedTuple):
    """One turn of a recording: its moment, and exactly one of the others."""

    moment: Moment
    lines: list[bytes] | None = None
    truth: tuple[bytes, str, float] | None = None
    """(content, file name, when it was read)."""
    rtr: tuple[RtrSnapshot, str] | None = None
    """(snapshot, reason)."""
    source: str = ""
    release: str = ""
    """Who released what the guard holds."""
    config: tuple[str, str, bool] | None = None
    """(content, file name, forced)."""
    guard: GuardRestored | None = None
    """What the guard knew before a restart."""
    unsettled: Unsettled | None = None
    """What was under way before a restart."""
    drain: DrainAsked | None = None
    note: ServiceEvent | None = None


class RecordingError(Exception):
    """A recording cannot be read; the message says which file and line."""


class TurnFile:
    """The file of a recording. Where it cannot be written, the recording ends.

    A file that is there is kept as `NAME.1`: a process that failed is restarted with the same
    arguments, and its recording is the one that says why.
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
        """Write a turn, whole or not at all."""
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


class Recorder:
    """Makes turns of what comes in, and passes each on as octets."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        """`write`: mostly that of a `TurnFile`."""
        self._octets = write

    def lines(self, moment: Moment, lines: list[bytes]) -> None:
        """A turn with what ExaBGP wrote."""
        self._write(moment, lines=[line.decode("latin-1") for line in lines])

    def truth(self, moment: Moment, content: bytes, file: str, read: float) -> None:
        """Another truth is in force. `read`: by what time of day some of it had expired."""
        self._write(moment, truth=content.decode("latin-1"), file=file, read=read)

    def rtr(self, moment: Moment, snapshot: RtrSnapshot, reason: str) -> None:
        """Another RTR snapshot decides."""
        vrps = [[str(vrp.prefix), vrp.max_length, vrp.asn] for vrp in snapshot.vrps]
        content = {
            "cache": snapshot.cache,
            "session": snapshot.session,
            "serial": snapshot.serial,
            "vrps": vrps,
        }
        self._write(moment, rtr=content, reason=reason)

    def source(self, moment: Moment, what: str) -> None:
        """The caches have expired, or were given up on."""
        self._write(moment, source=what)

    def release(self, moment: Moment, by: str) -> None:
        """The guard was told to let go of what it holds."""
        self._write(moment, release=by)

    def config(self, moment: Moment, content: str, file: str, *, is_forced: bool) -> None:
        """Another configuration is in force."""
        self._write(moment, config=content, file=file, forced=is_forced)

    def guard(self, moment: Moment, before: GuardRestored) -> None:
        """The guard of a process before this one knew routes."""
        content = {
            "held": [
                (*_words(key), each.fingerprint, each.rules, each.reasons)
                for key, each in before.held.items()
            ],
            "accepted": [
                (*_words(key), each.fingerprint, each.rules)
                for key, each in before.accepted.items()
            ],
            "lost": [(*_words(key), age) for key, age in before.lost.items()],
        }
        self._write(moment, guard=content)

    def unsettled(self, moment: Moment, before: Unsettled) -> None:
        """Something was under way before a restart."""
        parts = {name: sorted(map(str, each)) for name, each in before._asdict().items()}
        self._write(moment, unsettled=parts)

    def drain(self, moment: Moment, asked: DrainAsked) -> None:
        """The filter was asked to leave service, or is no longer."""
        self._write(moment, drain=asked.on, source=asked.source, by=asked.by)

    def note(self, moment: Moment, event: ServiceEvent) -> None:
        """Something was audited that does not come from the filter."""
        self._write(moment, note=event.event, data=dict(event.data))

    def _write(self, moment: Moment, **content: object) -> None:
        turn = json.dumps({"now": moment.now, "time": moment.time, **content})
        self._octets(turn.encode() + b"\n")


def _keep_earlier(path: Path) -> None:
    """Earlier recordings get the next number, and the oldest goes."""
    if not path.is_file():
        return  # none, or /dev/null
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, KEPT + 1))]
    for newer, older in reversed(list(pairwise(names))):
        if newer.exists():
            newer.replace(older)


def read(path: Path) -> Iterator[Entry]:
    """The turns of a recording, or of bare lines of ExaBGP: each then is a turn of its own, at
    the time that it carries. RecordingError names what cannot be read. A recording may end in the
    middle of a turn: somebody copied it from a running filter."""
    last = Moment(0.0, 0.0)
    is_recording = False
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = raw.rstrip(b"\n")
            if number == 1:
                line = line.removeprefix(BOM_UTF8)  # an editor put it there
            is_turn = line.startswith(b'{"now": ')
            is_recording = is_recording or is_turn
            is_cut = is_recording and not raw.endswith(b"\n")
            try:
                turn = _entry(msgspec.convert(json.loads(line), _Turn)) if is_turn else None
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
                yield Entry(last, lines=[line])


def _time_within(line: bytes) -> float | None:
    """Return the time of a line whose members something has put into another order."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    at = document.get("time") if isinstance(document, dict) else None
    return float(at) if isinstance(at, int | float) and isfinite(at) else None


class _Rtr(msgspec.Struct):
    cache: str
    session: int
    serial: int
    vrps: list[tuple[str, int, int]]


class _Guard(msgspec.Struct):
    held: list[tuple[str, str, int, str, str, tuple[str, ...]]]
    accepted: list[tuple[str, str, int, str, str]]
    lost: list[tuple[str, str, int, float]]


class _Turn(msgspec.Struct):
    """The members of every kind of turn; None is not there."""

    now: float
    time: float
    lines: list[str] | None = None
    truth: str | None = None
    file: str = ""
    read: float | None = None
    rtr: _Rtr | None = None
    reason: str = ""
    note: str | None = None
    data: dict[str, Any] = {}
    release: str | None = None
    config: str | None = None
    forced: bool = False
    held: list[tuple[str, str, int, str]] | None = None
    """Of 0.1: what was held."""
    guard: _Guard | None = None
    unsettled: dict[str, list[str]] | None = None
    drain: bool | None = None
    source: Literal["expired", "given_up", "operator", "readiness"] | None = None
    by: str = ""


def _entry(turn: _Turn) -> Entry:
    """ValueError for what is no turn."""
    moment = _moment(turn)
    if turn.lines is not None:
        return Entry(moment, lines=[line.encode("latin-1") for line in turn.lines])
    if turn.truth is not None:
        read_at = moment.time if turn.read is None else turn.read
        return Entry(moment, truth=(turn.truth.encode("latin-1"), turn.file, read_at))
    if turn.rtr is not None:
        return Entry(moment, rtr=(_snapshot(turn.rtr, moment.now), turn.reason))
    if turn.note is not None:
        return Entry(moment, note=ServiceEvent(turn.note, turn.data))
    if turn.release is not None:
        return Entry(moment, release=turn.release)
    if turn.config is not None:
        return Entry(moment, config=(turn.config, turn.file, turn.forced))
    return _before(turn, moment) or _asked(turn, moment)


def _before(turn: _Turn, moment: Moment) -> Entry | None:
    """What a process before this one left."""
    if guard := turn.guard or (turn.held is not None and _guard_0_1(turn.held)):
        return Entry(moment, guard=_guard(guard))
    if turn.unsettled is not None:
        return Entry(moment, unsettled=_unsettled(turn.unsettled))
    return None


def _asked(turn: _Turn, moment: Moment) -> Entry:
    if turn.source is None:
        raise ValueError("says nothing")
    if turn.drain is not None:
        return Entry(moment, drain=DrainAsked(turn.source, turn.drain, turn.by))
    return Entry(moment, source=turn.source)


def _moment(turn: _Turn) -> Moment:
    if not (isfinite(turn.now) and isfinite(turn.time)):
        raise ValueError("at no time")
    return Moment(turn.now, turn.time)


def _snapshot(rtr: _Rtr, at: float) -> RtrSnapshot:
    vrps = VrpSet.of(Vrp(Prefix.parse(prefix), length, asn) for prefix, length, asn in rtr.vrps)
    return RtrSnapshot(vrps, rtr.cache, rtr.session, rtr.serial, at)


def _unsettled(parts: dict[str, list[str]]) -> Unsettled:
    routers, hosts = (map(Address.parse, parts.get(name, ())) for name in ("routers", "hosts"))
    return Unsettled(frozenset(routers), frozenset(hosts))


def _words(key: RouteKey) -> tuple[str, str, int]:
    return str(key.neighbor), str(key.prefix), key.path_id


def _key(neighbor: str, prefix: str, path_id: int) -> RouteKey:
    return RouteKey(Address.parse(neighbor), Prefix.parse(prefix), path_id)


def _guard_0_1(held: list[tuple[str, str, int, str]]) -> _Guard:
    return _Guard([(*row, "", ()) for row in held], [], [])


def _guard(said: _Guard) -> GuardRestored:
    return GuardRestored(
        held={_key(*row[:3]): Expected(*row[3:]) for row in said.held},
        accepted={_key(*row[:3]): Expected(*row[3:]) for row in said.accepted},
        lost={_key(*row[:3]): row[3] for row in said.lost},
    )
