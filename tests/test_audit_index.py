"""The index says what the files say, and counts only for the file that it was made from."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from audit_samples import DAY, NOON, note, verdict_change, write_log

from rsfilter.audit.files import FileKey
from rsfilter.audit.index import DIRECTORY, build, index_path
from rsfilter.audit.query import query
from rsfilter.audit.sql import COLUMNS, sql, stats
from rsfilter.audit.verify import verify

FIRST = FileKey("2026-11-22", 0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Three days, the last still open."""
    place = tmp_path / "a 'log'"
    place.mkdir()
    days = [
        (NOON + day * DAY + n, event)
        for day in range(3)
        for n, event in enumerate(
            (
                verdict_change("203.0.113.1/32"),
                verdict_change("203.0.113.0/28", asn=65002, reasons=("prefix_too_short",)),
                verdict_change("203.0.113.77/24", reasons=("prefix_malformed",)),
                verdict_change("2001:db8::1/128", neighbor="2001:db8::a", host='hv"\x1bü'),
                verdict_change("2001:db8::/64", neighbor="2001:db8::a", reasons=()),
                note(f"day {day}"),
            )
        )
    ]
    write_log(place, *days)
    return place


QUESTIONS: list[dict[str, Any]] = [
    {"prefix": "203.0.113.1"},
    {"prefix": "203.0.113.0/24", "match": "covered"},
    {"prefix": "203.0.113.77/24", "match": "exact"},
    {"prefix": "2001:db8::/32", "match": "covered"},
    {"prefix": "::/0", "match": "covered"},
    {"asn": 65002},
    {"host": 'hv"\x1bü'},
    {"neighbor": "2001:DB8::A"},
    {"event": "note"},
    {"verdict": "accepted"},
    {"reason": "origin_invalid_asn", "since": NOON + 1},
    {"since": NOON + DAY, "until": NOON + 2 * DAY},
    {"verdict": "rejected", "limit": 2},
    {},
]


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_the_same_answers_with_and_without(directory: Path, question: dict[str, Any]) -> None:
    before = list(query(directory, **question))
    assert before
    assert list(build(directory))[-1] == (2, 2)
    assert index_path(directory, FIRST)
    assert list(query(directory, **question)) == before


def test_sql_and_stats_are_the_same(directory: Path) -> None:
    everything = "SELECT * FROM audit ORDER BY seq"
    rows, counts = sql(directory, everything), stats(directory)
    list(build(directory))
    assert sql(directory, everything) == rows
    assert rows.columns == tuple(COLUMNS)
    assert stats(directory) == counts


def test_what_is_indexed_is_not_indexed_again(directory: Path) -> None:
    list(build(directory))
    assert list(build(directory)) == [(0, 0)]


def test_an_index_counts_for_its_own_file_only(directory: Path) -> None:
    list(build(directory))
    path = directory / FIRST.compressed_name
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[:2])))
    assert index_path(directory, FIRST) is None
    found = list(query(directory, until=NOON + DAY / 2))
    assert len(found) == 2
    assert list(build(directory))[-1] == (1, 1)
    assert list(query(directory, until=NOON + DAY / 2)) == found


def test_an_index_of_a_file_that_is_gone_goes(directory: Path) -> None:
    list(build(directory))
    (directory / FIRST.compressed_name).unlink()
    list(build(directory))
    (left,) = (directory / DIRECTORY).iterdir()
    assert left == index_path(directory, FileKey("2026-11-23", 0))


def test_a_damaged_index_says_what_to_do(directory: Path) -> None:
    list(build(directory))
    path = index_path(directory, FIRST)
    assert path
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(OSError, match="delete it"):
        list(query(directory, asn=65002))


def test_a_damaged_file_has_no_index(directory: Path) -> None:
    path = directory / FIRST.compressed_name
    path.write_bytes(path.read_bytes()[:-20] + b"\xff" * 20)
    list(build(directory))
    assert index_path(directory, FIRST) is None


def test_verify_never_minds_the_index(directory: Path) -> None:
    list(build(directory))
    assert verify(directory).is_ok
