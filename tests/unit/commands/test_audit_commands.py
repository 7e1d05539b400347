"""`rsfilter audit` as it is typed."""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path

import pytest
from support.audit_samples import DAY, NOON, note, sample_log, verdict_change, write_log
from support.places import ROOT

from rsfilter.cli import main
from rsfilter.routing.effects import SessionChange
from rsfilter.routing.model import Address

MINIMAL = ROOT / "fixtures" / "config" / "minimal.toml"


@pytest.fixture
def directory(tmp_path) -> Path:
    sample_log(tmp_path / "audit")
    return tmp_path / "audit"


def run(*arguments: str) -> int:
    return main(["audit", *arguments])


def test_query_prints_a_table(directory, capsys):
    assert run("query", "203.0.113.3", "--directory", str(directory)) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert " ".join(header.split()) == "at event neighbor host asn prefix as path why"
    assert row.split() == [
        "2026-11-22T12:00:03Z",
        "rejected",
        "198.51.100.101",
        "hv1",
        "65001",
        "203.0.113.3/32",
        "65001",
        "origin_invalid_asn",
        "(203.0.113.0/28-32",
        "AS65002)",
    ]


def test_query_prints_json_lines(directory, capsys):
    options = ["--reason", "origin_invalid_asn", "--asn", "AS65001", "--limit", "2", "--json"]
    assert run("query", *options, "--directory", str(directory)) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["prefix"] for record in found] == ["203.0.113.10/32", "203.0.113.11/32"]


def test_a_table_shows_the_newest_and_a_note_about_the_rest(tmp_path, capsys):
    write_log(tmp_path, *((NOON, note(str(i))) for i in range(150)))
    assert run("query", "--directory", str(tmp_path)) == 0
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 101
    assert "--limit 0 prints all" in output.err
    assert run("query", "--limit", "0", "--directory", str(tmp_path)) == 0
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 152
    assert output.err == ""


@pytest.mark.parametrize(
    ("since", "count"), [("3h", 0), ("2026-11-24", 4), ("2026-11-23T12:00:01+00:00", 6)]
)
def test_query_begins_at_the_time_of_since(directory, capsys, monkeypatch, since, count):
    monkeypatch.setattr(time, "time", lambda: NOON + 3 * DAY)
    assert run("query", "--since", since, "--json", "--directory", str(directory)) == 0
    assert len(capsys.readouterr().out.splitlines()) == count


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", "--since", "last week"),
        ("query", "--asn", "host"),
        ("query", "--reason", "bad_luck"),
        ("query", "--event", "session_dwon"),
        ("query", "--limit", "-1"),
        ("query", "--match", "near"),
        (),
    ],
)
def test_wrong_arguments_end_with_2(directory, arguments):
    with pytest.raises(SystemExit) as ended:
        run(*arguments, *(["--directory", str(directory)] if arguments else []))
    assert ended.value.code == 2


def test_a_prefix_that_is_none(directory, capsys):
    assert run("query", "203.0.113.1/24", "--directory", str(directory)) == 2
    assert "the network is 203.0.113.0/24" in capsys.readouterr().err


def test_where_there_is_no_log(tmp_path, capsys):
    where = tmp_path / "none"
    assert run("verify", "--directory", str(where)) == 2
    hint = "the filter makes it when it starts; --directory names another"
    problem = f"{where}: there is no audit log; {hint}"
    assert capsys.readouterr().err == f"rsfilter audit verify: {problem}\n"
    assert run("verify", "--json", "--directory", str(where)) == 2
    assert json.loads(capsys.readouterr().out) == {"error": "invalid", "detail": problem}


@pytest.mark.parametrize(
    "action",
    [["query"], ["query", "--sql", "SELECT 1"], ["tail"], ["stats"], ["report", "-o", "r"]],
)
def test_a_query_of_a_directory_without_a_log_is_an_error(tmp_path, capsys, action):
    """An empty answer would read as if nothing had happened."""
    (tmp_path / "notes.txt").write_text("no log")
    assert run(*action, "--directory", str(tmp_path)) == 2
    assert f"{tmp_path}: there is no audit log" in capsys.readouterr().err


def test_a_log_that_waits_for_its_first_record(tmp_path, capsys):
    (tmp_path / "rsfilter.toml").write_text(MINIMAL.read_text())
    (tmp_path / "audit").mkdir()
    assert run("query", "-c", str(tmp_path / "rsfilter.toml"), "--json") == 0
    assert capsys.readouterr().out == ""


def test_the_configuration_names_the_log(tmp_path, capsys):
    (tmp_path / "rsfilter.toml").write_text(MINIMAL.read_text())
    sample_log(tmp_path / "audit")
    assert run("verify", "-c", str(tmp_path / "rsfilter.toml")) == 0
    assert "The log is intact." in capsys.readouterr().out


def test_query_prints_the_result_of_sql(directory, capsys):
    statement = "SELECT event, count(*) AS n FROM audit GROUP BY event ORDER BY n DESC LIMIT 1"
    assert run("query", "--sql", statement, "--directory", str(directory)) == 0
    assert capsys.readouterr().out.split() == ["event", "n", "verdict", "12"]
    assert run("query", "--sql", statement, "--json", "--directory", str(directory)) == 0
    assert json.loads(capsys.readouterr().out) == {"event": "verdict", "n": 12}
    assert run("query", "--sql", "DROP VIEW audit", "--directory", str(directory)) == 2
    assert "SELECT" in capsys.readouterr().err
    assert run("query", "--sql", "SELECT nonsense", "--directory", str(directory)) == 2
    assert "\\n" not in capsys.readouterr().err


def test_sql_opens_more_files_than_a_process_usually_may(tmp_path, capsys):
    write_log(tmp_path, *((NOON + day * DAY, note()) for day in range(40)))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 20, before[1]))
    try:
        statement = "SELECT count(*) AS n FROM audit"
        assert run("query", "--sql", statement, "--json", "--directory", str(tmp_path)) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert json.loads(capsys.readouterr().out) == {"n": 80}


def test_sql_names_the_damaged_index_to_delete(directory, capsys):
    assert run("index", "--directory", str(directory)) == 0
    for path in (directory / "index").glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:50])
    assert run("query", "--sql", "FROM audit", "--directory", str(directory)) == 1
    assert ".parquet: delete it: " in capsys.readouterr().err


def test_tail_prints_the_latest_records(directory, capsys):
    assert run("tail", "-n", "2", "--json", "--directory", str(directory)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["data"]["text"] for line in lines] == ["third 1", "third 2"]
    assert run("tail", "-n", "1", "--directory", str(directory)) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-2:] == ["third", "2"]


def test_stats_prints_counts(directory, capsys):
    assert run("stats", "--directory", str(directory)) == 0
    output = capsys.readouterr().out
    assert output.startswith("23 records, 2026-11-22T12:00:00.000000Z to 2026-11-24T12:00:02")
    assert "origin_invalid_asn  12" in output
    assert run("stats", "--json", "--directory", str(directory)) == 0
    assert json.loads(capsys.readouterr().out)["records"] == 23


def test_verify_finds_a_changed_record(directory, capsys):
    assert run("verify", "--directory", str(directory)) == 0
    assert "record 1 to record 23" in capsys.readouterr().out
    path = directory / "audit-2026-11-24.jsonl"
    path.write_bytes(path.read_bytes().replace(b"third 0", b"THIRD 0"))
    assert run("verify", "--directory", str(directory)) == 1
    output = capsys.readouterr().out
    assert "audit-2026-11-24.jsonl:2: was changed: its hash is not that of its content" in output
    assert "DAMAGED" in output
    assert run("verify", "--json", "--directory", str(directory)) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["ok"] is False
    assert printed["problems"][0]["line"] == 2


def test_verify_vouches_for_no_empty_directory(tmp_path, capsys):
    """The wrong directory, or an emptied one."""
    assert run("verify", "--directory", str(tmp_path)) == 1
    assert "There is no record" in capsys.readouterr().out


def test_a_statement_that_is_not_utf_8(directory, capsys):
    assert run("query", "--directory", str(directory), "--sql", "SELECT '\udcff'") == 2
    assert "the statement is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("json_option", [[], ["--json"]])
@pytest.mark.parametrize(
    "arguments", [("query",), ("tail",), ("stats",), ("query", "--sql", "FROM audit")]
)
def test_no_control_character_of_a_host_reaches_the_terminal(
    tmp_path, capsys, arguments, json_option
):
    evil = "\x1b]0;x\x07\x9b31m\r\u202e\u2028\x7f\x00[bold]"
    session = SessionChange(Address.parse("192.0.2.1"), 1, "host", evil, False, evil)
    write_log(tmp_path, (NOON, verdict_change(host=evil, malformed=evil)), (NOON, session))
    assert run(*arguments, *json_option, "--directory", str(tmp_path)) == 0
    output = capsys.readouterr().out
    assert "bold" in output
    assert all(char.isprintable() or char == "\n" for char in output)
