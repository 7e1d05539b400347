"""Hosts that announced more routes than are kept, to be asked again once there is room.

BGP says everything once. What was announced so far beyond `max_prefixes` that it was not kept would
be missing for as long as the session lasts, also when its host announces fewer by then, or may
announce more: so the host is asked to repeat itself (route refresh, RFC 2918).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from rsfilter.routing.adj_rib_in import NeighborTable
from rsfilter.routing.model import Address

LOOK_EVERY_S = 10.0
"""Between two looks for room, and so between two questions to a host that fills what it empties: a
repetition is all of its table."""

ASKED_AT_ONCE = 50
"""Hosts in one look: ExaBGP takes up to 0.1 s for each, and changes of routes wait meanwhile."""


class Unkept:
    """Which hosts have more to say than was kept, in which families."""

    def __init__(self, tables: Mapping[Address, NeighborTable]) -> None:
        self._tables = tables
        self._families: dict[Address, set[int]] = {}
        self._look_at: float | None = None

    def note(self, neighbor: Address, families: Iterable[int], now: float) -> None:
        """Not all that the neighbor announced in these families is kept."""
        self._families.setdefault(neighbor, set()).update(families)
        if self._look_at is None:
            self._look_at = now + LOOK_EVERY_S

    def forget(self, neighbor: Address) -> None:
        """Its session has ended: in the next one it says everything again."""
        self._families.pop(neighbor, None)

    def next_timer(self) -> float | None:
        """When to ask for `to_repeat`; None: there is nothing to look for."""
        return self._look_at

    def to_repeat(
        self, now: float, max_prefixes: Callable[[Address], int]
    ) -> list[tuple[Address, int]]:
        """Some neighbors that there is room for by now, and in which family each is to repeat
        itself: named once, until they have said too much again."""
        if self._look_at is None or now < self._look_at:
            return []
        with_room = (n for n in self._families if self._tables[n].room(max_prefixes(n)))
        ready = list(islice(with_room, ASKED_AT_ONCE))
        found = [(n, family) for n in ready for family in sorted(self._families.pop(n))]
        self._look_at = now + LOOK_EVERY_S if self._families else None
        return found
