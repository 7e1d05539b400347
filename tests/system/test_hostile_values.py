"""Hostile values in every field that a host or a file can fill, through to all that comes out.

A table: each value of `VALUES` at each place of each kind of line and file. What comes out is held
against the promises of `fuzz`: commands that ExaBGP takes as meant, routers with the right tables,
plain lines in log and audit, output on which no terminal acts.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fuzz import files, site, trail
from fuzz.mutate import HOSTILE_TEXTS
from fuzz.text import assert_plain, loads
from fuzz.world import World
from support.audit_samples import all_lines, sample_log
from support.exabgp_lines import capture
from support.filter_site import CONFIG, HOST, ROUTER, ROUTERS, TRUTH
from support.hostile_lines import places, replaced
from support.places import ROOT
from support.speaker import Speaker

from rsfilter.cli import main

VALUES = {
    **{ascii(text)[1:-1][:20] or "empty": text for text in HOSTILE_TEXTS},
    "64 KB": "x" * 65536,
    "64 KB of escapes": "\x1b[31m\U0001f4a9" * 7281,
    "a whole message": '"}, "neighbor": {"address": {"peer": "127.10.2.1"}}}\n{"exabgp": "5.0.0"',
    "a command": "\nneighbor * announce route 0.0.0.0/0 next-hop 192.0.2.66\n",
}
UNICODE = {name: text for name, text in VALUES.items() if text.isprintable() or "\\ud" not in name}
"""Text without lone surrogates, which neither TOML nor UTF-8 can hold."""

LINES = {
    "4.2": ("single-asn-32", "communities-large", "withdraw-29-nlri", "down-by-hold-timer",
            "router-up", "route-refresh-from-router", "receive-consolidate"),
    "5.0": ("single-asn-32", "communities-large", "communities-extended", "withdraw-29-nlri",
            "down-by-hold-timer", "down-by-bird-admin-disable", "router-up",
            "add-path-withdraw-one",
            "route-refresh-from-router", "session-up-exabgp-senders", "receive-consolidate",
            "malformed-origin-9", "exabgp-sigterm-shutdown"),
}  # fmt: skip
"""Captures that have every kind of message and of attribute."""


def documents() -> Iterator[dict[str, Any]]:
    """One captured line for each shape."""
    shapes = set()
    for dialect, names in LINES.items():
        for name in names:
            for line in capture(dialect, name):
                document = loads(line)
                if not isinstance(document, dict) or "exabgp" not in document:
                    continue
                shape = (dialect, tuple(way for way in places(document) if type(way[-1]) is str))
                if shape not in shapes:
                    shapes.add(shape)
                    yield document


DOCUMENTS = list(documents())


def variants(document: dict[str, Any], text: str) -> Iterator[bytes]:
    """The document with the text as each value, within each text, as the name of each member."""
    for way in places(document):
        node: Any = document
        for step in way[:-1]:
            node = node[step]
        yield json.dumps(replaced(document, way, text)).encode()
        if isinstance(node[way[-1]], str):
            yield json.dumps(replaced(document, way, node[way[-1]] + text)).encode()
        if isinstance(node, dict) and len(way) > 1:
            renamed = {text if name == way[-1] else name: value for name, value in node.items()}
            yield json.dumps(replaced(document, way[:-1], renamed)).encode()


def test_there_is_a_line_of_every_kind() -> None:
    kinds = {(document["exabgp"][0], document["type"]) for document in DOCUMENTS}
    assert kinds >= {("5", kind) for kind in ("update", "state", "open", "notification")}
    assert kinds >= {("4", kind) for kind in ("update", "state")}
    assert len(DOCUMENTS) >= 20


@pytest.mark.parametrize("text", VALUES.values(), ids=VALUES)
def test_hostile_text_is_harmless_in_every_field_of_a_line(text: str) -> None:
    world = World()
    for line in (
        b"@truth " + site.TRUTHS[0],
        site.state(site.ROUTERS[0], 65200, "up"),
        site.state("127.10.1.1", 65005, "up"),
    ):
        world.line(line)
    for document in DOCUMENTS:
        for line in variants(document, text):
            # As ExaBGP writes it: escaped; and octet for octet, as far as JSON has the characters.
            world.line(line)
            raw = json.dumps(loads(line), ensure_ascii=False).encode("utf-8", "surrogatepass")
            if raw != line and b"\n" not in raw:
                world.line(raw)
    world.settle()
    lines = trail.check_lines(world.audit)
    assert len(lines) >= 3
    trail.check_explain(world)
    trail.check_files(world.audit[-2000:])


# Files -------------------------------------------------------------------------------------------

TRUTHS = sorted((ROOT / "fixtures" / "truth" / "good").glob("*.json"))


@pytest.mark.parametrize("path", TRUTHS, ids=lambda path: path.stem)
def test_hostile_text_is_harmless_in_every_field_of_a_truth_file(path: Path) -> None:
    document = json.loads(path.read_bytes())
    for text in VALUES.values():
        for content in variants(document, text):
            files.check_slurm(content)  # checks what is common to all formats, too


def settings() -> Iterator[tuple[str, str]]:
    """Each value of the configuration of all keys, and the lines around it."""
    lines = (files.FIXTURES / "config" / "full.toml").read_text().split("\n")
    for number, line in enumerate(lines):
        for match in re.finditer(r'"[^"]*"|(?<== )\[.*\]|(?<== )\d+|^\w+(?= =)', line):
            before, after = line[: match.start()], line[match.end() :]
            yield (
                "\n".join([*lines[:number], before]),
                "\n".join([after, *lines[number + 1 :]]),
            )


def test_hostile_text_is_harmless_in_every_value_and_key_of_the_configuration() -> None:
    found = list(settings())
    assert len(found) > 80
    for before, after in found:
        for text in UNICODE.values():
            files.check_config(f"{before}{json.dumps(text)}{after}".encode("utf-8", "replace"))


# Output ------------------------------------------------------------------------------------------

FORGED = "\x1b]0;x\x07\x1b[2J\x7f\u202e\r\n<script>\"'&rejected"
"""Text that an attacker would put into a log that others read."""


def forged_records() -> list[bytes]:
    """Records in which each member is hostile, or has a hostile one inside."""
    with TemporaryDirectory() as directory:
        sample_log(Path(directory))
        lines = all_lines(Path(directory))
        record = json.loads(next(x for x in lines if b'"vrps":["' in x and b'"rtr":{' in x))
    kinds = [
        replaced({**record, "data": {}, "extra": 1}, way, value)
        for way in [*places(record), ("data",), ("extra",)]
        for value in (FORGED, [FORGED], {FORGED: FORGED})
        if way != ("seq",)
    ]
    return [json.dumps(kind, ensure_ascii=raw).encode() + b"\n" for kind in kinds for raw in (0, 1)]


def exit_code(*arguments: str) -> str | int | None:
    """Return the error of a command, whichever part refuses its arguments."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code


QUESTIONS = [
    ["query", "--limit", "0"],
    ["query", "--limit", "0", "--json"],
    ["query", "203.0.113.0/24", "--match", "covered"],
    ["query", "--host", FORGED],
    ["tail", "-n", "500"],
    ["tail", "-n", "500", "--json"],
    ["stats"],
    ["stats", "--json"],
    ["verify"],
    ["verify", "--json"],
    ["query", "--sql", "SELECT * FROM audit"],
    ["query", "--sql", "SELECT * FROM audit", "--json"],
    ["query", "--sql", f'SELECT host AS "{FORGED.replace(chr(0), "")}" FROM audit'],
    ["query", "--sql", "SELECT cast(host AS INTEGER) FROM audit"],
    ["query", "--sql", f"SELECT {FORGED}"],
    ["query", FORGED],
    ["query", "--neighbor", FORGED],
]


@pytest.mark.parametrize("arguments", QUESTIONS, ids=lambda words: " ".join(words)[:40])
def test_a_forged_log_does_nothing_to_a_terminal(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audit-2026-11-22.jsonl").write_bytes(b"".join(forged_records()))
    assert exit_code("audit", *arguments, "--directory", str(tmp_path)) in (0, 1, 2)
    output = capsys.readouterr()
    for line in (output.out + output.err).split("\n"):
        assert_plain(line, " ".join(arguments))


@pytest.mark.parametrize("day", ["2026-11-22", "2026-11-21"], ids=["alone", "among good ones"])
def test_a_forged_log_does_nothing_to_a_page(
    day: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample_log(tmp_path)
    (tmp_path / f"audit-{day}.jsonl").write_bytes(b"".join(forged_records()))
    page = tmp_path / "report.html"
    words = ["audit", "report", "-o", str(page), "--directory", str(tmp_path)]
    assert main(words) in (0, 1)
    text = page.read_text()
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert all(char.isprintable() for char in text.replace("\n", "")), "a control character"
    assert main(["audit", "index", "--directory", str(tmp_path)]) in (0, 1)
    assert main(["audit", "query", "--host", "hv1", "--directory", str(tmp_path)]) == 0
    for line in capsys.readouterr().out.split("\n"):
        assert_plain(line, "output")


@pytest.mark.parametrize("text", UNICODE.values(), ids=UNICODE)
def test_no_command_prints_hostile_text_of_a_file(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Good and bad truths, in the words of every command that reads one."""
    (tmp_path / "rsfilter.toml").write_text(CONFIG)
    truth = tmp_path / "truth.json"
    for document in (
        {**TRUTH, "metadata": {"revision": text, text: text}},
        {**TRUTH, text: text},
        {"roas": [{"prefix": text, "asn": text, "maxLength": text}]},
        {"hosts": [{"name": text, "asn": 65001, "neighbors": [HOST], "prefixes": []}]},
        {
            "hosts": [
                {"name": f"n{text}", "asn": 65001, "neighbors": ["192.0.2.77"], "prefixes": []},
                {"name": f"m{text}", "asn": 65001, "prefixes": ["203.0.113.0/24"]},
            ]
        },
        {"slurmVersion": 1, text: {text: text}, "validationOutputFilters": {text: [text]}},
        [text],
        text,
    ):
        truth.write_text(json.dumps(document))
        for arguments in (
            ["check"],
            ["check", "--json"],
            ["explain", "203.0.113.1", "--asn", "65001"],
            ["explain", "203.0.113.1", "--asn", "65001", "--json"],
        ):
            main([*arguments, "-c", str(tmp_path / "rsfilter.toml")])
        main(["truth", "check", str(truth)])
        main(["truth", "check", "--json", str(truth)])
        main(["truth", "export", "--format", "stayrtr", str(truth)])
    output = capsys.readouterr()
    assert "revision" in output.out
    for line in (output.out + output.err).split("\n"):
        assert_plain(line, "output")


@pytest.mark.parametrize("text", ["\x1b[31m", "\u202e", "\udcff", "a\nb\r", "\x7f"])
def test_file_names_are_spelled_out(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / text
    directory.mkdir()
    config, truth = directory / "rsfilter.toml", directory / "truth.json"
    for write in (False, True):
        if write:
            config.write_text(CONFIG)
            truth.write_text("{")
        for arguments in (
            ["check", "-c", str(config)],
            ["explain", text, "--asn", "65001", "-c", str(config)],
            ["explain", "203.0.113.1", "--asn", "65001", "--neighbor", text, "-c", str(config)],
            ["replay", str(directory / "lines"), "--audit", str(directory), "-c", str(config)],
            ["render", "exabgp", "-o", str(directory), "-c", str(config)],
            ["truth", "check", str(truth)],
            ["audit", "query", "--directory", str(directory / "audit")],
        ):
            with contextlib.suppress(SystemExit):
                main(arguments)
    output = capsys.readouterr()
    assert output.err
    for line in (output.out + output.err).split("\n"):
        assert_plain(line, "output")


def test_a_running_filter_logs_plain_lines(tmp_path: Path) -> None:
    """The process itself: hostile lines and hostile truths in; log, commands and audit out."""
    (tmp_path / "rsfilter.toml").write_text(CONFIG)
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH))
    with Speaker(tmp_path / "rsfilter.toml", ROUTERS) as speaker:
        for neighbor, asn in ((ROUTER, 65200), (HOST, 65001)):
            speaker.write(site.state(neighbor, asn, "up") + b"\n")
        speaker.write(site.update(HOST, 65001, ["203.0.113.1/32"]) + b"\n")
        speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])
        for text in VALUES.values():
            line = site.state(HOST, 65001, "down", text)
            speaker.write(line + b"\n" + text.encode("utf-8", "surrogatepass") + b"\n")
            speaker.write(site.update(HOST, 65001, ["203.0.113.1/32"], origin=text) + b"\n")
        log = tmp_path / "rsfilter.log"
        for document in (
            {"roas": [{"prefix": FORGED}]},
            {"hosts": [{"name": FORGED, "asn": FORGED, FORGED: 1}]},
            {**TRUTH, "metadata": {"revision": FORGED}},
        ):
            before = log.stat().st_size
            (tmp_path / "truth.new").write_text(json.dumps(document))
            (tmp_path / "truth.new").replace(tmp_path / "truth.json")
            speaker.wait("told of the truth", lambda: log.stat().st_size > before)  # noqa: B023
        speaker.write(site.state(HOST, 65001, "up") + b"\n")
        speaker.write(site.update(HOST, 65001, ["203.0.113.9/32"]) + b"\n")
        speaker.wait("announced", lambda: "203.0.113.9/32" in speaker.tables[ROUTER])
        speaker.ends()
    assert b"the active truth stays in force" in log.read_bytes()
    for line in log.read_bytes().decode("ascii").split("\n"):
        assert_plain(line, "the log")
    for raw in all_lines(tmp_path / "audit"):
        assert_plain(raw.decode("ascii").removesuffix("\n"), "the audit log")
