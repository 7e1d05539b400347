"""The guard: may this mass change go out?

A change of data that would lose very many accepted routes at once is more often a broken file or
cache than a decision. Its losses are held: these routes stay where they are, by the data that
accepted them, until newer data accept them, until somebody releases them, or until their host
itself changes or withdraws them. All else follows the new data at once.

Only what was accepted before can be held, so no route is ever announced because of the guard. A
loss to data that are not there (`data_unavailable`) is not held: that is what `on_expire =
"reject"` asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rsfilter.routing.model import RouteKey, Verdict, VerdictKind
from rsfilter.routing.rib import Entry


class Limits(NamedTuple):
    """How much one change of data may take away: `[guard]`."""

    max_loss_percent: int = 20
    """Of accepted routes."""
    min_loss: int = 10
    """Routes; a smaller loss is never held."""

    def allow(self, lost: int, accepted: int) -> bool:
        """This many of that many accepted routes may be lost at once."""
        return lost < self.min_loss or lost * 100 <= self.max_loss_percent * accepted


DEFAULT_LIMITS = Limits()


class Review(NamedTuple):
    """What becomes of a change of data."""

    verdicts: list[Verdict]
    """As judged by the new data, but for what is held."""
    lost: int = 0
    """Accepted routes whose loss is held from now on; 0: the change may go out."""
    accepted: int = 0
    """Routes that were accepted before, counted when there is something to hold."""


class Guard:
    """Knows which routes are held, and decides which are."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._held: dict[RouteKey, None] = {}
        self._has_alarmed = False

    @property
    def held(self) -> int:
        """How many routes are held."""
        return len(self._held)

    def review(self, judged: Sequence[tuple[Entry, Verdict]], table: Iterable[Entry]) -> Review:
        """`judged`: routes, still with their old verdicts, and what the new data say of them.
        `table`: every route there is. What was held before stays so, while the data reject it."""
        lost = [e.route.key for e, verdict in judged if e.is_accepted and _can_hold(verdict)]
        accepted = 0
        if len(lost) >= max(1, self._limits.min_loss):
            accepted = sum(entry.is_accepted for entry in table)
        if self._limits.allow(len(lost), accepted):
            lost = []
        self._held.update(dict.fromkeys(lost))
        self._has_alarmed |= bool(lost)
        verdicts = [self._verdict(entry.route.key, verdict) for entry, verdict in judged]
        return Review(verdicts, len(lost), accepted if lost else 0)

    def forget(self, key: RouteKey) -> None:
        """The host changed or withdrew the route: it is held no longer."""
        self._held.pop(key, None)

    def release(self) -> list[RouteKey]:
        """Lets go of all that is held, and says what it was. The next mass change is held again."""
        released, self._held = list(self._held), {}
        self._has_alarmed = False
        return released

    def has_ended(self) -> bool:
        """Says once that the last held route is gone or accepted, without a release."""
        ended = self._has_alarmed and not self._held
        if ended:
            self._has_alarmed = False
        return ended

    def _verdict(self, key: RouteKey, verdict: Verdict) -> Verdict:
        if key not in self._held:
            return verdict
        if not _can_hold(verdict):
            self.forget(key)
            return verdict
        reasons = ("held_by_guard", *verdict.reasons)
        return Verdict(VerdictKind.HELD, reasons, verdict.validation)


def _can_hold(verdict: Verdict) -> bool:
    return verdict.kind is VerdictKind.REJECTED and "data_unavailable" not in verdict.reasons
