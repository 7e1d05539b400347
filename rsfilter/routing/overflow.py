"""Hosts whose routes were dropped for lack of room, and that are to repeat them once there is room.

BGP announces a route once. A route dropped far beyond `max_prefixes` would be missing for as long
as the session lasts, even if its host announces fewer by then, or may announce more. So the host is
requested to repeat its routes (route refresh, RFC 2918).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from rsfilter.routing.adj_rib_in import NeighborTable
from rsfilter.routing.model import Address

CHECK_EVERY_S = 10.0
"""Seconds between two checks for room, and so between two requests to a host that refills its room:
a repetition is a full table."""

REQUESTED_AT_ONCE = 50
"""Hosts per check: ExaBGP takes up to 0.1 s for each request, and changes of routes wait
meanwhile."""


class Overflow:
    """Hosts whose routes were dropped for lack of room, with the address families affected."""

    def __init__(self, tables: Mapping[Address, NeighborTable]) -> None:
        self._tables = tables
        self._families: dict[Address, set[int]] = {}
        self._check_at: float | None = None

    def note(self, neighbor: Address, families: Iterable[int], now: float) -> None:
        """Record that routes of the neighbor in these families were dropped."""
        self._families.setdefault(neighbor, set()).update(families)
        if self._check_at is None:
            self._check_at = now + CHECK_EVERY_S

    def forget(self, neighbor: Address) -> None:
        """Forget a neighbor whose session has ended: in the next one it announces everything
        again."""
        self._families.pop(neighbor, None)

    def next_timer(self) -> float | None:
        """Time of the next call to `to_repeat`; None if there is none to check."""
        return self._check_at

    def to_repeat(
        self, now: float, max_prefixes: Callable[[Address], int]
    ) -> list[tuple[Address, int]]:
        """Return some neighbors that have room by now, each with the family to repeat. Each is
        returned once, until routes of it are dropped again."""
        if self._check_at is None or now < self._check_at:
            return []
        with_room = (n for n in self._families if self._tables[n].room(max_prefixes(n)))
        ready = list(islice(with_room, REQUESTED_AT_ONCE))
        found = [(n, family) for n in ready for family in sorted(self._families.pop(n))]
        self._check_at = now + CHECK_EVERY_S if self._families else None
        return found
