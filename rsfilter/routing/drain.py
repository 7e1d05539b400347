"""The drain: leaving service on purpose, and returning.

Several sources can take the filter out of service (`operator`, `readiness`): each requests for
itself, and one request is enough. Leaving follows RFC 8326: at first everything stays announced
with GRACEFUL_SHUTDOWN, so that routers find other paths, and then it is withdrawn. If routers have
no routes of ours, nothing is announced at all.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from rsfilter.routing.events import DrainRequested

DEFAULT_DRAIN_TIME_S = 30.0
"""Enough for routers to find other ways, which takes them seconds."""


class DrainPhase(Enum):
    """Phases between service and silence."""

    IN_SERVICE = "in_service"
    DRAINING = "draining"
    """Accepted routes are announced with GRACEFUL_SHUTDOWN."""
    DRAINED = "drained"
    """All routes are withdrawn."""


class DrainState(NamedTuple):
    """A drain as people see it."""

    phase: DrainPhase
    why: tuple[str, ...]
    """Requesters that keep the filter out of service, one text each; empty if there is none."""
    until: float | None
    """End of the draining phase, after which everything is withdrawn, in the time of the events."""


class Drain:
    """Requests to leave service, and the phase that follows from them."""

    def __init__(self, drain_time: float = DEFAULT_DRAIN_TIME_S) -> None:
        self.drain_time = drain_time
        """Seconds; another value counts for the next drain."""
        self._requests: dict[str, str] = {}
        """Text of the request by source."""
        self._phase = DrainPhase.IN_SERVICE
        self._until: float | None = None

    @property
    def state(self) -> DrainState:
        why = tuple(f"{source}: {by}" for source, by in sorted(self._requests.items()))
        return DrainState(self._phase, why, self._until)

    def request(self, event: DrainRequested, now: float) -> bool:
        """Record or end the request of a source; return whether anything has changed."""
        before = self.state
        if event.on:
            self._requests[event.source] = event.by
        else:
            self._requests.pop(event.source, None)
        if not self._requests:
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
