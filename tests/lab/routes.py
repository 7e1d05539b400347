"""Routes as tests speak of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

Community = tuple[int, ...]
"""(65535, 0), or three numbers for a large community."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Path that a host announces for a prefix. The default is an honest route."""

    as_path: Sequence[int] | None = None
    """None if it is the host's own ASN, once."""
    next_hop: str | None = None
    """None if it is the host's own address of that family."""
    med: int | None = None
    communities: Sequence[Community] = ()
    large_communities: Sequence[Community] = ()
    clauses: Sequence[str] = ()
    """Further statements in the language of the daemon."""


@dataclass(frozen=True, slots=True)
class Path:
    """One path of a prefix in a router's table."""

    prefix: str
    neighbor: str
    """Sender: a protocol's name or an address."""
    next_hop: str
    as_path: tuple[int | str, ...]
    """ASNs; a segment that is no AS_SEQUENCE is its text: "{1 2}", "(65006)"."""
    best: bool
    med: int | None = None
    communities: frozenset[Community] = field(default=frozenset())
    large_communities: frozenset[Community] = field(default=frozenset())
    path_id: int | None = None
    """The ADD-PATH identifier, where the daemon shows it."""


_SEGMENTS = re.compile(r"\d+|\{[^}]*\}|\([^)]*\)|\[[^]]*\]")


def as_path_of(text: str) -> tuple[int | str, ...]:
    """`Path.as_path` of the way in which BIRD and FRR write one."""
    return tuple(int(word) if word.isdecimal() else word for word in _SEGMENTS.findall(text))


Table = dict[str, list[Path]]
"""Paths by prefix."""


def table_text(table: Table) -> str:
    """A table, indented, one path a line."""
    return "\n".join(
        f"    {'*' if path.best else ' '} {path.prefix} via {path.next_hop}"
        f" path {short(path.as_path)} from {path.neighbor}"
        for paths in table.values()
        for path in paths
    )


def short(value: object) -> str:
    """The value as text that fits on a screen."""
    text = str(value)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"
