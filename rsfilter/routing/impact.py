"""Effects that other data would have: the same judge on the current routes.

Pure, and in slices: the caller reads the table at its own pace and adds up the results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec import Struct

from rsfilter.routing.adj_rib_in import AdjRibIn, Entry
from rsfilter.routing.groups import HostGroup, Limits, Neighbors
from rsfilter.routing.guard import can_hold
from rsfilter.routing.judging import Judge
from rsfilter.routing.model import Route, StateName, Verdict, VerdictKind, VerdictName
from rsfilter.routing.policy import NO_GROUP
from rsfilter.routing.validation import Data

JUDGED_AT_ONCE = 500
"""Routes between two pauses: some milliseconds."""

MAX_FLIPS = 1000
"""Routes kept of each kind, lost and gained: as many as a person can read."""


class Flip(Struct, gc=False, kw_only=True):
    """A route that would be decided otherwise."""

    neighbor: str
    host: str
    asn: int
    prefix: str
    path_id: int
    was: VerdictName
    verdict: VerdictName
    reasons: list[str]
    state: StateName
    vrps: list[str]


class ImpactResult(Struct, gc=False, kw_only=True):
    """Changes that other data would bring, as commands print them and the API answers them."""

    judged: int
    accepted_before: int
    """Accepted or held now."""
    accepted_after: int
    lost: int
    """Accepted or held now, and rejected then."""
    gained: int
    lost_by_reason: dict[str, int]
    would_hold: bool
    """The guard would hold the losses, beside those of its window."""
    flips: list[Flip]
    """Lost routes first; at most 1000."""
    is_complete: bool
    """`flips` are all."""


class Reversal(NamedTuple):
    """A route on which other data decide otherwise."""

    route: Route
    was: Verdict
    verdict: Verdict


class Impact:
    """Adds up what other data would change."""

    def __init__(self, neighbors: Neighbors, data: Data) -> None:
        self.judged = 0
        self.unmoved = 0
        """Routes that were not judged, because no data can decide them otherwise."""
        self.accepted_before = 0
        """Accepted, or held: routers have them."""
        self.accepted_after = 0
        """Accepted routes after the release of everything that the guard would hold."""
        self.lost = 0
        self.gained = 0
        self.lost_by_reason: Counter[str] = Counter()
        """Lost routes by their most specific reason."""
        self.lost_routes: list[Reversal] = []
        self.gained_routes: list[Reversal] = []
        self._neighbors = neighbors
        self._data = data
        self._judge = Judge()
        self._lost_now = 0
        """Lost routes of those accepted now: a change of data can lose only these."""
        self._accepted_now = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """Judge some of the routes; each must be passed once."""
        for entry in entries:
            route, was = entry.route, entry.verdict
            group = self._neighbors.group(route.key.neighbor)
            verdict = self._judge(route, group, self._data, within_limit=entry.within_limit)
            self._add(entry, Reversal(route, was, verdict))

    def would_hold(self, limits: Limits, lost_before: int = 0) -> bool:
        """Return whether the guard would hold the losses. `lost_before`: `Guard.lost`."""
        lost, accepted = self._lost_now + lost_before, self._accepted_now + lost_before
        return self._lost_now > 0 and not limits.allow(lost, accepted)

    def result(self, limits: Limits, lost_before: int = 0) -> ImpactResult:
        """Return all that was found. `limits` and `lost_before`: see `would_hold`."""
        flips = (self.lost_routes + self.gained_routes)[:MAX_FLIPS]
        return ImpactResult(
            judged=self.judged + self.unmoved,
            accepted_before=self.accepted_before,
            accepted_after=self.accepted_after,
            lost=self.lost,
            gained=self.gained,
            lost_by_reason=dict(self.lost_by_reason.most_common()),
            would_hold=self.would_hold(limits, lost_before),
            flips=[self._flip(flip) for flip in flips],
            is_complete=len(flips) == self.lost + self.gained,
        )

    def _flip(self, flip: Reversal) -> Flip:
        route, was, verdict = flip
        host = self._data.bindings.host(route.asn, route.key.neighbor)
        return Flip(
            neighbor=str(route.key.neighbor),
            host=host.name if host else "",
            asn=route.asn,
            prefix=str(route.key.prefix),
            path_id=route.key.path_id,
            was=was.kind.value,
            verdict=verdict.kind.value,
            reasons=list(verdict.reasons),
            state=verdict.validation.state.value,
            vrps=[str(vrp) for vrp in verdict.validation.vrps],
        )

    def _add(self, entry: Entry, flip: Reversal) -> None:
        is_accepted = flip.verdict.kind is VerdictKind.ACCEPTED
        self.judged += 1
        self.accepted_before += entry.is_announced
        self.accepted_after += is_accepted
        self._accepted_now += entry.is_accepted
        if entry.is_announced and not is_accepted:
            self.lost += 1
            self._lost_now += entry.is_accepted and "data_unavailable" not in flip.verdict.reasons
            self.lost_by_reason[flip.verdict.reasons[0]] += 1
            _keep(self.lost_routes, flip)
        elif is_accepted and not entry.is_announced:
            self.gained += 1
            _keep(self.gained_routes, flip)


class PolicyImpact:
    """Counts the routes that new rules for hosts would remove: a configuration is checked before it
    is applied."""

    def __init__(self, neighbors: Neighbors, data: Data) -> None:
        """`neighbors`: as the other configuration has them. `data`: those in force."""
        self.accepted = 0
        """Routes that are accepted now."""
        self.lost = 0
        """Part of those that would be rejected."""
        self._neighbors = neighbors
        self._data = data
        self._judge = Judge()

    def judge(self, rib_in: AdjRibIn) -> Iterator[None]:
        """Goes through the table, with a pause after each slice: routes may come and go then."""
        for neighbor, table in list(rib_in.tables.items()):
            group = self._neighbors.group(neighbor)
            room = (group or NO_GROUP).max_prefixes
            entries = list(table.entries.values())
            for start in range(0, len(entries), JUDGED_AT_ONCE):
                for entry in filter(rib_in.has, entries[start : start + JUDGED_AT_ONCE]):
                    is_stale = entry.route.key in table.stale
                    within = entry.within_limit if is_stale else room > 0
                    room -= not is_stale
                    if entry.is_accepted:
                        self._add(entry.route, group, within_limit=within)
                yield

    def _add(self, route: Route, group: HostGroup | None, *, within_limit: bool) -> None:
        verdict = self._judge(route, group, self._data, within_limit=within_limit)
        self.accepted += 1
        self.lost += can_hold(verdict)


def _keep(flips: list[Reversal], flip: Reversal) -> None:
    if len(flips) < MAX_FLIPS:
        flips.append(flip)
