"""The manual pages: complete, and in a language that every `man` understands."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import man
import pytest
import roff
from support import config_reference
from support.places import ROOT

from rsfilter.cli import COMMANDS, command_line

PAGES = dict(man.pages("2026-12-01"))


def test_every_command_has_a_page_that_names_its_options() -> None:
    parsers = man._subparsers(command_line())
    assert len(parsers) == len(COMMANDS)
    for name, parser in parsers.items():
        text = PAGES[f"rsfilter-{name}.1"]
        for each in (parser, *man._subparsers(parser).values()):
            for option in each._option_string_actions:
                assert roff.bold(option) in text, (name, option)
        assert f"\\fBrsfilter\\-{name}\\fR(1)" in PAGES["rsfilter.1"]


def test_every_key_and_member_is_explained() -> None:
    for section, keys in config_reference.fields().items():
        for key in keys if section else ():
            assert f".TP\n{roff.bold(key)}\n" in PAGES["rsfilter.toml.5"], (section, key)
    for member in ("name", "asn", "neighbors", "prefixes", "max_length"):
        assert f".TP\n{roff.bold(member)}\n" in PAGES["rsfilter-truth.5"]


def test_the_machine_that_builds_the_pages_is_not_in_them() -> None:
    for text in PAGES.values():
        assert str(ROOT) not in text
    assert "(default: the current user)" in " ".join(PAGES["rsfilter-render.1"].split())


@pytest.mark.parametrize("text", [".so /etc/passwd", "'hello", "x " * 40 + ".TH", "a\n.TH"])
def test_no_text_is_a_request(text: str) -> None:
    filled, verbatim = roff.filled(roff.escape(text)), roff.verbatim(text)
    assert not re.search(r"^[.']", filled, re.MULTILINE)
    requests = re.findall(r"^[.'].*", verbatim, re.MULTILINE)
    assert requests == [".PP", ".in +4n", ".EX", ".EE", ".in"]


def test_a_backslash_is_printed() -> None:
    assert roff.filled(roff.escape("a\\b-c")) == "a\\eb\\-c\n"


def test_markdown_keeps_its_text() -> None:
    source = "# t\n\n- `a`\n  *b* [c](d.md)\n\n## H\n\n| m | |\n|---|---|\n| `k` | v |\n"
    assert roff.page(roff.from_markdown(source)) == (
        '.SH "DESCRIPTION"\n.IP \\(bu 2\n\\fBa\\fR \\fIb\\fR c\n.SH "H"\n.TP\n\\fBk\\fR\nv\n'
    )


def test_mandoc_has_nothing_to_complain_about(tmp_path: Path) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    for name, text in PAGES.items():
        (tmp_path / name).write_text(text)
    linted = subprocess.run(
        ["mandoc", "-T", "lint", *PAGES], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert linted.stdout + linted.stderr == ""
