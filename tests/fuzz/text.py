"""Text that may be shown: a terminal, a log and a line-based reader do no more than show it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

MAX_PROBLEM = 1000
"""Characters of one problem. A page of them can be read."""


def assert_plain(text: str, what: str) -> None:
    """No control or format character, no lone surrogate: nothing that a terminal would obey."""
    if text.isprintable():
        return
    strange = [char for char in text if not char.isprintable()]
    raise AssertionError(f"{what} has {strange[:5]!a}: {text[:200]!a}")


def assert_problems(problems: Iterable[str], what: str) -> None:
    """Messages for people: each one line, plain, and of a length that is read."""
    for problem in problems:
        assert_plain(problem, what)
        assert len(problem) <= MAX_PROBLEM, f"{what} has {len(problem)} characters"


def loads(data: bytes | str) -> Any:
    """Strict JSON by the standard library, or None: what an independent reader makes of it.

    An object with a repeated name is nothing that two readers agree on: None.
    """

    def make(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            raise ValueError("repeated")
        return made

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        return json.loads(data, object_pairs_hook=make, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
