"""Scenario D: load-balancers, and leaving service on purpose."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.core import Lab
from lab.site import Site
from lab.stayrtr import Vrp
from lab.waiting import eventually, throughout

pytestmark = pytest.mark.lab

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
    running.route_server.tolerated.append("rsfilter.alarms: drain: ")
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


def disable_file(site: Site) -> Path:
    return site.route_server.place / "disable"


def test_d5_a_disable_file_says_good_bye_before_it_withdraws(site: Site) -> None:
    moment = site.leaf1.moment()
    disable_file(site).touch()
    for router in site.routers:
        router.has(*VIPS, communities=[GRACEFUL_SHUTDOWN])
    out_of_service(site)
    seen = site.leaf1.changes(moment)
    assert sorted(seen) == sorted(
        (verb, vip) for verb in ("replaced", "removed") for vip in VIPS
    )  # marked without a gap, then gone
    draining, drained = site.audit.records(event="drain")
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
    site.route_server.filter_restarts()
    site.audit.has(event="start")
    eventually(lambda: None if len(site.audit.records(event="drain")) == 3 else "no third record")
    throughout(lambda: "routes" if site.leaf2.table() else None, 2.0, site.lab.report)
    disable_file(site).unlink()
    in_service(site)


def test_d5_a_new_filter_says_good_bye_for_the_one_before(site: Site) -> None:
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
