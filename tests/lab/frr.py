"""FRR's bgpd as a router: no zebra, driven over its vty socket."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Sequence
from typing import Any

from lab.core import Lab
from lab.routes import Community, Expectations, Path, Table, as_path_of
from lab.speaker import HOLD_TIME_S, Endpoint, Speaker

BGPD = "/usr/lib/frr/bgpd"
"""Debian's place; not on PATH, and OpenBGPD has a program of the same name there."""

_WITHOUT_ZEBRA = r"zclient_send_message\(\) failed"

_WELL_KNOWN: dict[str, Community] = {  # RFC 1997, 8326, 9494, as FRR's JSON names them
    "gracefulShutdown": (65535, 0),
    "llgrStale": (65535, 6),
    "noLlgr": (65535, 7),
    "noExport": (65535, 65281),
    "noAdvertise": (65535, 65282),
}


class FrrRouter(Speaker, Expectations):
    """A router that learns from route servers; it takes ADD-PATH from whoever offers it."""

    ERROR = re.compile(r"\[EC \d+\]|NOTIFICATION|[Ee]rror")

    def __init__(
        self,
        lab: Lab,
        name: str,
        number: int,
        asn: int,
        route_servers: Sequence[Endpoint],
        over: int | None = None,
    ) -> None:
        Speaker.__init__(self, lab, name, number, asn)
        Expectations.__init__(self, name, self.table, lab.report)
        self.speaks_only_over(over)
        self.tolerated.append(_WITHOUT_ZEBRA)
        self._route_servers = route_servers

    def starts(self) -> None:
        """Start it; returns when it answers."""
        (self.place / "frr.conf").write_text(self._configuration())
        listen = [word for address in self.addresses.values() for word in ("-l", address)]
        # -Z -n: neither zebra nor kernel; -S: stay who we are; -P 0: no telnet.
        argv = [BGPD, "-Z", "-n", "-S", "-P", "0", *listen, "-p", str(self.port)]
        argv += ["--vty_socket", str(self.place), "-i", "bgpd.pid", "-f", "frr.conf"]
        self.run(argv, lambda: self.control("show version"))

    def control(self, command: str) -> str:
        """What bgpd answers in the vtysh protocol: text, three NULs and a status byte."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.place / "bgpd.vty"))
            for line in ("enable", command):
                connection.sendall(line.encode() + b"\0")
                answer = b""
                while answer[-4:-1] != b"\0\0\0":
                    if not (chunk := connection.recv(1 << 16)):
                        raise OSError("bgpd closed its vty")
                    answer += chunk
        return answer[:-4].decode()

    def sessions(self) -> dict[str, bool]:
        """Its sessions by the neighbor's address, and which are established."""
        summary = json.loads(self.control("show bgp summary json"))
        return {
            address: peer["state"] == "Established"
            for family in summary.values()
            for address, peer in family.get("peers", {}).items()
        }

    def table(self) -> Table:
        """The paths it has learnt, by prefix."""
        table: Table = {}
        for family in self.addresses:
            routes = json.loads(self.control(f"show bgp ipv{family} unicast json"))["routes"]
            for prefix in routes:
                detail = json.loads(self.control(f"show bgp ipv{family} unicast {prefix} json"))
                if paths := [_path(prefix, found) for found in detail.get("paths", [])]:
                    table[prefix] = paths
        return table

    def _configuration(self) -> str:
        lines = [
            "frr defaults datacenter",
            f"log file {self.log}",
            "no log syslog",
            f"router bgp {self.asn}",
            f" bgp router-id {self.router_id}",
            " no bgp default ipv4-unicast",
            " bgp allow-martian-nexthop",  # 127.0.0.0/8, in a lab without namespaces
            " no bgp ebgp-requires-policy",  # everything is imported: the filter is what is tested
        ]
        for other in self._route_servers:
            for address in (other.addresses[family] for family in self.carried):
                lines += [
                    f" neighbor {address} remote-as {other.asn}",
                    f" neighbor {address} disable-connected-check",
                    f" neighbor {address} passive",
                    f" neighbor {address} timers {HOLD_TIME_S // 3} {HOLD_TIME_S}",
                    f" no neighbor {address} enforce-first-as",
                ]
        for over, families in self.carried.items():
            for family in families:
                lines.append(f" address-family ipv{family} unicast")
                lines += [f"  neighbor {o.addresses[over]} activate" for o in self._route_servers]
                lines.append(" exit-address-family")
        return "\n".join(lines) + "\n"


def _path(prefix: str, found: dict[str, Any]) -> Path:
    hops = [h["ip"] for h in found["nexthops"] if h.get("scope") != "link-local"]
    return Path(
        prefix=prefix,
        neighbor=found["peer"]["peerId"],
        next_hop=hops[0] if hops else "",
        as_path=as_path_of(found["aspath"]["string"]),
        best=found.get("bestpath", {}).get("overall", False),
        med=found.get("metric"),
        communities=frozenset(
            _WELL_KNOWN.get(text) or _numbers(text)
            for text in found.get("community", {}).get("list", [])
        ),
        large_communities=frozenset(
            _numbers(text) for text in found.get("largeCommunity", {}).get("list", [])
        ),
        path_id=found.get("addpathRxId"),
    )


def _numbers(text: str) -> Community:
    return tuple(int(number) for number in text.split(":"))
