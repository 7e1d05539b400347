"""Scenario E: hosts that are lost, and what is kept of them (RFC 9494).

Every sentence holds for IPv4 and IPv6, and for routers that get the best path or every path.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from signal import SIGKILL

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import SESSION_LOST, Lab
from lab.exabgp import RouteServer, group_of
from lab.frr import FrrRouter
from lab.stayrtr import Vrp, roas
from lab.waiting import eventually, throughout

pytestmark = pytest.mark.lab

HV1, HV2, HV3 = HOST_ASNS = 65001, 65002, 65003

ANYCAST = {4: "10.9.0.1/32", 6: "2001:db8:9::1/128"}

ANYCAST_BLOCKS = ("10.9.0.0/16", "2001:db8:9::/48")

LLGR_STALE, NO_LLGR = (65535, 6), (65535, 7)

HOLD_TIME_S = 3
"""The shortest there is (RFC 4271 section 4.2): how long a silent host goes unnoticed."""


def guest(asn: int, family: int, number: int = 1) -> str:
    """A host route of its own."""
    host = asn - 65000
    return f"10.{host}.0.{number}/32" if family == 4 else f"2001:db8:{host}::{number}/128"


class Site:
    """Three hosts that may vanish, and three kinds of routers."""

    def __init__(self, lab: Lab, stale_time: int) -> None:
        self.lab = lab
        self.route_server = rs = RouteServer(lab)
        self.audit = rs.audit
        self.hosts = {
            asn: BirdHost(lab, f"hv{asn}", 11 + n, asn, [rs.endpoint], HOLD_TIME_S)
            for n, asn in enumerate(HOST_ASNS)
        }
        self.leaf1 = BirdRouter(lab, "leaf1", 201, 65200, [rs.endpoint])
        self.leaf2 = BirdRouter(lab, "leaf2", 202, 65201, [rs.endpoint], paths="all", over=6)
        self.leaf3 = FrrRouter(lab, "leaf3", 203, 65200, [rs.endpoint], over=6)
        self.routers = (self.leaf1, self.leaf2, self.leaf3)
        vrps = [Vrp(n, f"10.{n - 65000}.0.0/16", 32) for n in HOST_ASNS]
        vrps += [Vrp(n, f"2001:db8:{n - 65000}::/48", 128) for n in HOST_ASNS]
        vrps += [
            Vrp(n, block, 128 if ":" in block else 32)
            for n in HOST_ASNS
            for block in ANYCAST_BLOCKS
        ]
        rs.writes_truth(roas(vrps))
        rs.configure(
            [group_of(h.name, h, stale_time=stale_time) for h in self.hosts.values()],
            [
                group_of("best", self.leaf1, self.leaf3, port=lab.bgp_port),
                group_of("all", self.leaf2, port=lab.bgp_port, paths="all"),
            ],
            truth={"file": "truth.json"},
        )
        for daemon in (rs, *self.hosts.values()):
            daemon.tolerated += SESSION_LOST

    def starts(self) -> None:
        """Start all; returns when every session is up."""
        self.route_server.starts()
        for peer in (*self.hosts.values(), *self.routers):
            peer.starts()
        for peer in (*self.hosts.values(), *self.routers):
            peer.is_up()

    def guests(self, *asns: int, number: int = 1) -> list[str]:
        """Host routes of these hosts, in every family."""
        return [guest(asn, family, number) for asn in asns for family in self.lab.families]

    def anycast(self) -> list[str]:
        """The prefixes that every host may announce."""
        return [ANYCAST[family] for family in self.lab.families]

    def are_stale(self, *prefixes: str) -> None:
        """Every router has them, marked."""
        for router in self.routers:
            router.has(*prefixes, communities=[LLGR_STALE])

    def are_fresh(self, *prefixes: str) -> None:
        """Every router has them, not marked."""
        for router in self.routers:
            router.has(*prefixes, communities=[])

    def are_from(self, asn: int, *prefixes: str, by_us: bool = False) -> None:
        """Every router prefers the paths of this host. `by_us`: where the choice is ours, since a
        router that gets every path does not compare the MED of two ASNs."""
        for router in (self.leaf1, self.leaf3) if by_us else self.routers:

            def probe(router: BirdRouter | FrrRouter = router) -> str | None:
                table = router.table()
                found = {
                    p: [path.as_path for path in table.get(p, []) if path.best] for p in prefixes
                }
                wrong = {p: paths for p, paths in found.items() if paths != [(asn,)]}
                return f"{router.name} prefers {wrong}" if wrong else None

            eventually(probe, self.lab.report)

    def moments(self) -> tuple[int, int]:
        """Now, as `removed` takes it."""
        return self.leaf1.moment(), self.leaf2.moment()

    def removed(self, since: tuple[int, int]) -> set[str]:
        """Routes that some router was without, since then."""
        changes = self.leaf1.changes(since[0]) + self.leaf2.changes(since[1])
        return {prefix for verb, prefix in changes if verb == "removed"}


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    with Lab() as lab:
        site = Site(lab, stale_time=120)
        site.starts()
        yield site


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    """A site with nothing announced; afterwards, no log may report an error."""
    yield running
    for host in running.hosts.values():
        host.withdraws_all()
    for router in running.routers:
        router.has_exactly()
    running.lab.no_errors()


def test_e1_a_host_vanishes_and_returns(site: Site) -> None:
    """Routes of a lost host stay, marked and last in every choice; when it is back the mark goes.
    No router was ever without one of them."""
    own, anycast = site.guests(HV1), site.anycast()
    site.hosts[HV1].announces(*own, *anycast)
    site.hosts[HV2].announces(*anycast, med=50)
    site.are_fresh(*own, *anycast)
    site.are_from(HV1, *anycast, by_us=True)
    site.leaf2.has(*anycast, paths=2)
    before = site.moments()

    site.hosts[HV1].vanishes()
    site.are_stale(*own)
    site.are_from(HV2, *anycast)
    site.leaf2.has(*anycast, paths=2, as_path=[HV1], communities=[LLGR_STALE])
    for prefix in own:
        site.audit.has(
            prefix=prefix, verdict="accepted", cause="session_down", data={"stale": True}
        )

    site.hosts[HV1].wakes()
    site.are_fresh(*own)
    site.are_from(HV1, *anycast, by_us=True)
    site.leaf2.has(*anycast, paths=2, as_path=[HV1], communities=[])
    assert site.removed(before) == set(), site.lab.report()
    for prefix in own:
        site.audit.has(prefix=prefix, verdict="accepted", cause="announce", data={"stale": False})


def test_e2_a_host_does_not_return(lab: Lab) -> None:
    """Its routes are withdrawn at the timer."""
    site = Site(lab, stale_time=4)
    site.starts()
    own = site.guests(HV1)
    site.hosts[HV1].announces(*own)
    site.are_fresh(*own)

    site.hosts[HV1].vanishes()
    site.leaf2.has(*own, communities=[LLGR_STALE])
    for router in site.routers:
        router.lacks(*own)
    for prefix in own:
        site.audit.has(event="withdraw", prefix=prefix, cause="stale_time", data={"stale": True})
    site.hosts[HV1].wakes()
    site.are_fresh(*own)
    lab.no_errors()


def test_e3_a_host_returns_with_one_route_less(site: Site) -> None:
    """The other one goes at the End-of-RIB, and the rest never went."""
    kept, lost = site.guests(HV1), site.guests(HV1, number=2)
    site.hosts[HV1].announces(*kept, *lost)
    site.are_fresh(*kept, *lost)
    before = site.moments()
    site.hosts[HV1].vanishes()
    site.are_stale(*kept, *lost)

    site.hosts[HV1].wakes()
    site.hosts[HV1].withdraws(*lost)  # to no host: its session has ended
    for router in site.routers:
        router.lacks(*lost)
    site.are_fresh(*kept)
    assert site.removed(before) == set(lost), site.lab.report()
    for prefix in lost:
        site.audit.has(event="withdraw", prefix=prefix, cause="end_of_rib", data={"stale": True})


def test_e4_a_host_shuts_down(site: Site) -> None:
    """An administrative shutdown withdraws at once."""
    own = site.guests(HV1)
    site.hosts[HV1].announces(*own)
    site.are_fresh(*own)
    site.hosts[HV1].shuts_down()
    for router in site.routers:
        router.lacks(*own)
    for prefix in own:
        record = site.audit.has(event="withdraw", prefix=prefix, cause="administrative")
        assert "data" not in record
    site.hosts[HV1].comes_back()
    site.are_fresh(*own)


def test_e5_some_routes_must_not_be_kept(site: Site) -> None:
    """NO_LLGR: gone as soon as the host is, and the others stay."""
    kept, frail = site.guests(HV1), site.guests(HV1, number=7)
    site.hosts[HV1].announces(*kept)
    site.hosts[HV1].announces(*frail, communities=[NO_LLGR])
    site.are_fresh(*kept)
    for router in site.routers:
        router.has(*frail, communities=[NO_LLGR])
    before = site.moments()
    site.hosts[HV1].dies()
    site.are_stale(*kept)
    for router in site.routers:
        router.lacks(*frail)
    site.hosts[HV1].starts()
    site.are_fresh(*kept)
    for router in site.routers:
        router.has(*frail, communities=[NO_LLGR])
    assert site.removed(before) == set(frail), site.lab.report()


def test_e6_a_host_marks_its_own(site: Site) -> None:
    """65535:6 from a host: passed on, and last in choice whatever the metric."""
    anycast = site.anycast()
    site.hosts[HV1].announces(*anycast, communities=[LLGR_STALE])
    site.are_stale(*anycast)
    site.hosts[HV2].announces(*anycast, med=50)
    site.are_from(HV2, *anycast)
    site.leaf2.has(*anycast, paths=2, as_path=[HV1], communities=[LLGR_STALE])
    site.hosts[HV2].withdraws(*anycast)
    site.are_from(HV1, *anycast)
    site.are_stale(*anycast)


def test_e7_every_host_vanishes(site: Site) -> None:
    """Routes of all hosts are stale in the same second, and none is lost."""
    everything = site.guests(*HOST_ASNS)
    for asn, host in site.hosts.items():
        host.announces(*site.guests(asn))
    site.are_fresh(*everything)
    before = site.moments()
    for host in site.hosts.values():
        host.vanishes()
    site.are_stale(*everything)
    for router in site.routers:
        router.has_exactly(*everything)
    for host in site.hosts.values():
        host.wakes()
    site.are_fresh(*everything)
    assert site.removed(before) == set(), site.lab.report()


def test_e8_exabgp_and_the_filter_die_and_are_back(lab: Lab) -> None:
    """Routers keep forwarding by what they had, until the last host is back and has repeated
    itself. What a host lost meanwhile goes then, and nothing else ever does."""
    site = Site(lab, stale_time=0)
    site.starts()
    everything, lost = site.guests(*HOST_ASNS), site.guests(HV1, number=2)
    for asn, host in site.hosts.items():
        host.announces(*site.guests(asn))
    site.hosts[HV1].announces(*lost)
    site.are_fresh(*everything, *lost)
    before = site.moments()

    for router in site.routers:
        router.tolerated += SESSION_LOST
    site.hosts[HV2].vanishes()
    kills(site.route_server)
    site.hosts[HV1].withdraws(*lost)
    site.route_server.starts()
    for peer in (site.hosts[HV1], site.hosts[HV3], *site.routers):
        peer.is_up()
    site.audit.has(event="verdict", prefix=site.guests(HV3)[-1], cause="announce")
    throughout(lambda: str(gone) if (gone := site.removed(before)) else None, 6.0, lab.report)
    for router in (site.leaf1, site.leaf2):
        router.has_exactly(*everything, *lost)

    site.hosts[HV2].wakes()
    for router in site.routers:
        router.has_exactly(*everything)
    assert site.removed(before) == set(lost), lab.report()
    lab.no_errors()


def kills(route_server: RouteServer) -> None:
    """Both are killed by `kill -9`: neither closes a session."""
    filter_pid = route_server.filter_pid()
    route_server.dies()
    with contextlib.suppress(ProcessLookupError):  # its stdin has ended
        os.kill(filter_pid, SIGKILL)
