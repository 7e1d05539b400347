"""Capabilities of neighbors: OPENs, the answer to `show neighbor json`, and what is neither."""

from __future__ import annotations

import json

import pytest
from support.places import ROOT

from rsfilter.exabgp.capabilities import Established, Shown, opened, shown
from rsfilter.exabgp.messages import Opened
from rsfilter.routing.model import Address

PEER = Address.parse("192.0.2.10")
CAPABILITIES = frozenset({"asn4", "graceful-restart", "route-refresh"})
CAPTURE = ROOT / "fixtures/exabgp/5.0/show-adj-rib-replies.jsonl"


@pytest.mark.parametrize(
    ("capabilities", "families", "add_path"),
    [
        ({}, {4}, set()),
        ({"1": {"name": "multiprotocol", "families": ["ipv4/unicast"]}}, {4}, set()),
        ({"1": {"families": ["ipv6/unicast", "ipv4/flow"]}}, {6}, set()),
        (
            {
                "1": {"families": ["ipv4/unicast", "ipv6/unicast"]},
                "69": {"name": "addpath", "ipv4/unicast": "receive", "ipv6/unicast": "send"},
            },
            {4, 6},
            {4},
        ),
        (
            {"1": {"families": ["ipv6/unicast"]}, "69": {"ipv6/unicast": "send/receive"}},
            {6},
            {6},
        ),
        ({"69": {"ipv4/unicast": "invalid (9)"}}, {4}, set()),
        ({"69": {"ipv4/unicast": {"send": "receive"}}}, {4}, set()),
    ],
)
def test_families_and_add_path_of_an_open(
    capabilities: object, families: set[int], add_path: set[int]
) -> None:
    document = json.dumps({"version": 4, "capabilities": capabilities}).encode()
    assert opened(PEER, document, 0) == Opened(PEER, frozenset(families), frozenset(add_path))


@pytest.mark.parametrize(
    ("capabilities", "offers"),
    [
        ({"2": {"name": "route-refresh", "variant": "RFC"}}, True),
        (
            {"70": {"name": "enhanced-route-refresh"}},
            False,
        ),  # without RFC 2918 no request is allowed
        ({"64": {"name": "graceful restart", "time": 60}}, False),
        ({"2": None}, True),
    ],
)
def test_an_open_that_offers_route_refresh(capabilities: object, offers: bool) -> None:
    document = json.dumps({"version": 4, "capabilities": capabilities}).encode()
    assert opened(PEER, document, 0).offers_refresh is offers


def test_an_open_with_capabilities_that_may_be_required() -> None:
    offered = {"2": {}, "64": {"time": 60}, "65": {"name": "asn4", "asn4": 65001}, "70": {}}
    document = json.dumps({"version": 4, "asn": 65001, "capabilities": offered}).encode()
    assert opened(PEER, document, 65001).capabilities == CAPABILITIES


@pytest.mark.parametrize(
    ("ours", "theirs", "offers"),
    [(True, True, True), (True, False, False), (False, True, False), (True, None, False)],
)
def test_a_refresh_that_is_shown_takes_both_sides(
    ours: bool | None, theirs: bool | None, offers: bool
) -> None:
    (line,) = [text for text in CAPTURE.read_text().splitlines() if text.startswith("[{")]
    up, *_ = json.loads(line)
    up["local"]["capabilities"]["route-refresh"] = ours
    up["peer"]["capabilities"]["route-refresh"] = theirs
    (found,) = shown(json.dumps([up]))
    assert found.session is not None
    assert found.session.opened.offers_refresh is offers


def test_the_answer_of_a_real_exabgp() -> None:
    (line,) = [text for text in CAPTURE.read_text().splitlines() if text.startswith("[{")]
    host, router = Address.parse("127.10.23.1"), Address.parse("127.10.23.9")
    assert list(shown(line)) == [
        Shown(
            neighbor,
            7,
            Established(
                neighbor,
                asn,
                Opened(neighbor, frozenset({4}), frozenset(), True, capabilities=CAPABILITIES),
                duration=7,
            ),
        )
        for neighbor, asn in ((host, 65005), (router, 65200))
    ]


def test_a_neighbor_that_is_down_has_no_open_and_hides_no_other() -> None:
    """ExaBGP 5.0.15 shows null wherever the neighbor's OPEN would decide."""
    (line,) = [text for text in CAPTURE.read_text().splitlines() if text.startswith("[{")]
    up, *_ = json.loads(line)
    unknown = {"ipv4 unicast": None}
    down = {
        **up,
        "state": "down",
        "fsm": "IDLE",
        "local": {**up["local"], "add-path": unknown},
        "peer": {
            "capabilities": {"asn4": None},
            "families": unknown,
            "add-path": unknown,
            "address": "127.10.23.2",
            "as": None,
            "id": None,
            "hold": None,
        },
    }
    neighbors = [down, up, {**down, "fsm": "ESTABLISHED", "duration": 0}]
    found = list(shown(json.dumps(neighbors)))
    assert [str(entry.neighbor) for entry in found] == ["127.10.23.2", "127.10.23.1", "127.10.23.2"]
    assert [entry.session is not None for entry in found] == [False, True, False]
    assert [entry.was_never_up for entry in found] == [False, False, True]


@pytest.mark.parametrize("text", ["", "[", "{}", "[1]", '[{"fsm": "ESTABLISHED"}]'])
def test_an_answer_that_cannot_be_read_raises(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of either decoder
        list(shown(text))
