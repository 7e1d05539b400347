"""`rsfilter run` with a fleet: a real filter, a real database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from lab.postgresql import PostgreSql
from support.config_sample import configuration
from support.fleet_processes import get, is_below, workers
from support.fleet_samples import FLEET, database, lines, shipped, wait_until, write
from support.flood_scenarios import FAKETIME, environment
from support.speaker import Speaker, announce, state

pytestmark = pytest.mark.lab

HOST = ("198.51.100.1", 65001)
TRUTH = {"hosts": [{"name": "hv1", "asn": 65001, "prefixes": ["203.0.113.0/24"]}]}


def configure(place: Path, server: PostgreSql, more: str = "") -> Path:
    """The files of a filter that ships to a database."""
    (place / "truth.json").write_text(json.dumps(TRUTH))
    path = place / "rsfilter.toml"
    fleet = f'[fleet]\nname = "{FLEET}"\ndatabase = "{server.url("rs1")}"\n{more}'
    path.write_text(configuration() + fleet)
    return path


def begin(speaker: Speaker) -> None:
    """A router and a host come up, and the host announces."""
    speaker.write(state("192.0.2.10", 65200, "up"))
    speaker.write(state(*HOST, "up"))
    speaker.write(announce(*HOST, [f"203.0.113.{n}/32" for n in range(1, 200)]))
    speaker.wait("announced", lambda: len(speaker.tables["192.0.2.10"]) == 199)


def health(speaker: Speaker) -> Any:
    return json.loads(get(speaker, "/healthz"))


def test_the_log_of_a_filter_arrives_to_its_last_record(tmp_path: Path) -> None:
    with database("rs1") as server:
        config = configure(tmp_path, server)
        with Speaker(config, {"192.0.2.10": 65200}) as speaker:
            begin(speaker)
            wait_until(lambda: len(shipped(server)) > 199, "verdicts are shipped")
            assert "rsfilter_fleet_ok 1.0" in get(speaker, "/metrics")
            assert health(speaker)["warnings"] == []
            speaker.ends()
        everything = lines(tmp_path / "audit")
        assert json.loads(everything[-1])["event"] == "stop"
        wait_until(lambda: shipped(server) == everything, "the last record is shipped", 10)


def test_nothing_is_lost_when_the_filter_is_killed_again_and_again(tmp_path: Path) -> None:
    with database("rs1") as server:
        config = configure(tmp_path, server)
        for _ in range(4):
            with Speaker(config, {"192.0.2.10": 65200}) as speaker:
                begin(speaker)
        with Speaker(config, {"192.0.2.10": 65200}) as speaker:
            begin(speaker)
            speaker.ends()
        everything = lines(tmp_path / "audit")
        assert sum(b'"event":"start"' in line for line in everything) == 5
        wait_until(lambda: shipped(server) == everything, "all is shipped")


def test_the_end_does_not_wait_for_a_database_that_stands_still(tmp_path: Path) -> None:
    with database("rs1") as server:
        config = configure(tmp_path, server)
        with Speaker(config, {"192.0.2.10": 65200}) as speaker:
            begin(speaker)
            wait_until(lambda: len(shipped(server)) > 199, "verdicts are shipped")
            server.freeze()
            speaker.write(announce(*HOST, ["203.0.113.200/32"]))
            speaker.wait("announced", lambda: len(speaker.tables["192.0.2.10"]) == 200)
            time.sleep(1.5)  # the process now waits for an answer
            started = time.monotonic()
            speaker.ends(5.0)
            assert time.monotonic() - started < 5.0
            mine = [pid for pid in workers() if is_below(pid, tmp_path)]
            wait_until(lambda: not set(mine) & set(workers()), "the process is gone", 5)
        server.thaw()


def test_a_fork_is_an_alarm_and_filtering_goes_on(tmp_path: Path) -> None:
    with database("rs1") as server:
        config = configure(tmp_path, server)
        with Speaker(config, {"192.0.2.10": 65200}) as speaker:
            begin(speaker)
            wait_until(lambda: len(shipped(server)) > 199, "verdicts are shipped")
            speaker.ends()
        before = len(shipped(server))
        (tmp_path / "audit").rename(tmp_path / "lost")
        with Speaker(config, {"192.0.2.10": 65200}) as speaker:
            begin(speaker)
            wait_until(lambda: health(speaker)["warnings"] != [], "a warning")
            (warning,) = health(speaker)["warnings"]
            assert warning["name"] == "fleet_fork"
            assert "was shipped" in warning["detail"]
            assert health(speaker)["status"] == "ok"
            metrics = get(speaker, "/metrics")
            assert 'rsfilter_fleet_problem{problem="fork"} 1.0' in metrics
            assert "rsfilter_fleet_ok 0.0" in metrics
            speaker.ends()
        assert len(shipped(server)) == before
        assert "ERROR rsfilter.fleet.supervisor: fleet: fork: record" in log_of(tmp_path)


def log_of(place: Path) -> str:
    return (place / "rsfilter.log").read_text()


def test_no_secret_is_shown_anywhere(tmp_path: Path) -> None:
    secret = "correct horse battery"
    with database("rs1") as server:
        hba = server.place / "data" / "pg_hba.conf"
        hba.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        server.query("SELECT pg_reload_conf()")
        password = tmp_path / "password"
        password.write_text(secret + "\n")
        password.chmod(0o600)
        config = configure(tmp_path, server, 'password_file = "password"\n')
        with Speaker(config, {"192.0.2.10": 65200}) as speaker:
            begin(speaker)  # the role has another password
            wait_until(lambda: health(speaker)["warnings"] != [], "a warning")
            (warning,) = health(speaker)["warnings"]
            assert warning["name"] == "fleet_refused"
            assert "set the role's password" in warning["detail"]
            status = get(speaker, "/api/v1/status")
            server.query(f"ALTER ROLE rs1 PASSWORD '{secret}'")
            wait_until(lambda: health(speaker)["warnings"] == [], "the warning is gone")
            speaker.ends()
        shown = [status, json.dumps(warning), log_of(tmp_path)]
        for option in ([], ["--json"]):
            check = [sys.executable, "-m", "rsfilter", "check", "-c", str(config), *option]
            shown.append(subprocess.run(check, capture_output=True, text=True).stdout)
            assert str(password) in shown[-1]
        assert all(secret not in text for text in shown)


def test_the_process_is_started_again_when_it_dies(tmp_path: Path) -> None:
    with database("rs1") as server:
        config = configure(tmp_path, server)
        with Speaker(config, {"192.0.2.10": 65200}) as speaker:
            begin(speaker)
            wait_until(lambda: len(shipped(server)) > 199, "verdicts are shipped")
            (first,) = [pid for pid in workers() if is_below(pid, tmp_path)]
            os.kill(first, 9)
            speaker.write(announce(*HOST, ["203.0.113.200/32"]))
            wait_until(
                lambda: any(b"203.0.113.200/32" in line for line in shipped(server)),
                "another one ships on",
            )
            assert "the shipping process has ended (-9)" in log_of(tmp_path)
            wait_until(lambda: health(speaker)["warnings"] == [], "the warning is gone")
            speaker.ends()


def test_a_clock_that_runs_back_at_the_start_hides_no_routes(tmp_path: Path) -> None:
    """The filter reads the clock a millisecond earlier each time, so that its `start` is earlier,
    too: the process finds that record nevertheless, and compares the routes."""
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": "+0 i-0.001",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with database("rs1") as server:
        config = configure(tmp_path, server, "heartbeat = 1\n")
        with environment(faked):
            made = Speaker(config, {"192.0.2.10": 65200})
        with made as speaker:
            begin(speaker)
            query = "SELECT state->'accepted', state ? 'is_complete' FROM rsfilter.status"
            wait_until(lambda: server.query(query) == [(199, False)], "a heartbeat has all routes")
            speaker.ends()
        stamps = [json.loads(line)["at"] for line in lines(tmp_path / "audit")]
        assert stamps[-1] < stamps[0]


def test_without_a_fleet_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys, rsfilter.cli, rsfilter.service, rsfilter.web.server;"
        "print([m for m in sys.modules if m.startswith(('rsfilter.fleet', 'psycopg'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_a_command_without_its_driver_names_it(tmp_path: Path) -> None:
    write(tmp_path / "audit", 1)
    config = tmp_path / "rsfilter.toml"
    url = "postgresql://rs1@127.0.0.1/r"
    config.write_text(configuration() + f'[fleet]\nname = "f"\ndatabase = "{url}"\n')
    code = (
        "import sys; sys.modules['psycopg'] = None; from rsfilter.cli import main;"
        f"sys.exit(main(['fleet', 'ship', '-c', {str(config)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'rsfilter[fleet]'" in done.stderr
