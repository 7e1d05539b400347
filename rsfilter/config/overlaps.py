"""Who may have which address: finds addresses that the configuration gives to two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rsfilter.routing.model import Prefix


class Claim(NamedTuple):
    """A section claims an address or a range."""

    prefix: Prefix
    role: str
    """host, router or route_server."""
    place: str
    """The key that says so."""


def conflicts(claims: Iterable[Claim]) -> Iterator[tuple[str, str]]:
    """(place, what is wrong) for each claim that meets another one.

    Inside one host group an address or a range may lie within a larger range: it names a neighbor
    that the range only authorises. Nothing else may overlap, and nothing may be said twice.
    """
    open_claims: list[Claim] = []  # each covers the next, and all cover what follows for now
    for claim in sorted(claims, key=lambda c: c.prefix):
        while open_claims and not open_claims[-1].prefix.covers(claim.prefix):
            open_claims.pop()
        for other in reversed(open_claims):
            if other.prefix == claim.prefix or other.place != claim.place:
                yield claim.place, _text(claim, other)
                break
        if claim not in open_claims[-1:]:  # said again, it adds nothing
            open_claims.append(claim)


def _text(claim: Claim, other: Claim) -> str:
    if other.prefix == claim.prefix and other.place == claim.place:
        return f"{claim.prefix} is listed twice"
    where = "" if other.place == claim.place else f" of {other.place}"
    if other.prefix == claim.prefix:
        return f"{claim.prefix} is in {other.place} too"
    return f"{claim.prefix} lies inside {other.prefix}{where}"
