"""Ages of what caches hold: since when the data of one stand still, and since when two differ.

Pure: takes times, returns ages. A cache can confirm its data every minute and still serve those of
last week, because its validator has stopped. Only the data themselves show that, or another cache.
"""

from __future__ import annotations

from typing import NamedTuple

from rsfilter.routing.model import Prefix

DEFAULT_MAX_UNCHANGED_S = 6 * 3600
"""The RPKI changes every few minutes, and a validator fetches it at least once an hour."""

FEW_VRPS = 1_000
"""VRPs up to which a cache holds an operator's own data rather than the RPKI: these may stand
still for months."""

MAX_PREFIXES = 20_000
"""Differing prefixes above which they are not followed one by one."""


class AgeLimits(NamedTuple):
    """Seconds after which an age is a warning."""

    max_unchanged: int | None
    """Limit for data that stand still. None: `DEFAULT_MAX_UNCHANGED_S` for a cache of more than
    `FEW_VRPS`; 0: no limit."""
    max_differing: int
    """Limit for a difference between two caches; 0: no limit."""

    def is_unchanged_long(self, age: float | None, vrps: int) -> bool:
        """Return whether a cache of so many VRPs has stood still for too long."""
        limit = self.max_unchanged
        if limit is None:
            limit = DEFAULT_MAX_UNCHANGED_S if vrps > FEW_VRPS else 0
        return limit > 0 and age is not None and age >= limit


NO_LIMITS = AgeLimits(0, 0)


class Standing:
    """Time since when the data of one cache stand still.

    They move with a new serial, and with other VRPs. A new session with the same VRPs is the
    restart of a cache, which proves nothing about its validator.
    """

    def __init__(self) -> None:
        self.since: float | None = None
        self._seen: tuple[int, int, bytes] | None = None

    def report(self, session: int, serial: int, digest: bytes, now: float) -> None:
        """Record what a cache confirmed. `digest`: equal for equal VRPs."""
        before, self._seen = self._seen, (session, serial, digest)
        is_same = before is not None and before[2] == digest and before[0] != session
        if before != self._seen and not is_same:
            self.since = now


class Differences:
    """The prefixes in which two caches differ, each with the time since when it has differed.

    Caches learn of a change at different times, so that two that work well nearly always differ in
    something. One prefix that stays different is the sign of a fault.
    """

    def __init__(self) -> None:
        self._since: dict[Prefix, float] = {}
        self._many_since: float | None = None

    def report(self, prefixes: frozenset[Prefix] | None, now: float) -> None:
        """Record the prefixes that differ now; None: more than `MAX_PREFIXES`."""
        if prefixes is None:
            self._many_since = self.since(now)
            self._since = {}
            return
        # What was not followed one by one may have differed all the time.
        first = now if self._many_since is None else self._many_since
        self._since = {prefix: self._since.get(prefix, first) for prefix in prefixes}
        self._many_since = None

    def since(self, default: float) -> float:
        """Return the time since when the oldest difference lasts; `default` if there is none."""
        if self._many_since is not None:
            return self._many_since
        return min(self._since.values(), default=default)

    def lasting(self, now: float, limit: float) -> int:
        """Return the number of prefixes that have differed for `limit` seconds: `MAX_PREFIXES` if
        they are not followed one by one."""
        if self._many_since is not None:
            return MAX_PREFIXES if now - self._many_since >= limit else 0
        return sum(now - since >= limit for since in self._since.values())
