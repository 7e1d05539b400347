"""JSON read strictly: the quick way reads what the careful one does, and refuses the same."""

from __future__ import annotations

import json
import sys
from types import FrameType
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rsfilter.rpki import document
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


def read_carefully(text: str | bytes) -> str:
    with patch.object(document, "_has_marks", return_value=False):
        return read(text)


# The quick way agrees with the careful one -------------------------------------------------------

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
def test_what_is_read_does_not_depend_on_the_way(text: str) -> None:
    assert read(text) == read_carefully(text)
    assert read(b"\xef\xbb\xbf" + text.encode()) == read(text)


@given(texts, st.data())
def test_what_is_damaged_is_refused_alike(text: str, data: st.DataObject) -> None:
    octets = text.encode()
    at = data.draw(st.integers(0, len(octets)))
    until = data.draw(st.integers(at, min(at + 3, len(octets))))
    instead = data.draw(st.sampled_from((b"", b'"', b"\\", b",", b"{", b"]", b"\xed\xa0\x80")))
    damaged = octets[:at] + instead + octets[until:]
    assert read(damaged) == read_carefully(damaged)


@given(texts)
def test_a_repeated_member_is_found_wherever_it_is(text: str) -> None:
    """By a decoder that is told to look at nothing else."""
    repeats = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        repeats.append(len({name for name, _ in pairs}) < len(pairs))

    json.loads(text, object_pairs_hook=note)
    assert ("is given more than once" in read(text)) is any(repeats)


@pytest.mark.parametrize("depth", [10, 300, 900, 985, 1000, 5000])
@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]")])
def test_what_nests_deeply_is_read_alike(opening: str, closing: str, depth: int) -> None:
    for text in (
        f'{{"roas": {opening * depth}1{closing * depth}}}',
        f'{{"roas": {opening * depth}{{"b": 1, "b": 1}}{closing * depth}}}',
    ):
        assert read(text) == read_carefully(text)


# The quick way is taken, and stops nobody --------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        {"roas": [{"prefix": "10.0.0.0/8", "asn": 1, "x": [1.5, None, True, 2**70]}] * 25_000},
        {"hosts": [{"name": "hv1", "prefixes": ["10.0.0.0/8"]}], "metadata": {"author": "Zoë"}},
        {"slurmVersion": 1, "locallyAddedAssertions": {"prefixAssertions": [{"asn": 1}] * 3}},
        {},
    ],
)
def test_usual_documents_are_not_looked_at_twice(made: dict[str, Any]) -> None:
    with patch.object(document, "_decode_pairs", side_effect=AssertionError):
        assert read(json.dumps(made, ensure_ascii=False)) == repr(made)


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
