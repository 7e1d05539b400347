"""Costs of a fleet: the filter, the way to the database, copies, queries, and comparing.

    python tests/bench/fleet.py [--only filter ship query compare] [--records 10000000]

`filter` is the one that must cost nothing: see `bench.fleet_filter`. PostgreSQL is Debian's, on
this machine.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.fleet_samples import database, fleet_config, lines, ship_all, shipped, shipper
from support.fleet_samples import write as write_log

from bench.audit import write as write_verdicts
from bench.fleet_filter import bench_filter
from rsfilter.audit.chain import Link
from rsfilter.audit.files import list_keys
from rsfilter.audit.indexing import build
from rsfilter.audit.many import logs_in, query_all
from rsfilter.audit.query import query
from rsfilter.fleet.collect import collect
from rsfilter.fleet.compare import MAX_BUCKETS
from rsfilter.fleet.database import Database
from rsfilter.fleet.ledger import BUCKETS, SETTLE_S, Ledger, decode

# The way to the database, and copies -------------------------------------------------------------


def bench_ship(console: Console, place: Path, records: int) -> None:
    write_log(place / "log", records)
    count = len(lines(place / "log"))
    table = Table(title=f"{count:,} records that wait")
    for column in ("", "records a second", "CPU us a record"):
        table.add_column(column, justify="right")
    with database("rs1") as server:
        cpu, began = time.process_time(), time.monotonic()
        ship_all(shipper(server, "rs1", place / "log"))
        row(table, "ship", count, time.monotonic() - began, time.process_time() - cpu)
        (size,) = server.query("SELECT pg_total_relation_size('rsfilter.block')")[0]
        reader = Database(fleet_config(server, "auditor"))
        newest = reader.instances()[0].newest
        cpu, began = time.process_time(), time.monotonic()
        for _ in collect(reader, "rs1", Link(newest.seq, "", newest.hash), place / "copy"):
            pass
        row(table, "collect", count, time.monotonic() - began, time.process_time() - cpu)
        assert shipped(server) == lines(place / "copy")
    console.print(table)
    console.print(f"{size / count:.0f} octets of a record in the database")


def row(table: Table, name: str, count: int, clock_s: float, cpu_s: float) -> None:
    table.add_row(name, f"{count / clock_s:,.0f}", f"{cpu_s / count * 1e6:.1f}")


# Questions ---------------------------------------------------------------------------------------


def bench_query(console: Console, place: Path, records: int, instances: int) -> None:
    for number in range(instances):
        write_verdicts(place / f"rs{number + 1}", records // instances)
    logs = logs_in(place)
    for directory in logs.values():
        for _ in build(directory):
            pass
    newest = sum(
        (directory / list_keys(directory)[-1].name).stat().st_size for directory in logs.values()
    )
    table = Table(
        title=f"{records:,} records of {instances} instances; "
        f"{newest / 1e6:,.0f} MB in files that are still written"
    )
    for column in ("", "records found", "clock s", "CPU s"):
        table.add_column(column, justify="right")
    for name, run in {
        "one prefix, all at once": lambda: sum(1 for _ in query_all(logs, prefix="10.0.5.3")),
        "one prefix, one by one": lambda: sum(
            1 for directory in logs.values() for _ in query(directory, prefix="10.0.5.3")
        ),
    }.items():
        cpu, began = _cpu(), time.monotonic()
        found = run()
        took, used = time.monotonic() - began, _cpu() - cpu
        table.add_row(name, str(found), f"{took:.2f}", f"{used:.2f}")
    console.print(table)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# Comparing ---------------------------------------------------------------------------------------


def bench_compare(console: Console) -> None:
    routes, instances, entry = 5_000_000, 32, 66
    each = routes * 2 // instances
    ledger = Ledger("key", lambda _: "g")
    records = [
        b'{"v":1,"seq":%d,"at":"2026-11-22T12:00:00.000000Z","event":"verdict","neighbor":'
        b'"198.51.100.%d","host":"hv%d","asn":65001,"prefix":"10.%d.%d.%d/32","path_id":0,'
        b'"verdict":"accepted","was":null,"reasons":[],"cause":"announce"}'
        % (n, n % 250, n % 250, n >> 16, n >> 8 & 255, n & 255)
        for n in range(each)
    ]
    began = time.process_time()
    for record in records:
        decode(record)
    decoded = (time.process_time() - began) / each
    began = time.process_time()
    for record in records:
        ledger.apply(decode(record), 0.0)
    folded = (time.process_time() - began) / each - decoded
    began = time.process_time()
    ledger.settle(SETTLE_S)
    settled = (time.process_time() - began) / each
    group = ledger.groups["g"]
    began = time.process_time()
    for _ in range(10):
        _ = group.root
    root = (time.process_time() - began) / 10
    began = time.process_time()
    shown = len(list(ledger.in_buckets("g", set(range(MAX_BUCKETS)))))
    in_buckets = time.process_time() - began
    table = Table(title=f"{instances} instances, {routes:,} routes, each in two of them")
    table.add_column("")
    table.add_column("", justify="right")
    for name, text in {
        "routes of an instance": f"{each:,}",
        "a record is decoded, CPU us": f"{decoded * 1e6:.1f}",
        "and folded, CPU us": f"{folded * 1e6:.1f}",
        "and counted in a digest once it has settled, CPU us": f"{settled * 1e6:.1f}",
        "a root, CPU ms": f"{root * 1e3:.2f}",
        "sums of a group, kB in base 64": f"{BUCKETS * 8 * 4 / 3 / 1e3:.0f}",
        f"routes of {MAX_BUCKETS} buckets": f"{shown:,} ({shown * entry / 1e3:.0f} kB)",
        "finding them, CPU s": f"{in_buckets:.2f}",
        "all routes of all, MB of JSON": f"{each * instances * entry / 1e6:,.0f}",
        "memory of the shipping process, MB": f"{_peak_mb():,.0f} (with the records)",
    }.items():
        table.add_row(name, text)
    console.print(table)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = ("filter", "ship", "query", "compare")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--records", type=int, default=10_000_000, help="for query")
    parser.add_argument("--instances", type=int, default=8, help="for query")
    parser.add_argument("--waiting", type=int, default=200_000, help="records for ship")
    args = parser.parse_args()
    console = Console()
    place = Path(tempfile.mkdtemp(prefix="bench-fleet-"))
    try:
        if "filter" in args.only:
            bench_filter(console, place / "filter")
        if "ship" in args.only:
            bench_ship(console, place / "ship", args.waiting)
        if "query" in args.only:
            (place / "query").mkdir()
            bench_query(console, place / "query", args.records, args.instances)
        if "compare" in args.only:
            bench_compare(console)
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
