"""Soak test of all programs at once, for long: `make soak MINUTES=20`.

    python tests/system/soak.py [--minutes 20] [--seed 1]

A storm (`storm`), and in it incidents: a host shuts down or is killed, the sessions of a BIRD
router flap, an FRR router is killed, caches are killed and start again; in the first half of the
time the filter is killed now and then, and ExaBGP once. Every minute all is left alone until each
router has exactly what it should. The router that does not flap must never have missed a stable
route of a host that does not, and no router may ever have had a hijack. In the end `audit verify`.

Prints the resources that the filter and ExaBGP use, every five minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.core import Lab
from lab.probe import Probe
from lab.speaker import Speaker
from lab.usage import cpu_s, descriptors, rss_mb
from lab.waiting import eventually
from rich.console import Console
from rich.table import Table
from support.storm import HOSTS, Storm, counts

FLAPPING_HOST = HOSTS[-1]
CALM_S = 60.0
"""Seconds between two comparisons with the oracle."""

SAMPLE_S = 300.0

INCIDENT_S = 8.0
"""Longest outage in seconds; longer than the grace of a cache, and than a host needs to come
back."""


class Sample(NamedTuple):
    """Resources that a program uses at one time."""

    minute: float
    program: str
    pid: int
    rss_mb: float
    descriptors: int
    cpu_s: float


class Soak:
    """The storm and its incidents."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.storm = Storm(lab, seed, "stayrtr", refresh=5)
        self.storm.route_server.tolerated.append("RTR cache .* (is not answering|is now in use)")
        self.steady = Probe(self.storm.site.leaf2)
        """A router that is left alone."""
        self.samples: list[Sample] = []
        self.calms = 0
        self._undo: dict[str, tuple[float, Callable[[], None]]] = {}
        """Incidents under way: when and how each ends."""
        self._kills = True

    def run(self, seconds: float) -> None:
        """AssertionError when something is not as it must be."""
        storm, dice = self.storm, self.storm.dice
        storm.starts()
        start, began = storm.probe.moment(), time.monotonic()
        calm_at = sample_at = began
        while (now := time.monotonic()) < began + seconds:
            self._kills = now < began + seconds / 2
            if now >= calm_at:
                self._calm()
                calm_at = now + CALM_S
                if now >= sample_at:
                    self._sample((now - began) / 60)
                    sample_at += SAMPLE_S
            storm.steps(dice.randint(0, 3))
            if dice.random() < 0.05:
                self._incident()
            self._end_incidents(now)
            time.sleep(dice.random() * 0.5)
        self._calm()
        self._sample(seconds / 60)
        steady = [prefix for prefix, asn in storm.stable.items() if asn != FLAPPING_HOST]
        self.steady.never_missing(steady, start)
        storm.no_hijack(start)
        self.steady.path_ids_keep(start)
        storm.route_server.rsfilter("audit", "verify", "--directory", "audit")

    # Incidents ---------------------------------------------------------------------------------

    def _incident(self) -> None:
        incidents: list[tuple[str, Callable[[], Iterator[None]]]] = [
            ("host", self._host_shuts_down),
            ("host", self._host_dies),
            ("leaf1", self._router_flaps),
            ("leaf3", self._router_dies),
            ("cache1", lambda: self._cache_dies(0)),
            ("cache2", lambda: self._cache_dies(1)),
        ]
        if self._kills:
            incidents.append(("filter", self._filter_dies))
            if not self.storm.counts.get("deaths of ExaBGP"):
                incidents.append(("exabgp", self._exabgp_dies))
        where, incident = self.storm.dice.choice(incidents)
        if where in self._undo or (where == "filter" and "exabgp" in self._undo):
            return
        lasting = ExitStack()
        lasting.enter_context(contextmanager(incident)())
        until = time.monotonic() + self.storm.dice.random() * INCIDENT_S
        self._undo[where] = (until, lasting.close)

    def _end_incidents(self, now: float) -> None:
        for where, (until, undo) in list(self._undo.items()):
            if now >= until:
                del self._undo[where]
                undo()

    def _count(self, what: str) -> None:
        self.storm.counts[what] = self.storm.counts.get(what, 0) + 1

    def _host_shuts_down(self) -> Iterator[None]:
        self._count("shutdowns of a host")
        host = self.storm.site.hosts[FLAPPING_HOST]
        self.storm.absent.add(FLAPPING_HOST)
        host.shuts_down()
        yield
        host.comes_back()
        self.storm.absent.clear()

    def _host_dies(self) -> Iterator[None]:
        self._count("deaths of a host")
        host = self.storm.site.hosts[FLAPPING_HOST]
        self.storm.absent.add(FLAPPING_HOST)
        yield from self._dies(host)
        self.storm.absent.clear()

    def _router_flaps(self) -> Iterator[None]:
        self._count("flaps of a router")
        router = self.storm.site.leaf1
        router.shuts_down()
        yield
        router.comes_back()

    def _router_dies(self) -> Iterator[None]:
        self._count("deaths of a router")
        yield from self._dies(self.storm.site.leaf3)

    def _cache_dies(self, number: int) -> Iterator[None]:
        self._count("deaths of a cache")
        cache = self.storm.site.caches[number]
        cache.dies()
        yield
        cache.starts()

    def _filter_dies(self) -> Iterator[None]:
        self._count("deaths of the filter")
        self.storm.kill()
        yield

    def _exabgp_dies(self) -> Iterator[None]:
        self._count("deaths of ExaBGP")
        yield from self._dies(self.storm.route_server)

    def _dies(self, daemon: Speaker) -> Iterator[None]:
        daemon.dies()
        yield
        daemon.starts()

    # What should be ----------------------------------------------------------------------------

    def _calm(self) -> None:
        """End what is under way, wait, and compare."""
        self._end_incidents(float("inf"))
        self.storm.settles()
        self.calms += 1

    def _sample(self, minute: float) -> None:
        for program, pid in self._pids().items():
            self.samples.append(
                Sample(minute, program, pid, rss_mb(pid), descriptors(pid), cpu_s(pid))
            )

    def _pids(self) -> dict[str, int]:
        """The programs that are under test."""
        found: dict[str, int] = {}
        lab, configuration = self.storm.lab, self.storm.route_server.configuration

        def probe() -> str | None:
            for program, words in (
                ("rsfilter", f"rsfilter run -c {configuration}"),
                ("ExaBGP", "exabgp server exabgp.conf"),
            ):
                pids = lab.find(words)
                if len(pids) != 1:
                    return f"{program} runs {len(pids)} times"
                found[program] = pids[0]
            return None

        eventually(probe, lab.report)
        return found


def report(soak: Soak) -> Table:
    """Resources that the programs used."""
    title = f"{soak.calms} times every router had exactly what it should"
    table = Table("minute", "program", "PID", "RSS MB", "descriptors", "CPU s", title=title)
    for sample in soak.samples:
        table.add_row(
            f"{sample.minute:.1f}",
            sample.program,
            str(sample.pid),
            f"{sample.rss_mb:.1f}",
            str(sample.descriptors),
            f"{sample.cpu_s:.1f}",
        )
    return table


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with Lab() as lab:
        soak = Soak(lab, arguments.seed)
        soak.run(arguments.minutes * 60)
        Console().print(report(soak))
        Console().print(counts(soak.storm))
    return 0


if __name__ == "__main__":
    sys.exit(main())
