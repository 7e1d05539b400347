"""`make fuzz`: every target for its share of the time, two at once; then what was found.

    python -m fuzz.run [--minutes M] [--directory DIR] [--jobs N] [TARGET …]
    python -m fuzz.run --replay FILE …

The corpus grows in DIR/corpus/TARGET and serves the next run; inputs that broke a promise are in
DIR/findings/TARGET, each with a .txt that has the exception. Exit code 1: there are some.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fuzz.targets import TARGETS

INPUT_TIMEOUT_S = 10
"""One input: all of them together end in milliseconds, and this machine may be busy."""

MEMORY_MIB = 2048
"""Memory of one target: instrumented Python with duckdb, ExaBGP and a corpus takes a tenth of
it."""

GRACE_S = 120.0
"""Seconds that a worker has to end by itself after its time."""

JOBS = 2


class Result(NamedTuple):
    """Result of a target."""

    name: str
    runs: int
    edges: int
    """Number of bytecode branches in rsfilter that some input of the corpus takes."""
    corpus: int
    seconds: float
    findings: list[Path]
    problem: str
    """Reason why it ended early; empty if it did not."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the targets; return the exit code."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all of them together")
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--directory", type=Path, default=Path(".fuzz"))
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", default=[])
    args = parser.parse_args(argv)
    if args.replay:
        return max(map(replay, args.replay))
    if unknown := [name for name in args.targets if name not in TARGETS]:
        parser.error(f"no such target: {', '.join(unknown)}")
    names = args.targets or list(TARGETS)
    return fuzz(names, args.minutes * 60, args.jobs, args.directory.absolute())


def fuzz(names: Sequence[str], seconds: float, jobs: int, directory: Path) -> int:
    """Fuzzes the targets for `seconds` of wall-clock time in all; the exit code."""
    shares = sum(TARGETS[name].share for name in names)
    at_once = min(jobs, len(names))
    times = {name: seconds * at_once * TARGETS[name].share / shares for name in names}
    times = {name: min(time_s, seconds) for name, time_s in times.items()}
    longest_first = sorted(names, key=lambda name: -times[name])
    report(f"fuzz: {', '.join(f'{n} {times[n]:.0f} s' for n in longest_first)}; {at_once} at once")
    with ThreadPoolExecutor(at_once) as pool:
        waiting = [pool.submit(work, name, times[name], directory) for name in longest_first]
        results = [future.result() for future in waiting]
    report(f"\n{'target':8} {'runs':>9} {'runs/s':>7} {'edges':>6} {'corpus':>7}  findings")
    for found in results:
        rate = found.runs / found.seconds
        count = str(len(found.findings)) + (f" ({found.problem})" if found.problem else "")
        report(
            f"{found.name:8} {found.runs:9} {rate:7.0f} {found.edges:6} {found.corpus:7}  {count}"
        )
    findings = [path for found in results for path in found.findings]
    for path in findings:
        report(f"\n{path}{_last_line(path)}")
    if findings:
        report("\nsee one again: make fuzz REPLAY=FILE; make it a test: CONTRIBUTING.md")
    return 1 if findings or any(found.problem for found in results) else 0


def work(name: str, seconds: float, directory: Path) -> Result:
    """One target, in a process of its own."""
    corpus, findings = (directory / part / name for part in ("corpus", "findings"))
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    before = {*findings.iterdir()}
    log_path = directory / f"{name}.log"
    command = [
        *(sys.executable, "-m", "fuzz.worker", name, str(corpus), str(findings)),
        f"-max_total_time={max(1, round(seconds))}",
        f"-timeout={INPUT_TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        "-print_final_stats=1",
    ]
    started = time.monotonic()
    problem = ""
    with log_path.open("wb") as log:
        try:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=seconds + GRACE_S,
                check=False,
            ).returncode
            problem = f"ended with {code}, see {log_path}" if code else ""
        except subprocess.TimeoutExpired:
            problem = f"had to be killed, see {log_path}"
    took = time.monotonic() - started
    text = log_path.read_text(encoding="utf-8", errors="replace")
    new = sorted(path for path in {*findings.iterdir()} - before if path.suffix != ".txt")
    progress = re.findall(r"^#(\d+)\t.*?cov: (\d+) .*?corp: (\d+)", text, re.MULTILINE)
    runs, edges, kept = map(int, progress[-1]) if progress else (0, 0, 0)
    executed = re.search(r"stat::number_of_executed_units: (\d+)", text)
    return Result(name, int(executed[1]) if executed else runs, edges, kept, took, new, problem)


def replay(path: Path) -> int:
    """Run one finding again, under the target that its directory names; 1 when it still is one."""
    target = TARGETS.get(path.absolute().parent.name)
    if target is None:
        report(f"{path}: its directory has to be named after a target: {', '.join(TARGETS)}")
        return 2
    try:
        target.check(path.read_bytes())
    except Exception:
        report(f"{path}: still a finding\n{traceback.format_exc()}")
        return 1
    report(f"{path}: no finding (any more)")
    return 0


def _last_line(path: Path) -> str:
    """Return the exception in one line."""
    found = path.with_name(path.name + ".txt")
    if not found.exists():
        return ""
    lines = found.read_text(encoding="utf-8").strip().split("\n")
    return f": {lines[-1][:300]}"


def report(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
