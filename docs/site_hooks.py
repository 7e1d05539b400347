"""Hooks by which mkdocs makes one site of docs/ and of the project's own files beside it.

The pages stay as the repository shows them. A page that the nav of mkdocs.yml names and docs/ does
not have is taken from the root of the repository (CHANGELOG.md), and links between the two, which
the site has in one directory, are written anew while it is built. `search_boost` of mkdocs.yml has
the pages that the search shows before others, or after them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
DOCS = "docs/"

LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)[^)#\s]+")
"""The path of `[text](path#anchor)`, where it is no URL."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the nav that are not in docs/."""
    for name in nav_pages(config.nav):
        if files.get_file_from_path(name) is None and (ROOT / name).is_file():
            files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def nav_pages(nav: Any) -> Iterator[str]:
    """Every page that the nav names, however deep."""
    if isinstance(nav, str):
        yield nav
    else:
        for item in nav.values() if isinstance(nav, dict) else nav or ():
            yield from nav_pages(item)


def on_page_markdown(
    markdown: str, *, page: Page, config: MkDocsConfig, files: Files, **_: object
) -> str:
    """Rewrite the links of the page for the site, and set its weight in the search.

    The weight is not in the page itself, where GitHub would show it as a table above the title.
    """
    source = page.file.src_uri
    if boost := config.extra["search_boost"].get(source):
        page.meta["search"] = {"boost": boost}
    in_repository = source if page.file.generated_by else DOCS + source

    def rewritten(link: re.Match[str]) -> str:
        target = normpath(join(dirname(in_repository), link[0])).removeprefix(DOCS)
        return relpath(target, dirname(source)) if files.get_file_from_path(target) else link[0]

    return LINK.sub(rewritten, markdown)
