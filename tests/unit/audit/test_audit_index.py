"""The index agrees with the files, and is used only for the file that it was made from."""

from __future__ import annotations

import gzip
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.audit_samples import DAY, NOON, note, verdict_change, write_log

from rsfilter.audit.files import FILE_MODE, FileKey
from rsfilter.audit.index import DIRECTORY, counts_path, index_path
from rsfilter.audit.indexing import build
from rsfilter.audit.query import GaveUpError, query
from rsfilter.audit.schema import COLUMNS
from rsfilter.audit.sql import LogFileError, SqlError, sql
from rsfilter.audit.stats import stats
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


def test_a_question_that_finds_nothing_can_be_given_up(directory: Path) -> None:
    """A year has a thousand files or more."""
    list(build(directory))
    requested = 0

    def is_enough() -> bool:
        nonlocal requested
        requested += 1
        return requested == 2

    with pytest.raises(GaveUpError):
        list(query(directory, asn=64999, should_end=is_enough))
    assert requested == 2


def test_two_processes_do_not_index_at_once(directory: Path) -> None:
    first = build(directory)
    assert next(first) == (0, 2)
    with pytest.raises(OSError, match="another process makes this index"):
        list(build(directory))
    assert list(first)[-1] == (2, 2)
    assert list(build(directory)) == [(0, 0)]


def test_sql_and_stats_are_the_same(directory: Path) -> None:
    everything = "SELECT * FROM audit ORDER BY seq"
    rows, counts = sql(directory, everything), stats(directory)
    list(build(directory))
    assert sql(directory, everything) == rows
    assert rows.columns == tuple(COLUMNS)
    assert stats(directory) == counts


PERIODS = [(None, None)] + [
    (NOON + first, NOON + first + length)
    for first in (-DAY, 0, 2, DAY - 1, DAY, DAY + 3, 2 * DAY)
    for length in (1, DAY, DAY + 3, 5 * DAY)
]


@pytest.mark.parametrize(("since", "until"), PERIODS)
def test_stats_of_a_time_are_the_same(
    directory: Path, since: float | None, until: float | None
) -> None:
    """Positions of a file relative to the time: whole, in part, or outside."""
    counts = stats(directory, since, until)
    list(build(directory))
    assert stats(directory, since, until) == counts


def test_stats_of_what_is_indexed_read_no_records(directory: Path) -> None:
    counts = stats(directory, until=NOON + 2 * DAY)
    assert counts["records"] == 14
    list(build(directory))
    for path in (directory / DIRECTORY).glob("*.parquet"):
        path.write_bytes(b"")
    assert stats(directory, until=NOON + 2 * DAY) == counts


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


def test_an_index_is_removed_with_its_file(directory: Path) -> None:
    list(build(directory))
    (directory / FIRST.compressed_name).unlink()
    list(build(directory))
    left = sorted((directory / DIRECTORY).iterdir())
    day = FileKey("2026-11-23", 0)
    assert left == sorted([index_path(directory, day), counts_path(directory, day)])
    for path in left:
        assert path.stat().st_mode & 0o777 == FILE_MODE


def test_drafts_of_a_killed_process_are_removed(directory: Path) -> None:
    list(build(directory))
    whole = sorted((directory / DIRECTORY).iterdir())
    (whole[0].with_suffix(".sort")).mkdir()
    (whole[0].with_suffix(".parquet.tmp")).write_text("half")
    whole[0].unlink()
    list(build(directory))
    assert sorted((directory / DIRECTORY).iterdir()) == whole


def test_the_error_of_a_damaged_index_has_the_remedy(directory: Path) -> None:
    list(build(directory))
    path = index_path(directory, FIRST)
    assert path
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(OSError, match="delete it"):
        list(query(directory, asn=65002))
    counts = counts_path(directory, FIRST)
    assert counts
    counts.write_bytes(b"PAR1 no more")
    with pytest.raises(OSError, match="delete it"):
        stats(directory)


def cut(content: bytes) -> bytes:
    return content[:50]


def without_data(content: bytes) -> bytes:
    """Cut so that the footer is whole. DuckDB's error does not name the file."""
    half = len(content) // 2
    return b"PAR1" + bytes(half) + content[4 + half :]


@pytest.mark.parametrize("day", ["2026-11-22", "2026-11-23"])
def test_sql_names_the_damaged_index(directory: Path, day: str) -> None:
    """DuckDB reads the footer of the first file when it opens them, the others later."""
    list(build(directory))
    path = index_path(directory, FileKey(day, 0))
    assert path
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(LogFileError, match=f"^{re.escape(str(path))}: delete it: ") as raised:
        sql(directory, "FROM audit")
    assert "/proc/self" not in str(raised.value)
    assert "LINE 1" not in str(raised.value)


@pytest.mark.parametrize("day", ["2026-11-22", "2026-11-23"])
def test_sql_names_the_directory_if_the_damaged_index_is_unknown(directory: Path, day: str) -> None:
    list(build(directory))
    path = index_path(directory, FileKey(day, 0))
    assert path
    path.write_bytes(without_data(path.read_bytes()))
    with pytest.raises(LogFileError, match=f"^{re.escape(str(path.parent))}: delete it: "):
        sql(directory, "FROM audit")


def test_sql_refuses_an_index_of_another_form(directory: Path) -> None:
    """Another release may have written it."""
    list(build(directory))
    path, counts = index_path(directory, FIRST), counts_path(directory, FIRST)
    assert path
    assert counts
    path.write_bytes(counts.read_bytes())
    with pytest.raises(LogFileError, match=f"^{re.escape(str(path.parent))}: delete it: "):
        sql(directory, "FROM audit")


def test_stats_name_the_damaged_index(directory: Path) -> None:
    """Stats read an index if only a part of its file lies in the time."""
    list(build(directory))
    path = index_path(directory, FIRST)
    assert path
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(LogFileError, match=f"^{re.escape(str(path))}: delete it: "):
        stats(directory, since=NOON + 1)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT host::INT FROM audit",
        "SELECT nothing FROM audit",
        "SELECT error('x') FROM audit",
    ],
)
def test_a_statement_that_fails_is_not_the_fault_of_an_index(
    directory: Path, statement: str
) -> None:
    list(build(directory))
    with pytest.raises(SqlError) as raised:
        sql(directory, statement)
    assert "delete it" not in str(raised.value)


def test_a_damaged_file_is_not_the_fault_of_an_index(directory: Path) -> None:
    list(build(directory))
    path = directory / FIRST.compressed_name
    path.write_bytes(b"no gzip at all")
    with pytest.raises(LogFileError, match=re.escape(str(path))) as raised:
        sql(directory, "FROM audit")
    assert "delete it" not in str(raised.value)


def test_too_few_descriptors_are_not_the_fault_of_an_index(directory: Path) -> None:
    """DuckDB opens for itself what it is given."""
    list(build(directory))
    sql(directory, "FROM audit")  # whatever is opened once, is
    highest = max(map(int, os.listdir("/proc/self/fd")))
    holes = []  # filled, so that the next descriptors follow each other
    while (lowest := os.dup(0)) < highest:
        holes.append(lowest)
    os.close(lowest)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 3, before[1]))
    try:
        with pytest.raises(LogFileError, match="Too many open files") as raised:
            sql(directory, "FROM audit")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in holes:
            os.close(each)
    assert "delete it" not in str(raised.value)


@pytest.mark.parametrize("name", ["host", "event"])
def test_what_is_not_utf_8_is_in_no_record(directory: Path, name: str) -> None:
    """An octet of the command line that is no text."""
    question: dict[str, Any] = {name: "hv\udcff"}
    assert list(query(directory, **question)) == []
    list(build(directory))
    assert list(query(directory, **question)) == []


def test_a_damaged_file_has_no_index(directory: Path) -> None:
    path = directory / FIRST.compressed_name
    path.write_bytes(path.read_bytes()[:-20] + b"\xff" * 20)
    list(build(directory))
    assert index_path(directory, FIRST) is None


# Trust -------------------------------------------------------------------------------------------


def test_verify_is_content_with_what_was_made(directory: Path) -> None:
    list(build(directory))
    assert verify(directory).is_ok


FORGED = [
    ("parquet", "* REPLACE (replace(line, '203.0.113.1/32', '203.0.113.66/32') AS line)"),
    ("parquet", "* REPLACE ('198.51.100.99' AS neighbor)"),
    ("parquet", "* REPLACE (high AS low)"),
    ("parquet", "* FROM given LIMIT 3"),
    ("parquet", "* FROM given UNION ALL SELECT *"),
    ("parquet", "seq"),
    ("counts", "* REPLACE (number + 1 AS number)"),
]


@pytest.mark.parametrize(("kind", "forgery"), FORGED)
def test_verify_finds_an_index_that_was_changed(directory: Path, kind: str, forgery: str) -> None:
    list(build(directory))
    path = index_path(directory, FIRST)
    assert path is not None
    path = path.with_suffix(f".{kind}")
    draft = path.with_name("draft")
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE given AS SELECT * FROM read_parquet('{_in_sql(path)}')")
        statement = f"SELECT {forgery}" + ("" if "LIMIT" in forgery else " FROM given")
        connection.execute(f"COPY ({statement}) TO '{_in_sql(draft)}' (FORMAT parquet)")
    draft.rename(path)
    result = verify(directory)
    assert [problem.file for problem in result.problems] == [f"index/{path.name}"]
    assert "delete it" in result.problems[0].text
    path.unlink()
    list(build(directory))
    assert verify(directory).is_ok


def _in_sql(path: Path) -> str:
    return str(path).replace("'", "''")


def test_verify_finds_an_index_that_is_damaged(directory: Path) -> None:
    list(build(directory))
    path = index_path(directory, FIRST)
    assert path is not None
    path.write_bytes(b"")
    assert [problem.file for problem in verify(directory).problems] == [f"index/{path.name}"]


def test_a_link_in_place_of_the_index_is_not_followed(directory: Path, tmp_path: Path) -> None:
    list(build(directory))
    victim = tmp_path / "victim"
    (directory / DIRECTORY).rename(victim)
    (victim / "shadow").write_text("precious")
    (victim / "sub").mkdir()
    before = sorted(victim.iterdir())
    (directory / DIRECTORY).symlink_to(victim)
    (directory / FIRST.compressed_name).unlink()
    with pytest.raises(NotADirectoryError, match="is not a directory; remove it"):
        list(build(directory))
    assert sorted(victim.iterdir()) == before


def test_what_is_not_ours_stays_in_the_index(directory: Path, tmp_path: Path) -> None:
    list(build(directory))
    index = directory / DIRECTORY
    (index / "notes.txt").write_text("of a reviewer")
    (index / "kept").mkdir()
    (index / "kept" / "file").write_text("x")
    (tmp_path / "precious").write_text("precious")
    (index / "audit-2026-01-01.jsonl.0123456789abcdef.parquet").symlink_to(tmp_path / "precious")
    (index / ".work-abcdefgh").symlink_to(tmp_path)
    list(build(directory))
    assert (index / "notes.txt").exists()
    assert (index / "kept" / "file").exists()
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (index / ".work-abcdefgh").is_symlink()


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that other users may enter. Each start of pytest closes its own again."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
def test_root_makes_an_index_as_the_owner_of_the_log(directory: Path, open_place: Path) -> None:
    user = 65534
    directory = shutil.copytree(directory, open_place / directory.name)
    for path in (directory, *directory.iterdir()):
        os.chown(path, user, user)
    victim = open_place / "victim"
    victim.mkdir(0o755)
    (victim / FIRST.compressed_name).write_text("precious")
    list(build(directory))
    assert os.geteuid() == 0
    assert {path.stat().st_uid for path in (directory / DIRECTORY).iterdir()} == {user}
    # A log that is a link to a place of root's: nothing can be made there.
    link = open_place / "link"
    link.symlink_to(victim)
    os.chown(victim, user, user)
    os.chown(victim / FIRST.compressed_name, 0, 0)
    list(build(link))
    assert (victim / FIRST.compressed_name).read_text() == "precious"
