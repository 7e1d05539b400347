"""Sessions with TCP MD5 and GTSM between real speakers: those with the right key and TTL come up,
and no other. What the kernel counts is the proof that it was tried.

    hv1   the right key           leaf1  the right key, and GTSM both ways; we connect
    hv2   a wrong key             leaf2  a wrong key
    hv3   no key
    hv4   GTSM
    hv5   a TTL of 64, as if it was far away
    hv6   GTSM, which truth requires of this host alone
    hv7   a TTL of 64, and truth requires GTSM
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab, LabError
from lab.exabgp import STOCK, RouteServer, group_of
from lab.waiting import eventually

pytestmark = pytest.mark.lab

KEY, LEAF_KEY = "right-{key};#1", "leaf-key"
GTSM = "multihop 1; ttl security on;"


class Protected:
    """The site."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.rs = rs = RouteServer(lab)
        self.hosts = [BirdHost(lab, f"hv{n}", n, 65000 + n, [rs.endpoint]) for n in range(1, 8)]
        self.leaves = [
            BirdRouter(lab, f"leaf{n}", 200 + n, 65200, [rs.endpoint], over=4) for n in (1, 2)
        ]
        for host in self.hosts:
            host.speaks_only_over(4)
        hv1, hv2, _, hv4, _, hv6, _ = self.hosts
        hv1.words, hv2.words, hv4.REACH = f'password "{KEY}";', 'password "wrong";', GTSM
        hv6.REACH = GTSM
        hv4.words = "enable route refresh off;"
        leaf1, leaf2 = self.leaves
        leaf1.words, leaf1.REACH, leaf2.words = f'password "{LEAF_KEY}";', GTSM, 'password "x";'
        (rs.place / "hosts").write_text(f"key1 {KEY}\nall-others\n")
        (rs.place / "leaves").write_text(f"{LEAF_KEY}\n")
        leaves = {"password_file": "leaves", "ttl_security": 1, "port": lab.bgp_port}
        entries = [self.entry(number, host) for number, host in enumerate(self.hosts, 1)]
        rs.writes_truth({"hosts": entries})
        rs.configure(
            [
                group_of("keyed", *self.hosts[:3], password_file="hosts"),
                group_of(
                    "near", *self.hosts[3:5], ttl_security=1, requires=["asn4", "route-refresh"]
                ),
                group_of("plain", *self.hosts[5:]),
            ],
            [group_of("leaves", *self.leaves, **leaves)],
            truth={"file": "truth.json"},
        )
        rs.starts()
        for each in (*self.hosts, *self.leaves):
            each.starts()

    def entry(self, number: int, host: BirdHost) -> dict[str, object]:
        return {
            "name": host.name,
            "asn": host.asn,
            "neighbors": list(host.session_addresses),
            "prefixes": [f"203.0.113.{number}/32"],
            **({"password": "key1"} if number == 1 else {}),
            **({"ttl_security": 1} if number > 5 else {}),
        }

    def lacks(self) -> dict[str, list[str]]:
        """Required capabilities that hosts do not offer; empty while the filter starts."""
        with suppress(LabError):
            return {n["host"]: n["lacks"] for n in self.neighbors() if n["lacks"]}
        return {}

    def has_hints(self, hosts: set[str]) -> None:
        """The filter has a hint at each session that is not up, once a count rises again."""

        def probe() -> str | None:
            hints = {n["host"]: n["hint"] for n in self.neighbors() if n["role"] == "host"}
            found = {host for host, hint in hints.items() if hint}
            return None if found == hosts else f"hints at {found}"

        eventually(probe, self.lab.report)

    def counted(self, name: str) -> int:
        """Return how often the kernel has dropped a segment for this reason, in the lab's
        network."""
        lines = self.lab.run(["cat", "/proc/net/netstat"]).splitlines()
        names, values = lines[0].split(), lines[1].split()
        return int(values[names.index(name)])

    def neighbors(self) -> list[dict[str, Any]]:
        """Sessions as the filter has them."""
        output = self.rs.rsfilter("neighbors", "-c", "rsfilter.toml", "--json")
        found: list[dict[str, Any]] = json.loads(output)["neighbors"]
        return found

    def refuses(self, name: str, least: int = 2) -> None:
        """The kernel has dropped segments for this reason."""
        eventually(
            lambda: None if self.counted(name) >= least else f"{name} does not rise",
            self.lab.report,
        )


@pytest.fixture(scope="module")
def site() -> Iterator[Protected]:
    with Lab() as lab:
        yield Protected(lab)


def test_sessions_come_up_only_with_the_right_password_and_ttl(site: Protected) -> None:
    hv1, hv2, hv3, hv4, hv5, hv6, hv7 = site.hosts
    for host in (hv1, hv4, hv6):
        host.is_up()
        host.announces(f"203.0.113.{host.asn - 65000}/32")
    leaf1, leaf2 = site.leaves
    leaf1.is_up()
    for number in (1, 4, 6):
        leaf1.has(f"203.0.113.{number}/32")
    site.refuses("TCPMD5Failure")
    site.refuses("TCPMD5NotFound")
    down = {hv2.name, hv3.name}
    if not os.environ.get(STOCK):  # which does not check the TTL of connections that it accepts
        site.refuses("TCPMinTTLDrop")
        down |= {hv5.name, hv7.name}
    found = {n["host"]: n["state"] for n in site.neighbors() if n["role"] == "host"}
    assert {name for name, state in found.items() if state != "up"} == down
    assert not any(leaf2.sessions().values())
    site.has_hints(down)
    assert site.lacks() == {"hv4": ["route-refresh"]}
    site.rs.filter_restarts()
    eventually(lambda: None if site.lacks() else "nothing is lacking", site.lab.report)
    assert site.lacks() == {"hv4": ["route-refresh"]}
    files = [path for path in site.rs.place.rglob("*") if path.is_file() and KEY in text_of(path)]
    assert [path.name for path in files] == ["hosts"]


def text_of(path: Path) -> str:
    return path.read_text(errors="replace")
