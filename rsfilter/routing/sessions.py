"""The sessions of neighbors as they were last seen. One that begins or ends changes the table."""

from __future__ import annotations

from dataclasses import dataclass

from rsfilter.routing.effects import SessionChange
from rsfilter.routing.events import SessionDown, SessionUp
from rsfilter.routing.model import Address
from rsfilter.routing.table import RoutingTable


@dataclass(slots=True)
class Session:
    """A neighbor as it was last seen."""

    asn: int
    is_up: bool
    since: float
    """Time of the last change of `is_up`, in the time of the events."""
    wrong_asn: int = 0
    """Refused ASN, as in `SessionDown.wrong_asn`."""
    reason: str = ""
    """Reason of the last session loss, as the speaker reports it; empty if there was none."""
    flaps: int = 0
    """Number of session losses."""


class Sessions:
    """Keeps the sessions of all neighbors, and makes the table follow them."""

    def __init__(self, table: RoutingTable) -> None:
        self.known: dict[Address, Session] = {}
        self._table = table

    def up(self, event: SessionUp, now: float) -> None:
        """Begin a session. What an earlier one left under another ASN is dropped."""
        known = self.known.get(event.neighbor)
        if known is not None and known.asn != event.asn:
            self._table.drop_all(event.neighbor, "session_down")  # the address has another owner
        elif known is not None and known.is_up:
            # the end of the last one went unseen
            self._table.lose_host(event.neighbor, "session_down", now)
        self._set(event.neighbor, Session(event.asn, is_up=True, since=now), "")

    def down(self, event: SessionDown, now: float) -> None:
        """End a session; audit it unless ExaBGP repeats `down`, as it does if it cannot connect."""
        is_restart = event.is_restart
        if event.administrative:
            self._table.drop_all(event.neighbor, "administrative", is_restart=is_restart)
        else:
            self._table.lose_host(event.neighbor, "session_down", now, is_restart=is_restart)
        known = self.known.get(event.neighbor)
        is_news = event.wrong_asn and known is not None and event.wrong_asn != known.wrong_asn
        if known is None or known.is_up or is_news:
            since = now if known is None or known.is_up else known.since
            session = Session(event.asn, is_up=False, since=since, wrong_asn=event.wrong_asn)
            self._set(event.neighbor, session, event.reason)

    def _set(self, neighbor: Address, session: Session, reason: str) -> None:
        """Keep and audit a session; it inherits the history of the neighbor's last one."""
        before = self.known.get(neighbor)
        if before is not None:
            session.flaps = before.flaps + (before.is_up and not session.is_up)
        session.reason = before.reason if before and session.is_up else reason
        self.known[neighbor] = session
        role, group = self._table.neighbors.identify(neighbor)
        bindings = self._table.data.bindings
        host = bindings.host(session.asn, neighbor) if role == "host" else None
        self._table.log.add(
            SessionChange(
                neighbor,
                session.asn,
                role,
                group,
                session.is_up,
                reason,
                host=host.name if host else "",
                wrong_asn=session.wrong_asn,
            )
        )
