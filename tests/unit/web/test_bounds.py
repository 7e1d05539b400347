"""The cost of a client's truth is bounded before it is parsed."""

from __future__ import annotations

import contextlib
import time

import pytest

from rsfilter.web import bounds
from rsfilter.web.bounds import MAX_NESTING, MAX_VALUES, TooLargeError, check_bounds

GOOD = [
    b'{"roas": [{"prefix": "203.0.113.0/24", "asn": 65001}]}',
    b'{"hosts": [{"name": "[[[[[[[[[[[[[[[[[[[[[[[[[[", "asn": 1}]}',
    rb'{"roas": [], "a\"[": "\\"}',
    b"[" * MAX_NESTING + b"]" * MAX_NESTING,
    b"[{" * (MAX_NESTING // 2) + b"}]" * (MAX_NESTING // 2),
    b"no JSON at all, {{{[ which the parser says better",
    b'"a text that is cut \\',
    b"",
]


@pytest.mark.parametrize("content", GOOD)
def test_what_is_within_the_bounds_is_left_to_the_parser(content: bytes) -> None:
    check_bounds(content)


DEEP = MAX_NESTING + 1


@pytest.mark.parametrize(
    "content",
    [
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'[{"a":' * DEEP + b"[]" + b"}]" * DEEP,
        b'{"roas": [], "metadata": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_nests_too_deep_is_refused(content: bytes) -> None:
    with pytest.raises(TooLargeError, match="nests deeper than 16"):
        check_bounds(content)


def test_values_are_counted_and_texts_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """One object, one list, and two commas: four."""
    monkeypatch.setattr(bounds, "MAX_VALUES", 4)
    check_bounds(b'{"roas": [1, "2,,,,,{{[[", 3]}')
    with pytest.raises(TooLargeError, match="has 5 JSON values; here it may have 4"):
        check_bounds(b'{"roas": [1, 2, 3, 4]}')


def hostile(kind: str, size: int) -> bytes:
    """A body of about `size` octets."""
    piece = {
        "lists": b"[],",
        "quotes": b'\\"',
        "open quotes": b'"\\',
        "texts": b'"",',
        "brackets": b"[",
        "pairs": b"[{",
    }[kind]
    return b'{"roas":["' + piece * (size // len(piece))


@pytest.mark.parametrize("kind", ["lists", "quotes", "open quotes", "texts", "brackets", "pairs"])
def test_the_check_costs_what_the_body_has_in_octets(kind: str) -> None:
    """Four times the octets take four times as long, not sixteen; measured in CPU time."""
    taken = []
    for size in (1 << 20, 1 << 22):
        content = hostile(kind, size)
        started = time.process_time()
        with contextlib.suppress(TooLargeError):
            check_bounds(content)
        taken.append(time.process_time() - started)
    assert taken[1] < 8 * taken[0] + 0.05


def test_a_million_entries_are_within_the_bounds() -> None:
    entry = b'{"prefix":"203.0.113.0/24","maxLength":32,"asn":65001,"ta":"x","expires":1}'
    assert (entry.count(b",") + 1 + 1) * 1_000_000 <= MAX_VALUES
