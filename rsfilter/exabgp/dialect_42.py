"""ExaBGP 4.2's dialect, as far as it differs from 5.0's: recordings of it stay readable.

4.2 prints no JSON where it should: members of a route refresh are quoted twice, and the text of a
NOTIFICATION is raw. An AS path is one flat list for each type of segment, so the borders and the
order of segments are lost. Its words differ in two places. Everything of that is here.
"""

from __future__ import annotations

import re

from rsfilter.routing.model import SegmentType

API = "4"
"""The first number of the version in its JSON lines: "4.0.1"."""

SERIES = "4.2"

REPAIRED_KINDS = frozenset({"state", "refresh"})
"""Kinds of lines that `repaired` makes JSON of."""

DOWN_REASON = r"(?:peer reset, message \()?"
"""Stands before the reason of a `down`; the peer is quoted after it. A pattern."""

FLAT_SEGMENTS = (
    ("confederation-path", SegmentType.CONFED_SEQUENCE),
    ("confederation-set", SegmentType.CONFED_SET),
    ("as-path", SegmentType.SEQUENCE),
    ("as-set", SegmentType.SET),
)
"""Members of "attribute" with a list of ASNs each, empty or absent when there is no such segment.
In the order in which RFC 5065 section 4 puts segments on a path: a confederation's first."""

SPOILER = b"#\n"
"""First output, because 4.2 joins the half line of a dead process to the first line of the next."""

_DOUBLED_QUOTES = re.compile(rb'("(?:afi|safi|subtype)": )""([a-z0-9-]+)""')

_CONTROL = re.compile(rb"[\x00-\x1f]")
"""JSON has these only escaped."""


def repaired(line: bytes) -> bytes:
    """Mend the known faults of a line that is not JSON."""
    return _CONTROL.sub(b" ", _DOUBLED_QUOTES.sub(rb'\1"\2"', line))


def route(text: str) -> str:
    """Return a line of `show adj-rib out` as 5.0 prints it."""
    return text.removeprefix("neighbor ")
