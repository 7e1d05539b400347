"""rsfilter is killed, and hosts cannot be requested to repeat themselves: routers notice nothing.

BIRD that has not offered route refresh answers a request with a NOTIFICATION, so that it must not
get one (RFC 2918). OpenBGPD 7.7 offers it and does not answer. The sessions of both are restarted.
So is that of `exabgp healthcheck`, which announces its addresses only after End-of-RIB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab, LabError
from lab.exabgp import RouteServer, group_of
from lab.healthcheck import HealthcheckHost
from lab.host import Host
from lab.openbgpd import OpenBgpdHost
from lab.probe import Probe
from lab.stayrtr import Vrp, roas
from lab.waiting import eventually

pytestmark = pytest.mark.lab

QUIET, GOOD = 65001, 65002
GUESTS, NEIGHBOR = ["10.1.0.1/32", "10.1.0.2/32", "2001:db8:1::1/128"], "10.2.0.1/32"
SHARED = "203.0.113.1/32"
RETURN_S = 90.0
"""OpenBGPD stays away for 30 s after a NOTIFICATION; then it is waited for until it is silent."""


class QuietBird(BirdHost):
    """A host that does not know route refresh (RFC 2918)."""

    has_graceful_restart = True

    def _configuration(self) -> str:
        restart = "on" if self.has_graceful_restart else "off"
        options = f"enable route refresh off; graceful restart {restart}; rs client;"
        return super()._configuration().replace("rs client;", options)


class BirdWithoutRestart(QuietBird):
    """Nor of graceful restart (RFC 4724)."""

    has_graceful_restart = False


class OpenBgpdWithoutRestart(OpenBgpdHost):
    """OpenBGPD without graceful restart, and with nothing that could be requested."""

    def _further(self) -> list[str]:
        return [*super()._further(), "announce restart no"]

    def _session(self, *arguments: object) -> str:
        text = super()._session(*arguments)  # type: ignore[arg-type]
        return text.replace("announce enhanced refresh yes", "announce refresh no")


@dataclass
class Bench:
    """A host that cannot be requested, another one that can, and a router that is watched."""

    lab: Lab
    route_server: RouteServer
    quiet: Host
    good: BirdHost
    leaf: BirdRouter
    probe: Probe


@pytest.fixture(
    params=[QuietBird, BirdWithoutRestart, OpenBgpdHost, OpenBgpdWithoutRestart],
    ids=lambda kind: kind.__name__,
)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with Lab() as lab:
        if issubclass(request.param, OpenBgpdHost) and not OpenBgpdHost.can_run(lab):
            pytest.skip("OpenBGPD needs root and network namespaces")
        rs = RouteServer(lab, recorded=False)
        quiet = request.param(lab, "quiet", 11, QUIET, [rs.endpoint])
        good = BirdHost(lab, "good", 12, GOOD, [rs.endpoint])
        leaf = BirdRouter(lab, "leaf", 201, 65200, [rs.endpoint], over=4)
        rs.configure(
            [group_of("quiet", quiet), group_of("good", good)],
            [group_of("leaves", leaf, port=lab.bgp_port)],
            truth={"file": "truth.json"},
        )
        owned = [(f"10.{n}.0.0/16", asn) for n, asn in ((1, QUIET), (2, GOOD))]
        owned += [(f"2001:db8:{n}::/48", asn) for n, asn in ((1, QUIET), (2, GOOD))]
        rs.writes_truth(roas([Vrp(asn, p, 128 if ":" in p else 32) for p, asn in owned]))
        quiet.announces(*GUESTS)
        good.announces(NEIGHBOR)
        quiet.tolerated += ["NOTIFICATION", "Received: Administrative reset", "Connection"]
        for daemon in (rs, leaf, quiet, good):
            daemon.starts()
        leaf.has_exactly(*GUESTS, NEIGHBOR)
        yield Bench(lab, rs, quiet, good, leaf, Probe(leaf))


def test_a_host_that_cannot_be_requested_loses_nothing(bench: Bench) -> None:
    start = bench.probe.moment()
    bench.route_server.filter_restarts()
    # While that host is away, others are served; but ExaBGP is young here, so that withdraws wait
    # for the End-of-RIB that waits for that host (`deferral.KEPT_S`, `test_restart_model`).
    bench.good.announces("10.2.0.2/32")
    bench.leaf.has("10.2.0.2/32")
    bench.good.withdraws("10.2.0.2/32")
    bench.leaf.lacks("10.2.0.2/32", deadline_s=RETURN_S)
    # What it changes when it is back is seen, so it has been heard.
    bench.quiet.withdraws(GUESTS[0])
    bench.quiet.announces("10.1.0.3/32")
    bench.leaf.has("10.1.0.3/32", deadline_s=RETURN_S)
    bench.leaf.lacks(GUESTS[0], deadline_s=RETURN_S)
    bench.leaf.has_exactly(*GUESTS[1:], "10.1.0.3/32", NEIGHBOR)
    bench.probe.never_missing([*GUESTS[1:], NEIGHBOR], start)
    bench.lab.no_errors()


def test_a_health_check_that_announces_after_end_of_rib_loses_nothing() -> None:
    """Another host announces the same address. A router with one path keeps that of the first,
    which comes with the next check, seconds after End-of-RIB."""
    with Lab() as lab:
        rs = RouteServer(lab, recorded=False)
        first, second = (
            HealthcheckHost(
                lab, name, number, asn, [rs.endpoint], vips=vips, options={"interval": 4.0}
            )
            for name, number, asn, vips in (
                ("first", 11, QUIET, [SHARED, GUESTS[0]]),
                ("second", 12, GOOD, [SHARED]),
            )
        )
        leaf = BirdRouter(lab, "leaf", 201, 65200, [rs.endpoint], over=4)
        rs.configure(
            [group_of(host.name, host) for host in (first, second)],
            [group_of("leaves", leaf, port=lab.bgp_port)],
            truth={"file": "truth.json"},
        )
        owned = [(QUIET, GUESTS[0]), (QUIET, SHARED), (GOOD, SHARED)]
        rs.writes_truth(roas([Vrp(asn, prefix, 32) for asn, prefix in owned]))
        for daemon in (rs, leaf, first, second):
            daemon.starts()
        leaf.reaches({prefix: [first.addresses[4]] for prefix in (GUESTS[0], SHARED)})
        eventually(partial(waits_for_hosts, rs), lab.report)
        probe = Probe(leaf)
        start = probe.moment()
        rs.filter_restarts()
        eventually(partial(waits_for_hosts, rs), lab.report)
        probe.quiet(start)
        lab.no_errors()


def waits_for_hosts(rs: RouteServer) -> str | None:
    """Find whether hosts have still to repeat their routes."""
    try:
        reasons = rs.status()["health"]["reasons"]
    except LabError as error:
        return str(error)
    return next((reason["detail"] for reason in reasons if reason["name"] == "resync"), None)
