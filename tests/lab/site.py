"""A whole site: hosts and routers around one route server, and where its data come from.

    65005 ... 65010   BIRD hosts, one ASN each
    rs                ExaBGP with rsfilter, AS 65100
    leaf1             BIRD, the best path; a session for each family
    leaf2             BIRD, every path (ADD-PATH); one session over IPv6 for both
    leaf3             FRR, the best path; one session over IPv4 for both

The data come from two StayRTR caches or from the truth file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, Section, group_of
from lab.frr import FrrRouter
from lab.speaker import Speaker
from lab.stayrtr import PORT, StayRtr, Vrp, roas
from lab.waiting import eventually

BEST_ASN, ALL_ASN = 65200, 65201

Source = Literal["stayrtr", "truth"]


class Site:
    """All programs in one lab, started and in session."""

    def __init__(
        self,
        lab: Lab,
        source: Source,
        vrps: Iterable[Vrp],
        host_asns: Sequence[int],
        *,
        rtr: dict[str, object] | None = None,
        recorded: bool = True,
        **sections: Section,
    ) -> None:
        """`sections`: further ones of the configuration, by name."""
        self.lab = lab
        self.source = source
        self.route_server = rs = RouteServer(lab, recorded=recorded)
        self.audit = rs.audit
        self.hosts = {
            asn: BirdHost(lab, f"hv{asn}", 11 + index, asn, [rs.endpoint])
            for index, asn in enumerate(host_asns)
        }
        self.leaf1 = BirdRouter(lab, "leaf1", 201, BEST_ASN, [rs.endpoint])
        self.leaf2 = BirdRouter(lab, "leaf2", 202, ALL_ASN, [rs.endpoint], paths="all", over=6)
        self.leaf3 = FrrRouter(lab, "leaf3", 203, BEST_ASN, [rs.endpoint], over=6)
        self.routers = (self.leaf1, self.leaf2, self.leaf3)
        self.caches: list[StayRtr] = []
        if source == "stayrtr":
            self.caches = [StayRtr(lab, f"cache{n}", 50 + n, vrps) for n in (1, 2)]
            addresses = [cache.address for cache in self.caches]
            data = {"rtr": {"caches": addresses, "retry": 1} | (rtr or {})}
        else:
            rs.writes_truth(roas(vrps))
            data = {"truth": {"file": "truth.json"}}
        rs.configure(
            [group_of(host.name, host) for host in self.hosts.values()],
            [
                group_of("best", self.leaf1, self.leaf3, port=lab.bgp_port),
                group_of("all", self.leaf2, port=lab.bgp_port, paths="all"),
            ],
            **data,
            **sections,
        )

    def starts(self) -> None:
        """Start all; returns when every session is up."""
        for cache in self.caches:
            cache.starts()
        self.route_server.starts()
        peers: list[Speaker] = [*self.hosts.values(), *self.routers]
        for peer in peers:
            peer.starts()
        for peer in peers:
            peer.is_up()

    def address(self, asn: int, family: int) -> str:
        """A host's own address."""
        return self.hosts[asn].addresses[family]

    def has_data(self, vrps: Iterable[Vrp]) -> None:
        """Give the route server other data, from wherever it takes them."""
        vrps = list(vrps)
        if self.source == "truth":
            self.route_server.writes_truth(roas(vrps))
        for cache in self.caches:
            cache.serves(vrps)

    def settles(self) -> None:
        """Withdraw everything, and wait until no router has anything left."""
        for host in self.hosts.values():
            host.withdraws_all()
        for router in self.routers:
            router.has_exactly()

    def cache_is_back(self, cache: StayRtr) -> None:
        """Wait until the route server is connected to a cache again."""
        where = f"{cache.address.rpartition(':')[0]}:{PORT}"

        def probe() -> str | None:
            connections = self.lab.run(["ss", "--no-header", "--tcp", "--numeric"])
            return None if f" {where} " in connections else f"nobody is connected to {where}"

        eventually(probe, self.lab.report)
