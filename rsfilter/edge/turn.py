"""Lines of one turn of the loop: as many as there is time for.

A line may stand for a thousand routes, for the end of a host's session, or for next to nothing: so
how many lines a turn has shows only while they are worked on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice

TURN_LINES = 500
"""Lines worked on, at most, before the loop may do something else."""

TURN_S = 0.01
"""CPU seconds after which a turn takes no more lines."""


class Turn:
    """Lines that wait, as an iterable that ends when the turn's time is up.

    The first iteration takes lines; any other repeats those that it took.
    """

    def __init__(self, waiting: Sequence[bytes]) -> None:
        self.lines: list[bytes] = []
        """Lines that were taken, also the one that the filter failed at."""
        self._waiting: Sequence[bytes] | None = waiting

    def __iter__(self) -> Iterator[bytes]:
        waiting, self._waiting = self._waiting, None
        return iter(self.lines) if waiting is None else self._take(waiting)

    def _take(self, waiting: Sequence[bytes]) -> Iterator[bytes]:
        until = time.thread_time() + TURN_S
        for line in islice(waiting, TURN_LINES):
            self.lines.append(line)
            yield line
            if time.thread_time() >= until:
                return
