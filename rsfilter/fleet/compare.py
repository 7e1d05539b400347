"""Compares one instance's routes with those of the others, and finds a cause for each difference.

In three steps, each only where the one before found something: the root of each host group, which
is in every heartbeat; the sums of its 4,096 buckets; the routes of buckets that differ twice in a
row. Both sides do the same at their own pace, through their rows in the database. A difference
counts once both have stood by it for a while; one between instances that decide by other data, or
by other rules, has that as its cause. Pure: time comes in as `now`.
"""

from __future__ import annotations

from array import array
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from rsfilter.fleet.ledger import BUCKETS, Decision, Key, Ledger, LedgerEntry
from rsfilter.fleet.state import (
    ComparedRoute,
    Detail,
    GroupState,
    Heartbeat,
    Peer,
    PeerLike,
    RouteDifference,
)

DATA_SETTLE_S = 30
"""Two instances that have stood by the same data for this long have judged all routes by it."""

STANDS_S = 12
"""Two decisions that have both stood for so long at the same time are a difference. Changes
come to both within a second or two."""

MISSING_S = 60
"""A route that one has for this long and the other has not is missing there."""

RELEARN_S = 240
"""A filter, or a session, that is younger hears hosts late: a large table on a busy machine takes
minutes, and a withdrawal comes after it."""

MAX_BUCKETS = 64
"""Differing buckets whose routes are shown to the other: some 5 kB each at 300,000 routes."""

MAX_ROUTES = 2000
MAX_DIFFERENCES = 200
"""More are counted in buckets: they have one cause, mostly."""

SWAPPED = array("H", [1]).tobytes()[0] == 1
"""True on a little-endian machine."""


class _Counterpart(NamedTuple):
    """The other instance and the group that both have."""

    peer: Peer
    mine: GroupState
    theirs: GroupState


class Comparer:
    """Compares a ledger with the other instances, round by round."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._differed: dict[tuple[str, str], set[int]] = {}
        """Buckets that differed in the last round, by instance and group."""
        self._absent_since: dict[tuple[str, Key], float] = {}
        """Time since when a route that another instance shows has not been here."""
        self.is_differing = False
        """True if the last round had a difference to examine."""

    def round(self, state: Heartbeat, peers: Sequence[Peer], now: float) -> Detail | None:
        """Return the detail for the next heartbeat; None if there is no difference."""
        pairs = [pair for peer in peers for pair in _pairs(state, peer)]
        differing = [pair for pair in pairs if pair.mine.root != pair.theirs.root]
        self.is_differing = bool(differing)
        if not differing:
            self._differed.clear()
            self._absent_since.clear()
            return None
        detail = Detail(buckets={}, routes={}, differences=[])
        before, self._differed = self._differed, {}
        absent, self._absent_since = self._absent_since, {}
        for pair in differing:
            self._note_absent(pair, absent, now)
            self._compare(state, pair, before, detail, now)
        return detail

    def _compare(
        self,
        state: Heartbeat,
        pair: _Counterpart,
        before: dict[tuple[str, str], set[int]],
        detail: Detail,
        now: float,
    ) -> None:
        group, peer = pair.mine.id, pair.peer
        mine = self._ledger.groups.get(group)
        sums = mine.sums if mine else array("Q", bytes(8 * BUCKETS))
        detail.buckets[group] = encoded(sums)
        if peer.detail is None:
            return
        theirs = decoded(peer.detail.buckets.get(group, ""))
        if theirs is not None:
            place = peer.instance, group
            found = {number for number in range(BUCKETS) if sums[number] != theirs[number]}
            self._differed[place] = found
            lasting = found & before.get(place, set())
            detail.differing += len(lasting)
            self._show(group, lasting, detail, now)
        for route in peer.detail.routes.get(group, ()):
            if len(detail.differences) < MAX_DIFFERENCES:
                detail.differences += self._difference(state, pair, route, now)

    def _show(self, group: str, buckets: set[int], detail: Detail, now: float) -> None:
        shown = detail.routes.setdefault(group, [])
        some = set(sorted(buckets)[:MAX_BUCKETS])
        for entry in self._ledger.in_buckets(group, some) if some else ():
            if len(shown) < MAX_ROUTES:
                shown.append(_route(entry, now))

    def _difference(
        self, state: Heartbeat, pair: _Counterpart, route: ComparedRoute, now: float
    ) -> Iterator[RouteDifference]:
        """The difference between a route of the other and ours, if there is one that counts."""
        key = (route.neighbor, route.prefix, route.path_id)
        entry = self._ledger.routes.get(key)
        theirs = Decision(route.verdict, tuple(route.reasons))
        if route.neighbor in self._ledger.uncertain or route.age + pair.peer.age < STANDS_S:
            return
        if entry is None:
            since = self._absent_since.get((pair.peer.instance, key), now)
            is_old = min(route.age, now - since) >= MISSING_S
            cause = self._missing(state, pair, route.neighbor, now) if is_old else ""
        elif entry.decision == theirs or now - entry.since < pair.peer.age + STANDS_S:
            return
        else:
            cause = _cause(state, pair, entry.decision, theirs)
        if cause:
            yield RouteDifference(
                peer=pair.peer.instance,
                cause=cause,
                neighbor=route.neighbor,
                host=route.host,
                prefix=route.prefix,
                path_id=route.path_id,
                here=text_of(entry.decision) if entry else "",
                there=text_of(theirs),
            )

    def _note_absent(
        self, pair: _Counterpart, before: dict[tuple[str, Key], float], now: float
    ) -> None:
        """Note which of the routes that the other shows are not here, and since when."""
        shown = pair.peer.detail.routes.get(pair.mine.id, ()) if pair.peer.detail else ()
        for route in islice(shown, MAX_ROUTES):
            key = (route.neighbor, route.prefix, route.path_id)
            if key not in self._ledger.routes:
                place = pair.peer.instance, key
                self._absent_since[place] = before.get(place, now)

    def _missing(self, state: Heartbeat, pair: _Counterpart, neighbor: str, now: float) -> str:
        """Return why a route is not here; empty as long as it may still come, or go there."""
        is_early = now - self._ledger.up_since.get(neighbor, 0.0) < RELEARN_S
        if is_early or state.is_young or pair.peer.state.is_young:
            return ""
        return "route" if self._ledger.sessions.get(neighbor) else "session"


def is_young(ledger: Ledger, now: float) -> bool:
    """Return whether a filter was started so lately that hosts still repeat themselves to it, and
    that it hears late what has changed since."""
    return now - ledger.since < RELEARN_S


def _pairs(state: Heartbeat, peer: Peer) -> Iterator[_Counterpart]:
    """The groups that both have, of an instance that can be compared with."""
    if peer.is_silent or not (peer.state.is_complete and state.is_complete):
        return
    theirs = {group.id: group for group in peer.state.groups}
    for group in state.groups:
        if group.id in theirs:
            yield _Counterpart(peer, group, theirs[group.id])


def _cause(state: Heartbeat, pair: _Counterpart, mine: Decision, theirs: Decision) -> str:
    """Return why a route is decided differently; empty if one decision has not settled yet."""
    other = pair.peer.state
    is_settled = min(state.data_age, other.data_age) >= DATA_SETTLE_S
    is_without_data = "data_unavailable" in (*mine.reasons, *theirs.reasons)
    if is_without_data and not is_settled:
        return ""  # it has just been started, and hears hosts before its RTR cache
    if data := other_data(state, other):
        return data
    if is_without_data:
        return "rtr"  # the same data as long as they were fresh
    if pair.mine.policy != pair.theirs.policy:
        return "configuration"
    if "held" in (mine.verdict, theirs.verdict):
        return "guard"
    if "max_prefixes" in (*mine.reasons, *theirs.reasons):
        return "max_prefixes"
    is_late = state.is_young or other.is_young
    return "unexplained" if is_settled and not is_late else ""


def other_data(one: Heartbeat, other: Heartbeat) -> str:
    """The data that two instances do not have alike: truth or rtr; empty if they are the same.

    Caches number their sessions and serials as they like, so that the VRPs count: two caches can
    have the same. Only an instance of an older release has no digest of them.
    """
    if one.truth != other.truth:
        return "truth"
    if one.vrps and other.vrps:
        return "rtr" if one.vrps != other.vrps else ""
    return "rtr" if one.rtr != other.rtr else ""


def causes_of_data(own: str, peers: Sequence[PeerLike]) -> Counter[str]:
    """Count the other instances with the same hosts that judge by other data, by what differs."""
    mine = next((peer.state for peer in peers if peer.instance == own), None)
    if mine is None:
        return Counter()
    return Counter(
        data
        for peer in peers
        if not peer.is_silent and has_same_hosts(mine, peer.state)
        if (data := other_data(mine, peer.state))
    )


def has_same_hosts(one: Heartbeat, other: Heartbeat) -> bool:
    """Return whether two instances have a host group in common."""
    return not {group.id for group in one.groups}.isdisjoint(group.id for group in other.groups)


def text_of(decision: Decision) -> str:
    """A decision for people."""
    return " ".join((decision.verdict, *decision.reasons))


def _route(entry: LedgerEntry, now: float) -> ComparedRoute:
    verdict, reasons = entry.decision
    return ComparedRoute(*entry.key, entry.host, verdict, reasons, int(now - entry.since))


def encoded(sums: array[int]) -> str:
    """The sums of buckets as text."""
    copy = sums[:]
    if SWAPPED:
        copy.byteswap()
    return b64encode(copy.tobytes()).decode()


def decoded(text: str) -> array[int] | None:
    """The sums of buckets of a text; None if it has none."""
    try:
        octets = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        return None
    if len(octets) != 8 * BUCKETS:
        return None
    sums = array("Q", octets)
    if SWAPPED:
        sums.byteswap()
    return sums
