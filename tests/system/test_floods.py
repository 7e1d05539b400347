"""Floods, stalls, failing disks, large truths and stepping clocks: small forms of `make floods`.

What is measured is asserted only where a busy machine cannot spoil it: that things are right, that
the log adds up (`flood_scenarios` does that), and that nothing grows without bound.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.waiting import eventually
from support import flood_scenarios as floods

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and "CI" not in os.environ, reason="only root can mount a small disk"
)


def test_prefixes_beyond_the_limit_cost_next_to_nothing(tmp_path: Path) -> None:
    costs = floods.over_the_limit(tmp_path, 30_000, 10_000)
    assert costs["MB more"] < 40
    assert costs["audit MB"] < 5
    assert costs["ms CPU before others"] < 100


@pytest.mark.parametrize("owned", [False, True])
def test_without_a_limit_the_log_is_bounded_all_the_same(tmp_path: Path, owned: bool) -> None:
    costs = floods.without_a_limit(tmp_path, 25_000, 10_000, owned=owned)
    assert costs["bytes for one"] < 3000
    assert costs["audit lines"] < (46_000 if owned else 21_500)
    assert costs["changes only counted"] > 0


def test_a_flapping_prefix_becomes_a_burst_and_a_count(tmp_path: Path) -> None:
    """30,000 changes: a burst of lines, then their count; and the newest wins."""
    costs = floods.flap(tmp_path, 30_000, 10_000)
    assert costs["MB more"] < 40
    assert costs["audit MB"] < 20


def test_fleeting_routes_are_bounded_while_exabgp_does_not_read(tmp_path: Path) -> None:
    costs = floods.without_reader(tmp_path, 4, 2000)
    assert costs["MB more at most"] < 40
    assert costs["MB more in the second half"] < 10


def test_an_exabgp_that_writes_nothing_costs_nothing(tmp_path: Path) -> None:
    costs = floods.without_writer(tmp_path, 2)
    assert costs["CPU s meanwhile"] < 1
    assert costs["MB more"] < 10


@pytest.mark.lab
@needs_root
def test_a_disk_that_fills_and_has_room_again(tmp_path: Path) -> None:
    costs = floods.full_disk(tmp_path, 4, 3000)
    assert costs["records in the gap"] == 0
    assert costs["records"] >= 4 * 2000


@pytest.mark.lab
@needs_root
@pytest.mark.parametrize("how", ["removed", "read-only"])
def test_an_audit_directory_that_is_taken_away(tmp_path: Path, how: str) -> None:
    floods.disk_taken_away(tmp_path, how)


@pytest.mark.parametrize("form", ["roas", "hosts"])
def test_a_large_truth_delays_no_route(tmp_path: Path, form: str) -> None:
    costs = floods.large_truth(tmp_path, 40_000, form)
    assert costs["ms CPU before others at worst"] < 1000


@pytest.mark.lab
@pytest.mark.parametrize(
    "steps",
    [["-1d", "+3d", "-2d", "+0"], ["-1h", "+1h", "-1h"] * 3, ["+400d", "-400d"]],
    ids=["days", "hours", "years"],
)
def test_a_clock_that_steps_leads_back_to_no_file(tmp_path: Path, steps: list[str]) -> None:
    """Each step forward to a later day than ever begins a file, and no step leads back."""
    costs = floods.stepping_clock(tmp_path, steps)
    assert costs["busy"] < 0.6
    assert costs["files"] <= 2


# Real programs -----------------------------------------------------------------------------------

HOSTILE, HONEST = 65001, 65002


class Site:
    """A hostile and an honest host, ExaBGP with the filter, and a router."""

    def __init__(self, lab: Lab, **limits: int) -> None:
        self.lab = lab
        self.rs = rs = RouteServer(lab)
        self.router = BirdRouter(lab, "leaf", 200, 65200, [rs.endpoint], over=4)
        self.hostile = BirdHost(lab, "hostile", 10, HOSTILE, [rs.endpoint])
        self.honest = BirdHost(lab, "honest", 11, HONEST, [rs.endpoint])
        for host in (self.hostile, self.honest):
            host.speaks_only_over(4)
        rs.writes_truth(
            {
                "roas": [
                    {"prefix": "10.0.0.0/8", "maxLength": 32, "asn": HOSTILE},
                    {"prefix": "203.0.113.0/24", "maxLength": 32, "asn": HONEST},
                ]
            }
        )
        rs.configure(
            [group_of("hostile", self.hostile, **limits), group_of("honest", self.honest)],
            [group_of("leaves", self.router, port=lab.bgp_port)],
            truth={"file": "truth.json"},
        )
        for daemon in (self.router, rs, self.hostile, self.honest):
            daemon.starts()
        self.honest.announces("203.0.113.1/32")
        self.router.has("203.0.113.1/32")

    def hostile_routes(self, count: int, deadline_s: float = 60.0) -> None:
        """Wait until the router has so many routes of the hostile host."""

        def probe() -> str | None:
            has = sum(prefix.startswith("10.") for prefix in self.router.table())
            return None if has == count else f"the router has {has} of {count}"

        eventually(probe, self.lab.report, deadline_s)

    def exabgp(self) -> int:
        """ExaBGP's process."""
        pids = self.lab.find("exabgp server")
        (found,) = [p for p in pids if "sh" not in Path(f"/proc/{p}/cmdline").read_text()[:3]]
        return found


@pytest.fixture
def site(lab: Lab) -> Site:
    return Site(lab)


@pytest.mark.lab
def test_a_bird_that_leaks_a_table_harms_no_other_host(site: Site) -> None:
    """20,000 prefixes through ExaBGP: a thousand get in, others are served, the log has it."""
    site.hostile.announces(*floods.guests(20_000))
    site.honest.announces("203.0.113.2/32")
    site.router.has("203.0.113.2/32")
    site.hostile_routes(1000)
    host = str(site.hostile.addresses[4])
    site.rs.audit.has(event="flood", neighbor=host)
    site.hostile.withdraws(*floods.guests(20_000)[:-500])  # most of the rest was not even kept
    site.hostile_routes(500)
    site.hostile.withdraws_all()
    site.honest.announces("203.0.113.3/32")
    site.router.has("203.0.113.3/32")
    site.hostile_routes(0)
    site.router.has_exactly(*(f"203.0.113.{n}/32" for n in (1, 2, 3)))
    site.rs.rsfilter("audit", "verify", "--directory", "audit")


@pytest.mark.lab
@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_an_exabgp_that_is_stopped(site: Site, seconds: float) -> None:
    """Routes stand still, then everything is right: also after the sessions were lost meanwhile."""
    site.hostile.announces(*floods.guests(500))
    site.hostile_routes(500)
    pid = site.exabgp()
    os.kill(pid, signal.SIGSTOP)
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            site.honest.announces("203.0.113.2/32")
            site.hostile.withdraws(*floods.guests(100))
            time.sleep(seconds / 10)
            site.honest.withdraws("203.0.113.2/32")
            site.hostile.announces(*floods.guests(100))
        site.hostile.withdraws(*floods.guests(200))
        site.honest.announces("203.0.113.3/32")
        site.honest.withdraws("203.0.113.1/32")
    finally:
        os.kill(pid, signal.SIGCONT)
    site.router.has("203.0.113.3/32", deadline_s=120)
    site.hostile_routes(300, 120)
    site.router.has_exactly("203.0.113.3/32", *floods.guests(500)[200:])
