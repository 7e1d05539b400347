"""FRR's bgpd as a host and as a router, driven over its vty socket.

It runs alone, as without root it must; `OnLink` is the whole FRR, with zebra. FRR 10 takes IPv6
over an IPv4 session only where zebra knows an IPv6 address of that interface: alone, a router takes
both families over IPv6 (`over=6`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from collections.abc import Sequence
from itertools import count
from typing import Any

from lab.core import Lab, LabError, Process, family_of
from lab.host import Host
from lab.router import Router
from lab.routes import Announcement, Community, Path, Table, as_path_of
from lab.speaker import HOLD_TIME_S, Endpoint, Speaker
from lab.waiting import eventually

BGPD = "/usr/lib/frr/bgpd"
"""Debian's place; not on PATH, and OpenBGPD has a program of the same name there."""

ZEBRA = "/usr/lib/frr/zebra"

_WITHOUT_ZEBRA = r"zclient_send_message\(\) failed"

_WELL_KNOWN: dict[str, Community] = {  # RFC 1997, 8326, 9494, as FRR's JSON names them
    "gracefulShutdown": (65535, 0),
    "llgrStale": (65535, 6),
    "noLlgr": (65535, 7),
    "noExport": (65535, 65281),
    "noAdvertise": (65535, 65282),
}


class Frr(Speaker):
    """One bgpd and its vty."""

    ERROR = re.compile(r"\[EC \d+\]|NOTIFICATION|[Ee]rror")

    def starts(self) -> None:
        """Start it with its present configuration; returns when it answers."""
        self.tolerated.append(_WITHOUT_ZEBRA)
        (self.place / "frr.conf").write_text(self._configuration())
        listen = [word for address in self.addresses.values() for word in ("-l", address)]
        # -S: stay who we are; -P 0: no telnet.
        argv = [*self._outside(), BGPD, *self._zebra(), "-S", "-P", "0", *listen]
        argv += ["-p", str(self.port), "--vty_socket", str(self.place), "-i", "bgpd.pid"]
        self.run([*argv, "-f", "frr.conf"], lambda: self.control("show version"))

    def _outside(self) -> list[str]:
        """Beginning of a command line that runs in its network."""
        return []

    def _zebra(self) -> list[str]:
        """Options that name zebra's socket: there is none, and the kernel has no part either."""
        return ["-Z", "-n"]

    def control(self, *commands: str) -> str:
        """Return bgpd's answer to the last command: text, three NULs and a status byte."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.place / "bgpd.vty"))
            for command in ("enable", *commands):
                connection.sendall(command.encode() + b"\0")
                answer = b""
                while answer[-4:-1] != b"\0\0\0":
                    if not (chunk := connection.recv(1 << 16)):
                        raise OSError("bgpd closed its vty")
                    answer += chunk
                if answer[-1]:
                    raise LabError(f"{self.name}: {command!r}: {answer[:-4].decode()}")
        return answer[:-4].decode()

    def hints(self) -> list[str]:
        """Commands with which a person may watch it, or play with it."""
        vtysh = f"vtysh --vty_socket {self.place} -d bgpd -c"
        return [f"{vtysh} 'show bgp ipv4 unicast'", f"{vtysh} 'show bgp summary'"]

    def sessions(self) -> dict[str, bool]:
        """Its sessions by the neighbor's address, and which are established."""
        summary = json.loads(self.control("show bgp summary json"))
        return {
            address: peer["state"] == "Established"
            for family in summary.values()
            for address, peer in family.get("peers", {}).items()
        }

    def table(self) -> Table:
        """The paths it has, by prefix."""
        table: Table = {}
        for family in sorted({family for over in self.carried.values() for family in over}):
            routes = json.loads(self.control(f"show bgp ipv{family} unicast json"))["routes"]
            for prefix in routes:
                detail = json.loads(self.control(f"show bgp ipv{family} unicast {prefix} json"))
                if paths := [_path(prefix, found) for found in detail.get("paths", [])]:
                    table[prefix] = paths
        return table

    def _configuration(self) -> str:
        raise NotImplementedError

    def _head(self) -> list[str]:
        return [
            "frr defaults datacenter",
            f"log file {self.log}",
            "no log syslog",
            f"router bgp {self.asn}",
            f" bgp router-id {self.router_id}",
            " no bgp default ipv4-unicast",
            " bgp allow-martian-nexthop",  # 127.0.0.0/8, in a lab without namespaces
            " no bgp ebgp-requires-policy",  # everything passes: the filter is what is tested
        ]

    def _neighbor(self, other: Endpoint, over: int, hold_time_s: int) -> list[str]:
        address = other.addresses[over]
        return [
            f" neighbor {address} remote-as {other.asn}",
            f" neighbor {address} disable-connected-check",
            f" neighbor {address} update-source {self.addresses[over]}",
            f" neighbor {address} timers {hold_time_s // 3} {hold_time_s}",
        ]


class FrrRouter(Frr, Router):
    """A router that learns from route servers; it takes ADD-PATH from each that offers it."""

    def requests_refresh(self) -> None:
        """Make it request all routes from the route servers again."""
        for family in self.addresses:
            self.control(f"clear bgp ipv{family} unicast * soft in")

    def _configuration(self) -> str:
        lines = self._head()
        no = "" if self.enforces_first_as else "no "
        for other in self._route_servers:
            for over in self.carried:
                address = other.addresses[over]
                lines += self._neighbor(other, over, HOLD_TIME_S)
                lines += [f" neighbor {address} passive"]
                lines += [f" {no}neighbor {address} enforce-first-as"]
        for over, families in self.carried.items():
            for family in families:
                lines.append(f" address-family ipv{family} unicast")
                lines += [f"  neighbor {o.addresses[over]} activate" for o in self._route_servers]
                lines.append(" exit-address-family")
        return "\n".join(lines) + "\n"


class FrrHost(Frr, Host):
    """A host whose routes are `network` statements; FRR itself puts its ASN and address in.

    Each announcement has a route map of its own, which stays: 8.4 corrupts its memory when one is
    deleted that was in use.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._numbers = count()

    def connects(self) -> None:
        """Connect now, as another process: 8.4 without zebra never tries again after a refusal, and
        ends with a segmentation fault when a command requires it."""
        self.dies()
        self.starts()

    def _announce(self, prefixes: Sequence[str]) -> None:
        for prefix in prefixes:
            name = f"announcement-{next(self._numbers)}"
            self.control(
                "configure terminal",
                *_route_map(name, self._announced[prefix]),
                f"router bgp {self.asn}",
                f"address-family ipv{family_of(prefix)} unicast",
                f"network {prefix} route-map {name}",
            )

    def _withdraw(self, gone: dict[str, Announcement]) -> None:
        for prefix in gone:
            family = f"address-family ipv{family_of(prefix)} unicast"
            self.control(
                "configure terminal", f"router bgp {self.asn}", family, f"no network {prefix}"
            )

    def _configuration(self) -> str:
        names = {prefix: f"announcement-{next(self._numbers)}" for prefix in self._announced}
        maps = [line for p, how in self._announced.items() for line in _route_map(names[p], how)]
        # The maps first: a `network` whose map comes later is announced seconds after End-of-RIB.
        lines = [*maps, *self._head(), " no bgp network import-check"]
        for other in self._route_servers:
            for over in self.carried:
                lines += self._neighbor(other, over, self._hold_time_s)
                lines += [f" neighbor {other.addresses[over]} port {other.port}"]
                lines += [f" neighbor {other.addresses[over]} timers connect 1"]
        for over, families in self.carried.items():
            for family in families:
                lines.append(f" address-family ipv{family} unicast")
                lines += [f"  neighbor {o.addresses[over]} activate" for o in self._route_servers]
                lines += [f"  network {p} route-map {names[p]}" for p in self._announced_in(family)]
                lines.append(" exit-address-family")
        return "\n".join(lines) + "\n"


class OnLink(Frr):
    """FRR as users run it: with zebra, in a network of its own on a link with the route servers.

    Needs `can_run`. With `families` (4,) its interface has no IPv6 at all.
    """

    families: tuple[int, ...] = (4, 6)

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for family, address in self.addresses.items():
            length = 128 if family == 6 else 32
            self.lab.run(["ip", "address", "delete", f"{address}/{length}", "dev", "lo"])
        self.addresses = {family: self.addresses[family] for family in self.families}
        theirs = [other.addresses[f] for other in self._route_servers for f in self.families]
        link = f"l-{self.name}"
        self._network = self.lab.link(link, list(self.addresses.values()), theirs)
        if 6 not in self.families:
            no_ipv6 = f"net.ipv6.conf.{link}.disable_ipv6=1"
            self.lab.run([*self._network, "sysctl", "--quiet", "--write", no_ipv6])
        self._own_zebra: Process | None = None

    @staticmethod
    def can_run(lab: Lab) -> bool:
        """Return whether there are network namespaces, and root, which alone can make zebra its
        user."""
        return lab.isolation == "namespace" and os.geteuid() == 0

    def _outside(self) -> list[str]:
        return self._network

    def _zebra(self) -> list[str]:
        place, log = self.place / "zebra", self.place / "zebra.log"
        if self._own_zebra is None:
            place.mkdir()
            shutil.chown(place, "frr", "frr")
            for above in (self.lab.directory, self.place):
                above.chmod(0o711)  # zebra is not root
            argv = [*self._network, ZEBRA, "-u", "frr", "-g", "frr", "-z", str(place / "api")]
            argv += ["--vty_socket", str(place), "-i", str(place / "pid")]
            self._own_zebra = self.lab.spawn(argv, cwd=place, log=log)
        is_there = (place / "api").exists
        eventually(lambda: None if is_there() else f"no zebra: {log.read_text()}")
        return ["-z", str(place / "api")]

    def kernel(self) -> str:
        """Return the routes that its kernel has."""
        show = [[*self._network, "ip", f"-{f}", "route", "show", "proto", "bgp"] for f in (4, 6)]
        return "".join(map(self.lab.run, show))


class FrrRouterOnLink(OnLink, FrrRouter):
    """Return it as a router."""


class FrrHostOnLink(OnLink, FrrHost):
    """Return it as a host."""


def _route_map(name: str, announcement: Announcement) -> list[str]:
    if announcement.as_path is not None or announcement.next_hop is not None:
        raise LabError("FRR sends its own ASN and address: a host that lies is a BirdHost")
    lines = [f"route-map {name} permit 1"]
    if announcement.med is not None:
        lines.append(f"set metric {announcement.med}")
    if announcement.communities:
        lines.append(f"set community {_words(announcement.communities)}")
    if announcement.large_communities:
        lines.append(f"set large-community {_words(announcement.large_communities)}")
    return [*lines, "exit"]


def _words(communities: Sequence[Community]) -> str:
    return " ".join(":".join(map(str, community)) for community in communities)


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
