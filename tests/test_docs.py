"""Documents that are made from code say what the code says.

UPDATE=1 pytest tests/test_docs.py      writes them anew
"""

from __future__ import annotations

import os
from pathlib import Path

from rsfilter.routing.reasons import REASONS

DOCS = Path(__file__).parents[1] / "docs"

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
