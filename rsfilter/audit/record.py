"""The audit record: one event as the members of one JSON object (RFC 8259).

It is ASCII without control characters, whatever names and texts a host chose. `chain` makes a line
of it. docs/audit.md explains every member. Pure: no clock, no file.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from rsfilter.audit.chain import MAX_LINE
from rsfilter.audit.members import (
    EVENTS,
    MAX_TEXT,
    MEMBERS,
    Auditable,
    ServiceEvent,
    json_safe,
    members_after,
    members_before,
    path_text,
)
from rsfilter.routing.effects import VerdictChange
from rsfilter.routing.model import VerdictKind

__all__ = [
    "EVENTS",
    "MAX_TEXT",
    "Auditable",
    "Bodies",
    "ServiceEvent",
    "body",
    "path_text",
    "timestamp",
]

_MAX_BODY = MAX_LINE - 512
"""Octets of a body; the chain adds fewer than the rest."""

_MAX_PLACE = 128
"""Upper bound of the octets of a prefix and a path id, with their names."""

END_OF_TIME = 253402300799.0
"""9999-12-31T23:59:59Z: RFC 3339 has four digits for the year."""


_ACCEPTED = VerdictKind.ACCEPTED  # a lookup in the class is slow in Python 3.11


def timestamp(at: float) -> str:
    """Format seconds since the epoch as RFC 3339 in UTC, with microseconds and constant width.

    A time out of range (a recording can contain any number) becomes the nearest one in range.
    """
    if not 0.0 <= at <= END_OF_TIME:
        at = END_OF_TIME if at > 0 and not math.isnan(at) else 0.0
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def body(event: Auditable) -> str:
    """Encode an event as the members of its JSON object, without braces: the part that does not
    depend on the place in the chain. ASCII."""
    members = MEMBERS[type(event)](event)
    encoded = _ascii(members)
    if len(encoded) > _MAX_BODY:
        encoded = _ascii({"event": members["event"], "data": {"too_large": len(encoded)}})
    return encoded[1:-1]


class _Text(NamedTuple):
    """Text shared by routes that differ only in prefix and path id."""

    of: VerdictChange
    """A change that it was rendered for."""
    before: str
    after: str
    """Members before and after the text of the prefix and the number of the path id."""
    is_long: bool
    """True if they may not fit into a record."""


class Bodies:
    """`body` for many events in a row. What routes of one announcement with one verdict share is
    rendered once."""

    def __init__(self) -> None:
        self._last: dict[bool, _Text] = {}
        """Last text for accepted routes, and for others: one UPDATE may alternate between them."""

    def __call__(self, event: Auditable) -> str:
        """Encode as `body` does."""
        if not isinstance(event, VerdictChange):
            return body(event)
        verdict = event.verdict
        is_accepted = verdict is not None and verdict.kind is _ACCEPTED
        text = self._last.get(is_accepted)
        if text is None or not _is_alike(event, text.of):
            text = self._last[is_accepted] = _text_of(event)
        if text.is_long:
            return body(event)
        key = event.route.key
        return f'{text.before}{key.prefix!s}","path_id":{key.path_id}{text.after}'


def _is_alike(change: VerdictChange, other: VerdictChange) -> bool:
    """Return whether two changes differ in prefix and path id at most. Mostly they share the
    rest."""
    return (
        change.route.announcement is other.route.announcement
        and (change.verdict is other.verdict or change.verdict == other.verdict)
        and change.was is other.was
        and change.cause == other.cause
        and change.host == other.host
        and change.provenance is other.provenance
        and change.stale is other.stale
        and change.changes == other.changes
    )


def _text_of(change: VerdictChange) -> _Text:
    before, after = (_ascii(part(change))[1:-1] for part in (members_before, members_after))
    is_long = len(before) + len(after) > _MAX_BODY - _MAX_PLACE
    return _Text(change, f'{before},"prefix":"', f",{after}", is_long)


_encode = msgspec.json.Encoder().encode


def _ascii(members: dict[str, Any]) -> str:
    try:
        encoded = _encode(members).decode("ascii")
    except UnicodeError:  # a character beyond ASCII, or a lone surrogate, which is none
        encoded = json.dumps(json_safe(members), separators=(",", ":"))
    # JSON does not require DEL to be escaped, but a terminal may act on it.
    return encoded.replace("\x7f", "\\u007f")
