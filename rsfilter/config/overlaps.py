"""Detection of addresses that the configuration gives to two sections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rsfilter.routing.model import Prefix


class Claim(NamedTuple):
    """A section's claim to an address or a range."""

    prefix: Prefix
    role: str
    """host, router or route_server."""
    place: str
    """Key that makes the claim."""


def conflicts(claims: Iterable[Claim]) -> Iterator[tuple[str, str]]:
    """Yield (place, problem) for each claim that overlaps another.

    Inside one host group an address or a range may lie within a larger range: it names a neighbor,
    and the range only authorises it. Every other overlap, and every repetition, is a conflict.
    """
    open_claims: list[Claim] = []  # each covers the next, and all cover the current claim
    for claim in sorted(claims, key=lambda c: c.prefix):
        while open_claims and not open_claims[-1].prefix.covers(claim.prefix):
            open_claims.pop()
        for other in reversed(open_claims):
            if other.prefix == claim.prefix or other.place != claim.place:
                yield claim.place, _text(claim, other)
                break
        if claim not in open_claims[-1:]:  # a repeated claim adds nothing
            open_claims.append(claim)


def _text(claim: Claim, other: Claim) -> str:
    if other.prefix == claim.prefix and other.place == claim.place:
        return f"{claim.prefix} is listed twice"
    where = "" if other.place == claim.place else f" of {other.place}"
    if other.prefix == claim.prefix:
        return f"{claim.prefix} is in {other.place} too"
    return f"{claim.prefix} lies inside {other.prefix}{where}"
