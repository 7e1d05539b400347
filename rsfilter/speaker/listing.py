"""`show adj-rib`: a table is walked through, not copied for each line.

Replaces `Reactor.neighor_rib`, from whose list the command cuts the first route (`api.chunk`) and
then all others, for each line: with 200,000 routes 20,000,000,000 references are copied. What is
given here for that list cuts off its beginning without copying the rest.

Upstream: main has the same lines. To be proposed: walk by index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rsfilter.speaker.replacement import Replacement

MADE_FOR = {
    "exabgp.reactor.loop:Reactor.neighor_rib": {
        "5.0.15": "694a515a4b779deabb00f60af7a1ac9d81c0298770ff55a992bfc337042bfe35",
    },
    "exabgp.reactor.api.command.rib:_show_adjrib_callback": {
        "5.0.15": "3e04cacd11299718eca2e22eee80ab7149b2e161715ce4007365981e9259efb9",
    },
}


class ListTail:
    """A list from some place on."""

    def __init__(self, items: Sequence[Any], start: int = 0) -> None:
        self._items = items
        self._start = start

    def __len__(self) -> int:
        return max(0, len(self._items) - self._start)

    def __iter__(self) -> Iterator[Any]:
        return (self._items[at] for at in range(self._start, len(self._items)))

    def __getitem__(self, part: slice) -> Sequence[Any] | ListTail:
        """`[:n]` is a list, and `[n:]` what follows it."""
        if part.stop is None:
            return ListTail(self._items, self._start + part.start)
        return self._items[self._start : self._start + part.stop]


def _install() -> None:
    from exabgp.reactor.loop import Reactor

    stock = Reactor.neighor_rib

    def neighor_rib(self: Any, *arguments: Any, **named: Any) -> ListTail:
        return ListTail(stock(self, *arguments, **named))

    Reactor.neighor_rib = neighor_rib


REPLACEMENT = Replacement("listing", MADE_FOR, _install)
