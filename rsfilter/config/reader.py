"""Reader of TOML tables into dataclasses. Reports every error at once, each with its place.

The fields of a dataclass are the keys of its table: their types define the permitted values
(msgspec checks strictly: "1" is not 1), and their defaults make keys optional. A key without a
field is an error, because a misspelt limit would limit nothing.

A field's type is one of: a type that `msgspec.convert` supports, perhaps `Annotated` with
`msgspec.Meta` and `Parsed`; `Path`; another dataclass; a tuple of those, empty only if it is
`MayBeEmpty`; a union with one member of each shape.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from difflib import get_close_matches
from enum import Enum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from rsfilter.util.text import to_json

T = TypeVar("T")

MAX_SHOWN = 60
"""Characters of a bad value that an error repeats: enough to find it, and still one line."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Conversion of a value in the file to the value of the field, inside `Annotated`."""

    source: type | tuple[type, ...]
    """Type in the file: str, int, or either."""
    parse: Callable[[Any], object]
    """Converter; raises ValueError, or `HintError` to add more than the expected form."""
    is_secret: bool = False
    """True for a value that may hold a secret: no error repeats it."""


@dataclass(frozen=True, slots=True)
class MayBeEmpty:
    """Marks a list that may be empty, inside `Annotated` of a tuple."""


class HintError(ValueError):
    """Raised with a readable description of the problem."""


class BadValueError(Exception):
    """Raised for a bad value, after the reader has recorded the problem."""


class TableReader:
    """Reader of one file. `problems` grows; each is `file: place: problem`."""

    def __init__(self, source: str, directory: Path) -> None:
        """Make a reader. `source` names the file in problems; paths are relative to `directory`."""
        self.problems: list[str] = []
        self._source = source
        self._directory = directory

    def problem(self, place: str, text: str) -> None:
        """Record one problem. `place` is a dotted path, empty for the file itself."""
        self.problems.append(": ".join(part for part in (self._source, place, text) if part))

    def read(self, cls: type[T], table: dict[str, Any], place: str = "") -> T | None:
        """Read the table as a `cls`. None if a required key is missing or bad.

        After any problem, use the result only to find more problems: bad values are replaced by
        their defaults.
        """
        shape: Any = cls  # typed as a key of the two caches below
        types, required = _field_types(shape), _required(shape)
        for key in table:
            if key not in types:
                self.problem(_join(place, key), f"unknown key{_did_you_mean(key, list(types))}")
        values = {}
        for name, type_ in types.items():
            where = _join(place, name)
            if name in table:
                try:
                    values[name] = self._value(type_, table[name], where)
                except BadValueError:
                    continue
            elif name in required:
                self.problem(where, f"missing; expected {described(type_)}")
        return cls(**values) if required <= values.keys() else None

    def _value(self, type_: Any, value: object, place: str) -> Any:
        """Convert the value to `type_`. Raises BadValueError after recording the problems."""
        declared, type_ = type_, _member(type_, value)
        if get_origin(bare := _bare(type_)) is tuple:
            return self._items(bare, declared, value, place)
        if is_dataclass(type_) and isinstance(type_, type):
            if not isinstance(value, dict):
                raise self._expected(type_, value, place)
            if (read := self.read(type_, value, place)) is None:
                raise BadValueError
            return read
        if type_ is Path:
            if not (isinstance(value, str) and value):
                raise self._expected(type_, value, place)
            if not value.isprintable():  # messages and logs name it
                raise self._expected(type_, value, place, ": it has characters that do not print")
            return self._directory / value
        return self._scalar(type_, declared, value, place)

    def _items(self, type_: Any, declared: Any, value: object, place: str) -> tuple[Any, ...]:
        if not (isinstance(value, list) and (value or MayBeEmpty() in _metadata(declared))):
            raise self._expected(declared, value, place)
        items = []
        for index, item in enumerate(value):
            with suppress(BadValueError):
                items.append(self._value(get_args(type_)[0], item, f"{place}[{index}]"))
        if len(items) < len(value):
            raise BadValueError
        return tuple(items)

    def _scalar(self, type_: Any, declared: Any, value: object, place: str) -> Any:
        parsed = next((m for m in _metadata(type_) if isinstance(m, Parsed)), None)
        try:
            if parsed is None:
                return msgspec.convert(value, type_, strict=True)
            if type(value) not in _sources(parsed):
                raise ValueError
            return parsed.parse(value)
        except HintError as error:
            raise self._expected(declared, value, place, f": {error}") from None
        except (msgspec.ValidationError, ValueError):
            raise self._expected(declared, value, place) from None

    def _expected(self, type_: Any, value: object, place: str, hint: str = "") -> BadValueError:
        got = "" if _is_secret(type_) else f", got {_shown(value)}"
        self.problem(place, f"expected {described(type_)}{got}{hint}")
        return BadValueError()


def _sources(parsed: Parsed) -> tuple[type, ...]:
    return parsed.source if isinstance(parsed.source, tuple) else (parsed.source,)


@cache
def _field_types(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


@cache
def _required(cls: Any) -> frozenset[str]:
    """Return the names of the fields without a default."""
    return frozenset(
        field.name
        for field in dataclasses.fields(cls)
        if field.default is field.default_factory is dataclasses.MISSING
    )


def _metadata(type_: Any) -> tuple[Any, ...]:
    return get_args(type_)[1:] if get_origin(type_) is Annotated else ()


def _bare(type_: Any) -> Any:
    """Return the type without its annotations."""
    return get_args(type_)[0] if get_origin(type_) is Annotated else type_


def _is_secret(type_: Any) -> bool:
    """Return whether errors must not repeat a value of this type."""
    parsed = [meta for member in _members(type_) for meta in _metadata(member)]
    return any(isinstance(meta, Parsed) and meta.is_secret for meta in parsed)


def _members(type_: Any) -> list[Any]:
    """Return the alternatives of a type, without None, because TOML has no null."""
    if get_origin(type_) in (Union, UnionType):
        return [member for member in get_args(type_) if member is not NoneType]
    return [type_]


def _member(type_: Any, value: object) -> Any:
    """Return the alternative of a union that has the value's shape, or else one that refuses it."""
    members = {_shape(member): member for member in _members(type_)}
    shape = type(value) if isinstance(value, list | dict) else None
    return members.get(shape) or members.get(None) or next(iter(members.values()))


def _shape(type_: Any) -> type | None:
    """Return list or dict if the file must have one, None otherwise."""
    if get_origin(_bare(type_)) is tuple:
        return list
    return dict if is_dataclass(type_) else None


def described(type_: Any) -> str:
    """Describe the values that the file may have for a field of this type."""
    for meta in _metadata(type_):
        if isinstance(meta, msgspec.Meta) and meta.description:
            return meta.description
    if (members := _members(type_)) != [type_]:
        return " or ".join(described(member) for member in members)
    if get_origin(type_) is tuple:
        return f"a list of at least one item, each {described(get_args(type_)[0])}"
    if get_origin(type_) is Literal:
        return _one_of(get_args(type_))
    if isinstance(type_, type) and issubclass(type_, Enum):
        return _one_of([member.value for member in type_])
    return {bool: "true or false", str: "a string", int: "an integer", Path: "a path"}.get(
        type_, "a table"
    )


def _one_of(choices: Any) -> str:
    return " or ".join(to_json(choice) for choice in choices)


def _shown(value: object) -> str:
    try:
        text = to_json(value, default=str)
    except RecursionError:
        return "tables nested too deeply"
    except ValueError:  # Python's own limit for numbers of thousands of digits
        return "a number with too many digits"
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def _join(place: str, key: str) -> str:
    name = key if key.isidentifier() and len(key) <= MAX_SHOWN else _shown(key)
    return f"{place}.{name}" if place else name


def _did_you_mean(key: str, known: list[str]) -> str:
    close = get_close_matches(key, known, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; known here: {', '.join(known)}"
