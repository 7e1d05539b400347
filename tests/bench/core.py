"""The filter alone, without daemons: what a route costs, and a change of data. CPU time.

    python tests/bench/core.py [--routes 100000] [--times 3] [--json FILE]

Each figure is the median of several processes of their own, taken in turns. Lines are those of
ExaBGP 5.0 for UPDATEs of 500 prefixes, whatever the size of the table, and of fewer on request;
every tenth route is another host's and is rejected. ExaBGP's replies are played by the bench and
count as ours.

For comparison: msgspec decoding the same octets, which is the least that any filter has to do, and
a program that one would write in an afternoon (json, netaddr, and a loop over the VRPs), without
tables, routers or an audit log.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path

import msgspec
from netaddr import IPNetwork
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import results
from bench.results import Results
from rsfilter.audit.log import AuditLog
from rsfilter.config.build import load_config
from rsfilter.exabgp.resync import Step
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.filter import Filter
from rsfilter.routing.effects import DataChange
from rsfilter.routing.model import IPV4, Prefix
from rsfilter.rpki.truth import Truth, parse_truth
from rsfilter.rpki.vrps import VrpSet
from rsfilter.service import COLLECTOR

USUAL_HOSTS = 20
FEWEST_HOSTS = 2
MOST_OF_A_HOST = 5_000
"""Routes: with more at once it is a flood, and its changes wait in memory for a summary."""

BLOCK_BITS = 14
"""Each host has a /18 of 10.0.0.0/8: room for its routes and those that it takes from another."""

PER_UPDATE = 500
"""Prefixes."""
SMALL = (1, 10, 50)
"""Prefixes of smaller UPDATEs."""
ROUTER = "192.0.2.10"
MEGABYTE = 1 << 20

CONFIG = """
[route_server]
asn = 65100
router_id = "192.0.2.100"
local_address = "192.0.2.100"

[[hosts]]
name = "hypervisors"
neighbors = ["198.51.100.0/24"]
max_prefixes = 1000000

[[routers]]
name = "leaves"
neighbors = ["192.0.2.10"]
asn = 65200

[truth]
file = "truth.json"

[guard]
min_loss = 1000000000
"""


# ExaBGP's lines --------------------------------------------------------------------------------


def _line(neighbor: str, asn: int, rest: str) -> bytes:
    return (
        '{ "exabgp": "5.0.0", "time": 1795376896.8, "host" : "rs", "pid" : 1, "ppid" : 1, '
        f'"counter": 1, "type": "{"state" if rest.startswith(chr(34) + "state") else "update"}", '
        f'"neighbor": {{ "address": {{ "local": "192.0.2.100", "peer": "{neighbor}" }}, '
        f'"asn": {{ "local": 65100, "peer": {asn} }}, {rest} }} }}'
    ).encode()


def _up(neighbor: str, asn: int) -> bytes:
    return _line(neighbor, asn, '"state": "up"')


def _update(host: int, prefixes: list[str]) -> bytes:
    asn, address = 65001 + host, f"198.51.100.{1 + host}"
    nlri = ", ".join(f'{{ "nlri": "{prefix}" }}' for prefix in prefixes)
    return _line(
        address,
        asn,
        '"direction": "receive", "message": { "update": { "attribute": { "origin": "igp", '
        f'"as-path": {{ "0": {{ "element": "as-sequence", "value": [ {asn} ] }} }}, '
        '"confederation-path": [], "local-preference": 100 }, "announce": { "ipv4 unicast": '
        f'{{ "{address}": [ {nlri} ] }} }} }} }}',
    )


_END_OF_RIB = _line(
    ROUTER,
    65200,
    '"direction": "send", "message": { "eor": { "afi": "ipv4", "safi": "unicast" } }',
)


def hosts_of(routes: int) -> int:
    """Return how many hosts so many routes have: each fills an UPDATE at least."""
    return max(FEWEST_HOSTS, min(USUAL_HOSTS, routes // PER_UPDATE), routes // MOST_OF_A_HOST)


def block(host: int, length: int = 32 - BLOCK_BITS) -> str:
    """Return the prefixes that a host owns, or so many of them."""
    return str(Prefix(IPV4, 10 << 24 | host << BLOCK_BITS, length))


def guest(host: int, number: int) -> str:
    """An address that a host owns."""
    return str(Prefix(IPV4, 10 << 24 | host << BLOCK_BITS | number, 32))


def updates(routes: int, prefixes: int = PER_UPDATE) -> list[bytes]:
    """All hosts announce, so many prefixes at a time; every tenth is the next host's."""
    hosts = hosts_of(routes)
    share = routes // hosts
    found = []
    for host in range(hosts):
        owners = [host if n % 10 else (host + 1) % hosts for n in range(share)]
        texts = [guest(owner, 2 * n + (owner != host)) for n, owner in enumerate(owners)]
        starts = range(0, share, prefixes)
        found += [_update(host, texts[first : first + prefixes]) for first in starts]
    return found


def roa(host: int, prefix: str, last: int = 32) -> dict[str, object]:
    """Entry as a truth has it: `last` is the greatest length."""
    return {"prefix": prefix, "maxLength": last, "asn": 65001 + host}


def truth(roas: Iterable[dict[str, object]]) -> Truth:
    """The truth with these."""
    return parse_truth(json.dumps({"roas": list(roas)}).encode(), "truth.json", 0.0)


class Alone:
    """The filter with its data, its hosts and a router in session."""

    def __init__(self, directory: Path, routes: int, *, audited: bool) -> None:
        self.hosts = hosts_of(routes)
        (directory / "rsfilter.toml").write_text(CONFIG)
        (directory / "truth.json").write_text("{}")
        config = load_config(directory / "rsfilter.toml")
        self.sources = Sources.of(config)
        self.filter = Filter(config, self.sources.nothing)
        self.filter.resync.step = Step.DONE
        self.audit = AuditLog(directory / "audit", synchronous=True) if audited else None
        self.now = 0.0
        self.replace(truth(self.roas()))
        for neighbor, asn in [(ROUTER, 65200)] + [
            (f"198.51.100.{1 + host}", 65001 + host) for host in range(self.hosts)
        ]:
            self.filter.line(_up(neighbor, asn), self.now)
        self.settle()

    def roas(self, last: int = 32) -> list[dict[str, object]]:
        """Each host's block, up to this length."""
        return [roa(host, block(host), last) for host in range(self.hosts)]

    def feed(self, lines: list[bytes]) -> None:
        """Lines from hosts, four to a turn as ExaBGP's pipe brings them."""
        for first in range(0, len(lines), 4):
            for line in lines[first : first + 4]:
                self.filter.line(line, self.now)
            self.settle()
        if self.audit:
            self.audit.close()

    def replace(self, new: Truth) -> list[float]:
        """Other data; the CPU seconds of each slice."""
        event = self.sources.truth_loaded(new)
        assert event is not None
        slices = [_cpu(lambda: self.filter.data_replaced(event, self.now))]
        while self.filter.engine.is_busy:
            slices.append(_cpu(self.turn))
        return slices

    def settle(self) -> None:
        """Take turns until nothing is left to write."""
        while self.turn():
            pass

    def turn(self) -> bool:
        """Take a turn as the service does, with ExaBGP's replies; return whether there were any."""
        self.now += 0.01
        commands = self.filter.commands(self.now)
        for command in commands:
            self.filter.line(b"done", self.now)
            if b" eor " in command:
                self.filter.line(_END_OF_RIB, self.now)
        events = self.filter.take_audit()
        if self.audit:
            self.audit.extend(1795376896.0, events)
        return bool(commands)


def _cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


# Measured, each in a process of its own -----------------------------------------------------------


def measure_filter(
    routes: int, *, audited: bool = False, prefixes: int = PER_UPDATE
) -> dict[str, float]:
    """Costs of a route, and its size."""
    with tempfile.TemporaryDirectory() as directory:
        lines = updates(routes, prefixes)
        alone = Alone(Path(directory), routes, audited=audited)
        gc.collect()
        before = _resident()
        used = _cpu(lambda: alone.feed(lines))
        entries = alone.filter.engine.rib_in
        assert len(entries) == routes
        assert entries.accepted == routes * 9 // 10
        return {"cpu_us": used / routes * 1e6, "memory_octets": (_resident() - before) / routes}


def measure_floor(routes: int) -> dict[str, float]:
    """msgspec decodes the same octets."""
    lines = updates(routes)
    decode = msgspec.json.Decoder().decode
    return {"cpu_us": _cpu(lambda: [decode(line) for line in lines]) / routes * 1e6}


def measure_afternoon(routes: int) -> dict[str, float]:
    """json, netaddr, and a loop over the VRPs: a thousand of them, fifty of each host."""
    routes = min(routes, 10_000)
    lines = updates(routes)
    vrps = [
        (network, 32, 65001 + host)
        for host in range(hosts_of(routes))
        for network in islice(IPNetwork(block(host)).subnet(24), 50)
    ]

    def work() -> int:
        accepted = 0
        for line in lines:
            neighbor = json.loads(line)["neighbor"]
            asn = neighbor["asn"]["peer"]
            update = neighbor["message"]["update"]
            if update["attribute"]["as-path"]["0"]["value"] != [asn]:
                continue
            for found in update["announce"]["ipv4 unicast"].values():
                for nlri in found:
                    prefix = IPNetwork(nlri["nlri"])
                    accepted += any(
                        prefix in network and prefix.prefixlen <= longest and asn == owner
                        for network, longest, owner in vrps
                    )
        return accepted

    return {"cpu_us": _cpu(work) / routes * 1e6}


def measure_data(routes: int) -> dict[str, float]:
    """One VRP changes, then all of them."""
    with tempfile.TemporaryDirectory() as directory:
        alone = Alone(Path(directory), routes, audited=False)
        alone.feed(updates(routes))
        prefix = next(alone.filter.engine.rib_in.entries()).route.key.prefix
        one = [*alone.roas(), roa(999, str(prefix))]
        event = alone.sources.truth_loaded(truth(one))
        assert event is not None
        single = _cpu(lambda: alone.filter.data_replaced(event, alone.now))
        changes = [e for e in alone.filter.take_audit() if isinstance(e, DataChange)]
        alone.replace(truth(alone.roas()))
        halves = [roa(host, block(host, 19)) for host in range(alone.hosts)]
        same = alone.replace(truth([*alone.roas(), *halves]))
        assert alone.filter.engine.rib_in.accepted == routes * 9 // 10
        slices = alone.replace(truth(alone.roas(24)))  # every host route is too long now
        assert alone.filter.engine.rib_in.accepted == 0
        return {
            "one_ms": single * 1000,
            "one_judged": float(changes[-1].rejudged),
            "same_s": sum(same),
            "all_s": sum(slices),
            "worst_slice_ms": max(*same, *slices) * 1000,
        }


def measure_start(_routes: int) -> dict[str, float]:
    """500,000 VRPs as one finds them in a cache, and a truth of 100,000 entries."""
    numbers = [(4, (n << 8) + (1 << 24), 24, 24, 64512 + n % 1000) for n in range(500_000)]
    octets = msgspec.json.encode(numbers)
    document = json.dumps(
        {
            "roas": [
                {"prefix": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32", "asn": 65001 + n % 1000}
                for n in range(100_000)
            ]
        }
    ).encode()
    decoding = _cpu(lambda: (msgspec.json.decode(octets), msgspec.json.decode(document)))
    ours = _cpu(lambda: (VrpSet.of_numbers(numbers), parse_truth(document, "truth.json", 0.0)))
    return {"decoding_s": decoding, "ours_s": ours}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


PARTS: dict[str, Callable[[int], dict[str, float]]] = {
    "audited": lambda routes: measure_filter(routes, audited=True),
    "bare": measure_filter,
    **{f"bare of {small}": partial(measure_filter, prefixes=small) for small in SMALL},
    "floor": measure_floor,
    "afternoon": measure_afternoon,
    "data": measure_data,
    "start": measure_start,
}


# All of it ---------------------------------------------------------------------------------------


def medians(runs: list[tuple[str, int]], times: int) -> dict[str, dict[str, float]]:
    """Each run so many times, in turns; by "part routes"."""
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(times):
        for part, routes in runs:
            argv = [sys.executable, __file__, "--part", part, "--routes", str(routes)]
            output = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
            found.setdefault(f"{part} {routes}", []).append(json.loads(output))
    return {
        name: {key: statistics.median(each[key] for each in all_) for key in all_[0]}
        for name, all_ in found.items()
    }


def table(found: dict[str, dict[str, float]], routes: int, sizes: list[int]) -> Table:
    """The figures beside what is aimed at."""
    shown = Table("", "seen", "aim", title=f"rsfilter alone, {routes} routes")

    def of(part: str) -> dict[str, float]:
        return found[f"{part} {routes}"]

    floor = of("floor")["cpu_us"]
    for name, part, aim in [
        ("a route, lines to commands", "bare", "6"),
        ("a route, with its audit record", "audited", "10"),
        ("a route and 1,000 VRPs, written in an afternoon", "afternoon", ""),
    ]:
        us = of(part)["cpu_us"]
        shown.add_row(name, f"{us:.1f} µs, {us / floor:.0f} x decoding", aim and f"{aim} µs")
    shown.add_row("the same octets decoded by msgspec", f"{floor:.2f} µs", "")
    costs = [found[f"bare {size}"]["cpu_us"] for size in sizes]
    listed = ", ".join(f"{size}: {us:.1f}" for size, us in zip(sizes, costs, strict=True))
    shown.add_row("a route, by size of table", f"{listed} µs", "within 1.3")
    small = [f"{each}: {found[f'bare of {each} {sizes[1]}']['cpu_us']:.1f}" for each in SMALL]
    shown.add_row("a route, by prefixes of its UPDATE", f"{', '.join(small)} µs", "")
    biggest = found[f"bare {sizes[-1]}"]["memory_octets"]
    shown.add_row(f"memory of a route, {sizes[-1]} of them", f"{biggest:.0f} octets", "500")
    data = found[f"data {sizes[-1]}"]
    judged = f"{data['one_ms']:.1f} ms, {data['one_judged']:.0f} judged"
    shown.add_row(f"one VRP changes, {sizes[-1]} routes", judged, "5 ms")
    shown.add_row("other VRPs for every route, same verdicts", f"{data['same_s']:.1f} s", "5 s")
    shown.add_row("every route is lost, and withdrawn", f"{data['all_s']:.1f} s", "")
    shown.add_row(
        "the longest that a route waits then", f"{data['worst_slice_ms']:.0f} ms", "50 ms"
    )
    start = of("start")
    ratio = f"{start['ours_s'] / start['decoding_s']:.1f} x decoding ({start['ours_s']:.2f} s)"
    shown.add_row("500,000 VRPs and a truth of 100,000 entries", ratio, "2 x")
    return shown


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--routes", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=3)
    results.add_option(parser)
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        gc.set_threshold(*COLLECTOR)
        json.dump(PARTS[args.part](args.routes), sys.stdout)
        return
    sizes = [args.routes // 100, args.routes // 10, args.routes, args.routes * 10]
    runs = [(part, args.routes) for part in ("bare", "audited", "floor", "afternoon", "start")]
    runs += [("bare", size) for size in sizes if size != args.routes]
    runs += [(f"bare of {small}", sizes[1]) for small in SMALL]
    runs.append(("data", sizes[-1]))
    found = medians(runs, args.times)
    console = Console(width=110)
    console.print(table(found, args.routes, sizes))
    measured = [{"part": part, "routes": size, **found[f"{part} {size}"]} for part, size in runs]
    results.show(console, Results.of("core", measured, times=args.times), args.json)


if __name__ == "__main__":
    main()
