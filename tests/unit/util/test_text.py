"""Text for terminals and logs: nothing that acts on them."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import ROOT

from rsfilter.util.text import PlainFormatter, clean, clean_lines, to_json

MINIMAL = ROOT / "fixtures" / "config" / "minimal.toml"

SPELLED = [
    ("plain, é ü 漢字 and עברית", "plain, é ü 漢字 and עברית"),
    ("\x1b[31mred", "\\x1b[31mred"),
    ("\x9b2J", "\\x9b2J"),
    ("a\x00b\x07\x08\x7f", "a\\x00b\\x07\\x08\\x7f"),
    ("a\r\nb\tc", "a\\r\\nb\\tc"),
    ("\u202etxt", "\\u202etxt"),
    ("\u2028\x85", "\\u2028\\x85"),
    ("\ud800\udcff", "\\ud800\\udcff"),
    ("\U000e0041", "\\U000e0041"),
]


@pytest.mark.parametrize(("text", "spelled"), SPELLED)
def test_what_is_not_printable_is_spelled_out(text: str, spelled: str) -> None:
    assert clean(text) == spelled
    assert clean_lines(f"one\n{text.replace(chr(10), '')}") == (
        f"one\n{spelled.replace(chr(92) + 'n', '')}"
    )


def test_json_is_ascii_without_del() -> None:
    value = {"a\x7f": ["\x7f\x1b", "é\ud800"]}
    text = to_json(value)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == value
    assert to_json([1], indent=1) == "[\n 1\n]"
    assert to_json({"at": Path("x")}, default=str) == '{"at": "x"}'


def test_log_records_are_plain_and_tracebacks_keep_their_lines() -> None:
    shown = io.StringIO()
    handler = logging.StreamHandler(shown)
    handler.setFormatter(PlainFormatter("%(levelname)s %(message)s"))
    log = logging.Logger("test")
    log.addHandler(handler)
    log.warning("from %s", "\x1b]0;x\x07")
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        log.exception("failed")
    first, *rest = shown.getvalue().splitlines()
    assert first == "WARNING from \\x1b]0;x\\x07"
    assert rest[:2] == ["ERROR failed", "Traceback (most recent call last):"]
    assert rest[-1] == "ValueError: \\x1b[2J"


def test_output_that_the_terminal_has_no_characters_for_is_escaped(tmp_path: Path) -> None:
    config = tmp_path / "é漢.toml"
    text = MINIMAL.read_text().replace('"198.51.100.0/25"', '"198.51.100.1"')
    config.write_text(text.replace("[[routers]]", "asn = 65001\n[[routers]]", 1))
    (tmp_path / "truth.json").write_text('{"roas": [{"prefix": "203.0.113.0/24", "asn": 65001}]}')
    result = subprocess.run(
        [sys.executable, "-m", "rsfilter", "check", "-c", str(config)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert b"\\xe9\\u6f22.toml: ok" in result.stdout
