"""A full table through everything: hosts -> ExaBGP -> rsfilter -> ExaBGP -> router.

    python tests/bench/scale.py [--sessions 20] [--routes 200000] [--routers 1]

BIRD hosts announce their guests, and a twentieth as many of other hosts' guests. The router has to
end with exactly the accepted routes. Then one host is lost, and its routes have to go. Prints what
that cost each program in CPU seconds, and the ratio of rsfilter to ExaBGP: times on the clock mean
little on a busy machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.usage import cpu_s, rss_mb
from lab.waiting import eventually

DEADLINE_S = 900.0


class Scale:
    """The site, and what its routers have to have."""

    def __init__(self, lab: Lab, sessions: int, routes: int, routers: int) -> None:
        self.lab = lab
        self.rs = rs = RouteServer(lab)
        self.routers = [
            BirdRouter(lab, f"leaf{n}", 200 + n, 65200, [rs.endpoint], over=4)
            for n in range(1, routers + 1)
        ]
        self.hosts = [
            BirdHost(lab, f"hv{n}", 10 + n, 65000 + n, [rs.endpoint])
            for n in range(1, sessions + 1)
        ]
        for host in self.hosts:
            host.speaks_only_over(4)
        share = routes // sessions
        self.guests = {h: [guest(n, g) for g in range(share)] for n, h in enumerate(self.hosts)}
        for host, neighbor in zip(self.hosts, [*self.hosts[1:], self.hosts[0]], strict=True):
            stolen = self.guests[neighbor][::20]
            host.announces(*self.guests[host], *stolen)
        rs.writes_truth(
            {
                "roas": [
                    {"prefix": f"10.{n}.0.0/16", "maxLength": 32, "asn": host.asn}
                    for n, host in enumerate(self.hosts)
                ]
            }
        )
        rs.configure(
            [group_of(h.name, h, max_prefixes=2 * share) for h in self.hosts],
            [group_of("leaves", *self.routers, port=lab.bgp_port)],
            truth={"file": "truth.json"},
        )

    def have(self, hosts: list[BirdHost]) -> None:
        """Wait until each router has exactly these hosts' guests."""
        wanted = {prefix: host.addresses[4] for host in hosts for prefix in self.guests[host]}

        def probe() -> str | None:
            for router in self.routers:
                if (has := count(router)) != len(wanted):
                    return f"{router.name} has {has} of {len(wanted)}"
            return None

        eventually(probe, self.lab.report, DEADLINE_S)
        for router in self.routers:
            table = {
                prefix: [p.next_hop for p in paths] for prefix, paths in router.table().items()
            }
            assert table == {prefix: [hop] for prefix, hop in wanted.items()}, router.name

    def pids(self) -> dict[str, int]:
        """The programs that matter."""
        (exabgp,) = [p for p in self.lab.find("exabgp server") if "sh" not in command(p)[:1]]
        return {"ExaBGP": exabgp, "rsfilter": self.rs.filter_pid()}


def count(router: BirdRouter, family: int = 4) -> int:
    """Return how many routes a router has."""
    output = router.control(f"show route count table master{family}")
    (line,) = [text for text in output if "of" in text]
    return int(line.split()[0])


def guest(host: int, number: int, family: int = 4) -> str:
    """A guest's host route."""
    if family == 6:
        return f"2001:db8:{host + 1:x}::{number:x}/128"
    return f"10.{host}.{number >> 8}.{number & 255}/32"


def command(pid: int) -> list[str]:
    """A process's command line."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


@contextmanager
def measured(table: Table, what: str, pids: dict[str, int]) -> Iterator[None]:
    """Add a row with the resources that the programs used meanwhile."""
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    started = time.monotonic()
    yield
    used = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
    table.add_row(
        what,
        *(f"{used[name]:.1f}" for name in pids),
        f"{used['rsfilter'] / max(used['ExaBGP'], 0.01):.2f}",
        f"{rss_mb(pids['rsfilter']):.0f}",
        f"{time.monotonic() - started:.0f}",
    )


def run(sessions: int, routes: int, routers: int) -> Table:
    """The whole of it; AssertionError when a router does not have what it should."""
    title = f"{routes} routes of {sessions} sessions, {routers} router(s)"
    table = Table(
        "", "ExaBGP CPU s", "rsfilter CPU s", "ratio", "rsfilter MB", "clock s", title=title
    )
    with Lab() as lab:
        scale = Scale(lab, sessions, routes, routers)
        for daemon in (*scale.routers, scale.rs):
            daemon.starts()
        pids = scale.pids()
        with measured(table, "every host comes up", pids):
            for host in scale.hosts:
                host.starts()
            scale.have(scale.hosts)
        lost = scale.hosts[-1]
        with measured(table, "one host is lost", pids):
            lost.dies()
            scale.have(scale.hosts[:-1])
        scale.rs.rsfilter("audit", "verify", "--directory", "audit")
        lab.no_errors()
    return table


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--routes", type=int, default=200_000)
    parser.add_argument("--routers", type=int, default=1)
    Console().print(run(**vars(parser.parse_args())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
