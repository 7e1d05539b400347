"""GoBGP as a router."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from lab.core import Lab, LabError
from lab.routes import Community, Expectations, Path, Table
from lab.speaker import HOLD_TIME_S, Endpoint, Speaker

API = "127.0.0.1:50051"
"""Its gRPC address: the lab's own loopback, or shared where there are no namespaces."""

_ORIGIN_MED, _AS_PATH, _COMMUNITIES, _NEXT_HOP, _MP_REACH, _LARGE = 4, 2, 8, 3, 14, 32
"""Attribute types (RFC 4271, 1997, 4760, 8092) as its JSON numbers them."""


class GoBgpRouter(Speaker, Expectations):
    """A router that learns from route servers, with ADD-PATH when `paths` is "all"."""

    ERROR = re.compile(r'"level":"(error|fatal|panic)"|^panic:')

    def __init__(
        self,
        lab: Lab,
        name: str,
        number: int,
        asn: int,
        route_servers: Sequence[Endpoint],
        paths: str = "best",
        over: int | None = None,
    ) -> None:
        Speaker.__init__(self, lab, name, number, asn)
        Expectations.__init__(self, name, self.table, lab.report)
        self.log = self.place / "output"
        self.speaks_only_over(over)
        self.paths = paths
        self._route_servers = route_servers

    def starts(self) -> None:
        """Start it; returns when it answers."""
        (self.place / "gobgpd.json").write_text(json.dumps(self._configuration(), indent=1))
        argv = ["gobgpd", "-f", "gobgpd.json", "-t", "json", "--pprof-disable"]
        self.run([*argv, "--api-hosts", API, "-l", "info"], self._answers)

    def _answers(self) -> None:
        """Raises OSError while it does not."""
        try:
            self.control("global")
        except LabError as error:
            raise OSError(str(error)) from error

    def control(self, *words: str) -> Any:
        """What `gobgp` says, as JSON. Raises LabError."""
        host, _, port = API.rpartition(":")
        text = self.lab.run(["gobgp", "-u", host, "-p", port, "-j", *words])
        return json.loads(text) if text.startswith(("{", "[")) else {}

    def sessions(self) -> dict[str, bool]:
        """Its sessions by the neighbor's address, and which are established."""
        established = 6  # RFC 4271 section 8.2.2, as its API numbers the states
        return {
            neighbor["conf"]["neighbor_address"]: neighbor["state"].get("session_state")
            == established
            for neighbor in self.control("neighbor")
        }

    def table(self) -> Table:
        """The paths it has learnt, by prefix."""
        table: Table = {}
        for family in self.addresses:
            rib = self.control("global", "rib", "-a", f"ipv{family}")
            for prefix, paths in rib.items():
                table[prefix] = [_path(prefix, path) for path in paths]
        return table

    def _configuration(self) -> dict[str, Any]:
        return {
            "global": {
                "config": {
                    "as": self.asn,
                    "router-id": self.router_id,
                    "port": self.port,
                    "local-address-list": list(self.addresses.values()),
                }
            },
            "neighbors": [
                self._neighbor(other, family)
                for other in self._route_servers
                for family in self.carried
            ],
        }

    def _neighbor(self, other: Endpoint, family: int) -> dict[str, Any]:
        return {
            "config": {"neighbor-address": other.addresses[family], "peer-as": other.asn},
            "transport": {
                "config": {"passive-mode": True, "local-address": self.addresses[family]}
            },
            "timers": {"config": {"hold-time": HOLD_TIME_S, "keepalive-interval": HOLD_TIME_S / 3}},
            "ebgp-multihop": {"config": {"enabled": True, "multihop-ttl": 64}},
            "afi-safis": [
                {
                    "config": {"afi-safi-name": f"ipv{carried}-unicast"},
                    "add-paths": {"config": {"receive": self.paths == "all"}},
                }
                for carried in self.carried[family]
            ],
        }


def _path(prefix: str, found: dict[str, Any]) -> Path:
    attributes = {attribute["type"]: attribute for attribute in found["attrs"]}
    next_hop = attributes.get(_NEXT_HOP) or attributes.get(_MP_REACH) or {}
    segments = attributes.get(_AS_PATH, {}).get("as_paths", [])
    return Path(
        prefix=prefix,
        neighbor=found.get("neighbor-ip", ""),
        next_hop=next_hop.get("nexthop", ""),
        as_path=tuple(asn for segment in segments for asn in segment["asns"]),
        best=found.get("best", False),
        med=attributes.get(_ORIGIN_MED, {}).get("metric"),
        communities=frozenset(
            (value >> 16, value & 0xFFFF)
            for value in attributes.get(_COMMUNITIES, {}).get("communities", [])
        ),
        large_communities=frozenset(
            _large(value) for value in attributes.get(_LARGE, {}).get("value", [])
        ),
        path_id=found.get("id"),
    )


def _large(value: dict[str, int]) -> Community:
    return (value["ASN"], value["LocalData1"], value["LocalData2"])
