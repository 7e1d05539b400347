"""Cost of a route for the filter alone, in instructions: the same on a busy machine and a quiet
one.

    python tests/bench/instructions.py [--routes 10000] [--parts "bare" "audited" …] [--json FILE]

Valgrind counts them, in Python and in C, from the first line to the last command. The start, the
data and the sessions are not counted: the process signals callgrind when to begin and to end. With
a fixed seed for hashes, two counts differ by less than a thousandth.

Valgrind knows no SHA instructions. OpenSSL then spends some 20 times as many of the others on the
chain of the audit log: they are counted apart, as those of its library.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import results
from bench.core import Alone, updates
from bench.results import Results

PARTS = ("floor", "bare", "audited", "bare of 10", "bare of 1")
"""Decoding alone; lines to commands; with the audit log; the same of UPDATEs of fewer prefixes."""

_ASK_VALGRIND = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
"""A function of one argument, the address of a request to Valgrind (x86-64, valgrind.h). Elsewhere
than in Valgrind it does nothing."""

_START, _STOP = 0x43540004, 0x43540005
"""CALLGRIND_START_INSTRUMENTATION and CALLGRIND_STOP_INSTRUMENTATION (callgrind.h)."""

_TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)
_COST = re.compile(r"(?:[+-]?\d+|\*) \d+$")


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
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(_ASK_VALGRIND)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    query = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)
    start, stop = ((ctypes.c_uint64 * 6)(request) for request in (_START, _STOP))
    query(ctypes.addressof(start))
    work()
    query(ctypes.addressof(stop))


def count(part: str, routes: int, profile: Path) -> dict[str, float]:
    """Return the instructions of a route, and those of them in OpenSSL's library."""
    argv = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"]
    argv += [f"--callgrind-out-file={profile}", sys.executable, __file__]
    argv += ["--part", part, "--routes", str(routes)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "TMPDIR": str(profile.parent)}
    subprocess.run(argv, check=True, env=environment)
    text = profile.read_text()
    total = _TOTAL.search(text)
    assert total is not None
    return {"all": int(total[1]) / routes, "openssl": _of_object(text, "libcrypto") / routes}


def _of_object(profile: str, name: str) -> int:
    """Return the instructions of an object's own functions."""
    names: dict[str, str] = {}
    is_its = is_call = False
    found = 0
    for line in profile.splitlines():
        if line.startswith("ob="):
            number, _, path = line[3:].partition(" ")
            names.setdefault(number, path)
            is_its = name in names[number]
        elif line.startswith("cob="):
            number, _, path = line[4:].partition(" ")
            names.setdefault(number, path)
        elif line.startswith("calls="):
            is_call = True
        elif _COST.match(line):
            found += int(line.split()[-1]) if is_its and not is_call else 0
            is_call = False
    return found


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
