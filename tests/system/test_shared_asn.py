"""Hosts that share an ASN, as the nodes of a cluster mostly do: each announces its own, and a theft
is rejected with the name of the owner."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.gobgp import GoBgpHost

pytestmark = pytest.mark.lab

ASN = 65005
ANYCAST = "203.0.113.99/32"


class Cluster:
    """Four nodes of one ASN, behind one route server."""

    def __init__(self, lab: Lab) -> None:
        self.rs = rs = RouteServer(lab)
        self.nodes = [BirdHost(lab, f"node{n}", 10 + n, ASN, [rs.endpoint]) for n in (1, 2, 3)]
        self.nodes.append(GoBgpHost(lab, "node4", 14, ASN, [rs.endpoint]))
        for node in self.nodes:
            node.speaks_only_over(4)
        self.leaf = BirdRouter(lab, "leaf", 201, 65200, [rs.endpoint], paths="all", over=4)
        self.owns({})
        rs.configure(
            [group_of("cluster", *self.nodes)],
            [group_of("leaf", self.leaf, port=lab.bgp_port, paths="all")],
            truth={"file": "truth.json"},
        )
        rs.starts()
        for peer in (self.leaf, *self.nodes):
            peer.starts()
        for peer in (self.leaf, *self.nodes):
            peer.is_up()

    def owns(self, more: dict[str, list[str]]) -> None:
        """Each owns an address of its own, the first two an anycast one too."""
        hosts = [
            {
                "name": node.name,
                "asn": ASN,
                "neighbors": list(node.session_addresses),
                "prefixes": [
                    own(number),
                    *([ANYCAST] if number <= 2 else []),
                    *more.get(node.name, []),
                ],
            }
            for number, node in enumerate(self.nodes, 1)
        ]
        self.rs.writes_truth({"hosts": hosts})


def own(number: int) -> str:
    return f"203.0.113.{number}/32"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Lab() as lab:
        yield Cluster(lab)


def test_each_announces_its_own_and_every_theft_is_rejected_by_name(cluster: Cluster) -> None:
    for number, node in enumerate(cluster.nodes, 1):
        node.announces(own(number))
    for node in cluster.nodes[:2]:
        node.announces(ANYCAST)
    cluster.leaf.has_exactly(*map(own, (1, 2, 3, 4)), ANYCAST)
    for number, thief in enumerate(cluster.nodes, 1):
        for other, victim in enumerate(cluster.nodes, 1):
            if other == number:
                continue
            thief.announces(own(other))
            record = cluster.rs.audit.has(
                event="verdict", host=thief.name, prefix=own(other), verdict="rejected"
            )
            assert record["reasons"] == ["origin_invalid_asn"]
            assert record["data"]["owners"] == [victim.name]
    cluster.nodes[2].announces(ANYCAST)
    record = cluster.rs.audit.has(event="verdict", host="node3", prefix=ANYCAST)
    assert record["data"]["owners"] == ["node1", "node2"]
    for prefix, owners in [*((own(n), [n]) for n in (1, 2, 3, 4)), (ANYCAST, [1, 2])]:
        hops = {path.next_hop for path in cluster.leaf.table()[prefix]}
        assert hops == {cluster.nodes[n - 1].addresses[4] for n in owners}


def test_a_prefix_that_moves_from_one_to_another(cluster: Cluster) -> None:
    """The VRPs stay the same: only their owner changes."""
    moved = "203.0.113.50/32"
    first, second = cluster.nodes[0], cluster.nodes[1]
    cluster.owns({"node1": [moved]})
    first.announces(moved)
    second.announces(moved)
    cluster.rs.audit.has(event="verdict", host="node1", prefix=moved, verdict="accepted")
    cluster.rs.audit.has(event="verdict", host="node2", prefix=moved, verdict="rejected")
    cluster.owns({"node2": [moved]})
    cluster.rs.audit.has(event="verdict", host="node2", prefix=moved, verdict="accepted")
    cluster.rs.audit.has(event="verdict", host="node1", prefix=moved, verdict="rejected")


def test_explain_names_the_owner(cluster: Cluster) -> None:
    thief = cluster.nodes[3].addresses[4]
    arguments = ["explain", "-c", "rsfilter.toml", own(1), "--asn", str(ASN), "--json"]
    found = json.loads(cluster.rs.rsfilter(*arguments, "--neighbor", thief))
    assert (found["reasons"], found["owners"]) == (["origin_invalid_asn"], ["node1"])
    found = json.loads(cluster.rs.rsfilter(*arguments))
    assert found["neighbor"] == cluster.nodes[0].addresses[4], "who owns it is asked about"
    assert found["verdict"] == "accepted"
