"""Minutes of churn: does anything grow, and does a change still get through?

    python tests/bench/churn.py [--minutes 10] [--per-second 500] [--json FILE]

20,000 routes of 20 hosts stay; 20 other hosts change so many routes a second. Each minute: how long
a single change takes from its host to the router, CPU and memory of ExaBGP and rsfilter, and the
backlog: the most prefixes, of some samples, that rsfilter did not know to have left. At the end the
router has to have every route again, and no log may report an error.
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

from lab.core import Lab
from lab.exabgp import RouteServer
from lab.usage import rss_mb
from lab.waiting import eventually

from bench import results
from bench.changes import BASE_ROUTES, MEASURED, Changes, flapping, quantiles
from bench.compare import total
from bench.results import Results
from bench.scale import count

SAMPLES = 20
"""Single changes each second, before a sample of the backlog: fewer than would be a flood."""


class Row(NamedTuple):
    """A minute."""

    minute: int
    p50_ms: float
    p99_ms: float
    backlog_prefixes: float
    exabgp_cpu_s: float
    rsfilter_cpu_s: float
    exabgp_mb: float
    rsfilter_mb: float

    @property
    def cells(self) -> list[str]:
        """Row as the table has it."""
        return [
            str(self.minute),
            f"{self.p50_ms:.0f}, {self.p99_ms:.0f}",
            f"{self.backlog_prefixes:,.0f}",
            *(f"{cpu:.1f}" for cpu in (self.exabgp_cpu_s, self.rsfilter_cpu_s)),
            *(f"{megabytes:.0f}" for megabytes in (self.exabgp_mb, self.rsfilter_mb)),
        ]


class Churn:
    """The system, and the resources that it had used at the last sample."""

    def __init__(self, lab: Lab) -> None:
        self.changes = Changes(lab, "rsfilter", BASE_ROUTES)
        self.pids = self.changes.site.pids()
        self._used = [total(pids) for pids in self.pids]

    def minute(self, number: int) -> Row:
        """The next sixty seconds."""
        ends = time.monotonic() + 60
        delays: list[float] = []
        backlog = 0.0
        while time.monotonic() < ends:
            next_check = time.monotonic() + 1
            delays += self.changes.same(SAMPLES)
            backlog = max(backlog, self._backlog())
            time.sleep(max(0.0, next_check - time.monotonic()))
        before, self._used = self._used, [total(pids) for pids in self.pids]
        used = [now - then for now, then in zip(self._used, before, strict=True)]
        memory = [sum(map(rss_mb, pids)) for pids in self.pids]
        p50, p99 = quantiles(delays)
        return Row(number, p50 * 1000, p99 * 1000, backlog, *used, *memory)

    def ends(self) -> None:
        """Let all hosts announce everything again; return when the router has exactly that."""
        site = self.changes.site
        for host in site.hosts[MEASURED:]:
            host.control('enable "*"')

        def probe() -> str | None:
            has = count(site.routers[0])
            return None if has == site.routes else f"the router has {has} of {site.routes}"

        eventually(probe, site.lab.report)

    def _backlog(self) -> float:
        rs = self.changes.site.rs
        assert isinstance(rs, RouteServer)
        (router,) = self.changes.site.routers
        return rs.metric(f'rsfilter_router_under_way_prefixes{{router="{router.addresses[4]}"}}')


def table(rows: Sequence[Row], per_second: float) -> Table:
    """A minute in each row."""
    shown = Table(
        *("minute", "delay ms: p50, p99", "backlog", "ExaBGP CPU s", "rsfilter CPU s"),
        *("ExaBGP MB", "rsfilter MB"),
        title=f"{per_second:g} changes/s",
    )
    for row in rows:
        shown.add_row(*row.cells)
    return shown


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--per-second", type=float, default=500.0)
    results.add_option(parser)
    args = parser.parse_args()
    console = Console()
    with Lab() as lab:
        churn = Churn(lab)
        with flapping(churn.changes.site.hosts[MEASURED + 1 :], args.per_second):
            rows = [churn.minute(number) for number in range(1, args.minutes + 1)]
        console.print(table(rows, args.per_second))
        churn.ends()
        lab.no_errors()
    measured = Results.of(
        "churn",
        [row._asdict() for row in rows],
        routes=BASE_ROUTES,
        changes_per_s=args.per_second,
    )
    results.show(console, measured, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
