"""Output of commands: tables for people, JSON Lines for programs.

Names and texts come from hosts and files. No control character of theirs reaches a terminal.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table

from rsfilter.util.text import clean, clean_lines, to_json

__all__ = ["clean", "clean_cell", "console", "print_json", "print_note", "print_table", "table"]

_MAX_WIDTH = 120
"""Width of a cell: one long text must not push all others apart."""

_PIPED_WIDTH = 1000
"""Width of a line that a program reads, which must not be folded."""


def console() -> Console:
    """Console that prints text unchanged, without markup. Piped output is not folded."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def table(*columns: str, title: str | None = None) -> Table:
    """Make a table to be filled, and printed on `console()`: with rules on a terminal, plain when
    piped. The first column is never folded."""
    is_terminal = sys.stdout.isatty()
    made = Table(
        title=title,
        title_justify="left",
        show_header=any(columns),
        box=box.HEAVY_HEAD if is_terminal else None,
        pad_edge=is_terminal,
    )
    for column in columns:
        made.add_column(column, overflow="fold")
    made.columns[0].no_wrap = True
    return made


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], max_width: int | None = _MAX_WIDTH
) -> None:
    """Print one line per row, however wide: lines searched with grep must not be folded.
    `max_width`: of a cell; None is unlimited."""
    lines = [[clean_cell(value, max_width) for value in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        padded = map(set_cell_size, line, widths)
        text = "  ".join(padded).rstrip()
        if number:
            sys.stdout.write(_coloured(text) + "\n")
        else:
            console().print(text, style="bold", soft_wrap=True)


_COLOURS = {
    **dict.fromkeys(("accepted", "up"), "32"),
    **dict.fromkeys(("rejected", "down", "absent"), "31"),
    **dict.fromkeys(("held", "expected"), "33"),
}
"""ANSI colours of words that are cells of their own."""

_CELL = re.compile(rf"(?<=  )({'|'.join(_COLOURS)})(?=  |$)")


def _coloured(line: str) -> str:
    """A line of a table with its verdicts and states in colour, on a terminal (NO_COLOR: none)."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return line
    return _CELL.sub(lambda word: f"\x1b[{_COLOURS[word[1]]}m{word[1]}\x1b[0m", line)


def print_total(text: str) -> None:
    """A line under a table, for people: a program gets the table alone."""
    if sys.stdout.isatty():
        console().print(clean(text), style="dim", soft_wrap=True)


def print_note(text: str) -> None:
    """Print a remark for people on stderr, line by line: it is neither result nor error."""
    sys.stderr.write(clean_lines(text) + "\n")


def short_time(text: str | None) -> str:
    """A time of the API (RFC 3339, UTC) without parts of a second."""
    return "" if text is None else text[:19] + "Z"


def clean_cell(value: object, max_width: int | None = _MAX_WIDTH) -> str:
    """A value as one cell of a table."""
    text = clean("" if value is None else str(value))
    return text if max_width is None or len(text) <= max_width else text[: max_width - 3] + "..."


def print_json(values: Iterable[Any], *, is_live: bool = False) -> None:
    """Print one line per value. `is_live`: a person is watching."""
    for value in values:
        sys.stdout.write(to_json(value, default=str) + "\n")
        if is_live:
            sys.stdout.flush()


GOOD = 0


FAILED = 1


INVALID = 2
"""Usage, configuration or truth."""


LOSSES = 3
"""`impact` found routes that routers would lose."""


INTERRUPTED = 130
"""Exit code of shells for a program ended by SIGINT."""
