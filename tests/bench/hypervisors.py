"""Thousands of hypervisors: how many sessions one ExaBGP with rsfilter holds, and what they cost.

    python tests/bench/hypervisors.py [--hosts 500 1000 2000 8000] [--guests 25] [--minutes 10]
                                      [--stock 500] [--json FILE]

One process is all hypervisors (`bgp_hosts`), each with its session, address and ASN. Every one
announces its guests and one of another; the sessions are rendered from the truth file. At each
number of hypervisors

    up       every one comes up, until the router has exactly the guests that are allowed
    idle     nothing happens but keepalives
    added    a hypervisor more in truth, rendered, reloaded, up: no other session may notice
    lost     a hypervisor goes: the router loses its guests, and no others
    truth    the truth has other guests for one hypervisor: the router has those
    router   the router starts again, and gets all of it
    restart  rsfilter is killed: the next one queries all hosts, and the router sees no change

No other session may be lost, and after each the router's table is compared route by route.

`--stock` sizes run again with an ExaBGP that has nothing replaced, right after they have run with
one that has. A number is left out when it would not fit into the minutes, by the time that those
before it took. Costs are CPU seconds: times on the clock mean little on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.bird import BirdRouter
from lab.core import Daemon, Lab, LabError
from lab.exabgp import RouteServer, group_of
from lab.usage import cpu_s, descriptors, rss_mb
from lab.waiting import eventually

from bench import results
from bench.results import Results
from bench.scale import command, count

HOSTS = (500, 1000, 2000, 8000)
STOCK = (500,)
FIRST_ASN = 4_200_000_000
RANGE = "127.64.0.0/14"
"""Hypervisors' addresses: the loopback has all of them, in every network namespace."""

HOLD_TIME_S = 240
"""Hold time of the router, BIRD's own: while ExaBGP reads thousands of neighbors it sends no
keepalive, and on a machine that has little time for it that lasts."""

IDLE_S = 60.0
"""Every session has a keepalive of ExaBGP's in this time, and nearly every one of its host's."""
GROWTH = 1.1
"""Twice as many hypervisors take a little more than twice as long."""

TELL = Console(stderr=True)
PROGRAM = Path(__file__).parents[1] / "support" / "bgp_hosts.py"
PROGRAMS = ("ExaBGP", "rsfilter")
COLUMNS = (
    *("hosts", "", "clock s", "ExaBGP CPU s", "rsfilter CPU s"),
    *("ExaBGP MB", "rsfilter MB", "ExaBGP's files"),
)


class Hypervisor(NamedTuple):
    """One of them, by its number."""

    number: int
    guests_each: int
    kept: int | None = None
    """The truth has so many of its guests; None if it has all."""

    @property
    def address(self) -> str:
        """Address at which its session ends."""
        return f"127.{64 + (self.number >> 16)}.{self.number >> 8 & 255}.{self.number & 255}"

    @property
    def asn(self) -> int:
        """Its own."""
        return FIRST_ASN + self.number

    @property
    def guests(self) -> list[str]:
        """Host routes of those that the truth has."""
        first = self.number * self.guests_each
        numbers = range(first, first + (self.guests_each if self.kept is None else self.kept))
        return [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32" for n in numbers]

    @property
    def entry(self) -> dict[str, object]:
        """Its entries in the truth."""
        own = {"name": f"hv{self.number}", "asn": self.asn}
        return own | {"neighbors": [self.address], "prefixes": self.guests}


class Hypervisors(Daemon):
    """One process that is many of them: `bgp_hosts`."""

    def __init__(
        self, lab: Lab, name: str, those: Sequence[Hypervisor], rs: RouteServer, stolen: str = ""
    ) -> None:
        """Hosts of the site. `stolen`: the guest of another host that each announces too."""
        super().__init__(lab, name)
        self.log = self.place / "output"
        self._server = [rs.addresses[4], str(rs.port)]
        more = [stolen] if stolen else []
        entries = [(h.address, h.asn, [*h.guests, *more]) for h in those]
        (self.place / "hosts").write_text(json.dumps(entries))

    def starts(self) -> None:
        """Start it; it connects as soon as it can."""
        self.run([sys.executable, str(PROGRAM), "hosts", *self._server], lambda: None)

    def count(self, what: str) -> int:
        """Return how often a session was `up` or `lost`."""
        return sum(line.startswith(f"{what} ") for line in self.log.read_text().splitlines())


class Site:
    """Hypervisors, a route server and a router."""

    def __init__(
        self, lab: Lab, hosts: int, guests: int, deadline_s: float, *, is_stock: bool = False
    ) -> None:
        self.lab = lab
        self.is_stock = is_stock
        self._deadline_s = deadline_s
        self.rs = rs = RouteServer(lab)
        if is_stock:
            rs.program = "rsfilter exabgp --stock"
        self.router = BirdRouter(lab, "leaf", 200, 65200, [rs.endpoint], over=4)
        self.router.hold_time_s = HOLD_TIME_S
        *self.known, self.newcomer = (Hypervisor(n, guests) for n in range(1, hosts + 2))
        self.hosts = Hypervisors(lab, "hypervisors", self.known, rs, self.newcomer.guests[0])
        self._truth(self.known)
        group: dict[str, object] = {"name": "hypervisors", "neighbors": [RANGE]}
        rs.configure(
            [group | {"max_prefixes": 2 * guests}],
            [group_of("leaves", self.router, port=lab.bgp_port)],
            truth={"file": "truth.json"},
        )

    def _truth(self, those: Sequence[Hypervisor]) -> None:
        self.rs.writes_truth({"hosts": [hypervisor.entry for hypervisor in those]})

    def starts(self) -> None:
        """Start all but the hypervisors; return when the filter knows what there is."""
        self.router.starts()
        self.rs.starts()
        eventually(lambda: None if self._metric("rsfilter_resynced") else "no filter yet")

    def pids(self) -> dict[str, int]:
        """ExaBGP and rsfilter."""
        (exabgp,) = [p for p in self.lab.find("exabgp server") if "sh" not in command(p)[:1]]
        return dict(zip(PROGRAMS, (exabgp, self.rs.filter_pid()), strict=True))

    def has_exactly(self, those: Sequence[Hypervisor]) -> None:
        """Wait until the router has these hypervisors' guests; then compare route by route."""
        wanted = {guest: [h.address] for h in those for guest in h.guests}

        def probe() -> str | None:
            has = count(self.router)
            return None if has == len(wanted) else f"{has} of {len(wanted)} routes"

        eventually(probe, self._progress, self._deadline_s, interval_s=0.5)
        table = {p: [path.next_hop for path in paths] for p, paths in self.router.table().items()}
        assert table == wanted

    def _progress(self) -> str:
        up, lost = self.hosts.count("up"), self.hosts.count("lost")
        who = f"{up} sessions of {len(self.known)} hypervisors came up, {lost} were lost"
        return f"{who}\n{self.rs.report()}"

    def adds_one(self) -> None:
        """Add a newcomer: truth, rendered, reloaded, up. No other session may notice, and the
        router gets the newcomer's guests alone."""
        before, received = self.hosts.count("lost"), self.router.received()
        everybody = [*self.known, self.newcomer]
        self._truth(everybody)
        self.rs.reloads()
        self.last = Hypervisors(self.lab, "newcomer", [self.newcomer], self.rs)
        self.last.starts()
        self.has_exactly(everybody)
        assert self.hosts.count("lost") == before, "a session was lost"
        new = self.router.received() - received
        assert new == len(self.newcomer.guests), f"the router was told of {new} routes"
        self.known = everybody

    def loses_one(self) -> None:
        """The newcomer ends; it stays in truth."""
        before = self.hosts.count("lost")
        self.last.dies()
        self.known = [each for each in self.known if each is not self.newcomer]
        self.has_exactly(self.known)
        assert self.hosts.count("lost") == before, "a session was lost"

    def changes_the_truth(self) -> None:
        """One hypervisor has half of its guests; nothing is rendered."""
        before = self.hosts.count("lost")
        first, *others = self.known
        halved = first._replace(kept=first.guests_each // 2)
        self._truth([halved, *others, self.newcomer])
        self.known = [halved, *others]
        self.has_exactly(self.known)
        assert self.hosts.count("lost") == before, "a session was lost"

    def restarts_the_router(self) -> None:
        """Another BIRD in its place gets all routes."""
        before = self.hosts.count("lost")
        self.router.dies()
        self.router.starts()
        self.has_exactly(self.known)
        assert self.hosts.count("lost") == before, "a session was lost"

    def restarts_the_filter(self) -> None:
        """Start the next one, which queries all hosts; nothing changes in the router."""
        before, lost = self.router.received(), self.hosts.count("lost")
        self.rs.filter_restarts()

        expected = sum(len(hypervisor.guests) for hypervisor in self.known)

        def probe() -> str | None:
            knows = self._metric('rsfilter_routes{verdict="accepted"}')
            is_done = self._metric("rsfilter_resynced") and knows == expected
            return None if is_done else f"the filter knows {knows:.0f} of {expected} routes"

        eventually(probe, self.rs.report, self._deadline_s, interval_s=0.5)
        self.has_exactly(self.known)
        assert self.router.received() == before, "the router was told something again"
        assert self.hosts.count("lost") == lost, "a session was lost"

    def _metric(self, name: str) -> float:
        """Number of sessions; 0 while no filter answers."""
        with suppress(LabError):
            return self.rs.metric(name)
        return 0.0


class Row(NamedTuple):
    """Resources that ExaBGP and rsfilter used meanwhile."""

    hosts: int
    system: str
    """`rsfilter`, or `stock`: ExaBGP with nothing replaced."""
    what: str
    clock_s: float
    exabgp_cpu_s: float
    filter_cpu_s: float
    """CPU time of a new rsfilter, from its beginning."""
    exabgp_mb: float
    filter_mb: float
    exabgp_files: int


@contextmanager
def measured(found: list[Row], site: Site, what: str) -> Iterator[None]:
    """Add a row."""
    pids, started = site.pids(), time.monotonic()
    before = {program: cpu_s(pid) for program, pid in pids.items()}
    yield
    took, now = time.monotonic() - started, site.pids()
    used = [cpu_s(now[p]) - (before[p] if now[p] == pids[p] else 0.0) for p in PROGRAMS]
    memory = [rss_mb(now[program]) for program in PROGRAMS]
    system = "stock" if site.is_stock else "rsfilter"
    files = descriptors(now["ExaBGP"])
    row = Row(len(site.known), system, what, took, *used, *memory, files)
    found.append(row)
    TELL.print(*cells(row), sep="\t")


def cells(row: Row) -> list[str]:
    """Return the cells of the table."""
    size = f"{row.hosts}{' stock' if row.system == 'stock' else ''}"
    seconds = [f"{n:.1f}" for n in (row.clock_s, row.exabgp_cpu_s, row.filter_cpu_s)]
    memory = [f"{n:.0f}" for n in (row.exabgp_mb, row.filter_mb)]
    return [size, row.what, *seconds, *memory, str(row.exabgp_files)]


def run(
    found: list[Row], hosts: int, guests: int, deadline_s: float, *, is_stock: bool = False
) -> None:
    """All of it at one size. AssertionError when something is wrong."""
    with Lab() as lab:
        site = Site(lab, hosts, guests, deadline_s, is_stock=is_stock)
        site.starts()
        with measured(found, site, "up"):
            site.hosts.starts()
            site.has_exactly(site.known)
        with measured(found, site, "idle"):
            time.sleep(IDLE_S)
        with measured(found, site, "added"):
            site.adds_one()
        with measured(found, site, "lost"):
            site.loses_one()
        with measured(found, site, "truth"):
            site.changes_the_truth()
        with measured(found, site, "router"):
            site.restarts_the_router()
        with measured(found, site, "restart"):
            site.restarts_the_filter()


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, nargs="+", default=list(HOSTS))
    parser.add_argument("--guests", type=int, default=25, help="of each hypervisor")
    parser.add_argument("--stock", type=int, nargs="*", default=list(STOCK))
    parser.add_argument("--minutes", type=float, default=10.0, help="for all of it")
    results.add_option(parser)
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    found: list[Row] = []
    took, last = 0.0, arguments.hosts[0]
    for hosts in arguments.hosts:
        left = end - time.monotonic()
        if IDLE_S + took * (hosts / last) ** GROWTH > left:
            TELL.print(f"{hosts} hypervisors: no time is left (--minutes)")
            break
        run(found, hosts, arguments.guests, left)
        if hosts in arguments.stock:
            run(found, hosts, arguments.guests, left, is_stock=True)
        took, last = left - (end - time.monotonic()) - IDLE_S, hosts
    table = Table(*COLUMNS, title=f"{arguments.guests} guests each, one router")
    for row in found:
        table.add_row(*cells(row))
    console = Console()
    console.print(table)
    rows = [row._asdict() for row in found]
    results.show(console, Results.of("hosts", rows, guests=arguments.guests), arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
