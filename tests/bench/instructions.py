"""Cost of a route for the filter alone, in instructions: the same on a busy machine and a quiet
one.

    python tests/bench/instructions.py [--routes 10000] [--parts "bare" "audited" …] [--json FILE]

Valgrind counts them, in Python and in C, from the first line to the last command. The start, the
data and the sessions are not counted: the process signals callgrind when to begin and to end. With
a fixed seed for hashes, two counts differ by less than a thousandth.

What OpenSSL spends on the chain of the audit log is counted apart: `support.valgrind` has why.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.valgrind import CALLGRIND, Callgrind, Request, of_object, total

from bench import results
from bench.core import Alone, updates
from bench.results import Results

PARTS = ("floor", "bare", "audited", "bare of 10", "bare of 1")
"""Decoding alone; lines to commands; with the audit log; the same of UPDATEs of fewer prefixes."""


def _work(part: str, routes: int) -> Callable[[], object]:
    """Return the work to count; all that it needs is made."""
    kind, _, size = part.partition(" of ")
    lines = updates(routes, int(size)) if size else updates(routes)
    if kind == "floor":
        decode = msgspec.json.Decoder().decode
        return lambda: [decode(line) for line in lines]
    alone = Alone(Path(tempfile.mkdtemp()), routes, audited=kind == "audited")
    return lambda: alone.feed(lines)


def _counted(work: Callable[[], object]) -> None:
    """Do some work and have callgrind count it."""
    callgrind = Callgrind()
    callgrind.send(Request.START)
    work()
    callgrind.send(Request.STOP)


def count(part: str, routes: int, profile: Path) -> dict[str, float]:
    """Return the instructions of a route, and those of them in OpenSSL's library."""
    argv = [*CALLGRIND, "--instr-atstart=no", f"--callgrind-out-file={profile}"]
    argv += [sys.executable, __file__]
    argv += ["--part", part, "--routes", str(routes)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "TMPDIR": str(profile.parent)}
    subprocess.run(argv, check=True, env=environment)
    return {
        "all": total(profile) / routes,
        "openssl": of_object(profile, "libcrypto") / routes,
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--parts", nargs="+", default=PARTS)
    parser.add_argument("--keep", type=Path, help="a directory for what callgrind writes")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    results.add_option(parser)
    args = parser.parse_args()
    if args.part:
        _counted(_work(args.part, args.routes))
        return
    shown = Table("", "instructions of a route", "of them OpenSSL's")
    measured: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as directory:
        for part in args.parts:
            profile = (args.keep or Path(directory)) / f"{part.replace(' ', '-')}.callgrind"
            found = count(part, args.routes, profile.absolute())
            shown.add_row(part, f"{found['all']:,.0f}", f"{found['openssl']:,.0f}")
            measured.append({"part": part, "routes": args.routes, **found})
    console = Console()
    console.print(shown)
    results.show(console, Results.of("instructions", measured), args.json)


if __name__ == "__main__":
    main()
