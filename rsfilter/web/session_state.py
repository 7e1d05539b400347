"""The state of a session: one name for it in every answer."""

from __future__ import annotations

from rsfilter.routing.model import Address
from rsfilter.web.context import Running
from rsfilter.web.schema import NeighborState


def state_of(running: Running, address: Address) -> NeighborState:
    """Return the state of a neighbor's session, whether one was ever seen or not."""
    session = running.filter.engine.sessions.get(address)
    if session is not None and session.is_up:
        return "up"
    if address in running.filter.expected.absent_hosts:
        return "absent"
    is_known = session is not None or address in running.filter.egress.routers
    return "down" if is_known else "expected"
