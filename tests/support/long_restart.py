"""A restart of rsfilter whose one host has very many routes: pipeline, host and ExaBGP on a virtual
clock, and the cost of every step.

ExaBGP obeys at once and replies at once, so that the order of steps is always the same.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from fuzz import site as lines
from support.config_sample import configuration

from rsfilter.config.build import parse_config
from rsfilter.pipeline.inputs import Input, Lines, Moment, TruthRead
from rsfilter.pipeline.outputs import Outputs
from rsfilter.pipeline.pipeline import Pipeline
from rsfilter.routing.model import IPV4, Prefix
from rsfilter.rpki.truth import parse_truth

ROUTER, ROUTER_ASN = "192.0.2.10", 65200
HOST, OTHER, ASN = "198.51.100.1", "198.51.100.2", 65001
FAMILY = "ipv4 unicast"
TRUTH = b'{"roas": [{"prefix": "10.0.0.0/8", "maxLength": 32, "asn": 65001}]}'

START = 1000.0
TURN_S = 0.001
AWAY_S = 3.0
"""Seconds until the host comes back after a restart of its session."""

HOST_KINDS = ("marks", "silent", "mute", "none")
"""Hosts by route refresh. marks: it answers, with RFC 7313. silent: it answers, without. mute: it
offers route refresh and does not answer. none: it does not offer it."""

Meter = Callable[[Callable[[], Outputs]], tuple[Outputs, float]]
"""Runs a step, and measures it."""


class LongRestart:
    """A new process, behind an ExaBGP whose router has all routes of the host."""

    def __init__(
        self,
        count: int,
        kind: str,
        meter: Meter,
        *,
        per_update: int = 500,
        left_out: int = 0,
        is_other_up: bool = False,
        age_s: int = 1000,
        stale_time: int = 0,
        turn: Callable[[Sequence[bytes]], Iterable[bytes]] = lambda waiting: waiting,
    ) -> None:
        """`left_out`: the first routes that the host does not repeat. `is_other_up`: so is another
        host, which has no routes and does not answer. `age_s`: of ExaBGP. `turn`: chooses the lines
        of a turn."""
        config = parse_config(
            configuration(max_prefixes=count, stale_time=stale_time), Path("/site/rsfilter.toml")
        )
        self.pipeline = Pipeline(config)
        self.kind = kind
        self.prefixes = [str(Prefix(IPV4, (10 << 24) + number, 32)) for number in range(count)]
        self.left_out = left_out
        self.ends_first = False
        """The host sends End-of-RIB before its routes."""
        self.now = START
        self.output: deque[bytes] = deque()
        self.costs: list[float] = []
        """Cost of each step."""
        self.commands: list[str] = []
        self._meter = meter
        self._per_update = per_update
        self._age_s = age_s
        self._turn = turn
        self._others = [OTHER] if is_other_up else []
        self._due: list[tuple[float, list[bytes]]] = []
        self.apply(Lines([]))
        self.apply(TruthRead(parse_truth(TRUTH, "truth.json", START), TRUTH, "truth.json", START))

    @property
    def longest(self) -> float:
        """Cost of the most expensive step so far."""
        return max(self.costs)

    @property
    def at_router(self) -> list[str]:
        """Prefixes that the router has, as the filter knows it."""
        (state,) = self.pipeline.filter.egress.routers.values()
        return sorted(map(str, state.announced))

    def run(self, seconds: float = 300.0, *, until: Callable[[], bool] = lambda: False) -> None:
        """Take steps until nothing more happens, or the time is over, or something is true."""
        end = self.now + seconds
        while not until():
            for at, due in list(self._due):
                if at <= self.now:
                    self._due.remove((at, due))
                    self.output += due
            if self.output:
                self.now += TURN_S
                self._take()
                continue
            times = [at for at, _ in self._due]
            if (timer := self.pipeline.next_timer()) is not None:
                times.append(timer)
            if not times or min(times) > end:
                return
            self.now = max(self.now + TURN_S, min(times))
            if min((at for at, _ in self._due), default=end) > self.now:
                self.apply(Lines([]))

    def host_down(self, reason: str = "closed") -> None:
        """The host's session ends, and is back later."""
        self.output.append(lines.state(HOST, ASN, "down", reason))
        self._due = [(self.now + AWAY_S, self.host_up())]

    def withdraw(self, prefix: str) -> None:
        """The host withdraws a prefix."""
        self.output.append(lines.withdraw(HOST, ASN, [prefix]))
        self.prefixes.remove(prefix)

    def host_up(self) -> list[bytes]:
        """Return what the host's session begins with: its whole table."""
        table, end = self._table_lines(), lines.end_of_rib(HOST, ASN, FAMILY)
        return [
            lines.opened(HOST, ASN, ["ipv4/unicast"], [], refresh=self.kind != "none"),
            lines.state(HOST, ASN, "up"),
            *([end, *table] if self.ends_first else [*table, end]),
        ]

    def apply(self, what: Input) -> None:
        """Take a step."""
        moment = Moment(self.now, self.now)
        outputs, cost = self._meter(lambda: self.pipeline.apply(what, moment))
        self.costs.append(cost)
        for command in outputs.commands:
            self._obey(command.decode().strip())

    def _take(self) -> None:
        """Take a turn of lines."""
        turn = self._turn(list(islice(self.output, 500)))
        self.apply(Lines(turn))
        for _ in turn:
            self.output.popleft()

    def _table_lines(self) -> list[bytes]:
        """Return the UPDATEs with everything that the host repeats."""
        rest, size = self.prefixes[self.left_out :], self._per_update
        return [lines.update(HOST, ASN, rest[at : at + size]) for at in range(0, len(rest), size)]

    def _obey(self, command: str) -> None:
        self.commands.append(command)
        match command.split():
            case ["reset"]:
                return
            case ["version"] | ["system", "version"]:
                self.output.append(b"exabgp 5.0.15")
            case ["show", "neighbor", _]:
                self.output.append(self._neighbors())
            case ["show", *_]:
                self.output += [
                    f"{ROUTER} {FAMILY} {p} next-hop {HOST}".encode() for p in self.prefixes
                ]
        self.output.append(b"done")
        match command.split():
            case ["neighbor", host, "announce", "route-refresh", *_] if host == HOST:
                self._repeat()
            case ["neighbor", host, "teardown", _] if host == HOST:
                self.host_down("notification sent (6,4)")
            case ["neighbor", _, "announce", "eor", *_]:
                self.output.append(lines.end_of_rib(ROUTER, ROUTER_ASN, FAMILY, direction="send"))

    def _repeat(self) -> None:
        """Answer a route refresh."""
        marks = [lines.refresh(HOST, ASN, mark) for mark in ("begin", "end")]
        if self.kind == "marks":
            self.output += [marks[0], *self._table_lines(), marks[1]]
        elif self.kind == "silent":
            self.output += self._table_lines()

    def _neighbors(self) -> bytes:
        sessions = [(HOST, ASN, self.kind != "none"), (ROUTER, ROUTER_ASN, True)]
        sessions += [(other, ASN, True) for other in self._others]
        answer = []
        for address, asn, offers_refresh in sessions:
            side = {
                "capabilities": {"route-refresh": offers_refresh},
                "families": {FAMILY: True},
                "add-path": {FAMILY: False},
            }
            peer = {"address": address, "as": asn, **side}
            local = {"address": "192.0.2.100", "as": 65100, **side}
            session = {"duration": self._age_s, "fsm": "ESTABLISHED"}
            answer.append({**session, "local": local, "peer": peer})
        return json.dumps(answer).encode()
