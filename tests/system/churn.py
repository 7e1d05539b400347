"""Program that ExaBGP runs in tests/system/test_churn.py: the filter under a storm of its own
making.

Three hosts' UPDATEs are made up here, as fast as possible, and go through the real decoder, engine
and egress; ExaBGP, the pipe and the routers are real. After each round it waits until the filter
has nothing left to write, writes the routes that routers should have, and waits for the next round
to begin.

A round ends with a flurry: a host takes a prefix over, withdraws it, and takes it over again while
nothing else changes. Written at once, as it happens, this leaves every router with the other
host's route, whatever the storm did: ExaBGP sends a prefix's changes grouped by their attributes.
Then a third host announces `MARKER`.

    python churn.py RSFILTER.TOML SEED CHANGES [naive]
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.speaker import announce, end_of_rib, line, state

from rsfilter.config.build import load_config
from rsfilter.edge.pipe import CommandWriter, LineReader, private_stdout
from rsfilter.exabgp import encode
from rsfilter.exabgp.router_states import Phase
from rsfilter.pipeline.filter import Filter
from rsfilter.routing.events import DataReplaced
from rsfilter.routing.export import Paths
from rsfilter.routing.model import Prefix, Vrp
from rsfilter.routing.validation import Data, Source
from rsfilter.rpki.vrps import VrpSet

HOSTS = {"198.51.100.1": 65001, "198.51.100.2": 65002, "198.51.100.3": 65003}
PREFIXES = [f"203.0.113.{n}/32" for n in range(4)]
CHANGES_AT_ONCE = 20
"""Routes that one chunk of lines from ExaBGP may carry."""

CONTESTED = PREFIXES[0]
"""The prefix of the flurry."""

MARKER = "203.0.113.9/32"
"""The last change of a round: a router that has it has all that ExaBGP ever sends of the round."""


class NaiveFilter(Filter):
    """Writes each change as it happens: the egress that has to fail this test."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.naively_sent: dict[str, dict[Prefix, Paths]] = {}
        self.naive_lines: list[bytes] = []
        self.unanswered = 0

    def _routing(self, event, now):  # type: ignore[no-untyped-def]
        for change in self.engine.handle(event, now).out:
            for prefix in change.prefixes:
                self._announce_one(change.group, prefix)

    def _announce_one(self, group: str, prefix: Prefix) -> None:
        routers = [state.address for state in self.egress._groups[group]]
        before = dict(self.naively_sent.setdefault(group, {}).get(prefix, ()))
        after = dict(self.engine.routes_out(group).get(prefix, ()))
        self.naively_sent[group][prefix] = tuple(after.items())
        for path_id, attributes in after.items():
            if before.get(path_id) != attributes:
                self.naive_lines += [
                    line for line, _ in encode.announce(routers, path_id, attributes, [prefix])
                ]
        for path_id in before.keys() - after.keys():
            lines = encode.withdraw(routers, path_id, prefix.family, [prefix])
            self.naive_lines += [line for line, _ in lines]

    def line(self, line: bytes, now: float) -> None:
        self.unanswered -= line in (b"done", b"error")
        super().line(line, now)

    def commands(self, now: float) -> list[bytes]:
        lines, self.naive_lines = self.naive_lines, []
        self.unanswered += len(lines)
        return [b"".join(lines)] if lines else []  # in one write: ExaBGP reads it at once


class Churn:
    """The storm."""

    def __init__(self, config: Path, seed: int, *, naive: bool) -> None:
        self.place = config.parent
        self.random = random.Random(seed)
        vrps = VrpSet.of(
            Vrp(Prefix.parse(p), 32, asn) for p in [*PREFIXES, MARKER] for asn in HOSTS.values()
        )
        data = Data(truth=vrps, truth_source=Source.READY)
        self.filter = (NaiveFilter if naive else Filter)(load_config(config), data)
        self.wake = threading.Event()
        self.reader = LineReader(0, self.wake.set)
        self.writer = CommandWriter(private_stdout(), self.wake.set)
        self.reader.start()
        self.writer.start()
        self.filter.data_replaced(DataReplaced(data, "truth", "", None), 0.0)
        for host, asn in HOSTS.items():  # they have come and have announced nothing yet
            for found in (state(host, asn, "up"), *(end_of_rib(host, asn, f) for f in (4, 6))):
                self.filter.line(found.strip(), 0.0)

    def turn(self, wait_s: float = 0.0) -> None:
        """Take the lines that ExaBGP has written, and write what follows."""
        if wait_s and self.wake.wait(wait_s):
            self.wake.clear()
        for received in self.reader.take():
            self.filter.line(received, time.monotonic())
        if self.reader.is_at_end:
            sys.exit(0)
        self.writer.write(self.filter.commands(time.monotonic()))

    def change(self) -> None:
        """One host announces or withdraws one prefix."""
        host = self.random.choice(list(HOSTS))
        prefix = self.random.choice(PREFIXES)
        if self.random.random() < 0.6:
            has_med = self.random.random() < 0.3
            self.announces(host, prefix, med=self.random.randint(0, 3) if has_med else None)
        else:
            self.withdraws(host, prefix)

    def announces(self, host: str, prefix: str, *, med: int | None = None) -> None:
        """A host announces a prefix."""
        update = announce(host, HOSTS[host], [prefix])
        if med is not None:
            update = update.replace(b'"igp"', b'"igp", "med": %d' % med)
        self.filter.line(update.strip(), time.monotonic())

    def withdraws(self, host: str, prefix: str) -> None:
        """A host withdraws a prefix."""
        update = line(
            "update",
            host,
            HOSTS[host],
            '"direction": "receive", "message": { "update": { "withdraw": { "ipv4 unicast": '
            f'[ {{ "nlri": "{prefix}" }} ] }} }} }}',
        )
        self.filter.line(update.strip(), time.monotonic())

    def is_quiet(self) -> bool:
        """Wait until the filter has nothing left to write, and ExaBGP has taken it all."""
        if isinstance(self.filter, NaiveFilter):
            return self.filter.unanswered == 0 and not self.filter.naive_lines
        return all(state.is_idle for state in self.filter.egress.routers.values())

    def round(self, number: int, changes: int) -> None:
        """A storm, a flurry, then silence, then the oracle."""
        for count in range(changes):
            self.change()
            if count % CHANGES_AT_ONCE == 0:
                self.turn()
        self.calms_down()
        self.flurry()
        self.calms_down()
        oracle: dict[str, object] = {
            group: {
                str(prefix): sorted(str(attributes.next_hop) for _, attributes in paths)
                for prefix, paths in self.filter.engine.routes_out(group).items()
            }
            for group in self.filter.engine.ribs_out
        }
        oracle["counters"] = dict(self.filter.egress.counters)
        new = self.place / "oracle.new"
        new.write_text(json.dumps(oracle))
        new.rename(self.place / f"oracle-{number}")

    def flurry(self) -> None:
        """Change a prefix three times in one turn, as in the module's docstring."""
        better, other, third = HOSTS
        for host in (better, third):
            self.withdraws(host, CONTESTED)
        self.withdraws(third, MARKER)
        self.announces(other, CONTESTED)
        self.calms_down()
        self.announces(better, CONTESTED)
        self.withdraws(better, CONTESTED)
        self.announces(better, CONTESTED)
        self.calms_down()
        self.announces(third, MARKER)

    def calms_down(self) -> None:
        """Take turns until nothing is left to write."""
        while not self.is_quiet():
            self.turn(0.1)

    def wait_for(self, name: str) -> None:
        """Goes on serving ExaBGP until a file is there."""
        while not (self.place / name).exists():
            self.turn(0.05)

    def has_settled(self) -> bool:
        """Every router is up and filled."""
        routers = self.filter.egress.routers
        if isinstance(self.filter, NaiveFilter):
            return all(a in self.filter.engine.sessions for a in routers)
        return all(state.phase is Phase.SETTLED for state in routers.values())


def main() -> None:
    """See the module."""
    config, seed, changes, *rest = sys.argv[1:]
    churn = Churn(Path(config), int(seed), naive="naive" in rest)
    while not churn.has_settled():
        churn.turn(0.05)
    number = 0
    while True:
        churn.wait_for(f"go-{number}")
        churn.round(number, int(changes))
        number += 1


if __name__ == "__main__":
    main()
