"""CPU of the longest step over a restart of rsfilter, in which one host has all routes.

    python tests/bench/restart.py [--routes 200000]

The filter alone, as the service runs it: turns of lines, on a virtual clock. ExaBGP and the host
are played by the bench, and do not count. For each kind of host: the longest step, in milliseconds,
and how many took more than half of what a step may.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.long_restart import HOST_KINDS, LongRestart
from support.loop_steps import HOLD_S

from rsfilter.edge.turn import Turn
from rsfilter.pipeline.outputs import Outputs


def cpu(step: Callable[[], Outputs]) -> tuple[Outputs, float]:
    """Run a step; return its CPU seconds."""
    began = time.thread_time()
    outputs = step()
    return outputs, time.thread_time() - began


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--routes", type=int, default=200_000)
    count = parser.parse_args().routes
    table = Table(title=f"{count:,} routes of one host")
    for column in (
        "route refresh",
        "repeats",
        "steps",
        "longest, ms",
        f"over {HOLD_S * 500:.0f} ms",
    ):
        table.add_column(column, justify="right")
    gc.disable()  # the filter never searches its old objects for cycles
    for kind in HOST_KINDS:
        for left_out in (0, count // 2) if kind == "marks" else (0,):
            site = LongRestart(count, kind, cpu, left_out=left_out, turn=Turn)
            site.run()
            over = sum(cost > HOLD_S / 2 for cost in site.costs)
            longest = f"{1000 * site.longest:.0f}"
            table.add_row(kind, f"{count - left_out:,}", str(len(site.costs)), longest, str(over))
            del site
            gc.collect()
    Console().print(table)


if __name__ == "__main__":
    main()
