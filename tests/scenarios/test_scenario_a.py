"""Scenario A: BGP on the host, secured with origin validation.

Every host owns a block in each family and announces host routes out of it; every sentence below
holds for IPv4 and IPv6, with data from StayRTR and from the truth file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest
from lab.audit import Record
from lab.core import Lab
from lab.site import Site, Source
from lab.stayrtr import Vrp
from lab.waiting import throughout

pytestmark = pytest.mark.lab

OWNERS = {"aa": 65005, "bb": 65006, "cc": 65007, "dd": 65008, "ee": 65009, "ff": 65010}
"""Owners of blocks: 2001:db8:aa::/64 and 10.0.170.0/24, and so on."""

ANYCAST = "11"
ANYCAST_OWNERS = (65006, 65009)

GRACEFUL_SHUTDOWN = (65535, 0)


def block(name: str, family: int) -> str:
    """The prefix that a VRP names."""
    return f"2001:db8:{name}::/64" if family == 6 else f"10.0.{int(name, 16)}.0/24"


def guest(name: str, family: int) -> str:
    """A host route in that block."""
    return f"2001:db8:{name}::1/128" if family == 6 else f"10.0.{int(name, 16)}.1/32"


def data(**moved: int) -> list[Vrp]:
    """The VRPs, with some blocks `moved` to another ASN."""
    owners = [*(OWNERS | moved).items(), *((ANYCAST, asn) for asn in ANYCAST_OWNERS)]
    return [
        Vrp(asn, block(name, family), 128 if family == 6 else 32)
        for name, asn in owners
        for family in (4, 6)
    ]


@pytest.fixture(scope="module", params=get_args(Source))
def running(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The site of the scenario, up."""
    with Lab() as lab:
        site = Site(lab, request.param, data(), list(OWNERS.values()))
        site.starts()
        yield site


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    """The same with nothing announced; afterwards, no log may report an error."""
    yield running
    running.settles()
    running.lab.no_errors()


def is_rejected(site: Site, prefix: str, asn: int, family: int, *reasons: str) -> Record:
    """Require an audit record with exactly these reasons, and that no router has ever seen the
    route."""
    record = site.audit.has(
        prefix=prefix,
        neighbor=site.address(asn, family),
        asn=asn,
        verdict="rejected",
        reasons=list(reasons),
    )
    for router in (site.leaf1, site.leaf2):
        seen = [path for path in router.table().get(prefix, []) if asn in path.as_path]
        assert not seen, site.lab.report()
    return record


def test_a1_a_prepended_victim(site: Site) -> None:
    """65007 announces its own, and the victim's behind a prepended path."""
    for family in site.lab.families:
        own, victims = guest("cc", family), guest("dd", family)
        site.hosts[65007].announces(victims, as_path=[65007, 65008])
        site.hosts[65007].announces(own)
        for router in site.routers:
            router.has(own, paths=1, as_path=[65007], next_hop=site.address(65007, family))
            router.lacks(victims)
        is_rejected(site, victims, 65007, family, "as_path_too_long", "origin_invalid_asn")
        site.audit.has(prefix=own, asn=65007, verdict="accepted", reasons=[])


def test_a2_a_stolen_prefix(site: Site) -> None:
    """65007 announces a prefix of 65008 as its own; the audit names the VRP that forbids it."""
    for family in site.lab.families:
        stolen = guest("dd", family)
        site.hosts[65007].announces(stolen)
        record = is_rejected(site, stolen, 65007, family, "origin_invalid_asn")
        assert record["state"] == "Invalid"
        (vrp,) = record["vrps"]
        assert "65008" in str(vrp)
        assert block("dd", family) in str(vrp)


def test_a3_a_path_with_anothers_asn(site: Site) -> None:
    """A session of 65007 announces path `65008`, which the VRP would allow to 65008."""
    for family in site.lab.families:
        forged = guest("dd", family)
        site.hosts[65007].announces(forged, as_path=[65008])
        is_rejected(site, forged, 65007, family, "first_as_not_neighbor", "origin_invalid_asn")


def test_a4_anycast(site: Site) -> None:
    """Two owners announce the same; one leaves, the other stays without a gap."""
    first, second = ANYCAST_OWNERS
    for family in site.lab.families:
        shared = guest(ANYCAST, family)
        site.hosts[second].announces(shared)
        site.hosts[first].announces(shared)
        # Equal MED: the lower neighbor address wins.
        for router in (site.leaf1, site.leaf3):
            router.has(shared, paths=1, as_path=[first], next_hop=site.address(first, family))
        for asn in ANYCAST_OWNERS:
            next_hop = site.address(asn, family)
            site.leaf2.has(shared, paths=2, as_path=[asn], next_hop=next_hop)
        best, every = site.leaf1.moment(), site.leaf2.moment()

        site.hosts[first].withdraws(shared)

        for router in site.routers:
            router.has(shared, paths=1, as_path=[second], next_hop=site.address(second, family))
        assert site.leaf1.changes(best) == [("replaced", shared)]
        assert site.leaf2.changes(every) == [("removed", shared)]


def test_a5_a_prefix_changes_its_owner(site: Site) -> None:
    """dd moves from 65008 to 65007 in the data: these routes flip, and nothing else is touched."""
    families = site.lab.families
    for name, asn in OWNERS.items():
        site.hosts[asn].announces(*(guest(name, family) for family in families))
    moving = [guest("dd", family) for family in families]
    site.hosts[65007].announces(*moving)
    everything = [guest(name, family) for name in OWNERS for family in families]
    for router in site.routers:
        router.has_exactly(*everything)
        router.has(*moving, paths=1, as_path=[65008])
    for family in families:
        is_rejected(site, guest("dd", family), 65007, family, "origin_invalid_asn")
    best, every = site.leaf1.moment(), site.leaf2.moment()
    commands = site.route_server.moment()

    site.has_data(data(dd=65007))

    for router in site.routers:
        router.has(*moving, paths=1, as_path=[65007])
    for family in families:
        flipping = guest("dd", family)
        site.audit.has(prefix=flipping, asn=65008, verdict="rejected", was="accepted")
        site.audit.has(prefix=flipping, asn=65007, verdict="accepted", was="rejected")
    assert sorted(site.leaf1.changes(best)) == sorted(("replaced", p) for p in moving)
    assert {prefix for _, prefix in site.leaf2.changes(every)} == set(moving)
    named = [p for p in everything for c in site.route_server.commands(commands) if p in c.split()]
    assert set(named) == set(moving)

    site.has_data(data())
    for router in site.routers:
        router.has(*moving, paths=1, as_path=[65008])


def test_a7_own_prepends_and_graceful_shutdown(site: Site) -> None:
    """`65005 65005` is too long by one; a valid route's GRACEFUL_SHUTDOWN reaches the routers."""
    for family in site.lab.families:
        own = guest("aa", family)
        site.hosts[65005].announces(own, as_path=[65005, 65005])
        is_rejected(site, own, 65005, family, "as_path_too_long")
        site.hosts[65005].announces(own, communities=[GRACEFUL_SHUTDOWN])
        for router in site.routers:
            router.has(own, paths=1, as_path=[65005], communities=[GRACEFUL_SHUTDOWN])


@pytest.mark.parametrize("running", ["stayrtr"], indirect=True)
def test_a6_every_cache_dies(site: Site) -> None:
    """The data stay in force, new routes are judged by them, and the return causes no churn."""
    families = site.lab.families
    for name, asn in OWNERS.items():
        site.hosts[asn].announces(*(guest(name, family) for family in families))
    everything = [guest(name, family) for name in OWNERS for family in families]
    for router in site.routers:
        router.has_exactly(*everything)
    before = site.leaf1.moment(), site.leaf2.moment()

    def nothing_changes() -> str | None:
        changes = site.leaf1.changes(before[0]) + site.leaf2.changes(before[1])
        return f"routers saw {changes}" if changes else None

    site.route_server.tolerated.append("RTR cache .* (is not answering|is now in use)")
    for cache in site.caches:
        cache.dies()
    throughout(nothing_changes, 3.0, site.lab.report)  # several times `retry`
    caches = site.route_server.status()["rtr"]["caches"]
    assert {cache["state"] for cache in caches} == {"connecting"}
    assert all(cache["age_s"] > 3 and cache["errors"] > 0 for cache in caches)

    for cache in site.caches:
        cache.starts()
        site.cache_is_back(cache)
    throughout(nothing_changes, 3.0, site.lab.report)
    site.has_data(data(dd=65007))
    site.leaf1.lacks(*(guest("dd", family) for family in families))
    site.has_data(data())
    site.leaf1.has_exactly(*everything)


def test_a6_data_expire(lab: Lab) -> None:
    """Old data hold until `expire` with `on_expire = "reject"`, and no longer."""
    times = {"refresh": 1, "expire": 5, "on_expire": "reject"}
    site = Site(lab, "stayrtr", data(), [65005], rtr=times)
    site.starts()
    guests = [guest("aa", family) for family in lab.families]
    site.hosts[65005].announces(*guests)
    for router in site.routers:
        router.has_exactly(*guests)

    for cache in site.caches:
        cache.dies()

    def still_there() -> str | None:
        return None if set(site.leaf1.table()) == set(guests) else "gone before its time"

    throughout(still_there, 3.0, lab.report)
    for router in site.routers:
        router.lacks(*guests)
    for prefix in guests:
        site.audit.has(prefix=prefix, verdict="rejected", reasons=["data_unavailable"])
    for cache in site.caches:
        cache.starts()
    for router in site.routers:
        router.has_exactly(*guests)
