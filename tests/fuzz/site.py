"""The small world that the engine is fuzzed in: configurations, hosts, routers, data.

The hosts' addresses are those of the captured lines, so that every capture is a valid seed.
"""

from __future__ import annotations

import json
from pathlib import Path

from rsfilter.config.build import parse_config
from rsfilter.config.model import Config

ROUTERS = ("127.10.2.1", "127.10.2.2", "2001:db8:f::2")

_CONFIG = """
[route_server]
asn = 65100
router_id = "127.10.0.100"
local_address = ["127.10.0.100", "2001:db8:f::100"]

[[hosts]]
name = "hypervisors"
neighbors = ["127.10.1.0/28", "2001:db8:f::1"]
ipv6_lengths = [64, 128]
max_prefixes = 6
{hosts}

[[hosts]]
name = "others"
neighbors = ["127.0.0.0/16"]
asn = 65001
max_prepends = 2
not_found = "accept"
stale_time = 90

[[routers]]
name = "best"
neighbors = ["127.10.2.1"]
asn = 65200

[[routers]]
name = "all"
neighbors = ["127.10.2.2", "2001:db8:f::2"]
asn = {routers_asn}
paths = "all"
{routers}
{data}

[guard]
max_loss_percent = 50
min_loss = 2
"""

_RTR = '[rtr]\ncaches = ["192.0.2.50:8282"]\n'
_TRUTH = '[truth]\nfile = "truth.json"\n'

CONFIGS: tuple[Config, ...] = tuple(
    parse_config(_CONFIG.format(**parts), Path("/site/rsfilter.toml"))
    for parts in (
        {"hosts": "", "routers_asn": 65200, "routers": "", "data": _TRUTH},
        {
            "hosts": "stale_time = 30\nmax_prepends = 1",
            "routers_asn": 65100,
            "routers": "",
            "data": _TRUTH + 'mode = "authoritative"\n' + _RTR + 'on_expire = "reject"\n',
        },
        {
            "hosts": 'next_hop = ["127.10.1.0/29", "2001:db8:f::/64"]',
            "routers_asn": 65200,
            "routers": 'as_path = "prepend"',
            "data": _TRUTH + 'mode = "union"\n' + _RTR,
        },
        {
            "hosts": "",
            "routers_asn": 65200,
            "routers": "",
            "data": _TRUTH + 'mode = "both"\n' + _RTR + 'on_expire = "reject"\n',
        },
    )
)
"""Choices of `@config N`: the modes, iBGP routers, retention, prepending."""

TRUTHS: tuple[bytes, ...] = tuple(
    json.dumps(truth).encode()
    for truth in (
        {"roas": [{"prefix": "0.0.0.0/0", "maxLength": 32, "asn": n} for n in range(65005, 65013)]},
        {
            "roas": [
                {"prefix": "192.0.2.0/24", "maxLength": 32, "asn": 65005},
                {"prefix": "2001:db8::/32", "maxLength": 128, "asn": "AS65005"},
                {"prefix": "203.0.113.0/24", "maxLength": 32, "asn": "AS4200000001"},
            ],
            "metadata": {"revision": "2"},
        },
        {
            "hosts": [
                {
                    "name": "hv1",
                    "asn": 65005,
                    "neighbors": ["127.10.1.1", "2001:db8:f::1"],
                    "prefixes": ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"],
                },
                {"name": "hv2", "asn": 65006, "prefixes": ["192.0.2.0/24", "198.51.100.0/24"]},
                {
                    "name": "hv3",
                    "asn": 65005,
                    "neighbors": ["127.10.1.10", "127.10.1.2"],
                    "prefixes": ["203.0.113.0/24", "192.0.2.0/24"],
                },
            ],
            "metadata": {"revision": "3"},
        },
        {
            "slurmVersion": 1,
            "validationOutputFilters": {"prefixFilters": [{"asn": 65006}], "bgpsecFilters": []},
            "locallyAddedAssertions": {
                "prefixAssertions": [
                    {"asn": 65005, "prefix": "198.51.100.0/24", "maxPrefixLength": 32}
                ],
                "bgpsecAssertions": [],
            },
        },
    )
)

RTRS: tuple[bytes, ...] = (
    b'[["0.0.0.0/0", 32, 65005], ["0.0.0.0/0", 32, 65006], ["::/0", 128, 65005]]',
    b'[["192.0.2.0/24", 24, 65005], ["198.51.100.0/24", 32, 65006]]',
    b"[]",
)


def update(peer: str, asn: int, prefixes: list[str], **more: object) -> bytes:
    """An announcement in ExaBGP 5.0's words; `more` are other attributes."""
    family = "ipv6 unicast" if ":" in prefixes[0] else "ipv4 unicast"
    path = {"0": {"element": "as-sequence", "value": [asn]}}
    attribute = {"origin": "igp", "as-path": path, **more}
    nlri = [{"nlri": prefix} for prefix in prefixes]
    message = {"update": {"attribute": attribute, "announce": {family: {peer: nlri}}}}
    return _line("update", peer, asn, {"direction": "receive", "message": message})


def sent(peer: str, asn: int, hop: str | None, prefix: str, path_id: str) -> bytes:
    """The copy of an UPDATE to a router, which announces or withdraws (None) one prefix."""
    nlri = [{"nlri": prefix} | ({"path-information": path_id} if path_id else {})]
    what = {"withdraw": {"ipv4 unicast": nlri}}
    if hop is not None:
        what = {"announce": {"ipv4 unicast": {hop: nlri}}}
    return _line("update", peer, asn, {"direction": "send", "message": {"update": what}})


def withdraw(peer: str, asn: int, prefixes: list[str]) -> bytes:
    family = "ipv6 unicast" if ":" in prefixes[0] else "ipv4 unicast"
    message = {"update": {"withdraw": {family: [{"nlri": prefix} for prefix in prefixes]}}}
    return _line("update", peer, asn, {"direction": "receive", "message": message})


def state(peer: str, asn: int, what: str, reason: str | None = None) -> bytes:
    more = {"state": what} if reason is None else {"state": what, "reason": reason}
    return _line("state", peer, asn, more)


def end_of_rib(peer: str, asn: int, family: str, direction: str = "receive") -> bytes:
    afi, safi = family.split()
    message = {"eor": {"afi": afi, "safi": safi}}
    return _line("update", peer, asn, {"direction": direction, "message": message})


def refresh(peer: str, asn: int, subtype: str) -> bytes:
    mark = {"afi": "ipv4", "safi": "unicast", "subtype": subtype}
    return _line("refresh", peer, asn, {"direction": "receive", "route-refresh": mark})


def opened(
    peer: str, asn: int, families: list[str], add_path: list[str], *, refresh: bool = True
) -> bytes:
    capabilities: dict[str, object] = {
        "1": {"name": "multiprotocol", "families": families},
        "69": {"name": "addpath", **dict.fromkeys(add_path, "receive")},
    }
    if refresh:
        capabilities["2"] = {"name": "route-refresh", "variant": "RFC"}
    message = {"direction": "receive", "open": {"version": 4, "capabilities": capabilities}}
    return _line("open", peer, asn, message)


def _line(kind: str, peer: str, asn: int, more: dict[str, object]) -> bytes:
    neighbor = {
        "address": {"local": "127.10.0.100", "peer": peer},
        "asn": {"local": 65100, "peer": asn},
        **more,
    }
    line = {"exabgp": "5.0.0", "time": 1795376896.8, "type": kind, "neighbor": neighbor}
    return json.dumps(line).encode()


def shown(neighbors: list[tuple[str, int, str]]) -> bytes:
    """The answer to `show neighbor json`: (address, ASN, state of the session). Every other one
    offers route refresh."""
    families = {"ipv4 unicast": True, "ipv6 unicast": True}
    side = {"families": families, "add-path": dict.fromkeys(families, False)}
    able = [{"capabilities": {"route-refresh": n % 2 == 0}} for n in range(len(neighbors))]
    return json.dumps(
        [
            {
                "duration": 70,
                "fsm": state,
                "local": {"address": "127.10.0.100", "as": 65100, **side, **able[0]},
                "peer": {"address": address, "as": asn, **side, **able[number]},
            }
            for number, (address, asn, state) in enumerate(neighbors)
        ]
    ).encode()
