"""A site in a storm, and what each router should have: for `torture`, `soak` and their tests.

Routes of six kinds, on four hosts and three routers (`lab.site`):

    stable      announced and valid all the time: no router may ever see anything of them
    guests      move from host to host: the new one announces, later the old one withdraws
    contested   two hosts announce each, and the data decide whose it is: this changes
    revocable   announced all the time, and the data come and go
    flapping    announced and withdrawn
    stolen      a stable route of another host, announced by a hijacker

What is to be done next comes from a seed; when it is done depends on the machine.

The oracle is the rule itself: a route is accepted if the data name its prefix and its host's ASN;
every accepted path goes to a router with ADD-PATH, and else that with the lowest MED, then of the
lowest neighbor (docs/configuration.md).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable
from ipaddress import ip_address
from signal import SIGKILL

from lab.core import Lab, family_of
from lab.exabgp import RouteServer
from lab.probe import Moment, Probe
from lab.router import Router
from lab.site import Site, Source
from lab.stayrtr import Vrp
from lab.story import narrate
from lab.waiting import eventually
from rich.table import Table

HOSTS = (65001, 65002, 65003, 65004)
MEDS = (None, None, 10, 20)
SETTLED_S = 60.0
"""A new process waits up to 10 s for hosts to repeat themselves, a host some seconds to connect."""

WITNESS = "10.99.0.1/32"
"""Prefix of the first host, which announces it at a test's command."""

Hops = dict[str, list[tuple[str, int]]]
"""Table of a router: (next hop, MED) by prefix."""


def pool(number: int, count: int) -> list[str]:
    """Prefixes of both families."""
    four = [f"10.{number}.0.{n}/32" for n in range(1, count + 1)]
    six = [f"2001:db8:{number:x}::{n:x}/128" for n in range(1, count // 2 + 1)]
    return four + six


class Storm:
    """The site, its routes and the dice."""

    def __init__(self, lab: Lab, seed: int, source: Source = "truth", **rtr: object) -> None:
        self.lab = lab
        self.dice = random.Random(seed)
        families = set(lab.families)
        self._pools = {
            name: [prefix for prefix in pool(number, count) if family_of(prefix) in families]
            for name, number, count in (
                ("guests", 20, 8),
                ("contested", 30, 4),
                ("revocable", 40, 4),
                ("flapping", 50, 8),
            )
        }
        self.stable = {
            prefix: asn
            for number, asn in enumerate(HOSTS, 1)
            for prefix in pool(number, 6)
            if family_of(prefix) in families
        }
        self.owners = {prefix: {asn} for prefix, asn in self.stable.items()}
        """The data: whose each prefix is."""
        self.announced: dict[int, dict[str, int | None]] = {asn: {} for asn in HOSTS}
        """Announcements by host: prefix -> MED."""
        self.absent: set[int] = set()
        """Hosts that are not in session."""
        self.counts: dict[str, int] = {}
        self._leaving: list[tuple[str, int]] = []
        """Guests that have moved, and the host that has not withdrawn them yet."""
        self._set_out()
        self.site = Site(lab, source, self.vrps(), HOSTS, rtr=rtr, recorded=False)
        for asn, routes in self.announced.items():
            self.site.hosts[asn].announces(*routes)
        self.probe = Probe(self.site.leaf1, self.site.leaf2)

    @property
    def route_server(self) -> RouteServer:
        """ExaBGP and the filter."""
        return self.site.route_server

    def starts(self) -> None:
        """Start everything; return when every router has what it should."""
        self.site.starts()
        self.settles()

    def _set_out(self) -> None:
        self.owners[WITNESS] = {HOSTS[0]}
        for prefix, asn in self.stable.items():
            self.announced[asn][prefix] = None
        for number, prefix in enumerate(self._pools["guests"]):
            self.owners[prefix] = set(HOSTS)
            self.announced[HOSTS[number % 4]][prefix] = None
        for number, prefix in enumerate(self._pools["contested"]):
            for asn in (HOSTS[number % 4], HOSTS[(number + 1) % 4]):
                self.announced[asn][prefix] = None
            self.owners[prefix] = {HOSTS[number % 4]}
        for number, prefix in enumerate((*self._pools["revocable"], *self._pools["flapping"])):
            self.owners[prefix] = {HOSTS[number % 4]}
            self.announced[HOSTS[number % 4]][prefix] = None

    # What happens ------------------------------------------------------------------------------

    def steps(self, count: int) -> None:
        """Make so many changes, one after the other."""
        for _ in range(count):
            name, change = self.dice.choices(
                [
                    ("moves", self._moves),
                    ("withdraws of who moved", self._leaves),
                    ("other MEDs", self._prefers),
                    ("changes of ownership", self._changes_hands),
                    ("ROAs that come or go", self._revokes),
                    ("flaps of a route", self._flaps),
                    ("hijacks", self._steals),
                ],
                weights=[4, 4, 2, 2, 2, 3, 2],
            )[0]
            change()
            self.counts[name] = self.counts.get(name, 0) + 1

    def _moves(self) -> None:
        prefix = self.dice.choice(self._pools["guests"])
        at = [asn for asn in HOSTS if prefix in self.announced[asn]]
        there = self.dice.choice([asn for asn in HOSTS if asn not in self.absent])
        if there in at:
            return
        self.announce(there, prefix)
        self._leaving += [(prefix, asn) for asn in at]

    def _leaves(self) -> None:
        if self._leaving:
            prefix, asn = self._leaving.pop(self.dice.randrange(len(self._leaving)))
            here = [a for a in HOSTS if prefix in self.announced[a] and a not in self.absent]
            if prefix in self.announced[asn] and here != [asn]:
                self.withdraw(asn, prefix)

    def _prefers(self) -> None:
        prefix = self.dice.choice(self._pools["guests"])
        asn = self.dice.choice([asn for asn in HOSTS if prefix in self.announced[asn]])
        self.announce(asn, prefix, self.dice.choice(MEDS))

    def _changes_hands(self) -> None:
        prefix = self.dice.choice(self._pools["contested"])
        claimants = {asn for asn in HOSTS if prefix in self.announced[asn]}
        self.owners[prefix] = claimants - self.owners[prefix]
        self.site.has_data(self.vrps())

    def _revokes(self) -> None:
        number = self.dice.randrange(len(self._pools["revocable"]))
        prefix, asn = self._pools["revocable"][number], HOSTS[number % 4]
        self.owners[prefix] = set() if self.owners[prefix] else {asn}
        self.site.has_data(self.vrps())

    def _flaps(self) -> None:
        prefix = self.dice.choice(self._pools["flapping"])
        (asn,) = self.owners[prefix]
        if prefix in self.announced[asn]:
            self.withdraw(asn, prefix)
        else:
            self.announce(asn, prefix)

    def _steals(self) -> None:
        prefix, owner = self.dice.choice(list(self.stable.items()))
        thief = self.dice.choice([asn for asn in HOSTS if asn != owner])
        if prefix in self.announced[thief]:
            self.withdraw(thief, prefix)
        else:
            self.announce(thief, prefix)

    def announce(self, asn: int, prefix: str, med: int | None = None) -> None:
        """A host announces a prefix, if it can."""
        if asn in self.absent:
            return
        self.announced[asn][prefix] = med
        self.site.hosts[asn].announces(prefix, med=med)

    def withdraw(self, asn: int, prefix: str) -> None:
        """A host withdraws a prefix, if it can."""
        if asn in self.absent:
            return
        del self.announced[asn][prefix]
        self.site.hosts[asn].withdraws(prefix)

    def kill(self) -> float:
        """kill -9 the filter, as soon as there is one; when that was."""
        found: list[int] = []

        def probe() -> str | None:
            found[:] = self.lab.find(f"rsfilter run -c {self.route_server.configuration}")
            return None if found else "no filter runs"

        eventually(probe, self.lab.report)
        narrate("the filter dies (kill -9)")
        for pid in found:
            os.kill(pid, SIGKILL)
        return time.time()

    # What should be ----------------------------------------------------------------------------

    def vrps(self) -> list[Vrp]:
        return [
            Vrp(asn, prefix, 128 if family_of(prefix) == 6 else 32)
            for prefix, asns in self.owners.items()
            for asn in sorted(asns)
        ]

    def expected(self, router: Router) -> Hops:
        """Return what a router should have when all is quiet."""
        hops: Hops = {}
        for asn in HOSTS:
            if asn in self.absent:
                continue
            for prefix, med in self.announced[asn].items():
                if asn in self.owners[prefix]:
                    hop = self.site.address(asn, family_of(prefix))
                    hops.setdefault(prefix, []).append((hop, med or 0))
        if router.paths == "all":
            return {prefix: sorted(paths) for prefix, paths in hops.items()}
        return {prefix: [min(paths, key=_preference)] for prefix, paths in hops.items()}

    def difference(self, *, of: Iterable[Router] | None = None) -> str | None:
        """Return where a router has something else than it should; None if nowhere."""
        for router in of or self.site.routers:
            has = {
                prefix: sorted((path.next_hop, path.med or 0) for path in paths)
                for prefix, paths in router.table().items()
            }
            should = self.expected(router)
            if has != should:
                wrong = sorted(p for p in has.keys() | should.keys() if has.get(p) != should.get(p))
                shown = [f"{p}: {has.get(p)}, should be {should.get(p)}" for p in wrong[:5]]
                return f"{router.name} is wrong at {len(wrong)} prefixes: {shown}"
        return None

    def settles(self, deadline_s: float = SETTLED_S) -> None:
        """Wait until every router has exactly what it should."""
        eventually(self.difference, self.lab.report, deadline_s)

    def unharmed(self, since: Moment, *, probe: Probe | None = None) -> None:
        """Check that no valid route was ever missing, and that no hijack was ever present."""
        probe = probe or self.probe
        stayed = [*self._pools["guests"], *self._pools["contested"]]
        stayed += [prefix for prefix, asn in self.stable.items() if asn not in self.absent]
        probe.never_missing(stayed, since)
        self.no_hijack(since, probe=probe)

    def no_hijack(self, since: Moment, *, probe: Probe | None = None) -> None:
        """Check that no path of a stable route was ever present that is not its owner's."""
        for owner in HOSTS:
            mine = [prefix for prefix, asn in self.stable.items() if asn == owner]
            for thief in HOSTS:
                if thief != owner:
                    (probe or self.probe).never_had(mine, since, asn=thief)

    def untouched(self, since: Moment) -> None:
        """Check that no router has received a stable route again."""
        seen = [c for c in self.probe.changes(since) if c.place.prefix in self.stable]
        assert not seen, f"{len(seen)} changes of stable routes: {seen[:5]}\n{self.lab.report()}"


def counts(storm: Storm) -> Table:
    """Events, counted by name."""
    table = Table("what happened", "times")
    for name, count in sorted(storm.counts.items()):
        table.add_row(name, str(count))
    table.add_row("changes that two routers saw", str(len(storm.probe.changes())))
    return table


def _preference(path: tuple[str, int]) -> tuple[int, int]:
    hop, med = path
    return med, int(ip_address(hop))
