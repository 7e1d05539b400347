"""Routes lost within a window of time, counted without going through them.

The losses of one moment, of which a slice of data may have a thousand, are kept together and expire
together. Pure: time is passed.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from rsfilter.routing.model import RouteKey

FORGOTTEN_AT_ONCE = 1000
"""Expired losses that a call forgets: they no longer count, and only their memory is freed."""


class Losses:
    """Routes with the time at which each was lost. Times never go back."""

    def __init__(self) -> None:
        self._time: dict[RouteKey, float] = {}
        """Time of each loss, expired ones too until they are forgotten."""
        self._by_time: OrderedDict[float, dict[RouteKey, None]] = OrderedDict()
        """Losses of each moment that count, the oldest first."""
        self._size = 0
        self._expired: deque[tuple[float, dict[RouteKey, None]]] = deque()

    def __len__(self) -> int:
        return self._size

    def add(self, key: RouteKey, at: float) -> None:
        """Count a loss, instead of an earlier one of the same route."""
        self.discard(key)
        self._time[key] = at
        self._by_time.setdefault(at, {})[key] = None
        self._size += 1

    def discard(self, key: RouteKey) -> None:
        """Count the loss of this route no longer, if it counts."""
        at = self._time.pop(key, None)
        together = None if at is None else self._by_time.get(at)
        if at is None or together is None:
            return
        del together[key]
        self._size -= 1
        if not together:
            del self._by_time[at]

    def expire(self, until: float) -> None:
        """Count losses up to this time no longer."""
        while self._by_time:
            at, together = next(iter(self._by_time.items()))
            if at > until:
                break
            del self._by_time[at]
            self._size -= len(together)
            self._expired.append((at, together))
        self._forget()

    def clear(self) -> dict[RouteKey, None]:
        """Count none of them any longer, and return those that counted, the oldest first."""
        counted: dict[RouteKey, None] = {}
        for together in self._by_time.values():
            counted.update(together)
        self._time, self._by_time, self._size = {}, OrderedDict(), 0
        self._expired.clear()
        return counted

    def keys(self) -> list[RouteKey]:
        """Return the routes whose losses count, the oldest first."""
        return [key for together in self._by_time.values() for key in together]

    def _forget(self) -> None:
        left = FORGOTTEN_AT_ONCE
        while self._expired and left > 0:
            at, together = self._expired[0]
            while together and left > 0:
                key, _ = together.popitem()
                left -= 1
                if self._time.get(key) == at and key not in self._by_time.get(at, ()):
                    del self._time[key]
            if not together:
                self._expired.popleft()
