"""Queries of a large audit log, beside grep and jq on the same files.

    python tests/bench/audit.py [--records 10000000] [--directory DIR]

Writes the log with the real writer, indexes it, and queries it. With --directory a log that is
there already is queried. Prints CPU seconds and the time on the clock.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from msgspec.structs import replace
from support.audit_samples import NOON, verdict_change

from rsfilter.audit.log import AuditLog
from rsfilter.routing.model import Address, AsPath, Attributes, Prefix, Route, RouteKey

HOSTS, GUESTS = 2000, 25
RSFILTER = f"{shlex.quote(sys.executable)} -m rsfilter audit"

QUESTIONS = {
    "one prefix": "query 10.0.5.3 --limit 0",
    "what lies in a prefix": "query 10.0.5.0/28 --match covered --limit 0",
    "one ASN, the newest 100": "query --asn 65123 --limit 100",
    "a reason in one hour": "query --reason origin_invalid_asn --limit 100 "
    "--since 2026-11-22T13:00:00Z --until 2026-11-22T14:00:00Z",
    "rejections by neighbor (SQL)": 'query --sql "SELECT neighbor, count(*) FROM audit '
    "WHERE verdict = 'rejected' GROUP BY 1 ORDER BY 2 DESC LIMIT 20\"",
    "stats": "stats",
}
READ = "(zcat *.gz; cat *.jsonl) 2>/dev/null"
OTHERS = {
    "grep: one prefix": f'{READ} | grep -c \'"prefix":"10.0.5.3/32"\'',
    "jq: one prefix": f"{READ} | jq -c 'select(.prefix == \"10.0.5.3/32\")'",
}


def write(directory: Path, records: int) -> None:
    """Verdicts of many hosts, a seventh of them rejections, 30 a second."""
    log = AuditLog(directory, synchronous=True)
    good, bad, chance = verdict_change(reasons=()), verdict_change(), random.Random(1)
    for number in track(range(records), "writing"):
        host = chance.randrange(HOSTS)
        address = Address(4, 0xC6336400 + host)
        prefix = Prefix(4, 0x0A000000 + host * 256 + chance.randrange(GUESTS), 32)
        attributes = Attributes(AsPath.sequence(65000 + host))
        route = Route.of(RouteKey(address, prefix, 0), 65000 + host, attributes, (address,))
        change = replace(good if number % 7 else bad, route=route, host=f"hv{host}")
        log.append(NOON + number * 0.03, change)
    log.close()


def measured(command: str, directory: Path) -> tuple[str, str]:
    """(CPU seconds, seconds on the clock) of a shell command."""
    before, began = os.times(), time.monotonic()
    subprocess.run(command, shell=True, cwd=directory, stdout=subprocess.DEVNULL, check=True)
    after, took = os.times(), time.monotonic() - began
    cpu = sum(after[2:4]) - sum(before[2:4])
    return f"{cpu:.1f}", f"{took:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--directory", type=Path)
    args = parser.parse_args()
    scratch = None if args.directory else Path(tempfile.mkdtemp(prefix="audit-"))
    directory = args.directory or scratch
    try:
        if scratch:
            write(scratch, args.records)
        table = Table("question", "CPU s", "clock s", title="audit queries")
        here = f"--directory {shlex.quote(str(directory))}"
        table.add_row("index, once", *measured(f"{RSFILTER} index {here}", directory))
        for name, question in QUESTIONS.items():
            table.add_row(name, *measured(f"{RSFILTER} {question} {here}", directory))
        for name, command in OTHERS.items():
            if shutil.which(name.partition(":")[0]):
                table.add_row(name, *measured(command, directory))
        Console().print(table)
    finally:
        if scratch:
            shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
