"""Time that a change takes to reach the router: of a host's route, and of the truth.

    python tests/bench/changes.py [--routes 100000] [--samples 400] [--per-second 1000]
                                   [--repeat 1] [--systems rsfilter stock] [--json FILE]

The systems are those of compare.py, and take turns; figures of several turns are their medians. A
host withdraws its guests one by one and announces them again: while nothing else happens, and while
other hosts change as many routes a second as given. Then it does so with one guest, again and
again. At last the truth takes one route, and the twentieth part of all, away from a host, and gives
them back. Times are from the host's or the operator's word until the router's log has it, on one
clock.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.bird import BirdHost
from lab.core import Lab
from lab.probe import Moment, Probe
from lab.speaker import Endpoint
from lab.stayrtr import Vrp
from lab.waiting import eventually

from bench import results
from bench.compare import FIRST_ASN, HOSTS, Load, Site
from bench.compare import MEASURED as SYSTEMS
from bench.results import Results
from bench.scale import guest

FLAPPING = 20
"""Hosts that flap, each with so many guests: a change is a host's word about all of them."""

GUESTS = 25
MEASURED = HOSTS
"""The number of the host whose guests are measured; the flapping ones follow."""

BASE_ROUTES = 20_000
"""Routes in the tables while single changes are measured."""

MOVED = "10.100.0.1/32"
"""The guest of the first host that has a VRP of its own."""

DEADLINE_S = 120.0
INTERVAL_S = 0.005
"""Seconds between two reads of the router's log: the log has the times that are measured, not the
read."""


class GuestByGuest(BirdHost):
    """Each of its guests comes from a protocol of its own, and goes with it."""

    def _sources(self, family: int, prefixes: Sequence[str]) -> str:
        return "".join(
            f"protocol static {source(number)} {{ ipv{family}; route {prefix} blackhole; }}\n"
            for number, prefix in enumerate(prefixes)
        )


def source(number: int) -> str:
    """The name of a guest's protocol."""
    return f"guest{number}"


class ChangingSite(Site):
    """A site in which one host can change guest by guest."""

    def _host(self, number: int, route_servers: Sequence[Endpoint]) -> BirdHost:
        if number != MEASURED:
            return super()._host(number, route_servers)
        return GuestByGuest(self.lab, "measured", 10 + number, FIRST_ASN + number, route_servers)


class Changes:
    """A system with its routes, and its router's log."""

    def __init__(self, lab: Lab, system: str, routes: int, guests: int = 1) -> None:
        """`guests`: of the host that is measured."""
        more = [guests] + [GUESTS] * FLAPPING
        self.site = ChangingSite(lab, system, Load(routes, 1), more=more, moved=[MOVED])
        self.site.fills()
        self.probe = Probe(*self.site.routers)
        everyone = [(verb, n) for verb in ("disable", "enable") for n in range(guests)]
        self._turns = itertools.cycle(everyone)

    def singles(self, samples: int) -> list[float]:
        """Seconds from a host's withdrawal or announcement of a guest until the router has it:
        each time another one, all of them in turn."""
        return [self._single(*turn) for turn in itertools.islice(self._turns, samples)]

    def same(self, samples: int) -> list[float]:
        """The same with one guest, again and again."""
        verbs = itertools.cycle(["disable", "enable"])
        return [self._single(verb, 0) for verb in itertools.islice(verbs, samples)]

    def _single(self, verb: str, number: int) -> float:
        since, began = self.probe.moment(), time.time()
        self.site.hosts[MEASURED].control(f"{verb} {source(number)}")
        return self._seen({guest(MEASURED, number)}, since) - began

    def loses(self, prefixes: Sequence[str], vrps: Sequence[Vrp]) -> float:
        """Seconds from a truth that has only these VRPs until the router has lost the last of the
        prefixes; then all is as it was."""
        wanted = set(prefixes)
        since, began = self.probe.moment(), time.time()
        self.site.owners_are(vrps)
        took = self._seen(wanted, since) - began
        since = self.probe.moment()
        self.site.owners_are(self.site.vrps)
        self._seen(wanted, since)
        return took

    def _seen(self, prefixes: set[str], since: Moment) -> float:
        """Time at which the last of these changed."""
        last = 0.0

        def probe() -> str | None:
            nonlocal last
            changed = {c.place.prefix: c.at for c in self.probe.changes(since)}
            missing = prefixes - changed.keys()
            last = max(changed.values(), default=0.0)
            return f"the router heard nothing of {len(missing)} routes" if missing else None

        eventually(probe, self.site.lab.report, DEADLINE_S, INTERVAL_S)
        return last


@contextlib.contextmanager
def flapping(hosts: Sequence[BirdHost], per_second: float) -> Iterator[None]:
    """Change so many routes a second meanwhile: hosts in turn withdraw and announce theirs."""
    ended = threading.Event()

    def flap() -> None:
        due = time.monotonic()
        for verb in itertools.cycle(["disable", "enable"]):
            for host in hosts:
                host.control(f"{verb} static4")
                due += GUESTS / per_second
                if ended.wait(max(0.0, due - time.monotonic())):
                    return

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Row(NamedTuple):
    """Seconds that a kind of change takes in a system."""

    system: str
    change: str
    """One of CHANGES."""
    p50_ms: float
    p99_ms: float | None
    """None if there are too few samples."""


CHANGES = ("idle", "busy", "same", "truth_one", "truth_many")
"""A route of a host, while nothing else happens and beside others; the same route again and again;
the truth takes one route away, and all those of a host."""


def quantiles(delays: Sequence[float]) -> tuple[float, float]:
    """p50 and p99, in the unit of the delays."""
    cuts = statistics.quantiles(delays, n=100, method="inclusive")
    return cuts[49], cuts[98]


def of_routes(system: str, samples: int, per_second: float) -> list[Row]:
    """Single changes while nothing else happens, and under load."""
    with Lab() as lab:
        changes = Changes(lab, system, BASE_ROUTES, samples // 2)
        idle = changes.singles(samples)
        with flapping(changes.site.hosts[MEASURED + 1 :], per_second):
            busy = changes.singles(samples)
        same = changes.same(samples)
    found = []
    for change, delays in (("idle", idle), ("busy", busy), ("same", same)):
        p50, p99 = quantiles(delays)
        found.append(Row(system, change, p50 * 1000, p99 * 1000))
    return found


def of_truth(system: str, routes: int, times: int) -> list[Row]:
    """Medians: the truth takes one route away, and those of one host."""
    with Lab() as lab:
        changes = Changes(lab, system, routes)
        site = changes.site
        one = [changes.loses([MOVED], site.vrps[:-1]) for _ in range(times)]
        block = [guest for guest in site.guests[0] if guest != MOVED]
        many = [changes.loses(block, site.vrps[1:]) for _ in range(times)]
    return [
        Row(system, change, statistics.median(took) * 1000, None)
        for change, took in (("truth_one", one), ("truth_many", many))
    ]


def rows(
    routes: int, times: int, samples: int, per_second: float, repeat: int, systems: Sequence[str]
) -> list[Row]:
    """The whole of it: the systems take turns."""
    found = []
    with Progress(transient=True) as progress:
        task = progress.add_task("measuring", total=(repeat + 1) * len(systems))
        for _ in range(repeat):
            for system in systems:
                found += of_routes(system, samples, per_second)
                progress.advance(task)
        for system in systems:
            # The null helper knows no truth.
            found += of_truth(system, routes, times) if times and system != "null" else []
            progress.advance(task)
    return [
        median(found, system, change) for system in systems for change in changed(found, system)
    ]


def changed(found: Sequence[Row], system: str) -> list[str]:
    """The kinds of changes that were measured, in their order."""
    return [c for c in CHANGES if any((row.system, row.change) == (system, c) for row in found)]


def median(found: Sequence[Row], system: str, change: str) -> Row:
    """Return the medians of several turns."""
    those = [row for row in found if (row.system, row.change) == (system, change)]
    p99 = [row.p99_ms for row in those if row.p99_ms is not None]
    return Row(
        system,
        change,
        statistics.median(row.p50_ms for row in those),
        statistics.median(p99) if p99 else None,
    )


def table(found: Sequence[Row], routes: int, per_second: float) -> Table:
    """The rows of a system beside each other."""
    shown = Table(
        "",
        "idle: p50, p99",
        f"{per_second:,.0f} changes/s: p50, p99",
        "the same again: p50, p99",
        f"truth, {routes:,} routes: 1 lost",
        f"{routes // HOSTS:,} lost",
        title="until the router has it: ms",
    )
    for system in dict.fromkeys(row.system for row in found):
        cells = [
            f"{row.p50_ms:.0f}" if row.p99_ms is None else f"{row.p50_ms:.1f}, {row.p99_ms:.1f}"
            for change in CHANGES
            for row in found
            if (row.system, row.change) == (system, change)
        ]
        shown.add_row(system, *cells)
    return shown


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--routes", type=int, default=100_000, help="while the truth changes")
    parser.add_argument("--times", type=int, default=3, help="that the truth changes")
    parser.add_argument("--samples", type=int, default=400, help="single changes")
    parser.add_argument("--repeat", type=int, default=1, help="turns of single changes")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--per-second", type=float, default=1000.0, help="changes beside them")
    results.add_option(parser)
    args = parser.parse_args()
    found = rows(args.routes, args.times, args.samples, args.per_second, args.repeat, args.systems)
    console = Console()
    console.print(table(found, args.routes, args.per_second))
    measured = Results.of(
        "changes",
        [row._asdict() for row in found],
        truth_routes=args.routes,
        truth_lost_routes=args.routes // HOSTS,
        truth_times=args.times,
        routes=BASE_ROUTES,
        samples=args.samples,
        repeat=args.repeat,
        changes_per_s=args.per_second,
    )
    results.show(console, measured, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
