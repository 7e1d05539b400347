"""Routes that each group of routers should have, by prefix (RFC 4271 section 3.2). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rsfilter.routing.anycast import Ranking, Shift
from rsfilter.routing.drain import DrainPhase
from rsfilter.routing.export import (
    BEST_PATH_ID,
    Export,
    OutAttributes,
    Paths,
    Withheld,
    path_id,
)
from rsfilter.routing.groups import RouterGroup
from rsfilter.routing.model import Announcement, Prefix, Route


class AdjRibOut:
    """Routes that one group of routers should have. Only `update` changes it."""

    def __init__(
        self, own_asn: int, group: RouterGroup, asns: frozenset[int] = frozenset()
    ) -> None:
        """`asns`: see `Export`."""
        self.routes: dict[Prefix, Paths] = {}
        self.phase = DrainPhase.IN_SERVICE
        self._is_silent = False
        """Drained: nothing is announced."""
        self._families = group.families
        self._all_paths = group.all_paths
        self._last: Paths = ()
        """Paths of the last prefix: equal paths share one object."""
        self._announced: Announcement | None = None
        """Announcement that these paths are of, if they are those of one route without a path
        identifier."""
        self._export = Export(own_asn, group, asns)
        self._rankings: dict[Prefix, Ranking] = {}
        """Rankings of prefixes with many announcers."""

    def drain(self, phase: DrainPhase) -> None:
        """Another phase of a drain: every prefix has to be brought up to date."""
        self.phase = phase
        self._is_silent = phase is DrainPhase.DRAINED
        self._export.is_draining = phase is DrainPhase.DRAINING
        self._announced = None

    def update(self, found: Iterable[tuple[Prefix, Sequence[Route] | Shift]]) -> list[Prefix]:
        """Brings prefixes up to date with their candidates, best first; answers with those of
        which something changed."""
        routes, rankings = self.routes, self._rankings
        changed: list[Prefix] = []
        for prefix, candidates in found:
            if isinstance(candidates, Shift):
                wanted = self._wanted_of_many(prefix, candidates)
            else:
                if rankings:
                    rankings.pop(prefix, None)
                wanted = self._wanted(candidates)
            if routes.get(prefix, ()) == wanted:
                continue
            changed.append(prefix)
            if wanted:
                routes[prefix] = wanted
            else:
                del routes[prefix]
        return changed

    def withheld(self, route: Route) -> Withheld | None:
        """Return why the routers do not get an accepted route; None if they do."""
        if self._is_silent:
            return Withheld.DRAINED
        if route.key.prefix.family not in self._families:
            return Withheld.FAMILY
        attributes = self._export.attributes(route.announcement)
        if attributes is None:
            return Withheld.COMMUNITY
        if self._all_paths:
            return None
        best = self.routes.get(route.key.prefix, ())
        return None if best == ((BEST_PATH_ID, attributes),) else Withheld.NOT_BEST

    def _wanted(self, candidates: Sequence[Route]) -> Paths:
        """The best path first; equal to the last one, it is the same object."""
        if not candidates or self._is_silent:
            return ()
        first = candidates[0]
        alone = first.announcement if len(candidates) == 1 and not first.key.path_id else None
        if alone is None or alone is not self._announced:
            wanted = self._all(candidates) if self._all_paths else self._best(candidates)
            if wanted != self._last:
                self._last = wanted
            self._announced = alone
        return self._last

    def _wanted_of_many(self, prefix: Prefix, shift: Shift) -> Paths:
        if self._is_silent:
            self._rankings.pop(prefix, None)
            return ()
        ranking = self._rankings.get(prefix)
        if ranking is None or not ranking.can_follow(shift, self._export):
            ranking = self._rankings[prefix] = Ranking(shift.owners, self._export)
        else:
            ranking.follow(shift, self._export)
        choose = ranking.all if self._all_paths else ranking.best
        return choose(is_any_accepted=shift.owners.accepted > 0)

    def _best(self, candidates: Sequence[Route]) -> Paths:
        for route in candidates:
            attributes = self._export.attributes(route.announcement)
            if attributes is not None:
                return ((BEST_PATH_ID, attributes),)
        return ()

    def _all(self, candidates: Sequence[Route]) -> Paths:
        """Return the paths of all candidates. If two path ids collide, the better path keeps the
        id."""
        found: dict[int, OutAttributes] = {}
        for route in candidates:
            attributes = self._export.attributes(route.announcement)
            if attributes is None:
                continue
            found.setdefault(path_id(route.key.neighbor, route.key.path_id), attributes)
        return tuple(found.items())
