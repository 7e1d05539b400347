"""`rsfilter run` as a process: pipes that stall, lines that make no sense, ends of every kind."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from urllib.request import urlopen

import pytest
from lab.usage import is_runnable
from lab.waiting import DEADLINE_S, eventually
from lab.warden import descendants
from support.filter_site import CONFIG, HOST, OTHER, ROUTER, ROUTERS, TRUTH, is_alive, logged
from support.speaker import Speaker, announce, line, state

from rsfilter.commands.output import FAILED

SOMEBODY_ELSES = {"prefix": "10.0.0.0/8", "maxLength": 32, "asn": "AS65009"}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A configuration and a truth in a directory of their own."""
    directory = tmp_path / "a site"
    directory.mkdir()
    (directory / "rsfilter.toml").write_text(CONFIG)
    (directory / "truth.json").write_text(json.dumps(TRUTH))
    return directory


@pytest.fixture
def speaker(site: Path) -> Iterator[Speaker]:
    with Speaker(site / "rsfilter.toml", ROUTERS) as running:
        running.write(state(ROUTER, 65200, "connected") + state(ROUTER, 65200, "up"))
        running.write(state(HOST, 65001, "up"))
        yield running


def prefixes(count: int) -> list[str]:
    return [f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32" for n in range(count)]


def test_a_route_goes_all_the_way(speaker: Speaker) -> None:
    speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
    speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])
    attributes = speaker.tables[ROUTER]["203.0.113.1/32"]
    assert attributes == f"next-hop {HOST} as-path [ 65001 ] origin igp"
    speaker.write(announce(OTHER, 65002, ["203.0.113.2/32"]))
    speaker.write(state(HOST, 65001, "down", "closing connection"))
    speaker.wait("withdrawn", lambda: not speaker.tables[ROUTER])


def test_a_signal_during_the_start_is_not_the_end(site: Path) -> None:
    """SIGHUP, SIGUSR1 and SIGUSR2 would kill a program that does not expect them."""
    with Speaker(site / "rsfilter.toml", ROUTERS) as speaker:
        process = Path(f"/proc/{speaker.process.pid}")

        def expects_signals() -> bool:
            """Require that it blocks them before it starts the two threads that watch for its
            end."""
            if b"rsfilter\0run" not in (process / "cmdline").read_bytes():
                return False
            return len(list((process / "task").iterdir())) >= 3

        speaker.wait("expecting signals", expects_signals)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(speaker.process.pid, number)
        log = site / "rsfilter.log"
        speaker.wait("said", lambda: "SIGUSR1 is for ExaBGP" in log.read_text())
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
        speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])


def test_a_line_that_is_not_understood_is_reported_once_a_minute(site: Path) -> None:
    with Speaker(site / "rsfilter.toml", ROUTERS) as speaker:
        speaker.write(state(ROUTER, 65200, "up"))
        first = b'{ "exabgp": "5.0.0", "torn \x1b[31m' + b"x" * 10_000
        for torn in (first, b'{ "exabgp": "5.0.0", "another'):
            speaker.write(torn + b"\n")
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
        speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])
    log = (site / "rsfilter.log").read_text()
    assert log.count("was not understood (not_json)") == 1
    assert "\x1b" not in log
    assert max(map(len, log.splitlines())) < 1000


def test_nothing_is_kept_of_a_host_that_was_removed(site: Path) -> None:
    """Its routes would be stale for an hour, had it been lost."""
    retaining = CONFIG.replace("max_prefixes = 1000000", "stale_time = 3600")
    (site / "rsfilter.toml").write_text(retaining)
    with Speaker(site / "rsfilter.toml", ROUTERS) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
        speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])
        speaker.write(state(HOST, 65001, "down", "peer reset, message (stop, message [removed])"))
        speaker.write(announce(OTHER, 65001, ["203.0.113.2/32"]))
        speaker.wait("another one", lambda: "203.0.113.2/32" in speaker.tables[ROUTER])
        assert "203.0.113.1/32" in speaker.tables[ROUTER], "a peer's words remove nothing"
        speaker.write(state(HOST, 65001, "down", "stop, message [removed]"))
        speaker.wait("withdrawn", lambda: "203.0.113.1/32" not in speaker.tables[ROUTER])


def test_100_000_routes_wait_while_exabgp_reads_no_command(speaker: Speaker) -> None:
    """ExaBGP goes on writing and does not read: no deadlock, no growth, no loss."""
    everything = prefixes(100_000)
    speaker.wait("started", lambda: bool(speaker.commands["eor"]))
    speaker.is_reading.clear()
    hung = threading.Timer(10 * DEADLINE_S, speaker.process.kill)
    hung.start()  # a filter that does not read while its output stalls blocks this for ever
    for start in range(0, len(everything), 50):
        speaker.write(announce(HOST, 65001, everything[start : start + 50]))
    hung.cancel()
    before = settled_rss(speaker)
    time.sleep(3)
    assert speaker.rss() - before < 4096, "memory grew while nobody read"
    speaker.is_reading.set()
    speaker.wait("complete", lambda: len(speaker.tables[ROUTER]) == len(everything))
    assert set(speaker.tables[ROUTER]) == set(everything)


def settled_rss(speaker: Speaker) -> int:
    """Resident memory once it has stopped to change: the filter has worked off its input."""
    last, same = speaker.rss(), 0
    while same < 10:
        time.sleep(0.1)
        now = speaker.rss()
        is_idle = now == last and not is_runnable(speaker.process.pid)
        same = same + 1 if is_idle else 0
        last = now
    return last


HOSTILE = {
    "an empty line": b"\n",
    "text": b"hello\n",
    "a cut line": announce(HOST, 65001, ["203.0.113.66/32"])[:-40] + b"\n",
    "invalid UTF-8": announce(HOST, 65001, ["203.0.113.66/32"]).replace(b"igp", b"\xff\xfe"),
    "control characters": b"\x00\x01\x1b[2J\r\n",
    "an unknown type": line("surprise", HOST, 65001, '"news": {}'),
    "an unknown dialect": announce(HOST, 65001, ["203.0.113.66/32"]).replace(b"5.0.0", b"9.9.9"),
    "no peer AS": state(HOST, 65001, "down").replace(b"65001", b"None"),
    "a list": b"[1, 2, 3]\n",
    "deep nesting": b"[" * 100_000 + b"\n",
    "10 MB": b"x" * 10_000_000 + b"\n",
    "20 MB": b"y" * 20_000_000 + b"\n",
    "a 10 MB string in a good line": announce(HOST, 65001, ["203.0.113.1/32"]).replace(
        b'"rs"', b'"' + b"z" * 10_000_000 + b'"'
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_makes_no_sense_is_skipped_and_nothing_else_suffers(
    speaker: Speaker, name: str
) -> None:
    speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
    speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])
    speaker.write(HOSTILE[name])
    speaker.write(announce(HOST, 65001, ["203.0.113.2/32"]))
    speaker.wait("announced too", lambda: "203.0.113.2/32" in speaker.tables[ROUTER])
    assert set(speaker.tables[ROUTER]) == {"203.0.113.1/32", "203.0.113.2/32"}


def test_new_keys_are_no_surprise(speaker: Speaker) -> None:
    known = announce(HOST, 65001, ["203.0.113.1/32"])
    speaker.write(known.replace(b'"host"', b'"shiny": {"new": [1]}, "host"'))
    speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(speaker: Speaker, number: signal.Signals) -> None:
    speaker.wait("started", lambda: bool(speaker.commands["eor"]))
    os.kill(speaker.process.pid, number)
    assert speaker.process.wait(10) == 0


def test_sigusr1_is_exabgps(speaker: Speaker, site: Path) -> None:
    """A command that reloads ExaBGP by name may hit us too."""
    speaker.wait("started", lambda: bool(speaker.commands["eor"]))
    os.kill(speaker.process.pid, signal.SIGUSR1)
    speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
    speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])
    assert "SIGUSR1 is for ExaBGP" in (site / "rsfilter.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_filter_ends_although_no_command_is_read(
    speaker: Speaker, number: signal.Signals
) -> None:
    speaker.wait("started", lambda: bool(speaker.commands["eor"]))
    speaker.is_reading.clear()
    everything = prefixes(50_000)
    for start in range(0, len(everything), 500):
        speaker.write(announce(HOST, 65001, everything[start : start + 500]))
    os.kill(speaker.process.pid, number)
    assert speaker.process.wait(10) == 0


def test_a_hang_up_reads_the_configuration_again(speaker: Speaker) -> None:
    speaker.write(announce(HOST, 65001, ["203.0.113.1/32", "203.0.113.2/32"]))
    speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 2)
    speaker.reloads(CONFIG.replace("max_prefixes = 1000000", "max_prefixes = 1"))
    speaker.wait("withdrawn", lambda: list(speaker.tables[ROUTER]) == ["203.0.113.1/32"])
    speaker.reloads(CONFIG)
    speaker.wait("announced again", lambda: len(speaker.tables[ROUTER]) == 2)


def test_a_whole_table_is_judged_again_although_no_line_comes(speaker: Speaker, site: Path) -> None:
    """The table is more than one slice of work, and no line comes that would wake the filter."""
    everything = prefixes(10_000)
    for start in range(0, len(everything), 500):
        speaker.write(announce(HOST, 65001, everything[start : start + 500]))
    speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == len(everything))
    speaker.write(announce(HOST, 65001, ["192.0.2.99/32"]))
    audit = site / "audit"
    speaker.wait("worked off", lambda: b"192.0.2.99/32" in logged(audit))
    (site / "truth.json").write_text(json.dumps({"roas": [SOMEBODY_ELSES]}))
    speaker.wait("judged", lambda: b'"rejudged":10000' in logged(audit))


BROKEN = """
from rsfilter.pipeline.filter import Filter

replaced, line = Filter.data_replaced, Filter.line

def breaks_over_data(self, event, now):
    if self.engine.rib_in.accepted:
        raise ArithmeticError("half judged")
    replaced(self, event, now)

def breaks_over_a_line(self, text, now):
    if b"203.0.113.66" in text:
        raise ArithmeticError("half judged")
    line(self, text, now)

Filter.data_replaced, Filter.line = breaks_over_data, breaks_over_a_line
"""


def new_data(site: Path, _speaker: Speaker) -> None:
    (site / "truth.json").write_text(json.dumps({"roas": [SOMEBODY_ELSES]}))


def a_line(_site: Path, speaker: Speaker) -> None:
    speaker.write(announce(HOST, 65001, ["203.0.113.66/32"]))


@pytest.mark.parametrize("breaks", [new_data, a_line])
def test_a_filter_that_fails_ends(
    site: Path, monkeypatch: pytest.MonkeyPatch, breaks: Callable[[Path, Speaker], None]
) -> None:
    """ExaBGP starts another, which judges the whole table. Until then its pipe has to be read."""
    (site / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(site))
    with Speaker(site / "rsfilter.toml", ROUTERS) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
        speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])
        breaks(site, speaker)
        log = site / "rsfilter.log"
        speaker.wait("failed", lambda: "the filter cannot run" in log.read_text())
        assert "ArithmeticError: half judged" in log.read_text()
        assert logged(site / "audit").splitlines()[-1].count(b'"event":"stop"') == 1
        for _ in range(100):  # more than the pipe holds
            speaker.write(announce(HOST, 65001, prefixes(500)))
        assert speaker.process.stdin
        speaker.process.stdin.close()
        assert speaker.process.wait(10) == FAILED
        assert "Event loop is closed" not in log.read_text()


SERVER_OF_FILES = """
import threading
from pathlib import Path
from rsfilter.edge import truth_watcher

read = truth_watcher.read_file

def read_from_server(path):
    if path.with_name("gone").exists():
        path.with_name("asked").touch()
        threading.Event().wait()
    return read(path)

truth_watcher.read_file = read_from_server
"""


def test_a_file_server_that_is_gone_keeps_the_filter_neither_from_work_nor_from_its_end(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "sitecustomize.py").write_text(SERVER_OF_FILES)
    monkeypatch.setenv("PYTHONPATH", str(site))
    with Speaker(site / "rsfilter.toml", ROUTERS) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
        speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])
        (site / "gone").touch()
        (site / "truth.json").touch()
        speaker.wait("asked for the truth", (site / "asked").exists)
        speaker.write(announce(HOST, 65001, ["203.0.113.2/32"]))
        speaker.wait("announced too", lambda: "203.0.113.2/32" in speaker.tables[ROUTER])
        os.kill(speaker.process.pid, signal.SIGTERM)
        assert speaker.process.wait(10) == 0


REFUSED = {
    "what cannot be read": (CONFIG + "[nonsense]\n", "nonsense"),
    "another role": (
        CONFIG.replace('["192.0.2.10"]', '["192.0.2.11"]').replace("198.51.100.0/24", ROUTER),
        "192.0.2.10 would change its role from router to host",
    ),
    "another file": (
        CONFIG.replace("truth.json", "other.json"),
        "truth: changing it requires a restart",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hang_up_that_cannot_be_obeyed_changes_nothing(
    speaker: Speaker, site: Path, name: str
) -> None:
    content, why = REFUSED[name]
    speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
    speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 1)
    speaker.reloads(content.replace("1000000", "1"))
    log = site / "rsfilter.log"
    speaker.wait("refused", lambda: "the active configuration stays in force" in log.read_text())
    assert why in log.read_text()
    with urlopen(f"http://{speaker.http}/healthz") as answer:
        (warning,) = json.load(answer)["warnings"]
    assert warning["name"] == "reload_refused"
    assert why in warning["detail"]
    speaker.write(announce(HOST, 65001, ["203.0.113.2/32"]))
    speaker.wait("announced too", lambda: len(speaker.tables[ROUTER]) == 2)
    records = [
        json.loads(line)
        for path in (site / "audit").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    (refused,) = [record for record in records if record["event"] == "reload_refused"]
    assert why in refused["data"]["problems"][0]


def test_the_end_of_stdin_ends_it(speaker: Speaker) -> None:
    assert speaker.process.stdin
    speaker.wait("started", lambda: bool(speaker.commands["eor"]))
    speaker.process.stdin.close()
    assert speaker.process.wait(10) == 0


def test_exabgps_shutdown_ends_it(speaker: Speaker) -> None:
    speaker.wait("started", lambda: bool(speaker.commands["eor"]))
    speaker.write(
        b'{ "exabgp": "5.0.0", "time": 1.0, "host" : "rs", "pid" : 1, "ppid" : 1, "counter": 1, '
        b'"type": "notification", "notification": "shutdown" }\n'
    )
    assert speaker.process.wait(10) == 0


def test_a_filter_that_cannot_run_slows_its_restarts_down_and_goes_on_reading(site: Path) -> None:
    (site / "rsfilter.toml").write_text("[nonsense]\n")
    with Speaker(site / "rsfilter.toml", ROUTERS) as speaker:
        for _ in range(100):  # more than the pipe holds
            speaker.write(announce(HOST, 65001, prefixes(500)))
        assert speaker.process.poll() is None
        assert speaker.process.stdin
        speaker.process.stdin.close()
        assert speaker.process.wait(10) == 2
    assert "nonsense" in (site / "rsfilter.log").read_text()


class ExaBgp6(Speaker):
    """ExaBGP's main branch with its API version 4: the version in its lines is that of 4.2."""

    ANSWERS = MappingProxyType({"version": b"exabgp 6.0.0-4460078e0\n"})


class ExaBgp6Api6(Speaker):
    """The same with its own API: it does not understand our questions at all."""

    ANSWERS = MappingProxyType({})

    def _carry_out(self, text: str) -> None:
        self.commands[text] += 1
        self.write(b"error\n")


@pytest.mark.parametrize("kind", [ExaBgp6, ExaBgp6Api6])
def test_the_filter_does_not_run_behind_exabgp_6(site: Path, kind: type[Speaker]) -> None:
    """The filter reports it, changes nothing, and ends as slowly as one that cannot start."""
    with kind(site / "rsfilter.toml", ROUTERS) as speaker:
        up = state(ROUTER, 65200, "up")
        was, other = b'"exabgp": "5.0.0"', b'"4.0.1"' if kind is ExaBgp6 else b'"6.0.0"'
        speaker.write(up.replace(was, b'"exabgp": ' + other))
        log = site / "rsfilter.log"
        eventually(lambda: None if "ExaBGP 6.0.0" in log.read_text() else "it has not said so")
        speaker.write(announce(HOST, 65001, prefixes(500)) * 100)  # it reads on
        assert speaker.process.poll() is None
        assert speaker.process.stdin
        speaker.process.stdin.close()
        assert speaker.process.wait(10) == 2
        assert set(speaker.commands) <= {"#", "version", "show neighbor json", "reset"}
    assert "'exabgp>=5.0.15,<6'" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert "ExaBGP 4.2" not in log.read_text()


@pytest.mark.parametrize("configuration", [None, "[nonsense]\n"], ids=["works", "cannot run"])
@pytest.mark.parametrize(
    "kill",
    [
        lambda pid: os.kill(pid, signal.SIGKILL),
        lambda pid: os.kill(pid, signal.SIGTERM),
        lambda pid: os.killpg(pid, signal.SIGTERM),
    ],
    ids=["SIGKILL", "SIGTERM", "SIGTERM to all"],
)
def test_exabgp_can_write_on_when_it_has_ended_and_nothing_stays_behind(
    site: Path, kill: Callable[[int], None], configuration: str | None
) -> None:
    """A write that fails would be the end of ExaBGP."""
    if configuration:
        (site / "rsfilter.toml").write_text(configuration)
    with Speaker(site / "rsfilter.toml", ROUTERS) as speaker:
        speaker.write(announce(HOST, 65001, prefixes(500)) * 100)  # more than the pipe holds
        (reader,) = descendants(speaker.process.pid)
        kill(speaker.process.pid)
        speaker.process.wait(10)
        speaker.write(announce(HOST, 65001, prefixes(500)) * 100)
        assert speaker.process.stdin
        speaker.process.stdin.close()
        eventually(lambda: "its last reader is still there" if is_alive(reader) else None)
