"""The keys of `rsfilter.toml` as tables for docs/configuration.md.

What a key means, and an example of it, is in docs/rsfilter.example.toml alone; its values, and
its default, in rsfilter.config.schema alone. Here they meet, and `contradictions` lists where they
do not agree.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from msgspec import Meta

from rsfilter.config.reader import described
from rsfilter.config.schema import FileTables
from rsfilter.util.text import to_json

HEADER = re.compile(r"(?:# ?)?\[+(?P<section>[a-z_.]+)\]+")
ENTRY = re.compile(r"(?P<hash># ?)?(?P<key>[a-z0-9_]+) = (?P<value>.+?) +# (?P<text>.+)")
MORE = re.compile(r" {40}# (?P<text>.+)")

LIMITS = re.compile(r", (\d+) to (\d+)")
NO_DEFAULT = re.compile(r"[.;] Default: none$|^Default: none$")


@dataclass
class Example:
    """A key as the example has it."""

    key: str
    value: object
    is_default: bool
    """Commented out, as `#key`: what stands there is what is in force without it."""
    text: str


@dataclass(frozen=True)
class Field:
    """A key as the code has it."""

    type: Any
    default: object
    """dataclasses.MISSING: the key is needed."""


def examples(toml: str) -> dict[str, list[Example]]:
    """Keys by section, in the order of the file."""
    sections: dict[str, list[Example]] = {}
    keys: list[Example] = []
    for line in toml.splitlines():
        if match := HEADER.match(line):
            keys = sections.setdefault(match["section"], [])
        elif match := ENTRY.fullmatch(line):
            value = tomllib.loads(f"value = {match['value']}")["value"]
            keys.append(Example(match["key"], value, match["hash"] == "#", match["text"]))
        elif match := MORE.fullmatch(line):
            keys[-1].text += " " + match["text"]
    return sections


def fields(table: Any = FileTables, section: str = "") -> dict[str, dict[str, Field]]:
    """Keys by section; a table that is the value of a key is a section of its own."""
    types = get_type_hints(table, include_extras=True)
    defaults = {field.name: field.default for field in dataclasses.fields(table)}
    found = {section: {name: Field(types[name], defaults[name]) for name in types}}
    for name, type_ in types.items():
        if inner := table_in(type_):
            found |= fields(inner, f"{section}.{name}".lstrip("."))
    return found


def table_in(type_: Any) -> type | None:
    """The dataclass that is among the alternatives of a type, or in its tuple."""
    if get_origin(type_) is Annotated:
        return None  # read from one value
    if dataclasses.is_dataclass(type_) and isinstance(type_, type):
        return type_
    return next((table for arg in get_args(type_) if (table := table_in(arg))), None)


def spelled(value: object) -> str:
    """Format a value as TOML."""
    if type(value) in (tuple, list):  # and not a NamedTuple, which has a spelling of its own
        return f"[{', '.join(map(spelled, value))}]"
    if isinstance(value, Enum):
        return spelled(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else to_json(str(value))


def contradictions(toml: str) -> Iterator[str]:
    """Differences between the example and the code."""
    shown, known = examples(toml), fields()
    known.pop("")
    for section in shown.keys() ^ known.keys():
        yield f"[{section}] is only in one of the two"
    for section in shown.keys() & known.keys():
        keys = [example.key for example in shown[section]]
        if keys != list(known[section]):
            yield f"[{section}] has other keys, or in another order: {keys}"
        for example in shown[section]:
            if field := known[section].get(example.key):
                yield from (f"{section}.{example.key}: {text}" for text in wrong(example, field))


def wrong(example: Example, field: Field) -> Iterator[str]:
    """Content of an example that the code lacks."""
    needed, none = field.default is dataclasses.MISSING, field.default is None
    if bool(NO_DEFAULT.search(example.text)) != none:
        yield f"the default is {field.default}"
    if example.is_default and (
        needed or (not none and spelled(example.value) != spelled(field.default))
    ):
        yield f"the default is {field.default}"
    limits = {
        (str(meta.ge), str(meta.le)) for meta in get_args(field.type)[1:] if isinstance(meta, Meta)
    }
    if not set(LIMITS.findall(example.text)) <= limits:
        yield f"the limits are {limits}"


def keys(toml: str, section: str) -> str:
    """The Markdown table of a section."""
    known = fields()[section]
    rows = [row(example, known[example.key]) for example in examples(toml)[section]]
    head = "| key | value | default | example | meaning |\n|---|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def row(example: Example, field: Field) -> tuple[str, ...]:
    if field.default is dataclasses.MISSING:
        default = "needed"
    else:
        default = "none" if field.default is None else f"`{spelled(field.default)}`"
    value = f"`{spelled(example.value)}`"
    text = LIMITS.sub("", NO_DEFAULT.sub("", example.text))
    return (
        f"`{example.key}`",
        described(field.type),
        default,
        value if value != default else "",
        text,
    )
