"""Detection of repeated names in JSON objects.

RFC 8259 section 4 leaves the meaning of a repeated name open, and parsers silently keep the last
value. ExaBGP assembles its JSON from strings, and hosts choose parts of the text. A repeated name
is therefore a bug, or an attempt to have two readers see different values.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

UNREADABLE = frozenset(("",))
"""Stands for the repeated names of a document that the second decoder refuses."""

_NONE: frozenset[str] = frozenset()
_encode = msgspec.json.Encoder().encode


def repeated_names(document: bytes, decoded: object, *apart: Raw | UnsetType) -> frozenset[str]:
    """Return the names that occur more than once in an object of the JSON `document`. Names inside
    its parts `apart` may be missing from the result: check each part separately.

    `decoded` is the document as msgspec decoded it. A repeated name loses at least its own two
    quotation marks when `decoded` is encoded again, and in a document without escapes nothing adds
    quotation marks. Equal counts therefore prove that no name is repeated, at a small part of the
    cost of a full check. Unequal counts prove nothing (a struct drops unknown members, for
    example), so every object is then checked.
    """
    if b"\\" not in document and document.count(b'"') == _encode(decoded).count(b'"'):
        return _NONE
    for part in apart:
        if part is not UNSET:
            document = document.replace(bytes(part), b"null", 1)
    repeated: set[str] = set()

    def note(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            (repeated if name in seen else seen).add(name)

    try:
        json.loads(document, object_pairs_hook=note)
    except (ValueError, RecursionError):
        return UNREADABLE
    return frozenset(repeated)
