"""Cost of routers for ExaBGP, and their cost with one BIRD between.

    python tests/bench/fanout.py [--routers 1 4 16 64] [--hosts 10] [--routes 20000] [--shards 2]
                                  [--json FILE]

BIRD hosts announce their guests; every router has to end with all of them. CPU seconds of ExaBGP,
of rsfilter and of the fan-out, and routes that the last router has per second on the clock. With
--shards the hosts are shared out over so many ExaBGPs behind one fan-out.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.fanout import Fanout
from lab.speaker import Endpoint
from lab.usage import cpu_s
from lab.waiting import eventually

from bench import results
from bench.results import Results
from bench.scale import command, count, guest

DEADLINE_S = 1200.0

COLUMNS = ("routers", "between", "shards", "ExaBGP", "rsfilter", "BIRD between", "routes/s")


class Row(NamedTuple):
    """Costs of so many routers, until the last has every route."""

    routers: int
    has_fanout: bool
    shards: int
    exabgp_cpu_s: float
    rsfilter_cpu_s: float
    fanout_cpu_s: float
    routes_per_s: float

    @property
    def cells(self) -> list[str]:
        """Row as the table has it."""
        return [
            str(self.routers),
            "BIRD" if self.has_fanout else "nothing",
            str(self.shards),
            *(f"{cpu:.1f}" for cpu in (self.exabgp_cpu_s, self.rsfilter_cpu_s, self.fanout_cpu_s)),
            f"{self.routes_per_s:,.0f}",
        ]


class Site:
    """Hosts, shards, perhaps a fan-out, and routers."""

    def __init__(
        self, lab: Lab, routers: int, hosts: int, routes: int, shards: int, *, has_fanout: bool
    ) -> None:
        self.lab = lab
        self.routes = routes // hosts * hosts
        self.shards = [RouteServer(lab, f"rs{n}", 100 + n) for n in range(shards)]
        ends = [shard.endpoint for shard in self.shards]
        self.hosts = [
            BirdHost(lab, f"hv{n}", 1 + n, 65001 + n, [ends[n % shards]]) for n in range(hosts)
        ]
        for n, host in enumerate(self.hosts):
            host.speaks_only_over(4)
            host.announces(*(guest(n, g) for g in range(routes // hosts)))
        # Recovery would hold the first route back until the hosts have sent the last.
        self.fanout = (
            Fanout(lab, "fanout", 99, self.shards[0], recovers=False) if has_fanout else None
        )
        serving: list[Endpoint] = [self.fanout.endpoint] if self.fanout else ends
        self.routers = [
            BirdRouter(lab, f"leaf{n}", 110 + n, 65200, serving, over=4) for n in range(routers)
        ]
        section = {
            "addresses": [lab.address(99, 4)],
            "port": lab.bgp_port,
            "shards": [end.addresses[4] for end in ends],
        }
        truth = [
            {"prefix": f"10.{n}.0.0/16", "maxLength": 32, "asn": host.asn}
            for n, host in enumerate(self.hosts)
        ]
        for number, shard in enumerate(self.shards):
            shard.writes_truth({"roas": truth})
            mine = self.hosts[number::shards]
            shard.configure(
                [group_of(h.name, h, max_prefixes=routes) for h in mine],
                [group_of("leaves", *self.routers, port=lab.bgp_port)],
                truth={"file": "truth.json"},
                **({"fanout": section} if self.fanout else {}),
            )

    def starts(self) -> None:
        """Start all but the hosts; returns when every router has its session."""
        between = [self.fanout] if self.fanout else []
        for daemon in (*self.routers, *self.shards, *between):
            daemon.starts()
        for router in self.routers:
            router.is_up()

    def programs(self) -> dict[str, list[int]]:
        """PIDs by what they are."""
        birds = self.lab.find("bird -f") if self.fanout else []
        return {
            "ExaBGP": [p for p in self.lab.find("exabgp server") if command(p)[0] != "sh"],
            "rsfilter": [shard.filter_pid() for shard in self.shards],
            "BIRD between": [p for p in birds if Path(f"/proc/{p}/cwd").resolve().name == "fanout"],
        }

    def fills(self) -> None:
        """Start the hosts; returns when every router has every route."""
        for host in self.hosts:
            host.starts()

        def probe() -> str | None:
            for router in self.routers:
                if (has := count(router)) != self.routes:
                    return f"{router.name} has {has} of {self.routes}"
            return None

        eventually(probe, self.lab.report, DEADLINE_S, interval_s=0.2)


def measure(routers: int, hosts: int, routes: int, shards: int, *, has_fanout: bool) -> Row:
    """One run, in a lab of its own."""
    with Lab() as lab:
        site = Site(lab, routers, hosts, routes, shards, has_fanout=has_fanout)
        site.starts()
        programs = site.programs()
        before = {name: sum(map(cpu_s, pids)) for name, pids in programs.items()}
        began = time.monotonic()
        site.fills()
        took = time.monotonic() - began
        used = [sum(map(cpu_s, pids)) - before[name] for name, pids in programs.items()]
    return Row(routers, has_fanout, shards, *used, site.routes / took)


def table(rows: Sequence[Row], routes: int, hosts: int) -> Table:
    """A run in each row."""
    shown = Table(*COLUMNS, title=f"{routes} routes of {hosts} hosts: CPU s")
    for row in rows:
        shown.add_row(*row.cells)
    return shown


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--routers", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--routes", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=2)
    results.add_option(parser)
    args = parser.parse_args()
    runs = [(routers, 1, has) for routers in args.routers for has in (False, True)]
    runs.append((args.routers[0], args.shards, True))
    rows = [
        measure(routers, args.hosts, args.routes, shards, has_fanout=has)
        for routers, shards, has in runs
    ]
    console = Console()
    console.print(table(rows, args.routes, args.hosts))
    measured = Results.of(
        "fanout", [row._asdict() for row in rows], routes=args.routes, hosts=args.hosts
    )
    results.show(console, measured, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
