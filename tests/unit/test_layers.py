"""The import rules of the house, one row for each room, and what a pure room may use."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.places import ROOT

PACKAGE = ROOT / "rsfilter"

VALUES = frozenset({"routing", "util"})
READERS = VALUES | {
    "exabgp",
    "rpki",
    "pipeline",
    "audit",
    "rtr",
    "config",
    "render",
    "edge",
    "fleet",
    "speaker",
}


class Room(NamedTuple):
    """One package, and what it may import of the others."""

    imports: frozenset[str]
    is_pure: bool = False
    """No I/O, clock, chance, thread or log."""


ROOMS = {
    "util": Room(frozenset()),
    "routing": Room(frozenset(), is_pure=True),
    "exabgp": Room(VALUES, is_pure=True),
    "rpki": Room(VALUES, is_pure=True),
    "audit": Room(VALUES),
    "config": Room(VALUES | {"rpki"}),
    "rtr": Room(VALUES | {"rpki"}),
    "render": Room(VALUES | {"rpki", "config"}),
    "pipeline": Room(VALUES | {"exabgp", "rpki", "audit", "config"}, is_pure=True),
    "edge": Room(VALUES | {"exabgp", "rpki", "audit", "config", "rtr", "pipeline"}),
    "speaker": Room(frozenset()),
    "fleet": Room(VALUES | {"audit", "config"}),
    "web": Room(READERS - {"speaker"}),
    "commands": Room(READERS),
}
"""Rooms in the order of the design: an arrow goes to a room that stands above, never down."""

ROOT = {"__init__", "__main__", "cli", "service"}

UPWARD = {
    ("commands/run.py", "rsfilter.service"),
    ("commands/completion.py", "rsfilter.cli"),
    ("commands/help.py", "rsfilter.cli"),
}
"""The commands that start, or describe, all the rest; inside a function, when they run."""

PURE_MODULES = {
    "__future__",
    "bisect",
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "functools",
    "gc",
    "hashlib",
    "heapq",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "types",
    "typing",
}
"""The standard library's modules that neither do I/O nor know the time or chance."""

PURE_NAMES = {
    "socket.inet_pton",
    "socket.AF_INET",
    "socket.AF_INET6",
    "struct.iter_unpack",
}
"""Single names of modules that could do more: text to octets, and octets to numbers."""

IMPURE_BUILTINS = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}


def modules(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[str]:
    """Imported modules, and names from modules; a relative import keeps its dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room_of(name: str) -> str:
    """The room that an imported name of ours belongs to; "" for the version and other packages."""
    package, _, rest = name.partition(".")
    room = rest.partition(".")[0]
    return room if package == "rsfilter" and room != "__version__" else ""


def forbidden(source: str, room: str) -> list[str]:
    """Imports of a module that its room may not have."""
    allowed = ROOMS[room].imports | {room, ""}
    return [name for name in imports(ast.parse(source)) if room_of(name) not in allowed]


def impurities(source: str) -> list[str]:
    """All that a module of a pure room may not use."""
    tree = ast.parse(source)
    used = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    foreign = [name for name in imports(tree) if not _is_pure(name)]
    return foreign + sorted(used & IMPURE_BUILTINS)


def _is_pure(name: str) -> bool:
    package = name.partition(".")[0]
    return package in {*PURE_MODULES, "rsfilter", "msgspec"} or name in PURE_NAMES


ALL = [(room, path) for room in ROOMS for path in modules(room)]
PURE = [path for room, path in ALL if ROOMS[room].is_pure]


def test_every_package_is_a_room() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(ROOMS)
    assert {path.stem for path in PACKAGE.glob("*.py")} == ROOT


def test_the_rules_have_no_circle() -> None:
    above: set[str] = set()
    for room, rules in ROOMS.items():
        assert rules.imports <= above
        above.add(room)


@pytest.mark.parametrize(("room", "path"), ALL, ids=lambda value: str(value)[-40:])
def test_arrows_never_point_up(room: str, path: Path) -> None:
    place = str(path.relative_to(PACKAGE))
    found = {
        name
        for name in forbidden(path.read_text(encoding="utf-8"), room)
        if not any(place == file and name.startswith(target) for file, target in UPWARD)
    }
    assert found == set()


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.stem)
def test_a_pure_room_is_pure(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_a_map(room: str) -> None:
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    text = ast.get_docstring(tree)
    assert text is not None
    missing = {
        path.stem
        for path in (PACKAGE / room).glob("*.py")
        if not path.stem.startswith("__") and path.stem not in text
    }
    assert missing == set() or room == "commands"  # a command's file has its name


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("routing", "from rsfilter.exabgp import encode"),
        ("routing", "from rsfilter.rpki.vrps import VrpSet"),
        ("exabgp", "import rsfilter.web.server"),
        ("rpki", "def f():\n    from rsfilter.config import model"),
        ("speaker", "from rsfilter.util.text import clean"),
        ("web", "from rsfilter import service"),
        ("rtr", "from rsfilter.config.model import Config"),
    ],
)
def test_the_test_sees_an_arrow_that_points_up(room: str, source: str) -> None:
    assert forbidden(source, room) != []


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio",
        "import socket",
        "from socket import socket",
        "import os",
        "import time",
        "import logging",
        "import threading",
        "import pathlib",
        "from pathlib import Path",
        "import random",
        "import datetime",
        "from os import path",
        "def f():\n    import time",
        "if True:\n    from time import monotonic",
        "from ..exabgp import encode",
        "open('x')",
        "print(1)",
        "__import__('time')",
    ],
)
def test_the_test_sees_what_is_impure(source: str) -> None:
    assert impurities(source) != []


CACHES_ALONE = """
[route_server]
asn = 65100
router_id = "192.0.2.100"
local_address = "192.0.2.100"
[[hosts]]
name = "hypervisors"
neighbors = ["198.51.100.1"]
asn = 65001
[[routers]]
name = "leaves"
neighbors = ["192.0.2.10"]
asn = 65200
[rtr]
caches = ["192.0.2.50:8282"]
"""

WITHOUT_LIBRTR = """
import sys
sys.modules["rsfilter.rtr._librtr"] = None  # as if it were not installed
from rsfilter.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["audit verify --help", "check", "render exabgp -o out"])
def test_commands_work_where_librtr_is_not_installed(command: str, tmp_path: Path) -> None:
    (tmp_path / "rsfilter.toml").write_text(CACHES_ALONE)
    words = [sys.executable, "-c", WITHOUT_LIBRTR, *command.split()]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
