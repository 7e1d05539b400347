"""The looking glass of a route server with real hosts, read as Alice-LG reads it, and by Alice-LG
where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from lab.alice import Alice
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.waiting import eventually
from support import alice_rules

pytestmark = pytest.mark.lab

OWN, STOLEN = "203.0.113.5/32", "203.0.113.6/32"
ELSEWHERE = "192.0.2.99"


class Glass:
    """Two hosts, of which one announces a route of the other and then goes away, and a router."""

    def __init__(self, lab: Lab) -> None:
        self.rs = rs = RouteServer(lab, recorded=True)
        self.lab = lab
        self.hv1 = BirdHost(lab, "hv1", 11, 65005, [rs.endpoint])
        self.hv2 = BirdHost(lab, "hv2", 12, 65006, [rs.endpoint])
        self.leaf = BirdRouter(lab, "leaf", 201, 65200, [rs.endpoint], over=4)
        for host in (self.hv1, self.hv2):
            host.speaks_only_over(4)
        owned = ((self.hv1, OWN), (self.hv2, STOLEN))
        rs.writes_truth(
            {
                "hosts": [
                    {
                        "name": host.name,
                        "asn": host.asn,
                        "neighbors": host.session_addresses,
                        "prefixes": [prefix],
                    }
                    for host, prefix in owned
                ]
            }
        )
        rs.configure(
            [group_of(host.name, host) for host in (self.hv1, self.hv2)],
            [group_of("leaf", self.leaf, port=lab.bgp_port)],
            truth={"file": "truth.json"},
            http={"listen": rs.http, "socket": "rsfilter.sock", "looking_glass": True},
        )
        rs.starts()
        for peer in (self.leaf, self.hv1, self.hv2):
            peer.starts()
        for peer in (self.leaf, self.hv1, self.hv2):
            peer.is_up()
        self.hv1.announces(OWN)
        # A community that imitates a label is not believed, and does not arrive either.
        self.hv1.announces(STOLEN, next_hop=ELSEWHERE, large_communities=((65100, 1101, 4),))
        self.leaf.has_exactly(OWN)
        rs.audit.has(event="verdict", prefix=STOLEN, verdict="rejected")
        self.hv2.shuts_down()
        rs.audit.has(event="session_down", neighbor=self.hv2.session_addresses[0])

    def get(self, path: str) -> bytes:
        """Return the birdwatcher API's answer."""
        fetch = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
        url = f"http://{self.rs.http}/birdwatcher/{path}"
        return self.lab.run([sys.executable, "-c", fetch, url]).encode()


@pytest.fixture(scope="module")
def glass() -> Iterator[Glass]:
    with Lab() as lab:
        yield Glass(lab)


def test_an_accepted_and_a_rejected_route_and_a_lost_host(glass: Glass) -> None:
    one, two = alice_rules.neighbors(glass.get("protocols/bgp"))
    assert (one.state, one.accepted, one.filtered) == ("up", 1, 1)
    assert (two.state, two.accepted, two.filtered) == ("down", 0, 0)
    assert one.description == "hv1"
    assert two.last_error
    accepted, filtered = alice_rules.page_of_neighbor(
        glass.get(f"routes/protocol/{one.id}"), glass.get(f"routes/filtered/{one.id}")
    )
    assert [(route.network, route.primary) for route in accepted] == [(OWN, True)]
    (stolen,) = filtered
    assert (stolen.network, stolen.next_hop) == (STOLEN, ELSEWHERE)
    assert stolen.large == [[65100, 1101, 8], [65100, 1101, 13], [65100, 1000, 4]]
    assert alice_rules.status(glass.get("status"))["message"] == "in service"


def test_nothing_of_it_is_announced(glass: Glass) -> None:
    """Labels exist in answers only."""
    commands = glass.rs.commands()
    assert any(OWN in command for command in commands)
    assert not [command for command in commands if STOLEN in command or "1101" in command]


@pytest.mark.foreign
def test_alice_shows_what_the_audit_log_has(glass: Glass) -> None:
    alice = Alice(
        glass.lab, "alice", 60, glass.rs.rsfilter("render", "alice", "-c", "rsfilter.toml")
    )
    alice.starts()
    (server,) = alice.get("routeservers")["routeservers"]
    at = f"routeservers/{server['id']}"

    def probe() -> str | None:
        shown = alice.get(f"{at}/neighbors")["neighbors"]
        return None if len(shown) == 2 else f"{shown}"

    eventually(probe, glass.lab.report)
    up, down = alice.get(f"{at}/neighbors")["neighbors"]
    assert (up["state"], up["routes_accepted"], up["routes_filtered"]) == ("up", 1, 1)
    assert up["routes_channels"]["ipv4"]["routes_accepted"] == 1
    assert down["state"] == "down"
    assert 0 <= down["uptime"] < 3600e9
    alice.has_routes(f"{at}/neighbors/{up['id']}/routes/received", "imported", OWN)
    (stolen,) = alice.has_routes(f"{at}/neighbors/{up['id']}/routes/filtered", "filtered", STOLEN)
    assert [65100, 1101, 13] in stolen["bgp"]["large_communities"]
    texts = alice.get("config")["reject_reasons"]
    assert texts["65100"]["1101"]["13"].startswith("the prefix belongs to another ASN")
    assert alice.get(f"{at}/status")["status"]["message"] == "in service"
    found = alice.get("lookup/prefix?q=203.0.113.5")
    assert found
