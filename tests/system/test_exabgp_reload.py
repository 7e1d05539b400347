"""ExaBGP reloads its configuration (SIGUSR1): neighbors come, go, and come back.

What it prints of that differs: nothing at all for a router that goes while its session is down.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from signal import SIGHUP

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.waiting import eventually

pytestmark = pytest.mark.lab

HV1, HV2, LEAF = 65001, 65002, 65200
ONE, TWO, BOTH = "10.1.0.1/32", "10.2.0.1/32", "10.9.0.1/32"
LATER = "10.1.0.2/32"


class Site:
    """Two hosts, a router that takes the best path, and one that takes them all."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.rs = RouteServer(lab)
        self.hosts = [
            BirdHost(lab, f"hv{n}", 10 + n, 65000 + n, [self.rs.endpoint]) for n in (1, 2)
        ]
        self.best = BirdRouter(lab, "best", 201, LEAF, [self.rs.endpoint], over=4)
        self.all = BirdRouter(lab, "all", 202, LEAF, [self.rs.endpoint], paths="all", over=4)
        self.routers = [self.best, self.all]
        blocks = [("10.1.0.0/16", HV1), ("10.2.0.0/16", HV2), ("10.9.0.0/16", HV1)]
        blocks.append(("10.9.0.0/16", HV2))
        self.rs.writes_truth(
            {"roas": [{"prefix": p, "maxLength": 32, "asn": asn} for p, asn in blocks]}
        )

    def configures(
        self,
        hosts: Sequence[BirdHost] | None = None,
        routers: Sequence[BirdRouter] | None = None,
        *,
        paths: str = "all",
    ) -> None:
        """Write rsfilter.toml with these neighbors; `paths` is for the router that takes all."""
        groups = [group_of(h.name, h) for h in (self.hosts if hosts is None else hosts)]
        settings = {"best": "best", "all": paths}
        self.rs.configure(
            groups,
            [
                group_of(r.name, r, port=self.lab.bgp_port, paths=settings[r.name])
                for r in (self.routers if routers is None else routers)
            ],
            truth={"file": "truth.json"},
        )

    def starts(self) -> None:
        """Start all; return when routers have all routes that are announced."""
        self.rs.starts()
        for host, own in zip(self.hosts, (ONE, TWO), strict=True):
            host.announces(own, BOTH)
        for daemon in (*self.hosts, *self.routers):
            daemon.starts()

    def hosts_are_taken_in(self) -> None:
        """The running filter reads rsfilter.toml again."""
        os.kill(self.rs.filter_pid(), SIGHUP)
        self.rs.audit.has(event="reload")

    def has_all(self) -> None:
        """Wait until each router has what both hosts announce."""
        self.best.has_exactly(ONE, TWO, BOTH)
        self.all.has_exactly(ONE, TWO, BOTH)
        self.all.has(BOTH, paths=2)
        self.best.has(BOTH, paths=1, next_hop=self.hosts[0].addresses[4])

    def is_quick(self) -> None:
        """A withdraw still reaches every router that is there: none waits for a lost message."""
        self.hosts[0].announces(LATER)
        for router in self.routers:
            router.has(LATER)
        self.hosts[0].withdraws(LATER)
        for router in self.routers:
            router.lacks(LATER)
        assert self.rs.errors() == []


@pytest.fixture
def site() -> Iterator[Site]:
    with Lab() as lab:
        yield Site(lab)


def test_a_host_comes_and_goes_and_comes_back(site: Site) -> None:
    site.configures(site.hosts[:1])
    site.starts()
    site.all.has_exactly(ONE, BOTH)
    site.configures()
    site.hosts_are_taken_in()
    site.rs.reloads()
    site.has_all()
    site.configures(site.hosts[:1])
    site.rs.reloads()
    site.best.has_exactly(ONE, BOTH)
    site.all.has_exactly(ONE, BOTH)
    site.all.has(BOTH, paths=1)
    site.configures()
    site.rs.reloads()
    site.has_all()
    site.is_quick()


@pytest.mark.parametrize("is_down", [False, True], ids=["up", "down"])
def test_a_router_goes_and_comes_back(site: Site, is_down: bool) -> None:
    """Its table at ExaBGP is gone with it: all of it has to be sent again."""
    site.configures()
    site.starts()
    site.has_all()
    if is_down:
        site.best.shuts_down()
        site.rs.audit.has(event="session_down", neighbor=site.best.addresses[4])
    site.configures(routers=[site.all])
    site.rs.reloads()
    if not is_down:
        eventually(lambda: "still up" if any(site.best.sessions().values()) else None)
    site.configures()
    site.rs.reloads()
    if is_down:
        site.best.comes_back()
    site.has_all()
    site.is_quick()


def test_a_router_is_new(site: Site) -> None:
    """The filter learns of it at its next start only; until then the router gets nothing."""
    site.configures(routers=[site.all])
    site.starts()
    site.all.has_exactly(ONE, TWO, BOTH)
    site.configures()
    site.rs.reloads()
    site.best.is_up()
    site.best.has_exactly()
    site.rs.filter_restarts()
    site.has_all()
    site.is_quick()


def test_a_router_leaves_add_path_and_takes_it_up_again(site: Site) -> None:
    """Withdraws of its old paths name no path then: they must not cost it the best one."""
    site.configures()
    site.starts()
    site.has_all()
    for paths, expected in (("best", 1), ("all", 2)):
        site.configures(paths=paths)
        site.rs.reloads()
        site.rs.filter_restarts()
        site.all.has(BOTH, paths=expected)
        site.all.has_exactly(ONE, TWO, BOTH)
        site.is_quick()
