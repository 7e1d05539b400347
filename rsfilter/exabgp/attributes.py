"""The "attribute" object of an ExaBGP update line, in every dialect -> `Attributes`.

ExaBGP has parsed the path attributes already and prints the result. A malformed attribute is never
an error here: `Attributes.malformed` names it, and the route is judged by that. Attributes that
rsfilter does not keep are not parsed.

The dialects differ in the AS path: 5.0 prints an object of segments, keyed by position, and calls
confederation segments `as-sequence` too; for 4.2's flat lists see `dialect_42`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from rsfilter.exabgp.dialect_42 import FLAT_SEGMENTS
from rsfilter.routing.model import (
    TREAT_AS_WITHDRAW,
    Announcement,
    AsPath,
    Attributes,
    Segment,
    SegmentType,
)
from rsfilter.util.strict_json import repeated_names

DISCARD = "discard"
"""Prefix of `error` if ExaBGP left out attributes that it could not parse."""

MAX_ERROR = 100
"""Characters of `error` that are kept."""

MAX_COMMUNITY_OCTETS = 3840
"""Most octets of communities, of all three kinds, that a route may carry.

More cannot be passed on: a 4096-octet UPDATE (RFC 4271 section 4.1) has about this left beside
the other attributes and one IPv6 prefix, and ExaBGP drops what does not fit while it answers
`done`. Only an extended message (RFC 8654) can bring more; the communities are then left out and
the attributes are malformed.
"""

MAX_PATH_ASNS = 1024
"""Most ASNs of an AS path that are kept.

A 4096-octet UPDATE holds fewer; an extended message could hold 16,000, and every route would keep
them. What is past this is cut, and the attributes are malformed.
"""

_CACHED_OCTETS = 512
"""Longest "attribute" text that is remembered: plain attributes take about 100, so hosts that
vary long ones cannot fill memory (`_CACHED_SETS` times a few kilobytes at most)."""

_CACHED_SETS = 1 << 14
"""Attribute sets that are remembered: two for each of the 8,000 hosts that one instance is sized
for. Routes with the same attributes then share one object."""

_MAX_ASN = _MAX_U32 = (1 << 32) - 1
_MAX_U16 = (1 << 16) - 1
_MAX_U64 = (1 << 64) - 1

_ORIGINS = ("igp", "egp", "incomplete")

_ELEMENTS = {
    "as-sequence": SegmentType.SEQUENCE,
    "as-set": SegmentType.SET,
    "as-confed-sequence": SegmentType.CONFED_SEQUENCE,
    "as-confed-set": SegmentType.CONFED_SET,
}

_HARMLESS_REPEATS = frozenset(("error", "aggregator"))
"""Names that ExaBGP itself prints twice: `error` when it discards something and treats the rest as
withdrawn, `aggregator` for AGGREGATOR and AS4_AGGREGATOR."""


def parse(text: bytes) -> Attributes:
    """Parse the JSON object `text`, the value of "attribute". Never raises."""
    return _parse_and_remember(text) if len(text) <= _CACHED_OCTETS else _parse(text)


def announcement(text: bytes) -> Callable[..., Announcement]:
    """Return how to make the announcements of an UPDATE with these attributes. A host that repeats
    them in many UPDATEs has one object for all, as long as they are remembered."""
    return _remembered if len(text) <= _CACHED_OCTETS else Announcement


_remembered = lru_cache(maxsize=_CACHED_SETS)(Announcement)


def _parse(text: bytes) -> Attributes:
    try:
        fields = msgspec.json.decode(text, type=dict[str, Any])
        repeated = repeated_names(text, fields)
    except (msgspec.DecodeError, RecursionError):
        return Attributes(malformed="attributes unreadable")
    if "error" in repeated:
        return _collect(fields, [])._replace(malformed=TREAT_AS_WITHDRAW)
    if (error := str(fields.get("error"))).startswith(TREAT_AS_WITHDRAW):
        return _collect(fields, [])._replace(malformed=error[:MAX_ERROR])
    problems = [f"{name[:40]} listed twice" for name in sorted(repeated - _HARMLESS_REPEATS)]
    return _collect(fields, problems)


_parse_and_remember = lru_cache(maxsize=_CACHED_SETS)(_parse)


def _collect(fields: dict[str, Any], problems: list[str]) -> Attributes:
    """Collect the attributes of `fields`; problems are added to `problems` and returned in the
    result."""
    if not str(fields.get("error", DISCARD)).startswith(DISCARD):
        problems.append("error not understood")
    origin = fields.get("origin")
    if origin not in _ORIGINS:
        problems.append("origin missing" if origin is None else "origin invalid")
        origin = "incomplete"
    as_path = _as_path(fields, problems)
    med = fields.get("med")
    if med is not None and not _is_uint(med, _MAX_U32):
        problems.append("med invalid")
        med = None
    communities = _list(fields, "community", _pair, problems)
    large = _list(fields, "large-community", _triple, problems)
    extended = _list(fields, "extended-community", _extended, problems)
    if 4 * len(communities) + 12 * len(large) + 8 * len(extended) > MAX_COMMUNITY_OCTETS:
        problems.append("communities too many")
        communities = large = extended = ()
    return Attributes(
        as_path=as_path,
        origin=origin,
        med=med,
        communities=communities,
        large_communities=large,
        extended_communities=extended,
        malformed=", ".join(problems),
    )


def _as_path(fields: dict[str, Any], problems: list[str]) -> AsPath:
    try:
        value = fields.get("as-path")
        segments = _numbered_segments(value) if isinstance(value, dict) else _flat_segments(fields)
    except (ValueError, KeyError, TypeError):
        problems.append("as-path invalid")
        return AsPath(())
    path = AsPath(tuple(segments))
    if path.length > MAX_PATH_ASNS:
        problems.append("as-path too long")
        return path.cut(MAX_PATH_ASNS)
    return path


def _numbered_segments(value: dict[str, Any]) -> list[Segment]:
    """5.0: {"0": {"element": "as-sequence", "value": [65001]}, "1": …}."""
    return [
        Segment(_ELEMENTS.get(item["element"], SegmentType.UNKNOWN), _asns(item["value"]))
        for _, item in sorted(value.items(), key=lambda pair: int(pair[0]))
    ]


def _flat_segments(fields: dict[str, Any]) -> list[Segment]:
    """4.2's lists."""
    return [
        Segment(kind, asns)
        for name, kind in FLAT_SEGMENTS
        if name in fields and (asns := _asns(fields[name]))
    ]


def _asns(value: Any) -> tuple[int, ...]:
    if type(value) is not list or not all(_is_uint(asn, _MAX_ASN) for asn in value):
        raise ValueError("not a list of ASNs")
    return tuple(value)


def _list(
    fields: dict[str, Any], name: str, read: Callable[[Any], Any], problems: list[str]
) -> tuple[Any, ...]:
    """Apply `read` to each item of the list `name`. If one is malformed, record that and return an
    empty tuple."""
    items = fields.get(name, [])
    try:
        if type(items) is not list:
            raise ValueError("not a list")
        return tuple(map(read, items))
    except (ValueError, KeyError, TypeError):
        problems.append(f"{name} invalid")
        return ()


def _pair(item: Any) -> tuple[int, int]:
    high, low = item
    if not (_is_uint(high, _MAX_U16) and _is_uint(low, _MAX_U16)):
        raise ValueError("not two 16-bit numbers")
    return high, low


def _triple(item: Any) -> tuple[int, int, int]:
    administrator, first, second = item
    if not all(_is_uint(part, _MAX_U32) for part in (administrator, first, second)):
        raise ValueError("not three 32-bit numbers")
    return administrator, first, second


def _extended(item: Any) -> int:
    value: int = item["value"]
    if not _is_uint(value, _MAX_U64):
        raise ValueError("not a 64-bit number")
    return value


def _is_uint(value: Any, most: int) -> bool:
    """An integer of JSON (never a boolean, which Python counts as one) from 0 to `most`."""
    return type(value) is int and 0 <= value <= most
