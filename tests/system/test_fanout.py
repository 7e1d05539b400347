"""Two shards and two fan-outs, as `[fanout]` renders them: what routers get, and what they lose
when one of the four dies.

`hv1` and `hv2` have a session with both shards, `hv3` and `hv4` with one each. Each shard has one
with both fan-outs, and so has each router.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest
from lab.bird import Bird, BirdHost, BirdRouter
from lab.core import Lab, family_of
from lab.exabgp import RouteServer, group_of
from lab.fanout import Fanout
from lab.frr import FrrRouter
from lab.probe import Probe
from lab.router import Router

from rsfilter.config.build import parse_config
from rsfilter.render.bird import render_fanouts

pytestmark = pytest.mark.lab

HV1, HV2, HV3, HV4 = 65001, 65002, 65003, 65004
ONE, TWO, BOTH = "10.1.0.1/32", "10.2.0.1/32", "10.9.0.1/32"
SIX = "2001:db8:1::1/128"
STOLEN = "10.1.0.66/32"
MOVED = "10.8.0.1/32"
ANYCAST = "10.9.0.2/32"
MARKER = "10.1.255.255/32"
WANTED = [ONE, TWO, BOTH, SIX]
"""Prefixes that hosts announce all the time."""
BLOCKS = [
    ("10.1.0.0/16", HV1),
    ("10.2.0.0/16", HV2),
    ("10.9.0.0/16", HV1),
    ("10.9.0.0/16", HV2),
    ("2001:db8:1::/64", HV1),
    ("10.8.0.0/16", HV3),
    ("10.8.0.0/16", HV4),
]
LLGR_STALE = (65535, 6)
GRACEFUL_SHUTDOWN = (65535, 0)
NO_EXPORT = (65535, 65281)
NO_ADVERTISE = (65535, 65282)
NO_EXPORT_SUBCONFED = (65535, 65283)
KEPT_S = 600
"""Seconds for which shards keep a lost host's routes: longer than the tests take."""


class Sharded:
    """All programs in one lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.shards = [RouteServer(lab, f"shard{n}", 99 + n) for n in (1, 2)]
        ends = [shard.endpoint for shard in self.shards]
        self.hosts = [BirdHost(lab, f"hv{n}", 10 + n, 65000 + n, ends) for n in (1, 2)]
        self.hosts += [
            BirdHost(lab, f"hv{n}", 10 + n, 65000 + n, [end])
            for n, end in zip((3, 4), ends, strict=True)
        ]
        for host in self.hosts[2:]:
            host.speaks_only_over(4)
        self.fanouts = [Fanout(lab, f"fanout{n}", 150 + n, self.shards[0]) for n in (1, 2)]
        theirs = [fanout.endpoint for fanout in self.fanouts]
        self.best = BirdRouter(lab, "best", 201, 65200, theirs, over=4)
        self.all = BirdRouter(lab, "all", 202, 65201, theirs, paths="all", over=4)
        self.frr = FrrRouter(lab, "frr", 203, 65200, theirs, over=4)
        self.frr.carried = {4: (4,)}  # FRR 10 takes no IPv6 over IPv4 without zebra
        self.prepended = BirdRouter(lab, "prepended", 204, 65202, theirs, over=4)
        self.alone = BirdRouter(lab, "alone", 205, 65200, theirs, over=4)
        self.plain = BirdRouter(lab, "plain", 206, 65200, theirs, over=4)
        self.plain.further = "long lived graceful restart off;"
        self.ordinary = [self.best, self.frr, self.alone, self.plain]
        self.routers = [*self.ordinary, self.all, self.prepended]
        for shard, own in zip(self.shards, self.hosts[2:], strict=True):
            shard.writes_truth(
                {
                    "roas": [
                        {"prefix": p, "maxLength": 128 if ":" in p else 32, "asn": asn}
                        for p, asn in BLOCKS
                    ]
                }
            )
            shard.configure(
                [
                    group_of(h.name, h, stale_time=KEPT_S, max_prepends=2)
                    for h in (*self.hosts[:2], own)
                ],
                [
                    group_of("best", *self.ordinary, port=lab.bgp_port),
                    group_of("all", self.all, port=lab.bgp_port, paths="all"),
                    group_of("prepended", self.prepended, port=lab.bgp_port, as_path="prepend"),
                ],
                truth={"file": "truth.json"},
                fanout={
                    "addresses": [fanout.addresses[4] for fanout in self.fanouts],
                    "shards": [end.addresses[4] for end in ends],
                    "port": lab.bgp_port,
                    "ttl_security": 1,
                },
            )

    def starts(self) -> None:
        """Start all; returns when every session of a router is up."""
        for daemon in (*self.shards, *self.fanouts, *self.routers, *self.hosts):
            daemon.starts()
        for daemon in (*self.routers, *self.hosts):
            daemon.is_up()


def wanted_by(router: Router) -> list[str]:
    """Return the members of WANTED that its sessions carry."""
    carried = {family for families in router.carried.values() for family in families}
    return [prefix for prefix in WANTED if family_of(prefix) in carried]


@pytest.fixture(scope="module")
def site() -> Iterator[Sharded]:
    with Lab() as lab:
        site = Sharded(lab)
        one, two = site.hosts[:2]
        one.announces(ONE, med=50, communities=[(65001, 7)])
        one.announces(BOTH, med=20)
        two.announces(BOTH, med=10)
        two.announces(TWO)
        one.announces(SIX)
        two.announces(STOLEN)
        site.starts()
        yield site


def test_routers_get_accepted_routes_as_the_hosts_sent_them(site: Sharded) -> None:
    one, two = site.hosts[:2]
    for shard in site.shards:
        shard.audit.has(prefix=STOLEN, verdict="rejected", reasons=["origin_invalid_asn"])
    for router in site.routers:
        router.has_exactly(*wanted_by(router))
    site.best.has(SIX, next_hop=one.addresses[6], as_path=[HV1])
    for router in (site.best, site.frr):
        router.has(ONE, next_hop=one.addresses[4], as_path=[HV1], med=50, communities=[(65001, 7)])
        router.has(BOTH, next_hop=two.addresses[4], med=10)
    site.best.has(ONE, paths=2)  # one from each fan-out
    site.prepended.has(ONE, as_path=[65100, HV1], next_hop=one.addresses[4])
    site.all.has(BOTH, next_hop=one.addresses[4])
    site.all.has(BOTH, next_hop=two.addresses[4])


def test_a_guest_moves_from_shard_to_shard(site: Sharded) -> None:
    """The guest moves from one shard's host to the other's. At no instant it has no path; only
    those take it that may; the best path is the one with the lowest MED, however long it is."""
    old, new = site.hosts[2:]
    new.announces(STOLEN)
    site.shards[1].audit.has(prefix=STOLEN, asn=HV4, verdict="rejected")
    old.announces(MOVED, med=10)
    for router in site.routers:
        router.has(MOVED, next_hop=old.addresses[4])
    probe = Probe(site.best, site.all, site.alone)
    start = probe.moment()
    new.announces(MOVED, med=5, as_path=[HV4, HV4, HV4])
    for router in site.ordinary:
        router.has(MOVED, next_hop=new.addresses[4], as_path=[HV4, HV4, HV4])
    old.withdraws(MOVED)
    site.all.has(MOVED, paths=2)  # one shard's, through each fan-out
    probe.never_missing([MOVED], start)
    new.withdraws(MOVED, STOLEN)
    for router in site.routers:
        router.lacks(MOVED)
    probe.never_had([STOLEN])


def test_a_stale_path_is_the_last_choice(site: Sharded) -> None:
    """A host is lost and its shard keeps the route: routers have it while there is no other, also
    those that do not know RFC 9494."""
    lost, other = site.hosts[2:]
    lost.announces(MOVED, med=1)
    site.best.has(MOVED, next_hop=lost.addresses[4])
    lost.process.stop(SIGKILL)
    for router in site.routers:
        router.has(MOVED, next_hop=lost.addresses[4], communities=[LLGR_STALE])
    other.announces(MOVED, med=50)
    for router in site.ordinary:
        router.has(MOVED, next_hop=other.addresses[4])
    other.withdraws(MOVED)
    for router in (site.best, site.plain):
        router.has(MOVED, communities=[LLGR_STALE])
    lost.starts()
    lost.withdraws(MOVED)
    for router in site.routers:
        router.lacks(MOVED)


def test_a_path_that_must_not_be_exported_hides_no_other(site: Sharded) -> None:
    """Neither that of the other shard, nor one of the same shard."""
    one, two, three, four = site.hosts
    for private, public, prefix, shards in (
        (three, four, MOVED, site.shards[:1]),
        (one, two, ANYCAST, site.shards),
    ):
        public.announces(prefix, med=50)
        private.announces(prefix, med=1, communities=[NO_EXPORT])
        for shard in shards:
            shard.audit.has(prefix=prefix, asn=private.asn, verdict="accepted")
        for router in site.routers:
            from_each = len(shards) if router is site.all else 1
            router.reaches({prefix: [public.addresses[4]] * 2 * from_each})
        public.withdraws(prefix)
        for router in site.routers:
            router.lacks(prefix)
        private.withdraws(prefix)


def test_a_path_that_is_about_to_go_is_no_choice(site: Sharded) -> None:
    """GRACEFUL_SHUTDOWN (RFC 8326): routers get another one while there is one, and else this."""
    going, other = site.hosts[2:]
    going.announces(MOVED, med=1, communities=[GRACEFUL_SHUTDOWN])
    for router in site.routers:
        router.has(MOVED, next_hop=going.addresses[4], communities=[GRACEFUL_SHUTDOWN])
    other.announces(MOVED, med=50)
    for router in site.ordinary:
        router.has(MOVED, next_hop=other.addresses[4], communities=[])
    other.withdraws(MOVED)
    site.best.has(MOVED, communities=[GRACEFUL_SHUTDOWN])
    going.withdraws(MOVED)
    for router in site.routers:
        router.lacks(MOVED)


def is_whole(site: Sharded) -> None:
    """Wait until every path is there: of each shard through each fan-out."""
    for daemon in (*site.routers, *site.hosts):
        daemon.is_up()
    for fanout in site.fanouts:
        fanout.has_recovered()
    site.all.has(ONE, paths=4)
    site.best.has(ONE, paths=2)


def follows(site: Sharded) -> None:
    """Routes that hosts announce now reach every router, whichever program is dead."""
    host = site.hosts[0]
    host.announces(MARKER)
    for router in site.routers:
        router.has(MARKER)
    host.withdraws(MARKER)
    for router in site.routers:
        router.lacks(MARKER)


@pytest.fixture
def nothing_is_missed(site: Sharded) -> Iterator[None]:
    """No router lacks, at any instant of the test, a route that hosts announce all the time."""
    is_whole(site)
    probe = Probe(site.best, site.all, site.alone)
    start = probe.moment()
    yield
    is_whole(site)
    probe.never_missing(WANTED, start)
    for router in site.routers:
        router.has_exactly(*wanted_by(router))


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


def test_the_only_fanout_dies(site: Sharded) -> None:
    """A router that has no other keeps its routes until the fan-out has them again."""
    is_whole(site)
    site.alone.control("disable fanout2_4")
    site.alone.has(*WANTED, paths=1)
    probe = Probe(site.alone)
    start = probe.moment()
    site.fanouts[0].process.stop(SIGKILL)
    site.fanouts[0].starts()
    follows(site)
    probe.never_missing(WANTED, start)
    site.alone.control("enable fanout2_4")


@pytest.mark.usefixtures("nothing_is_missed")
def test_one_of_each_pair_dies(site: Sharded) -> None:
    site.shards[1].process.stop(SIGKILL)
    site.fanouts[0].process.stop(SIGKILL)
    follows(site)
    site.shards[1].starts()
    site.fanouts[0].starts()


# Routers of our own AS ---------------------------------------------------------------------------


class Shard(BirdHost):
    """A BIRD in place of ExaBGP: announces the given routes to a fan-out, over iBGP."""

    def _configuration(self) -> str:
        return super()._configuration().replace("rs client;", "")


class RenderedBird(Bird):
    """A BIRD with this configuration."""

    def __init__(self, lab: Lab, name: str, number: int, asn: int) -> None:
        super().__init__(lab, name, number, asn)
        self.log = self.place / "output"
        self.text = ""

    def _configuration(self) -> str:
        return self.text


INTERNAL = """
[route_server]
asn = 65100
router_id = "192.0.2.100"
local_address = "{shard}"
port = {port}
[[hosts]]
name = "h"
neighbors = ["198.51.100.0/24"]
[[routers]]
name = "inside"
neighbors = ["{inside}"]
asn = 65100
port = {port}
[[routers]]
name = "outside"
neighbors = ["{outside}"]
asn = 65200
port = {port}
[fanout]
addresses = ["{fanout}"]
port = {port}
[truth]
file = "truth.json"
"""


def test_communities_are_obeyed_as_rsfilter_does_it() -> None:
    """Routers of our AS get what must not leave it; neither they nor others miss stale routes; and
    what a fan-out thinks of a route that is about to go is its own affair."""
    with Lab() as lab:
        fanout = RenderedBird(lab, "fanout", 150, 65100)
        shard = Shard(lab, "shard", 100, 65100, [fanout.endpoint])
        inside = BirdRouter(lab, "inside", 201, 65100, [fanout.endpoint], over=4)
        outside = BirdRouter(lab, "outside", 202, 65200, [fanout.endpoint], over=4)
        inside.further = outside.further = "long lived graceful restart off;"
        shard.speaks_only_over(4)
        names = {d.name: d.addresses[4] for d in (fanout, shard, inside, outside)}
        config = parse_config(INTERNAL.format(port=lab.bgp_port, **names), Path("/r.toml"))
        fanout.text = render_fanouts(config)["bird.conf"]
        shard.announces("203.0.113.1/32", as_path=[HV1])
        for number, community in enumerate(
            [LLGR_STALE, GRACEFUL_SHUTDOWN, NO_EXPORT, NO_EXPORT_SUBCONFED, NO_ADVERTISE], 2
        ):
            shard.announces(f"203.0.113.{number}/32", as_path=[HV1], communities=[community])
        for daemon in (fanout, inside, outside, shard):
            daemon.starts()
        inside.has_exactly(*(f"203.0.113.{number}/32" for number in range(1, 6)))
        outside.has_exactly(*(f"203.0.113.{number}/32" for number in range(1, 4)))
        for router in (inside, outside):
            router.has("203.0.113.3/32", as_path=[HV1], communities=[GRACEFUL_SHUTDOWN])
            output = router.control("show route all 203.0.113.3/32")
            assert [line.split()[1] for line in output if "local_pref" in line] == ["100"]
