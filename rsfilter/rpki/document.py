"""Strict JSON documents; every problem carries its place (RFC 8259, RFC 6901).

Owns the parts shared by all file formats: bytes to JSON values, the readers of ASNs and prefixes,
and problems that name file and JSON pointer. Knows no single format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn, TypeVar

from rsfilter.routing.model import BITS, Prefix
from rsfilter.rpki.vrp_tables import MAX_ASN
from rsfilter.util.strict_json import decode

MAX_PROBLEMS = 100
"""Problems kept for a file; the rest is counted. A faulty template is wrong in every entry, and the
first screens show why."""

MAX_FILE_BYTES = 512 << 20
"""The whole RPKI in 2026 is about 70 MB of JSON; several times that is a mistake or an attack."""

TOO_LARGE = f"is larger than {MAX_FILE_BYTES >> 20} MiB; check the program that writes it"
"""The problem of a file beyond `MAX_FILE_BYTES`."""

MAX_QUOTED = 60
"""Characters of a file's text that a message quotes."""

MAX_POINTER = 200
"""Characters of a JSON pointer in a message: member names come from the file."""

Path = tuple[str | int, ...]
"""Steps from the document's root to a value."""

Json = Any
"""A decoded value: dict, list, str, int, float, bool or None."""

MAX_DIGITS = 3
"""Digits of a prefix length: 128 has three."""

T = TypeVar("T")


class Problem(NamedTuple):
    """One problem of a file, and its place."""

    where: str
    """The file, as the user named it."""
    pointer: str
    """JSON pointer (RFC 6901) to the value, or to the missing member; "" is the whole document."""
    message: str
    """The problem and its remedy."""

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


class TruthError(Exception):
    """An unusable file. Carries at most `MAX_PROBLEMS` problems, and one more that counts the rest.
    Its text has one line per problem."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class Problems:
    """The problems of one file, as they are found."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._found: list[Problem] = []
        self._omitted = 0

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, path: Path | Callable[[], Path], message: str | Callable[[], str]) -> None:
        """Record a problem with the value at `path`. Arguments given as functions are called only
        for problems that are kept, because there may be millions."""
        if len(self._found) < MAX_PROBLEMS:
            path = path() if callable(path) else path
            message = message() if callable(message) else message
            self._found.append(Problem(self.where, pointer(path), message))
        else:
            self._omitted += 1

    def all(self) -> tuple[Problem, ...]:
        """The problems in the order found; the last one counts those beyond the limit."""
        if not self._omitted:
            return tuple(self._found)
        return (*self._found, Problem(self.where, "", f"and {self._omitted} more"))

    def raise_if_any(self) -> None:
        """Raise TruthError if there is a problem."""
        if self._found:
            raise TruthError(self.all())

    def fail(self, message: str) -> NoReturn:
        """Raise TruthError for the file as a whole."""
        self.add((), message)
        raise TruthError(self.all())


def pointer(path: Path) -> str:
    """Format a path as RFC 6901 text, shortened if long and without line breaks."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return printable("".join(f"/{step}" for step in steps), MAX_POINTER)


def printable(text: str, limit: int) -> str:
    """Return text from a file made safe for logs and terminals: one line, at most `limit`
    characters."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(char if char.isprintable() else "?" for char in cut)


def show(value: Json) -> str:
    """Format a value for a message."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return f'"{printable(value, MAX_QUOTED)}"'
        case _:
            return printable(json.dumps(value), MAX_QUOTED)


# Bytes to JSON values ----------------------------------------------------------------------------


def read_json(data: bytes, problems: Problems) -> dict[str, Json]:
    """Decode a JSON object. Raises TruthError if `data` is anything else, or repeats a member."""
    if len(data) > MAX_FILE_BYTES:
        problems.fail(TOO_LARGE)
    try:
        document, repeats = decode(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        problems.fail(f"is not UTF-8 at byte {error.start}; save it as UTF-8")
    except json.JSONDecodeError as error:
        problems.fail(_syntax(error))
    except RecursionError:
        problems.fail("is not a truth file: its JSON is nested far too deep")
    except ValueError as error:  # a NaN, or a number of thousands of digits
        problems.fail(f"is not usable JSON: {printable(str(error), MAX_QUOTED)}")
    for place in repeats:
        problems.add(place.path, "is given more than once in one object; remove all but one")
    problems.raise_if_any()
    if not isinstance(document, dict):
        problems.fail(f"must be one JSON object, not {show(document)}")
    return document


def _syntax(error: json.JSONDecodeError) -> str:
    if not error.doc.strip():
        return "is empty; write the whole file, then rename it into place"
    at = f"line {error.lineno}, column {error.colno}: {error.msg}"
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
        return f"ends too early, it looks truncated ({at})"
    return f"is not JSON ({at})"


# Readers: each takes a JSON value and returns ours, or raises ValueError with a readable message -

MISSING: Json = object()
"""Value passed to a reader if the member is missing."""

_ASN = re.compile(r"(?:AS)?([0-9]{1,10})", re.IGNORECASE | re.ASCII)


def member(
    entry: dict[str, Json], name: str, read: Callable[[Json], T], path: Path, problems: Problems
) -> T | None:
    """Apply `read` to a member of the object at `path`. None if that was recorded as a problem."""
    try:
        return read(entry.get(name, MISSING))
    except ValueError as error:
        problems.add((*path, name), str(error))
        return None


def objects(value: Json, path: Path, problems: Problems) -> Iterator[tuple[Path, dict[str, Json]]]:
    """Yield the objects of a list at `path`, each with its path; anything else is a problem."""
    for index, item in enumerate(taken_out(value, path, problems)):
        if is_object(item, (*path, index), problems):
            yield (*path, index), item


def taken_out(value: Json, path: Path, problems: Problems) -> Iterator[Json]:
    """Yield the items of a list at `path`; anything but a list is a problem.

    Removes the items from the list: freeing a million at once would stop every thread for 0.3 s.
    """
    if not isinstance(value, list):
        problems.add(path, f"must be a list, not {show(value)}")
        return
    for index, item in enumerate(value):
        value[index] = None
        yield item


def is_object(item: Json, path: Path, problems: Problems) -> bool:
    """Return whether the item at `path` is an object; anything else is recorded as a problem."""
    if isinstance(item, dict):
        return True
    problems.add(path, f"must be an object, not {show(item)}")
    return False


def refuse_unknown(
    entry: dict[str, Json], path: Path, known: tuple[str, ...], problems: Problems
) -> None:
    """Record a problem for each member of the object at `path` that is not `known`."""
    for name in entry:
        if name not in known:
            problems.add((*path, name), f"is not known here; known are {', '.join(known)}")


def free(items: list[Any] | dict[Any, Any]) -> None:
    """Empty a container piece by piece: freeing a million objects at once would stop every thread
    for 0.3 s."""
    while items:
        if isinstance(items, dict):
            items.popitem()
        else:
            items.pop()


def read_integer(value: Json) -> int:
    """Read a JSON integer. 1.0, true and "1" are refused."""
    if type(value) is int:
        return value
    raise ValueError(_unlike(value, "an integer"))


def read_number_asn(value: Json) -> int:
    """Read an ASN given as a number, the only notation of SLURM (RFC 8416 section 3.3)."""
    if type(value) is int:
        return _asn(value)
    raise ValueError(_unlike(value, "an AS number such as 65005, without quotes"))


def read_asn(value: Json) -> int:
    """Read an ASN given as a number or as text: 65005, "AS65005", "65005"."""
    if type(value) is int:
        return _asn(value)
    found = _ASN.fullmatch(value) if type(value) is str else None
    if found is None:
        raise ValueError(_unlike(value, 'an AS number such as 65005 or "AS65005"'))
    return _asn(int(found[1]))


def _asn(asn: int) -> int:
    if 0 <= asn <= MAX_ASN:
        return asn
    raise ValueError(f"must be an AS number from 0 to {MAX_ASN}, not {show(asn)}")


def read_prefix(value: Json) -> Prefix:
    """Read a prefix `address/length` without host bits."""
    if type(value) is str:
        try:
            prefix = Prefix.parse(value)
        except ValueError:
            pass
        else:
            if "/" in value and prefix.is_well_formed:
                return prefix
    raise ValueError(_unlike_prefix(value))


def _unlike_prefix(value: Json) -> str:
    """Return why a value is no prefix without host bits, and what to write instead."""
    address, slash, _ = value.partition("/") if type(value) is str else ("", "", "")
    try:
        host = Prefix.parse(address)
    except ValueError:
        return _unlike(value, 'a prefix such as "203.0.113.0/28"')
    bits = host.length
    if not slash:
        return f'must be a prefix with its length, such as "{address}/{bits}"'
    try:
        length = Prefix.parse(value).length
    except ValueError:
        return f"must have its length in digits after the slash, not {show(value)}"
    if length > bits:
        return f"has length {length}, and IPv{host.family} ends at {bits}"
    return f"has host bits set: write {host.masked(length)}, or {address}/{bits} for one address"


def read_max_length(value: Json, prefix: Prefix, default: int) -> int:
    """Read the maximum length for `prefix`; `default` if the member is missing."""
    if value is MISSING:
        return default
    longest = BITS[prefix.family]
    length = read_integer(value)
    if prefix.length <= length <= longest:
        return length
    raise ValueError(f"must be from {prefix.length} to {longest} for {prefix}, not {show(length)}")


def _unlike(value: Json, wanted: str) -> str:
    if value is MISSING:
        return f"is missing: give {wanted}"
    return f"must be {wanted}, not {show(value)}"
