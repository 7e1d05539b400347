"""The commands that talk to a running filter: a real one, with a scripted ExaBGP around it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab.waiting import DEADLINE_S
from support.web_site import AFTER, HV2, hosts

from rsfilter.cli import main
from rsfilter.commands.client import Client

pytestmark = pytest.mark.usefixtures("_at_site")


def printed(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    assert main(argv) == code
    return capsys.readouterr().out


def printed_json(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> Any:
    return json.loads(printed(capsys, *argv, "--json", code=code))


def quiet(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the problems by `status --quiet`; empty if there are none."""
    code = main(["status", "--quiet"])
    out = capsys.readouterr().out
    assert code == bool(out)
    return out


def eventually(check: Any) -> None:
    end = time.monotonic() + DEADLINE_S
    while not check():
        assert time.monotonic() < end, check
        time.sleep(0.02)


# Reading -----------------------------------------------------------------------------------------


def test_status_prints_counts_and_data(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "status")
    assert "3 accepted, 1 rejected, 0 held, 0 stale" in text
    assert "1 origin_invalid_asn" in text
    assert "host sessions    2 up, 0 down" in text
    assert "revision r1, 2 VRPs, 2 hosts" in text
    assert printed_json(capsys, "status")["routes"]["accepted"] == 3


def test_status_has_the_whole_of_a_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status = printed_json(capsys, "status")
    problem = f"{'/a/long/path' * 20}/truth.json: it looks truncated (line 2, column 7)"
    status["health"]["reasons"] = [{"name": "truth_refused", "detail": problem}]
    status["truth"]["problems"] = [problem]
    monkeypatch.setattr(Client, "get", lambda *_: status)
    lines = printed(capsys, "status", code=1).splitlines()
    assert sum(line.endswith(problem) for line in lines) == 2


def test_an_asn_and_a_limit_of_routes(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "routes", "--asn", "AS65001") == printed(
        capsys, "routes", "--asn", "65001"
    )
    assert len(printed(capsys, "routes", "--json", "--limit", "2").splitlines()) == 2
    assert len(printed(capsys, "routes", "--json", "--limit", "0").splitlines()) == 4


def test_routes_prints_each_route_with_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    everything = [json.loads(line) for line in printed(capsys, "routes", "--json").splitlines()]
    assert {(r["prefix"], r["verdict"]) for r in everything} == {
        ("203.0.113.1/32", "accepted"),
        ("203.0.113.2/32", "accepted"),
        ("203.0.113.3/32", "accepted"),
        ("203.0.113.4/32", "rejected"),
    }
    rejected = printed(capsys, "routes", "--verdict", "rejected").splitlines()
    assert len(rejected) == 2  # and the heading
    assert "203.0.113.4/32" in rejected[1]
    assert "origin_invalid_asn (203.0.113.0/28-32 AS65001)" in rejected[1]
    inside = printed(capsys, "routes", "203.0.113.2/31", "--match", "covered").splitlines()[1:]
    assert [line.split()[0] for line in inside] == ["203.0.113.2/32", "203.0.113.3/32"]


def test_a_note_follows_a_table_that_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(printed(capsys, "routes", "--limit", "2").splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ("routes 203.0.113.9", "No host announces 203.0.113.9.\n"),
        (
            "routes 203.0.113.8/30 --match covered",
            "No host announces a prefix in 203.0.113.8/30.\n",
        ),
        ("routes 203.0.113.1 --verdict held", "There is no such route.\n"),
        ("routes --asn 65009", "There is no such route.\n"),
        ("guard show", "Nothing is held.\n"),
        ("routes 203.0.113.1", ""),
    ],
)
def test_a_note_stands_for_an_empty_table(
    capsys: pytest.CaptureFixture[str], words: str, note: str
) -> None:
    assert main(words.split()) == 0
    out, err = capsys.readouterr()
    assert (err, len(out.splitlines())) == (note, 1 if note else 2)
    assert main([*words.split(), "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_refusals_of_the_api_are_printed_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["routes", "--host", "x" * 201]) == 2
    assert "host: a text of 201 is not a text of at most 200" in capsys.readouterr().err


def test_no_filter_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["status", "--url", "http://127.0.0.1:1"]) == 1
    output = capsys.readouterr().err
    assert "no filter answers on http://127.0.0.1:1" in output
    assert "Is it running?" in output


@pytest.mark.parametrize(
    "command",
    [
        *("status", "routes", "guard show", "guard release --yes", "drain off"),
        "impact --truth truth.json",
    ],
)
def test_a_note_names_the_filter_of_another_configuration(
    capsys: pytest.CaptureFixture[str], site: Path, tmp_path: Path, command: str
) -> None:
    """Two on one machine, of which one has the address that both name."""
    copy, link = tmp_path / "rsfilter.toml", tmp_path / "link"
    copy.write_text(Path("rsfilter.toml").read_text())
    link.symlink_to(site)
    http = tomllib.loads(copy.read_text())["http"]
    copy.write_text(copy.read_text().replace(http["socket"], str(site / http["socket"])))
    where = site / http["socket"]
    found = f"rsfilter: the filter on {where} runs with {site / 'rsfilter.toml'}, not with {copy}\n"
    for argv, is_reported in (
        (["-c", str(copy)], True),
        (["-c", str(link / "rsfilter.toml")], False),
        ([], False),
        (["--url", f"http://{http['listen']}", "--token-file", "token"], False),
    ):
        assert main([*command.split(), *argv]) == 0
        assert capsys.readouterr().err.count(found) == is_reported


ROW = b'{"prefix":"203.0.113.1/32"}\n'


@pytest.mark.parametrize("end", [b"", b"1c", b'1c\r\n{"prefix":', b"1c\r\n" + ROW, b"0\r\n\r\n"])
def test_a_table_that_is_cut_is_no_table(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, end: bytes
) -> None:
    """The end may be missing after a whole line, when the filter dies."""
    saved = tmp_path / "routes.ndjson"
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = threading.Thread(target=_answers, args=(server, b"1c\r\n" + ROW + b"\r\n" + end))
        answer.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        is_whole = end.startswith(b"0")
        argv = ["routes", "--url", url, "--snapshot", str(saved)]
        assert main(argv) == (0 if is_whole else 1)
        answer.join()
    assert saved.exists() is is_whole
    assert ("cut short" in capsys.readouterr().err) is not is_whole


def _answers(server: socket.socket, content: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(10_000)
        kind = b"Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + kind + content)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://127.0.0.1", "http://"),
        *("http://127.0.0.1:99999", "http://127.0.0.1:abc", "http://[::1"),
    ],
)
def test_a_url_that_is_none(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert main(["status", "--url", url]) == 2
    assert "is not the address of an API" in capsys.readouterr().err


def test_a_url_may_be_an_address_and_a_port(capsys: pytest.CaptureFixture[str]) -> None:
    listen = tomllib.loads(Path("rsfilter.toml").read_text())["http"]["listen"]
    assert main(["status", "--url", listen]) == 0


# Explain and watch -------------------------------------------------------------------------------


def test_explain_has_every_live_route_with_its_checks_and_the_owner(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = printed(capsys, "explain", "203.0.113.1")
    lines = out.splitlines()
    assert lines[0] == "203.0.113.1/32 from 198.51.100.1 (hv1, AS65001): accepted"
    assert "origin validation: Valid by 203.0.113.0/28-32 AS65001" in lines
    assert "announced to leaves: next hop 198.51.100.1, best" in lines
    assert (
        "owner: hv1 (AS65001) by 203.0.113.0/28-32 AS65001; 198.51.100.1 up; announces it" in lines
    )


def test_explain_begins_with_the_failed_check(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "explain", "203.0.113.4").splitlines()
    assert lines[0] == "203.0.113.4/32 from 198.51.100.2 (hv2, AS65002): rejected"
    assert lines[2].split()[:3] == ["✗", "origin", "origin_invalid_asn:"]
    assert any(line.startswith("to fix origin_invalid_asn: ") for line in lines)
    assert (
        printed_json(capsys, "explain", "203.0.113.4")["routes"][0]["route"]["verdict"]
        == "rejected"
    )


def test_explain_has_the_owner_of_what_no_host_announces(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed(capsys, "explain", "203.0.113.9", code=1).splitlines()
    assert lines[0] == "203.0.113.9/32: no host announces it"
    assert "hv1 (AS65001)" in lines[1]
    assert lines[1].endswith("198.51.100.1 up; does not announce it")
    assert lines[-1].startswith("next: find out on hv1 why it does not announce 203.0.113.9/32")
    lines = printed(capsys, "explain", "203.0.113.1", "--neighbor", HV2[0], code=1).splitlines()
    assert lines[0] == "203.0.113.1/32: 198.51.100.2 does not announce it"
    assert lines[-1] == "next: rsfilter explain 203.0.113.1/32 has the routes of all hosts"


def test_explain_answers_plainly_about_what_nothing_is_known_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", "192.0.2.77"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[:2] == [
        "192.0.2.77/32: no host announces it",
        "owner: none by the active truth",
    ]
    assert out.splitlines()[2].startswith("next: rsfilter routes 192.0.2.77/32 lists")
    assert err == ""
    assert printed_json(capsys, "explain", "192.0.2.77", code=1) == {
        "prefix": "192.0.2.77/32",
        "owners": [],
        "routes": [],
        "audit": [],
        "is_audit_complete": True,
    }
    assert main(["explain", "192.0.2.77/24"]) == 2
    assert "the network is 192.0.2.0/24, the address 192.0.2.77" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        ("guard release --host hv1 --yes", 1, "rsfilter guard release: the guard holds no route"),
        (f"routes --host {'x' * 201}", 2, "rsfilter routes: host: a text of 201"),
    ],
)
def test_an_answer_about_what_was_requested_does_not_name_the_socket(
    capsys: pytest.CaptureFixture[str], words: str, code: int, error: str
) -> None:
    assert main(words.split()) == code
    err = capsys.readouterr().err
    assert err.startswith(error)
    assert "sock" not in err
    assert "/api/" not in err


def test_watch_prints_what_happens(site: Path) -> None:
    argv = [sys.executable, "-u", "-m", "rsfilter", "watch", "drain"]
    with subprocess.Popen(argv, cwd=site, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        try:
            threads: list[str] = []
            reader = threading.Thread(target=lambda: threads.append(watch.stdout.readline()))
            reader.start()
            end = time.monotonic() + 30
            while reader.is_alive() and time.monotonic() < end:  # until it has connected
                assert main(["drain", "on"]) == main(["drain", "off"]) == 0
                reader.join(0.2)
            assert "drain" in threads[0]
        finally:
            watch.kill()


# Impact ------------------------------------------------------------------------------------------


@pytest.fixture
def new(tmp_path: Path) -> str:
    path = tmp_path / "new truth.json"
    path.write_text(json.dumps(AFTER))
    return str(path)


def flips(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    return [(f["prefix"], f["neighbor"], f["was"], f["verdict"]) for f in found["flips"]]


MOVED = [
    ("203.0.113.3/32", "198.51.100.1", "accepted", "rejected"),
    ("203.0.113.4/32", "198.51.100.2", "rejected", "accepted"),
]


def test_impact_compares_with_the_running_filter(
    capsys: pytest.CaptureFixture[str], new: str
) -> None:
    found = printed_json(capsys, "impact", "--truth", new, code=3)
    assert (found["lost"], found["gained"], found["judged"]) == (1, 1, 4)
    assert flips(found) == MOVED
    assert found["lost_by_reason"] == {"origin_invalid_asn": 1}


def test_impact_on_a_snapshot_is_the_same(
    capsys: pytest.CaptureFixture[str], new: str, tmp_path: Path
) -> None:
    saved = str(tmp_path / "routes.ndjson")
    assert "wrote 4 routes" in printed(capsys, "routes", "--snapshot", saved)
    live = printed_json(capsys, "impact", "--truth", new, code=3)
    found = printed_json(capsys, "impact", "--truth", new, "--snapshot", saved, code=3)
    common = found.keys() & live.keys()
    assert len(common) == 9
    assert {name: found[name] for name in common} == {name: live[name] for name in common}
    assert flips(found) == MOVED


def test_impact_of_the_truth_in_force_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed_json(capsys, "impact", "--truth", "truth.json")
    assert (found["lost"], found["gained"], found["flips"]) == (0, 0, [])


def test_impact_prints_markdown(capsys: pytest.CaptureFixture[str], new: str) -> None:
    assert printed(capsys, "impact", "--truth", new, "--markdown", code=3).splitlines() == [
        "### Impact on live routes",
        "",
        "Routers have 3 routes and would have 3: 1 lost, 1 gained.",
        "",
        "| prefix | neighbor | asn | was | would be | why |",
        "| --- | --- | --- | --- | --- | --- |",
        "| 203.0.113.3/32 | 198.51.100.1 | 65001 | accepted | rejected "
        "| origin_invalid_asn, 203.0.113.3/32-32 AS65002 |",
        "| 203.0.113.4/32 | 198.51.100.2 | 65002 | rejected | accepted "
        "| 203.0.113.4/32-32 AS65002 |",
    ]


def test_impact_of_a_bad_truth_is_an_error_with_its_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(hosts(hv1=["203.0.113.1/24"])))
    assert main(["impact", "--truth", str(bad)]) == 2
    assert "/hosts/0/prefixes/0" in capsys.readouterr().err


def test_impact_without_a_truth_is_refused(
    capsys: pytest.CaptureFixture[str], new: str, tmp_path: Path
) -> None:
    """An answer without changes would read like good news."""
    config = tmp_path / "rsfilter.toml"
    text = Path("rsfilter.toml").read_text().replace("[truth]", "[rtr]")
    text = text.replace("absent_after = 300\n", "")
    config.write_text(text.replace('file = "truth.json"', 'caches = ["127.0.0.1:1"]'))
    saved = tmp_path / "routes.ndjson"
    saved.write_text("")
    assert main(["impact", "-c", str(config), "--truth", new, "--snapshot", str(saved)]) == 1
    assert "no [truth]" in capsys.readouterr().err


def test_impact_without_an_answer_of_the_caches(
    capsys: pytest.CaptureFixture[str], new: str, tmp_path: Path
) -> None:
    """All that they allow would seem to be lost."""
    config = tmp_path / "rsfilter.toml"
    config.write_text(Path("rsfilter.toml").read_text() + '[rtr]\ncaches = ["127.0.0.1:1"]\n')
    saved = str(tmp_path / "routes.ndjson")
    printed(capsys, "routes", "--snapshot", saved)
    assert main(["impact", "-c", str(config), "--truth", new, "--snapshot", saved]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == f"rsfilter impact: no RTR cache of {config} answered"


SAVED = {
    "neighbor": "198.51.100.1",
    "asn": 65001,
    "prefix": "203.0.113.1/32",
    "path_id": 0,
    "next_hop": "198.51.100.1",
    "verdict": "accepted",
    "reasons": [],
    "state": "Valid",
}


def saved_with(**other: object) -> str:
    return json.dumps({**SAVED, **other})


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{saved_with()}\n",
        f'{saved_with()}\n{{"routes": 2}}\n',
        f'{{"routes": 1}}\n{saved_with()}\n',
    ],
)
def test_a_snapshot_that_was_cut(
    capsys: pytest.CaptureFixture[str], new: str, tmp_path: Path, text: str
) -> None:
    saved = tmp_path / "routes.ndjson"
    saved.write_text(text)
    assert main(["impact", "--truth", new, "--snapshot", str(saved)]) == 1
    assert f"{saved}: was cut" in capsys.readouterr().err


def test_a_snapshot_without_routes_loses_nothing(
    capsys: pytest.CaptureFixture[str], new: str, tmp_path: Path
) -> None:
    """A snapshot of a filter that has just started: no change would lose anything."""
    saved = tmp_path / "routes.ndjson"
    saved.write_text('{"routes": 0}\n')
    assert main(["impact", "--truth", new, "--snapshot", str(saved)]) == 1
    assert f"{saved}: it has no route" in capsys.readouterr().err


def test_a_malformed_prefix_of_a_snapshot_is_read(
    capsys: pytest.CaptureFixture[str], new: str, tmp_path: Path
) -> None:
    """Hosts can announce such, and it is rejected."""
    saved = tmp_path / "routes.ndjson"
    bad = saved_with(prefix="203.0.113.1/24", verdict="rejected", reasons=["prefix_malformed"])
    saved.write_text(f'{bad}\n{{"routes": 1}}\n')
    assert printed_json(capsys, "impact", "--truth", new, "--snapshot", str(saved))["judged"] == 1


@pytest.mark.parametrize(
    "line",
    [
        *("{", "[]", "{}", '{"prefix": "x"}', "\x00", "[" * 40_000),
        saved_with(path_id=float("inf")),
        '{"x": ' + "[" * 40_000,
        *(saved_with(asn=asn) for asn in (-1, 1 << 32, True, "65001", None)),
        *(saved_with(prefix=prefix) for prefix in ("203.0.113.1/99", "203.0.113.1/24", 5)),
        *(saved_with(neighbor="x"), saved_with(next_hop=None), saved_with(reasons=["x"])),
        '{"routes": "x"}',
        '{"routes": ' + "[" * 40_000,
    ],
)
def test_a_snapshot_that_is_none(
    capsys: pytest.CaptureFixture[str], new: str, tmp_path: Path, line: str
) -> None:
    saved = tmp_path / "routes.ndjson"
    saved.write_text(line + "\n")
    assert main(["impact", "--truth", new, "--snapshot", str(saved)]) == 1
    assert "routes.ndjson:1: not a route" in capsys.readouterr().err


# Changing ----------------------------------------------------------------------------------------


def test_drain_takes_the_filter_out_of_service_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "drain", "on").startswith("draining until ")
    assert printed_json(capsys, "status")["drain"]["phase"] == "draining"
    assert printed(capsys, "drain", "off") == "in service\n"


def test_a_token_that_is_none_is_not_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("secret\nother")
    http = tomllib.loads(Path("rsfilter.toml").read_text())["http"]
    where = ("--url", f"http://{http['listen']}")
    assert main(["drain", "on", *where, "--token-file", str(token)]) == 1
    output = capsys.readouterr().err
    assert "one line of printable characters" in output
    assert "secret" not in output


def test_a_name_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--url", "http://ab..cd"]) == 1
    assert "no filter answers on http://ab..cd" in capsys.readouterr().err


def test_a_wrong_token_changes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    listen = tomllib.loads(Path("rsfilter.toml").read_text())["http"]["listen"]
    wrong = tmp_path / "token"
    wrong.write_text("f" * 16)
    where = ("--url", f"http://{listen}")
    assert main(["drain", "on", *where, "--token-file", str(wrong)]) == 1
    assert "this is not the token of [http] token_file" in capsys.readouterr().err
    assert main(["drain", "on", *where]) == 1
    assert "--token-file" in capsys.readouterr().err
    assert main(["drain", "on", "--token-file", str(wrong)]) == 2
    assert "the filter's socket needs no token" in capsys.readouterr().err
    assert printed_json(capsys, "status")["drain"]["phase"] == "in_service"


def typing(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """An operator at a terminal types this."""
    terminal = SimpleNamespace(isatty=lambda: True, readline=lambda: line)
    monkeypatch.setattr("rsfilter.commands.guard.sys.stdin", terminal)


def test_guard_release_withdraws_held_routes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test here: it takes the routes away."""
    nothing = hosts(hv1=["203.0.113.8/29"], hv2=["203.0.113.16/28"])
    Path("new.json").write_text(json.dumps(nothing))
    Path("new.json").rename("truth.json")
    eventually(lambda: "3 routes held" in quiet(capsys))
    assert printed_json(capsys, "status", code=1)["guard"]["held"] == 3
    held = printed(capsys, "routes", "--verdict", "held").splitlines()
    assert len(held) == 4
    assert "held_by_guard" in held[1]
    assert printed(capsys, "guard", "show").splitlines() == held
    assert main(["guard", "release"]) == 2
    assert "confirm it with --yes" in capsys.readouterr().err
    typing(monkeypatch, "no\n")
    shown = printed(capsys, "guard", "release", code=1)
    assert "This withdraws 3 routes from all routers" in shown
    assert "203.0.113.2/32" in shown
    shown = printed(capsys, "guard", "release", "203.0.113.2", code=1)
    assert "This withdraws 1 route from all routers" in shown
    assert printed(capsys, "guard", "release", "203.0.113.2", "--yes") == (
        "1 route withdrawn from all routers, 2 still held\n"
    )
    assert main(["guard", "release", "--host", "hv2", "--yes"]) == 1
    assert "the guard holds no route of" in capsys.readouterr().err
    assert printed_json(capsys, "status", code=1)["guard"]["held"] == 2
    typing(monkeypatch, "yes\n")
    assert printed(capsys, "guard", "release", "--host", "hv1").endswith(
        "2 routes withdrawn from all routers, 0 still held\n"
    )
    assert printed(capsys, "routes", "--verdict", "held").splitlines()[1:] == []
    assert len(printed(capsys, "routes", "--verdict", "rejected").splitlines()) == 5


# Sessions ----------------------------------------------------------------------------------------


def test_neighbors_lists_every_session(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "neighbors").splitlines()
    assert [line.split()[:5] for line in lines[1:]] == [
        ["192.0.2.10", "router", "leaves", "65200", "up"],
        ["198.51.100.1", "host", "hv1", "65001", "up"],
        ["198.51.100.2", "host", "hv2", "65002", "up"],
    ]
    assert len(printed(capsys, "neighbors", "--host", "hv1").splitlines()) == 2
    assert printed_json(capsys, "neighbors", "--state", "down")["neighbors"] == []
