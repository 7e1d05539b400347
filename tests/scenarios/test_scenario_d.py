"""Scenario D: multi-tier load-balancing, and leaving service on purpose.

Seven load-balancers announce four addresses of each family with equal MED, by `exabgp healthcheck`,
for routers that spread traffic over all of them (ADD-PATH) or use one. The eighth, a GoBGP, is
unknown to truth.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.audit import Record
from lab.bird import BirdRouter
from lab.core import Lab, family_of
from lab.frr import FrrRouter
from lab.gobgp import GoBgpHost, GoBgpRouter
from lab.healthcheck import HealthcheckHost
from lab.probe import Probe
from lab.router import Router
from lab.site import Site
from lab.stage import Stage
from lab.stayrtr import Vrp
from lab.story import listing
from lab.waiting import eventually, throughout

pytestmark = pytest.mark.lab

BALANCERS = [f"lb{n}" for n in range(1, 8)]
SERVICES = {
    4: [f"203.0.113.{n}/32" for n in range(1, 5)],
    6: [f"2001:db8:50::{n}/128" for n in range(1, 5)],
}
CHECK = "test -f {place}/v6-ready -a ! -f {place}/disable"
PathIds = dict[tuple[str, str, str], int | None]
"""Routes by router, prefix and next hop."""


@pytest.fixture(scope="module")
def running() -> Iterator[Stage]:
    with Lab() as lab:
        stage = Stage(lab)
        vips = services(stage)
        for number, name in enumerate(BALANCERS, start=1):
            stage.add_host(
                HealthcheckHost,
                name,
                65000 + number,
                vips=vips,
                command=CHECK,
                options={"withdraw_on_down": True, "disable": False},
            )
        stage.add_host(GoBgpHost, "lb8", 65008)
        stage.add_router(BirdRouter, "leaf1", paths="all", over=4)
        stage.add_router(BirdRouter, "leaf2")
        stage.add_router(FrrRouter, "leaf3", paths="all", over=6)
        stage.add_router(GoBgpRouter, "leaf4", paths="all", over=4)
        stage.add_router(FrrRouter, "leaf5", as_path="prepend", over=6)
        stage.owners(dict.fromkeys(BALANCERS, vips))
        stage.starts()
        yield stage


@pytest.fixture
def stage(running: Stage) -> Iterator[Stage]:
    """All route servers are in service; afterwards, no log may report an error."""
    for name in BALANCERS:
        balancer(running, name).has_file("v6-ready")
    serve(running, *BALANCERS)
    yield running
    running.lab.no_errors()


def services(stage: Stage) -> list[str]:
    return [vip for family in stage.lab.families for vip in SERVICES[family]]


def balancer(stage: Stage, name: str) -> HealthcheckHost:
    host = stage.host(name)
    assert isinstance(host, HealthcheckHost)
    return host


def serve(stage: Stage, *names: str) -> None:
    """Every router has every address over exactly these, or over the first of them."""
    for router in stage:
        over = names if router.paths == "all" else names[:1]
        hops = [stage.host(name).addresses for name in over]
        wanted = {vip: [each[family_of(vip)] for each in hops] for vip in services(stage)}
        router.reaches(wanted, via=listing(over, most=7))


def with_every_path(stage: Stage) -> list[Router]:
    return [router for router in stage if router.paths == "all"]


def path_ids(stage: Stage) -> PathIds:
    """Communities as FRR and GoBGP show them."""
    return {
        (router.name, prefix, path.next_hop): path.path_id
        for router in with_every_path(stage)
        for prefix, paths in router.table().items()
        for path in paths
    }


def watch(stage: Stage) -> tuple[Probe, Probe]:
    """The BIRD with every path, and the one with the best."""
    every, best = (router for router in stage if isinstance(router, BirdRouter))
    return Probe(every), Probe(best)


def test_d1_every_path_or_the_best(stage: Stage) -> None:
    """ADD-PATH routers have seven paths of each address, with the same MED; others have one."""
    for index, vip in enumerate(services(stage)):
        for router in with_every_path(stage):
            router.has(vip, paths=len(BALANCERS), med=100 + index)
        stage.router("leaf2").has(vip, paths=1, med=100 + index)
    stage.audit.has(prefix=services(stage)[0], host="lb7", verdict="accepted")


def test_d2_one_leaves_and_returns(stage: Stage) -> None:
    """A disable file on one: one withdrawal for each address; the others keep their path ids."""
    every, best = watch(stage)
    ids, before, best_before = path_ids(stage), every.moment(), best.moment()
    gone = stage.host("lb3")

    balancer(stage, "lb3").has_file("disable")

    serve(stage, *(name for name in BALANCERS if name != "lb3"))
    withdrawn = [(change.place.prefix, change.was) for change in every.changes(before)]
    assert sorted(prefix for prefix, _ in withdrawn) == sorted(services(stage))
    assert all(was and was.next_hop in gone.addresses.values() for _, was in withdrawn)
    assert len(every.withdraws(before)) == len(services(stage))
    assert path_ids(stage) == {
        key: path_id for key, path_id in ids.items() if key[2] not in gone.addresses.values()
    }
    best.quiet(best_before)
    stage.audit.has(prefix=services(stage)[0], host="lb3", event="withdraw", cause="withdraw")
    balancer(stage, "lb3").has_no_file("disable")
    serve(stage, *BALANCERS)
    assert path_ids(stage) == ids


def test_d3_the_filter_restarts(stage: Stage) -> None:
    """No router notices, and no path id is another one afterwards."""
    every, best = watch(stage)
    ids, before, best_before = path_ids(stage), every.moment(), best.moment()
    stage.route_server.filter_restarts()
    balancer(stage, "lb5").has_file("disable")
    serve(stage, *(name for name in BALANCERS if name != "lb5"))
    balancer(stage, "lb5").has_no_file("disable")
    serve(stage, *BALANCERS)
    assert path_ids(stage) == ids
    touched = {seen.next_hop for c in every.changes(before) for seen in (c.was, c.now) if seen}
    assert touched == set(stage.host("lb5").addresses.values())
    every.path_ids_keep(before)
    best.quiet(best_before)


def test_d4_a_load_balancer_that_truth_does_not_know(stage: Stage) -> None:
    """Require that it is in session, its routes are rejected, and seven remain."""
    every, _ = watch(stage)
    before = every.moment()
    vips = services(stage)
    stage.host("lb8").announces(*vips)
    for vip in vips:
        stage.audit.has(
            prefix=vip,
            neighbor=stage.host("lb8").addresses[family_of(vip)],
            verdict="rejected",
            reasons=["origin_invalid_asn"],
        )
    serve(stage, *BALANCERS)
    every.quiet(before)
    stage.host("lb8").withdraws_all()


LB1, LB2 = 65001, 65002
VIPS = VIP4, VIP6 = "10.9.0.1/32", "2001:db8:9::1/128"
GRACEFUL_SHUTDOWN = (65535, 0)
DRAIN_TIME_S = 4


@pytest.fixture
def site(lab: Lab) -> Iterator[Site]:
    """Two load-balancers with the same addresses, and a file that can take the filter out."""
    vrps = [
        Vrp(asn, block, 128 if ":" in block else 32)
        for asn in (LB1, LB2)
        for block in ("10.9.0.0/16", "2001:db8:9::/48")
    ]
    readiness = {"disable_file": "disable", "drain_time": DRAIN_TIME_S}
    running = Site(lab, "truth", vrps, [LB1, LB2], recorded=False, readiness=readiness)
    running.route_server.tolerated.append("rsfilter.edge.alarms: drain: ")
    running.starts()
    for host in running.hosts.values():
        host.announces(*VIPS)
    in_service(running)
    yield running
    lab.no_errors()


def in_service(site: Site) -> None:
    for router in site.routers:
        router.has_exactly(*VIPS)
        router.has(*VIPS, communities=[])
    site.leaf2.has(*VIPS, paths=2)


def out_of_service(site: Site) -> None:
    for router in site.routers:
        router.has_exactly()


def drains(site: Site, number: int) -> list[Record]:
    """The records of draining, which come later than the withdraws themselves."""
    found: list[Record] = []

    def probe() -> str | None:
        found[:] = site.audit.records(event="drain")
        return None if len(found) == number else f"{len(found)} records of draining, not {number}"

    eventually(probe, site.lab.report)
    return found


def disable_file(site: Site) -> Path:
    return site.route_server.place / "disable"


def test_d5_a_disable_file_announces_graceful_shutdown_before_it_withdraws(site: Site) -> None:
    moment = site.leaf1.moment()
    disable_file(site).touch()
    for router in site.routers:
        router.has(*VIPS, communities=[GRACEFUL_SHUTDOWN])
    out_of_service(site)
    seen = site.leaf1.changes(moment)
    assert sorted(seen) == sorted(
        (verb, vip) for verb in ("replaced", "removed") for vip in VIPS
    )  # marked without a gap, then gone
    draining, drained = drains(site, 2)
    assert [r["data"]["phase"] for r in (draining, drained)] == ["draining", "drained"]

    # Hosts notice nothing; what they announce meanwhile is judged, and comes with the rest.
    site.hosts[LB1].announces("10.9.0.2/32")
    site.audit.has(prefix="10.9.0.2/32", verdict="accepted")
    site.hosts[LB1].withdraws("10.9.0.2/32")
    site.audit.has(prefix="10.9.0.2/32", event="withdraw")
    throughout(lambda: "routes" if site.leaf1.table() else None, 1.0, site.lab.report)

    disable_file(site).unlink()
    in_service(site)
    for host in site.hosts.values():
        host.is_up()


def test_d5_a_new_filter_announces_nothing_while_the_file_is_there(site: Site) -> None:
    disable_file(site).touch()
    out_of_service(site)
    drains(site, 2)
    site.route_server.filter_restarts()
    drains(site, 3)
    throughout(lambda: "routes" if site.leaf2.table() else None, 2.0, site.lab.report)
    disable_file(site).unlink()
    in_service(site)


def test_d5_a_new_filter_announces_graceful_shutdown_for_the_one_before(site: Site) -> None:
    old = site.route_server.filter_pid()
    os.kill(old, signal.SIGSTOP)
    disable_file(site).touch()
    moment = site.leaf1.moment()
    os.kill(old, signal.SIGKILL)
    for router in site.routers:
        router.has(*VIPS, communities=[GRACEFUL_SHUTDOWN])
    out_of_service(site)
    assert sorted(site.leaf1.changes(moment)) == sorted(
        (verb, vip) for verb in ("replaced", "removed") for vip in VIPS
    )
    disable_file(site).unlink()
    in_service(site)
