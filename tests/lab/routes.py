"""Routes as tests speak of them, and expectations about a table of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from lab.waiting import DEADLINE_S, eventually

Community = tuple[int, ...]
"""(65535, 0), or three numbers for a large community."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a host sends for a prefix. The default is an honest route."""

    as_path: Sequence[int] | None = None
    """None: the host's own ASN, once."""
    next_hop: str | None = None
    """None: the host's own address of that family."""
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
    """Who sent it: a protocol's name or an address."""
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


class Expectations:
    """A router's table in sentences that wait until they are true.

    `read` gets the table as it is now, `evidence` what a failure should show.
    """

    def __init__(self, name: str, read: Callable[[], Table], evidence: Callable[[], str]) -> None:
        self._name = name
        self._read = read
        self._evidence = evidence

    def has(
        self,
        *prefixes: str,
        paths: int | None = None,
        next_hop: str | None = None,
        as_path: Sequence[int] | None = None,
        med: int | None = None,
        communities: Iterable[Community] | None = None,
        large_communities: Iterable[Community] | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Each prefix has a path with all that is named, and exactly so many `paths`."""
        wanted: dict[str, object] = {
            "next_hop": next_hop,
            "as_path": None if as_path is None else tuple(as_path),
            "med": med,
            "communities": None if communities is None else frozenset(communities),
            "large_communities": (
                None if large_communities is None else frozenset(large_communities)
            ),
        }
        wanted = {key: value for key, value in wanted.items() if value is not None}

        def probe() -> str | None:
            table = self._read()
            for prefix in prefixes:
                found = table.get(prefix, [])
                if paths is not None and len(found) != paths:
                    return f"{self._name} has {len(found)} paths of {prefix}, not {paths}"
                if not any(_matches(path, wanted) for path in found):
                    return f"{self._name} has no path of {prefix} with {_short(wanted)}"
            return None

        eventually(probe, self._evidence, deadline_s)

    def lacks(self, *prefixes: str, deadline_s: float = DEADLINE_S) -> None:
        """None of the prefixes is there (any more)."""

        def probe() -> str | None:
            table = self._read()
            present = [prefix for prefix in prefixes if prefix in table]
            return f"{self._name} still has {present}" if present else None

        eventually(probe, self._evidence, deadline_s)

    def has_exactly(self, *prefixes: str, deadline_s: float = DEADLINE_S) -> None:
        """These prefixes are there, and no others."""

        def probe() -> str | None:
            found = set(self._read())
            if found == set(prefixes):
                return None
            return (
                f"{self._name} misses {sorted(set(prefixes) - found)}"
                f" and has {sorted(found - set(prefixes))} beside"
            )

        eventually(probe, self._evidence, deadline_s)


def _matches(path: Path, wanted: dict[str, object]) -> bool:
    return all(getattr(path, name) == value for name, value in wanted.items())


def table_text(table: Table) -> str:
    """A table, indented, one path a line."""
    return "\n".join(
        f"    {'*' if path.best else ' '} {path.prefix} via {path.next_hop}"
        f" path {_short(path.as_path)} from {path.neighbor}"
        for paths in table.values()
        for path in paths
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"
