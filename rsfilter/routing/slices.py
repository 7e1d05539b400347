"""The table in slices: routes in lists of a bounded size, and when to pause between them.

Each list is made when it is requested, so that it has the routes of that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rsfilter.routing.adj_rib_in import AdjRibIn, Entry
from rsfilter.routing.events import DataReplaced
from rsfilter.routing.model import Prefix

SLICE = 1000
"""Routes that are judged, or verdicts that are set, between pauses: some 10 ms."""

T = TypeVar("T")


class Pace:
    """Pace of a task: decides on pauses."""

    def __init__(self) -> None:
        self._work = 0

    def is_pause_due(self, work: int) -> bool:
        """Add `work`, in routes; return whether the slice is full. Then the next begins."""
        self._work += work
        if self._work < SLICE:
            return False
        self._work = 0
        return True


def is_long(items: list[T]) -> bool:
    """Return whether these are more than a slice."""
    return len(items) > SLICE


def concerned(rib_in: AdjRibIn, event: DataReplaced) -> Iterator[list[Entry]]:
    """Yield exactly the routes whose verdict can differ under the new data, each once, in lists."""
    if event.prefixes is None:
        yield from entries_of(rib_in, rib_in.prefixes())
        return
    by_host = rib_in.of_hosts(event.asns, event.neighbors)
    for some in slices(by_host):
        yield [entry for entry in some if rib_in.has(entry)]
    seen = {entry.number for entry in by_host}
    for prefix in _disjoint(event.prefixes):
        for entries in entries_of(rib_in, rib_in.inside(prefix)):
            yield [entry for entry in entries if entry.number not in seen]


def entries_of(rib_in: AdjRibIn, prefixes: list[Prefix]) -> Iterator[list[Entry]]:
    """Yield the routes of these prefixes in lists of about `SLICE`, each as of the moment it is
    requested."""
    found: list[Entry] = []
    for prefix in prefixes:
        if rib_in.count(prefix) <= SLICE:
            found += rib_in.at(prefix)
        else:
            for some in slices(list(rib_in.at(prefix))):
                if found:
                    yield found
                found = [entry for entry in some if rib_in.has(entry)]
        if len(found) >= SLICE:
            yield found
            found = []
    if found:
        yield found


def _disjoint(prefixes: Iterable[Prefix]) -> Iterator[Prefix]:
    """Yield the prefixes that no other one covers."""
    last: Prefix | None = None
    for prefix in sorted(prefixes):
        if last is None or not last.covers(prefix):
            last = prefix
            yield prefix


def slices(items: list[T]) -> Iterator[list[T]]:
    """Yield the items in lists of `SLICE`."""
    return (items[at : at + SLICE] for at in range(0, len(items), SLICE))
