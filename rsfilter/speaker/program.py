"""Run the ExaBGP of this environment, its server with the replacements.

python -m rsfilter.speaker [--stock] exabgp WORDS...

WORDS are ExaBGP's own: `server exabgp.conf`, `validate exabgp.conf`, `version`. (The word `exabgp`
makes the process easy to find in a list of processes.) Only a server has replacements. The active
ones are in `RSFILTER_SPEAKER`, which ExaBGP passes to its helpers.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rsfilter.speaker import (
    accepting,
    announcing,
    collector,
    families,
    hops,
    listing,
    loop,
    matching,
    packing,
    prefixes,
    quiet,
    reading,
    steps,
    withdrawing,
)
from rsfilter.speaker.replacement import Installed, install

REPLACEMENTS = (
    announcing.REPLACEMENT,
    withdrawing.REPLACEMENT,
    quiet.REPLACEMENT,
    steps.REPLACEMENT,
    matching.REPLACEMENT,
    families.REPLACEMENT,
    prefixes.REPLACEMENT,
    packing.REPLACEMENT,
    listing.REPLACEMENT,
    collector.REPLACEMENT,
    accepting.REPLACEMENT,
    reading.REPLACEMENT,
    hops.REPLACEMENT,
    loop.REPLACEMENT,
)
"""Replacements in the order in which they are installed."""

VARIABLE = "RSFILTER_SPEAKER"
"""JSON: {"exabgp": release, "replaced": [names], "left_out": [names]}."""

STOCK = "--stock"
"""Option for no replacements."""


def main(words: Sequence[str]) -> int:
    """Run ExaBGP and return its exit code, or let its SystemExit pass. `words`: see the module."""
    from exabgp.application import main as exabgp
    from exabgp.application import server

    is_stock = words[0] == STOCK
    sys.argv = [script(), *words[2 if is_stock else 1 :]]
    server.cmdline = _prepared(server.cmdline, () if is_stock else REPLACEMENTS)
    code: int = exabgp.main()
    return code


def script() -> str:
    """The program `exabgp`: it finds its directories by its own name, and starts itself again."""
    beside = Path(sys.executable).with_name("exabgp")
    if beside.exists():
        return str(beside)
    from exabgp.application import main as module

    return shutil.which("exabgp") or str(module.__file__)


def _prepared(stock: Callable[[Any], None], replacements: Sequence[Any]) -> Callable[[Any], None]:
    def cmdline(arguments: Any) -> None:
        from exabgp.version import release

        installed = install(replacements, release)
        os.environ[VARIABLE] = described(installed)
        for name, why in installed.left_out.items():
            sys.stderr.write(f"rsfilter exabgp: ExaBGP {release}: {name} left out: {why}\n")
        sys.stderr.flush()
        stock(arguments)

    return cmdline


def described(installed: Installed) -> str:
    """Describe the active replacements for the helper."""
    return json.dumps(
        {
            "exabgp": installed.exabgp,
            "replaced": list(installed.replaced),
            "left_out": sorted(installed.left_out),
        }
    )
