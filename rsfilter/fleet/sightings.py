"""Hosts that are absent at some route servers, and which others have a session with them.

An instance knows its own absent hosts only. Its heartbeat names them, and each other instance names
in its own those of them that it has a session with. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from rsfilter.fleet.ledger import Ledger
from rsfilter.fleet.state import MAX_SEEN, AbsentHost, PeerLike


class Sighting(NamedTuple):
    """A host session that is absent somewhere."""

    neighbor: str
    host: str
    absent_from: tuple[str, ...]
    """Instances at which it is absent."""
    seen_by: tuple[str, ...]
    """Instances that have a session with it."""
    instances: int
    """Instances that have its group, but for silent ones."""


def seen_here(ledger: Ledger, groups: Iterable[str], peers: Iterable[PeerLike]) -> list[str]:
    """Return the neighbors that are absent elsewhere and have a session here. `groups`: those that
    are configured here."""
    known = set(groups)
    seen = {
        absent.neighbor
        for peer in peers
        for absent in ([] if peer.is_silent else peer.state.absent)
        if absent.group in known
        and ledger.sessions.get(absent.neighbor)
        and absent.neighbor not in ledger.absent  # up, and not as truth expects it
    }
    return list(islice(sorted(seen), MAX_SEEN))


def sightings(peers: Sequence[PeerLike]) -> Iterator[Sighting]:
    """Yield each host that is absent at an instance, those that the fewest see first."""
    heard = sorted((peer for peer in peers if not peer.is_silent), key=lambda peer: peer.instance)
    absent: dict[str, AbsentHost] = {}
    for peer in heard:
        absent |= {one.neighbor: one for one in peer.state.absent}
    found = (_sighting(one, heard) for one in absent.values())
    yield from sorted(found, key=lambda one: (len(one.seen_by), one.host, one.neighbor))


def _sighting(absent: AbsentHost, heard: Sequence[PeerLike]) -> Sighting:
    having = [p for p in heard if any(group.id == absent.group for group in p.state.groups)]
    return Sighting(
        absent.neighbor,
        absent.host,
        tuple(
            peer.instance
            for peer in having
            if any(one.neighbor == absent.neighbor for one in peer.state.absent)
        ),
        tuple(peer.instance for peer in having if absent.neighbor in peer.state.seen),
        len(having),
    )
