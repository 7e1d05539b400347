"""What commands print: tables for people, JSON Lines for programs.

Names and texts come from hosts and files. No control character of theirs reaches a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from rsfilter.plain import clean, to_json

__all__ = ["clean", "clean_cell", "console", "print_json", "print_table"]

_MAX_WIDTH = 120
"""Of a cell: one long text must not push all others apart."""


def console() -> Console:
    """Prints text as it is: nothing in it is markup."""
    return Console(highlight=False, markup=False, emoji=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """One line for a row, however wide: what is asked with grep must not be folded."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(clean(column))
    for row in rows:
        table.add_row(*map(clean_cell, row))
    wide = console()
    wide.width = len(columns) * (_MAX_WIDTH + 2)
    with wide.capture() as capture:
        wide.print(table)
    for line in capture.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def clean_cell(value: object) -> str:
    """A value as one cell of a table."""
    text = clean("" if value is None else str(value))
    return text if len(text) <= _MAX_WIDTH else text[: _MAX_WIDTH - 3] + "..."


def print_json(values: Iterable[Any], *, is_live: bool = False) -> None:
    """One line for each value. `is_live`: somebody watches."""
    for value in values:
        sys.stdout.write(to_json(value, default=str) + "\n")
        if is_live:
            sys.stdout.flush()
