"""Values of `RSFILTER_SPEAKER` as `rsfilter run` reads them; any program may set it."""

from __future__ import annotations

import json

import pytest

from rsfilter.commands.status import _replaced
from rsfilter.exabgp.speaker import LONGEST, VARIABLE, Speaker, read_speaker
from rsfilter.speaker import program
from rsfilter.speaker.replacement import Installed


def test_the_account_that_exabgp_hands_over_is_read() -> None:
    names = tuple(each.name for each in program.REPLACEMENTS)
    installed = Installed("5.0.15", names[1:], {names[0]: "not made for the source of x:y"})
    found = read_speaker(program.described(installed))
    assert found == Speaker("5.0.15", list(names[1:]), [names[0]])
    assert program.VARIABLE == VARIABLE


def test_without_an_account_nothing_is_replaced() -> None:
    assert read_speaker(None) is None
    assert _replaced(None) == "no function replaced"


GOOD = {"exabgp": "5.0.15", "replaced": ["loop"], "left_out": []}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "loop",
        "[]",
        json.dumps({**GOOD, "more": 1}),
        json.dumps({**GOOD, "replaced": ["a\n"]}),
        json.dumps({**GOOD, "replaced": ["\x1b[2J"]}),
        json.dumps({**GOOD, "replaced": ["x" * 33]}),
        json.dumps({**GOOD, "replaced": ["x"] * 51}),
        json.dumps({**GOOD, "exabgp": "<script>"}),
        json.dumps(GOOD) + " " * LONGEST,
        '{"exabgp": "5.0.15"}',
    ],
)
def test_what_is_no_account_is_none(text: str) -> None:
    assert read_speaker(text) is None


def test_status_names_what_is_replaced_and_what_is_not() -> None:
    shown = _replaced({"exabgp": "5.0.16", "replaced": ["steps", "loop"], "left_out": ["packing"]})
    assert shown == "5.0.16, replaced: steps, loop; left out: packing"
    assert _replaced({"exabgp": "5.0.15", "replaced": [], "left_out": []}) == (
        "no function replaced"
    )
