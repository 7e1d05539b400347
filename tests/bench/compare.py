"""rsfilter beside what it could at best be, and beside BIRD: the same load, in one run.

    python tests/bench/compare.py [--loads 20000x1 100000x1 20000x4] [--repeat 3] [--json FILE]

    rsfilter   ExaBGP and rsfilter, audit on; what `rsfilter exabgp` replaces is replaced
    null       ExaBGP and a helper that announces everything and judges nothing: the ceiling
    stock      rsfilter, and ExaBGP with nothing replaced
    BIRD       BIRD as the route server, with the same policy as a filter, and StayRTR

20 BIRD hosts announce what is theirs; each BIRD router has to end with all of it. The systems take
turns, and medians are printed: CPU seconds by the operating system's accounts, and routes per
second that the last router has. ROUTESxROUTERS is a load.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.bird import Bird, BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.speaker import Endpoint
from lab.stayrtr import StayRtr, Vrp, roas
from lab.usage import cpu_s
from lab.waiting import eventually

from bench import results
from bench.results import Results
from bench.scale import command, count, guest

HOSTS = 20
FIRST_ASN = 65001
DEADLINE_S = 900.0


class Load(NamedTuple):
    """Amounts of a load."""

    routes: int
    routers: int
    family: int = 4
    """Address family of the routes and of the sessions."""

    @classmethod
    def parse(cls, text: str) -> Load:
        """20000x4. ValueError otherwise."""
        routes, _, routers = text.partition("x")
        return cls(int(routes), int(routers or 1))


class Cost(NamedTuple):
    """Costs of a load, until the last router has everything."""

    speaker_s: float
    """CPU seconds of the route server's BGP daemon."""
    filter_s: float
    clock_s: float


OWN_PATH = """
function is_own(int their_asn; ip their_end) {
  if net.len != 32 || bgp_path.len != 1 || bgp_path.first != their_asn then return false;
  if bgp_next_hop != their_end then return false;
  return roa_check(owners, net, their_asn) = ROA_VALID;
}
"""
"""rsfilter's policy here, as BIRD has it."""


class BirdServer(Bird):
    """BIRD as the route server; its VRPs come from a StayRTR of its own."""

    hosts: Sequence[BirdHost] = ()
    routers: Sequence[BirdRouter] = ()

    def __init__(self, lab: Lab, vrps: Sequence[Vrp]) -> None:
        super().__init__(lab, "rs", 100, 65100)
        self.cache = StayRtr(lab, "cache", 99, vrps)

    def starts(self) -> None:
        """Start the cache, then BIRD; returns when it answers."""
        self.cache.starts()
        super().starts()

    def _configuration(self) -> str:
        address, _, port = self.cache.address.partition(":")
        text = self._head() + "roa4 table owners;\n"
        text += (
            f'protocol rpki cache {{ roa4 {{ table owners; }}; remote "{address}" port {port}; }}'
        )
        text += OWN_PATH
        for host in self.hosts:
            check = f"if is_own({host.asn}, {host.addresses[4]}) then accept; reject;"
            # `import table`: what was rejected is kept, and judged again when VRPs change.
            channel = f"import table on; import filter {{{{ {check} }}}}; export none;"
            text += self._session(host.endpoint, 4, "rs client; passive on;", channel)
        channel = "import none; next hop keep; export where source = RTS_BGP;"
        for router in self.routers:
            text += self._session(router.endpoint, 4, "rs client;", channel)
        return text


class Site:
    """One system under one load."""

    def __init__(
        self,
        lab: Lab,
        system: str,
        load: Load,
        *,
        more: Sequence[int] = (),
        moved: Sequence[str] = (),
    ) -> None:
        """`more`: further hosts, with so many guests each. `moved`: guests of the first host that
        are not in its block, and have a VRP each."""
        self.lab = lab
        self.system = system
        shares = [load.routes // HOSTS] * HOSTS + list(more)
        self.routes = sum(shares) + len(moved)
        self.family = load.family
        length = 32 if load.family == 4 else 128
        self.vrps = [Vrp(FIRST_ASN + n, block(n, load.family), length) for n in range(len(shares))]
        self.vrps += [Vrp(FIRST_ASN, prefix, 32) for prefix in moved]
        self.rs: RouteServer | BirdServer = (
            BirdServer(lab, self.vrps) if system == "BIRD" else RouteServer(lab)
        )
        ends: list[Endpoint] = [self.rs.endpoint]
        self.hosts = [self._host(n, ends) for n in range(len(shares))]
        self.routers = [
            BirdRouter(lab, f"leaf{n}", 110 + n, 65200, ends, over=load.family)
            for n in range(load.routers)
        ]
        self.guests = [
            [guest(n, g, load.family) for g in range(share)] for n, share in enumerate(shares)
        ]
        self.guests[0] += moved
        for host in self.hosts:
            host.speaks_only_over(load.family)
        self.rs.speaks_only_over(load.family)
        if isinstance(self.rs, BirdServer):
            self.rs.hosts, self.rs.routers = self.hosts, self.routers
        else:
            self._configures(self.rs)
            self.owners_are(self.vrps)

    def _host(self, number: int, route_servers: Sequence[Endpoint]) -> BirdHost:
        name, asn = f"hv{number}", FIRST_ASN + number
        return BirdHost(self.lab, name, 10 + number, asn, route_servers)

    def owners_are(self, vrps: Sequence[Vrp]) -> None:
        """Replace the truth file, or what the cache serves."""
        if isinstance(self.rs, RouteServer):
            self.rs.writes_truth(roas(vrps))
        else:
            self.rs.cache.serves(vrps)

    def _configures(self, rs: RouteServer) -> None:
        rs.configure(
            [group_of(h.name, h, max_prefixes=self.routes) for h in self.hosts],
            [group_of("leaves", *self.routers, port=self.lab.bgp_port)],
            truth={"file": "truth.json"},
        )
        if self.system == STOCK:
            rs.program = "rsfilter exabgp --stock"
        if self.system == "null":
            words = [sys.executable, str(Path(__file__).with_name("null_helper.py"))]
            words += [router.addresses[4] for router in self.routers]
            rs.replaced_by = "exec " + " ".join(map(shlex.quote, words))

    def fills(self) -> Cost:
        """Every session is up: from the first announcement until every router has every route."""
        for daemon in (*self.routers, self.rs, *self.hosts):
            daemon.starts()
        for peer in (*self.routers, *self.hosts):
            peer.is_up()
        speaker, helper = self.pids()
        before, began = (total(speaker), total(helper)), time.monotonic()
        for host, guests in zip(self.hosts, self.guests, strict=True):
            host.announces(*guests)

        def probe() -> str | None:
            for router in self.routers:
                if (has := count(router, self.family)) != self.routes:
                    return f"{router.name} has {has} of {self.routes}"
            return None

        eventually(probe, self.lab.report, DEADLINE_S, interval_s=0.1)
        took = time.monotonic() - began
        return Cost(total(speaker) - before[0], total(helper) - before[1], took)

    def pids(self) -> tuple[list[int], list[int]]:
        """CPU time of the BGP daemon, and of its helper."""
        if isinstance(self.rs, BirdServer):
            birds = self.lab.find("bird -f")
            return [p for p in birds if Path(f"/proc/{p}/cwd").resolve() == self.rs.place], []
        daemon = [p for p in self.lab.find("exabgp server") if command(p)[0] != "sh"]
        words = "null_helper.py" if self.system == "null" else "rsfilter run -c"
        return daemon, self.lab.find(words)


def block(host: int, family: int = 4) -> str:
    """Return the prefixes that a host owns."""
    return f"10.{host}.0.0/16" if family == 4 else f"2001:db8:{host + 1:x}::/48"


def total(pids: list[int]) -> float:
    """CPU seconds of all of them."""
    return sum(map(cpu_s, pids))


def measure(system: str, load: Load) -> Cost:
    """One run, in a lab of its own."""
    with Lab() as lab:
        return Site(lab, system, load).fills()


SYSTEMS = ("rsfilter", "null", "BIRD")
"""Systems that are drawn."""

STOCK = "stock"
MEASURED = (*SYSTEMS, STOCK)


class Row(NamedTuple):
    """Medians of a system under a load."""

    routes: int
    routers: int
    system: str
    daemon_cpu_s: float
    helper_cpu_s: float | None
    """None if there is no helper."""
    clock_s: float
    routes_per_s: float

    @classmethod
    def of(cls, load: Load, system: str, costs: Sequence[Cost]) -> Row:
        """Return the medians of several runs."""
        cost = Cost(*map(statistics.median, zip(*costs, strict=True)))
        helper = None if system == "BIRD" else cost.filter_s
        return cls(
            load.routes,
            load.routers,
            system,
            cost.speaker_s,
            helper,
            cost.clock_s,
            load.routes / cost.clock_s,
        )


def rows(loads: Sequence[Load], repeat: int) -> list[Row]:
    """The whole of it, load by load."""
    found = []
    with Progress(transient=True) as progress:
        task = progress.add_task("measuring", total=len(loads) * repeat * len(MEASURED))
        for load in loads:
            costs: dict[str, list[Cost]] = {system: [] for system in MEASURED}
            for _ in range(repeat):
                for system in MEASURED:
                    costs[system].append(measure(system, load))
                    progress.advance(task)
            found += [Row.of(load, system, costs[system]) for system in MEASURED]
    return found


def table(found: Sequence[Row]) -> Table:
    """The rows beside each other."""
    shown = Table(
        *("routes", "routers", "", "daemon", "helper", "routes/s", "helper/daemon", "of null"),
        title="until the last router has everything: CPU s, medians",
    )
    null = {(row.routes, row.routers): row.clock_s for row in found if row.system == "null"}
    for row in found:
        helper = row.helper_cpu_s
        shown.add_row(
            f"{row.routes:,}",
            str(row.routers),
            row.system,
            f"{row.daemon_cpu_s:.1f}",
            "" if helper is None else f"{helper:.1f}",
            f"{row.routes_per_s:,.0f}",
            "" if helper is None else f"{helper / row.daemon_cpu_s:.2f}",
            f"{null[row.routes, row.routers] / row.clock_s:.2f}",
            end_section=row.system == MEASURED[-1],
        )
    return shown


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    loads = [Load(20_000, 1), Load(20_000, 4), Load(100_000, 1)]
    parser.add_argument("--loads", type=Load.parse, nargs="+", default=loads)
    parser.add_argument("--repeat", type=int, default=3)
    results.add_option(parser)
    args = parser.parse_args()
    found = rows(args.loads, args.repeat)
    console = Console()
    console.print(table(found))
    results.show(
        console, Results.of("compare", [r._asdict() for r in found], repeat=args.repeat), args.json
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
