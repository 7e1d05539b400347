"""The verdict of every route, and what follows when one is set.

    Adj-RIB-In -> judge -> Adj-RIB-Out
                    |
                    +-> audit events

The tables and the data in force are here; why a route is judged at all is the engine's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rsfilter.routing.adj_rib_in import AdjRibIn, Entry
from rsfilter.routing.adj_rib_out import AdjRibOut
from rsfilter.routing.effects import Actions, GuardChange, OutChange, VerdictChange
from rsfilter.routing.groups import HostGroup, Limits, Neighbors, RouterGroup
from rsfilter.routing.guard import Guard
from rsfilter.routing.model import Address, Prefix, Route, Verdict, VerdictKind
from rsfilter.routing.policy import Judge
from rsfilter.routing.rules import rules
from rsfilter.routing.validation import Data


class Verdicts:
    """Judges routes by the data in force, and keeps the tables and the actions that follow."""

    def __init__(
        self,
        own_asn: int,
        neighbors: Neighbors,
        routers: Sequence[RouterGroup],
        data: Data,
        limits: Limits,
    ) -> None:
        self.data = data
        self.guard = Guard(limits)
        self.neighbors = neighbors
        self.rib_in = AdjRibIn()
        asns = frozenset(asn for group in routers for asn in (group.asn, *group.asns_behind))
        self.ribs_out = {group.name: AdjRibOut(own_asn, group, asns) for group in routers}
        self.actions = Actions([], [], [])
        """What has followed since they were taken."""
        self._to_export: list[Prefix] = []
        """Prefixes whose candidates may be others since then."""
        self._judge = Judge()
        self._named: tuple[int, Address, Data, str] | None = None
        """The last host that was asked for, by what data, and its name; None: ask anew."""

    def take_actions(self) -> Actions:
        """What has followed since the last call, in order."""
        self._export()
        taken, self.actions = self.actions, Actions([], [], [])
        return taken

    def insert(
        self, routes: Sequence[Route], group: HostGroup | None, *, within_limit: bool
    ) -> None:
        """Routes of one neighbor and AS that were not there."""
        if not routes:
            return
        verdicts = self._judge.all(routes, group, self.data, within_limit=within_limit)
        guard, own = self.guard, [rules(route, group, self.data) for route in routes]
        if guard.has_a_say:
            verdicts = list(map(guard.verdict, routes, verdicts, own))
        for route, verdict, rule in zip(routes, verdicts, own, strict=True):
            if verdict.kind is VerdictKind.ACCEPTED:
                guard.accept(route, rule)
        entries = [
            Entry(route, verdict, within_limit)
            for route, verdict in zip(routes, verdicts, strict=True)
        ]
        self.rib_in.insert(entries)
        name = self.host_name(routes[0].asn, routes[0].key.neighbor)
        provenance = self.data.provenance
        self.actions.audit.extend(
            [
                VerdictChange(route, name, verdict, None, "announce", provenance)
                for route, verdict in zip(routes, verdicts, strict=True)
            ]
        )
        self.export(*[entry.route.key.prefix for entry in entries if entry.is_announced])

    def judge(self, entry: Entry, group: HostGroup | None) -> Verdict:
        """What the data in force say of a route that is in the table; sets nothing."""
        return self._judge(entry.route, group, self.data, within_limit=entry.within_limit)

    def rules(self, entry: Entry) -> str:
        """See `rules.rules`."""
        group = self.neighbors.group(entry.route.key.neighbor)
        return rules(entry.route, group, self.data)

    def guarded(self, entry: Entry, verdict: Verdict) -> Verdict:
        """What becomes of a verdict by the data in force: see `Guard.verdict`."""
        return self.guard.verdict(entry.route, verdict, self.rules(entry))

    def rejudge(self, entry: Entry, group: HostGroup | None, cause: str) -> None:
        """Judges a route that is in the table by the data in force alone: it is held no longer."""
        self.guard.forget(entry.route.key)
        self.set(entry, self.judge(entry, group), cause)

    def set(self, entry: Entry, verdict: Verdict, cause: str, *, is_back: bool = False) -> None:
        """Another verdict. `is_back`: the route was stale until now, which is audited even if its
        verdict stays."""
        was = entry.verdict
        self.rib_in.set_verdict(entry, verdict)
        if entry.is_accepted:
            self.guard.accept(entry.route, self.rules(entry))
        elif was.kind is VerdictKind.ACCEPTED and not entry.is_announced:
            self.guard.reject(entry.route.key)
        if is_back:
            self.audit(entry.route, verdict, was.kind, cause, stale=False)
        elif (was.kind, was.reasons) != (verdict.kind, verdict.reasons):
            stale = self.rib_in.is_stale(entry.route.key) or None
            self.audit(entry.route, verdict, was.kind, cause, stale=stale)

    def audit(
        self,
        route: Route,
        verdict: Verdict | None,
        was: VerdictKind | None,
        cause: str,
        *,
        stale: bool | None = None,
    ) -> None:
        """Notes a verdict for the audit log, or that a route is gone (None)."""
        name = self.host_name(route.asn, route.key.neighbor)
        self.actions.audit.append(
            VerdictChange(route, name, verdict, was, cause, self.data.provenance, stale)
        )

    def audit_guard(
        self,
        action: str,
        routes: int,
        detail: str,
        *,
        accepted: int = 0,
        lost: int = 0,
        source: str = "",
    ) -> None:
        """Notes for the audit log what the guard has done: see `GuardChange`."""
        self.actions.audit.append(
            GuardChange(
                action=action,
                routes=routes,
                accepted=accepted,
                held=self.guard.held,
                source=source,
                detail=detail,
                provenance=self.data.provenance,
                lost=lost,
            )
        )

    def replace_hosts(self, hosts: Iterable[HostGroup]) -> None:
        """Other host groups are in force; nothing is judged by them yet."""
        self.neighbors.replace_hosts(hosts)
        self._named = None

    def host_name(self, asn: int, neighbor: Address) -> str:
        """The truth's name for a host, else its group's."""
        if self._named is not None:
            last_asn, last_neighbor, data, name = self._named
            if asn == last_asn and neighbor == last_neighbor and data is self.data:
                return name
        host = self.data.bindings.host(asn, neighbor)
        name = host.name if host else self.neighbors.identify(neighbor).group
        self._named = asn, neighbor, self.data, name
        return name

    def export(self, *prefixes: Prefix) -> None:
        """Every router's table is to be brought up to date with the candidates of these prefixes:
        once, when the actions are taken, whatever else happens to them until then."""
        self._to_export += prefixes

    def _export(self) -> None:
        candidates = self.rib_in.take_candidates
        found = [(prefix, candidates(prefix)) for prefix in self._to_export]
        self._to_export.clear()
        for name, rib in self.ribs_out.items():
            if changed := rib.update(found):
                self.actions.out.append(OutChange(name, tuple(changed)))
