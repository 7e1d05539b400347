"""Questions to several logs at once, and the pattern that spares reading each line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.audit_samples import HOUR, NOON, all_lines, verdict_change, write_log

from rsfilter.audit.files import list_keys
from rsfilter.audit.many import logs_in, query_all, sql_all
from rsfilter.audit.query import _Conditions, query
from rsfilter.audit.report import report
from rsfilter.audit.scan import lines_with, prefix_pattern
from rsfilter.audit.stats import stats_of_all
from rsfilter.cli import main
from rsfilter.routing.model import Prefix

MINE, OTHERS, SIX = "203.0.113.1/32", "203.0.113.2/32", "2001:db8:0:1::1/128"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of two logs: rs1 and rs2 saw the same, and judged one prefix differently."""
    place = tmp_path_factory.mktemp("copies")
    for name, late, reasons in (("rs1", 0.0, ()), ("rs2", 0.5, ("origin_invalid_asn",))):
        write_log(
            place / name,
            (NOON + late, verdict_change(MINE, reasons=())),
            (NOON + 60 + late, verdict_change(OTHERS, reasons=reasons, host="hv2")),
            (NOON + HOUR + late, verdict_change(SIX, reasons=())),
        )
    (place / "lost+found").mkdir()
    (place / "link").symlink_to(place / "rs1")
    return place


def test_a_log_is_one_log_and_a_directory_of_logs_several(root: Path) -> None:
    assert logs_in(root / "rs1") == {"": root / "rs1"}
    assert logs_in(root) == {"rs1": root / "rs1", "rs2": root / "rs2"}
    assert logs_in(root / "lost+found") == {"": root / "lost+found"}


def test_records_come_in_order_of_time_with_their_instance(root: Path) -> None:
    found = list(query_all(logs_in(root), event="verdict"))
    assert [(r["instance"], r["prefix"]) for r in found] == [
        ("rs1", MINE), ("rs2", MINE), ("rs1", OTHERS), ("rs2", OTHERS), ("rs1", SIX), ("rs2", SIX),
    ]  # fmt: skip
    assert list(query_all(logs_in(root), event="verdict", limit=3)) == found[3:]
    alone = list(query_all(logs_in(root / "rs1"), event="verdict"))
    assert alone == list(query(root / "rs1", event="verdict"))
    assert "instance" not in alone[0]


def test_sql_has_all_logs_in_one_table_with_a_column_instance(root: Path) -> None:
    """A query by SQL for what two route servers decided differently."""
    statement = """
        WITH last AS (SELECT host, prefix, instance, arg_max(verdict, seq) AS verdict FROM audit
                      WHERE event IN ('verdict', 'withdraw') GROUP BY ALL)
        SELECT prefix, string_agg(instance || ' ' || verdict, ', ' ORDER BY instance) FROM last
        GROUP BY prefix HAVING count(DISTINCT coalesce(verdict, '-')) > 1"""
    assert sql_all(logs_in(root), statement).rows == [(OTHERS, "rs1 accepted, rs2 rejected")]
    assert "instance" not in sql_all(logs_in(root / "rs1"), "SELECT * FROM audit").columns


def test_a_name_of_an_instance_is_no_sql(tmp_path: Path) -> None:
    name = "rs' AS a, (SELECT 1)--"
    write_log(tmp_path / name, (NOON, verdict_change(MINE)))
    found = sql_all(logs_in(tmp_path), "SELECT DISTINCT instance FROM audit")
    assert found.rows == [(name,)]


def test_counts_are_added_up(root: Path) -> None:
    found = stats_of_all(logs_in(root))
    assert found["instances"] == [["rs1", 4], ["rs2", 4]]
    assert found["records"] == 8
    assert dict(map(tuple, found["verdicts"])) == {"accepted": 5, "rejected": 1}


def test_the_report_states_for_each_log_whether_it_is_intact(root: Path, tmp_path: Path) -> None:
    html = report(root)
    assert "The log of rs1 is intact." in html
    assert "The log of rs2 is intact." in html
    assert "<td>rs2</td><td>2026-11-22T12:01:00Z</td>" in html
    assert "The log is intact." in report(root / "rs1")


def test_commands_name_the_instance_of_each_record(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--directory", str(root)]
    assert main(["audit", "query", "203.0.113.2", *where]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["instance", "at"]
    assert [line.split()[0] for line in lines[1:]] == ["rs1", "rs2"]
    assert main(["audit", "query", "--json", "--host", "hv2", *where]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["instance"], r["verdict"]) for r in records] == [
        ("rs1", "accepted"),
        ("rs2", "rejected"),
    ]
    assert main(["audit", "verify", "--json", *where]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["instance"], r["ok"], r["records"]) for r in results] == [
        ("rs1", True, 4),
        ("rs2", True, 4),
    ]
    assert main(["audit", "verify", *where]) == 0
    assert capsys.readouterr().out.count("The log is intact.") == 2
    assert main(["audit", "stats", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["instances"] == [["rs1", 4], ["rs2", 4]]
    assert main(["audit", "tail", *where]) == 2
    assert "has several logs; name one" in capsys.readouterr().err
    assert main(["audit", "stats", "--json", "--directory", str(root / "rs1")]) == 0
    assert "instances" not in json.loads(capsys.readouterr().out)


def test_damage_of_one_log_is_found_among_all(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("rs1", "rs2"):
        write_log(tmp_path / name, (NOON, verdict_change(MINE, reasons=())))
    (key,) = list_keys(tmp_path / "rs2")
    path = tmp_path / "rs2" / key.name
    path.write_bytes(path.read_bytes().replace(b'"accepted"', b'"rejected"'))
    assert main(["audit", "verify", "--directory", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert out.index("rs1:") < out.index("The log is intact.") < out.index("rs2:")
    assert out.index("rs2:") < out.index("The log is DAMAGED.")
    assert "THE LOG OF RS2 IS DAMAGED." in report(tmp_path)


# The pattern -------------------------------------------------------------------------------------

addresses4 = st.integers(0, 2**32 - 1)
near4 = st.builds(lambda bits, base: base ^ bits, st.integers(0, 2**12), st.just(0xCB007105))
addresses6 = st.one_of(
    st.integers(0, 2**128 - 1),
    st.builds(
        lambda high, low: (high << 96) | low,
        st.sampled_from([0x20010DB8, 0, 0x2001, 0x20010000]),
        st.integers(0, 2**40),
    ),
)


def prefixes() -> st.SearchStrategy[Prefix]:
    four = st.builds(Prefix, st.just(4), st.one_of(near4, addresses4), st.integers(0, 40))
    six = st.builds(Prefix, st.just(6), addresses6, st.integers(0, 140))
    return st.one_of(four, six)


@given(prefixes(), prefixes(), st.sampled_from(["covering", "covered", "exact"]))
def test_no_record_that_is_meant_is_missed(recorded: Prefix, queried: Prefix, match: str) -> None:
    if not queried.is_well_formed and match != "exact":
        return
    wanted = _Conditions(None)
    wanted.prefix(str(queried), match)  # type: ignore[arg-type]
    record = {"prefix": str(recorded)}
    if all(test(record) for test in wanted.tests):
        line = b'{"v":1,"prefix":"%s","path_id":0}' % str(recorded).encode()
        assert re.search(prefix_pattern(queried, match), line)  # type: ignore[arg-type]


def test_lines_are_found_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a x\nb\nx x x\nlast x")
    assert list(lines_with(path, b"x")) == [b"a x\n", b"x x x\n", b"last x"]
    path.write_bytes(b"")
    assert list(lines_with(path, b"x")) == []


def test_the_pattern_does_not_change_which_records_are_found(root: Path) -> None:
    for text in ("203.0.113.1", "203.0.113.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0", SIX):
        for match in ("covering", "covered", "exact"):
            wanted = _Conditions(None)
            wanted.prefix(text, match)  # type: ignore[arg-type]
            by_hand = [
                record
                for record in map(json.loads, all_lines(root / "rs1"))
                if "prefix" in record and all(test(record) for test in wanted.tests)
            ]
            assert list(query(root / "rs1", prefix=text, match=match)) == by_hand  # type: ignore[arg-type]
