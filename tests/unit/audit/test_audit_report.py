"""The report: what a reviewer reads, and nothing in it but text."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.audit_samples import NOON, PROVENANCE, sample_log, verdict_change, write_log

from rsfilter.audit.record import ServiceEvent
from rsfilter.audit.report import HEIGHT, WIDTH, bars, report
from rsfilter.cli import main
from rsfilter.routing.effects import DataChange, DrainChange

EVIL = "<script>alert(1)</script>\"'&{{ 7*7 }}"


class Reader(HTMLParser):
    """Reader of the elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_names_who_announced_prefixes_of_others(tmp_path: Path) -> None:
    stolen = verdict_change("203.0.113.4/32", neighbor="198.51.100.2", host="hv2", asn=65002)
    change = DataChange("truth", "revision 3f2a1c", 2, 0, 4, 1, PROVENANCE)
    write_log(tmp_path, (NOON, verdict_change(reasons=())), (NOON + 1, stolen), (NOON + 2, change))
    text = Reader(report(tmp_path)).text
    rows = re.sub(r"\s+", " ", text)
    assert "The log is intact." in rows
    assert "203.0.113.4/32" in rows
    assert "203.0.113.0/28-32 AS65002" in rows
    assert "origin_invalid_asn" in rows
    assert "source truth, detail revision 3f2a1c, added 2" in rows


def test_texts_of_hosts_are_escaped(tmp_path: Path) -> None:
    write_log(tmp_path, (NOON, verdict_change(host=EVIL)))
    made = report(tmp_path)
    reader = Reader(made)
    assert "script" not in reader.tags
    assert EVIL in reader.text
    assert html.escape(EVIL, quote=False).split('"')[0] in made


def test_the_report_of_a_damaged_log_begins_with_the_damage(tmp_path: Path) -> None:
    sample_log(tmp_path)
    newest = max(tmp_path.glob("*.jsonl"))
    newest.write_bytes(newest.read_bytes().replace(b"third 1", b"third 7"))
    assert "THE LOG IS DAMAGED." in report(tmp_path)


def test_nothing_to_report(tmp_path: Path) -> None:
    assert "0 records" in report(tmp_path)


def test_bars_fill_the_picture() -> None:
    drawn = bars([["a", 1, 2, 0, 1], ["b", 0, 0, 0, 2]])
    assert [(bar.x, bar.y, bar.height) for bar in drawn] == [
        (0, HEIGHT * 3 / 4, HEIGHT / 4),
        (0, HEIGHT / 4, HEIGHT / 2),
        (0, 0, HEIGHT / 4),
        (WIDTH / 2, HEIGHT / 2, HEIGHT / 2),
    ]
    assert drawn[1].title == "a: 2 rejected"
    assert bars([]) == bars([["a", 0, 0, 0, 0]]) == []


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, output = tmp_path / "log", tmp_path / "a report.html"
    write_log(log, (NOON, verdict_change()))
    assert main(["audit", "report", "--directory", str(log), "-o", str(output)]) == 0
    assert capsys.readouterr().out == f"wrote {output}\n"
    assert output.read_text().startswith("<!doctype html>")


def test_a_drain_and_a_gap_have_no_truth(tmp_path: Path) -> None:
    drain = DrainChange("draining", "by hand", ("operator",))
    write_log(tmp_path, (NOON, drain), (NOON + 1, ServiceEvent("gap", {"count": 3})))
    text = Reader(report(tmp_path)).text
    assert "phase draining, detail by hand" in text
    assert "count 3" in text


def test_a_record_of_a_forged_log_need_not_have_anything(tmp_path: Path) -> None:
    common = '"seq":1,"at":"2026-11-22T12:00:00.000000Z"'
    (tmp_path / "audit-2026-11-22.jsonl").write_text(
        f'{{{common},"event":"verdict","reasons":["origin_invalid_asn"]}}\n'
        f'{{{common},"event":"data","truth":"x","data":{{"\\u202e<b>":1}}}}\n'
    )
    made = report(tmp_path)
    assert "THE LOG IS DAMAGED." in made
    assert "\\u202e&lt;b&gt; 1" in made
