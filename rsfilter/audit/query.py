"""Queries of the audit log by prefix, host, ASN and time.

Records are returned as written. Files are read one at a time, newest first, so that a query for the
last hour of a year of files costs one file. Lines that are not records are skipped with a warning:
the rest of a damaged file remains readable, and `verify` reports details.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from rsfilter.audit.files import UNREADABLE, FileKey, lines_of, list_keys, open_log
from rsfilter.audit.index import bounds, index_path, indexed_lines
from rsfilter.audit.record import timestamp
from rsfilter.audit.scan import lines_with, prefix_pattern
from rsfilter.routing.model import BITS, Prefix

log = logging.getLogger(__name__)

Record = dict[str, Any]
Match = Literal["covering", "covered", "exact"]

FOLLOW_S = 0.5
"""Seconds between checks of a log that is followed."""

LINES_BETWEEN_CHECKS = 500
"""Lines read between two checks whether the query should end: about a millisecond."""

_PREFIX = b'"prefix":"'
"""Text before the prefix of a record, in its line."""

_AGO = re.compile(
    r"(\d{1,6}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?|w|weeks?)( ago)?", re.ASCII
)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?", re.ASCII)
_WEEKDAY = re.compile(r"(?:last )?(mon|tues|wednes|thurs|fri|satur|sun)day")
_WEEKDAYS = ("mon", "tues", "wednes", "thurs", "fri", "satur", "sun")
_DAYS = {"now": 0, "today": 0, "yesterday": 1}

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class GaveUpError(Exception):
    """Raised if a query was ended before it had read everything. `found`: the newest records, from
    the files that were read completely."""

    def __init__(self, found: list[Record]) -> None:
        super().__init__("the query was ended")
        self.found = found


def parse_time(text: str) -> float:
    """Seconds since the epoch of a time as people type it: RFC 3339, a day, a time of day (the last
    one, UTC), `yesterday`, `last tuesday`, or so long ago (`2h`, `5min`, `3 days ago`). ValueError
    otherwise."""
    now, typed = time.time(), text.strip().lower()
    if match := _AGO.fullmatch(typed):
        return now - int(match[1]) * _UNITS[match[2][0]]
    midnight = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if typed in _DAYS:
        return (midnight - timedelta(days=_DAYS[typed])).timestamp() if typed != "now" else now
    if match := _WEEKDAY.fullmatch(typed):
        ago = (midnight.weekday() - _WEEKDAYS.index(match[1])) % 7 or 7  # never today
        return (midnight - timedelta(days=ago)).timestamp()
    try:
        if match := _CLOCK.fullmatch(typed):
            of_day = midnight.replace(
                hour=int(match[1]), minute=int(match[2]), second=int(match[3] or 0)
            ).timestamp()
            return of_day if of_day <= now else of_day - 86400
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"invalid time {text!r}: give 2026-11-22T10:00:00Z, 2026-11-22, 01:15, yesterday, "
            "tuesday, or how long ago, such as 5min, 2h or 3d"
        ) from None


def query(
    directory: Path,
    *,
    prefix: str | None = None,
    match: Match = "covering",
    asn: int | None = None,
    host: str | None = None,
    reason: str | None = None,
    neighbor: str | None = None,
    event: str | None = None,
    verdict: str | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int | None = None,
    should_end: Callable[[], bool] | None = None,
) -> Iterator[Record]:
    """Yield the records that meet every condition, oldest first; with `limit`, the newest so many.

    `prefix` is a prefix, or an address for its host route. `match` selects records whose prefix
    covers it, is covered by it, or equals it. `neighbor` is an address. `since` is inclusive,
    `until` is not; both are seconds since the epoch. Raises ValueError for an invalid prefix, a
    prefix with host bits set, or an invalid neighbor address; OSError if a file cannot be read.
    `should_end` is called now and then; if it returns true, GaveUpError is raised.
    """
    wanted = _Conditions(should_end)
    wanted.equal("asn", asn)
    wanted.equal("host", host)
    wanted.equal("neighbor", None if neighbor is None else _address(neighbor))
    wanted.equal("event", event)
    wanted.equal("verdict", verdict)
    if reason is not None:
        wanted.reason(reason)
    if prefix is not None:
        wanted.prefix(prefix, match)
    first = "" if since is None else timestamp(since)
    wanted.period(first, None if until is None else timestamp(until))
    keys = [key for key in list_keys(directory) if key.date >= first[:10]]
    if limit is None:
        return (record for key in keys for record in _found(directory, key, wanted))
    return iter(_newest(directory, keys, wanted, limit))


def tail(
    directory: Path,
    *,
    count: int = 10,
    follow: bool = False,
    wait: Callable[[], None] = lambda: time.sleep(FOLLOW_S),
) -> Iterator[Record]:
    """Yield the last `count` records; with `follow`, new records too, without end.

    `wait` is called while there is no new record. Raises OSError if a file cannot be read.
    """
    keys = list_keys(directory)
    seen = 0
    # At least one, even if none is shown: it marks where new records begin.
    for record in query(directory, limit=max(count, 1)):
        seen = record["seq"]
        if count:
            yield record
    if follow:
        yield from _follow(directory, keys[-1] if keys else None, seen, wait)


# Conditions --------------------------------------------------------------------------------------


class _Conditions:
    """Conditions that all have to hold. `tests` decide; the others are only necessary conditions
    that avoid decoding most records."""

    def __init__(self, should_end: Callable[[], bool] | None) -> None:
        self.needles: list[bytes] = []
        """Octets that the line must contain."""
        self.is_near: Callable[[bytes], bool] | None = None
        """Test of the line's prefix alone, cheaper than decoding the line."""
        self.pattern = b""
        """Regular expression that the line must match; empty if none is known."""
        self.indexed: dict[str, object] = {}
        """Conditions on rows of an index: SQL by value."""
        self.tests: list[Callable[[Record], bool]] = []
        self.should_end = should_end or (lambda: False)

    def equal(self, name: str, value: object) -> None:
        """Require a value of a member; None accepts any."""
        if value is None:
            return
        # Only ASCII text is written in the form of the request.
        if not isinstance(value, str) or (value.isascii() and value.isprintable()):
            self.needles.append(b'"%s":' % name.encode() + msgspec.json.encode(value))
        # No record contains text that is not UTF-8, and DuckDB refuses it: nothing equals NULL.
        self.indexed[f"{name} = ?"] = value if _is_utf_8(value) else None
        self.tests.append(lambda record: record.get(name) == value)

    def reason(self, reason: str) -> None:
        """Require a reason among the record's reasons."""
        self.needles.append(msgspec.json.encode(reason))
        self.indexed["list_contains(reasons, ?)"] = reason
        self.tests.append(lambda record: reason in record.get("reasons", ()))

    def prefix(self, text: str, match: Match) -> None:
        """Require a relation to this prefix. Raises ValueError for an invalid prefix."""
        given = Prefix.parse(text)
        self.tests.append(_prefix_test(text, match))
        self.is_near = _line_test(_space_test(given, match))
        self.pattern = prefix_pattern(given, match)
        self.indexed |= _prefix_conditions(given, match)
        exactly = f'{given}"' if match == "exact" else ""
        self.needles.append(_PREFIX + exactly.encode())

    def period(self, first: str, last: str | None) -> None:
        """Require a time from `first` (empty: no lower bound), before `last`."""
        if first:
            self.indexed['"at" >= ?::TIMESTAMP'] = first
            self.tests.append(lambda record: record["at"] >= first)
        if last is not None:
            self.indexed['"at" < ?::TIMESTAMP'] = last
            self.tests.append(lambda record: record["at"] < last)


def _is_utf_8(value: object) -> bool:
    """Return False for text with an octet from the command line that is not UTF-8."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _address(text: str) -> str:
    if "/" in text:
        raise ValueError(f"{text!r} is not an address")
    parsed = Prefix.parse(text)
    return str(parsed).partition("/")[0]


def _prefix_test(text: str, match: Match) -> Callable[[Record], bool]:
    given = Prefix.parse(text)
    if match == "exact":
        exact = str(given)
        return lambda record: record.get("prefix") == exact
    if not given.is_well_formed:
        raise ValueError(f"{text!r} is not a prefix: host bits are set, or it is too long")
    is_near = _space_test(given, match)
    return lambda record: "prefix" in record and is_near(_recorded(record["prefix"]))


def _space_test(given: Prefix, match: Match) -> Callable[[Prefix], bool]:
    if match == "exact":
        space = _recorded(str(given))
        return lambda recorded: recorded == space
    if match == "covering":
        return lambda recorded: recorded.covers(given)
    return given.covers


def _line_test(is_near: Callable[[Prefix], bool]) -> Callable[[bytes], bool]:
    """Build the same test for a line. Our lines contain the member once: inside a text, its
    quotation marks are escaped. An unreadable prefix is left to the reader of the whole line."""

    @lru_cache(maxsize=1 << 16)
    def test(text: bytes) -> bool:
        try:
            return is_near(_recorded(text.decode()))
        except ValueError:
            return True

    def test_line(line: bytes) -> bool:
        start = line.find(_PREFIX) + len(_PREFIX)
        return test(line[start : line.find(b'"', start)])

    return test_line


def _prefix_conditions(given: Prefix, match: Match) -> dict[str, object]:
    if match == "exact":
        return {"prefix = ?": str(given)}
    low, high = bounds(given)
    if match == "covering":
        return {"low <= ?": low, "high >= ?": high}
    return {"low >= ?": low, "high <= ?": high}


@lru_cache(maxsize=1 << 16)
def _recorded(text: str) -> Prefix:
    """Parse the prefix of a record. A malformed one gives the enclosing network: 10.0.0.1/24
    becomes 10.0.0.0/24."""
    prefix = Prefix.parse(text)
    return prefix.masked(min(prefix.length, BITS[prefix.family]))


# Files -------------------------------------------------------------------------------------------


class _RecordHead(msgspec.Struct):
    """Members that every reader of a record may rely on."""

    seq: int
    at: str
    event: str
    neighbor: str = ""
    host: str = ""
    asn: int = 0
    prefix: str = ""
    as_path: str = ""
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    vrps: tuple[str, ...] = ()
    data: dict[str, Any] = {}


_decode = msgspec.json.Decoder(Record).decode


def _found(directory: Path, key: FileKey, wanted: _Conditions) -> Iterator[Record]:
    needles, tests = wanted.needles, wanted.tests
    if wanted.should_end():  # the index of a file may have no matching line
        raise GaveUpError([])
    for number, line in enumerate(_lines(directory, key, wanted), 1):
        if number % LINES_BETWEEN_CHECKS == 0 and wanted.should_end():
            raise GaveUpError([])
        if not all(needle in line for needle in needles):
            continue
        if wanted.is_near is not None and not wanted.is_near(line):
            continue
        record = _record(line, key)
        if record is not None and all(test(record) for test in tests):
            yield record


def _record(line: bytes, key: FileKey) -> Record | None:
    if line.endswith(b"\n"):  # else it is being written, or was cut
        try:
            record = _decode(line)
            msgspec.convert(record, _RecordHead)
            if "prefix" in record:
                _recorded(record["prefix"])
        except ValueError:
            log.warning("%s: a line is not an audit record; see `rsfilter audit verify`", key.name)
        else:
            return record
    return None


def _lines(directory: Path, key: FileKey, wanted: _Conditions) -> Iterator[bytes]:
    if wanted.indexed and (indexed := index_path(directory, key)):
        yield from indexed_lines(indexed, wanted.indexed)
        return
    if wanted.pattern and (directory / key.name).exists():
        with suppress(FileNotFoundError):  # compressed a moment ago
            yield from lines_with(directory / key.name, wanted.pattern)
            return
    with open_log(directory, key) as file:
        try:
            yield from lines_of(file)
        except UNREADABLE as error:
            log.warning("%s: damaged, it is read in part: %s", key.name, error)


def _newest(directory: Path, keys: list[FileKey], wanted: _Conditions, limit: int) -> list[Record]:
    found: deque[Record] = deque()
    for key in reversed(keys):
        if len(found) >= limit:
            break
        try:
            newest = deque(_found(directory, key, wanted), limit - len(found))
        except GaveUpError:
            raise GaveUpError(list(found)) from None
        found.extendleft(reversed(newest))
    return list(found)


def _follow(
    directory: Path, key: FileKey | None, seen: int, wait: Callable[[], None]
) -> Iterator[Record]:
    """Yield the records after `seen`, which is in the file `key` or an older one."""
    while True:
        if key is not None:
            for record in _growing(directory, key, wait):
                if record["seq"] > seen:
                    seen = record["seq"]
                    yield record
        newer = [one for one in list_keys(directory) if key is None or one > key]
        if newer:
            key = newer[0]
        else:
            wait()


def _growing(directory: Path, key: FileKey, wait: Callable[[], None]) -> Iterator[Record]:
    """Yield the records of a file until there is a newer file. The open file survives a rename."""
    line = b""
    is_closed = False
    with open_log(directory, key) as file:
        while True:
            while piece := file.readline():
                line += piece
                if line.endswith(b"\n"):
                    record, line = _record(line, key), b""
                    if record is not None:
                        yield record
            if is_closed:
                return
            # A newer file means that this one is closed, but its last records may be unread.
            is_closed = any(one > key for one in list_keys(directory))
            if not is_closed:
                wait()
