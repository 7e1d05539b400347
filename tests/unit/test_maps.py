"""Map of each room: its `__init__.py` names every file, in a few lines, and no file that is not
there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from support.places import ROOT

ROOMS = sorted(path.parent for path in (ROOT / "rsfilter").glob("*/__init__.py"))

MOST_LINES = 15
"""Lines of a map that one reads at a glance."""

_ROW = re.compile(r" {4}(\S+(?: \S+)*) {2,}\S")
"""Row of a map: names of files, a gap, and what is in them."""

_UNNAMED = {"__init__", "__main__", "__pycache__", "_librtr"}


def rows_of(room: Path) -> list[str]:
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text()), clean=False)
    assert text, f"{room.name} has no map"
    return [row[1] for line in text.splitlines() if (row := _ROW.match(line))]


def files_in(room: Path) -> set[str]:
    """Return modules without their suffix, directories with a slash, other files as they are."""
    names = {
        f"{path.name}/" if path.is_dir() else path.name.removesuffix(".py")
        for path in room.iterdir()
    }
    return {name for name in names if name.strip("/").partition(".")[0] not in _UNNAMED}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_map_names_every_file_of_its_room_once_and_no_other(room: Path) -> None:
    named = [name for row in rows_of(room) for name in row.split(", ")]
    assert sorted(named) == sorted(files_in(room))


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_map_is_read_at_a_glance(room: Path) -> None:
    assert len(rows_of(room)) <= MOST_LINES
