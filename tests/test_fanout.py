"""Two shards and two fan-outs, as `[fanout]` renders them: what routers get, and what they lose
when one of the four dies.

Each host has a session with both shards, each shard one with both fan-outs, each router one with
both fan-outs.
"""

from __future__ import annotations

from collections.abc import Iterator
from signal import SIGKILL

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.fanout import Fanout
from lab.frr import FrrRouter
from lab.probe import Probe

pytestmark = pytest.mark.lab

HV1, HV2 = 65001, 65002
ONE, TWO, BOTH = "10.1.0.1/32", "10.2.0.1/32", "10.9.0.1/32"
STOLEN = "10.1.0.66/32"
MARKER = "10.1.255.255/32"
BLOCKS = [
    ("10.1.0.0/16", HV1),
    ("10.2.0.0/16", HV2),
    ("10.9.0.0/16", HV1),
    ("10.9.0.0/16", HV2),
]


class Sharded:
    """Everything in one lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.shards = [RouteServer(lab, f"shard{n}", 99 + n) for n in (1, 2)]
        ends = [shard.endpoint for shard in self.shards]
        self.hosts = [BirdHost(lab, f"hv{n}", 10 + n, 65000 + n, ends) for n in (1, 2)]
        for host in self.hosts:
            host.speaks_only_over(4)
        self.fanouts = [Fanout(lab, f"fanout{n}", 150 + n, self.shards[0]) for n in (1, 2)]
        theirs = [fanout.endpoint for fanout in self.fanouts]
        self.best = BirdRouter(lab, "best", 201, 65200, theirs, over=4)
        self.all = BirdRouter(lab, "all", 202, 65201, theirs, paths="all", over=4)
        self.frr = FrrRouter(lab, "frr", 203, 65200, theirs, over=4)
        self.prepended = BirdRouter(lab, "prepended", 204, 65202, theirs, over=4)
        self.routers = [self.best, self.all, self.frr, self.prepended]
        for shard in self.shards:
            shard.writes_truth(
                {"roas": [{"prefix": p, "maxLength": 32, "asn": asn} for p, asn in BLOCKS]}
            )
            shard.configure(
                [group_of(h.name, h) for h in self.hosts],
                [
                    group_of("best", self.best, self.frr, port=lab.bgp_port),
                    group_of("all", self.all, port=lab.bgp_port, paths="all"),
                    group_of("prepended", self.prepended, port=lab.bgp_port, as_path="prepend"),
                ],
                truth={"file": "truth.json"},
                fanout={
                    "addresses": [fanout.addresses[4] for fanout in self.fanouts],
                    "shards": [end.addresses[4] for end in ends],
                    "port": lab.bgp_port,
                },
            )

    def starts(self) -> None:
        """Start all; returns when every session of a router is up."""
        for daemon in (*self.shards, *self.fanouts, *self.routers, *self.hosts):
            daemon.starts()
        for daemon in (*self.fanouts, *self.hosts):
            daemon.is_up()


@pytest.fixture(scope="module")
def site() -> Iterator[Sharded]:
    with Lab() as lab:
        site = Sharded(lab)
        site.starts()
        yield site


def test_routers_get_what_is_accepted_as_the_hosts_said_it(site: Sharded) -> None:
    one, two = site.hosts
    one.announces(ONE, med=50, communities=[(65001, 7)])
    one.announces(BOTH, med=20)
    two.announces(BOTH, med=10)
    two.announces(TWO)
    two.announces(STOLEN)
    for shard in site.shards:
        shard.audit.has(prefix=STOLEN, verdict="rejected", reasons=["origin_invalid_asn"])
    for router in site.routers:
        router.has_exactly(ONE, TWO, BOTH)
    for router in (site.best, site.frr):
        router.has(ONE, next_hop=one.addresses[4], as_path=[HV1], med=50, communities=[(65001, 7)])
        router.has(BOTH, next_hop=two.addresses[4], med=10)
    site.best.has(ONE, paths=2)  # one from each fan-out
    site.prepended.has(ONE, as_path=[65100, HV1], next_hop=one.addresses[4])
    site.all.has(BOTH, next_hop=one.addresses[4])
    site.all.has(BOTH, next_hop=two.addresses[4])


def is_whole(site: Sharded) -> None:
    """Wait until every path is there: of each shard through each fan-out."""
    for daemon in (*site.fanouts, *site.hosts):
        daemon.is_up()
    site.all.has(ONE, paths=4)
    site.best.has(ONE, paths=2)


def follows(site: Sharded) -> None:
    """Whoever is dead: what hosts do now reaches every router."""
    host = site.hosts[0]
    host.announces(MARKER)
    for router in site.routers:
        router.has(MARKER)
    host.withdraws(MARKER)
    for router in site.routers:
        router.lacks(MARKER)


@pytest.fixture
def nothing_is_missed(site: Sharded) -> Iterator[None]:
    """At no instant of the test a router lacks what hosts announce all the time."""
    is_whole(site)
    probe = Probe(site.best, site.all)
    start = probe.moment()
    yield
    is_whole(site)
    probe.never_missing([ONE, BOTH, TWO], start)
    for router in site.routers:
        router.has_exactly(ONE, BOTH, TWO)


@pytest.mark.usefixtures("nothing_is_missed")
def test_a_filter_dies(site: Sharded) -> None:
    site.shards[0].filter_restarts()
    follows(site)


@pytest.mark.usefixtures("nothing_is_missed")
def test_a_shard_dies(site: Sharded) -> None:
    """Its ExaBGP is killed, and the filter with it; it comes back much later."""
    site.shards[0].process.stop(SIGKILL)
    follows(site)
    site.shards[0].starts()


@pytest.mark.usefixtures("nothing_is_missed")
def test_a_fanout_dies(site: Sharded) -> None:
    site.fanouts[0].process.stop(SIGKILL)
    follows(site)
    site.fanouts[0].starts()


@pytest.mark.usefixtures("nothing_is_missed")
def test_one_of_each_pair_dies(site: Sharded) -> None:
    site.shards[1].process.stop(SIGKILL)
    site.fanouts[0].process.stop(SIGKILL)
    follows(site)
    site.shards[1].starts()
    site.fanouts[0].starts()
