"""A prefix that many hosts announce (anycast): the change of one route costs about log n.

The few routes of a common prefix are sorted whenever they change. Where there are many, `Owners`
keeps them in Adj-RIB-In and knows which of them have changed since the last export, and a `Ranking`
in each Adj-RIB-Out keeps what can be exported in order: only what has changed moves.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from rsfilter.routing.export import BEST_PATH_ID, Export, OutAttributes, Paths, path_id, preference
from rsfilter.routing.model import Address, Route

if TYPE_CHECKING:
    from rsfilter.routing.adj_rib_in import Entry

Place = tuple[bool, bool, int, Address, int]
"""Sort key of the routes that are accepted or held: held ones last, then `export.preference`. No
two routes of a prefix have the same."""

FIRST_HELD: tuple[bool] = (True,)
"""Sorts before the place of every held route, and after that of every accepted one."""


class Shift(NamedTuple):
    """Changes of a prefix's candidates since the last export."""

    owners: Owners
    gone: list[Place]
    come: list[tuple[Place, Route]]


class Owners:
    """The routes of one prefix, in order of arrival."""

    __slots__ = ("_changed", "_places", "accepted", "entries")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = OrderedDict((entry.number, entry) for entry in entries)
        """Entries by number. Ordered: a plain dict finds its first key slowly after many
        removals."""
        self.accepted = sum(entry.is_accepted for entry in self.entries.values())
        self._places: dict[int, Place] = {}
        """Places of the candidates at the last export, by number."""
        self._changed = dict(self.entries)

    def add(self, entry: Entry) -> None:
        """A route that was not here."""
        self.entries[entry.number] = entry
        self.note(entry, int(entry.is_accepted))

    def remove(self, entry: Entry) -> None:
        """A route that is here goes."""
        del self.entries[entry.number]
        self.note(entry, -int(entry.is_accepted))

    def note(self, entry: Entry, accepted: int = 0) -> None:
        """The route or its verdict is another now; `accepted`: so many more are accepted."""
        self._changed[entry.number] = entry
        self.accepted += accepted

    def take_shift(self) -> Shift:
        """Return the changes that every Adj-RIB-Out has to apply, once."""
        shift = Shift(self, [], [])
        for number, entry in self._changed.items():
            before = self._places.pop(number, None)
            if before is not None:
                shift.gone.append(before)
            if number in self.entries and entry.is_announced:
                place = self._places[number] = _place(entry)
                shift.come.append((place, entry.route))
        self._changed.clear()
        return shift

    def ranked(self) -> list[tuple[Place, Route]]:
        """The accepted routes, best first, and after them those that the guard holds."""
        found = [(_place(e), e.route) for e in self.entries.values() if e.is_announced]
        found.sort(key=lambda candidate: candidate[0])
        return found


def _place(entry: Entry) -> Place:
    return (not entry.is_accepted, *preference(entry.route))


class Ranking:
    """Routes of a prefix that one Adj-RIB-Out can export, best first."""

    __slots__ = ("_ids", "_is_draining", "_owners", "_paths", "_places")

    def __init__(self, owners: Owners, export: Export) -> None:
        self._owners = owners
        self._is_draining = export.is_draining
        self._places: list[Place] = []
        self._paths: list[tuple[int, OutAttributes]] = []
        self._ids: Counter[int] = Counter()
        for place, route in owners.ranked():
            attributes = export.attributes(route.announcement)
            if attributes is not None:
                self._places.append(place)
                self._paths.append((path_id(route.key.neighbor, route.key.path_id), attributes))
        self._ids.update(number for number, _ in self._paths)

    def can_follow(self, shift: Shift, export: Export) -> bool:
        """Return whether it was made of the same owners, in the same phase of a drain."""
        return self._owners is shift.owners and self._is_draining is export.is_draining

    def follow(self, shift: Shift, export: Export) -> None:
        """Remove the routes that left and insert the new ones."""
        for place in shift.gone:
            at = bisect_left(self._places, place)
            if at < len(self._places) and self._places[at] == place:
                del self._places[at]
                number, _ = self._paths.pop(at)
                self._ids[number] -= 1
                if not self._ids[number]:
                    del self._ids[number]
        for place, route in shift.come:
            attributes = export.attributes(route.announcement)
            if attributes is not None:
                at = bisect_left(self._places, place)
                number = path_id(route.key.neighbor, route.key.path_id)
                self._places.insert(at, place)
                self._paths.insert(at, (number, attributes))
                self._ids[number] += 1

    def best(self, *, is_any_accepted: bool) -> Paths:
        """The best path alone."""
        if not self._paths or (is_any_accepted and self._places[0] >= FIRST_HELD):
            return ()
        return ((BEST_PATH_ID, self._paths[0][1]),)

    def all(self, *, is_any_accepted: bool) -> Paths:
        """Every path. Where two path ids collide, the better path keeps it."""
        end = bisect_left(self._places, FIRST_HELD) if is_any_accepted else len(self._places)
        paths = self._paths[:end]
        if len(self._ids) == len(self._paths):
            return tuple(paths)
        first: dict[int, OutAttributes] = {}
        for number, attributes in paths:
            first.setdefault(number, attributes)
        return tuple(first.items())
