"""Manual pages in the language of man(7): text made safe, and Markdown turned into it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

WIDTH = 72
"""Columns of a line of the source: mandoc complains about more than 80 octets."""

_SPECIAL = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}
"""Characters that groff would print as others, or that begin an escape."""

_FONTS = {"strong": "B", "em": "I"}


def escape(text: str) -> str:
    """Return text that stands for itself, inside a line."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def bold(text: str) -> str:
    """Return text in bold: to be typed as it is."""
    return f"\\fB{escape(text)}\\fR"


def italic(text: str) -> str:
    """Return text in italics: to be replaced by a value."""
    return f"\\fI{escape(text)}\\fR"


def filled(source: str) -> str:
    """Return a paragraph of escaped text as lines. No line of it is a request."""
    lines = textwrap.wrap(source, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "".join(_not_a_request(line) + "\n" for line in lines)


def verbatim(text: str) -> str:
    """Return an indented block whose lines stay as they are."""
    lines = (_not_a_request(escape(line)) for line in text.rstrip("\n").splitlines())
    return ".PP\n.in +4n\n.EX\n" + "".join(line + "\n" for line in lines) + ".EE\n.in\n"


def tagged(tag: str, *paragraphs: str) -> str:
    """Return an entry of a list: an escaped tag, and escaped paragraphs below it."""
    first, *more = paragraphs
    text = ".TP\n" + _not_a_request(tag) + "\n" + (filled(first) or "\\&\n")
    return text + "".join(".IP\n" + filled(each) for each in more)


def title(name: str, section: int, summary: str, date: str, source: str) -> str:
    """Return the head of a page."""
    head = f'.TH "{escape(name.upper())}" {section} {date} "{escape(source)}" "rsfilter"\n'
    return head + f".SH NAME\n{escape(name)} \\- {escape(summary)}\n"


def page(*parts: str) -> str:
    """Return a whole page. A paragraph begins by itself after a heading."""
    return re.sub(r"^(\.S[HS] .*\n)\.PP\n", r"\1", "".join(parts), flags=re.MULTILINE)


def _not_a_request(line: str) -> str:
    return f"\\&{line}" if line.startswith((".", "'")) else line


# Markdown ------------------------------------------------------------------------------------


def from_markdown(text: str) -> str:
    """Return the body of a page of the manual, without its first heading."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return '.SH "DESCRIPTION"\n' + "".join(_Blocks(tokens).made())


def _inline(token: Token) -> str:
    """Return the text of a line: escaped, code in bold, links as their text."""
    made = ""
    for child in token.children or ():
        kind, _, edge = child.type.rpartition("_")
        if child.type == "text":
            made += escape(child.content)
        elif child.type == "code_inline":
            made += bold(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            made += " "
        elif kind in _FONTS:
            made += f"\\f{_FONTS[kind]}" if edge == "open" else "\\fR"
    return made


class _Blocks:
    """Blocks of a page, one after the other."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = iter(tokens)
        self._prefix = ".PP\n"
        """Request before the next paragraph; the first of an item has another."""

    def made(self) -> Iterator[str]:
        for token in self._tokens:
            if token.type == "heading_open":
                heading = _inline(next(self._tokens))
                if token.tag != "h1":
                    kind = ".SH" if token.tag == "h2" else ".SS"
                    yield f'{kind} "{heading.replace(chr(34), "(dq")}"\n'
            elif token.type in ("fence", "code_block"):
                yield verbatim(token.content)
            elif token.type == "list_item_open":
                self._prefix = ".IP \\(bu 2\n" if token.markup in "-*" else ".IP \\(en 2\n"
            elif token.type == "inline":
                yield self._prefix + filled(_inline(token))
                self._prefix = ".PP\n"
            elif token.type == "table_open":
                yield from self._table()

    def _table(self) -> Iterator[str]:
        """Yield the rows of a table, each as an entry with its first cell as the tag."""
        head, *rows = self._rows()
        for first, *cells in rows:
            if head[:3] == ["key", "what it takes", "default"]:
                takes, default, example, text = cells
                needed = "Needed." if default == "needed" else f"Default: {default}."
                facts = f"Takes {takes}. {needed}" + (f" Example: {example}." if example else "")
                yield tagged(first, sentences(text), facts)
            else:
                yield tagged(first, " \\(en ".join(cell for cell in cells if cell))

    def _rows(self) -> list[list[str]]:
        rows: list[list[str]] = []
        for token in self._tokens:
            if token.type == "table_close":
                break
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(_inline(token))
        return rows


def sentences(text: str) -> str:
    """Return a text with a capital at its beginning and a full stop at its end."""
    text = re.sub(r"\s+", " ", text).strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) or not text else ".")
