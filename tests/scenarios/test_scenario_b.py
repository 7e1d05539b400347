"""Scenario B: L3 routing to the hypervisor. A guest is a host route on its hypervisor.

BIRD hypervisors, one of them in two planes and one with link-local next hops; routers: BIRD with
every path and with the best one, FRR with our ASN in front, which it insists on, and GoBGP.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
from lab.bird import BirdHost, BirdHostOnLink, BirdRouter
from lab.core import Lab, family_of
from lab.frr import FrrRouter
from lab.gobgp import GoBgpRouter
from lab.probe import Probe
from lab.stage import Stage

pytestmark = pytest.mark.lab

OWNERS = {
    "hv1": ["203.0.113.1/32", "2001:db8:30:1::/64", "203.0.113.10/32", "2001:db8:30:10::/64"],
    "hv2": ["203.0.113.2/32", "2001:db8:30:2::/64", "203.0.113.10/32", "2001:db8:30:10::/64"],
    "hv3": ["203.0.113.3/32", "2001:db8:30:3::/64"],
    "hv4": ["203.0.113.4/32", "2001:db8:30:4::/64"],
    "hv5": ["2001:db8:30:5::/64"],
}
"""Prefixes that each may announce. hv5 is on a link with the route server."""

PLANES = ("hv4.red", "hv4.blue")
"""One hypervisor, with an address and a session in each plane. They are two BIRDs: one BIRD has one
session with an address."""

ANYCAST = {4: "203.0.113.10/32", 6: "2001:db8:30:10::1/128"}


def guest(number: int, family: int) -> str:
    """The guest that lives on the hypervisor of this number."""
    return f"203.0.113.{number}/32" if family == 4 else f"2001:db8:30:{number}::1/128"


@pytest.fixture(scope="module")
def running() -> Iterator[Stage]:
    with Lab() as lab:
        stage = Stage(lab, ipv6_lengths=[64, 128])
        for number in (1, 2, 3):
            stage.add_host(BirdHost, f"hv{number}", 65000 + number)
        for plane in PLANES:
            stage.add_host(BirdHost, plane, 65004)
        if 6 in lab.families:
            stage.add_host(BirdHostOnLink, "hv5", 65005)
        stage.add_router(BirdRouter, "leaf1", paths="all")
        stage.add_router(BirdRouter, "leaf2", over=4)
        stage.add_router(FrrRouter, "leaf3", as_path="prepend", paths="all", over=6)
        stage.add_router(GoBgpRouter, "leaf4", paths="all")
        stage.owners(OWNERS)
        stage.starts()
        yield stage


@pytest.fixture
def stage(running: Stage) -> Iterator[Stage]:
    """A site with nothing announced; afterwards, no log may report an error."""
    running.owners(OWNERS, revision="at first")
    running.truth_is_in_force()
    yield running
    running.settles()


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def family(request: pytest.FixtureRequest, running: Stage) -> int:
    """Every sentence holds for both."""
    if request.param not in running.lab.families:
        pytest.skip("no IPv6 without network namespaces")
    return request.param


def watch(stage: Stage) -> Probe:
    """The history of the BIRD routers: one with every path, one with the best."""
    return Probe(*(router for router in stage if isinstance(router, BirdRouter)))


def owned_by(name: str, *others: str) -> dict[str, list[str]]:
    """The truth with the first guest on this hypervisor, and maybe on others too."""
    moving = [guest(1, 4), "2001:db8:30:1::/64"]
    rest = {owner: [p for p in held if p not in moving] for owner, held in OWNERS.items()}
    return rest | {owner: [*rest[owner], *moving] for owner in (name, *others)}


def test_b1_guests_and_an_anycast_address(stage: Stage, family: int) -> None:
    """Every router has every guest over its hypervisor, and two paths of what two announce."""
    for number in (1, 2, 3):
        stage.host(f"hv{number}").announces(guest(number, family))
    stage.host("hv2").announces(ANYCAST[family])
    stage.host("hv1").announces(ANYCAST[family])
    for number in (1, 2, 3):
        stage.all_have(guest(number, family), f"hv{number}")
    stage.all_have(ANYCAST[family], "hv1", "hv2")
    stage.audit.has(prefix=ANYCAST[family], host="hv2", verdict="accepted")
    if family == 6:
        network = "2001:db8:30:2::/64"
        stage.host("hv2").announces(network)
        stage.all_have(network, "hv2")


def test_b2_a_migration_bgp_first(stage: Stage, family: int) -> None:
    """The new hypervisor announces before truth allows it: the flip is one replacement."""
    moving = guest(1, family)
    stage.host("hv1").announces(moving)
    stage.all_have(moving, "hv1")
    probe = watch(stage)
    before = probe.moment()

    stage.host("hv2").announces(moving)
    stage.audit.has(prefix=moving, host="hv2", verdict="rejected", reasons=["origin_invalid_asn"])
    stage.owners(owned_by("hv2"), revision="moved")
    stage.all_have(moving, "hv2")
    stage.host("hv1").withdraws(moving)
    stage.all_have(moving, "hv2")

    probe.never_missing([moving], before)
    for host, verdict, was in (
        ("hv1", "rejected", "accepted"),
        ("hv2", "accepted", "rejected"),
    ):
        record = stage.audit.has(prefix=moving, host=host, verdict=verdict, was=was, cause="data")
        assert record["truth"]["revision"] == "moved"
    stage.audit.has(prefix=moving, host="hv1", event="withdraw", was="rejected")
    stage.host("hv2").withdraws(moving)


def test_b2_a_migration_truth_first(stage: Stage, family: int) -> None:
    """Truth names both for a while: the path moves when the old hypervisor withdraws."""
    moving = guest(1, family)
    stage.host("hv1").announces(moving)
    stage.all_have(moving, "hv1")
    probe = watch(stage)
    before = probe.moment()

    stage.owners(owned_by("hv1", "hv2"), revision="moving")
    stage.truth_is_in_force()
    stage.host("hv2").announces(moving)
    stage.all_have(moving, "hv1", "hv2")
    stage.host("hv1").withdraws(moving)
    stage.all_have(moving, "hv2")
    stage.owners(owned_by("hv2"), revision="moved")
    stage.truth_is_in_force()
    stage.all_have(moving, "hv2")

    probe.never_missing([moving], before)
    logged = [r for r in stage.audit.records(prefix=moving) if r["host"] in ("hv1", "hv2")]
    assert [(r["event"], r["host"], r["verdict"], r["was"]) for r in logged[-3:]] == [
        ("verdict", "hv1", "accepted", None),
        ("verdict", "hv2", "accepted", None),
        ("withdraw", "hv1", None, "accepted"),
    ]
    stage.host("hv2").withdraws(moving)


def test_b2_a_migration_truth_first_and_at_once(stage: Stage, family: int) -> None:
    """Truth moves the guest before the new hypervisor speaks: gone, then there, the same end."""
    moving = guest(1, family)
    stage.host("hv1").announces(moving)
    stage.all_have(moving, "hv1")
    stage.owners(owned_by("hv2"))
    stage.all_lack(moving)
    stage.audit.has(prefix=moving, host="hv1", verdict="rejected", was="accepted")
    stage.host("hv2").announces(moving)
    stage.all_have(moving, "hv2")
    stage.host("hv2").withdraws(moving)


def test_b3_a_theft(stage: Stage, family: int) -> None:
    """Another hypervisor announces the guest: rejected, and the owner's path is not touched."""
    stolen = guest(1, family)
    stage.host("hv1").announces(stolen)
    stage.all_have(stolen, "hv1")
    probe = watch(stage)
    before = probe.moment()
    stage.host("hv3").announces(stolen)
    record = stage.audit.has(
        prefix=stolen, host="hv3", verdict="rejected", reasons=["origin_invalid_asn"]
    )
    assert "AS65001" in str(record["vrps"])
    stage.all_have(stolen, "hv1")
    probe.quiet(before)
    probe.never_had([stolen], asn=stage.host("hv3").asn)


LEAKS = {
    # prefix -> reasons, most specific first
    "0.0.0.0/0": ["bogon_prefix", "prefix_too_short", "origin_not_found"],
    "203.0.113.0/24": ["prefix_too_short", "origin_not_found"],
    "::/0": ["bogon_prefix", "prefix_too_short", "origin_not_found"],
    "2001:db8:30::/48": ["prefix_too_short", "origin_not_found"],
}


def test_b4_a_leak(stage: Stage) -> None:
    """A default route and a network leak out of a hypervisor: rejected, the guest stays."""
    own = [guest(3, family) for family in stage.lab.families]
    leaks = {p: reasons for p, reasons in LEAKS.items() if family_of(p) in stage.lab.families}
    stage.host("hv3").announces(*own, *leaks)
    for router in stage:
        router.has_exactly(*own)
    for prefix, reasons in leaks.items():
        record = stage.audit.has(prefix=prefix, host="hv3", verdict="rejected")
        assert sorted(record["reasons"]) == sorted(reasons)


def test_b5_another_ones_next_hop(stage: Stage, family: int) -> None:
    """A hypervisor would send its guest's traffic to another: rejected."""
    own = guest(3, family)
    stage.host("hv3").announces(own, next_hop=stage.host("hv1").addresses[family])
    stage.audit.has(prefix=own, host="hv3", verdict="rejected", reasons=["next_hop_not_owned"])
    stage.all_lack(own)
    stage.host("hv3").announces(own)
    stage.all_have(own, "hv3")


def test_b6_two_planes(stage: Stage, family: int) -> None:
    """One hypervisor, two sessions, two next hops: two paths; a lost plane takes one of them."""
    own = guest(4, family)
    for plane in PLANES:
        stage.host(plane).announces(own)
    stage.all_have(own, *PLANES)
    stage.route_server.tolerated.append("peer reset")
    probe = watch(stage)
    before = probe.moment()

    stage.host("hv4.red").dies()

    stage.all_have(own, "hv4.blue")
    probe.never_missing([own], before)
    changes = [(change.router, change.now is None) for change in probe.changes(before)]
    assert changes == [("leaf1", True), ("leaf2", False)]  # one of two; the only one is replaced
    stage.host("hv4.red").starts()
    stage.all_have(own, *PLANES)


def test_b7_a_link_local_next_hop_beside_the_global_one(stage: Stage) -> None:
    """RFC 2545: both come with one route, which is one route."""
    if 6 not in stage.lab.families:
        pytest.skip("no IPv6 without network namespaces")
    own = guest(5, 6)
    stage.host("hv5").announces(own)
    stage.all_have(own, "hv5")
    host = cast(BirdHostOnLink, stage.host("hv5"))
    record = stage.audit.has(prefix=own, host="hv5", verdict="accepted")
    assert record["next_hop"] == f"{host.addresses[6]} {host.link_local}"
    assert len(stage.audit.records(prefix=own, event="verdict")) == 1
