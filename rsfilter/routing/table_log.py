"""Audit events of a routing table, in order, with the names and data that they are to carry."""

from __future__ import annotations

from rsfilter.routing.effects import AuditEvent, GuardChange, NlriRefused, NotKept, VerdictChange
from rsfilter.routing.events import Update
from rsfilter.routing.groups import Neighbors
from rsfilter.routing.guard import Guard
from rsfilter.routing.model import UNICAST, Address, Route, Verdict, VerdictKind
from rsfilter.routing.validation import Data


class TableLog:
    """Collects the audit events of a table until they are taken."""

    def __init__(self, neighbors: Neighbors, guard: Guard, data: Data) -> None:
        self.events: list[AuditEvent] = []
        self.data = data
        """Data in force: those of the table, which sets them."""
        self._neighbors = neighbors
        self._guard = guard
        self._named: tuple[int, Address, Data, str] | None = None
        """The last host whose name was requested, with the data that named it, and the name."""

    def add(self, event: AuditEvent) -> None:
        """Log an event that another part has made."""
        self.events.append(event)

    def verdict(
        self,
        route: Route,
        verdict: Verdict | None,
        was: VerdictKind | None,
        cause: str,
        *,
        stale: bool | None = None,
    ) -> None:
        """Log a verdict, or that a route does not exist any more (None)."""
        name = self.host_name(route.asn, route.key.neighbor)
        provenance = self.data.provenance
        self.events.append(VerdictChange(route, name, verdict, was, cause, provenance, stale))

    def guard(
        self,
        action: str,
        routes: int,
        detail: str,
        *,
        accepted: int = 0,
        lost: int = 0,
        source: str = "",
    ) -> None:
        """Log what the guard has done: see `GuardChange`."""
        self.add(
            GuardChange(
                action=action,
                routes=routes,
                accepted=accepted,
                held=self._guard.held,
                source=source,
                detail=detail,
                provenance=self.data.provenance,
                lost=lost,
            )
        )

    def refused(self, update: Update, family: str, nlri: str) -> None:
        """Log an NLRI that no route can be made of."""
        neighbor, asn = update.neighbor, update.asn
        reason = "prefix_malformed" if family in UNICAST.values() else "family_not_allowed"
        name, provenance = self.host_name(asn, neighbor), self.data.provenance
        self.add(NlriRefused(neighbor, asn, name, family, nlri, reason, provenance))

    def not_kept(self, update: Update, routes: int) -> None:
        """Log that there was no room for so many routes of an UPDATE."""
        neighbor, asn = update.neighbor, update.asn
        self.add(NotKept(neighbor, asn, self.host_name(asn, neighbor), routes))

    def host_name(self, asn: int, neighbor: Address) -> str:
        """Return the truth's name for a host, else its group's."""
        if self._named is not None:
            last_asn, last_neighbor, data, name = self._named
            if asn == last_asn and neighbor == last_neighbor and data is self.data:
                return name
        host = self.data.bindings.host(asn, neighbor)
        name = host.name if host else self._neighbors.identify(neighbor).group
        self._named = asn, neighbor, self.data, name
        return name

    def forget_name(self) -> None:
        """Forget the last host's name: groups may have changed."""
        self._named = None
