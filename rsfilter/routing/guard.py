"""The guard: holds a mass loss that a change of data would bring.

Changes of data that lose very many accepted routes within a window are more often a broken file or
cache than a decision. The losses that are too many are held: these routes stay where they are, by
the data that accepted them, until newer data accept them, until somebody releases them, or until
their host itself changes or withdraws them. All else follows the new data at once.

A loss is a route that was accepted and that other data or another configuration reject. It counts
for `Limits.window`; no longer when it is accepted again, or when its host has withdrawn it itself.

A restart does not end it: `take_records` has what to write down of every route that is accepted,
held or lost, `expect` takes that back. A route that comes again exactly as it was held is held
again; one that comes again exactly as it was accepted, and that the first data reject, is a loss of
theirs, which `take_suspects` weighs when every host has repeated itself. Both only if nothing but
the data rejects it: not what a configuration does that has changed meanwhile.

Only what was accepted before can be held, so no route is ever announced because of the guard. A
loss to data that are not there (`data_unavailable`) is not held: that is what `on_expire =
"reject"` asks for.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from enum import IntEnum
from functools import lru_cache

from msgspec import Struct

from rsfilter.routing.export import LLGR_STALE
from rsfilter.routing.groups import Limits
from rsfilter.routing.model import (
    Address,
    Attributes,
    Route,
    RouteKey,
    Verdict,
    VerdictKind,
)

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


class Accepted(Struct, frozen=True, gc=False):
    """The route is accepted."""

    route: Route
    rules: str
    """Digest of the rules of the configuration that let data reject it: see `rules.rules`."""


class Held(Struct, frozen=True, gc=False):
    """The route is held."""

    route: Route
    rules: str
    reasons: tuple[str, ...]
    """For which the data reject it."""


class Lost(Struct, frozen=True, gc=False):
    """Data or a configuration took the route away."""

    at: float
    """In the time of the events."""


Record = Accepted | Held | Lost | None
"""What is to be written down of a route; None: it is none of these."""

Records = dict[RouteKey, Record]


class Haste(IntEnum):
    """When records have to be written."""

    SOMETIME = 0
    SOON = 1
    FIRST = 2
    """Before the commands that follow from the same event."""


class Expected(Struct, frozen=True, gc=False):
    """What a process before this one wrote down of an accepted or held route."""

    fingerprint: str
    rules: str = ""
    """Empty: a release wrote it that did not know."""
    reasons: tuple[str, ...] = ()
    """Of a held one."""


class Guard:
    """Knows which routes are held, and which were lost of late."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.now = 0.0
        """Of the event that is being worked on."""
        self._held: dict[RouteKey, None] = {}
        self._lost: OrderedDict[RouteKey, float] = OrderedDict()
        """Since when, the oldest first."""
        self._expected: dict[RouteKey, Expected] = {}
        """Held before a restart and not seen since."""
        self._was_accepted: dict[RouteKey, Expected] = {}
        """Accepted before a restart and not seen since."""
        self._suspects: dict[RouteKey, None] = {}
        """Accepted before a restart, and rejected since by nothing but the data."""
        self._records: Records = {}
        self.haste = Haste.SOMETIME
        """With which `take_records` is due."""
        self._has_alarmed = False
        """The operator was told that routes are held, and not yet that this has ended."""

    @property
    def held(self) -> int:
        """How many routes are held."""
        return len(self._held)

    @property
    def lost(self) -> int:
        """How many routes data or configurations took away within the window."""
        oldest = self.now - self.limits.window
        while self._lost:
            key, at = next(iter(self._lost.items()))
            if at > oldest:
                break
            del self._lost[key]
        return len(self._lost)

    @property
    def is_holding(self) -> bool:
        """Some route is held, or is expected to be since before a restart."""
        return bool(self._held or self._expected)

    @property
    def has_a_say(self) -> bool:
        """`verdict` can be another than what it gets."""
        return bool(self._held or self._expected or self._was_accepted)

    def allows(self, lost: int, accepted: int) -> bool:
        """So many of the accepted routes may be lost at once, beside what was lost within the
        window. The share is of what would be accepted had nothing been lost in it."""
        before = self.lost
        return lost == 0 or self.limits.allow(lost + before, accepted + before)

    # What happens to routes ----------------------------------------------------------------------

    def hold(self, route: Route, verdict: Verdict, rules: str) -> None:
        """An accepted route whose loss by `verdict` is held from now on."""
        self._held[route.key] = None
        self._records[route.key] = Held(route, rules, verdict.reasons)
        self.haste = Haste.FIRST
        self._has_alarmed = True

    def lose(self, key: RouteKey) -> None:
        """Data or a configuration have taken an accepted route away."""
        self._lost[key] = self.now
        self._lost.move_to_end(key)
        self._records[key] = Lost(self.now)
        self.haste = Haste.FIRST

    def accept(self, route: Route, rules: str) -> None:
        """The route is accepted, maybe as another than before."""
        self._records[route.key] = Accepted(route, rules)
        if self._lost:
            self._lost.pop(route.key, None)
        if self._suspects:
            self._suspects.pop(route.key, None)

    def reject(self, key: RouteKey) -> None:
        """A route that was accepted no longer is, and is not held either."""
        self._records[key] = None

    def forget(self, key: RouteKey) -> None:
        """The host changed the route, or withdrew it: it is held no longer."""
        self._suspects.pop(key, None)
        if self.is_holding and (key in self._held or key in self._expected):
            self._held.pop(key, None)
            self._expected.pop(key, None)
            self._records[key] = None
            self.haste = max(self.haste, Haste.SOON)

    def gone(self, key: RouteKey) -> None:
        """The route has left the table: its host no longer announces it."""
        self.forget(key)
        self._lost.pop(key, None)
        self._records[key] = None

    def release(self) -> list[RouteKey]:
        """Lets go of all that is held; answers what it was. The window begins anew."""
        self.stop_expecting()
        self._suspects.clear()
        released, self._held = list(self._held), {}
        self._records.update(dict.fromkeys(released))
        self.start_window()
        self.haste = Haste.FIRST
        self._has_alarmed = False
        return released

    def held_keys(self) -> list[RouteKey]:
        """Return the held routes, the longest held first."""
        return list(self._held)

    def release_some(self, keys: Iterable[RouteKey]) -> list[RouteKey]:
        """Release these routes, and return those that were still held. The window goes on: the
        operator means these losses and no others."""
        released = [key for key in keys if key in self._held]
        for key in released:
            del self._held[key]
        self._records.update(dict.fromkeys(released))
        self.haste = Haste.FIRST
        self._has_alarmed &= self.is_holding
        return released

    def start_window(self) -> None:
        """What was lost until now counts no longer: the operator means it."""
        self._records.update(dict.fromkeys(self._lost))
        self._lost.clear()

    def has_ended(self) -> bool:
        """Answers, once, that the last held route is gone or accepted, without a release."""
        ended = self._has_alarmed and not self.is_holding
        if ended:
            self._has_alarmed = False
        return ended

    def take_records(self) -> Records:
        """What became of routes since the last call, to be written down."""
        records, self._records = self._records, {}
        self.haste = Haste.SOMETIME
        return records

    # A restart -----------------------------------------------------------------------------------

    def expect(
        self,
        held: Mapping[RouteKey, Expected],
        accepted: Mapping[RouteKey, Expected],
        lost: Mapping[RouteKey, float],
    ) -> None:
        """What a process before this one wrote down. `lost`: how many seconds ago."""
        self._expected.update(held)
        self._was_accepted.update(accepted)
        for key, age in sorted(lost.items(), key=lambda item: -item[1]):
            self._lost[key] = self.now - age
        self._has_alarmed |= bool(held)

    def expected_of(self, neighbor: Address) -> dict[RouteKey, Expected]:
        """What is expected of a neighbor."""
        return {key: held for key, held in self._expected.items() if key.neighbor == neighbor}

    def expect_again(self, held: Iterable[Route], expected: Mapping[RouteKey, Expected]) -> None:
        """These were held, or expected, until their host's session ended, which we have restarted:
        they are held when it announces them anew."""
        for route in held:
            self._expected[route.key] = Expected(fingerprint(route))
            self._records[route.key] = Held(route, "", ())
        for key, known in expected.items():
            self._expected[key] = known
            self._records.pop(key, None)

    def is_held(self, key: RouteKey) -> bool:
        """The route is held."""
        return key in self._held

    def stop_expecting(self) -> None:
        """What has not come again is gone."""
        for expected in (self._expected, self._was_accepted):
            self._records.update(dict.fromkeys(expected))
            expected.clear()

    def lost_keys(self) -> list[RouteKey]:
        """The routes that data or configurations took away."""
        return list(self._lost)

    def take_suspects(self) -> list[RouteKey]:
        """Accepted before a restart, announced again as they were, and rejected by the data."""
        suspects, self._suspects = list(self._suspects), {}
        return suspects

    def verdict(self, route: Route, verdict: Verdict, rules: str) -> Verdict:
        """What becomes of a verdict by the data in force: held, if the route is, or was before a
        restart."""
        if not self.has_a_say:
            return verdict
        key = route.key
        if "data_unavailable" not in verdict.reasons:
            self._meet(route, verdict, rules)
        if key not in self._held:
            return verdict
        if not can_hold(verdict):
            self.forget(key)
            return verdict
        reasons = ("held_by_guard", *verdict.reasons)
        return Verdict(VerdictKind.HELD, reasons, verdict.validation)

    def _meet(self, route: Route, verdict: Verdict, rules: str) -> None:
        """A route comes that may be expected: it is, once."""
        key = route.key
        if (expected := self._expected.pop(key, None)) is not None:
            if _is_as_expected(route, verdict, rules, expected):
                self._held[key] = None
                self._records[key] = Held(route, rules, verdict.reasons)
            else:
                self._records[key] = None
            self.haste = max(self.haste, Haste.SOON)
        elif (expected := self._was_accepted.pop(key, None)) is not None:
            is_rejected = verdict.kind is VerdictKind.REJECTED
            if is_rejected and _is_as_expected(route, verdict, rules, expected):
                self._suspects[key] = None
            elif is_rejected:
                self._records[key] = None


def _is_as_expected(route: Route, verdict: Verdict, rules: str, expected: Expected) -> bool:
    """It is announced as before, and only what data bring rejects it: nothing that the rules of
    today can have brought, if they are others."""
    is_same_rules = expected.rules in ("", rules) or set(verdict.reasons) <= set(expected.reasons)
    return comes_of_data(verdict) and is_same_rules and fingerprint(route) == expected.fingerprint


def comes_of_data(verdict: Verdict) -> bool:
    """Nothing but the data rejects the route, if anything does."""
    return BY_DATA.issuperset(verdict.reasons)


def can_hold(verdict: Verdict) -> bool:
    """The loss of an accepted route to this verdict is one that can be held."""
    return verdict.kind is VerdictKind.REJECTED and "data_unavailable" not in verdict.reasons


def fingerprint(route: Route) -> str:
    """The same text for a route that is announced again unchanged, in every release of rsfilter.
    What we add to a lost host's routes does not count."""
    return _fingerprint(route.asn, route.attributes, route.next_hops)


@lru_cache(maxsize=1 << 12)
def _fingerprint(asn: int, received: Attributes, next_hops: tuple[Address, ...]) -> str:
    content = (
        asn,
        str(received.as_path),
        received.origin,
        received.med,
        [tuple(community) for community in received.communities if community != LLGR_STALE],
        [tuple(community) for community in received.large_communities],
        list(received.extended_communities),
        [str(hop) for hop in next_hops],
    )
    return hashlib.sha256(repr(content).encode()).hexdigest()[:32]
