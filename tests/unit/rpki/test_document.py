"""JSON read strictly: as other readers do, but for repeated members."""

from __future__ import annotations

import json
import re
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rsfilter.rpki.document import Problems, TruthError, read_json

Tree = Any
"""A JSON value as one writes it: an object is a tuple of (name, value), a name may come twice."""


def read(text: str | bytes) -> str:
    """The document in every detail, order and kinds of numbers included, or what is wrong."""
    try:
        return repr(read_json(text if isinstance(text, bytes) else text.encode(), Problems("f")))
    except TruthError as error:
        return str(error)
    except RecursionError:  # it is read deeper than it is shown
        return "deep"


def read_by_another(text: str | bytes) -> str | None:
    """The same by the standard library alone. None if it refuses the text."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        octets = text if isinstance(text, bytes) else text.encode()
        return repr(json.loads(octets.decode("utf-8-sig"), parse_constant=refuse))
    except (ValueError, RecursionError):
        return None


# What is read is what other readers read ---------------------------------------------------------

NAMES = st.sampled_from(("a", "b", "roas", "", "é", 'q"', "\\", "a\n"))

SCALARS = st.sampled_from(
    (
        *("0", "-0", "-0.0", "1.0", "1e2", "1E400", "-1e400", "1e-400", "0.1", "true", "null"),
        *("18446744073709551616", "-9223372036854775809", "123456789012345678901234567890"),
        *('""', '"a"', '"é"', '"\\u00e9"', '"\\ud800"', '"\\"a\\":1"', '"\\\\"', '"\x7f"'),
    )
)

WRONG = st.sampled_from(("NaN", "-Infinity", "01", "1.", "+1", "'a'", '"\t"', '"\\x"', "", "tru"))

SPACES = st.sampled_from(("", " ", "\n", "\r\n\t"))


def trees(scalars: st.SearchStrategy[str]) -> st.SearchStrategy[Tree]:
    inner = st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=3).map(tuple)
        ),
        max_leaves=10,
    )
    return st.lists(st.tuples(NAMES, inner), max_size=4).map(tuple) | inner


def written(tree: Tree, space: str, *, ascii_only: bool) -> str:
    if isinstance(tree, str):
        return tree
    if isinstance(tree, list):
        return f"[{f'{space},'.join(written(i, space, ascii_only=ascii_only) for i in tree)}]"
    members = (
        f"{json.dumps(name, ensure_ascii=ascii_only)}{space}:"
        f"{written(value, space, ascii_only=ascii_only)}"
        for name, value in tree
    )
    return f"{{{space}{f',{space}'.join(members)}{space}}}"


texts = st.builds(written, trees(SCALARS), SPACES, ascii_only=st.booleans())
wrong_texts = st.builds(written, trees(SCALARS | WRONG), SPACES, ascii_only=st.booleans())


@given(texts | wrong_texts)
@example('{"a": 1, "a": 1}')
@example('{"a": [{"b": 1}, {"b": 1, "c": {"d": "x", "d": "x"}}]}')
@example('{"a": "x", "a": 1}')
@example('{"a": "\\"", "a": 1}')
@example('{"a": 1, "\\u0061": 1}')
def test_other_readers_read_the_same(text: str) -> None:
    assert read(b"\xef\xbb\xbf" + text.encode()) == read(text)
    assert_alike(text)


def assert_alike(text: str | bytes) -> None:
    ours, theirs = read(text), read_by_another(text)
    if ours.startswith("{"):
        assert ours == theirs
    elif theirs is not None:
        assert "is given more than once" in ours or "must be one JSON object" in ours


@given(texts, st.data())
def test_a_damaged_document_is_refused(text: str, data: st.DataObject) -> None:
    octets = text.encode()
    at = data.draw(st.integers(0, len(octets)))
    until = data.draw(st.integers(at, min(at + 3, len(octets))))
    instead = data.draw(st.sampled_from((b"", b'"', b"\\", b",", b"{", b"]", b"\xed\xa0\x80")))
    assert_alike(octets[:at] + instead + octets[until:])


@given(texts)
def test_a_repeated_member_is_found_wherever_it_is(text: str) -> None:
    """A decoder that checks nothing else is the oracle."""
    repeats = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        repeats.append(len({name for name, _ in pairs}) < len(pairs))

    json.loads(text, object_pairs_hook=note)
    assert ("is given more than once" in read(text)) is any(repeats)


@pytest.mark.parametrize("depth", [10, 300, 900, 985, 1000, 5000])
@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_what_nests_deeply_is_read_or_refused(opening: str, closing: str, depth: int) -> None:
    nested = f'{{"roas": {opening * depth}1{closing * depth}}}'
    assert read(nested) in ("deep", read_by_another(nested)) or "nested far too deep" in read(
        nested
    )
    repeated = f'{{"roas": {opening * depth}{{"b": 1, "b": 1}}{closing * depth}}}'
    assert re.search("is given more than once|nested far too deep", read(repeated))


# It stops no thread -----------------------------------------------------------------------------


def test_others_have_their_turn_at_each_object() -> None:
    """A thread gives way at calls into Python only: reading half a million objects without one
    stopped every other thread for 0.4 s."""
    calls = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    text = json.dumps({"roas": [{"asn": 1}] * 1000})
    sys.setprofile(count)
    try:
        read(text)
    finally:
        sys.setprofile(None)
    assert calls >= 1000
