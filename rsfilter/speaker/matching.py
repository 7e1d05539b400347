"""Selectors of commands: `neighbor ADDRESS` is found by index, not matched with every neighbor.

Replaces `match_neighbors`, which runs a regular expression for each selector and each peer, and
`Reactor.peers` and `established_peers`, which visit every peer for each command. `peers` rebuilds
its list after a peer was added, removed or changed, `established_peers` visits only the wanted
ones; `match_neighbors` finds a plain selector in an index by address and leaves every other one
(`*`, `local-ip` and so on) to ExaBGP.

A selector matches whole words of a peer's name, which is `neighbor ADDRESS local-ip ...`; so a
plain one can match only at its start.

Upstream: main matches by regular expressions too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rsfilter.speaker import generation
from rsfilter.speaker.replacement import Replacement

MADE_FOR = {
    "exabgp.reactor.api.command.limit:match_neighbor": {
        "5.0.15": "dca3aaac8c0cb734a7c38d8e473e10e6f9b8dc0e10921f9c79de0635b1950203",
    },
    "exabgp.reactor.api.command.limit:match_neighbors": {
        "5.0.15": "fb09040781fd15ba8036c18e2a7a4e85f7a58f2ddbea629720229a1df0483244",
    },
    "exabgp.reactor.api.command.limit:extract_neighbors": {
        "5.0.15": "4c3484fbdab46dc4188ddafddcaee2e65740442625331cb3417fd152b9495a39",
    },
    "exabgp.reactor.loop:Reactor.peers": {
        "5.0.15": "d47adbffe8310ea134e9c56a0a5248f21ec5e0434ac504c2f57d27db9d74f840",
    },
    "exabgp.reactor.loop:Reactor.established_peers": {
        "5.0.15": "a733eb4d1b5e264df81a38f246a8725e60fd56a0efa1c375c43bb2f08ce2aec8",
    },
    **generation.RELIES_ON,
    "exabgp.bgp.neighbor:Neighbor.name": {
        "5.0.15": "29d9b938617d8c3005d0d4ecd726bd6f99dec5b0b20e3527ec861bd4e57ab1f7",
    },
}


class Names(list[str]):
    """Names of peers, in their order, with an index of their addresses."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(names)
        self._by_start: dict[str, list[str]] | None = None

    def starting(self, start: str) -> list[str]:
        """Names whose first two words are these."""
        if self._by_start is None:
            self._by_start = {}
            for name in self:
                self._by_start.setdefault(first_words(name), []).append(name)
        return self._by_start.get(start, [])


class EstablishedNames:
    """Names of the established peers, computed on demand."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __iter__(self) -> Iterator[str]:
        return (name for name, peer in self._reactor._peers.items() if peer.established())

    def starting(self, start: str) -> list[str]:
        """Names whose first two words are these."""
        peers = self._reactor._peers
        return [name for name in self._reactor.peers().starting(start) if peers[name].established()]


def first_words(name: str) -> str:
    """`neighbor ADDRESS` of a peer's name."""
    first, _, rest = name.partition(" ")
    return f"{first} {rest.partition(' ')[0]}"


def names_one_peer(description: Sequence[str]) -> bool:
    """Return whether the selector is just `neighbor ADDRESS`."""
    if len(description) != 1 or description[0] == "neighbor *":
        return False
    words = description[0].split(" ")
    return len(words) == 2 and words[0] == "neighbor" and bool(words[1]) and "," not in words[1]


def _install() -> None:
    from exabgp.reactor.api.command import announce, limit, rib
    from exabgp.reactor.loop import Reactor

    stock_match = limit.match_neighbors
    stock_peers = Reactor.peers
    generation.install()

    def match_neighbors(peers: Any, descriptions: Sequence[Sequence[str]]) -> Any:
        if not descriptions:
            return set(peers) if isinstance(peers, EstablishedNames) else peers
        if not isinstance(peers, (Names, EstablishedNames)) or not all(
            map(names_one_peer, descriptions)
        ):
            return stock_match(peers, descriptions)
        found: dict[str, None] = {}
        for description in descriptions:
            found.update(dict.fromkeys(peers.starting(description[0])))
        return list(found)

    lists: dict[str, Names] = {}
    made_for: tuple[int, int, int] | None = None

    def peers(self: Any, service: str = "") -> Names:
        nonlocal made_for
        if made_for != (now := generation.generation(self)):
            made_for = now
            lists.clear()
        if service not in lists:
            lists[service] = Names(stock_peers(self, service))
        return lists[service]

    def established_peers(self: Any) -> EstablishedNames:
        return EstablishedNames(self)

    for module in (limit, announce, rib):
        module.match_neighbors = match_neighbors
    Reactor.peers = peers
    Reactor.established_peers = established_peers


REPLACEMENT = Replacement("matching", MADE_FOR, _install)
