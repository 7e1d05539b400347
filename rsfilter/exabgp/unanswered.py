"""Commands that ExaBGP has not replied to, in the order of writing. Pure.

A reply does not identify its command: ExaBGP replies in order, so the oldest command is meant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import NamedTuple

from rsfilter.routing.model import Address


class Written(NamedTuple):
    """A command that ExaBGP has not replied to."""

    prefixes: int
    barrier: Address | None
    """The router whose barrier it is, in the session that it has now."""
    needs: Address | None
    """The neighbor that has to be up, or ExaBGP refuses it."""
    at: float
    """Time of writing."""
    requests: Address | None = None
    """The host that it requests to repeat itself."""


class Unanswered:
    """The commands, oldest first."""

    def __init__(self) -> None:
        self.prefixes = 0
        """Number of prefixes in them."""
        self._commands: deque[Written] = deque()

    def __len__(self) -> int:
        return len(self._commands)

    @property
    def since(self) -> float | None:
        """Time of writing of the oldest one; None if there is none."""
        return self._commands[0].at if self._commands else None

    def append(self, written: Written) -> None:
        """Record a command that is written now."""
        self._commands.append(written)
        self.prefixes += written.prefixes

    def replied(self) -> Written | None:
        """Return the command that a reply answers; None if there is none."""
        if not self._commands:
            return None
        written = self._commands.popleft()
        self.prefixes -= written.prefixes
        return written

    def needing(self, neighbor: Address) -> int:
        """Return how many ExaBGP refuses if the neighbor is down."""
        return sum(written.needs == neighbor for written in self._commands)

    def forget_barriers(self, routers: Collection[Address]) -> None:
        """A reply that is still to come must not count for the next barrier of these routers."""
        self._commands = deque(
            written._replace(barrier=None) if written.barrier in routers else written
            for written in self._commands
        )

    def give_up(self) -> list[Written]:
        """Expect no reply any more; return the commands."""
        lost = list(self._commands)
        self._commands.clear()
        self.prefixes = 0
        return lost
