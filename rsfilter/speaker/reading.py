"""Configuration files: a neighbor costs the same whether the file has ten neighbors or thousands.

Replaces `ParseNeighbor.__init__` and `clear`, whose list of the neighbors so far is searched for
each neighbor (8,000 neighbors: 32 million comparisons), and `ParseAPI._empty`, which makes a deep
copy of a dict of empty lists for each neighbor. A start and each reload pass there.

Upstream: main has the same lines. To be proposed: a set, and a copy of the lists alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rsfilter.speaker.replacement import Replacement

MADE_FOR = {
    "exabgp.configuration.neighbor:ParseNeighbor": {
        "5.0.15": "4adf775d872e2f810208286c01f61808a7dbfb50b4467d1572e2b04b90549c94",
    },
    "exabgp.configuration.neighbor.api:ParseAPI": {
        "5.0.15": "58536f8f1564425861fbf0467a9d179c8a54284bb866f952cc18f44a966fc61f",
    },
}


class TakenNames(set[str]):
    """Names of neighbors, with a method by which ExaBGP adds one."""

    append = set.add


def _install() -> None:
    from exabgp.configuration.neighbor import ParseNeighbor
    from exabgp.configuration.neighbor.api import ParseAPI

    def emptied(stock: Callable[..., None]) -> Callable[..., None]:
        def method(self: Any, *arguments: Any) -> None:
            stock(self, *arguments)
            self._neighbors = TakenNames()

        return method

    def empty(cls: Any) -> dict[str, list[str]]:
        return {name: list(values) for name, values in cls.DEFAULT_API.items()}

    ParseNeighbor.__init__ = emptied(ParseNeighbor.__init__)
    ParseNeighbor.clear = emptied(ParseNeighbor.clear)
    ParseAPI._empty = classmethod(empty)


REPLACEMENT = Replacement("reading", MADE_FOR, _install)
