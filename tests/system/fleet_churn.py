"""Two route servers of a fleet in churn, for long: `make fleet-churn MINUTES=60`.

    python tests/system/fleet_churn.py [--minutes 60] [--seed 1] [--routes 200000] [--pause 20]

Each has a cache of its own with the same VRPs; hosts, caches, ExaBGP and the database are real.
Guests migrate, the truth and the VRPs change at both, a cache restarts or counts on without other
VRPs, a filter is killed, and ExaBGP with it. At no time may `fleet diff` name a difference. In the
end one that is real has to be named, or the silence before proves nothing, and the database has
both logs octet for octet. A cache that is late, because it restarts while the VRPs change, is no
false difference: it is counted, and only as long as the heartbeats have other VRPs too.

`--routes` adds hosts whose guests stay, and which both have to hear again after each restart;
`--pause` is the time between two incidents.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer
from lab.postgresql import PostgreSql
from lab.stage import Stage
from lab.stayrtr import StayRtr, Vrp
from lab.usage import cpu_s, rss_mb
from lab.waiting import eventually
from rich.console import Console
from rich.table import Table
from support.fleet_processes import is_below, workers
from support.fleet_samples import FLEET, database, lines, shipped

from rsfilter.cli import main as rsfilter
from rsfilter.fleet.state import DATA_CAUSES

GUESTS = [f"203.0.113.{n}/32" for n in range(1, 61)]
"""Guests that migrate: every host may announce them, and so may both at once."""

CONTESTED = [f"203.0.113.{n}/32" for n in range(201, 209)]
"""Two hosts announce each, and the truth decides whose it is."""

FOREIGN = [f"198.18.7.{n}/32" for n in range(1, 9)]
"""The caches decide, not the truth."""

LOOK_S = 2.0
"""Seconds between two checks for differences."""

INCIDENT_S = 6.0
"""Seconds between two incidents, on average, unless `--pause` has another number."""

SHOWN_S = 90.0
"""Deadline for what has to be named."""

LEARNT_S = 1800.0
"""Deadline for a large table to be learnt by both, on a machine that does much else."""

STEADY = 20
"""Hosts whose guests stay."""

TOLD_S = 15.0
"""Seconds for which a difference may be reported after the data of both are the same again: a
heartbeat of each, on a busy machine."""

CALM_HOLD_S = 90
"""Hold time beside a large table, in which ExaBGP is busy for longer than the lab's 9 s."""


class FleetChurn:
    """The route servers, and what happens to them."""

    def __init__(
        self, lab: Lab, server: PostgreSql, seed: int, routes: int = 0, pause_s: float = INCIDENT_S
    ) -> None:
        self._lab, self._server, self._pause_s = lab, server, pause_s
        self._dice = random.Random(seed)
        share = routes // STEADY
        self._stage = Stage(lab, names=("rs", "rs2"), max_prefixes=max(1000, 2 * share))
        hold = {"hold_time_s": CALM_HOLD_S} if routes else {}
        for number in range(1, 4):
            self._stage.add_host(BirdHost, f"hv{number}", 65000 + number, **hold)
        self._stage.add_router(BirdRouter, "leaf1")
        self._steady: dict[str, list[str]] = {}
        """Guests that stay, by the name of their host."""
        for number in range(STEADY if routes else 0):
            name = f"steady{number + 1}"
            self._stage.add_host(BirdHost, name, 65101 + number, **hold)
            self._stage.host(name).speaks_only_over(4)
            guests = (f"10.{number}.{n >> 8}.{n & 255}/32" for n in range(share))
            self._steady[name] = list(guests)
        if routes:
            self._stage.router("leaf1").further = f"hold time {CALM_HOLD_S};"
        self._instances = dict(zip(("rs1", "rs2"), self._stage.route_servers, strict=True))
        self._caches = [StayRtr(lab, f"cache{n}", 50 + n, self._vrps(())) for n in (1, 2)]
        self._incidents: list[Callable[[], None]] = []
        """Rest of this round."""
        self._revision = 0
        self._chosen: tuple[str, ...] = ()
        """Prefixes of the VRPs that change."""
        self._where = {guest: f"hv{1 + n % 3}" for n, guest in enumerate(GUESTS)}
        self.counts: Counter[str] = Counter()
        self.false: list[dict[str, Any]] = []
        """Differences that were named although there was none."""
        self._other_data_until = 0.0
        """Time until which differences of data may be reported."""
        self.named_after = 0.0
        """Seconds until the real one was named."""
        for (role, one), cache in zip(self._instances.items(), self._caches, strict=True):
            one.tolerated.append("RTR cache .* (is not answering|decides now)|fleet:")
            self._stage.own_sections[one.name] = {
                "fleet": {"name": FLEET, "database": server.url(role), "heartbeat": 2},
                "rtr": {"caches": [cache.address]},
                "guard": {"window": 0, "min_loss": 1000},
            }

    def starts(self) -> None:
        """Start everything; returns when both have all routes and agree."""
        for cache in self._caches:
            cache.starts()
        self._write_truth()
        for name, guests in self._steady.items():
            self._stage.host(name).announces(*guests)
        self._stage.starts()
        for name in ("hv1", "hv2", "hv3"):
            own = [guest for guest, where in self._where.items() if where == name]
            self._stage.host(name).announces(*own)
        for name in ("hv1", "hv2"):
            self._stage.host(name).announces(*CONTESTED, *FOREIGN)
        self.has_agreed()

    def run(self, seconds: float) -> None:
        """Cause incidents, and check for differences all the time."""
        now = began = time.monotonic()
        check_at = incident_at = now
        while (now := time.monotonic()) < began + seconds:
            self._migrate()
            if now >= incident_at:
                self._next_incident()()
                incident_at = now + self._pause_s * 2 * self._dice.random()
            if now >= check_at:
                self._check()
                check_at = now + LOOK_S
            time.sleep(0.2 + 0.3 * self._dice.random())
        self.has_agreed()

    def ends(self) -> None:
        """Inject one difference, which has to be named; then all records have to be shipped."""
        second: RouteServer = self._instances["rs2"]
        document = json.loads(second.truth.read_text())
        for host in document["hosts"]:
            host["prefixes"] = [p for p in host["prefixes"] if p != CONTESTED[0]]
        document["hosts"][2]["prefixes"].append(CONTESTED[0])
        began = time.monotonic()
        second.writes_truth(document)

        def probe() -> str | None:
            found = self._fleet("diff")
            places = {(one["prefix"], one["cause"]) for one in found}
            return None if places == {(CONTESTED[0], "truth")} else f"named: {sorted(places)}"

        eventually(probe, self._lab.report, SHOWN_S)
        self.named_after = time.monotonic() - began
        for role, one in self._instances.items():
            self._has_shipped(role, lines(one.audit.directory))

    def _has_shipped(self, role: str, log: list[bytes]) -> None:
        """Wait until the database has so much of a log, and compare all of it."""

        def probe() -> str | None:
            query = "SELECT coalesce(max(last), 0) FROM rsfilter.block WHERE instance = %s"
            ((last,),) = self._server.query(query, role)
            return None if last >= len(log) else f"{role}: {last} of {len(log)} are shipped"

        eventually(probe, self._lab.report, self._patience_s)
        assert shipped(self._server, role)[: len(log)] == log, f"{role}: other octets"
        self.counts["records shipped, octet for octet"] += len(log)
        self.counts["verdicts changed by data"] += sum(b'"cause":"data"' in line for line in log)

    def has_agreed(self) -> None:
        """Wait until both have the same digest of the same settled routes."""

        def probe() -> str | None:
            found = self._fleet("status")
            groups = [one["groups"][0] for one in found if one.get("groups")]
            roots = {(group.get("root"), group.get("routes")) for group in groups}
            wanted = len(GUESTS) + 2 * len(CONTESTED) + 2 * len(FOREIGN)
            wanted += sum(map(len, self._steady.values()))
            if len(groups) == 2 and len(roots) == 1 and groups[0].get("routes", 0) >= wanted:
                return None
            return f"digests: {roots}"

        eventually(probe, self._lab.report, self._patience_s, interval_s=1.0)

    @property
    def _patience_s(self) -> float:
        return LEARNT_S if self._steady else SHOWN_S

    def usage(self) -> Iterator[tuple[str, float, float]]:
        """Return the resources that the shipping processes use: (log, CPU s, RSS MB)."""
        for pid in workers():
            for role, one in self._instances.items():
                if is_below(pid, one.place):
                    yield role, cpu_s(pid), rss_mb(pid)

    # What happens --------------------------------------------------------------------------------

    def _next_incident(self) -> Callable[[], None]:
        """Return the next of a shuffled round, so that none is left out."""
        if not self._incidents:
            often = [self._reload_truth, self._change_vrps, self._count_on, self._restart_cache]
            self._incidents = [*often * 2, self._kill_a_filter, self._restart_a_route_server]
            self._dice.shuffle(self._incidents)
        return self._incidents.pop()

    def _migrate(self) -> None:
        """One guest: its new host announces, then the old one withdraws."""
        guest = self._dice.choice(GUESTS)
        old = self._where[guest]
        new = self._dice.choice([name for name in ("hv1", "hv2", "hv3") if name != old])
        self._stage.host(new).announces(guest)
        self._stage.host(old).withdraws(guest)
        self._where[guest] = new
        self.counts["migrations"] += 1

    def _reload_truth(self) -> None:
        self._write_truth()
        self.counts["reloads of truth"] += 1

    def _write_truth(self) -> None:
        self._revision += 1
        owners: dict[str, list[str]] = {f"hv{number}": list(GUESTS) for number in range(1, 4)}
        for prefix in CONTESTED:
            owners[self._dice.choice(("hv1", "hv2"))].append(prefix)
        for number, name in enumerate(self._steady):
            owners[name] = [f"10.{number}.0.0/16"]
        self._stage.owners(owners, f"r{self._revision}")

    def _vrps(self, chosen: tuple[str, ...]) -> list[Vrp]:
        some = [Vrp(65001, prefix, 32) for prefix in chosen]
        return [*some, Vrp(65002, "198.18.7.0/24", 32)]

    def _change_vrps(self) -> None:
        """Others at both caches."""
        chosen = tuple(self._dice.sample(FOREIGN, 3))
        for cache in self._caches:
            cache.serves(self._vrps(chosen))
        self._chosen = chosen
        self.counts["changes of VRPs"] += 1

    def _count_on(self) -> None:
        """One cache has a new serial, or none, for the same VRPs."""
        cache = self._dice.choice(self._caches)
        cache.serves(self._vrps(self._chosen))
        self.counts["repetitions of a cache"] += 1

    def _restart_cache(self) -> None:
        """One cache dies and comes back: another session, the same VRPs."""
        cache = self._dice.choice(self._caches)
        cache.dies()
        cache.starts()
        self.counts["restarts of a cache"] += 1

    def _kill_a_filter(self) -> None:
        self._dice.choice(list(self._instances.values())).filter_restarts()
        self.counts["restarts of a filter"] += 1

    def _restart_a_route_server(self) -> None:
        server = self._dice.choice(list(self._instances.values()))
        server.dies()
        server.starts()
        self.counts["restarts of a route server"] += 1

    # What is seen --------------------------------------------------------------------------------

    def _check(self) -> None:
        self.counts["looks at `fleet diff`"] += 1
        found = self._fleet("diff")
        now = time.monotonic()
        status = self._fleet("status")
        if len({(one["truth"], one.get("vrps")) for one in status if not one["is_silent"]}) > 1:
            self._other_data_until = now + TOLD_S
            self.counts["looks at which data were not the same"] += 1
        if now < self._other_data_until and all(one["cause"] in DATA_CAUSES for one in found):
            self.counts["looks with differences of data"] += bool(found)
            return
        if found:
            Console().print("a false difference:", found[:3], status)
        self.false += found

    def _fleet(self, what: str) -> list[dict[str, Any]]:
        reader = ["--fleet", FLEET, "--database", self._server.url("auditor"), "--json"]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            rsfilter(["fleet", what, *reader])
        return [json.loads(line) for line in out.getvalue().splitlines()]


def report(churn: FleetChurn, minutes: float) -> Table:
    """Figures."""
    title = f"{minutes:g} minutes: {len(churn.false)} false differences"
    table = Table("what", "count", title=title)
    for what, count in sorted(churn.counts.items()):
        table.add_row(what, str(count))
    table.add_row("a real difference was named after", f"{churn.named_after:.0f} s")
    for role, cpu, rss in churn.usage():
        table.add_row(f"shipping process of {role} since its start", f"{cpu:.1f} s, {rss:.0f} MB")
    return table


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--routes", type=int, default=0, help="of guests that stay")
    parser.add_argument("--pause", type=float, default=INCIDENT_S, help="seconds; of incidents")
    arguments = parser.parse_args()
    with Lab() as lab, database("rs1", "rs2") as server:
        churn = FleetChurn(lab, server, arguments.seed, arguments.routes, arguments.pause)
        began = time.monotonic()
        churn.starts()
        Console().print(f"both agree after {time.monotonic() - began:.0f} s")
        churn.run(arguments.minutes * 60)
        churn.ends()
        Console().print(report(churn, arguments.minutes))
    return 1 if churn.false else 0


if __name__ == "__main__":
    sys.exit(main())
