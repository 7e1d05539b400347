"""Large communities (RFC 8092) that label routes in a looking glass, and nowhere else.

A looking glass shows reasons by community only. Labels are `own ASN:kind:number`, with the numbers
that Euro-IX's route servers use. They are made for a looking glass alone: routers never get them,
and a host that sends one is not believed. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from rsfilter.routing.export import Withheld
from rsfilter.routing.model import OriginState, Verdict
from rsfilter.routing.reasons import REASONS

LargeCommunity = tuple[int, int, int]

ORIGIN = 1000
"""Kind of the labels for the origin validation state (RFC 6811)."""

REJECTED = 1101
"""Kind of the labels for reasons: why a route is rejected or held."""

WITHHELD = 1102
"""Kind of the labels for reasons why an accepted route is not announced to a router."""

VALID, UNKNOWN, NOT_CHECKED, INVALID = 1, 2, 3, 4
"""Numbers of the origin validation states; NotFound is unknown to Euro-IX."""

_STATES = {
    OriginState.VALID: VALID,
    OriginState.NOT_FOUND: UNKNOWN,
    OriginState.INVALID: INVALID,
}

_UNCHECKED = frozenset({"data_unavailable", "prefix_malformed"})
"""Reasons with which an origin is not validated at all."""


def labels(own_asn: int, verdict: Verdict) -> tuple[LargeCommunity, ...]:
    """Return the labels of a verdict: each reason once, most specific first, and the origin
    validation state."""
    numbers = dict.fromkeys(REASONS[name].euro_ix for name in verdict.reasons)
    state = _STATES[verdict.validation.state]
    if not _UNCHECKED.isdisjoint(verdict.reasons):
        state = NOT_CHECKED
    return (*((own_asn, REJECTED, number) for number in numbers), (own_asn, ORIGIN, state))


def withheld_label(own_asn: int, withheld: Withheld) -> LargeCommunity:
    """Return the label of a route that a router does not get."""
    return own_asn, WITHHELD, withheld.number


def foreign(own_asn: int, communities: Iterable[LargeCommunity]) -> tuple[LargeCommunity, ...]:
    """Return the communities that name another ASN than ours: a host could imitate labels."""
    return tuple(community for community in communities if community[0] != own_asn)


def rejection_texts() -> dict[int, str]:
    """Return the text of each number of `REJECTED`. Reasons that share a number share a text."""
    texts: dict[int, str] = {}
    for reason in REASONS.values():
        known = texts.get(reason.euro_ix)
        texts[reason.euro_ix] = f"{known}; or {reason.text}" if known else reason.text
    return texts
