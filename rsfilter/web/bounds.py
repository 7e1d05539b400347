"""Bounds of a truth that a client sends, found out before it is parsed.

Octets are counted while they come. Here are those of the JSON inside: how many values it has, which
is what parsing costs, and how deep it nests. Both are found by passes of C over the octets, without
making one of the values.
"""

from __future__ import annotations

import re

MAX_OCTETS = 64 << 20
"""A truth of a million entries."""

MAX_VALUES = 6_000_000
"""Members of objects and items of lists: a million entries of five members each."""

MAX_NESTING = 16
"""Lists and objects inside each other. No form has more than five."""

_TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""JSON texts; the last may be cut. Possessive: no octet is matched twice."""

_NO_BRACKETS = bytes(octet for octet in range(256) if octet not in b"[]{}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


class TooLargeError(Exception):
    """Raised for a body beyond a bound; the message names the bound."""


def check_bounds(content: bytes) -> None:
    """Raise TooLargeError for JSON with more values than `MAX_VALUES`, or nested deeper than
    `MAX_NESTING`. Invalid JSON is left to its parser."""
    bare = _TEXTS.sub(b"", content)
    values = bare.count(b",") + bare.count(b"{") + bare.count(b"[")
    if values > MAX_VALUES:
        raise TooLargeError(
            f"this truth has {values:,} JSON values; here it may have {MAX_VALUES:,}: "
            "use `rsfilter impact --snapshot`, which judges on your own machine"
        )
    brackets = bare.translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(MAX_NESTING):
        brackets = brackets.replace(b"[]", b"")
    if brackets and brackets.count(b"[") == brackets.count(b"]"):
        raise TooLargeError(f"this JSON nests deeper than {MAX_NESTING} levels")
