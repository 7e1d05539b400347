"""Costs of a fleet for the filter itself, with its database there, slow, stuck and away.

Five filters live at the same time and get the same changes in turns, so that whatever else the
machine does strikes all of them: CPU of each filter's own threads, and the time from a line to its
command. Then they do it again, and count their calls of functions, which do not depend on the
machine. At last they do it in Valgrind, which counts instructions: all, those from a line to its
command, and those for a report of the shipping process. Shipping processes are not counted.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from lab.postgresql import PostgreSql, slow_fsync, temporary
from rich.console import Console
from rich.table import Table
from support.config_sample import configuration
from support.fleet_samples import FLEET, database
from support.flood_scenarios import environment
from support.speaker import Speaker, announce, state, withdraw
from support.valgrind import CALLGRIND, of_object, total

HOST, ROUTER = ("198.51.100.1", 65001), "192.0.2.10"
PREFIXES = [f"203.0.{112 + n // 256}.{n % 256}/32" for n in range(2000)]
"""Prefixes of the host, but for a tenth."""

SLOW_MS = 500
"""Milliseconds of each fsync of the database that is slow."""

WARM_S = 5.0
"""Seconds until the shipping processes have loaded, and one has met its fate."""

SUPPORT = Path(__file__).parents[1] / "support"


class TimedSpeaker(Speaker):
    """Knows when the last change came."""

    def __init__(self, config: Path, routers: dict[str, int]) -> None:
        self.changed = threading.Event()
        self.changed_at = 0.0
        super().__init__(config, routers)

    def _carry_out(self, text: str) -> None:
        if text.startswith("neighbor ") and " eor " not in text:
            self.changed_at = time.perf_counter()
            super()._carry_out(text)
            self.changed.set()
        else:
            super()._carry_out(text)

    def follow(self, line: bytes) -> float:
        """Write a line, and wait for the command that follows; seconds between the two."""
        self.changed.clear()
        began = time.perf_counter()
        self.write(line)
        assert self.changed.wait(120), "no command"
        return self.changed_at - began


class Calls(NamedTuple):
    """Calls of functions."""

    total: int
    fleet: int
    """Calls of its own functions."""


class MeteredSpeaker(TimedSpeaker):
    """Its filter runs in a program that counts, and that answers through a pipe."""

    def __init__(self, config: Path, routers: dict[str, int]) -> None:
        self._pipe = config.parent / "pipe"
        for path in (self._pipe, Path(f"{self._pipe}.out")):
            os.mkfifo(path)
        self.PROGRAM = self._program(config.parent)
        super().__init__(config, routers)

    def _program(self, place: Path) -> Sequence[str]:
        raise NotImplementedError

    def _query_counter(self) -> str:
        self._pipe.write_text("?\n")
        return Path(f"{self._pipe}.out").read_text()


class CountedSpeaker(MeteredSpeaker):
    """Its filter counts its calls."""

    def _program(self, place: Path) -> Sequence[str]:
        return sys.executable, str(SUPPORT / "call_counter.py"), str(self._pipe)

    def calls(self) -> Calls:
        """Return the counts so far."""
        return Calls(*map(int, self._query_counter().split()))


class Work(NamedTuple):
    """Instructions for the changes."""

    instructions: int
    """All but OpenSSL's."""
    of_the_loop: int
    """Instructions of the loop's thread."""
    turns: dict[str, int]
    """Turns of the loop from a line to its command, and how often each number of them occurred."""
    reports: int
    """Reports of the shipping process."""


class ValgrindSpeaker(MeteredSpeaker):
    """Its filter runs in callgrind. Its shipping process does not."""

    MODE = "all"
    """One of those of `support.instruction_counter`."""

    def _program(self, place: Path) -> Sequence[str]:
        self._profile = place / "profile"
        wanted = ["--instr-atstart=no", "--separate-threads=yes"]
        if self.MODE != "all":
            wanted.append("--collect-atstart=no")
        counter = [str(SUPPORT / "instruction_counter.py"), str(self._pipe), self.MODE]
        file = f"--callgrind-out-file={self._profile}"
        return *CALLGRIND, *wanted, file, sys.executable, *counter

    def begin(self) -> None:
        """Count from now on."""
        self._query_counter()

    def finish(self) -> None:
        """Count no longer."""
        self._counted = json.loads(self._query_counter())

    def work(self) -> Work:
        """End, and return what was counted."""
        self.ends(600)
        found = {
            path.name: total(path) - of_object(path, "libcrypto")
            for path in self._profile.parent.glob("profile-*")
        }
        return Work(sum(found.values()), found["profile-01"], **self._counted)


class WaySpeaker(ValgrindSpeaker):
    """Counts from a line to its command."""

    MODE = "way"


class ReportSpeaker(ValgrindSpeaker):
    """Counts while a report of the shipping process is taken."""

    MODE = "report"


class Databases(NamedTuple):
    """URLs, by the state of the database; None: no fleet."""

    urls: dict[str, str | None]
    stuck: PostgreSql


@contextmanager
def databases() -> Iterator[Databases]:
    """A database in each state, but that the one that will be stuck still works."""
    place = temporary()
    variables, delay = slow_fsync(place)
    with ExitStack() as stack:
        good = stack.enter_context(database("rs1"))
        stuck = stack.enter_context(database("rs1"))
        with environment(variables):
            slow = stack.enter_context(database("rs1"))
        delay.write_text(str(SLOW_MS))
        yield Databases(
            {
                "none": None,
                "there": good.url("rs1"),
                "slow": slow.url("rs1"),
                "stuck": stuck.url("rs1"),
                "away": "postgresql://rs1@/r?host=/nowhere",
            },
            stuck,
        )
        delay.write_text("0")


def configure(place: Path, url: str | None) -> Path:
    """The files of a filter."""
    place.mkdir(parents=True)
    truth = {"hosts": [{"name": "hv1", "asn": 65001, "prefixes": ["203.0.112.0/21"]}]}
    (place / "truth.json").write_text(json.dumps(truth))
    fleet = f'[fleet]\nname = "{FLEET}"\ndatabase = "{url}"\n' if url else ""
    (place / "rsfilter.toml").write_text(configuration(max_prefixes=10_000) + fleet)
    return place / "rsfilter.toml"


def begin(speaker: Speaker) -> None:
    """Bring the sessions up, and wait until the filter is at work."""
    speaker.write(state(ROUTER, 65200, "up") + state(*HOST, "up"))
    speaker.write(announce(*HOST, PREFIXES[:100]))
    speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 100, 600)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process' own threads so far, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


# All at once -------------------------------------------------------------------------------------

BLOCKS, IN_BLOCK = 20, 100
"""Blocks of changes that each filter gets, one change at a time."""


class Costs(NamedTuple):
    """Costs of the changes for one filter."""

    cpu_us: list[float]
    """CPU of a change, by block."""
    delays_us: list[float]
    """Time from a line to its command, by change."""


@contextmanager
def together(
    place: Path, found: Databases, kind: type[TimedSpeaker]
) -> Iterator[dict[str, TimedSpeaker]]:
    """Yield a filter for each state of the database, once all of them work in it."""
    with ExitStack() as stack:
        speakers = {
            name: stack.enter_context(kind(configure(place / name, url), {ROUTER: 65200}))
            for name, url in found.urls.items()
        }
        for speaker in speakers.values():
            begin(speaker)
        time.sleep(WARM_S)
        found.stuck.freeze()
        time.sleep(WARM_S)
        yield speakers
        found.stuck.thaw()


def side_by_side(place: Path, found: Databases) -> dict[str, Costs]:
    """Measure what the changes cost each filter."""
    costs = {name: Costs([], []) for name in found.urls}
    with together(place, found, TimedSpeaker) as speakers:
        for block in range(BLOCKS):
            before = {name: cpu_s(speaker.process.pid) for name, speaker in speakers.items()}
            for name, delay in turns(speakers, block):
                costs[name].delays_us.append(delay * 1e6)
            for name, speaker in speakers.items():
                used = cpu_s(speaker.process.pid) - before[name]
                costs[name].cpu_us.append(used / IN_BLOCK * 1e6)
    return costs


def turns(speakers: Mapping[str, TimedSpeaker], block: int) -> Iterator[tuple[str, float]]:
    """Give all filters the changes of a block, each in another order; yield the delay of each."""
    dice = random.Random(block)
    for number in range(block * IN_BLOCK, (block + 1) * IN_BLOCK):
        for name in dice.sample(list(speakers), len(speakers)):
            yield name, speakers[name].follow(change(number))


def counted(place: Path, found: Databases) -> dict[str, Calls]:
    """Count the calls of each filter for the changes."""
    with together(place, found, CountedSpeaker) as speakers:
        made = {n: one for n, one in speakers.items() if isinstance(one, CountedSpeaker)}
        before = {name: speaker.calls() for name, speaker in made.items()}
        for block in range(BLOCKS):
            for _ in turns(made, block):
                pass
        after = {name: speaker.calls() for name, speaker in made.items()}
    return {
        name: Calls(after[name].total - before[name].total, after[name].fleet - before[name].fleet)
        for name in made
    }


COUNTED = 60
"""Changes for which instructions are counted: Valgrind takes 50 times as long."""

PACE_S = 0.5
"""Seconds between two changes at least, so that a shipping process has something to report."""


def weighed(place: Path, found: Databases, kind: type[ValgrindSpeaker]) -> dict[str, Work]:
    """Count the instructions of each filter for some changes, in turns."""
    seed = environment({"PYTHONHASHSEED": "0"})
    with seed, together(place, found, kind) as speakers:
        made = {n: one for n, one in speakers.items() if isinstance(one, ValgrindSpeaker)}
        for speaker in made.values():
            speaker.begin()
        dice = random.Random(1)
        for number in range(COUNTED):
            next_at = time.monotonic() + PACE_S
            for name in dice.sample(list(made), len(made)):
                made[name].follow(change(number))
            time.sleep(max(0.0, next_at - time.monotonic()))
        for speaker in made.values():
            speaker.finish()
        return {name: speaker.work() for name, speaker in made.items()}


def change(number: int) -> bytes:
    """Return the line of a change: prefixes come and go, one by one."""
    return (withdraw if number % 2 else announce)(*HOST, [PREFIXES[200 + number // 2 % 1000]])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def spread(values: Sequence[float]) -> str:
    """Return the median and the range of values, in the same unit."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def table_of(costs: dict[str, Costs]) -> Table:
    """Show the costs beside those of the filter without a fleet."""
    table = Table(title=f"{BLOCKS * IN_BLOCK:,} changes of a route each, in turns")
    for column in ("the database", "CPU us a change", "%", "p50 us", "p99 us", "p50 - none's"):
        table.add_column(column, justify="right")
    plain = costs["none"]
    for name, cost in costs.items():
        blocks = [
            cost.delays_us[start : start + IN_BLOCK]
            for start in range(0, len(cost.delays_us), IN_BLOCK)
        ]
        shares = [(a / b - 1) * 100 for a, b in zip(cost.cpu_us, plain.cpu_us, strict=True)]
        pairs = [a - b for a, b in zip(cost.delays_us, plain.delays_us, strict=True)]
        table.add_row(
            name,
            spread(cost.cpu_us),
            f"{statistics.median(shares):+.1f} ({min(shares):+.0f} to {max(shares):+.0f})",
            spread([percentile(block, 0.5) for block in blocks]),
            spread([percentile(block, 0.99) for block in blocks]),
            f"{statistics.median(pairs):+.0f}",
        )
    return table


def calls_of(counts: dict[str, Calls]) -> Table:
    """Show the calls beside those of the filter without a fleet."""
    table = Table(title="calls of functions in the filter")
    for column in ("the database", "a change", "%", "of the fleet's, a change"):
        table.add_column(column, justify="right")
    changes, plain = BLOCKS * IN_BLOCK, counts["none"].total
    for name, count in counts.items():
        share = f"{(count.total / plain - 1) * 100:+.2f}"
        table.add_row(name, f"{count.total / changes:.1f}", share, f"{count.fleet / changes:.2f}")
    return table


def works_of(works: dict[str, Work], ways: dict[str, Work]) -> Table:
    """Show the instructions beside those of the filter without a fleet."""
    table = Table(title="thousands of instructions of a change, without those of OpenSSL")
    counts = ("all threads", "%", "the loop's", "%", "from line to command", "%")
    for column in ("the database", *counts, "turns", "reports"):
        table.add_column(column, justify="right")
    plain, way = works["none"], ways["none"]
    for name, work in works.items():
        cells = []
        for ours, theirs in (
            (work.instructions, plain.instructions),
            (work.of_the_loop, plain.of_the_loop),
            (ways[name].of_the_loop, way.of_the_loop),
        ):
            cells += [f"{ours / COUNTED / 1e3:,.1f}", f"{(ours / theirs - 1) * 100:+.2f}"]
        numbers = sorted(ways[name].turns.items())
        turns = ", ".join(f"{times} x {number}" for number, times in numbers)
        table.add_row(name, *cells, turns, str(work.reports))
    return table


def bench_filter(console: Console, place: Path) -> None:
    """Print all of it."""
    with databases() as found:
        console.print(table_of(side_by_side(place / "timed", found)))
    with databases() as found:
        console.print(calls_of(counted(place / "counted", found)))
    bench_instructions(console, place)


def bench_instructions(console: Console, place: Path) -> None:
    """Print what Valgrind counts."""
    works = []
    for kind in (ValgrindSpeaker, WaySpeaker):
        with databases() as found:
            works.append(weighed(place / kind.MODE, found, kind))
    console.print(works_of(*works))
    with databases() as found:
        some = found._replace(urls={"there": found.urls["there"]})
        report = weighed(place / "report", some, ReportSpeaker)["there"]
    console.print(f"{report.of_the_loop / max(1, report.reports):,.0f} instructions for a report")
