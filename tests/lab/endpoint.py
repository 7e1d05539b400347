"""The two sides of a BGP session, as either configuration needs them."""

from __future__ import annotations

from dataclasses import dataclass

HOLD_TIME_S = 30
"""Long enough for a busy machine; a test that waits for its end sets its own."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where somebody speaks BGP."""

    name: str
    asn: int
    addresses: dict[int, str]
    """By family: 4 and 6, or 4 alone."""
    port: int
