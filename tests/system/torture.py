"""kill -9 of the filter and of ExaBGP, again and again at any moment of a storm: `make torture`.

    python tests/system/torture.py [--kills 200] [--exabgp-kills 20] [--seed 1]
                                   [--source truth|stayrtr]

After every kill (or two) a witness is withdrawn at once: it leaves the routers when the new process
knows everything and withdraws again. That is the window in which what routers have may be old. Then
every router must have exactly what it should. All along routers must have seen nothing of routes
that nothing happened to, no gap in those that moved, and no hijack.

ExaBGP's limit of five deaths in 64 seconds is off (`patient_exabgp`): a kill every few seconds is
not what it was made for.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.core import SESSION_LOST, Lab
from lab.site import Source
from rich.console import Console
from rich.table import Table
from support.storm import HOSTS, WITNESS, Storm, counts


class Torture:
    """The storm, and a witness in it."""

    def __init__(self, lab: Lab, seed: int, source: Source = "truth", **rtr: object) -> None:
        self.storm = storm = Storm(lab, seed, source, **rtr)
        program = Path(__file__).with_name("patient_exabgp.py")
        storm.route_server.program = shlex.join([sys.executable, str(program), "exabgp"])
        self.windows: dict[str, list[float]] = {}
        """Seconds, by victim, from a kill until nothing old is left at two routers."""
        self.kills = 0

    def run(self, kills: int, exabgp_kills: int = 0) -> None:
        """Kill the filter so many times, then ExaBGP. AssertionError when something is not as it
        must be."""
        storm = self.storm
        storm.starts()
        start = storm.probe.moment()
        while self.kills < kills:
            self._round("rsfilter", self._kill, lambda: None)  # ExaBGP starts it again
        for _ in range(exabgp_kills):
            self._round("ExaBGP", self._kill_exabgp, storm.route_server.starts)
        storm.unharmed(start)
        storm.untouched(start)
        storm.probe.path_ids_keep(start)
        storm.route_server.rsfilter("audit", "verify", "--directory", "audit")
        if exabgp_kills:  # a filter that was writing when ExaBGP died logs it
            storm.route_server.tolerated.append("stdout cannot be written any more")
            for router in storm.site.routers:
                router.tolerated += SESSION_LOST
        storm.lab.no_errors()

    def _round(self, victim: str, kill: Callable[[], float], restart: Callable[[], None]) -> None:
        """A storm, a kill in it, sometimes another while the first is not over."""
        storm, dice = self.storm, self.storm.dice
        storm.announce(HOSTS[0], WITNESS)
        for router in storm.site.routers:
            router.has(WITNESS)
        storm.steps(dice.randint(0, 5))
        time.sleep(dice.choice((0.0, 0.02, 0.1, 0.5)) * dice.random())
        moment = storm.probe.moment()
        killed = kill()
        storm.withdraw(HOSTS[0], WITNESS)
        storm.steps(dice.randint(0, 3))
        restart()
        if dice.random() < 0.3:
            time.sleep(dice.random() * 2.0)
            self._kill()
        storm.steps(dice.randint(0, 3))
        storm.settles()
        left = [c.at for c in storm.probe.withdraws(moment) if c.place.prefix == WITNESS]
        self.windows.setdefault(victim, []).append(max(left) - killed)

    def _kill(self) -> float:
        self.kills += 1
        return self.storm.kill()

    def _kill_exabgp(self) -> float:
        killed = time.time()
        self.storm.route_server.dies()
        return killed


def report(torture: Torture) -> Table:
    """Results, in numbers."""
    table = Table(
        "killed", "windows", "median", "99th percentile", "longest", title=f"{torture.kills} kills"
    )
    windows = sorted(torture.windows)
    for victim, windows in torture.windows.items():
        windows.sort()
        table.add_row(
            victim,
            str(len(windows)),
            f"{statistics.median(windows):.2f} s",
            f"{windows[int(0.99 * (len(windows) - 1))]:.2f} s",
            f"{windows[-1]:.2f} s",
        )
    return table


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--exabgp-kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--source", choices=("truth", "stayrtr"), default="truth")
    arguments = parser.parse_args()
    with Lab() as lab:
        torture = Torture(lab, arguments.seed, arguments.source)
        torture.run(arguments.kills, arguments.exabgp_kills)
        Console().print(report(torture))
        Console().print(counts(torture.storm))
    return 0


if __name__ == "__main__":
    sys.exit(main())
