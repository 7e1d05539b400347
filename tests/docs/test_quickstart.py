"""Files of the quickstart work as the page promises: each is taken as it stands there.

Every program has the page's address, all in one private network: a lab's own are 192.0.2.N. The
differences are in `as_here`: where the audit log is, and that several programs share the port.
"""

from __future__ import annotations

import json
import re

import pytest
from lab.bird import Bird
from lab.core import Lab
from lab.exabgp import RouteServer
from lab.frr import Frr
from lab.router import Router
from support.places import ROOT

pytestmark = pytest.mark.lab

PAGE = ROOT / "docs" / "quickstart.md"

_FILE = re.compile(r"^`/etc/([^`]+)` on (\w+):\n\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)

GUEST = "203.0.113.1/32"
VICTIM = "203.0.113.2/32"
AWAY = "out-of-service"


def files(page: str) -> dict[tuple[str, str], str]:
    """The files that the page shows, by machine and name."""
    return {(machine, name): text for name, machine, text in _FILE.findall(page)}


FILES = files(PAGE.read_text())


def as_here(text: str, *changes: tuple[str, str]) -> str:
    """The text with what has to be different in the lab; each is there once."""
    for on_page, here in changes:
        assert text.count(on_page) == 1, on_page
        text = text.replace(on_page, here)
    return text


class BirdOnPage(Bird):
    """BIRD by the page's file. `routes` are announced beside the page's own."""

    routes: tuple[str, ...] = ()

    def _configuration(self) -> str:
        text = FILES[self.name, "bird/bird.conf"]
        text = as_here(text, ("multihop;", "multihop; strict bind on;"))
        for prefix in self.routes:
            text = text.replace("blackhole;", f"blackhole; route {prefix} blackhole;", 1)
        return f'log "{self.log.name}" all;\n{text}'

    def also_announces(self, prefix: str) -> None:
        self.routes += (prefix,)
        self._reconfigure()


class BirdRouterOnPage(BirdOnPage, Router):
    """A program that serves as a router."""


class FrrRouterOnPage(Frr, Router):
    """FRR by the page's file."""

    def _configuration(self) -> str:
        return f"log file {self.log}\nno log syslog\n{FILES[self.name, 'frr/frr.conf']}"


def test_the_files_of_the_page_make_a_route_server(lab: Lab) -> None:
    if lab.isolation != "namespace":
        pytest.skip("the page's addresses and port 179 need a network namespace")
    lab.run(["ip", "address", "replace", "198.51.100.1/32", "dev", "lo"])
    rs = RouteServer(lab)
    hv1 = BirdOnPage(lab, "hv1", 1, 65001)
    leaf1 = FrrRouterOnPage(lab, "leaf1", 10, 65200, [])
    leaf2 = BirdRouterOnPage(lab, "leaf2", 11, 65200, [])
    away = rs.place / AWAY
    rs.configuration.write_text(
        as_here(FILES["rs", "rsfilter/rsfilter.toml"], ("/var/lib/rsfilter/audit", "audit"))
        + f'[readiness]\ndisable_file = "{AWAY}"\n'
    )
    rs.truth.write_text(FILES["rs", "rsfilter/truth.json"])
    for daemon in (rs, hv1, leaf1, leaf2):
        del daemon.addresses[6]
        daemon.starts()

    for leaf in (leaf1, leaf2):
        leaf.has(GUEST, next_hop="198.51.100.1", as_path=[65001])
    assert rs.status()["health"]["status"] == "ok"
    hv1.also_announces(VICTIM)
    rs.audit.has(prefix=VICTIM, verdict="rejected")
    rs.tolerated.append("readiness asks to leave service")
    away.touch()
    for leaf in (leaf1, leaf2):
        leaf.has(GUEST, communities=[(65535, 0)])
        leaf.lacks(VICTIM)
    detail = json.loads(leaf1.control(f"show bgp ipv4 unicast {GUEST} json"))
    assert [path["locPrf"] for path in detail["paths"]] == [0]
    assert "BGP.local_pref: 0" in "\n".join(leaf2.control(f"show route all {GUEST}"))
    lab.no_errors()
