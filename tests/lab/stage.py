"""A stage: hosts and routers by name around route servers, all of any kind.

Hosts are in one group, authorised by a range and rendered from the truth, which binds each to its
addresses; one that truth does not know is named in the configuration. Hosts that are called
`hv4.red` and `hv4.blue` are one in truth, with two sessions. Everything is added before `starts`;
then `host("hv1")` and `router("leaf1")` have the verbs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lab.core import Lab, family_of
from lab.exabgp import RouteServer, group_of
from lab.host import Host
from lab.router import Router
from lab.story import expecting
from lab.waiting import eventually

FIRST_HOST, FIRST_ROUTER, FIRST_ROUTE_SERVER = 11, 201, 100
"""First number of addresses (`Lab.hosts_range` holds those of hosts)."""

ROUTER_ASN = 65200
"""Number of the first router; each has its own."""

GRACEFUL_SHUTDOWN = (65535, 0)

Owners = Mapping[str, Sequence[str]]
"""Prefixes by the name of the host."""


class Stage:
    """All programs in one lab. `names`: of the route servers; `group`: settings of the hosts'."""

    def __init__(self, lab: Lab, *, names: Sequence[str] = ("rs",), **group: object) -> None:
        self.lab = lab
        self.route_servers = [
            RouteServer(lab, name, FIRST_ROUTE_SERVER + n) for n, name in enumerate(names)
        ]
        self.route_server = self.route_servers[0]
        self.audit = self.route_server.audit
        self.hosts: dict[str, Host] = {}
        self.routers: dict[str, Router] = {}
        self.own_sections: dict[str, dict[str, Mapping[str, object]]] = {}
        """Sections of one route server's configuration alone, by its name."""
        self._as_path: dict[str, str] = {}
        self._group = group
        self._bound: set[str] = set()
        self._endpoints = [route_server.endpoint for route_server in self.route_servers]

    # Who is there -----------------------------------------------------------------------------

    def add_host(self, kind: type[Host], name: str, asn: int, **settings: Any) -> None:
        """A host, next to those before it. `settings`: those of its kind."""
        number = FIRST_HOST + len(self.hosts)
        self.hosts[name] = kind(self.lab, name, number, asn, self._endpoints, **settings)

    def add_router(
        self, kind: type[Router], name: str, as_path: str = "transparent", **settings: Any
    ) -> None:
        """A router. `as_path`: what the route servers send it, and "prepend" is what it insists on;
        `settings`: those of its kind."""
        number = FIRST_ROUTER + len(self.routers)
        asn = ROUTER_ASN + len(self.routers)
        router = kind(self.lab, name, number, asn, self._endpoints, **settings)
        router.enforces_first_as = as_path == "prepend"
        self.routers[name] = router
        self._as_path[name] = as_path

    def host(self, name: str) -> Host:
        """The host of this name."""
        return self.hosts[name]

    def router(self, name: str) -> Router:
        """The router of this name."""
        return self.routers[name]

    def __iter__(self) -> Iterator[Router]:
        return iter(self.routers.values())

    # Life -------------------------------------------------------------------------------------

    def owners(self, owners: Owners, revision: str = "", file: str = "") -> None:
        """Write the truth: these hosts are bound to their addresses, and own these prefixes.
        `file`: only beside the truth in force, under this name."""
        entries: dict[str, dict[str, Any]] = {}
        for host in self.hosts.values():
            name = host.name.partition(".")[0]
            if name not in owners:
                continue
            self._bound.add(host.name)
            entry = {"name": name, "asn": host.asn, "neighbors": [], "prefixes": list(owners[name])}
            entries.setdefault(name, entry)["neighbors"] += host.session_addresses
        document = {"hosts": list(entries.values()), "metadata": {"revision": revision}}
        for route_server in self.route_servers:
            if file:
                (route_server.place / file).write_text(json.dumps(document))
            else:
                route_server.writes_truth(document)

    def truth_is_in_force(self) -> None:
        """Wait until the filters judge by the truth as `owners` last wrote it."""
        for route_server in self.route_servers:
            digest = hashlib.sha256(route_server.truth.read_bytes()).hexdigest()

            def probe(route_server: RouteServer = route_server, digest: str = digest) -> str | None:
                changes = route_server.audit.records(event="data")
                in_force = changes[-1]["truth"] if changes else None
                return None if in_force and in_force["sha256"] == digest else f"still {in_force}"

            with expecting(f"{route_server.name} judges by the new truth"):
                eventually(probe, self.lab.report)

    def starts(self, **sections: Mapping[str, object]) -> None:
        """Configure and start all; returns when every session is up but those of idle hosts."""
        ranges = [self.lab.hosts_range(family) for family in self.lab.families]
        hosts: dict[str, object] = {"name": "hosts", "neighbors": ranges} | self._group
        if strangers := [h for h in self.hosts.values() if h.name not in self._bound]:
            hosts |= group_of("hosts", *strangers) | {
                "neighbors": [*ranges, *(a for h in strangers for a in h.session_addresses)]
            }
        routers = [
            group_of(
                name,
                router,
                port=self.lab.bgp_port,
                paths=router.paths,
                as_path=self._as_path[name],
            )
            for name, router in self.routers.items()
        ]
        for route_server in self.route_servers:
            own = self.own_sections.get(route_server.name, {})
            more = {"truth": {"file": "truth.json"}, **sections, **own}
            route_server.configure([hosts], routers, **more)
            route_server.starts()
        peers = [*self.routers.values(), *self.hosts.values()]
        for peer in peers:
            peer.starts()
        for peer in peers:
            if not peer.is_idle:
                peer.is_up()

    def settles(self) -> None:
        """Withdraw everything; every router then has nothing, and no log reports an error."""
        for host in self.hosts.values():
            host.withdraws_all()
        for router in self:
            router.has_exactly()
        self.lab.no_errors()

    # Sentences about all routers --------------------------------------------------------------

    def all_have(self, prefix: str, *via: str, **wanted: Any) -> None:
        """Every router has exactly one path over each of these hosts. Routers that get the best
        path have it over the first."""
        for router in self:
            hosts = via if router.paths == "all" else via[:1]
            for name in hosts:
                host = self.hosts[name]
                path = [host.asn]
                if self._as_path[router.name] == "prepend":
                    path = [self.route_server.asn, *path]
                router.has(
                    prefix,
                    paths=len(hosts) * len(self.route_servers),
                    next_hop=host.addresses[family_of(prefix)],
                    as_path=path,
                    **wanted,
                )

    def all_lack(self, *prefixes: str) -> None:
        """No router has any of them."""
        for router in self:
            router.lacks(*prefixes)
