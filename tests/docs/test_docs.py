"""Documents that are made from code have the content of the code.

UPDATE=1 pytest tests/docs/test_docs.py      writes them anew
"""

from __future__ import annotations

import os
import re

import pytest
from support import config_reference
from support.places import TESTS

from rsfilter.exabgp.router_states import NEVER, STAYS, TRANSITIONS, Signal, State
from rsfilter.routing.reasons import REASONS

DOCS = TESTS.parent / "docs"

REASONS_HEAD = """# Reasons for rejections, and how to fix them

rsfilter runs every check on every route, and keeps all reasons for which it rejects or holds the
route, the most specific first. The audit log, the page, `rsfilter explain` and the metrics use this
order. The numbers up to 13 are Euro-IX's reject reasons for route servers, and those from 2001 on
are rsfilter's own.

| reason | condition | how to fix it | Euro-IX |
|---|---|---|---|
"""


def is_current(name: str, text: str) -> bool:
    """The document is this text. With UPDATE it is, from now on."""
    path = DOCS / name
    if os.environ.get("UPDATE"):
        path.write_text(text)
    return path.read_text() == text


def test_the_list_of_reasons_is_current() -> None:
    rows = [f"| `{r.name}` | {r.text} | {r.remedy} | {r.euro_ix} |\n" for r in REASONS.values()]
    assert is_current("reasons.md", REASONS_HEAD + "".join(rows))


ROUTER_STATES_HEAD = """# The states of a router's session

ExaBGP sends routes bucket by bucket, not in the order of the commands. `rsfilter` therefore
separates two changes of one prefix by a barrier, an End-of-RIB that comes back
([ADR 2](adr/0002-egress-is-state.md)). A state consists of the phase of the router's session, and
the progress of the current barrier. This page is generated from `rsfilter/exabgp/router_states.py`:
an empty cell is no change, *never* is a bug that raises an error.

"""


def _router_table() -> str:
    states = dict.fromkeys(state for state, _ in TRANSITIONS)
    lines = ["| state | " + " | ".join(signal.value for signal in Signal) + " |"]
    lines.append("|---" * (len(Signal) + 1) + "|")
    for state in states:
        cells = [TRANSITIONS[state, signal] for signal in Signal]
        texts = ["" if c is STAYS else "*never*" if c is NEVER else str(c) for c in cells]
        lines.append(f"| **{state}** | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _router_picture() -> str:
    def name(state: State) -> str:
        return str(state).replace(", ", "_")

    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> down"]
    lines += [
        f"    {name(state)} --> {name(to)}: {signal.value}"
        for (state, signal), to in TRANSITIONS.items()
        if isinstance(to, State) and signal is not Signal.DOWN
    ]
    lines.append("```\n\nFrom every state, *session down* leads to down.\n")
    return "\n".join(lines)


def test_the_table_of_router_states_is_current() -> None:
    text = f"{ROUTER_STATES_HEAD}{_router_table()}\n\n{_router_picture()}"
    assert is_current("router-states.md", text)


EXAMPLE = (DOCS / "rsfilter.example.toml").read_text()


def test_the_example_describes_keys_as_the_code_treats_them() -> None:
    assert list(config_reference.contradictions(EXAMPLE)) == []


@pytest.mark.parametrize(
    ("original", "instead", "contradiction"),
    [
        ("#port = 179  ", "#port = 180  ", "route_server.port: the default is 179"),
        ("0 to 254", "0 to 255", "hosts.max_prepends: the limits are {('0', '254')}"),
        (
            "must exist for service. Default: none",
            "must exist for service",
            "readiness.ready_file: the default is None",
        ),
        ("#refresh =", "#refreshed =", "[rtr] has other keys"),
        ("[http]", "[https]", "[http] is only in one"),
    ],
)
def test_an_example_that_contradicts_the_code_is_noticed(
    original: str, instead: str, contradiction: str
) -> None:
    changed = EXAMPLE.replace(original, instead, 1)
    found = list(config_reference.contradictions(changed))
    assert any(each.startswith(contradiction) for each in found)


def test_every_key_of_the_configuration_is_in_its_table() -> None:
    """docs/configuration.md has the table of each section, in its place."""
    text = (DOCS / "configuration.md").read_text()
    places = re.compile(r"(?<=<!-- keys of )([a-z_.]+)( -->\n\n)(?:\|.*\n)*(?=\n<!-- end -->\n)")
    assert {match[1] for match in places.finditer(text)} == config_reference.examples(
        EXAMPLE
    ).keys()
    assert is_current(
        "configuration.md",
        places.sub(lambda m: m[1] + m[2] + config_reference.keys(EXAMPLE, m[1]), text),
    )


@pytest.mark.parametrize("name", ["guarantees.md", "scenarios.md"])
def test_every_test_that_is_named_is_there(name: str) -> None:
    named = re.findall(r"(test_\w+\.py)(?:::(\w+))?", (DOCS / name).read_text())
    assert named
    for file, test in named:
        sources = [path.read_text() for path in TESTS.rglob(file)]  # several may have one name
        assert sources, file
        assert not test or any(f"def {test}(" in each for each in sources), f"{file}::{test}"
