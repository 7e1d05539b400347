"""Choice of the active RTR cache. Pure: takes times, returns a decision and the time of the next.

Every cache stays connected; one is active at a time, so that no route is ever judged by a mixture.

- A cache is *fresh* until `expire` seconds after it last confirmed its data (End of Data), or until
the end of the Expire Interval that came with them if that is sooner. - It is *live* while it is
fresh and answers: until `grace` seconds after its first error, or after the answer to a refresh is
due. - The first live cache in order of preference is active. The data of a
dead cache stay active for `grace`, so that the restart of a cache has no effect. They stay active
for as long as they are fresh if no other cache is live. - A preferred cache that returns becomes
active again after it has been live for `grace`: a flapping cache does not make the data flap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

MIN_GRACE_S = 5.0
"""A cache that restarts on the same machine is back within a second or two, but has to load its
data from disk before it answers."""


def grace_of(retry: float) -> float:
    """Return the seconds in which a restarting cache has received two further connection
    attempts."""
    return max(2.0 * retry, MIN_GRACE_S)


MIN_EXPIRE_S = 600.0
"""RFC 8210 section 6: the shortest Expire Interval. A cache that sends less would take its own data
away."""


class CacheChoice(NamedTuple):
    """A decision, valid until the next report or `deadline`."""

    cache: int | None
    """Index of the active cache; None if no cache ever had data."""
    is_fresh: bool
    """False if its data have expired and no cache has fresher ones."""
    deadline: float | None
    """Time of the next decision; None if time alone changes nothing."""


@dataclass(slots=True)
class _Cache:
    expire: float
    confirmed: float = -math.inf
    lost: float = math.inf
    live_since: float = math.inf


class Failover:
    """The caches in order of preference, with their last reports.

    All times are readings of one monotonic clock, in seconds.
    """

    def __init__(self, count: int, *, refresh: float, grace: float, expire: float) -> None:
        self._caches = [_Cache(expire) for _ in range(count)]
        self._refresh = refresh
        self._grace = grace
        self._expire = expire
        self._decides: int | None = None

    def report(
        self, index: int, confirmed: float | None, lost: float | None, sent_expire: float = 0
    ) -> None:
        """Record a report. `confirmed`: time of the last End of Data, if any. `lost`: time of the
        first error since, if any. `sent_expire`: the Expire Interval that came with the data; 0 if
        none did."""
        cache = self._caches[index]
        cache.expire = self._expire_of(sent_expire)
        if confirmed is not None:
            if not self._is_live(cache, confirmed):
                cache.live_since = confirmed
            cache.confirmed = confirmed
        cache.lost = math.inf if lost is None else lost

    def expire_of(self, index: int) -> float:
        """Return the seconds after which the cache's data expire."""
        return self._caches[index].expire

    def _expire_of(self, sent: float) -> float:
        """Return the seconds after which data expire whose cache sent this Expire Interval. Ours is
        the most; the least is what RFC 8210 allows, and what the next refresh needs."""
        if not sent:
            return self._expire
        return min(self._expire, max(sent, MIN_EXPIRE_S, self._refresh + self._grace))

    def is_fresh(self, index: int, now: float) -> bool:
        """Return whether the cache's data have not expired."""
        cache = self._caches[index]
        return now < cache.confirmed + cache.expire

    def decide(self, now: float) -> CacheChoice:
        """Choose the active cache."""
        self._decides = self._best(now)
        is_fresh = self._decides is not None and self.is_fresh(self._decides, now)
        return CacheChoice(self._decides, is_fresh, self._deadline(now))

    def _best(self, now: float) -> int | None:
        live = [i for i, cache in enumerate(self._caches) if self._is_live(cache, now)]
        current = self._decides
        if current in live:
            steady = (i for i in live if self._is_steady(self._caches[i], now))
            return min(current, next(steady, current))
        if live:
            return live[0]
        if current is not None and self.is_fresh(current, now):
            return current
        fresh = (i for i in range(len(self._caches)) if self.is_fresh(i, now))
        return next(fresh, current)

    def _is_live(self, cache: _Cache, now: float) -> bool:
        return now < self._dead_at(cache)

    def _is_steady(self, cache: _Cache, now: float) -> bool:
        """Return whether the cache has been live for `grace`, and answers now."""
        return cache.lost == math.inf and now >= cache.live_since + self._grace

    def _dead_at(self, cache: _Cache) -> float:
        due = cache.confirmed + self._refresh
        return min(cache.confirmed + cache.expire, min(cache.lost, due) + self._grace)

    def _deadline(self, now: float) -> float | None:
        times = []
        for cache in self._caches:
            times += [
                cache.confirmed + cache.expire,
                self._dead_at(cache),
                cache.live_since + self._grace,
            ]
        return min((time for time in times if now < time < math.inf), default=None)
