"""A few prefixes change thousands of times, as fast as possible, under a real ExaBGP.

After each round the tables of two BIRD routers, one with ADD-PATH, equal what the filter wants
them to have; router sessions flap in between. The same changes under an egress that writes each
one as it happens leave them wrong.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from lab.bird import BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.waiting import DEADLINE_S, eventually
from system.churn import HOSTS, MARKER

pytestmark = pytest.mark.lab

CHANGES = 5000
"""Changes in a round: a second or so."""

ROUND_S = 300.0
HELPER = Path(__file__).with_name("churn.py")


class ChurningServer(RouteServer):
    """ExaBGP that runs the storm in place of `rsfilter run`."""

    arguments: tuple[str, ...] = ()

    def rsfilter(self, *arguments: str) -> str:
        """Renders; then puts the storm in the place of `rsfilter run`."""
        output = super().rsfilter(*arguments)
        path = self.place / "exabgp.conf"
        words = [sys.executable, str(HELPER), str(self.configuration), *self.arguments]
        command = " ".join(f'"{word}"' for word in words)
        text = re.sub(r"^(\s*run ).*;$", rf"\g<1>{command};", path.read_text(), flags=re.MULTILINE)
        path.write_text(text)
        return output


class Site:
    """Two routers and the storm."""

    def __init__(self, lab: Lab, *arguments: str) -> None:
        self.rs = ChurningServer(lab)
        self.rs.arguments = arguments
        servers = [self.rs.endpoint]
        self.best = BirdRouter(lab, "leaf1", 11, 65200, servers)
        self.all = BirdRouter(lab, "leaf2", 12, 65200, servers, paths="all")
        for router in (self.best, self.all):
            router.carried = {4: (4,)}  # what the hosts have
        self.rs.configure(
            [{"name": "hosts", "asn": 65001, "neighbors": list(HOSTS)}],
            [group_of("best", self.best), group_of("all", self.all, paths="all")],
            truth={"file": "truth.json"},
        )
        self.rs.writes_truth({"roas": [{"prefix": "203.0.113.0/24", "asn": 65001}]})
        for daemon in (self.best, self.all, self.rs):
            daemon.starts()
        self.best.is_up()
        self.all.is_up()

    def round(self, number: int) -> None:
        """Let a round begin."""
        (self.rs.place / f"go-{number}").touch()

    def oracle(self, number: int) -> dict[str, Any]:
        """Return the routes that routers should have after it; waits for its end."""
        path = self.rs.place / f"oracle-{number}"

        def probe() -> str | None:
            assert self.rs.process.running, f"ExaBGP has ended\n{self.rs.lab.report()}"
            return None if path.exists() else f"round {number} has not ended"

        eventually(probe, self.rs.lab.report, deadline_s=ROUND_S)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def difference(self, oracle: dict[str, Any]) -> str | None:
        """Return where a router differs from the oracle; None if none does."""
        for router, group in ((self.best, "best"), (self.all, "all")):
            has = {
                prefix: sorted(path.next_hop for path in paths)
                for prefix, paths in router.table().items()
            }
            if has != oracle[group]:
                return f"{router.name} has {has}, should have {oracle[group]}"
        return None


def rounds_right(
    site: Site, count: int, *, flap: bool = False, deadline_s: float = DEADLINE_S
) -> dict[str, int]:
    """Rounds after each of which the routers are right; the egress's counters at the end."""
    dice = random.Random(7)
    for number in range(count):
        site.round(number)
        if flap:
            router = dice.choice((site.best, site.all))
            time.sleep(dice.random() * 0.3)  # somewhere in the middle of the storm
            router.shuts_down()
            router.comes_back()
            router.is_up()
        oracle = site.oracle(number)
        eventually(lambda: site.difference(oracle), deadline_s=deadline_s)  # noqa: B023
        counters = oracle["counters"]
    return counters


def test_routers_are_right_after_every_storm(lab: Lab) -> None:
    site = Site(lab, "1", str(CHANGES))
    counters = rounds_right(site, 15)
    assert counters.get("errors", 0) == 0, "ExaBGP refused a command"
    assert counters.get("barriers_lost", 0) == 0


def test_routers_are_right_when_their_sessions_flap_in_the_storm(lab: Lab) -> None:
    counters = rounds_right(Site(lab, "2", str(CHANGES)), 10, flap=True)
    assert counters.get("barriers_lost", 0) == 0


def test_a_naive_egress_leaves_routers_wrong_for_ever(lab: Lab) -> None:
    site = Site(lab, "1", str(CHANGES), "naive")
    site.round(0)
    oracle = site.oracle(0)
    for router in (site.best, site.all):
        router.has(MARKER)
    wrong = site.difference(oracle)
    assert wrong is not None, "ExaBGP keeps the order of changes by itself"
