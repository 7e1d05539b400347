"""RPKI caches fail in every way while a probe watches the routers: no valid route is missing for an
instant, no hijack is there for one.

    cache1   StayRTR                       rs1 prefers cache1; data that expire stay in force
    cache2   scripted (`rtr_faults`)       rs2 prefers cache2; data that expire reject
    hv1      owns the guests, and `not_found = "reject"`: a VRP that is missing loses a route
    hv2      announces them too, and `not_found = "accept"`: a VRP that is missing lets it in
    leaf1    learns from rs1, the best path; leaf2 from rs2, every path

`refresh` and `retry` are 1 s, the grace for a cache that restarts thereby 5 s, `expire` 8 s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.probe import Moment, Probe
from lab.scripted import ScriptedCache
from lab.stayrtr import StayRtr, Vrp
from lab.waiting import eventually, throughout
from support.rtr_faults import FAULTS, FORGED, UPDATE_FAULTS

pytestmark = pytest.mark.lab

OWNER, THIEF = 65001, FORGED.asn
GRACE_S, EXPIRE_S = 5.0, 8.0
SLACK_S = 3.0
"""A turn of `refresh`, one of `retry`, and a busy machine."""

GUESTS = [f"10.1.0.{n}/32" for n in range(1, 21)]
"""Enough for the guard, which never holds a loss of fewer than ten."""

OPENED = "10.66.0.1/32"
"""Guests of the owner; the thief's if a VRP counted that no cache holds (`FORGED`)."""

STOLEN = [GUESTS[0], OPENED]
VALID = [*GUESTS, OPENED]
CONTESTED = "10.7.0.1/32"
"""Guest that both announce; the caches decide whose it is."""

MARKER = "10.8.0.1/32"


def data(*, contested: int | None = None, marker: int = OWNER, guests: int = 20) -> list[Vrp]:
    """VRPs that the caches hold; `contested`, `marker`: whose these are; so many guests have a
    VRP."""
    owned = [(prefix, OWNER) for prefix in (*GUESTS[:guests], OPENED)]
    if contested:
        owned.append((CONTESTED, contested))
    return [Vrp(asn, prefix, 32) for prefix, asn in (*owned, (MARKER, marker))]


class Caches:
    """The site."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.cache1 = StayRtr(lab, "cache1", 50, data())
        self.cache2 = ScriptedCache(lab, "cache2", 51, data())
        self.rs1, self.rs2 = (RouteServer(lab, f"rs{n}", 100 + n) for n in (1, 2))
        servers = [self.rs1.endpoint, self.rs2.endpoint]
        self.owner = BirdHost(lab, "hv1", 11, OWNER, servers)
        self.thief = BirdHost(lab, "hv2", 12, THIEF, servers)
        self.leaf1 = BirdRouter(lab, "leaf1", 201, 65200, servers[:1], over=4)
        self.leaf2 = BirdRouter(lab, "leaf2", 202, 65200, servers[1:], paths="all", over=4)
        self.leaves = (self.leaf1, self.leaf2)
        self.probe = Probe(*self.leaves)
        self.probe1, self.probe2 = Probe(self.leaf1), Probe(self.leaf2)
        for host in (self.owner, self.thief):
            host.speaks_only_over(4)
        orders = [[self.cache1.address, self.cache2.address]] * 2
        orders[1] = orders[0][::-1]
        for server, leaf, order, on_expire in zip(
            (self.rs1, self.rs2), self.leaves, orders, ("hold", "reject"), strict=True
        ):
            server.tolerated += ["RTR cache", "guard: ", "RTR data have expired"]
            server.configure(
                [group_of("owner", self.owner), group_of("thief", self.thief, not_found="accept")],
                [group_of("leaf", leaf, port=lab.bgp_port, paths=leaf.paths)],
                rtr={
                    "caches": order,
                    "refresh": 1,
                    "retry": 1,
                    "expire": int(EXPIRE_S),
                    "on_expire": on_expire,
                },
            )

    def starts(self) -> None:
        """Announce everything, the thief included; return when the routers have what is valid."""
        for daemon in (self.cache1, self.cache2, self.rs1, self.rs2, self.owner, self.thief):
            daemon.starts()
        for leaf in self.leaves:
            leaf.starts()
            leaf.is_up()
        self.owner.announces(*VALID, MARKER, CONTESTED)
        self.thief.announces(*STOLEN)
        for leaf in self.leaves:
            leaf.has_exactly(*VALID, MARKER)
        for server in (self.rs1, self.rs2):
            for prefix in STOLEN:
                server.audit.has(prefix=prefix, asn=THIEF, verdict="rejected")

    def serves(self, vrps: list[Vrp]) -> None:
        """Both caches hold other data."""
        self.cache1.serves(vrps)
        self.cache2.serves(vrps)

    def follows(self) -> None:
        """Both filters still follow their caches: a VRP that goes and comes has its effect."""
        self.serves(data(marker=THIEF))
        for leaf in self.leaves:
            leaf.lacks(MARKER)
        self.serves(data())
        for leaf in self.leaves:
            leaf.has_exactly(*VALID, MARKER)

    def unharmed(self, since: Moment) -> None:
        """Require that at no instant a valid route was missing or a hijack there."""
        self.probe.never_missing(VALID, since)
        self.probe.never_had(STOLEN, since, asn=THIEF)


@pytest.fixture(scope="module")
def running() -> Iterator[Caches]:
    with Lab() as lab:
        caches = Caches(lab)
        caches.starts()
        yield caches


@pytest.fixture
def site(running: Caches) -> Iterator[Caches]:
    """Afterwards all is as before, and nothing happened in between."""
    start = running.probe.moment()
    yield running
    running.follows()
    running.probe.never_had(STOLEN, start, asn=THIEF)
    running.lab.no_errors()


QUICK = [
    "cut half way",
    "cut within a PDU",
    "no data available",
    "huge length",
    "unknown PDU type 99",
    "End of Data of another session",
    "Cache Response of another session",
    "Cache Response of another session than End of Data",
]
SLOW = sorted((FAULTS | UPDATE_FAULTS).keys() - set(QUICK))


@pytest.mark.parametrize("faults", [QUICK, pytest.param(SLOW, marks=pytest.mark.slow)])
def test_a_cache_that_answers_wrongly_harms_nothing(site: Caches, faults: list[str]) -> None:
    """Each in the place of an update, and of all data after it."""
    start = site.probe.moment()
    for fault in faults:
        site.cache2.fails(fault)
        site.cache2.serves(data(contested=OWNER))
        site.cache2.has_answered()
        site.cache2.serves(data())
    site.unharmed(start)


def test_a_cache_that_restarts_and_breaks_off_its_first_answers(site: Caches) -> None:
    start = site.probe.moment()
    site.cache2.goes()
    site.cache2.fails("cut half way")
    site.cache2.fails("cut within a PDU")
    site.cache2.returns()
    site.cache2.has_answered()
    site.probe.quiet(start)


def test_a_cache_is_killed_and_starts_with_another_session(site: Caches) -> None:
    start = site.probe.moment()
    for _ in range(2):
        before = syncs(site)
        site.cache1.dies()
        throughout(lambda: None, 1.0)
        site.cache1.starts()
        eventually(lambda: "not in sync again" if syncs(site) == before else None)  # noqa: B023
    site.probe.quiet(start)


def syncs(site: Caches) -> int:
    """Return how often rs1 has got data from cache1 after it had none."""
    return site.rs1.log.read_text().count(f"RTR cache {site.cache1.address} is in sync")


def test_empty_caches_leave_the_data_in_force(site: Caches) -> None:
    """No data are no news: the data in force stay until they expire."""
    start = site.probe.moment()
    site.serves([])
    throughout(lambda: None, 3.0)
    site.probe.quiet(start)
    site.serves(data())
    site.follows()
    site.unharmed(start)


def test_nine_tenths_are_missing(site: Caches) -> None:
    """The guard holds; when the data are back, nothing has happened at all."""
    start = site.probe.moment()
    site.serves(data(guests=2))
    for server in (site.rs1, site.rs2):
        for prefix in GUESTS[2:]:
            server.audit.has(prefix=prefix, verdict="held")
    site.serves(data())
    for server in (site.rs1, site.rs2):
        for prefix in GUESTS[2:]:
            server.audit.has(prefix=prefix, verdict="accepted", was="held")
    site.probe.quiet(start)


def test_caches_that_disagree_are_never_mixed(site: Caches) -> None:
    """The preferred one decides, and for `grace` after its death: then the other, without a gap."""
    site.thief.announces(CONTESTED, *STOLEN)
    site.cache1.serves(data(contested=OWNER))
    site.cache2.serves(data(contested=THIEF))
    site.leaf1.has(CONTESTED, paths=1, as_path=[OWNER])
    site.leaf2.has(CONTESTED, paths=1, as_path=[THIEF])
    start = site.probe.moment()

    died = time.time()
    site.cache1.dies()
    site.leaf1.has(CONTESTED, paths=1, as_path=[THIEF])
    (change,) = site.probe1.changes(start)
    assert GRACE_S - 1 <= change.at - died < GRACE_S + SLACK_S
    returned = time.time()
    site.cache1.starts()
    site.leaf1.has(CONTESTED, paths=1, as_path=[OWNER])
    change = site.probe1.changes(start)[-1]
    assert GRACE_S - 1 <= change.at - returned < GRACE_S + SLACK_S

    site.probe.never_missing([CONTESTED, *VALID], start)
    site.probe2.quiet(start)
    site.serves(data())
    site.thief.withdraws(CONTESTED)


def test_all_caches_are_gone_for_long(site: Caches) -> None:
    """Beyond `expire`: with `hold` nothing happens; with `reject` every route goes, not earlier."""
    start = site.probe.moment()
    gone = time.time()
    site.cache1.dies()
    site.cache2.goes()
    site.leaf2.has_exactly()
    withdrawn = [change.at - gone for change in site.probe2.withdraws(start)]
    assert len(withdrawn) == len(VALID) + 1
    assert EXPIRE_S - 1.5 <= min(withdrawn) <= max(withdrawn) < EXPIRE_S + SLACK_S
    for prefix in VALID:
        site.rs2.audit.has(prefix=prefix, verdict="rejected", reasons=["data_unavailable"])
    site.probe1.quiet(start)

    site.cache1.starts()
    site.cache2.returns()
    site.leaf2.has_exactly(*VALID, MARKER)
    site.probe1.quiet(start)
    site.probe2.never_had(STOLEN, start, asn=THIEF)
