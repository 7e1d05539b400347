"""Scenario F: endless AS paths, and paths of segments that no host may send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.bird import BirdRouter
from lab.core import Lab, family_of
from lab.exabgp import ExaBgpHost, RouteServer, group_of
from lab.stayrtr import Vrp, roas
from lab.waiting import eventually

pytestmark = pytest.mark.lab

PROLIX, ODD = 65007, 65006
"""The host with long paths, and the one with strange segments. Both are ExaBGP: BIRD sends no path
of 1000 ASNs in a message of 4096 octets."""

LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
GUESTS = {4: "10.0.204.{}/32", 6: "2001:db8:cc::{}/128"}
ODD_GUESTS = {4: "10.0.187.{}/32", 6: "2001:db8:bb::{}/128"}

MEMORY_KB = 4096
"""Growth that the filter may have: an interpreter's noise, far less than the paths it has read."""


class Site:
    """A filter between the two hosts and one router."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.route_server = rs = RouteServer(lab, recorded=True)
        self.audit = rs.audit
        self.prolix = ExaBgpHost(lab, "hv65007", 11, PROLIX, [rs.endpoint])
        self.odd = ExaBgpHost(lab, "hv65006", 12, ODD, [rs.endpoint])
        self.leaf = BirdRouter(lab, "leaf1", 201, 65200, [rs.endpoint], over=4)
        vrps = [Vrp(PROLIX, "10.0.204.0/24", 32), Vrp(PROLIX, "2001:db8:cc::/64", 128)]
        vrps += [Vrp(ODD, "10.0.187.0/24", 32), Vrp(ODD, "2001:db8:bb::/64", 128)]
        rs.writes_truth(roas(vrps))
        rs.configure(
            [group_of("prolix", self.prolix), group_of("odd", self.odd)],
            [group_of("leaves", self.leaf, port=lab.bgp_port)],
            truth={"file": "truth.json"},
        )

    def starts(self) -> None:
        """Start all; returns when every session is up."""
        self.leaf.starts()
        self.route_server.starts()
        self.prolix.starts()
        self.odd.starts()
        self.leaf.is_up()

    def filter_memory_kb(self) -> int:
        """The resident memory of the filter."""
        status = Path(f"/proc/{self.route_server.filter_pid()}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1])


@pytest.fixture
def site(lab: Lab) -> Iterator[Site]:
    """The site, up; afterwards, no log may report an error."""
    here = Site(lab)
    here.starts()
    yield here
    lab.no_errors()


def has_read(site: Site, prefix: str, length: int) -> None:
    """Wait until ExaBGP has handed over the prefix with a path of this length."""

    def probe() -> str | None:
        lengths = [
            paths for line in site.route_server.lines() for paths in lengths_in(line, prefix)
        ]
        return None if length in lengths else f"read {prefix} with paths of {lengths}"

    eventually(probe, site.lab.report)


def lengths_in(line: str, prefix: str) -> list[int]:
    """Length of the prefix's path, if the line announces it."""
    if f'"{prefix}"' not in line:
        return []
    update = json.loads(line)["neighbor"]["message"]["update"]
    path = update.get("attribute", {}).get("as-path", {})
    return [sum(len(segment["value"]) for segment in path.values())]


def test_f1_one_prefix_with_ever_longer_paths(site: Site) -> None:
    """Require that it is accepted, then withdrawn once and logged once, however often and long it
    comes again."""
    prefixes = {family: GUESTS[family].format(1) for family in site.lab.families}
    memory = 0
    for length in LENGTHS:
        path = " ".join([str(PROLIX)] * length)
        site.prolix.announces(*prefixes.values(), clauses=[f"as-path [ {path} ]"])
        for prefix in prefixes.values():
            has_read(site, prefix, length)
        if length == 1:
            site.leaf.has(*prefixes.values(), as_path=[PROLIX])
        if length == 2:
            site.leaf.lacks(*prefixes.values())
            memory = site.filter_memory_kb()
    # What comes after is judged after: when it is through, so is all before it.
    last = [GUESTS[family].format(2) for family in site.lab.families]
    site.prolix.announces(*last)
    site.leaf.has_exactly(*last)

    for prefix in prefixes.values():
        logged = site.audit.records(prefix=prefix)
        assert [(r["verdict"], r["reasons"]) for r in logged] == [
            ("accepted", []),
            ("rejected", ["as_path_too_long"]),
        ]
        seen = [change for change in site.leaf.changes() if change[1] == prefix]
        assert seen == [("added", prefix), ("removed", prefix)]
        commands = [c for c in site.route_server.commands() if prefix in c.split()]
        assert len(commands) == 2
    announced = site.route_server.metric("rsfilter_announced_prefixes_total")
    assert announced == len(prefixes) * len(LENGTHS) + len(last)
    assert site.filter_memory_kb() - memory < MEMORY_KB


SEGMENTS = {
    # What the host sends for its AS path, as it stands in the UPDATE -> reasons.
    "f2-confederation": (
        "03 01 0000fdf2 02 01 0000fdee",
        ["as_path_too_long", "first_as_not_neighbor"],
    ),
    "f3-two-segments": ("02 01 0000fdee 02 01 0000fdee", ["as_path_too_long"]),
    "f4-as-set": ("02 01 0000fdee 01 02 00000001 00000002", ["as_path_set", "as_path_too_long"]),
    "f4-as-set-alone": ("01 01 0000fdee", ["as_path_set"]),
}


def raw_path(segments: str) -> str:
    """An AS_PATH attribute in ExaBGP's words."""
    return f"attribute [ 0x02 0x40 0x{segments.replace(' ', '')} ]"


def test_f2_f3_f4_other_segments(site: Site) -> None:
    """Each is rejected with its reasons, and a plain path beside them is not."""
    honest = [ODD_GUESTS[family].format(99) for family in site.lab.families]
    expected = {}
    for number, (segments, reasons) in enumerate(SEGMENTS.values(), start=1):
        for family in site.lab.families:
            prefix = ODD_GUESTS[family].format(number)
            expected[prefix] = reasons
            site.odd.announces(prefix, clauses=[raw_path(segments)])
    site.odd.announces(*honest)
    site.leaf.has(*honest, as_path=[ODD], paths=1)
    for prefix, reasons in expected.items():
        next_hop = site.odd.addresses[family_of(prefix)]
        record = site.audit.has(prefix=prefix, neighbor=next_hop, verdict="rejected")
        assert record["reasons"] == reasons
    site.leaf.has_exactly(*honest)


def test_f2_a_confederation_segment_is_shown_as_a_plain_one(site: Site) -> None:
    """ExaBGP 5.0 shows CONFED_SEQUENCE as AS_SEQUENCE: what is passed on is a clean path."""
    guests = [ODD_GUESTS[family].format(1) for family in site.lab.families]
    site.odd.announces(*guests, clauses=[raw_path("03 01 0000fdee")])
    site.leaf.has(*guests, as_path=[ODD], paths=1)
