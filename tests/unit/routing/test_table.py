"""The routing table is the only owner of routes: others read it, or call its methods."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.places import ROOT

PACKAGE = ROOT / "rsfilter"
OWNERS = {"table.py", "retention.py", "adj_rib_in.py", "adj_rib_out.py"}

CHANGES = {
    "rib_in": {"insert", "remove", "set_route", "set_verdict", "table"},
    "guard": {"hold", "lose", "accept", "reject", "verdict"},
    "neighbors": {"replace_hosts"},
}
"""Methods by which a part of the table changes, or learns of a route that is in it."""

PARTS = {"data", "guard", "rib_in", "ribs_out", "neighbors"}


def changes(source: str) -> list[str]:
    """The calls that change a part of a table, and the assignments that replace one."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if node.func.attr in CHANGES.get(name, ()):
                found.append(f"{name}.{node.func.attr}")
        elif isinstance(node, ast.Assign):
            found += [
                f"table.{target.attr}"
                for target in node.targets
                if isinstance(target, ast.Attribute)
                and target.attr in PARTS
                and getattr(target.value, "id", getattr(target.value, "attr", "")) == "table"
            ]
    return found


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if path.name not in OWNERS],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_nothing_else_changes_routes_or_verdicts(path: Path) -> None:
    assert changes(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source", ["table.rib_in.remove(key)", "guard.hold(route, verdict, '')", "table.data = new"]
)
def test_a_change_from_outside_is_found(source: str) -> None:
    assert changes(source) != []
