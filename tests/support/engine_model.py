"""A naive engine: it keeps what is announced, and works everything else out anew each time.

It shares the judge with the real one (the policy has tests of its own) and nothing else: limits,
preference, path ids and what routers get are written again from the manual's words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import astuple

from rsfilter.routing.export import OutAttributes, Paths
from rsfilter.routing.groups import HostGroup, RouterGroup
from rsfilter.routing.judging import judge
from rsfilter.routing.model import Address, Prefix, Route, Verdict, VerdictKind
from rsfilter.routing.validation import Data

Slot = tuple[Prefix, int]

NO_EXPORT, NO_ADVERTISE, LLGR_STALE = (65535, 65281), (65535, 65282), (65535, 6)
GRACEFUL_SHUTDOWN = (65535, 0)

STRANGERS = HostGroup("", ())


@dataclass
class Model:
    """Live announcements by neighbor, in order of first arrival."""

    own_asn: int
    hosts: HostGroup
    routers: Sequence[RouterGroup]
    data: Data
    max_over_limit: int
    announced: dict[Address, dict[Slot, Route]] = field(default_factory=dict)
    unrepeated: dict[tuple[Address, int], set[Slot]] = field(default_factory=dict)
    phase: str = "in_service"
    """Phase of a drain: in_service, draining or drained."""

    # Events ------------------------------------------------------------------------------------

    def announce(self, route: Route) -> None:
        neighbor, prefix, path_id = astuple(route.key)
        table = self.announced.setdefault(neighbor, {})
        self.unrepeated.get((neighbor, prefix.family), set()).discard((prefix, path_id))
        room = self._rules(neighbor).max_prefixes + self.max_over_limit
        if (prefix, path_id) in table or len(table) < room:
            table[prefix, path_id] = route

    def withdraw(self, neighbor: Address, slot: Slot) -> None:
        self.announced.get(neighbor, {}).pop(slot, None)

    def drop(self, neighbor: Address) -> None:
        self.announced.pop(neighbor, None)
        for family in (4, 6):
            self.unrepeated.pop((neighbor, family), None)

    def begin_refresh(self, neighbor: Address, family: int) -> None:
        slots = self.announced.get(neighbor, {})
        self.unrepeated[neighbor, family] = {slot for slot in slots if slot[0].family == family}

    def end_refresh(self, neighbor: Address, family: int) -> None:
        for slot in self.unrepeated.pop((neighbor, family), ()):
            self.withdraw(neighbor, slot)

    # What follows ------------------------------------------------------------------------------

    def verdicts(self) -> dict[Route, Verdict]:
        found = {}
        for neighbor, table in self.announced.items():
            rules = self._rules(neighbor)
            group = None if rules is STRANGERS else rules
            for place, route in enumerate(table.values()):
                within = place < rules.max_prefixes
                found[route] = judge(route, group, self.data, within_limit=within)
        return found

    def _rules(self, neighbor: Address) -> HostGroup:
        is_ours = any(network.holds(neighbor) for network in self.hosts.networks)
        return self.hosts if is_ours else STRANGERS

    def routes_out(self) -> dict[tuple[str, Prefix], Paths]:
        accepted: dict[Prefix, list[Route]] = {}
        if self.phase == "drained":
            return {}
        for route, verdict in self.verdicts().items():
            if verdict.kind is VerdictKind.ACCEPTED:
                accepted.setdefault(route.key.prefix, []).append(route)
        found = {}
        for group in self.routers:
            for prefix, routes in accepted.items():
                if paths := self._paths(group, routes):
                    found[group.name, prefix] = paths
        return found

    def _paths(self, group: RouterGroup, routes: list[Route]) -> Paths:
        sent = [route for route in sorted(routes, key=_preference) if self._goes(route, group)]
        if not group.all_paths:
            return tuple((0, self._attributes(route, group)) for route in sent[:1])
        return tuple((_path_id(route), self._attributes(route, group)) for route in sent)

    def _goes(self, route: Route, group: RouterGroup) -> bool:
        communities = route.attributes.communities
        is_internal = group.asn == self.own_asn
        return NO_ADVERTISE not in communities and (is_internal or NO_EXPORT not in communities)

    def _attributes(self, route: Route, group: RouterGroup) -> OutAttributes:
        came = route.attributes
        asking = {self.own_asn, *(each.asn for each in self.routers)}
        passed = tuple(c for c in came.communities if c[0] not in asking)
        leaves = self.phase == "draining" and GRACEFUL_SHUTDOWN not in passed
        (next_hop,) = (hop for hop in route.next_hops if not str(hop).startswith("fe80:"))
        return OutAttributes(
            next_hop=next_hop,
            as_path=((self.own_asn,) if group.prepend else ())
            + (route.asn,) * len(came.as_path.asns),
            origin=came.origin,
            med=came.med,
            communities=(*passed, GRACEFUL_SHUTDOWN) if leaves else passed,
            large_communities=tuple(c for c in came.large_communities if c[0] not in asking),
            extended_communities=came.extended_communities,
        )


def _preference(route: Route) -> tuple[int, int, int, int, int]:
    stale = 1 if LLGR_STALE in route.attributes.communities else 0
    med = 0 if route.attributes.med is None else route.attributes.med
    return stale, med, route.key.neighbor.family, route.key.neighbor.value, route.key.path_id


def _path_id(route: Route) -> int:
    if route.key.neighbor.family == 4 and route.key.path_id == 0:
        return route.key.neighbor.value
    text = f"{route.key.neighbor} {route.key.path_id}"
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def difference(
    before: Mapping[tuple[str, Prefix], Paths], after: Mapping[tuple[str, Prefix], Paths]
) -> set[tuple[str, Prefix]]:
    """Places where routers should have something else than before."""
    return {where for where in before | after if before.get(where) != after.get(where)}
