"""The pages of the manual as tokens."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from support.places import ROOT

DOCS = ROOT / "docs"


PAGES = sorted(DOCS.rglob("*.md"))


TEXTS = PAGES + sorted(ROOT.glob("*.md"))


MARKDOWN = MarkdownIt("commonmark").enable("table")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tokens(path: Path) -> list[Token]:
    """The page, blocks and what is inside lines."""
    blocks = MARKDOWN.parse(path.read_text())
    return [token for block in blocks for token in (block, *(block.children or ()))]
