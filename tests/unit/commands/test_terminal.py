"""Output of commands for people: the word that was probably meant, colours, totals. A real filter,
with a scripted ExaBGP around it."""

from __future__ import annotations

import io
import json
import re
import socket
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from rsfilter.audit.query import parse_time
from rsfilter.cli import main

pytestmark = pytest.mark.usefixtures("_at_site")


def test_a_mistyped_host_is_an_error_with_the_one_that_was_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An empty result would read like good news."""
    for argv in (
        ["routes", "--host", "hv11"],
        ["neighbors", "--host", "hv11"],
        ["neighbors", "--group", "hyprvisors"],
        ["guard", "release", "--host", "hv11", "--yes"],
    ):
        assert main(argv) == 2, argv
        found = capsys.readouterr().err
        assert re.search(r"did you mean (hv1|hypervisors)\?$", found.strip()), found
        assert main([*argv, "--json"]) == 2
        assert json.loads(capsys.readouterr().out)["error"] == "invalid"
    assert main(["audit", "query", "--host", "hv11"]) == 0
    assert (
        "No record of host 'hv11' meets these conditions; did you mean hv1?"
        in capsys.readouterr().err
    )
    for argv in (["routes", "--host", "hv1", "--verdict", "held"], ["neighbors", "--host", "hv2"]):
        assert main(argv) == 0


def test_a_mistyped_reason_is_an_error_with_the_one_that_was_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for argv in (["routes"], ["audit", "query"]):
        with pytest.raises(SystemExit) as ended:
            main([*argv, "--reason", "origin_invalid_as"])
        assert ended.value.code == 2
        assert "did you mean origin_invalid_asn?" in capsys.readouterr().err


def test_a_weekday_is_the_last_one() -> None:
    today = datetime.now(UTC)
    for days in range(1, 8):
        day = today - timedelta(days=days)
        for text in (f"{day:%A}", f"last {day:%A}"):
            found = datetime.fromtimestamp(parse_time(text), UTC)
            assert (found.date(), found.time()) == (day.date(), time(0))


def test_a_hung_filter_costs_one_wait(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One hint, and not one for each request that a command makes."""
    monkeypatch.setattr("rsfilter.commands.client.TIMEOUT_S", 0.2)
    text = Path("rsfilter.toml").read_text()
    (tmp_path / "rsfilter.toml").write_text(text)
    (tmp_path / "token").write_text("f" * 16)
    (tmp_path / "token").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind("rsfilter.sock")
        silent.listen()
        assert main(["status"]) == 1
        assert "no answer within" in capsys.readouterr().err
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


class Terminal(io.StringIO):
    """A terminal that keeps what it shows."""

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, *argv: str) -> str:
    """Output of a command on a terminal."""
    terminal = Terminal()
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", terminal)
        patched.setenv("TERM", "xterm")
        main(argv)
    return terminal.getvalue()


def test_verdicts_and_states_have_colours_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    routes = shown(monkeypatch, "routes")
    assert routes.count("\x1b[32maccepted\x1b[0m") == 3
    assert routes.count("\x1b[31mrejected\x1b[0m") == 1
    assert "\x1b[32mup\x1b[0m" in shown(monkeypatch, "neighbors")
    assert "\x1b[31mrejected\x1b[0m" in shown(monkeypatch, "audit", "query", "203.0.113.4")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in shown(monkeypatch, "routes")
    assert main(["routes"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_tables_have_totals_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for argv, total in (
        (["routes"], "4 routes"),
        (["routes", "--host", "hv2"], "1 route"),
        (["neighbors"], "3 sessions up, 0 sessions down, 0 sessions absent, 0 sessions expected"),
        (["audit", "query", "203.0.113.4"], "1 record"),
    ):
        last = re.sub(r"\x1b\[\d*m", "", shown(monkeypatch, *argv)).strip().split("\n")[-1]
        assert last == total
        assert main(argv) == 0
        assert total not in capsys.readouterr().out
