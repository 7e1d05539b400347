"""What a process has begun, and its successor has to know if it is killed meanwhile.

ExaBGP does not tell it: a session that is being restarted looks like one that has ended; and what
two dead processes have told one after the other left in an order that nobody has seen.
"""

from __future__ import annotations

from typing import NamedTuple

from rsfilter.routing.model import Address


class Unsettled(NamedTuple):
    """Neighbors that something is under way with."""

    routers: frozenset[Address] = frozenset()
    """Inherited, and no barrier has passed yet (`router`): they may have something else than
    ExaBGP's table for them."""
    hosts: frozenset[Address] = frozenset()
    """Their sessions are being restarted (`repetition`)."""


SETTLED = Unsettled()
