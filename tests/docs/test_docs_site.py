"""Links and anchors of the manual, in the repository and on the site (mkdocs.yml).

Read by the Markdown of GitHub and GitLab (CommonMark with tables). `make docs` lets the site's own
Markdown check the same links; where the two differ the pages keep to what both take alike.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from markdown_it.token import Token
from support.pages import DOCS, PAGES, TEXTS, name_of, tokens
from support.places import ROOT


@cache
def anchors(path: Path) -> set[str]:
    """Anchors of the headings. One that is there twice is none: each Markdown numbers it in its own
    way."""
    parsed = tokens(path)
    headings = [parsed[i + 1] for i, token in enumerate(parsed) if token.type == "heading_open"]
    slugs = Counter(slug(heading) for heading in headings)
    return {anchor for anchor, times in slugs.items() if times == 1}


def slug(heading: Token) -> str:
    """The anchor that GitHub makes of a heading."""
    text = "".join(part.content for part in heading.children or ())
    return re.sub(r"[^\w\- ]", "", text).lower().replace(" ", "-")


def links(path: Path) -> Iterator[str]:
    """Targets of the page's links and images, those of other sites left out."""
    for token in tokens(path):
        target = token.attrs.get("href") or token.attrs.get("src")
        if token.type in ("link_open", "image") and not re.match("[a-z]+:", str(target)):
            yield str(target)


def problem(page: Path, link: str) -> str | None:
    """Problem of a link."""
    path, _, anchor = unquote(link).partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT):
        return "leaves the repository"
    if not target.is_file():  # a directory has no page of its own on the site
        return "is no file"
    if is_on_site(page) and not is_on_site(target):
        return "is not on the site"
    if anchor and anchor not in anchors(target):
        return f"has no anchor #{anchor} of its own"
    return None


def is_on_site(path: Path) -> bool:
    return path.is_relative_to(DOCS) or path in nav_pages()


class NavLoader(yaml.SafeLoader):
    """YAML whose Python objects, which are for mkdocs, are None."""


NavLoader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


@cache
def nav_pages() -> list[Path]:
    """Every page of the nav: what docs/ does not have, the repository's root has."""
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(), NavLoader)["nav"]
    return [DOCS / name if (DOCS / name).is_file() else ROOT / name for name in leaves(nav)]


def leaves(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for item in nav.values() if isinstance(nav, dict) else nav:
            yield from leaves(item)


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_every_link_and_anchor_is_there(page: Path) -> None:
    wrong = {link: problem(page, link) for link in links(page)}
    assert {link: text for link, text in wrong.items() if text} == {}


def test_what_is_wrong_with_a_link_is_noticed() -> None:
    page = DOCS / "configuration.md"
    assert "operations.md#another-configuration" in links(page)
    assert {"guard", "readiness-leaving-service-on-purpose"} < anchors(page)
    assert problem(page, "operations.md#another-configuration") is None
    assert problem(page, "#guard") is None
    assert problem(page, "../CHANGELOG.md") is None
    assert problem(page, "operations.md#nowhere") == "has no anchor #nowhere of its own"
    assert problem(page, "nowhere.md") == "is no file"
    assert problem(page, "examples") == "is no file"
    assert problem(page, "../pyproject.toml") == "is not on the site"
    assert problem(page, "../../nowhere.md") == "leaves the repository"


def test_every_page_is_in_the_nav_once() -> None:
    nav = nav_pages()
    assert sorted(page for page in nav if page.is_relative_to(DOCS)) == PAGES
    assert [page for page in nav if not page.is_file()] == []
    assert len(set(nav)) == len(nav)


def test_every_page_is_in_the_index_or_in_that_of_its_directory() -> None:
    """docs/README.md, for those who read without the site."""
    for index in (page for page in PAGES if page.name == "README.md"):
        listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
        beside = {p for p in index.parent.glob("*.md") if p != index}
        assert beside - listed == set()


def test_every_example_and_image_is_shown_by_a_page() -> None:
    there = {
        path
        for directory in ("examples", "images")
        for path in (DOCS / directory).rglob("*")
        if path.is_file() and path.suffix not in (".md", ".pyc")
    }
    shown = {
        (page.parent / link.partition("#")[0]).resolve() for page in TEXTS for link in links(page)
    }
    assert there - shown == set()


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_the_site_reads_the_page_as_the_repository_does(page: Path) -> None:
    """Python-Markdown takes what follows a paragraph without a blank line for more of it."""
    lines = page.read_text().splitlines()
    starts = [
        token.map[0]
        for token in tokens(page)
        if token.type in ("bullet_list_open", "ordered_list_open", "table_open", "fence")
        and token.level == 0
        and token.map
    ]
    assert [line + 1 for line in starts if line and lines[line - 1].strip()] == []
