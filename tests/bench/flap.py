"""Cost of one guest that flaps: its host withdraws and announces one route, again and again.

    python tests/bench/flap.py [--seconds 8] [--json FILE]

For each rate: how many changes of the route the router had to take, and how much of a core ExaBGP,
rsfilter and the router (BIRD) used.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.core import Lab

from bench import results
from bench.changes import MEASURED, Changes, source
from bench.compare import total
from bench.results import Results
from bench.scale import guest

RATES = (1.0, 10.0, 100.0, 10_000.0)
"""Changes a second. The last is more than BIRD's control socket takes: as many as it does."""

ROUTES = 1_000
"""Routes of others in the tables, which do not change."""


class Row(NamedTuple):
    """One rate."""

    wanted_per_s: float
    host_per_s: float
    """Changes that the host made."""
    router_per_s: float
    """Changes that came to the router."""
    exabgp_cores: float
    rsfilter_cores: float
    router_cores: float


def measured(changes: Changes, rate: float, seconds: float) -> Row:
    """Let the guest flap at a rate."""
    host = changes.site.hosts[MEASURED]
    place = changes.site.routers[0].place
    birds = changes.site.lab.find("bird -f")
    router = [pid for pid in birds if Path(f"/proc/{pid}/cwd").resolve() == place]
    pids = [*changes.site.pids(), router]
    since, before = changes.probe.moment(), [total(some) for some in pids]
    began = due = time.monotonic()
    count = 0
    for verb in itertools.cycle(["disable", "enable"]):
        host.control(f"{verb} {source(0)}")
        count += 1
        due += 1 / rate
        if due > began + seconds or time.monotonic() > began + seconds:
            break
        time.sleep(max(0.0, due - time.monotonic()))
    took = time.monotonic() - began
    used = [(total(some) - was) / took for some, was in zip(pids, before, strict=True)]
    time.sleep(1)  # what is on its way
    route = guest(MEASURED, 0)
    seen = sum(change.place.prefix == route for change in changes.probe.changes(since))
    host.control(f"enable {source(0)}")
    return Row(rate, count / took, seen / took, *used)


def table(rows: Sequence[Row]) -> Table:
    """A rate in each row."""
    shown = Table("host: changes/s", "router: changes/s", "ExaBGP", "rsfilter", "BIRD (cores)")
    for row in rows:
        cores = (row.exabgp_cores, row.rsfilter_cores, row.router_cores)
        shown.add_row(
            *(f"{each:.1f}" for each in (row.host_per_s, row.router_per_s)),
            *(f"{each:.3f}" for each in cores),
        )
    return shown


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=8.0)
    results.add_option(parser)
    args = parser.parse_args()
    console = Console()
    with Lab() as lab:
        changes = Changes(lab, "rsfilter", ROUTES)
        rows = [measured(changes, rate, args.seconds) for rate in RATES]
        console.print(table(rows))
    found = Results.of("flap", [row._asdict() for row in rows], routes=ROUTES)
    results.show(console, found, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
