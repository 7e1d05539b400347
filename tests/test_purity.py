"""The core is pure: it imports values and algorithms, never the world."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROUTING = Path(__file__).parent.parent / "rsfilter" / "routing"
MODULES = sorted(ROUTING.glob("**/*.py"))

PURE = {
    "__future__",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "ipaddress",
    "itertools",
    "math",
    "operator",
    "types",
    "typing",
}
"""The standard library's modules that neither do I/O nor know the time or chance."""

STRUCTS = {"msgspec.Struct", "msgspec.structs.replace"}
"""Values that are made for every route. The rest of msgspec reads and writes text."""

IMPURE_BUILTINS = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}


def imports(tree: ast.AST) -> Iterator[str]:
    """Imported modules, and names from modules; a relative import keeps its dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_pure(name: str) -> bool:
    if name in STRUCTS or name.startswith("rsfilter.routing."):
        return True
    return name.partition(".")[0] in PURE


def impurities(source: str) -> list[str]:
    tree = ast.parse(source)
    called = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return [name for name in imports(tree) if not is_pure(name)] + sorted(called & IMPURE_BUILTINS)


def test_there_is_a_core() -> None:
    assert {"policy.py", "engine.py", "table.py", "adj_rib_out.py"} <= {m.name for m in MODULES}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_the_core_is_pure(module: Path) -> None:
    assert impurities(module.read_text(encoding="utf-8")) == []


def test_what_counts_as_pure_is_the_standard_library() -> None:
    assert sys.stdlib_module_names >= PURE


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio",
        "import socket",
        "import os",
        "import time",
        "import logging",
        "import threading",
        "import subprocess",
        "import pathlib",
        "import random",
        "import datetime",
        "import msgspec",
        "from msgspec import json",
        "from msgspec.json import decode",
        "from os import path",
        "import os.path",
        "def f():\n    import time",
        "if True:\n    from time import monotonic",
        "from rsfilter.exabgp import encode",
        "from rsfilter.rpki.vrps import VrpSet",
        "from rsfilter import config",
        "import rsfilter.web.server",
        "from ..exabgp import encode",
        "from . import policy",
        "open('x')",
        "print(1)",
        "__import__('time')",
    ],
)
def test_the_test_sees_what_is_impure(source: str) -> None:
    assert impurities(source) != []
