"""Plots of what benchmarks measured, from a sample made by hand."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench import plots
from bench.results import BadResultsError, Results, Row
from support.places import ROOT

PAGE = ROOT / "docs" / "performance.md"


def rows_of(keys: str, *values: tuple[str | float | bool | None, ...]) -> list[Row]:
    return [dict(zip(keys.split(), row, strict=True)) for row in values]


SAMPLE = {
    "compare": Results.of(
        "compare",
        rows_of(
            "routes routers system daemon_cpu_s helper_cpu_s clock_s routes_per_s",
            (20_000, 1, "rsfilter", 3.5, 0.8, 4.0, 5000.0),
            (20_000, 1, "null", 3.4, 0.2, 3.9, 5128.0),
            (20_000, 1, "BIRD", 0.3, None, 0.4, 50_000.0),
            (100_000, 4, "rsfilter", 41.4, 14.9, 50.0, 2000.0),
            (100_000, 4, "null", 39.0, 2.1, 45.0, 2222.0),
            (100_000, 4, "BIRD", 2.6, None, 2.5, 40_000.0),
        ),
        repeat=3,
    ),
    "changes": Results.of(
        "changes",
        rows_of(
            "system change p50_ms p99_ms",
            ("rsfilter", "idle", 8.1, 13.9),
            ("rsfilter", "busy", 19.0, 112.0),
            ("rsfilter", "same", 5.0, 7.7),
            ("rsfilter", "truth_one", 94.0, None),
            ("rsfilter", "truth_many", 1130.0, None),
            ("null", "idle", 1.7, 2.6),
            ("null", "busy", 6.1, 41.0),
            ("BIRD", "idle", 0.3, 0.7),
            ("BIRD", "busy", 0.2, 0.3),
            ("BIRD", "truth_one", 4013.0, None),
            ("BIRD", "truth_many", 4019.0, None),
        ),
        truth_lost_routes=5000,
        changes_per_s=1000.0,
    ),
    "core": Results.of(
        "core",
        [
            *rows_of(
                "part routes cpu_us",
                ("bare", 100_000, 14.2),
                ("floor", 100_000, 0.22),
                ("afternoon", 100_000, 107.0),
                ("bare", 1000, 15.1),
                ("bare", 10_000, 13.2),
                ("bare", 1_000_000, 18.4),
            ),
            *rows_of("part routes decoding_s", ("start", 100_000, 0.2)),
        ],
    ),
    "fanout": Results.of(
        "fanout",
        rows_of(
            "routers has_fanout shards exabgp_cpu_s",
            (1, False, 1, 3.9),
            (1, True, 1, 3.8),
            (4, False, 1, 6.1),
            (4, True, 1, 3.7),
            (64, False, 1, 77.7),
            (64, True, 1, 3.6),
            (1, True, 2, 5.5),
        ),
        routes=20_000,
    ),
    "churn": Results.of(
        "churn",
        rows_of(
            "minute p50_ms p99_ms exabgp_mb rsfilter_mb",
            (1, 8.0, 29.0, 99.0, 82.0),
            (2, 9.0, 33.0, 101.0, 84.0),
            (3, 8.0, 31.0, 101.0, 84.0),
        ),
        routes=20_000,
        changes_per_s=500.0,
    ),
}

FIGURES = {
    "compare": {"5,000", "3.5 + 0.8", "50,000", "0.3", "41.4 + 14.9", "routes/s", "CPU s"},
    "changes": {
        "8.1, 13.9",
        "19, 112",
        "5, 7.7",
        "94",
        "4,013",
        "a route, beside 1,000 changes/s: rsfilter",
    },
    "core": {"15.1", "13.2", "14.2", "18.4", "1,000,000", "CPU µs"},
    "fanout": {"77.7", "3.6", "64 routers: at ExaBGP", "CPU s of ExaBGP"},
    "churn": {"p50 8", "p99 31", "ExaBGP 101", "rsfilter 84", "ms", "MB resident"},
}
"""Texts that a reader has to find in the plot."""


def texts(svg: Path) -> set[str]:
    tree = ElementTree.parse(svg)
    return {element.text or "" for element in tree.iter("{http://www.w3.org/2000/svg}text")}


@pytest.mark.parametrize("name", plots.PLOTS)
def test_a_plot_has_its_figures_as_text_and_is_small(name: str, tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    plots.save(name, SAMPLE[name], path)
    assert FIGURES[name] - texts(path) == set()
    assert path.stat().st_size < 50_000


def test_the_same_figures_give_the_same_octets(tmp_path: Path) -> None:
    for path in (tmp_path / "one.svg", tmp_path / "two.svg"):
        plots.save("compare", SAMPLE["compare"], path)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert re.search(r"\d\d:\d\d|matplotlib v", (tmp_path / "one.svg").read_text()) is None


def test_rows_of_another_benchmark_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadResultsError, match="compare: no 'system' in it"):
        plots.save("compare", SAMPLE["churn"], tmp_path / "plot.svg")


@pytest.mark.parametrize(
    ("value", "text"), [(0.2174, "0.217"), (14.7, "14.7"), (99.96, "100"), (5430.4, "5,430")]
)
def test_three_digits_are_shown(value: float, text: str) -> None:
    assert plots.short(value) == text


def test_what_was_measured_is_drawn_and_shown_by_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"--results={tmp_path}", f"--images={tmp_path}", f"--page={tmp_path}/page.md"]
    monkeypatch.setattr("sys.argv", ["plots.py", *words])
    empty = PAGE.read_text()
    for name in plots.PLOTS:
        empty = plots.shown(empty, name, "")
    (tmp_path / "page.md").write_text(empty)
    assert plots.main() == 1  # there is nothing to draw
    assert "make benchcore RESULTS=" in capsys.readouterr().out
    assert (tmp_path / "page.md").read_text() == empty

    SAMPLE["core"].write(tmp_path / "core.json")
    for _ in range(2):  # again is the same
        assert plots.main() == 0
        page = (tmp_path / "page.md").read_text()
        assert page.count("](bench-core.svg)\n") == 1
        assert page.count("[figures](core.json)") == 1
        assert "bench-churn" not in page
    assert texts(tmp_path / "bench-core.svg")

    (tmp_path / "core.json").write_text("{}")
    assert plots.main() == 1
    assert f"{tmp_path}/core.json: " in capsys.readouterr().out.replace("\n", "")
    assert (tmp_path / "page.md").read_text() == page


def test_a_page_without_the_place_is_refused() -> None:
    with pytest.raises(ValueError, match="<!-- plot of core -->"):
        plots.shown("# Performance\n", "core", "")
