"""`make lab`: the scenarios as labs to watch, and to play with.

Without a name it lists them. A lab is a test file, and its steps are the tests in it, in their
order: it ends with 0 if all of them hold. With --keep everything stays up when they have ended, or
one of them failed, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import ast
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import pytest
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab.screen import Screen
from lab.story import SHOWN

TESTS = Path(__file__).resolve().parent.parent


class Play(NamedTuple):
    """A lab that can be started."""

    name: str
    title: str
    path: Path


def plays(directory: Path = TESTS) -> Iterator[Play]:
    """All of them, by name."""
    for path in sorted(
        [*directory.rglob("test_scenario_*.py"), *directory.rglob("test_interop.py")]
    ):
        about = ast.get_docstring(ast.parse(path.read_text())) or ""
        first = about.partition("\n")[0].partition(". ")[0].rstrip(".")
        title = first.partition(": ")[2] if first.startswith("Scenario ") else first
        name = path.stem.removeprefix("test_").removeprefix("scenario_")
        yield Play(name, title, path)


def start(play: Play, console: Console, *, step: str = "", keep: bool = False) -> Screen:
    """Run a lab to its end. `step`: only steps whose names hold this."""
    screen = Screen(play.name, console, keep=keep)
    console.print(f"[bold]Lab {play.name}: {escape(play.title)}[/]")
    arguments = ["-p", "no:terminal", "-p", "no:cacheprovider", "-o", "addopts=", "-s", "-x"]
    arguments += ["-W", "ignore::pytest.PytestDeprecationWarning", "-k", step, str(play.path)]
    with screen.shown():
        code = pytest.main(arguments, plugins=[screen])
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        screen.failures.append(f"It has no step with {step!r} in its name.")
    if code != pytest.ExitCode.OK and not screen.failures:
        screen.failures.append(f"pytest ended with {code!r}; see pytest {play.path}")
    return screen


def show_list(console: Console) -> None:
    """Labs that can be started."""
    for play in plays():
        console.print(f"  {play.name:8} {escape(play.title)}")
    console.print(
        "\nmake lab NAME=b           start one, and watch it check itself"
        "\nmake lab NAME=b KEEP=1    the same; it stays up until Ctrl-C, to be played with"
        "\nmake lab NAME=b STEP=b2   only the steps with this in their name"
        "\nmake lab-all              all of them, with times"
    )


def run_all(console: Console, step: str) -> bool:
    """Run every lab; true if all of them hold."""
    table = Table(title="all labs")
    for column in ("lab", "", "steps", "seconds"):
        table.add_column(column, justify="right" if column in ("steps", "seconds") else "left")
    good = True
    for play in plays():
        began = time.monotonic()
        screen = start(play, console, step=step)
        console.print(screen.verdict())
        good &= not screen.failures
        result = "[red]failed[/]" if screen.failures else "[green]holds[/]"
        seconds = f"{time.monotonic() - began:.0f}"
        table.add_row(f"{play.name}: {escape(play.title)}", result, str(len(screen.steps)), seconds)
    console.print(table)
    return good


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the requested labs; return the exit code."""
    parser = argparse.ArgumentParser(prog="make lab", description=__doc__)
    parser.add_argument("name", nargs="?", help="which lab")
    parser.add_argument("--all", action="store_true", help="all of them, one after the other")
    parser.add_argument("--step", default="", help="only steps with this in their name")
    parser.add_argument("--keep", action="store_true", help="stay up until Ctrl-C")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(highlight=False)
    try:
        if args.all:
            return 0 if run_all(console, args.step) else 1
        if not args.name:
            show_list(console)
            return 0
        known = {play.name: play for play in plays()}
        if args.name not in known:
            console.print(f"There is no lab {escape(args.name)!r}: {', '.join(known)}")
            return 2
        screen = start(known[args.name], console, step=args.step, keep=args.keep)
    except KeyboardInterrupt:
        return 130
    for text in SHOWN:
        console.print(text, markup=False, soft_wrap=True)
    if not args.keep:
        console.print(screen.verdict())
    return 1 if screen.failures or not screen.steps else 0


if __name__ == "__main__":
    sys.exit(main())
