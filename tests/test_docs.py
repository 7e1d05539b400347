"""Documents that are made from code say what the code says.

UPDATE=1 pytest tests/test_docs.py      writes them anew
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from rsfilter.routing.reasons import REASONS

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"

REASONS_HEAD = """# Reasons

Why a route is rejected, or held. Every check runs and every reason is kept, the most telling first;
they are told in this order in the audit log, on the page, by `rsfilter explain`, and as labels of
the metrics. The numbers up to 13 are Euro-IX's reject reasons for route servers, those from 2001 on
are rsfilter's own.

| reason | when | what would have it accepted | Euro-IX |
|---|---|---|---|
"""


def is_current(name: str, text: str) -> bool:
    """The document is this text. With UPDATE it is, from now on."""
    path = DOCS / name
    if os.environ.get("UPDATE"):
        path.write_text(text)
    return path.read_text() == text


def test_reasons() -> None:
    rows = [f"| `{r.name}` | {r.text} | {r.remedy} | {r.euro_ix} |\n" for r in REASONS.values()]
    assert is_current("reasons.md", REASONS_HEAD + "".join(rows))


@pytest.mark.parametrize("name", ["guarantees.md", "scenarios.md"])
def test_every_test_that_is_named_is_there(name: str) -> None:
    named = re.findall(r"(test_\w+\.py)(?:::(\w+))?", (DOCS / name).read_text())
    assert named
    for file, test in named:
        source = (TESTS / file).read_text()
        assert not test or f"def {test}(" in source, f"{file}::{test}"
