"""The guard: holds the routes that a change of data would withdraw in mass.

A change of data that loses very many accepted routes within a window is more often a broken file or
cache than a decision. If the losses are too many, they are held: these routes stay announced, by
the data that accepted them, until newer data accept them, until an operator releases them, or until
their host itself changes or withdraws them. All other routes follow the new data at once.

A loss is a route that was accepted and that other data or another configuration reject. It counts
for `Limits.window`, but no longer once it is accepted again or its host has withdrawn it.

A restart does not end it: `take_records` returns the records to store of every route that is
accepted, held or lost, and `expect` restores them. A route that is announced again exactly as it
was held is held again, if data alone reject it or if it was held for the same reasons. One that is
announced again exactly as it was accepted or held, and that the first data or the configuration of
today reject, is a loss, which `take_suspects` weighs once every host has repeated its routes.

Only a previously accepted route can be held, so no route is ever announced because of the guard. A
loss for lack of data (`data_unavailable`) is not held: `on_expire = "reject"` requests it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import IntEnum
from functools import lru_cache

from msgspec import Struct

from rsfilter.routing.export import LLGR_STALE
from rsfilter.routing.groups import Limits
from rsfilter.routing.losses import Losses
from rsfilter.routing.model import (
    Address,
    Attributes,
    Route,
    RouteKey,
    Verdict,
    VerdictKind,
)

DEFAULT_LIMITS = Limits()

HELD_BY_GUARD = "held_by_guard"
"""First reason of a held route."""

BY_DATA = frozenset(
    {
        "neighbor_not_bound",
        "next_hop_not_owned",
        "origin_not_found",
        "origin_invalid_asn",
        "origin_invalid_length",
    }
)
"""Reasons that a change of data can bring. What a reload rejects for others is not held: it is
weighed before it is applied."""


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
    """Reasons for which the data reject it."""


class Lost(Struct, frozen=True, gc=False):
    """Data or a configuration took the route away."""

    at: float
    """Time of the loss, in the time of the events."""


Record = Accepted | Held | Lost | None
"""Record to store of a route; None if it is neither accepted, held nor lost."""

Records = dict[RouteKey, Record]


class Haste(IntEnum):
    """Urgency of writing records."""

    SOMETIME = 0
    SOON = 1
    FIRST = 2
    """Records are written before the commands that follow from the same event."""


class Expected(Struct, frozen=True, gc=False):
    """Record that an earlier process stored of an accepted or held route."""

    fingerprint: str
    rules: str = ""
    """Empty: a release wrote it that did not know."""
    reasons: tuple[str, ...] = ()
    """Reasons of a held route."""


class Guard:
    """Knows which routes are held, and which were lost of late."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.now = 0.0
        """Time of the current event."""
        self._held: dict[RouteKey, None] = {}
        self._lost = Losses()
        self._expected: dict[RouteKey, Expected] = {}
        """Held before a restart and not seen since."""
        self._was_accepted: dict[RouteKey, Expected] = {}
        """Accepted before a restart and not seen since."""
        self._suspects: dict[RouteKey, None] = {}
        """Announced to routers before a restart, and rejected since by data or configuration."""
        self._records: Records = {}
        self.haste = Haste.SOMETIME
        """Urgency of the next `take_records`."""
        self._has_alarmed = False
        """True if the operator was alerted to held routes, and not yet to the end of that."""

    @property
    def held(self) -> int:
        """Number of held routes."""
        return len(self._held)

    @property
    def lost(self) -> int:
        """Number of routes that data or configurations removed within the window."""
        self._lost.expire(self.now - self.limits.window)
        return len(self._lost)

    @property
    def is_holding(self) -> bool:
        """Some route is held, or is expected to be since before a restart."""
        return bool(self._held or self._expected)

    @property
    def may_change(self) -> bool:
        """`verdict` can be another than what it gets."""
        return bool(self._held or self._expected or self._was_accepted)

    def allows(self, lost: int, accepted: int) -> bool:
        """Return whether `lost` of the accepted routes may be lost at once, on top of the losses
        within the window. The share is of the routes that would be accepted without losses in
        it."""
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
        self._lost.add(key, self.now)
        self._records[key] = Lost(self.now)
        self.haste = Haste.FIRST

    def accept(self, route: Route, rules: str) -> None:
        """The route is accepted, maybe as another than before."""
        self._records[route.key] = Accepted(route, rules)
        if self._lost:
            self._lost.discard(route.key)
        if self._suspects:
            self._suspects.pop(route.key, None)

    def accept_all(self, routes: Iterable[Route], rules: str) -> None:
        """`accept` for several routes under the same rules."""
        if self._lost or self._suspects:
            for route in routes:
                self.accept(route, rules)
        else:
            self._records.update({route.key: Accepted(route, rules) for route in routes})

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
        self._lost.discard(key)
        self._records[key] = None

    def release(self) -> list[RouteKey]:
        """Release all held routes and return their keys. The window begins anew."""
        self.stop_expecting(self.expected_keys())
        self._suspects.clear()
        held, self._held = self._held, {}
        self._records.update(held)
        self.start_window()
        self.haste = Haste.FIRST
        self._has_alarmed = False
        return list(held)

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
        """Forget the losses so far, which the operator intended."""
        for lost in self._lost.clear():
            self._records.update(lost)

    def has_ended(self) -> bool:
        """Answers, once, that the last held route is gone or accepted, without a release."""
        ended = self._has_alarmed and not self.is_holding
        if ended:
            self._has_alarmed = False
        return ended

    def take_records(self) -> Records:
        """Return the changes of routes since the last call, to be stored."""
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
        """Restore the records of an earlier process. `lost`: seconds since each loss."""
        self._expected.update(held)
        self._was_accepted.update(accepted)
        for key, age in sorted(lost.items(), key=lambda item: -item[1]):
            self._lost.add(key, self.now - age)
        self._has_alarmed |= bool(held)

    def expect_again(self, route: Route, reasons: tuple[str, ...]) -> None:
        """The route has left the table with a session that rsfilter restarts: if it was held for
        these reasons, or expected, it is held if the host announces it again. If it is still to be
        weighed, it is weighed then."""
        key = route.key
        was_held, expected = key in self._held, self._expected.get(key)
        is_suspect = key in self._suspects
        reasons = tuple(reason for reason in reasons if reason != HELD_BY_GUARD)
        self.gone(key)
        if was_held:
            self._expected[key] = Expected(fingerprint(route), "", reasons)
            self._records[key] = Held(route, "", reasons)
        elif expected is not None:
            self._expected[key] = expected
            del self._records[key]  # the one of before stays
        elif is_suspect:
            self._was_accepted[key] = Expected(fingerprint(route))
            del self._records[key]

    def expected_keys(self) -> list[RouteKey]:
        """Return the routes of before a restart that were not announced again."""
        return [*self._expected, *self._was_accepted]

    def stop_expecting(self, keys: Iterable[RouteKey]) -> None:
        """Stop expecting these routes: if they are still not announced again, they are gone."""
        for key in keys:
            was_held, was_accepted = (
                self._expected.pop(key, None),
                self._was_accepted.pop(key, None),
            )
            if was_held or was_accepted:
                self._records[key] = None

    def lost_keys(self) -> list[RouteKey]:
        """The routes that data or configurations took away."""
        return self._lost.keys()

    def take_suspects(self) -> list[RouteKey]:
        """Accepted before a restart, announced again as they were, and rejected by the data."""
        suspects, self._suspects = list(self._suspects), {}
        return suspects

    def verdict(self, route: Route, verdict: Verdict, rules: str) -> Verdict:
        """Return the final verdict for one by the active data: held, if the route is held, or was
        before a restart."""
        if not self.may_change:
            return verdict
        key = route.key
        if "data_unavailable" not in verdict.reasons:
            self._meet(route, verdict, rules)
        if key not in self._held:
            return verdict
        if not can_hold(verdict):
            self.forget(key)
            return verdict
        reasons = (HELD_BY_GUARD, *verdict.reasons)
        return Verdict(VerdictKind.HELD, reasons, verdict.validation)

    def _meet(self, route: Route, verdict: Verdict, rules: str) -> None:
        """A route comes that may be expected: it is, once."""
        key = route.key
        if (expected := self._expected.pop(key, None)) is not None:
            if _is_still_held(route, verdict, rules, expected):
                self._held[key] = None
                self._records[key] = Held(route, rules, verdict.reasons)
            elif _is_lost(route, verdict, expected):
                self._suspects[key] = None
            else:
                self._records[key] = None
            self.haste = max(self.haste, Haste.SOON)
        elif (expected := self._was_accepted.pop(key, None)) is not None:
            if _is_lost(route, verdict, expected):
                self._suspects[key] = None
            elif verdict.kind is VerdictKind.REJECTED:
                self._records[key] = None


def _is_still_held(route: Route, verdict: Verdict, rules: str, expected: Expected) -> bool:
    """Return whether a held route is announced as before, and rejected for reasons for which it was
    held, or by data alone: no reason that other rules may have caused."""
    is_by_data = comes_of_data(verdict) and expected.rules in ("", rules)
    is_as_before = bool(verdict.reasons) and set(verdict.reasons) <= set(expected.reasons)
    return (is_by_data or is_as_before) and fingerprint(route) == expected.fingerprint


def _is_lost(route: Route, verdict: Verdict, expected: Expected) -> bool:
    """Return whether a route is announced as before, and rejected, and the guard may weigh that."""
    return can_weigh(verdict) and fingerprint(route) == expected.fingerprint


def can_weigh(verdict: Verdict) -> bool:
    """Return whether data or a configuration, and not the order in which its host announces,
    reject a route that was accepted before a restart."""
    return can_hold(verdict) and "max_prefixes" not in verdict.reasons


def comes_of_data(verdict: Verdict) -> bool:
    """Return whether the data alone reject the route, if it is rejected."""
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
