"""One name, one meaning: no class takes the name of another one in the package."""

from __future__ import annotations

import ast
from collections import Counter

from support.places import ROOT


def doubles() -> set[str]:
    """Names that two classes have, a leading underscore ignored."""
    names = Counter(
        node.name.lstrip("_")
        for path in (ROOT / "rsfilter").rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    return {name for name, times in names.items() if times > 1}


def test_no_class_takes_the_name_of_another() -> None:
    assert doubles() == set()
