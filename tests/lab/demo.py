"""`make demo`: two route servers between real programs, and a bad night, on one screen.

Four BIRD hosts announce to two ExaBGP with rsfilter, which judge by a truth file and a StayRTR
cache; a BIRD and an FRR router learn from both. One host hijacks, one forges a path, one that truth
expects never comes, and then a truth file is deployed that has lost a host's guests: the guard
holds them. Ends with 0 only if every router has exactly what it should, before and after, and the
audit logs of both route servers have the reason for each route that is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table

from lab.audit import Record
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab, LabError
from lab.frr import FrrRouter
from lab.relay import PREFERRED_PORT, relayed
from lab.stage import Stage
from lab.stayrtr import StayRtr, Vrp
from lab.waiting import DEADLINE_S, eventually

WIDTH = 100

PLACE = Path(".lab/demo")
"""Directory that stays when the demo is over, with both audit logs."""

HOSTS = {"hv1": 65005, "hv2": 65006, "hv3": 65007, "hv4": 65008, "hv5": 65009}
ABSENT = "hv5"
"""Truth expects it, and it never comes."""

CUSTOMER = {4: "198.51.100.7/32", 6: "2001:db8:c::7/128"}
"""The address of a customer, whose space has a ROA for hv3's AS: truth does not know it."""

OWNERS = {
    name: [f"203.0.113.{asn - 65000}/32", f"2001:db8:{asn - 65000}::1/128"]
    for name, asn in HOSTS.items()
}
OWNERS["hv4"] += ["203.0.113.18/32", "203.0.113.28/32"]
"""The guests by their host, in truth."""

HIJACKED = OWNERS["hv1"][0]

GOOD, BAD = "r41", "r42"
"""The revisions of truth. The second has lost the guests of hv4."""

ABSENT_AFTER_S = 3


class Demo:
    """The site of the demo. `patience_s`: how long to wait for each thing that must happen."""

    def __init__(self, lab: Lab, patience_s: float = DEADLINE_S) -> None:
        self.lab = lab
        self._patience_s = patience_s
        vrps = [Vrp(HOSTS["hv3"], CUSTOMER[4], 32), Vrp(HOSTS["hv3"], CUSTOMER[6], 128)]
        self.cache = StayRtr(lab, "cache", 50, vrps)
        self.stage = stage = Stage(lab, names=("rs1", "rs2"))
        for name, asn in HOSTS.items():
            stage.add_host(BirdHost, name, asn)
        stage.host(ABSENT).is_idle = True
        stage.add_router(BirdRouter, "leaf1", over=4)
        stage.add_router(FrrRouter, "leaf2", over=6)
        for server in stage.route_servers:
            server.audit.directory = Path.cwd() / PLACE / "audit" / server.name
            audit = {"directory": str(server.audit.directory)}
            stage.own_sections[server.name] = {"audit": audit}
        self._owners = {name: self.carried(guests) for name, guests in OWNERS.items()}

    def carried(self, prefixes: list[str]) -> list[str]:
        """Return the prefixes whose family this machine has."""
        return [prefix for prefix in prefixes if 6 in self.lab.families or ":" not in prefix]

    def starts(self, owners: dict[str, list[str]] | None = None) -> None:
        """Start everything; returns when every session is up."""
        self.cache.starts()
        self.stage.owners(owners or self._owners, GOOD)
        self.stage.starts(
            truth={"file": "truth.json", "absent_after": ABSENT_AFTER_S},
            rtr={"caches": [self.cache.address]},
            guard={"min_loss": 2},
        )

    # What happens -----------------------------------------------------------------------------

    def hosts_announce(self) -> list[Record]:
        """Hosts announce, honestly and not; the audit records, when all is as it must be."""
        hosts = self.stage.hosts
        present = {name: guests for name, guests in self._owners.items() if name != ABSENT}
        customers = self.carried(list(CUSTOMER.values()))
        for name, guests in self._owners.items():
            hosts[name].announces(*guests)
        hosts["hv3"].announces(*customers)
        hosts["hv2"].announces(*self._owners["hv1"])
        path = [HOSTS["hv3"], HOSTS[ABSENT]]
        hosts["hv3"].announces(*self._owners[ABSENT], as_path=path)
        accepted = [(guest, name) for name in present for guest in present[name]]
        accepted += [(customer, "hv3") for customer in customers]
        records = [self._judged(*announced, "accepted") for announced in accepted]
        stolen, forged = ["origin_invalid_asn"], ["as_path_too_long", "origin_invalid_asn"]
        records += [self._judged(g, "hv2", "rejected", *stolen) for g in self._owners["hv1"]]
        records += [self._judged(g, "hv3", "rejected", *forged) for g in self._owners[ABSENT]]
        for guest, name in accepted:
            self.stage.all_have(guest, name)
        self._routers_have_exactly(guest for guest, _ in accepted)
        self.lab.no_errors()
        return records

    def _judged(self, prefix: str, name: str, verdict: str, *reasons: str) -> Record:
        """Wait until both route servers have decided so; the record of the first."""
        fields = {"prefix": prefix, "host": name, "verdict": verdict, "reasons": list(reasons)}
        records = [
            server.audit.has(**fields, deadline_s=self._patience_s)
            for server in self.stage.route_servers
        ]
        return records[0]

    def _routers_have_exactly(self, prefixes: Iterator[str]) -> None:
        expected = list(prefixes)
        for router in self.stage:
            router.has_exactly(*expected)

    def host_is_absent(self) -> None:
        """Wait until both route servers show which host never came."""
        for server in self.stage.route_servers:
            server.tolerated.append("absent")
            server.audit.has(event="absent", host=ABSENT, deadline_s=self._patience_s)

    def previews_bad_truth(self) -> str:
        """Write truth without the guests of hv4 beside the one in force; what `impact` prints."""
        server = self.stage.route_server
        shutil.copy(server.truth, server.place / "good.json")
        self.stage.owners(self._owners | {"hv4": []}, BAD, file="bad.json")
        return server.rsfilter("impact", "--truth", "bad.json", code=3)

    def deploys_bad_truth(self) -> None:
        """Deploy it all the same; returns when both guards hold what it would have lost."""
        lost = self._owners["hv4"]
        for server in self.stage.route_servers:
            server.tolerated.append("guard: ")
            shutil.copy(server.place / "bad.json", server.place / "deployed.json")
            (server.place / "deployed.json").rename(server.truth)
        for prefix in lost:
            self._judged(prefix, "hv4", "held", "held_by_guard", "origin_not_found")

        def probe() -> str | None:
            for server in self.stage.route_servers:
                held = server.status()["routes"]["held"]
                if held != len(lost):
                    return f"{server.name} holds {held} routes, not {len(lost)}"
            return None

        eventually(probe, self.lab.report, self._patience_s)
        for prefix in lost:
            self.stage.all_have(prefix, "hv4")
        self.lab.no_errors()

    # The screen -------------------------------------------------------------------------------

    def judgements(self, records: list[Record]) -> RenderableType:
        """Announcements of the hosts, by the audit log of the first route server."""
        table = _table("prefix", "host", "AS path", "verdict", "why")
        records.sort(key=lambda record: (record["host"], record["prefix"]))
        for record in records:
            if ":" in record["prefix"]:
                continue
            colour = "green" if record["verdict"] == "accepted" else "red"
            table.add_row(
                record["prefix"],
                f"{record['host']} AS{record['asn']}",
                record["as_path"],
                f"[{colour}]{record['verdict']}[/]",
                ", ".join(record["reasons"]) or record["state"],
            )
        return Padding(table, (0, 0, 0, 3))

    def tables(self) -> RenderableType:
        """Routes of the routers, by their own tables."""
        bird, frr = self.stage.router("leaf1").table(), self.stage.router("leaf2").table()
        table = _table("prefix", "next hop", "AS path", "leaf1 (BIRD)", "leaf2 (FRR)")
        for prefix in sorted(bird.keys() | frr.keys()):
            if ":" in prefix:
                continue
            path = (bird.get(prefix) or frr[prefix])[0]
            cells = [
                f"{len(found[prefix])} paths" if prefix in found else "no" for found in (bird, frr)
            ]
            table.add_row(prefix, path.next_hop, " ".join(map(str, path.as_path)), *cells)
        return Padding(table, (0, 0, 0, 3))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def play(demo: Demo, console: Console) -> None:
    """Start the site, let everything happen, and show each part when it is true."""
    demo.starts()
    alike = "; IPv6 is alike" if 6 in demo.lab.families else ""
    _heading(
        console, f"Hosts announce, honestly and not (rs1's audit log; rs2 decides so too{alike})"
    )
    console.print(demo.judgements(demo.hosts_announce()))
    demo.host_is_absent()
    _heading(console, f"Truth expects {ABSENT}, which never comes")
    _quote(console, demo, "neighbors", "--state", "absent")
    _heading(console, f"Truth {BAD} has lost the guests of hv4: the preview, exit code 3")
    _quoted(console, demo.previews_bad_truth(), "impact --truth bad.json")
    demo.deploys_bad_truth()
    _heading(console, "It is deployed all the same: the guard holds them, and routers keep them")
    console.print(demo.tables())
    _heading(console, "What a person on call sees, exit code 1")
    _quote(console, demo, "status", "--quiet", code=1)


def _heading(console: Console, text: str) -> None:
    console.print(f"[bold cyan]── {text}[/]", soft_wrap=True)


def _quote(console: Console, demo: Demo, *words: str, code: int = 0) -> None:
    """Show a command and what it prints on the first route server."""
    _quoted(console, demo.stage.route_server.rsfilter(*words, code=code), " ".join(words))


def _quoted(console: Console, text: str, words: str) -> None:
    console.print(f"   $ rsfilter {words}", markup=False, highlight=False)
    for line in text.splitlines():
        console.print(f"   {line}", markup=False, highlight=False, soft_wrap=True)


def wait_for_the_end(demo: Demo, console: Console) -> None:
    """Print what can be watched and tried, and keep all running until Ctrl-C or SIGTERM."""
    with contextlib.ExitStack() as relays:
        addresses = [
            relays.enter_context(relayed(demo.lab, server.http, PREFERRED_PORT + number))
            for number, server in enumerate(demo.stage.route_servers)
        ]
        hints = _hints(demo, [f"http://{address}/" for address in addresses])
        console.print(hints, markup=False, highlight=False, soft_wrap=True)
        signal.pause()


def _hints(demo: Demo, pages: list[str]) -> str:
    stage = demo.stage
    rs1 = stage.route_server
    absent, hv3, leaf1 = (demo.lab.daemons[name].place for name in (ABSENT, "hv3", "leaf1"))
    address = HIJACKED.partition("/")[0]
    return f"""
Everything keeps running until Ctrl-C. The pages: {pages[0]} (rs1), {pages[1]} (rs2).
For the commands, in another terminal:

   export PATH="{Path(sys.executable).parent}:/usr/sbin:$PATH"; cd "{rs1.place}"

Five things to try, with the page open:
1. The missing guest and the hijack: why is a route of {address} rejected, who owns it, since when?
   rsfilter explain {address}; rsfilter audit query {address}
2. The bad truth file: put the good one back, and rs1 holds nothing; rs2 still does.
   rsfilter truth diff good.json bad.json; rsfilter guard show; cp good.json truth.json
3. The missing host comes: its cell turns green, its guest is announced.
   birdc -s {absent}/bird.ctl 'enable "*"'
4. A host dies, and its routes with it; routers have none of them within a second.
   birdc -s {hv3}/bird.ctl down; rsfilter neighbors; birdc -s {leaf1}/bird.ctl show route
5. The filter hangs: the page says so after five seconds, and recovers by itself.
   kill -STOP {rs1.filter_pid()}; sleep 10; kill -CONT {rs1.filter_pid()}"""


@contextlib.contextmanager
def only_demo_here() -> Iterator[None]:
    """Refuse a second demo in this directory: both would write to the same audit logs."""
    PLACE.parent.mkdir(exist_ok=True)
    with PLACE.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("a demo runs in this directory already: end it with Ctrl-C") from None
        yield


def main() -> int:
    """The demo; its exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stay up until Ctrl-C")
    keep = parser.parse_args().keep
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console = Console(width=WIDTH)
    try:
        with only_demo_here(), Lab() as lab:
            shutil.rmtree(PLACE, ignore_errors=True)
            demo = Demo(lab)
            play(demo, console)
            if keep:
                wait_for_the_end(demo, console)
    except KeyboardInterrupt:
        return 0 if keep else 130
    except (AssertionError, LabError) as error:
        console.print("[red]The demo did not go as it must:[/]")
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    log = PLACE / "audit"
    console.print(
        f"\nBoth audit logs stay: .venv/bin/rsfilter audit query --directory {log} {HIJACKED}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
