"""Detection of repeated names in JSON objects.

RFC 8259 section 4 leaves the meaning of a repeated name open, and parsers silently keep the last
value. ExaBGP assembles its JSON from strings, and hosts choose parts of the text; a truth file in
which the second of two `asn` members wins is not the file that its author reviewed. A repeated name
is therefore a bug, or an attempt to have two readers see different values.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, NoReturn

import msgspec
from msgspec import UNSET, Raw, UnsetType

UNREADABLE = frozenset(("",))
"""Stands for the repeated names of a document that the second decoder refuses."""

_NONE: frozenset[str] = frozenset()
_encode = msgspec.json.Encoder().encode

_Pairs = list[tuple[str, Any]]
"""Members of an object, as they are written."""


def _repeated(pairs: _Pairs) -> tuple[str, ...]:
    """Return the names that occur more than once."""
    counts = Counter(name for name, _ in pairs)
    return tuple(name for name, count in counts.items() if count > 1)


# Lines -------------------------------------------------------------------------------------------


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
    try:
        json.loads(document, object_pairs_hook=lambda pairs: repeated.update(_repeated(pairs)))
    except (ValueError, RecursionError):
        return UNREADABLE
    return frozenset(repeated)


# Files -------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """A place in a document, as a step from the enclosing place: full paths of a million nested
    values would take gigabytes."""

    around: Place | None
    step: str | int

    def path(self) -> tuple[str | int, ...]:
        """Steps from the root."""
        steps = []
        place: Place | None = self
        while place is not None:
            steps.append(place.step)
            place = place.around
        return tuple(reversed(steps))


class _Repeating(dict[str, Any]):
    """A JSON object with a repeated member."""

    repeated: tuple[str, ...] = ()


def decode(text: str) -> tuple[Any, Iterator[Place]]:
    """Decode the text; return the document and the places of repeated members. Raises ValueError
    and RecursionError as the standard library does, and for NaN and Infinity, which are no JSON.

    The standard library decodes the text, because only its `object_pairs_hook` reveals a repeated
    member. The hook also lets other threads run, which a thread does at calls into Python alone.
    """
    any_repeats = False

    def make_object(pairs: _Pairs) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        nonlocal any_repeats
        any_repeats = True
        made = _Repeating(made)
        made.repeated = _repeated(pairs)
        return made

    document = json.loads(text, object_pairs_hook=make_object, parse_constant=_refuse_constant)
    return document, _repeats(document) if any_repeats else iter(())


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _repeats(document: object) -> Iterator[Place]:
    """Yield the places of repeated members, anywhere in the document."""
    waiting: list[tuple[Place | None, object]] = [(None, document)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, _Repeating):
            yield from (Place(place, name) for name in value.repeated)
        if isinstance(value, dict):
            inside: Iterable[tuple[str | int, object]] = value.items()
        elif isinstance(value, list):
            inside = enumerate(value)
        else:
            continue
        waiting += (
            (Place(place, step), item) for step, item in inside if isinstance(item, dict | list)
        )
