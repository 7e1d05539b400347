"""Every flood in full, and what it cost.

    python tests/bench/floods.py [WORD ...]      only those with one of these words in their name

The filter runs beside a scripted ExaBGP that is twice as fast as the real one can be, and an honest
host announces a prefix ten times a second all the while: "ms others" is from its announcement until
the router has got it. Times on the clock mean little on a busy machine.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import flood_scenarios as floods

MILLION = 1_000_000

SCENARIOS: dict[str, Callable[[Path], floods.Costs]] = {
    "1,000,000 prefixes, limit 1000": partial(
        floods.over_the_limit, count=MILLION, per_second=20_000
    ),
    "1,000,000 rejected prefixes, no limit": partial(
        floods.without_a_limit, count=MILLION, per_second=20_000, owned=False
    ),
    "1,000,000 accepted prefixes, no limit": partial(
        floods.without_a_limit, count=MILLION, per_second=10_000, owned=True
    ),
    "a prefix flaps 10,000 times a second for a minute": partial(
        floods.flap, count=600_000, per_second=10_000
    ),
    "ExaBGP does not read for a minute": partial(
        floods.without_reader, seconds=60, per_second=2000
    ),
    "ExaBGP does not write for a minute": partial(floods.without_writer, seconds=60),
    "the audit disk is full, 300,000 records": partial(floods.full_disk, hosts=30, prefixes=10_000),
    "the audit directory is removed": partial(floods.disk_taken_away, how="removed"),
    "the audit directory is read-only": partial(floods.disk_taken_away, how="read-only"),
    "a truth of 1,000,000 roas": partial(floods.large_truth, entries=MILLION, form="roas"),
    "a truth of 1,000,000 prefixes of hosts": partial(
        floods.large_truth, entries=MILLION, form="hosts"
    ),
    "the clock steps by days": partial(
        floods.stepping_clock, steps=["-1d", "+3d", "-2d", "+0", "+400d", "-400d"]
    ),
}


def main(words: list[str]) -> int:
    """Run those with one of the words in their name, or all."""
    table = Table("flood", "cost", "", title="what floods cost", title_justify="left")
    console = Console()
    for name, scenario in SCENARIOS.items():
        if words and not any(word in name for word in words):
            continue
        console.print(name)
        with tempfile.TemporaryDirectory() as directory:
            costs = scenario(Path(directory))
        for number, (what, value) in enumerate(costs.items()):
            table.add_row(
                "" if number else name, what, f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
            )
        table.add_section()
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
