"""Queries of the log: conditions, order, following, SQL."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.audit_samples import (
    DAY,
    HOUR,
    NOON,
    lines_of_file,
    note,
    put_lines,
    verdict_change,
    write_log,
)

from rsfilter.audit.files import list_keys
from rsfilter.audit.query import query, tail
from rsfilter.audit.record import ServiceEvent
from rsfilter.audit.schema import COLUMNS
from rsfilter.audit.sql import LogFileError, SqlError, sql
from rsfilter.audit.stats import stats
from rsfilter.routing.effects import SessionChange
from rsfilter.routing.model import Address, VerdictKind

ENTRIES = (
    (NOON, ServiceEvent("start", {"configuration": "rsfilter.toml"})),
    (NOON + 1, verdict_change("203.0.113.1/32", reasons=())),
    (NOON + 2, verdict_change("203.0.113.0/24", reasons=("prefix_too_short", "origin_not_found"))),
    (NOON + 3, verdict_change("0.0.0.0/0", reasons=("prefix_too_short", "bogon_prefix"))),
    (NOON + HOUR, verdict_change("203.0.113.77/24", reasons=("prefix_malformed",))),
    (NOON + DAY, verdict_change("2001:db8::1/128", neighbor="2001:db8::a", asn=650, host="hv2")),
    (NOON + DAY + 1, verdict_change("2001:db8::1/128", neighbor="2001:db8::b", host='hv"\x1bü')),
    (
        NOON + 2 * DAY,
        SessionChange(Address.parse("2001:db8::a"), 650, "host", "hypervisors", False, "gone"),
    ),
    (
        NOON + 2 * DAY + 1,
        replace(
            verdict_change("203.0.113.1/32", reasons=()),
            verdict=None,
            was=VerdictKind.ACCEPTED,
            cause="withdraw",
        ),
    ),
)
"""seq: 2 start, 3 .1/32, 4 .0/24, 5 default, 6 .77/24; 8 and 9 IPv6; 11 session, 12 withdraw. The
`file` records 1, 7 and 10 begin the days."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("it's [a]*") / "audit log"
    write_log(path, *ENTRIES)
    return path


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        ({"prefix": "203.0.113.1"}, [3, 4, 5, 6, 12]),
        ({"prefix": "203.0.113.1/32", "match": "covering"}, [3, 4, 5, 6, 12]),
        ({"prefix": "203.0.113.0/24"}, [4, 5, 6]),
        ({"prefix": "203.0.114.1"}, [5]),
        ({"prefix": "203.0.113.0/24", "match": "covered"}, [3, 4, 6, 12]),
        ({"prefix": "0.0.0.0/0", "match": "covered"}, [3, 4, 5, 6, 12]),
        ({"prefix": "::/0", "match": "covered"}, [8, 9]),
        ({"prefix": "::/0"}, []),
        ({"prefix": "203.0.113.1", "match": "exact"}, [3, 12]),
        ({"prefix": "203.0.113.77/24", "match": "exact"}, [6]),
        ({"prefix": "2001:DB8:0::1", "match": "exact"}, [8, 9]),
        ({"asn": 650}, [8, 11]),
        ({"asn": 65}, []),
        ({"host": "hv2"}, [8]),
        ({"host": 'hv"\x1bü'}, [9]),
        ({"host": "hypervisors"}, [11]),
        ({"neighbor": "2001:db8:0:0::a"}, [8, 11]),
        ({"reason": "prefix_too_short"}, [4, 5]),
        ({"reason": "bogon_prefix"}, [5]),
        ({"event": "withdraw"}, [12]),
        ({"event": "file"}, [1, 7, 10]),
        ({"verdict": "accepted"}, [3]),
        ({"verdict": "rejected", "asn": 65001}, [4, 5, 6, 9]),
        ({"since": NOON + 3}, [5, 6, 7, 8, 9, 10, 11, 12]),
        ({"until": NOON + 3}, [1, 2, 3, 4]),
        ({"since": NOON + DAY, "until": NOON + DAY + 1}, [7, 8]),
        ({"limit": 2}, [11, 12]),
        ({"limit": 4}, [9, 10, 11, 12]),
        ({"limit": 0}, []),
        ({"prefix": "203.0.113.1", "limit": 2}, [6, 12]),
        ({"until": NOON + 4, "limit": 1}, [5]),
    ],
)
def test_records_that_meet_all_conditions_are_found(directory, conditions, expected):
    assert [record["seq"] for record in query(directory, **conditions)] == expected


def test_records_are_returned_whole(directory):
    (record,) = query(directory, prefix="203.0.113.1", verdict="accepted")
    assert record["at"] == "2026-11-22T12:00:01.000000Z"
    assert (record["host"], record["asn"], record["state"]) == ("hv1", 65001, "Valid")


@pytest.mark.parametrize(
    "conditions",
    [
        {"prefix": "203.0.113.1/24"},
        {"prefix": "203.0.113.1/33", "match": "covered"},
        {"prefix": "hv1"},
        {"prefix": "203.0.113.1/x", "match": "exact"},
        {"neighbor": "203.0.113.0/24"},
        {"neighbor": "x"},
    ],
)
def test_impossible_conditions_are_refused(directory, conditions):
    with pytest.raises(ValueError, match=r"."):
        query(directory, **conditions)


def test_a_prefix_that_is_too_long_is_found_where_it_lies(tmp_path):
    write_log(tmp_path, (NOON, verdict_change("203.0.113.1/33", reasons=("prefix_malformed",))))
    for conditions in (
        {"prefix": "203.0.113.1"},
        {"prefix": "203.0.113.0/24", "match": "covered"},
        {"prefix": "203.0.113.1/33", "match": "exact"},
    ):
        assert [record["prefix"] for record in query(tmp_path, **conditions)] == ["203.0.113.1/33"]


def test_a_clock_that_steps_back_hides_nothing(tmp_path):
    write_log(tmp_path, (NOON + DAY, note("a")), (NOON, note("b")), (NOON + DAY, note("c")))
    found = query(tmp_path, event="note", until=NOON + 1)
    assert [record["data"]["text"] for record in found] == ["b"]


@pytest.mark.parametrize(
    "line",
    [
        b"not JSON\n",
        b'["seq"]\n',
        b'{"seq":1,"event":"verdict"}\n',
        b'{"seq":1,"at":"x","event":"verdict","prefix":5}\n',
        b'{"seq":1,"at":"x","event":"verdict","prefix":"5"}\n',
        b'{"seq":1,"at":"x","event":"verdict","host":"\xff"}\n',
        b'{"seq":1,"at":"x","event":"verdict","reasons":[1]}\n',
        b'{"seq":1,"at":"x","event":"verdict","data":[]}\n',
    ],
)
def test_lines_that_are_no_records_are_passed_over(tmp_path, caplog, line):
    write_log(tmp_path, *ENTRIES)
    newest = list_keys(tmp_path)[-1]
    first, *rest = lines_of_file(tmp_path, newest)
    put_lines(tmp_path, newest, [first, line, *rest, b'{"v":1,"seq":13,"at":"2026'])
    assert [record["seq"] for record in query(tmp_path)] == list(range(1, 13))
    assert caplog.messages == [
        f"{newest.name}: a line is not an audit record; see `rsfilter audit verify`"
    ]


def test_a_file_that_cannot_be_decompressed_hides_no_other(tmp_path, caplog):
    write_log(tmp_path, *ENTRIES)
    middle = tmp_path / list_keys(tmp_path)[1].compressed_name
    middle.write_bytes(middle.read_bytes()[:20])
    assert [record["seq"] for record in query(tmp_path)] == [1, 2, 3, 4, 5, 6, 10, 11, 12]
    assert "audit-2026-11-23.jsonl: damaged, it is read in part" in caplog.text


def test_the_latest_records_are_returned_oldest_first(directory):
    assert [record["seq"] for record in tail(directory, count=3)] == [10, 11, 12]
    assert [record["seq"] for record in tail(directory, count=0)] == []


class Waiter:
    """Run the next step whenever nothing is new; raise DoneError at the end."""

    class DoneError(Exception):
        pass

    def __init__(self, *steps):
        self.steps = list(steps)

    def __call__(self):
        if not self.steps:
            raise self.DoneError
        self.steps.pop(0)()


def followed(directory, waiter, count=10):
    seen = []
    with pytest.raises(Waiter.DoneError):
        seen.extend(  # extend keeps what came before the end
            record["data"]["text"]
            for record in tail(directory, count=count, follow=True, wait=waiter)
            if record["event"] == "note"
        )
    return seen


def test_following_goes_through_rotation_and_compression(tmp_path):
    write_log(tmp_path, (NOON, note("a")), (NOON, note("b")))
    waiter = Waiter(
        lambda: write_log(tmp_path, (NOON + 1, note("c"))),
        lambda: write_log(tmp_path, (NOON + 2, note("d")), (NOON + DAY, note("e"))),
        lambda: write_log(tmp_path, *((NOON + DAY, note(text)) for text in "fgh"), max_bytes=300),
        lambda: None,
        lambda: None,
    )
    assert followed(tmp_path, waiter, count=1) == ["b", "c", "d", "e", "f", "g", "h"]


def test_following_from_now_on_shows_nothing_of_what_is_there(tmp_path):
    write_log(tmp_path, (NOON, note("a")), (NOON + DAY, note("b")), (NOON + DAY, note("c")))
    waiter = Waiter(
        lambda: write_log(tmp_path, (NOON + DAY, note("d"))),
        lambda: write_log(tmp_path, (NOON + 2 * DAY, note("e"))),
        lambda: None,
        lambda: None,
    )
    assert followed(tmp_path, waiter, count=0) == ["d", "e"]


def test_following_a_log_that_is_not_there_yet(tmp_path):
    waiter = Waiter(lambda: None, lambda: write_log(tmp_path, (NOON, note("a"))), lambda: None)
    assert followed(tmp_path, waiter) == ["a"]


def test_following_waits_for_the_end_of_a_line(tmp_path):
    write_log(tmp_path / "whole", (NOON, note("a")), (NOON, note("b")))
    write_log(tmp_path, (NOON, note("a")))
    path = tmp_path / "audit-2026-11-22.jsonl"
    line = (tmp_path / "whole" / path.name).read_bytes()[path.stat().st_size :]

    def put(octets):
        with path.open("ab") as file:
            file.write(octets)

    waiter = Waiter(lambda: put(line[:50]), lambda: None, lambda: put(line[50:]))
    assert followed(tmp_path, waiter) == ["a", "b"]


# SQL ----------------------------------------------------------------------------------------------


def test_sql_reads_every_column(directory):
    result = sql(
        directory,
        'SELECT host, asn, reasons[1], truth.revision, rtr.serial, hour("at") FROM audit '
        "WHERE prefix = '203.0.113.0/24'",
    )
    assert result.rows == [("hv1", 65001, "prefix_too_short", "3f2a1c", 42, 12)]
    result = sql(directory, "SELECT data->>'reason' AS why FROM audit WHERE event='session_down'")
    assert result == (("why",), [("gone",)])
    assert sql(directory, "SELECT count(*), max(seq) FROM audit").rows == [(12, 12)]
    assert sql(directory, "FROM audit LIMIT 0").columns == tuple(COLUMNS)


def test_sql_knows_every_field_of_a_record(directory):
    fields = {name for record in query(directory) for name in record}
    assert fields == set(COLUMNS)


def test_sql_and_stats_of_an_empty_log_find_nothing(tmp_path):
    assert sql(tmp_path, "SELECT count(*) FROM audit").rows == [(0,)]
    assert stats(tmp_path)["records"] == 0


def test_sql_compares_with_now_wherever_the_machine_stands(tmp_path, monkeypatch):
    write_log(tmp_path, (time.time() - 1800, note("recent")), (time.time() - 600, note("recent")))
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        statement = (
            "SELECT list(seq ORDER BY seq) FROM audit "
            "WHERE seq > 1 AND \"at\" > now() - INTERVAL '{} minutes'"
        )
        found = [sql(tmp_path, statement.format(minutes)).rows for minutes in (5, 20, 40)]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == [[(None,)], [([3],)], [([2, 3],)]]


def test_sql_passes_over_a_line_that_is_being_written(tmp_path):
    write_log(tmp_path, (NOON, note("a")))
    with (tmp_path / "audit-2026-11-22.jsonl").open("ab") as file:
        file.write(b'{"v":1,"seq":3,"at":"2026-11')
    assert sql(tmp_path, "SELECT count(*) FROM audit").rows == [(2,)]


NOT_ALLOWED = "^Permission Error"
ONE_SELECT = "exactly one SELECT"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("COPY audit TO '{outside}'", ONE_SELECT),
        ("COPY (SELECT 1) TO '{log}' (USE_TMP_FILE false)", ONE_SELECT),
        ("ATTACH '{outside}'", ONE_SELECT),
        ("SELECT 1; COPY audit TO '{outside}'", ONE_SELECT),
        ("SELECT content FROM read_text('{secret}')", NOT_ALLOWED),
        ("SELECT content FROM read_text('{beside}')", NOT_ALLOWED),
        ("SELECT content FROM read_text('/proc/self/fd/0/../../../etc/passwd')", NOT_ALLOWED),
        ("SELECT * FROM glob('/etc/*')", NOT_ALLOWED),
        ("SELECT * FROM '{secret}'", NOT_ALLOWED),
        ("SET enable_external_access = true", ONE_SELECT),
        ("CREATE TABLE other AS FROM audit", ONE_SELECT),
        ("PRAGMA version", ONE_SELECT),
        ("INSTALL httpfs", ONE_SELECT),
        ("", ONE_SELECT),
        ("SELECT", "^Parser Error"),
        ("SELECT nothing FROM audit", "^Binder Error"),
    ],
)
def test_sql_reads_the_log_and_does_nothing_else(directory, tmp_path, statement, message):
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n")
    beside = directory / "secret"
    beside.write_text("of somebody else")
    log = next(directory.glob("*.jsonl"))
    before = log.read_bytes()
    paths = {"outside": tmp_path / "outside", "secret": secret, "beside": beside, "log": log}
    quoted = {name: str(path).replace("'", "''") for name, path in paths.items()}
    with pytest.raises(SqlError, match=message):
        sql(directory, statement.format_map(quoted))
    assert log.read_bytes() == before
    assert list(tmp_path.iterdir()) == [secret]


def test_sql_on_a_file_that_cannot_be_decompressed(tmp_path):
    write_log(tmp_path, (NOON, note("a")), (NOON + DAY, note("b")))
    path = tmp_path / "audit-2026-11-22.jsonl.gz"
    path.write_bytes(gzip.compress(b"")[:10] + b"\xff" * 40)
    with pytest.raises(LogFileError):
        sql(tmp_path, "SELECT * FROM audit")


def test_stats_count_events_verdicts_and_reasons(directory):
    assert stats(directory) == {
        "records": 12,
        "first": "2026-11-22T12:00:00.000000Z",
        "last": "2026-11-24T12:00:01.000000Z",
        "events": [["verdict", 6], ["file", 3], ["session_down", 1], ["start", 1], ["withdraw", 1]],
        "verdicts": [["rejected", 5], ["accepted", 1]],
        "reasons": [
            ["origin_invalid_asn", 2],
            ["prefix_too_short", 2],
            ["bogon_prefix", 1],
            ["origin_not_found", 1],
            ["prefix_malformed", 1],
        ],
        "rejected_neighbors": [["198.51.100.101", 3], ["2001:db8::a", 1], ["2001:db8::b", 1]],
        "rejected_prefixes": [
            ["2001:db8::1/128", 2],
            ["0.0.0.0/0", 1],
            ["203.0.113.0/24", 1],
            ["203.0.113.77/24", 1],
        ],
        "changed_prefixes": [
            ["2001:db8::1/128", 2],
            ["203.0.113.1/32", 2],
            ["0.0.0.0/0", 1],
            ["203.0.113.0/24", 1],
            ["203.0.113.77/24", 1],
        ],
        "hosts": [["hv1", 4], ['hv"\x1bü', 1], ["hv2", 1]],
        "revisions": [["3f2a1c", 7]],
        "timeline": [
            ["2026-11-22T12:00:00Z", 1, 2, 0, 0],
            ["2026-11-22T13:00:00Z", 0, 1, 0, 0],
            ["2026-11-23T12:00:00Z", 0, 2, 0, 0],
            ["2026-11-24T12:00:00Z", 0, 0, 0, 1],
        ],
    }


def test_a_long_time_line_counts_days(tmp_path):
    write_log(tmp_path, *((NOON + hour * HOUR, verdict_change()) for hour in range(100)))
    timeline = stats(tmp_path)["timeline"]
    assert [row[0] for row in timeline] == [f"2026-11-{day}T00:00:00Z" for day in range(22, 27)]
    assert [row[2] for row in timeline] == [12, 24, 24, 24, 16]


def test_stats_may_be_limited_to_a_time(directory):
    found = stats(directory, since=NOON + DAY, until=NOON + 2 * DAY)
    assert found["records"] == 3
    assert found["verdicts"] == [["rejected", 2]]
