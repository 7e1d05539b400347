"""OpenBGPD as a host and as a router, driven by `bgpctl`.

It changes its user and root directory, so it needs a lab with network namespaces that was started
by root (`OpenBgpd.can_run`); its neighbors' port is always 179.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from signal import SIGKILL, SIGSTOP
from typing import Any

from lab.core import Lab, LabError
from lab.host import Host
from lab.router import Router
from lab.routes import Announcement, Community, Path, Table, as_path_of
from lab.speaker import HOLD_TIME_S, Endpoint, Speaker
from lab.story import narrate
from lab.waiting import eventually
from lab.warden import descendants

BGPD = "/usr/sbin/bgpd"
"""FRR has a program of the same name elsewhere."""

CHROOT = "/run/openbgpd"
"""Compiled in. Made on a file system that only this daemon sees."""

_WELL_KNOWN: dict[str, Community] = {  # as its JSON names them
    "GRACEFUL_SHUTDOWN": (65535, 0),
    "NO_EXPORT": (65535, 65281),
    "NO_ADVERTISE": (65535, 65282),
}


class OpenBgpd(Speaker):
    """One OpenBGPD and its control socket."""

    ERROR = re.compile(r"fatal|NOTIFICATION|error in UPDATE|bad ")

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.log = self.place / "output"

    @staticmethod
    def can_run(lab: Lab) -> bool:
        """Return whether this lab and this user can run it."""
        return lab.isolation == "namespace" and os.getuid() == 0

    def starts(self) -> None:
        """Start it; returns when it answers."""
        configuration = self.place / "bgpd.conf"
        configuration.write_text(self._configuration())
        configuration.chmod(0o600)  # it insists
        prepare = f"mount -t tmpfs tmpfs /run && mkdir {CHROOT}"
        run = f'{prepare} && exec {BGPD} -d -f "$0"'
        self.run(["unshare", "--mount", "sh", "-c", run, str(configuration)], self._answers)

    def _answers(self) -> None:
        try:
            self.control("show")
        except LabError as error:
            raise OSError(str(error)) from error

    def control(self, *words: str) -> Any:
        """Return the output of `bgpctl`, as JSON where it is. Raises LabError."""
        text = self.lab.run(["bgpctl", "-j", "-s", self._socket, *words])
        return json.loads(text) if text.startswith("{") else text

    @property
    def _socket(self) -> str:
        return str(self.place / "bgpd.sock")

    def dies(self) -> None:
        """Send SIGKILL to all its processes, stopped before: one that sees another end closes its
        sessions properly."""
        narrate(f"{self.name} dies (kill -9)")
        (parent,) = self.lab.find(f"{self.place}/")
        everybody = [*descendants(parent), parent]
        for number in (SIGSTOP, SIGKILL):
            for pid in everybody:
                os.kill(pid, number)
        eventually(lambda: "it has not ended" if self.process.running else None)

    def connects(self) -> None:
        """Connect now: by itself it waits for 120 s after a refusal."""
        for other in self._others():
            for over in self.carried:
                self.control("neighbor", other.addresses[over], "clear")

    def hints(self) -> list[str]:
        """Commands with which a person may watch it, or play with it."""
        return [f"bgpctl -s {self._socket} show rib", f"bgpctl -s {self._socket} show"]

    def sessions(self) -> dict[str, bool]:
        """Its sessions by the neighbor's address, and which are established."""
        return {
            neighbor["remote_addr"]: neighbor["state"] == "Established"
            for neighbor in self.control("show", "neighbor")["neighbors"]
        }

    def table(self) -> Table:
        """The paths it has learnt, by prefix."""
        table: Table = {}
        for found in self.control("show", "rib", "detail").get("rib", []):
            table.setdefault(found["prefix"], []).append(_path(found))
        return table

    def _configuration(self) -> str:
        listen = "".join(f"listen on {address}\n" for address in self.addresses.values())
        sessions = "".join(
            self._session(other, over) for other in self._others() for over in self.carried
        )
        return (
            f'AS {self.asn}\nrouter-id {self.router_id}\nsocket "{self._socket}"\n'
            f"fib-update no\n{listen}{sessions}allow to any\nallow from any\n"
        )

    def _others(self) -> Sequence[Endpoint]:
        raise NotImplementedError

    def _further(self) -> list[str]:
        raise NotImplementedError

    def _session(self, other: Endpoint, over: int) -> str:
        families = [
            f"announce IPv{family} {'unicast' if family in self.carried[over] else 'none'}"
            for family in (4, 6)
        ]
        lines = [
            f"remote-as {other.asn}",
            f"local-address {self.addresses[over]}",
            "multihop 64",
            "announce enhanced refresh yes",
            *families,
            *self._further(),
        ]
        body = "".join(f"  {line}\n" for line in lines)
        return f"neighbor {other.addresses[over]} {{\n{body}}}\n"


class OpenBgpdRouter(OpenBgpd, Router):
    """A router that learns from route servers, with ADD-PATH when `paths` is "all"."""

    def requests_refresh(self) -> None:
        """Make it request all routes from the route servers again."""
        for other in self._route_servers:
            for over in self.carried:
                self.control("neighbor", other.addresses[over], "refresh")

    def _others(self) -> Sequence[Endpoint]:
        return self._route_servers

    def _further(self) -> list[str]:
        return [
            "passive",
            f"holdtime {HOLD_TIME_S}",
            f"enforce neighbor-as {'yes' if self.enforces_first_as else 'no'}",
            f"announce add-path recv {'yes' if self.paths == 'all' else 'no'}",
        ]


class OpenBgpdHost(OpenBgpd, Host):
    """A host whose routes are `network` statements, as what is put in by `bgpctl network add`; it
    adds its ASN and address."""

    def _configuration(self) -> str:
        # There from the start, since its End-of-RIB is.
        networks = "".join(
            f"network {prefix} set {{ localpref 100 {' '.join(_words(announcement))} }}\n"
            for prefix, announcement in self._announced.items()
        )
        return super()._configuration() + networks

    def _announce(self, prefixes: Sequence[str]) -> None:
        for prefix in prefixes:
            self.control("network", "add", prefix, *_words(self._announced[prefix]))

    def _withdraw(self, gone: dict[str, Announcement]) -> None:
        for prefix in gone:
            self.control("network", "delete", prefix)

    def _others(self) -> Sequence[Endpoint]:
        return self._route_servers

    def _further(self) -> list[str]:
        return [f"holdtime {self._hold_time_s}"]


def _words(announcement: Announcement) -> list[str]:
    if announcement.as_path is not None or announcement.next_hop is not None:
        raise LabError("OpenBGPD sends its own ASN and address: a host that lies is a BirdHost")
    words = []
    if announcement.med is not None:
        words += ["metric", str(announcement.med)]
    for name, communities in (
        ("community", announcement.communities),
        ("large-community", announcement.large_communities),
    ):
        for community in communities:
            words += [name, ":".join(map(str, community))]
    return words


def _path(found: dict[str, Any]) -> Path:
    return Path(
        prefix=found["prefix"],
        neighbor=found["neighbor"]["remote_addr"],
        next_hop=found["true_nexthop"],
        as_path=as_path_of(found["aspath"]),
        best=found.get("best", False),
        med=found.get("metric"),
        communities=frozenset(
            _WELL_KNOWN.get(text) or _numbers(text) for text in found.get("communities", [])
        ),
        large_communities=frozenset(_numbers(t) for t in found.get("large_communities", [])),
        path_id=found.get("path_id"),
    )


def _numbers(text: str) -> Community:
    return tuple(int(number) for number in text.split(":"))
