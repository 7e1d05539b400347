"""Data that benchmarks leave, and the plots of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from bench import results
from bench.results import BadResultsError, Results

ROWS: list[results.Row] = [
    {"system": "rsfilter", "routes": 20_000, "has_fanout": True, "daemon_cpu_s": 4.5},
    {"system": "BIRD", "routes": 20_000, "has_fanout": False, "daemon_cpu_s": None},
]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    measured = Results.of("compare", ROWS, repeat=3, changes_per_s=0.5)
    measured.write(tmp_path / "compare.json")
    assert Results.read(tmp_path / "compare.json") == measured
    assert measured.rows == ROWS
    assert measured.settings == {"repeat": 3, "changes_per_s": 0.5}
    assert measured.machine["cores"] >= 1
    assert measured.versions["ExaBGP"].startswith("5.0.")
    assert measured.where.startswith(measured.date[:10] + ", ")


def test_a_file_has_a_row_on_each_line(tmp_path: Path) -> None:
    Results.of("compare", ROWS).write(tmp_path / "compare.json")
    lines = (tmp_path / "compare.json").read_text().splitlines()
    assert [json.loads(line.strip(" ,")) for line in lines if '"system"' in line] == ROWS


def test_figures_have_the_digits_that_mean_something() -> None:
    row: results.Row = {
        "cpu_s": 12.345678,
        "cpu_us": 0.00012345678,
        "rate": 54321.9,
        "routes": 54321,
    }
    (kept,) = Results.of("core", [row]).rows
    assert kept == {"cpu_s": 12.35, "cpu_us": 0.0001235, "rate": 54320.0, "routes": 54321}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "truncated"),
        ("{}", "benchmark"),
        ('{"benchmark": 1}', r"\$\.benchmark"),
        ('{"other": 1}', "other"),
    ],
)
def test_another_file_is_refused_by_name(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "core.json"
    path.write_text(text)
    with pytest.raises(BadResultsError, match=error) as refused:
        Results.read(path)
    assert str(refused.value).startswith(f"{path}: ")


def test_a_place_that_cannot_be_written_is_refused_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    results.add_option(parser)
    assert parser.parse_args(["--json", f"{tmp_path}/new/a b.json"]).json.parent.is_dir()
    for place in (tmp_path, tmp_path / "new" / "file" / "core.json"):
        (tmp_path / "new" / "file").touch()
        with pytest.raises(SystemExit):
            parser.parse_args(["--json", str(place)])
        assert str(tmp_path) in capsys.readouterr().err
