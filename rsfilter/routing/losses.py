"""Routes lost within a window of time, counted without going through them.

The losses of one moment, of which a slice of data may have a thousand, are kept together and expire
together. Pure: time is passed.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from rsfilter.routing.model import RouteKey

FORGOTTEN_AT_ONCE = 1000
"""Expired losses that a call forgets: they no longer count, and only their memory is freed."""

_Moment = tuple[float, dict[RouteKey, None]]
"""A time, and the losses of it that are not forgotten."""


class Losses:
    """Routes with the time at which each was lost. Times never go back."""

    def __init__(self) -> None:
        self._moment: dict[RouteKey, _Moment] = {}
        """Moment of each loss, expired ones too until they are forgotten."""
        self._counted: OrderedDict[float, _Moment] = OrderedDict()
        """Moments whose losses count, the oldest first."""
        self._size = 0
        self._expired: deque[_Moment] = deque()

    def __len__(self) -> int:
        return self._size

    def add(self, key: RouteKey, at: float) -> None:
        """Count a loss, instead of an earlier one of the same route."""
        self.discard(key)
        moment = self._moment[key] = self._counted.setdefault(at, (at, {}))
        moment[1][key] = None
        self._size += 1

    def discard(self, key: RouteKey) -> None:
        """Count the loss of this route no longer, if it counts."""
        moment = self._moment.pop(key, None)
        if moment is None:
            return
        at, lost = moment
        del lost[key]
        if self._counted.get(at) is moment:
            self._size -= 1
            if not lost:
                del self._counted[at]

    def expire(self, until: float) -> None:
        """Count losses up to this time no longer."""
        while self._counted and next(iter(self._counted)) <= until:
            _, moment = self._counted.popitem(last=False)
            self._size -= len(moment[1])
            self._expired.append(moment)
        self._forget()

    def clear(self) -> list[dict[RouteKey, None]]:
        """Count none of them any longer, and return those that counted, moment by moment, the
        oldest first."""
        counted = [lost for _, lost in self._counted.values()]
        self._moment, self._counted, self._size = {}, OrderedDict(), 0
        self._expired.clear()
        return counted

    def keys(self) -> list[RouteKey]:
        """Return the routes whose losses count, the oldest first."""
        return [key for _, lost in self._counted.values() for key in lost]

    def _forget(self) -> None:
        left = FORGOTTEN_AT_ONCE
        while self._expired and left > 0:
            _, lost = self._expired[0]
            while lost and left > 0:
                key, _ = lost.popitem()
                del self._moment[key]
                left -= 1
            if not lost:
                self._expired.popleft()
