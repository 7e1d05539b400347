"""Scenario C: high availability with ExaBGP. Web nodes announce service addresses, and how well.

Three nodes of one AS announce three addresses by `exabgp healthcheck`, each node with the best MED
for another one. Two route servers; routers (BIRD, FRR, GoBGP) are clients of both. The fourth node,
an FRR, announces more than it should.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

import pytest
from lab.bird import BirdRouter
from lab.core import SESSION_LOST, Lab
from lab.frr import FrrHost, FrrRouter
from lab.gobgp import GoBgpRouter
from lab.healthcheck import HealthcheckHost
from lab.probe import Probe
from lab.router import Router
from lab.stage import Stage
from lab.story import expecting
from lab.waiting import eventually

pytestmark = pytest.mark.lab

ASN, GREEDY_ASN = 65001, 65002
NODES = ("web.1", "web.2", "web.3")
VIPS = [f"2001:db8:30::{n}/128" for n in (1, 2, 3)]
OTHERS = [f"2001:db8:40::{n:x}/128" for n in range(1, 12)]
MARKERS = [f"2001:db8:41::{n:x}/128" for n in range(1, 10)]
MAX_PREFIXES = 10
HOLD_TIME_S = 3
"""The shortest there is (RFC 4271 section 4.2): how long a silent node goes unnoticed."""


@pytest.fixture(scope="module")
def running() -> Iterator[Stage]:
    with Lab() as lab:
        if 6 not in lab.families:
            pytest.skip("no IPv6 without network namespaces")
        stage = Stage(lab, names=("rs", "rs2"), max_prefixes=MAX_PREFIXES)
        for index, name in enumerate(NODES):
            options = {"start_ip": index, "withdraw_on_down": name == "web.3"}
            stage.add_host(
                HealthcheckHost,
                name,
                ASN,
                hold_time_s=HOLD_TIME_S,
                vips=VIPS,
                options={key: value for key, value in options.items() if value},
            )
        stage.add_host(FrrHost, "greedy", GREEDY_ASN)
        stage.add_router(BirdRouter, "leaf1")
        stage.add_router(BirdRouter, "leaf2", paths="all", over=6)
        stage.add_router(FrrRouter, "leaf3", as_path="prepend", over=6)
        stage.add_router(GoBgpRouter, "leaf4", paths="all", over=6)
        others = [*OTHERS, *MARKERS, "2001:db8:50::/64"]
        stage.owners({"web": VIPS, "greedy": others})
        stage.starts()
        yield stage


@pytest.fixture
def stage(running: Stage) -> Iterator[Stage]:
    """Every node is well; afterwards, no log may report an error."""
    everybody_is_well(running)
    yield running
    running.host("greedy").withdraws_all()
    running.lab.no_errors()


def node(stage: Stage, name: str) -> HealthcheckHost:
    return cast(HealthcheckHost, stage.host(name))


def address(stage: Stage, name: str) -> str:
    """Address of a node's sessions, and its next hop."""
    return stage.host(name).addresses[6]


def watch(stage: Stage) -> Probe:
    """The history of the BIRD routers: one with every path, one with the best."""
    return Probe(*birds(stage))


def birds(stage: Stage) -> list[BirdRouter]:
    """The routers that keep a history."""
    return [router for router in stage if isinstance(router, BirdRouter)]


def goes_to(stage: Stage, vip: str, name: str, med: int) -> None:
    """Every router prefers this node for the address."""
    wanted = address(stage, name), med
    for router in stage:

        def probe(router: object = router) -> str | None:
            best = [path for path in router.table().get(vip, []) if path.best]  # type: ignore[attr-defined]
            found = [(path.next_hop, path.med) for path in best]
            return None if found == [wanted] else f"{found}, not {wanted}"

        with expecting(f"{router.name} reaches {vip} over {name}, MED {med}"):
            eventually(probe, stage.lab.report)


def everybody_is_well(stage: Stage) -> None:
    """Each address goes to the node that has it first."""
    for vip, name in zip(VIPS, NODES, strict=True):
        goes_to(stage, vip, name, 100)


def everything_has_arrived(stage: Stage, marker: str, route_servers: int = 2) -> None:
    """Wait until a route that a node announces now is everywhere: what came before it is, too."""
    stage.host("greedy").announces(marker)
    for router in stage:
        router.has(marker, paths=route_servers)
    stage.audit.has(prefix=marker, verdict="accepted")  # written a little later


def each_address_is_at_its_first_node(stage: Stage) -> None:
    """Wait until every health check has finished rising, and each route server has sent it: MED
    100, 101 and 102, rotated."""
    wanted = {vip: {(address(stage, name), 100)} for vip, name in zip(VIPS, NODES, strict=True)}
    for router in stage:
        if router.paths == "all":
            for first, name in enumerate(NODES):
                for vip in VIPS:
                    med = 100 + (VIPS.index(vip) - first) % 3
                    router.has(vip, paths=6, next_hop=address(stage, name), med=med)
            continue

        def probe(router: Router = router) -> str | None:
            paths = {vip: router.table().get(vip, []) for vip in VIPS}
            found = {vip: {(path.next_hop, path.med) for path in paths[vip]} for vip in VIPS}
            return None if found == wanted else f"{found}, not {wanted}"

        with expecting(f"{router.name} reaches each address over its first node alone"):
            eventually(probe, stage.lab.report)


def test_c1_each_address_goes_to_its_first_node(stage: Stage) -> None:
    """MED 100, 101 and 102 are rotated: every router that gets every path has all three."""
    each_address_is_at_its_first_node(stage)


def test_c2_a_service_dies(stage: Stage) -> None:
    """The MED of its node rises, its address moves to the next one, and is never absent."""
    probe = watch(stage)
    before = probe.moment()
    node(stage, "web.1").service_dies()
    goes_to(stage, VIPS[0], "web.3", 101)
    stage.audit.has(prefix=VIPS[0], neighbor=address(stage, "web.3"), verdict="accepted")
    for router in stage:
        if router.paths == "all":
            router.has(VIPS[0], paths=6, next_hop=address(stage, "web.1"), med=1000)
    node(stage, "web.1").service_recovers()
    everybody_is_well(stage)
    probe.never_missing(VIPS, before)


def test_c3_a_disable_file(stage: Stage) -> None:
    """MED 500 and more for one node, and a withdrawal for the node that withdraws when down."""
    probe = watch(stage)
    before = probe.moment()
    node(stage, "web.2").has_file("disable")
    goes_to(stage, VIPS[1], "web.1", 101)
    for router in stage:
        if router.paths == "all":
            router.has(VIPS[1], paths=6, next_hop=address(stage, "web.2"), med=500)
    node(stage, "web.2").has_no_file("disable")
    everybody_is_well(stage)

    node(stage, "web.3").has_file("disable")
    goes_to(stage, VIPS[2], "web.2", 101)
    for router in stage:
        router.has(*VIPS, paths=4 if router.paths == "all" else 2)
    stage.audit.has(
        prefix=VIPS[2], neighbor=address(stage, "web.3"), event="withdraw", cause="withdraw"
    )
    node(stage, "web.3").has_no_file("disable")
    everybody_is_well(stage)
    probe.never_missing(VIPS, before)


def test_c4_a_node_vanishes_and_one_is_killed(stage: Stage) -> None:
    """Withdrawn within the hold time and a second, or at once when its connection is closed."""
    for route_server in stage.route_servers:
        route_server.tolerated += SESSION_LOST
    for name in NODES:
        # Its healthcheck outlives ExaBGP.
        stage.host(name).tolerated += [*SESSION_LOST, "Traceback"]
    probe = watch(stage)
    before = probe.moment()
    stage.host("web.2").vanishes()
    vanished = datetime.now(UTC)
    goes_to(stage, VIPS[1], "web.1", 101)
    for router in stage:
        router.has(*VIPS, paths=4 if router.paths == "all" else 2)
    for route_server in stage.route_servers:
        record = route_server.audit.has(
            prefix=VIPS[1], neighbor=address(stage, "web.2"), event="withdraw", cause="session_down"
        )
        took = datetime.fromisoformat(record["at"]) - vanished
        assert took.total_seconds() < HOLD_TIME_S + 1
    stage.host("web.2").wakes()
    everybody_is_well(stage)

    stage.host("web.1").dies()
    goes_to(stage, VIPS[0], "web.3", 101)
    stage.host("web.1").starts()
    everybody_is_well(stage)
    probe.never_missing(VIPS, before)


def test_c5_one_prefix_too_many(stage: Stage) -> None:
    """The eleventh of ten is rejected, and no other node notices."""
    stage.host("greedy").announces(*OTHERS[:MAX_PREFIXES])
    for router in stage:
        router.has_exactly(*VIPS, *OTHERS[:MAX_PREFIXES])
        router.has(*OTHERS[:MAX_PREFIXES], paths=len(stage.route_servers))
    probe = watch(stage)
    before = probe.moment()
    eleventh = OTHERS[MAX_PREFIXES]
    stage.host("greedy").announces(eleventh)
    for route_server in stage.route_servers:
        route_server.audit.has(
            prefix=eleventh, host="greedy", verdict="rejected", reasons=["max_prefixes"]
        )
    probe.quiet(before)
    for router in stage:
        router.has_exactly(*VIPS, *OTHERS[:MAX_PREFIXES])


def test_c6_a_network_is_no_host_route(stage: Stage) -> None:
    """A /64 is rejected, although it is the node's own."""
    stage.host("greedy").announces("2001:db8:50::/64")
    stage.audit.has(prefix="2001:db8:50::/64", verdict="rejected", reasons=["prefix_too_short"])
    for router in stage:
        router.has_exactly(*VIPS)


def test_c7_the_filter_is_killed(stage: Stage) -> None:
    """kill -9: ExaBGP starts another one, and no router sees a withdrawal or an announcement."""
    each_address_is_at_its_first_node(stage)
    everything_has_arrived(stage, MARKERS[0])
    probe, received = watch(stage), {router: router.received() for router in birds(stage)}
    before = probe.moment()
    stage.route_server.filter_restarts()
    everything_has_arrived(stage, MARKERS[1])
    assert not [change for change in probe.changes(before) if change.place.prefix != MARKERS[1]]
    for router in birds(stage):
        assert router.received() - received[router] == len(stage.route_servers)
    everybody_is_well(stage)
    assert len(stage.audit.records(event="start")) == 2


def test_c9_repetitions_cost_nothing(stage: Stage) -> None:
    """Nodes announce all again and again: routers are sent nothing, the audit gets no line."""
    each_address_is_at_its_first_node(stage)
    everything_has_arrived(stage, MARKERS[3])
    probe, received = watch(stage), {router: router.received() for router in birds(stage)}
    before, lines = probe.moment(), len(stage.audit.records())
    repetitions = {name: node(stage, name).repetitions() for name in NODES}

    def repeated() -> str | None:
        often = {name: node(stage, name).repetitions() - repetitions[name] for name in NODES}
        return None if min(often.values()) >= 4 else f"only {often} repetitions"

    with expecting("every node has announced everything four times more"):
        eventually(repeated, stage.lab.report)
    assert {router: router.received() for router in birds(stage)} == received
    probe.quiet(before)
    assert len(stage.audit.records()) == lines


def test_c8_two_route_servers_are_one(stage: Stage) -> None:
    """Both give each router the same; one is killed, and nothing is lost."""

    def differ() -> str | None:
        for router in birds(stage):
            given: dict[str, set[object]] = {"rs_6": set(), "rs2_6": set()}
            for prefix, paths in router.table().items():
                for path in paths:
                    given[path.neighbor].add((prefix, path.next_hop, path.as_path, path.med))
            if given["rs_6"] != given["rs2_6"] or not given["rs_6"]:
                return f"{router.name} is given {given}"
        return None

    with expecting("both route servers give each router the same"):
        eventually(differ, stage.lab.report)
    for peer in (*stage, *stage.hosts.values()):
        peer.tolerated += SESSION_LOST
    probe = watch(stage)
    before = probe.moment()
    stage.route_servers[1].dies()
    everything_has_arrived(stage, MARKERS[2], route_servers=1)
    everybody_is_well(stage)
    probe.never_missing(VIPS, before)
