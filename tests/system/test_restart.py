"""rsfilter is killed and ExaBGP starts it again: routers notice nothing but what really changed.

The new process knows nothing. It queries ExaBGP for sessions and the routes of routers, requests
the routes of all hosts again, and only then corrects what is wrong.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.site import Site
from lab.stayrtr import Vrp, roas
from lab.waiting import eventually, throughout

pytestmark = pytest.mark.lab

HV1, HV2 = 65001, 65002
GUEST, ANYCAST, OTHER = "10.1.0.1/32", "10.9.0.1/32", "2001:db8:2::1/128"
MARKER = "10.1.255.255/32"
TESTATOR = Path(__file__).with_name("testator.py")


def data() -> list[Vrp]:
    """Each host has a block in each family; the anycast block is everybody's."""
    blocks = [("10.1.0.0/16", HV1), ("10.2.0.0/16", HV2)]
    blocks += [("2001:db8:1::/48", HV1), ("2001:db8:2::/48", HV2)]
    blocks += [("10.9.0.0/16", asn) for asn in (HV1, HV2)]
    return [Vrp(asn, prefix, 128 if ":" in prefix else 32) for prefix, asn in blocks]


@pytest.fixture
def site() -> Iterator[Site]:
    with Lab() as lab:
        running = Site(lab, "truth", data(), [HV1, HV2], recorded=False)
        running.starts()
        running.hosts[HV1].announces(GUEST, ANYCAST)
        running.hosts[HV2].announces(OTHER, ANYCAST)
        for router in running.routers:
            router.has_exactly(GUEST, ANYCAST, OTHER)
        # The other host's path may have come first: a later change of it is the host's.
        for router in (running.leaf1, running.leaf3):
            router.has(ANYCAST, next_hop=running.address(HV1, 4))
        running.leaf2.has(ANYCAST, paths=2)
        yield running


def settles(site: Site) -> None:
    """Wait until the filter withdraws again: it does so last, when it knows all."""
    host = site.hosts[HV1]
    host.announces(MARKER)
    for router in site.routers:
        router.has(MARKER)
    host.withdraws(MARKER)
    for router in site.routers:
        router.lacks(MARKER)


def test_nothing_moves_when_nothing_changed(site: Site) -> None:
    moments = {router: router.moment() for router in (site.leaf1, site.leaf2)}
    for _ in range(3):
        site.route_server.filter_restarts()
        settles(site)
    for router, moment in moments.items():
        assert {prefix for _, prefix in router.changes(moment)} == {MARKER}
    for router in site.routers:
        router.has_exactly(GUEST, ANYCAST, OTHER)
    site.leaf2.has(ANYCAST, paths=2)
    site.lab.no_errors()


def test_what_changed_while_it_was_dead_is_corrected_and_nothing_else(site: Site) -> None:
    moment = site.leaf1.moment()
    old = site.route_server.filter_pid()
    os.kill(old, signal.SIGSTOP)  # its host's withdraw is lost with it
    site.hosts[HV1].withdraws(GUEST)
    site.hosts[HV1].announces("10.1.0.2/32")
    throughout(lambda: None, 0.5)
    os.kill(old, signal.SIGKILL)
    for router in site.routers:
        router.has_exactly("10.1.0.2/32", ANYCAST, OTHER)
    assert sorted(site.leaf1.changes(moment)) == [("added", "10.1.0.2/32"), ("removed", GUEST)]


def test_what_truth_no_longer_allows_does_not_survive(site: Site) -> None:
    old = site.route_server.filter_pid()
    os.kill(old, signal.SIGSTOP)
    site.has_data([vrp for vrp in data() if vrp.asn != HV1])
    os.kill(old, signal.SIGKILL)
    for router in site.routers:
        router.has_exactly(ANYCAST, OTHER)
    site.leaf2.has(ANYCAST, paths=1)


def test_a_filter_that_dies_while_exabgp_writes_to_it_does_not_take_it_along(site: Site) -> None:
    server, old = site.route_server, site.route_server.filter_pid()
    moments = {router: router.moment() for router in (site.leaf1, site.leaf2)}
    os.kill(old, signal.SIGSTOP)
    with open(f"/proc/{old}/fd/0", "rb") as stdin:
        size = fcntl.fcntl(stdin, fcntl.F_SETPIPE_SZ, 4096)
    guests = [f"10.1.{n >> 8}.{n & 255}/32" for n in range(256, 256 + 400)]
    site.hosts[HV1].announces(*guests)
    eventually(lambda: None if waiting_in_stdin(old) == size else "ExaBGP is not blocked")
    os.kill(old, signal.SIGKILL)
    for router in site.routers:
        router.has_exactly(GUEST, ANYCAST, OTHER, *guests)
    assert server.process.running
    for router, moment in moments.items():
        assert {prefix for _, prefix in router.changes(moment)} == set(guests)
    site.lab.no_errors()


def waiting_in_stdin(pid: int) -> int:
    """Octets that a process has not read yet."""
    with open(f"/proc/{pid}/fd/0", "rb") as stdin:
        octets = fcntl.ioctl(stdin, termios.FIONREAD, bytes(4))
    return int.from_bytes(octets, sys.byteorder)


def test_the_audit_chain_goes_on(site: Site) -> None:
    for _ in range(3):
        site.route_server.filter_restarts()
        settles(site)
    site.route_server.rsfilter("audit", "verify", "--directory", "audit")
    assert len(site.audit.records(event="start")) == 4


def test_a_host_that_is_down_hides_no_other(site: Site) -> None:
    """ExaBGP shows a neighbor that is down with gaps; the others are found all the same."""
    site.hosts[HV2].process.stop(signal.SIGKILL)
    for router in site.routers:
        router.has_exactly(GUEST, ANYCAST)
    moment = site.leaf1.moment()
    site.route_server.filter_restarts()
    settles(site)
    assert {prefix for _, prefix in site.leaf1.changes(moment)} == {MARKER}


class BereavedServer(RouteServer):
    """The first process that ExaBGP starts is not rsfilter: it leaves commands behind, and dies."""

    def bequeath(self, commands: list[str]) -> None:
        """State that the first process leaves behind."""
        (self.place / "will").write_text("".join(f"{command}\n" for command in commands))

    def rsfilter(self, *arguments: str) -> str:
        """Renders; then puts the process that dies before `rsfilter run`."""
        output = super().rsfilter(*arguments)
        path = self.place / "exabgp.conf"
        text = path.read_text()
        (command,) = re.findall(r"^\s*run (.*);$", text, re.MULTILINE)
        first = " ".join(f'"{word}"' for word in (sys.executable, TESTATOR, self.place / "will"))
        path.write_text(text.replace(command, f"{first} {command}"))
        return output


def test_answers_to_a_dead_process_do_not_mislead_the_next_one() -> None:
    """ExaBGP carries out the requests of a dead process, and reports it to the new one."""
    with Lab() as lab:
        rs = BereavedServer(lab)
        host = BirdHost(lab, "hv1", 11, HV1, [rs.endpoint])
        leaf = BirdRouter(lab, "leaf", 201, 65200, [rs.endpoint], over=4)
        rs.configure(
            [group_of("hosts", host)],
            [group_of("leaves", leaf, port=lab.bgp_port)],
            truth={"file": "truth.json"},
        )
        rs.writes_truth(roas(data()))
        many = " ".join(f"10.7.{n >> 8}.{n & 255}" for n in range(8000))
        to_leaf = f"neighbor {leaf.addresses[4]}"
        rs.bequeath(  # the first keeps ExaBGP busy until no process is there for the other replies
            [f"{to_leaf} announce attributes next-hop 192.0.2.11 as-path [ {HV1} ] nlri {many}"]
            + [f"{to_leaf} withdraw attributes next-hop 0.0.0.0 nlri 10.8.0.1"] * 10
            + ["show neighbor json", "show adj-rib out", "show neighbor json"]
        )
        host.announces(GUEST)
        for daemon in (rs, host):
            daemon.starts()
        host.is_up()
        rs.audit.has(prefix=GUEST, verdict="accepted")
        leaf.starts()
        leaf.has_exactly(GUEST)
        lab.no_errors()
