"""Every place of a JSON line, and the line with something else there."""

from __future__ import annotations

from typing import Any


def places(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every member and item of a document."""
    inner = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [way for key, value in inner for way in ((*at, key), *places(value, (*at, key)))]


def replaced(node: Any, way: tuple[Any, ...], value: Any) -> Any:
    if not way:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[way[0]] = replaced(copy[way[0]], way[1:], value)
    return copy
