"""Families that a session carries: ExaBGP's offer, the choice of both ends, and the fate of a route
whose next hop is of the other IP version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.frr import FrrHost
from lab.gobgp import GoBgpHost
from support.filter_site import CONFIG
from support.speaker import line

from rsfilter.config.build import parse_config
from rsfilter.exabgp.capabilities import shown
from rsfilter.exabgp.decode import decode
from rsfilter.exabgp.messages import Offered, Opened
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.filter import Filter
from rsfilter.routing.effects import SessionChange
from rsfilter.routing.model import Address

HOST = "198.51.100.1"
ROUTER = "192.0.2.10"


def open_line(neighbor: str, direction: str, *families: int) -> bytes:
    """Names as ExaBGP 5.0.15 prints them: capabilities by number, in its own OPENs by name."""
    names = [f"ipv{family}/unicast" for family in families]
    key = "1" if direction == "receive" else "multiprotocol"
    document = {
        "version": 4,
        "asn": 65001,
        "hold_time": 180,
        "router_id": "198.51.100.1",
        "capabilities": {key: {"name": "multiprotocol", "families": names}},
    }
    body = f'"direction": "{direction}", "open": {json.dumps(document)}'
    return line("open", neighbor, 65001, body).rstrip(b"\n")


def test_an_open_that_exabgp_sent_shows_what_it_offers() -> None:
    assert decode(open_line(HOST, "send", 4)) == Offered(Address.parse(HOST), frozenset({4}))
    assert decode(open_line(HOST, "send", 4, 6)) == Offered(Address.parse(HOST), frozenset({4, 6}))
    nothing = open_line(HOST, "send").replace(b"multiprotocol", b"something")
    assert decode(nothing) == Offered(Address.parse(HOST), frozenset({4, 6})), "nothing is known"


@pytest.mark.parametrize(
    ("offered", "opened", "spoken"),
    [((4,), (4, 6), {4}), ((4, 6), (4,), {4}), ((4, 6), (4, 6), {4, 6}), ((4,), (6,), set())],
)
def test_both_ends_speak_what_both_have_offered(
    offered: tuple[int, ...], opened: tuple[int, ...], spoken: set[int]
) -> None:
    """RFC 4760 section 8. End-of-RIB goes to a router in these, and is awaited of a host."""
    config = parse_config(CONFIG, Path("rsfilter.toml"))
    machine = Filter(config, Sources.of(config).nothing)
    machine.line(open_line(ROUTER, "send", *offered), 0.0)
    machine.line(open_line(ROUTER, "receive", *opened), 0.0)
    machine.line(line("state", ROUTER, 65200, '"state": "up"').rstrip(b"\n"), 0.0)
    assert machine.egress.routers[Address.parse(ROUTER)].families == spoken


@pytest.mark.parametrize(
    ("local", "peer", "spoken"),
    [
        ({"ipv4 unicast": True}, {"ipv4 unicast": True, "ipv6 unicast": True}, {4}),
        ({"ipv4 unicast": True, "ipv6 unicast": False}, {"ipv6 unicast": True}, set()),
        ({}, {"ipv4 unicast": True, "ipv6 unicast": True}, {4, 6}),
    ],
)
def test_the_same_of_sessions_that_exabgp_shows(
    local: dict[str, bool], peer: dict[str, bool], spoken: set[int]
) -> None:
    """Its own end is not recorded: the neighbor's offer counts."""
    side = {"address": HOST, "as": 65001}
    entry = {
        "fsm": "ESTABLISHED",
        "duration": 1,
        "local": side | {"families": local},
        "peer": side | {"families": peer},
    }
    (found,) = shown(json.dumps([entry]))
    assert found.session is not None
    assert found.session.opened == Opened(Address.parse(HOST), frozenset(spoken), frozenset())


@pytest.mark.parametrize(("asn", "wrong"), [(65001, 0), (65006, 65006), (4200000001, 4200000001)])
def test_the_asn_of_an_open(asn: int, wrong: int) -> None:
    """65001 is expected. RFC 6793: one of four octets is in a capability."""
    opened = open_line(HOST, "receive", 4)
    if asn > 65535:
        changed = b'"asn": 23456'
        four = f'"65": {{"name": "asn4", "asn4": {asn}}}, "1":'.encode()
        opened = opened.replace(b'"1":', four)
    else:
        changed = f'"asn": {asn}'.encode()
    message = decode(opened.replace(b'"asn": 65001, "hold_time"', changed + b', "hold_time"'))
    assert isinstance(message, Opened)
    assert message.wrong_asn == wrong


def test_a_host_that_speaks_as_another_as_is_audited_once() -> None:
    config = parse_config(CONFIG, Path("rsfilter.toml"))
    machine = Filter(config, Sources.of(config).nothing)
    down = line("state", HOST, 65001, '"state": "down", "reason": "notification sent (2,2)"')
    wrong = open_line(HOST, "receive", 4).replace(b'"asn": 65001, "hold', b'"asn": 65006, "hold')
    machine.line(down.rstrip(b"\n"), 0.0)
    for _ in range(3):
        machine.line(wrong, 1.0)
        machine.line(down.rstrip(b"\n"), 1.0)
    changes = [event for event in machine.take_audit() if isinstance(event, SessionChange)]
    assert [change.wrong_asn for change in changes] == [0, 65006]
    assert machine.engine.sessions[Address.parse(HOST)].wrong_asn == 65006


# Real peers --------------------------------------------------------------------------------------


def owned(*hosts: BirdHost | GoBgpHost | FrrHost) -> dict[str, object]:
    """A truth that binds each host to its session addresses."""
    return {
        "hosts": [
            {
                "name": host.name,
                "asn": host.asn,
                "neighbors": list(host.session_addresses),
                "prefixes": [
                    f"203.0.113.{host.asn - 65000}/32",
                    f"2001:db8:{host.asn - 65000}::/64",
                ],
            }
            for host in hosts
        ]
    }


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        if 6 not in lab.families:
            pytest.skip("no IPv6 without network namespaces")
        yield lab


@pytest.mark.lab
def test_an_ipv4_route_with_an_ipv6_next_hop_ends_no_session(lab: Lab) -> None:
    """RFC 8950. A GoBGP with one IPv6 session for both families announces as it does by itself."""
    rs = RouteServer(lab)
    six = GoBgpHost(lab, "six", 11, 65005, [rs.endpoint])
    six.speaks_only_over(6)
    leaf = BirdRouter(lab, "leaf", 201, 65200, [rs.endpoint], over=4)
    rs.writes_truth(owned(six))
    rs.configure(
        [group_of("six", six)],
        [group_of("leaf", leaf, port=lab.bgp_port)],
        truth={"file": "truth.json"},
    )
    rs.starts()
    for peer in (leaf, six):
        peer.starts()
    for peer in (leaf, six):
        peer.is_up()
    six.announces("203.0.113.5/32", next_hop="0.0.0.0")  # GoBGP puts its own address in
    six.announces("2001:db8:5::1/128", next_hop="::")
    record = rs.audit.has(event="verdict", prefix="203.0.113.5/32", verdict="rejected")
    assert record["reasons"] == ["next_hop_family"]
    rs.audit.has(event="verdict", prefix="2001:db8:5::1/128", verdict="accepted")
    leaf.has_exactly("2001:db8:5::1/128")
    assert not rs.audit.records(event="session_down", neighbor=six.addresses[6])


@pytest.mark.lab
def test_a_site_with_ipv4_alone_offers_no_ipv6(lab: Lab) -> None:
    """Neither to hosts nor to routers, although all of them would speak it."""
    rs = RouteServer(lab)
    hosts = [
        BirdHost(lab, "bird", 11, 65005, [rs.endpoint]),
        FrrHost(lab, "frr", 12, 65006, [rs.endpoint]),
    ]
    for host in hosts:
        host.speaks_only_over(4)
    leaf = BirdRouter(lab, "leaf", 201, 65200, [rs.endpoint], over=4)
    rs.writes_truth(owned(*hosts))
    rs.configure(
        [group_of(host.name, host) for host in hosts],
        [group_of("leaf", leaf, port=lab.bgp_port)],
        truth={"file": "truth.json"},
    )
    rs.starts()
    for peer in (leaf, *hosts):
        peer.starts()
    for peer in (leaf, *hosts):
        peer.is_up()
    rendered = (rs.place / "exabgp.conf").read_text()
    assert "ipv6 unicast" not in rendered
    for host in hosts:
        host.announces(f"203.0.113.{host.asn - 65000}/32")
    leaf.has_exactly("203.0.113.5/32", "203.0.113.6/32")
    for host in hosts:
        assert not rs.audit.records(event="session_down", neighbor=host.addresses[4])


@pytest.mark.lab
def test_a_host_that_speaks_as_another_as_is_named(lab: Lab) -> None:
    """ExaBGP refuses its OPEN (NOTIFICATION 2/2); who has to be corrected is in audit and API."""
    rs = RouteServer(lab)
    stray = BirdHost(lab, "stray", 11, 65006, [rs.endpoint])
    stray.speaks_only_over(4)
    leaf = BirdRouter(lab, "leaf", 201, 65200, [rs.endpoint], over=4)
    address = stray.addresses[4]
    rs.writes_truth(
        {
            "hosts": [
                {
                    "name": "hv5",
                    "asn": 65005,
                    "neighbors": [address],
                    "prefixes": ["203.0.113.5/32"],
                }
            ]
        }
    )
    rs.configure(
        [{"name": "hosts", "neighbors": [address]}],
        [group_of("leaf", leaf, port=lab.bgp_port)],
        truth={"file": "truth.json"},
    )
    rs.starts()
    leaf.starts()
    stray.starts()
    record = rs.audit.has(event="session_down", neighbor=address, host="hv5", asn=65005)
    assert record["data"]["open_asn"] == 65006
    assert "its OPEN has AS65006, and AS65005 is expected" in rs.log.read_text()
