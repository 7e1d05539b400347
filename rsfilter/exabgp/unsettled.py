"""Work that a process has begun, and that its successor has to know if the process is killed.

ExaBGP does not report it: a session under restart seems to have ended; and commands that two dead
processes sent in turn left ExaBGP in unknown order.
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
