"""FRR as users run it, with zebra and an interface: both families over one IPv4 session.

FRR 10 ends such a session (NOTIFICATION 6/0) when that interface has no IPv6 address.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.frr import BGPD, FrrHostOnLink, FrrRouterOnLink
from lab.router import Router
from lab.waiting import eventually

pytestmark = pytest.mark.lab

HOST, LEAF = 65001, 65200
GUESTS = {4: "203.0.113.1/32", 6: "2001:db8:aa::1/128"}
TRUTH = {
    "roas": [
        {"prefix": prefix, "maxLength": 128 if family == 6 else 32, "asn": HOST}
        for family, prefix in GUESTS.items()
    ]
}


class WithoutIpv6(FrrRouterOnLink):
    """A router whose interface has no IPv6, though its configuration activates it."""

    families = (4,)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        if not FrrRouterOnLink.can_run(lab):
            pytest.skip("needs root and network namespaces: zebra is a user of its own")
        yield lab


def stage(lab: Lab, router: type[Router], **group: object) -> tuple[FrrHostOnLink, Router]:
    """A host and a router of one IPv4 session each, around a route server; all have started."""
    rs = RouteServer(lab)
    leaf = router(lab, "leaf", 201, LEAF, [rs.endpoint], over=4)
    host = FrrHostOnLink(lab, "hv1", 11, HOST, [rs.endpoint])
    host.speaks_only_over(4)
    rs.writes_truth(TRUTH)
    ours = [host.addresses[family] for family in (4, 6)]
    rs.configure(
        [group_of("hosts", host, next_hop=ours)],
        [group_of("leaves", leaf, port=lab.bgp_port, **group)],
        truth={"file": "truth.json"},
    )
    for daemon in (leaf, host, rs):
        daemon.starts()
    host.is_up()
    host.announces(*GUESTS.values())
    return host, leaf


def test_one_ipv4_session_carries_both_families(lab: Lab) -> None:
    """Sessions of a host and of a router; the router uses the routes that it gets."""
    host, leaf = stage(lab, FrrRouterOnLink)
    assert isinstance(leaf, FrrRouterOnLink)
    for family, guest in GUESTS.items():
        leaf.has(guest, paths=1, next_hop=host.addresses[family], as_path=[HOST])

    def probe() -> str | None:
        missing = [hop for hop in host.addresses.values() if f"via {hop} " not in leaf.kernel()]
        return f"nothing over {missing} in {leaf.kernel()}" if missing else None

    eventually(probe, lab.report)
    host.withdraws(*GUESTS.values())
    leaf.has_exactly()
    lab.no_errors()


def test_a_session_that_offers_ipv4_alone_needs_no_ipv6_at_the_router(lab: Lab) -> None:
    """The setting `families` is needed here, as IPv6 hosts are there too."""
    host, leaf = stage(lab, WithoutIpv6, families=["ipv4"])
    leaf.has(GUESTS[4], paths=1, next_hop=host.addresses[4], as_path=[HOST])
    leaf.has_exactly(GUESTS[4])


def test_frr_10_alone_refuses_ipv6_without_an_address(lab: Lab) -> None:
    """The advice of docs/interop.md."""
    version = lab.run([BGPD, "--version"]).split()[2]
    _, leaf = stage(lab, WithoutIpv6)
    if int(version.partition(".")[0]) < 10:
        leaf.has(GUESTS[4], paths=1)
        return
    reason = "No local IPv6 address, and zebra does not support V6 routing with v4 nexthops"
    eventually(lambda: None if reason in leaf.log.read_text() else "no refusal", lab.report)
    assert leaf.table() == {}
