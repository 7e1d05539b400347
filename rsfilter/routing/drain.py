"""The drain: leaving service on purpose, and coming back.

Several can want the filter out of service (`operator`, `readiness`): each asks for itself, and one
of them is enough. Leaving is RFC 8326: for a while everything stays announced with
GRACEFUL_SHUTDOWN, so that routers find other ways first, and then it is withdrawn. Where routers
have nothing of ours there is nothing to leave slowly: nothing is announced then.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from rsfilter.routing.events import DrainAsked

DEFAULT_DRAIN_TIME_S = 30.0
"""Enough for routers to find other ways, which takes them seconds."""


class DrainPhase(Enum):
    """Where the filter stands between service and silence."""

    IN_SERVICE = "in_service"
    DRAINING = "draining"
    """What is accepted is announced with GRACEFUL_SHUTDOWN."""
    DRAINED = "drained"
    """Nothing is announced."""


class DrainState(NamedTuple):
    """A drain as people see it."""

    phase: DrainPhase
    why: tuple[str, ...]
    """Who keeps the filter out of service, one text each; none: nobody."""
    until: float | None
    """While draining: when everything is withdrawn, in the time of the events."""


class Drain:
    """Knows who wants the filter out of service, and which phase that makes."""

    def __init__(self, drain_time: float = DEFAULT_DRAIN_TIME_S) -> None:
        self.drain_time = drain_time
        """Seconds; another value counts for the next drain."""
        self._asked: dict[str, str] = {}
        """By source: in whose words."""
        self._phase = DrainPhase.IN_SERVICE
        self._until: float | None = None

    @property
    def state(self) -> DrainState:
        why = tuple(f"{source}: {by}" for source, by in sorted(self._asked.items()))
        return DrainState(self._phase, why, self._until)

    def ask(self, event: DrainAsked, now: float) -> bool:
        """Somebody wants it, or no longer does; answers whether anything has changed."""
        before = self.state
        if event.on:
            self._asked[event.source] = event.by
        else:
            self._asked.pop(event.source, None)
        if not self._asked:
            self._phase, self._until = DrainPhase.IN_SERVICE, None
        elif self._phase is DrainPhase.IN_SERVICE and event.at_once:
            self._phase = DrainPhase.DRAINED
        elif self._phase is DrainPhase.IN_SERVICE:
            self._phase, self._until = DrainPhase.DRAINING, now + self.drain_time
        return self.state != before

    def expire(self, now: float) -> bool:
        """Answers, once, that the time to withdraw everything has come."""
        if self._until is None or now < self._until:
            return False
        self._phase, self._until = DrainPhase.DRAINED, None
        return True
