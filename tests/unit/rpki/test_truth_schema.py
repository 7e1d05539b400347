"""docs/truth.schema.json and the examples of docs/truth.md: as strict as `truth check`, or less."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.places import ROOT

from rsfilter.rpki.truth import TruthError, parse_truth

FIXTURES = ROOT / "fixtures" / "truth"
SCHEMA = jsonschema_rs.validator_for(json.loads((ROOT / "docs" / "truth.schema.json").read_text()))
EXAMPLES = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "truth.md").read_text(), re.DOTALL)

BEYOND_A_SCHEMA = {
    "empty.json",
    "truncated.json",
    "repeated-member.json",
    "overlapping-owners.json",
}
"""Files that are no JSON, or wrong only if two places are compared."""

NOW = 1_900_000_000.0


def test_the_examples_of_the_manual_are_good() -> None:
    formats = [parse_truth(text.encode(), "truth.md", NOW) for text in EXAMPLES]
    assert [truth.format for truth in formats] == ["hosts", "roas", "slurm"]
    assert all(not truth.warnings for truth in formats)
    assert all(SCHEMA.is_valid(json.loads(text)) for text in EXAMPLES)


@pytest.mark.parametrize("path", sorted((FIXTURES / "good").iterdir()), ids=lambda path: path.name)
def test_good_files_are_valid(path: Path) -> None:
    SCHEMA.validate(json.loads(path.read_bytes()))


@pytest.mark.parametrize("path", sorted((FIXTURES / "bad").iterdir()), ids=lambda path: path.name)
def test_bad_files_are_not(path: Path) -> None:
    if path.name not in BEYOND_A_SCHEMA:
        assert not SCHEMA.is_valid(json.loads(path.read_bytes()))


# Good files with a few things changed ------------------------------------------------------------

GOOD = [json.loads(path.read_bytes()) for path in sorted((FIXTURES / "good").iterdir())]
GOOD += map(json.loads, EXAMPLES)
NAMES = ["prefix", "asn", "maxLength", "max_length", "prefixes", "roas", "expires", "metadata", "x"]
VALUES = [0, 1, 24, 128, 129, -1, 2**32, 1.5, True, None, "", "x", "AS1", "as65007", "7", [], {}]
VALUES += ["10.0.0.0/8", "10.0.0.1/8", "10.0.0.1/32", "2001:db8::/32", "::/0", "192.0.2.1", "::1"]
VALUES += [["192.0.2.7"], ["10.0.0.0/8"], [{"prefix": "10.0.0.0/8", "asn": 1}], 2_000_000_000]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) inside."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    document: dict[str, Any] = deepcopy(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(list(places(document)) or [(document, "metadata")]))
        match draw(st.sampled_from(["replace", "replace", "remove", "rename", "add"])):
            case "remove":
                container.pop(key, None) if isinstance(container, dict) else container.pop(key)
            case "rename" if isinstance(container, dict) and key in container:
                container[draw(st.sampled_from(NAMES))] = container.pop(key)
            case "add" if isinstance(container, dict):
                container[draw(st.sampled_from(NAMES))] = deepcopy(draw(st.sampled_from(VALUES)))
            case _:
                container[key] = deepcopy(draw(st.sampled_from(VALUES)))
    return document


@settings(max_examples=500)
@given(changed())
def test_what_is_good_is_valid(document: dict[str, Any]) -> None:
    try:
        parse_truth(json.dumps(document).encode(), "truth.json", NOW)
    except TruthError:
        return
    SCHEMA.validate(document)
