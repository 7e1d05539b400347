"""GoBGP as a host and as a router, driven by its command line `gobgp`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from lab.core import LabError, family_of
from lab.host import Host
from lab.router import Router
from lab.routes import Announcement, Community, Path, Table
from lab.speaker import HOLD_TIME_S, Endpoint, Speaker

API_PORT = 50051
"""Port of its gRPC interface, on the daemon's own address."""

_ORIGIN_MED, _AS_PATH, _COMMUNITIES, _NEXT_HOP, _MP_REACH, _LARGE = 4, 2, 8, 3, 14, 32
"""Attribute types (RFC 4271, 1997, 4760, 8092) as its JSON numbers them."""


class GoBgp(Speaker):
    """One gobgpd."""

    ERROR = re.compile(r'"level":"(error|fatal|panic)"|^panic:')

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.log = self.place / "output"

    def starts(self) -> None:
        """Start it; returns when it answers."""
        (self.place / "gobgpd.json").write_text(json.dumps(self._configuration(), indent=1))
        argv = ["gobgpd", "-f", "gobgpd.json", "-t", "json", "--pprof-disable"]
        self.run([*argv, "--api-hosts", f"{self._api}:{API_PORT}", "-l", "info"], self._answers)

    @property
    def _api(self) -> str:
        return self.addresses[min(self.addresses)]

    def _answers(self) -> None:
        """Raise OSError while it does not."""
        try:
            self.control("global")
        except LabError as error:
            raise OSError(str(error)) from error

    def control(self, *words: str) -> Any:
        """Return the output of `gobgp`, as JSON. Raises LabError."""
        text = self.lab.run(["gobgp", "-u", self._api, "-p", str(API_PORT), "-j", *words])
        return json.loads(text) if text.startswith(("{", "[")) else {}

    def hints(self) -> list[str]:
        """Commands with which a person may watch it, or play with it."""
        gobgp = " ".join([*self.lab.inside(), "gobgp", "-u", self._api])
        return [f"{gobgp} global rib", f"{gobgp} neighbor"]

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
            "neighbors": self._neighbors(),
        }

    def _neighbors(self) -> list[dict[str, Any]]:
        raise NotImplementedError

    def _neighbor(self, other: Endpoint, over: int, hold_time_s: int) -> dict[str, Any]:
        """A neighbor of both roles. Graceful restart, because without it there is no End-of-RIB."""
        restart = {"enabled": True, "restart-time": 60, "notification-enabled": True}
        return {
            "config": {"neighbor-address": other.addresses[over], "peer-as": other.asn},
            "transport": {"config": {"local-address": self.addresses[over]}},
            "timers": {
                "config": {
                    "hold-time": hold_time_s,
                    "keepalive-interval": hold_time_s / 3,
                    "connect-retry": 1,
                    "idle-hold-time-after-reset": 1,
                }
            },
            "ebgp-multihop": {"config": {"enabled": True, "multihop-ttl": 64}},
            "graceful-restart": {"config": restart},
            "afi-safis": [
                {
                    "config": {"afi-safi-name": f"ipv{carried}-unicast"},
                    "mp-graceful-restart": {"config": {"enabled": True}},
                }
                for carried in self.carried[over]
            ],
        }


class GoBgpRouter(GoBgp, Router):
    """A router that learns from route servers, with ADD-PATH when `paths` is "all"."""

    def requests_refresh(self) -> None:
        """Make it request all routes from the route servers again."""
        for other in self._route_servers:
            for over in self.carried:
                self.control("neighbor", other.addresses[over], "softresetin")

    def _neighbors(self) -> list[dict[str, Any]]:
        return [
            self._route_server(other, over)
            for other in self._route_servers
            for over in self.carried
        ]

    def _route_server(self, other: Endpoint, over: int) -> dict[str, Any]:
        neighbor = self._neighbor(other, over, HOLD_TIME_S)
        neighbor["transport"]["config"]["passive-mode"] = True
        for family in neighbor["afi-safis"]:
            family["add-paths"] = {"config": {"receive": self.paths == "all"}}
        return neighbor


class GoBgpHost(GoBgp, Host):
    """A host whose routes are put into the global table; GoBGP itself adds its ASN."""

    def starts(self) -> None:
        """Start it; returns when it answers."""
        super().starts()
        self._announce(list(self._announced))

    def _announce(self, prefixes: Sequence[str]) -> None:
        for prefix in prefixes:
            announcement = self._announced[prefix]
            family = family_of(prefix)
            words = ["nexthop", announcement.next_hop or self.addresses[family]]
            if announcement.as_path is not None:
                raise LabError("GoBGP puts its own ASN in front: a host that lies is a BirdHost")
            if announcement.med is not None:
                words += ["med", str(announcement.med)]
            for name, communities in (
                ("community", announcement.communities),
                ("large-community", announcement.large_communities),
            ):
                if communities:
                    words += [name, ",".join(":".join(map(str, c)) for c in communities)]
            self.control("global", "rib", "add", "-a", f"ipv{family}", prefix, *words)

    def _withdraw(self, gone: dict[str, Announcement]) -> None:
        for prefix in gone:
            self.control("global", "rib", "del", "-a", f"ipv{family_of(prefix)}", prefix)

    def _neighbors(self) -> list[dict[str, Any]]:
        return [
            self._route_server(other, over)
            for other in self._route_servers
            for over in self.carried
        ]

    def _route_server(self, other: Endpoint, over: int) -> dict[str, Any]:
        neighbor = self._neighbor(other, over, self._hold_time_s)
        neighbor["transport"]["config"]["remote-port"] = other.port
        return neighbor


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
