"""Changes that make ExaBGP cheaper: one thing at a time changed in the files of `rsfilter render`.

    python tests/bench/tuning.py [--only speed log] [--routes 20000] [--repeat 5]
                                 [--exabgp PyPy=/somewhere/bin/exabgp ...] [--json FILE]

20 BIRD hosts announce what is theirs, each BIRD router has to end with all of it. Variants take
turns with the default that they are compared with, and medians are printed: CPU seconds by the
operating system's accounts, and routes per second that the last router has. What rsfilter has no
switch for is measured with the null helper in its place, and compared with that. `--exabgp` adds
other interpreters: each is a program `exabgp` in a virtual environment of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from ctypes.util import find_library
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.core import Lab
from lab.exabgp import RouteServer
from lab.usage import cpu_s
from lab.warden import descendants

from bench import results
from bench.compare import Load, Site
from bench.results import Results

IDLE_S = 30.0
"""Seconds for which an idle loop is measured: 1 % of a core are 30 ticks of the operating system's
accounts."""

Alter = Callable[[str], str]

NULL_HELPER = [sys.executable, str(Path(__file__).with_name("null_helper.py"))]


class Base(NamedTuple):
    """The default with which a variant is compared, under one load."""

    system: str = "rsfilter"
    """`rsfilter`, or `null` for the null helper."""
    routers: int = 1
    family: int = 4
    """Address family of the routes."""


class Variant(NamedTuple):
    """The default, with one thing changed."""

    group: str
    """A variant."""
    name: str
    base: Base = Base()
    environment: Mapping[str, str] = {}
    """Environment for ExaBGP, and so for its helper."""
    altered: Alter = str
    """Changes of exabgp.conf."""
    program: Sequence[str] = ("rsfilter", "exabgp")
    helper: Callable[[Tuned], str] | None = None
    """Command in the helper's place: words for a shell."""
    is_idle_measured: bool = False


class Cost(NamedTuple):
    """Costs of a run, until the last router has everything."""

    exabgp_s: float
    """CPU seconds."""
    helper_s: float
    rate: float
    """Routes per second on the clock."""
    idle: float
    """Share of a core, of ExaBGP afterwards; NaN when it was not measured."""


# What can be changed ---------------------------------------------------------------------------


def put(pattern: str, words: str) -> Alter:
    """Another text where `pattern` is. ValueError when it is nowhere: nothing would be varied."""

    def alter(text: str) -> str:
        text, count = re.subn(pattern, words, text, flags=re.MULTILINE)
        if not count:
            raise ValueError(f"exabgp.conf has no {pattern!r}")
        return text

    return alter


def echo(words: str) -> Alter:
    """Another copy of what is sent to routers."""
    return put(r"send \{.*\}", f"send {{ {words} }}" if words else "")


def null(*arguments: str) -> Callable[[Tuned], str]:
    """The null helper, with arguments."""

    def words(site: Tuned) -> str:
        routers = [router.addresses[4] for router in site.routers]
        return f"exec {shlex.join([*NULL_HELPER, *arguments, *routers])}"

    return words


def batches_of(prefixes: int) -> Callable[[Tuned], str]:
    """rsfilter with other commands."""
    program = (
        "import runpy; from rsfilter.exabgp import encode; "
        f"encode.BATCH = {prefixes}; runpy.run_module('rsfilter', run_name='__main__')"
    )

    def words(site: Tuned) -> str:
        configuration = str(site.server.place / "rsfilter.toml")
        return f"exec {shlex.join([sys.executable, '-c', program, 'run', '-c', configuration])}"

    return words


def in_two_processes(site: Tuned) -> str:
    """The null helper that receives; its output is written by another helper of ExaBGP's, which the
    routers' sessions have for a process."""
    pipe, relay = site.server.place / "commands.pipe", site.server.place / "relay"
    os.mkfifo(pipe)
    # By a descriptor of its own: a shell lets what it does not wait for read /dev/null.
    drain = "exec 3<&0\ncat <&3 >/dev/null &"
    relay.write_text(f"#!/bin/sh\n{drain}\nexec cat {shlex.quote(str(pipe))}\n")
    relay.chmod(0o755)
    routers = put(r"(api router-.*\{\n +processes \[) rsfilter", r"\1 commands")
    process = f'process commands {{\n    run "{relay}";\n    encoder json;\n}}\n'
    before = put(r"(?=^template)", process)
    site.server.altered = lambda text: before(routers(text))
    # ExaBGP takes a closed stdout for the end of its helper.
    return f"{null()(site)} 3>&1 > {shlex.quote(str(pipe))}"


NULL = Base("null")
FOUR = Base(routers=4)
NULL_FOUR = Base("null", 4)

SPEEDS = {"1.0": "1.0, ExaBGP's own default", "0.5": "0.5", "0.02": "0.02"}

ALLOCATORS = [name for name in map(find_library, ("jemalloc", "mimalloc")) if name]
"""Allocators that are installed (Debian: libjemalloc2, libmimalloc2.0)."""

STOCK = ("rsfilter", "exabgp", "--stock")
"""ExaBGP with nothing replaced."""

VARIANTS = (
    *(
        Variant(
            "speed",
            f"reactor speed {name}",
            environment={"exabgp_reactor_speed": speed},
            is_idle_measured=True,
        )
        for speed, name in SPEEDS.items()
    ),
    *(
        Variant("batch", f"{size} prefixes in a command", base, helper=batches_of(size))
        for base in (Base(), FOUR)
        for size in (50, 100, 200, 600)
    ),
    Variant("batch", "a command for each prefix", NULL, helper=null("--singly")),
    Variant("words", "origin left to ExaBGP", NULL, helper=null("--no-origin")),
    Variant("routers", "a command for each router", NULL_FOUR, helper=null("--apart")),
    *(
        Variant("echo", f"routers: send {{ {words} }}", base, altered=echo(words))
        for base in (Base(), FOUR)
        for words in ("packets; update;", "parsed; consolidate; update;")
    ),
    Variant("echo", "routers: nothing of what is sent", NULL, altered=echo("")),
    Variant(
        "receive",
        "hosts: receive { parsed; consolidate; update; refresh; open; }",
        altered=put(r"(?<=receive \{ parsed; )(?=update)", "consolidate; "),
    ),
    Variant("receive", "compact JSON", environment={"exabgp_api_compact": "true"}),
    Variant("receive", "cached attributes", environment={"exabgp_cache_attributes": "true"}),
    Variant(
        "processes",
        "another process gives the commands",
        NULL,
        helper=in_two_processes,
    ),
    Variant("replies", "no replies to commands", NULL, environment={"exabgp_api_ack": "false"}),
    *(
        Variant("log", f"log: {each} {value}", base, environment={f"exabgp_log_{each}": value})
        for base, each, value in (
            (Base(), "processes", "true"),
            (FOUR, "processes", "true"),
            (Base(), "statistics", "true"),
            (Base(), "level", "WARNING"),
            (Base(), "enable", "false"),
        )
    ),
    Variant("python", "python -O", environment={"PYTHONOPTIMIZE": "1"}),
    *(
        Variant("python", f"{name}, {by}", environment={"LD_PRELOAD": name, "PYTHONMALLOC": malloc})
        for name in ALLOCATORS
        for by, malloc in {"for everything": "malloc", "below Python's own": "pymalloc"}.items()
    ),
    *(
        Variant("speaker", "nothing replaced", base, program=STOCK, is_idle_measured=True)
        for base in (Base(), FOUR, Base(family=6))
    ),
)


def of_interpreter(text: str) -> Variant:
    """NAME=PROGRAM. ValueError otherwise."""
    name, _, program = text.partition("=")
    if not Path(program).is_file():
        raise ValueError(f"{text}: not NAME=PROGRAM, or there is no such program")
    return Variant("interpreter", name, program=(program,))


# How it is measured ----------------------------------------------------------------------------


def measure(variant: Variant, routes: int) -> Cost:
    """One run, in a lab of its own."""
    with Lab() as lab:
        site = Tuned(lab, variant, routes)
        exabgp_s, helper_s, clock_s = site.fills()
        idle = site.idles() if variant.is_idle_measured else float("nan")
        return Cost(exabgp_s, helper_s, routes / clock_s, idle)


class Tuned(Site):
    """A site of `bench.compare`, with one thing changed."""

    def __init__(self, lab: Lab, variant: Variant, routes: int) -> None:
        super().__init__(lab, variant.base.system, Load(routes, *variant.base[1:]))
        assert isinstance(self.rs, RouteServer)
        self.server = rs = self.rs
        settings = [f"{name}={value}" for name, value in variant.environment.items()]
        rs.program = shlex.join(["env", *settings, *variant.program])
        rs.altered = variant.altered
        if variant.helper is not None:
            rs.replaced_by = variant.helper(self)

    def pids(self) -> tuple[list[int], list[int]]:
        """CPU time of ExaBGP, and of the processes that it has started."""
        (exabgp,) = (
            pid
            for pid in self.lab.find("server exabgp.conf")
            if not Path(f"/proc/{pid}/comm").read_text().startswith("sh")
        )
        return [exabgp], descendants(exabgp)

    def idles(self) -> float:
        """Share of a core that ExaBGP needs when nothing happens."""
        (exabgp,), _ = self.pids()
        before, began = cpu_s(exabgp), time.monotonic()
        time.sleep(IDLE_S)
        return (cpu_s(exabgp) - before) / (time.monotonic() - began)


def default(group: str, variants: Sequence[Variant], base: Base) -> Variant:
    """Default as it is shipped, under the load of these variants."""
    is_idle_measured = any(variant.is_idle_measured for variant in variants)
    return Variant(group, "default", base, is_idle_measured=is_idle_measured)


def by_base(variants: Sequence[Variant]) -> Iterator[tuple[Base, list[Variant]]]:
    """Groups of variants that have the same default, with that default first."""
    ordered = sorted(variants, key=lambda variant: variant.base)
    for base, together in groupby(ordered, key=lambda variant: variant.base):
        compared = list(together)
        yield base, [default("", compared, base), *compared]


class Row(NamedTuple):
    """Medians of a variant."""

    routes: int
    routers: int
    family: int
    system: str
    """`rsfilter`, or `null` for the null helper."""
    variant: str
    exabgp_cpu_s: float
    spread_s: float
    """Half of what lies between the cheapest run and the dearest, of ExaBGP's CPU seconds."""
    compared: float
    """ExaBGP's CPU seconds for one of the default."""
    helper_cpu_s: float
    routes_per_s: float
    idle: float | None
    """Share of a core, of ExaBGP when nothing happens; None when that was not measured."""

    @classmethod
    def of(cls, variant: Variant, routes: int, found: Sequence[Cost], of_default: float) -> Row:
        """Return the medians of several runs."""
        cost = Cost(*map(statistics.median, zip(*found, strict=True)))
        seconds = [each.exabgp_s for each in found]
        return cls(
            routes,
            variant.base.routers,
            variant.base.family,
            variant.base.system,
            variant.name,
            cost.exabgp_s,
            (max(seconds) - min(seconds)) / 2,
            cost.exabgp_s / of_default,
            cost.helper_s,
            cost.rate,
            cost.idle if variant.is_idle_measured else None,
        )


def rows(variants: Sequence[Variant], routes: int, repeat: int) -> list[Row]:
    """The whole of it, default by default."""
    found = []
    batches = list(by_base(variants))
    with Progress(transient=True) as progress:
        runs = sum(len(compared) for _, compared in batches)
        task = progress.add_task("measuring", total=runs * repeat)
        for _, compared in batches:
            costs: dict[str, list[Cost]] = {variant.name: [] for variant in compared}
            for _ in range(repeat):
                for variant in compared:
                    costs[variant.name].append(measure(variant, routes))
                    progress.advance(task)
            of_default = statistics.median(cost.exabgp_s for cost in costs["default"])
            found += [Row.of(each, routes, costs[each.name], of_default) for each in compared]
    return found


def table(found: Sequence[Row], repeat: int) -> Table:
    """A variant in each row."""
    shown = Table(
        *("by", "routers", "IPv", Column("", no_wrap=True)),
        *("ExaBGP", "+/-", "compared", "helper", "routes/s", "idle"),
        title=f"until the last router has everything: CPU s, medians of {repeat}",
    )
    for row in found:
        if row.variant == "default":
            shown.add_section()
        shown.add_row(
            row.system,
            str(row.routers),
            str(row.family),
            row.variant,
            f"{row.exabgp_cpu_s:.2f}",
            f"{row.spread_s:.2f}",
            f"{row.compared - 1:+.1%}",
            f"{row.helper_cpu_s:.2f}",
            f"{row.routes_per_s:,.0f}",
            "" if row.idle is None else f"{row.idle:.1%}",
        )
    return shown


def main() -> int:
    """See the module."""
    groups = list(dict.fromkeys(variant.group for variant in VARIANTS))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", choices=groups, default=groups, metavar="GROUP")
    parser.add_argument("--routes", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--exabgp", type=of_interpreter, nargs="*", default=[])
    results.add_option(parser)
    args = parser.parse_args()
    variants = [variant for variant in VARIANTS if variant.group in args.only] + args.exabgp
    measured = rows(variants, args.routes, args.repeat)
    console = Console(width=130)
    console.print(table(measured, args.repeat))
    settings = {"routes": args.routes, "repeat": args.repeat}
    found = Results.of("tuning", (row._asdict() for row in measured), **settings)
    results.show(console, found, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
