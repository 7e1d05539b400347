"""The guard: holds a mass loss that a change of data would bring.

A change of data that would lose very many accepted routes at once is more often a broken file or
cache than a decision. Its losses are held: these routes stay where they are, by the data that
accepted them, until newer data accept them, until somebody releases them, or until their host
itself changes or withdraws them. All else follows the new data at once.

A restart does not end it: `take_changes` says what to write down, `expect` takes that back. A route
that comes again exactly as it was held is held again, if nothing but the data rejects it; until
`stop_expecting`, when every host has repeated itself.

Only what was accepted before can be held, so no route is ever announced because of the guard. A
loss to data that are not there (`data_unavailable`) is not held: that is what `on_expire =
"reject"` asks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from rsfilter.routing.export import LLGR_STALE
from rsfilter.routing.groups import Limits
from rsfilter.routing.model import Address, Route, RouteKey, Verdict, VerdictKind

DEFAULT_LIMITS = Limits()

BY_DATA = frozenset(
    {
        "neighbor_not_bound",
        "next_hop_not_owned",
        "origin_not_found",
        "origin_invalid_asn",
        "origin_invalid_length",
    }
)
"""Reasons that a change of data can bring. What another configuration rejects is not held."""

Changes = Mapping[RouteKey, Route | None]
"""Routes that are held now, or None where one no longer is."""


class Guard:
    """Knows which routes are held."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._held: dict[RouteKey, None] = {}
        self._expected: dict[RouteKey, str] = {}
        """Held before a restart and not seen since, by fingerprint."""
        self._changes: dict[RouteKey, Route | None] = {}
        self._has_alarmed = False
        """The operator was told that routes are held, and not yet that this has ended."""

    @property
    def held(self) -> int:
        """How many routes are held."""
        return len(self._held)

    @property
    def is_holding(self) -> bool:
        """Some route is held, or is expected to be since before a restart."""
        return bool(self._held or self._expected)

    def hold(self, route: Route) -> None:
        """An accepted route whose loss is held from now on."""
        self._held[route.key] = None
        self._changes[route.key] = route
        self._has_alarmed = True

    def forget(self, key: RouteKey) -> None:
        """The host changed or withdrew the route: it is held no longer."""
        if not self.is_holding:
            return
        if key in self._held or key in self._expected:
            self._held.pop(key, None)
            self._expected.pop(key, None)
            self._changes[key] = None

    def release(self) -> list[RouteKey]:
        """Lets go of all that is held; answers what it was. The next mass loss is held again."""
        self.stop_expecting()
        released, self._held = list(self._held), {}
        self._changes.update(dict.fromkeys(released))
        self._has_alarmed = False
        return released

    def has_ended(self) -> bool:
        """Answers, once, that the last held route is gone or accepted, without a release."""
        ended = self._has_alarmed and not self.is_holding
        if ended:
            self._has_alarmed = False
        return ended

    def take_changes(self) -> Changes:
        """What became of held routes since the last call, to be written down."""
        changes, self._changes = self._changes, {}
        return changes

    def expect(self, held: Mapping[RouteKey, str]) -> None:
        """Fingerprints of what was held before a restart."""
        self._expected.update(held)
        self._has_alarmed |= bool(held)

    def expected_of(self, neighbor: Address) -> dict[RouteKey, str]:
        """What is expected of a neighbor."""
        return {key: held for key, held in self._expected.items() if key.neighbor == neighbor}

    def expect_again(self, held: Iterable[Route], expected: Mapping[RouteKey, str]) -> None:
        """These were held, or expected, until their host's session ended, which we have restarted:
        they are held when it announces them anew."""
        for route in held:
            self._expected[route.key] = fingerprint(route)
            self._changes[route.key] = route
        for key, known in expected.items():
            self._expected[key] = known
            self._changes.pop(key, None)

    def is_held(self, key: RouteKey) -> bool:
        """The route is held."""
        return key in self._held

    def stop_expecting(self) -> None:
        """What has not come again is gone."""
        self._changes.update(dict.fromkeys(self._expected))
        self._expected.clear()

    def verdict(self, route: Route, verdict: Verdict) -> Verdict:
        """What becomes of a verdict by the data in force: held, if the route is, or was before a
        restart."""
        if not self.is_holding:
            return verdict
        key = route.key
        if key in self._expected and "data_unavailable" not in verdict.reasons:
            expected = self._expected.pop(key)
            if comes_of_data(verdict) and fingerprint(route) == expected:
                self._held[key] = None
            else:
                self._changes[key] = None
        if key not in self._held:
            return verdict
        if not can_hold(verdict):
            self.forget(key)
            return verdict
        reasons = ("held_by_guard", *verdict.reasons)
        return Verdict(VerdictKind.HELD, reasons, verdict.validation)


def comes_of_data(verdict: Verdict) -> bool:
    """Nothing but the data rejects the route, if anything does."""
    return BY_DATA.issuperset(verdict.reasons)


def fingerprint(route: Route) -> str:
    """The same text for a route that is announced again unchanged, in every release of rsfilter.
    What we add to a lost host's routes does not count."""
    received = route.attributes
    content = (
        route.asn,
        str(received.as_path),
        received.origin,
        received.med,
        [tuple(community) for community in received.communities if community != LLGR_STALE],
        [tuple(community) for community in received.large_communities],
        list(received.extended_communities),
        [str(hop) for hop in route.next_hops],
    )
    return hashlib.sha256(repr(content).encode()).hexdigest()[:32]


def can_hold(verdict: Verdict) -> bool:
    """The loss of an accepted route to this verdict is one that can be held."""
    return verdict.kind is VerdictKind.REJECTED and "data_unavailable" not in verdict.reasons
