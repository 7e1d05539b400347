"""`make demo`: rsfilter between real programs, on one screen.

A StayRTR cache, three BIRD hosts (one of them hijacks, one prepends), ExaBGP with rsfilter, a BIRD
and an FRR router. Ends with 0 only if every router has exactly what it should and the audit log
says why the rest is missing.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from pathlib import Path

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table

from lab.audit import Record
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab, LabError
from lab.exabgp import RouteServer, group_of
from lab.frr import FrrRouter
from lab.relay import relayed
from lab.speaker import Speaker
from lab.stayrtr import StayRtr, Vrp
from lab.waiting import DEADLINE_S

WIDTH = 100

AUDIT = Path(".lab/demo/audit")
"""Stays when the demo is over: to be looked at."""

HONEST, HIJACKER, PREPENDER, ABSENT = 65005, 65006, 65007, 65008

GUESTS = {
    4: {asn: f"203.0.113.{asn - 65000}/32" for asn in (HONEST, HIJACKER, PREPENDER, ABSENT)},
    6: {asn: f"2001:db8:{asn - 65000}::1/128" for asn in (HONEST, HIJACKER, PREPENDER, ABSENT)},
}
"""The guest of each AS, by family. AS 65008 has no host here: somebody speaks in its name."""


class Demo:
    """The site of the demo. `patience_s`: how long to wait for each thing that must happen."""

    def __init__(self, lab: Lab, patience_s: float = DEADLINE_S) -> None:
        self.lab = lab
        self._patience_s = patience_s
        self.vrps = [
            Vrp(asn, guest, 32 if family == 4 else 128)
            for family, guests in GUESTS.items()
            for asn, guest in guests.items()
        ]
        self.cache = StayRtr(lab, "cache", 50, self.vrps)
        self.route_server = rs = RouteServer(lab)
        self.hosts = [
            BirdHost(lab, f"hv{n}", 10 + n, asn, [rs.endpoint])
            for n, asn in enumerate((HONEST, HIJACKER, PREPENDER), start=1)
        ]
        self.bird = BirdRouter(lab, "leaf1", 201, 65200, [rs.endpoint], over=4)
        self.frr = FrrRouter(lab, "leaf2", 202, 65200, [rs.endpoint], over=6)
        rs.audit.directory = Path.cwd() / AUDIT
        rs.configure(
            [group_of(host.name, host) for host in self.hosts],
            [group_of("leaves", self.bird, self.frr, port=lab.bgp_port)],
            rtr={"caches": [self.cache.address]},
            audit={"directory": str(rs.audit.directory)},
        )

    def starts(self) -> None:
        """Start everything; returns when every session is up."""
        peers: list[Speaker] = [self.bird, self.frr, *self.hosts]
        self.cache.starts()
        self.route_server.starts()
        for peer in peers:
            peer.starts()
        for peer in peers:
            peer.is_up()

    def plays(self) -> list[Record]:
        """Hosts announce, honestly and not; the audit lines, when all is as it must be."""
        honest, hijacker, prepender = self.hosts
        for family in self.lab.families:
            guests = GUESTS[family]
            honest.announces(guests[HONEST])
            hijacker.announces(guests[HIJACKER], guests[HONEST])
            prepender.announces(guests[PREPENDER])
            prepender.announces(guests[ABSENT], as_path=[PREPENDER, ABSENT])
        accepted = [
            self._judged(GUESTS[family][host.asn], host, "accepted")
            for family in self.lab.families
            for host in self.hosts
        ]
        rejected = [
            self._judged(GUESTS[family][victim], host, "rejected", *reasons)
            for family in self.lab.families
            for victim, host, reasons in (
                (HONEST, hijacker, ["origin_invalid_asn"]),
                (ABSENT, prepender, ["as_path_too_long", "origin_invalid_asn"]),
            )
        ]
        for router in (self.bird, self.frr):
            for family in self.lab.families:
                for host in self.hosts:
                    guest, next_hop = GUESTS[family][host.asn], host.addresses[family]
                    router.has(guest, paths=1, next_hop=next_hop, as_path=[host.asn])
            router.has_exactly(*(record["prefix"] for record in accepted))
        self.lab.no_errors()
        return accepted + rejected

    def _judged(self, prefix: str, host: BirdHost, verdict: str, *reasons: str) -> Record:
        audit = self.route_server.audit
        fields = {"prefix": prefix, "asn": host.asn, "verdict": verdict, "reasons": list(reasons)}
        return audit.has(**fields, deadline_s=self._patience_s)

    # The screen -------------------------------------------------------------------------------

    def screen(self, records: list[Record]) -> Group:
        """What the hosts said and what became of it, from the audit and the routers' tables."""
        return Group(self._judgements(records), self._tables(), self._hints())

    def _judgements(self, records: list[Record]) -> Table:
        table = Table(title="What the hosts announced (from the audit log)", width=WIDTH)
        for column in ("prefix", "host", "AS path", "verdict", "why"):
            table.add_column(column)
        for record in sorted(records, key=lambda record: record["prefix"]):
            colour = "green" if record["verdict"] == "accepted" else "red"
            table.add_row(
                record["prefix"],
                f"{record['host']} AS{record['asn']}",
                record["as_path"],
                f"[{colour}]{record['verdict']}[/]",
                ", ".join(record["reasons"]) or record["state"],
            )
        return table

    def _tables(self) -> Table:
        table = Table(title="What the routers have (from their own tables)", width=WIDTH)
        for column in ("prefix", "next hop", "AS path", "leaf1 (BIRD)", "leaf2 (FRR)"):
            table.add_column(column)
        bird, frr = self.bird.table(), self.frr.table()
        for prefix in sorted(bird.keys() | frr.keys()):
            path = (bird.get(prefix) or frr[prefix])[0]
            table.add_row(
                prefix,
                path.next_hop,
                " ".join(map(str, path.as_path)),
                "yes" if prefix in bird else "no",
                "yes" if prefix in frr else "no",
            )
        return table

    def _hints(self) -> Panel:
        hijacked = GUESTS[4][HONEST]
        return Panel(
            f"audit log   {AUDIT}\n"
            f"ask it      .venv/bin/rsfilter audit query --directory {AUDIT} {hijacked}",
            width=WIDTH,
        )


def wait_for_the_end(demo: Demo, console: Console) -> None:
    """Keep all running until Ctrl-C or SIGTERM."""
    with relayed(demo.lab, demo.route_server.http) as address:
        url = f"--url http://{address}"
        console.print(
            f"Everything keeps running; Ctrl-C ends it. Files: {demo.lab.directory}\n"
            f"  the page           http://{address}/\n"
            f"  why not?           .venv/bin/rsfilter routes {GUESTS[4][HONEST]} {url}\n"
            f"  is all well?       .venv/bin/rsfilter status {url}\n"
            f"  a router's table   birdc -s {demo.bird.place}/bird.ctl show route all\n"
            f"  a host's side      birdc -s {demo.hosts[0].place}/bird.ctl show protocols\n"
            f"  the audit log      .venv/bin/rsfilter audit tail -f --directory {AUDIT}",
            soft_wrap=True,
        )
        signal.pause()


def main() -> int:
    """The demo; its exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stay up until Ctrl-C")
    keep = parser.parse_args().keep
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console = Console(width=WIDTH)
    shutil.rmtree(AUDIT, ignore_errors=True)
    try:
        with Lab() as lab:
            demo = Demo(lab)
            demo.starts()
            console.print(demo.screen(demo.plays()))
            if keep:
                wait_for_the_end(demo, console)
    except KeyboardInterrupt:
        return 0 if keep else 130
    except (AssertionError, LabError) as error:
        console.print("[red]The demo did not go as it must:[/]")
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
