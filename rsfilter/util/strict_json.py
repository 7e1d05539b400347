"""JSON objects that say a thing twice.

RFC 8259 section 4 leaves open what a repeated name means, and parsers keep the last one without a
word. ExaBGP builds its JSON by hand and hosts choose parts of the text, so a repeated name is
either a bug or an attempt to say one thing to one reader and another to the next.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

UNREADABLE = frozenset(("",))
"""Stands for the repeated names of a document that a second reader refuses altogether."""

_NONE: frozenset[str] = frozenset()
_encode = msgspec.json.Encoder().encode


def repeated_names(document: bytes, decoded: object, *apart: Raw | UnsetType) -> frozenset[str]:
    """The names that some object of the JSON `document` has more than once. Those inside of its
    parts `apart` need not be among them: each of these is to be looked at by itself.

    `decoded` is what msgspec made of it. A repeated name loses at least its own two quotation
    marks when `decoded` is written out again, and without escapes nothing can make up for them:
    equal counts prove that there is none, at a small part of the price of looking. Unequal counts
    prove nothing (a struct drops unknown members, for one), so then every object is looked at.
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
