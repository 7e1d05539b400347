"""Results of a recording: the same commands and the same audit log, to the octet."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from pathlib import Path

import pytest
from support.filter_site import CONFIG, HOST, OTHER, ROUTER, ROUTERS, TRUTH
from support.places import ROOT
from support.recorded_site import TruthFile, audit
from support.speaker import MARKED, Speaker, announce, state

from rsfilter.audit.record import ServiceEvent
from rsfilter.cli import main
from rsfilter.commands.errors import CommandError
from rsfilter.commands.replay import replay
from rsfilter.config.build import load_config
from rsfilter.edge.guard_file import load
from rsfilter.edge.recorder import RecordingError, read
from rsfilter.pipeline.inputs import Lines, Moment, TruthRead
from rsfilter.pipeline.recording import encode
from rsfilter.rpki.truth import parse_truth


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "rsfilter.toml").write_text(CONFIG)
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH))
    return tmp_path


STARTED = ServiceEvent("start", {})

CAPTURES = ROOT / "fixtures/exabgp/5.0"


def replayed(site: Path, recording: Path, code: int = 0) -> bytes:
    """Replays a recording, with the audit log into `site / "replayed"`; the commands."""
    commands = io.BytesIO()
    config = load_config(site / "rsfilter.toml")
    assert replay(config, [recording], audit=site / "replayed", commands=commands) == code
    return commands.getvalue()


def test_a_recording_gives_the_same_commands_and_audit(site: Path) -> None:
    recording = site / "recording"
    with Speaker(site / "rsfilter.toml", ROUTERS, "--record", str(recording)) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32", "203.0.113.2/32"]))
        speaker.write(announce(OTHER, 65002, ["203.0.113.3/32"]) + b"nonsense \xff\n")
        speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 2)
        TruthFile(site).gives_everything_to(65002)
        speaker.wait("moved", lambda: list(speaker.tables[ROUTER]) == ["203.0.113.3/32"])
        speaker.write(state(OTHER, 65002, "down", "closing connection"))
        speaker.wait("withdrawn", lambda: not speaker.tables[ROUTER])
        speaker.ends()
    (site / "truth.json").unlink()  # the recording brings its own
    assert replayed(site, recording, code=1) == speaker.received, "1: there was nonsense"
    assert audit(site / "replayed") == audit(site / "audit")
    assert len(audit(site / "audit").splitlines()) >= 10


def test_a_recording_without_room_does_not_stop_the_filter(site: Path) -> None:
    with Speaker(site / "rsfilter.toml", ROUTERS, "--record", "/dev/full") as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
        speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])
        speaker.ends()
    assert "the recording /dev/full ends here" in (site / "rsfilter.log").read_text()


def test_what_the_guard_holds_and_lets_go_is_replayed(site: Path) -> None:
    recording = site / "recording"
    guests = [f"203.0.113.{n}/32" for n in range(20)]
    with Speaker(site / "rsfilter.toml", ROUTERS, "--record", str(recording)) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, guests))
        speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 20)
        TruthFile(site).gives_everything_to(65002)
        speaker.write(announce(OTHER, 65002, ["203.0.113.30/32"]))
        speaker.wait("another truth", lambda: "203.0.113.30/32" in speaker.tables[ROUTER])
        assert len(speaker.tables[ROUTER]) == 21
        os.kill(speaker.process.pid, signal.SIGUSR2)
        speaker.wait("released", lambda: list(speaker.tables[ROUTER]) == ["203.0.113.30/32"])
        os.kill(speaker.process.pid, signal.SIGUSR2)  # with nothing to release
        speaker.ends()
    assert replayed(site, recording) == speaker.received
    assert audit(site / "replayed") == audit(site / "audit")
    records = [json.loads(line) for line in audit(site / "audit").splitlines()]
    logged = [(r["data"]["action"], r["data"]["routes"]) for r in records if r["event"] == "guard"]
    assert logged == [("held", 20), ("released", 20)]


def test_a_truth_is_replayed_as_it_was_when_it_was_read(site: Path) -> None:
    """An entry of it expires before it is in force: a large one is parsed for seconds. The file is
    not refused for that, as one without any entry is, and the entry holds no longer."""
    content = json.dumps({"roas": [{**TRUTH["roas"][0], "expires": 1000}]}).encode()
    truth = parse_truth(content, "truth.json", 999.0)
    lines = announce(HOST, 65001, ["203.0.113.1/32"]).splitlines()
    inputs = [
        (Moment(1.0, 998.0), STARTED),
        (Moment(2.0, 1001.0), TruthRead(truth, content, "truth.json", 999.0)),
        (Moment(3.0, 1002.0), Lines(lines)),
    ]
    (site / "recording").write_bytes(b"".join(encode(*each) for each in inputs))
    replayed(site, site / "recording")
    assert b'"reasons":["origin_not_found"]' in audit(site / "replayed")


def test_data_that_come_while_a_table_is_judged_are_replayed(site: Path) -> None:
    """Each change takes several slices, the next one comes before it has ended, and so do hosts'
    routes, a release and a drain."""
    recording, disable = site / "recording", site / "disable"
    leaving = '[readiness]\ndisable_file = "disable"\ndrain_time = 1\n'
    (site / "rsfilter.toml").write_text(CONFIG + leaving)
    everything = [f"10.0.{n >> 8}.{n & 255}/32" for n in range(12_000)]
    with Speaker(site / "rsfilter.toml", ROUTERS, "--record", str(recording)) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        for start in range(0, len(everything), 500):
            speaker.write(announce(HOST, 65001, everything[start : start + 500]))
        speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == len(everything))
        log, owners = site / "rsfilter.log", (65002, 65003, 65001, 65002, 65001)
        for number, owner in enumerate(owners, 1):
            TruthFile(site).gives_everything_to(owner)
            taken = "data in force: truth"
            speaker.wait("taken", lambda: log.read_text().count(taken) > number)  # noqa: B023
            speaker.write(announce(OTHER, 65002, [f"203.0.113.{number}/32"]))
            os.kill(speaker.process.pid, signal.SIGUSR2)
        disable.touch()
        speaker.write(state(HOST, 65001, "down", "closing connection"))
        speaker.wait("drained", lambda: not speaker.tables[ROUTER])
        speaker.wait("judged", lambda: count(site, "data") == 1 + len(owners))
        speaker.ends()
    assert replayed(site, recording) == speaker.received
    assert audit(site / "replayed") == audit(site / "audit")
    assert count(site, "guard") > 0


def count(site: Path, event: str) -> int:
    """Return how many records of such an event there are."""
    return audit(site / "audit").count(b'"event":"%s"' % event.encode())


def test_what_was_held_before_a_restart_is_replayed(site: Path) -> None:
    guests = [f"203.0.113.{n}/32" for n in range(20)]

    def starts(speaker: Speaker) -> None:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, guests))
        speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 20)

    with Speaker(site / "rsfilter.toml", ROUTERS) as speaker:
        starts(speaker)
        TruthFile(site).gives_everything_to(65002)
        file = site / "audit" / "guard.state"
        speaker.wait("held", lambda: len(load(file, time.time()).held) == 20)
    recording = site / "recording"
    with Speaker(site / "rsfilter.toml", ROUTERS, "--record", str(recording)) as speaker:
        starts(speaker)
        os.kill(speaker.process.pid, signal.SIGUSR2)
        speaker.wait("released", lambda: not speaker.tables[ROUTER])
        speaker.ends()
    assert not load(file, time.time()).held
    assert replayed(site, recording) == speaker.received

    def guard(directory: Path) -> list[tuple[str, int]]:
        records = [json.loads(line) for line in audit(directory).splitlines()]
        data = [record["data"] for record in records if record["event"] == "guard"]
        return [(logged["action"], logged["routes"]) for logged in data]

    assert guard(site / "audit") == [("held", 20), ("restored", 20), ("released", 20)]
    assert guard(site / "replayed") == [("restored", 20), ("released", 20)]


def test_a_reload_is_replayed(site: Path) -> None:
    recording = site / "recording"
    guests = [f"203.0.113.{n}/32" for n in range(4)]
    with Speaker(site / "rsfilter.toml", ROUTERS, "--record", str(recording)) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, guests))
        speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 4)
        speaker.reloads(CONFIG.replace("1000000", "3"))
        speaker.wait("withdrawn", lambda: list(speaker.tables[ROUTER]) == guests[:3])
        speaker.reloads(CONFIG.replace("asn = 65100", "asn = 65101"))
        refused = b'"event":"reload_refused"'
        speaker.wait("refused", lambda: refused in audit(site / "audit"))
        speaker.ends()
    (site / "rsfilter.toml").write_text(CONFIG)
    assert replayed(site, recording) == speaker.received
    assert audit(site / "replayed") == audit(site / "audit")
    assert b'"cause":"config"' in audit(site / "audit")


def test_stale_routes_end_in_the_same_turn(site: Path) -> None:
    recording = site / "recording"
    retaining = CONFIG.replace("max_prefixes = 1000000", "stale_time = 1")
    (site / "rsfilter.toml").write_text(retaining)
    with Speaker(site / "rsfilter.toml", ROUTERS, "--record", str(recording)) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
        speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 1)
        speaker.write(state(HOST, 65001, "down", "hold timer expired"))
        speaker.wait("withdrawn", lambda: not speaker.tables[ROUTER])
        speaker.ends()
    assert b"65535:6" in speaker.received
    assert replayed(site, recording) == speaker.received
    assert audit(site / "replayed") == audit(site / "audit")
    assert b'"cause":"stale_time"' in audit(site / "audit")


def test_a_drain_is_replayed(site: Path) -> None:
    recording, disable = site / "recording", site / "disable"
    leaving = '[readiness]\ndisable_file = "disable"\ndrain_time = 1\n'
    (site / "rsfilter.toml").write_text(CONFIG + leaving)
    with Speaker(site / "rsfilter.toml", ROUTERS, "--record", str(recording)) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
        speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 1)
        disable.touch()
        speaker.wait("withdrawn", lambda: not speaker.tables[ROUTER])
        disable.unlink()
        speaker.wait("announced again", lambda: len(speaker.tables[ROUTER]) == 1)
        speaker.ends()
    assert speaker.received.count(b"community [ 65535:0 ]") == 1
    assert replayed(site, recording) == speaker.received
    assert audit(site / "replayed") == audit(site / "audit")
    records = [json.loads(line) for line in audit(site / "audit").splitlines()]
    logged = [(r["data"]["phase"], r["data"]["why"]) for r in records if r["event"] == "drain"]
    why = [f"readiness: {disable} is there"]
    assert logged == [("draining", why), ("drained", why), ("in_service", [])]


def test_caches_that_never_deliver_are_replayed(site: Path) -> None:
    """The audit log has the note before what follows from it."""
    recording = site / "recording"
    never = CONFIG + '[rtr]\ncaches = ["127.0.0.1:9"]\nstartup_wait = 1\n'
    (site / "rsfilter.toml").write_text(never)
    with Speaker(site / "rsfilter.toml", ROUTERS, "--record", str(recording)) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
        speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 1)
        speaker.ends()
    assert count(site, "rtr_given_up") == 1
    assert replayed(site, recording) == speaker.received
    assert audit(site / "replayed") == audit(site / "audit")


def test_a_capture_is_judged_by_the_truth_file(
    site: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    capture = site / "capture"
    answers = b"".join((*MARKED, b"[]\ndone\n", *MARKED, b"done\n"))
    up = state(ROUTER, 65200, "up")
    capture.write_bytes(answers + up + announce(HOST, 65001, ["203.0.113.1/32"]))
    code = main(
        ["replay", "-c", str(site / "rsfilter.toml"), "--audit", str(site / "out"), str(capture)]
    )
    out = capsysbinary.readouterr().out
    assert code == 0
    assert b"announce attributes next-hop 198.51.100.1 as-path [ 65001 ] origin igp" in out
    records = [json.loads(line) for line in audit(site / "out").splitlines()]
    (verdict,) = [r for r in records if r.get("event") == "verdict"]
    assert (verdict["prefix"], verdict["verdict"]) == ("203.0.113.1/32", "accepted")


def test_every_capture_can_be_replayed(site: Path) -> None:
    config = load_config(site / "rsfilter.toml")
    paths = sorted(CAPTURES.glob("*.jsonl"))
    assert len(paths) > 80
    code = replay(config, paths, audit=site / "out", commands=io.BytesIO())
    assert code == 1, "those of neighbors with `peer-as auto` are no JSON"


PASTED = ROOT / "fixtures" / "exabgp" / "pasted"


@pytest.mark.parametrize(
    ("name", "code", "error", "accepted"),
    [
        ("d-4.0.1-unquoted-reason", 1, "(not_json)", True),
        ("e-decode-in", 1, "(bad_shape)", False),
        ("h-sorted", 0, "", True),
        ("j-bom", 0, "", True),
    ],
)
def test_pasted_lines_are_replayed_or_reported(
    site: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    code: int,
    error: str,
    accepted: bool,
) -> None:
    """Lines that are not understood are reported, which and how many: none is dropped silently."""
    config = site / "rsfilter.toml"
    config.write_text((PASTED / "rsfilter.toml").read_text())
    (site / "truth.json").write_text((PASTED / "truth.json").read_text())
    arguments = ["replay", "-c", str(config), "--audit", str(site / "out")]
    assert main([*arguments, str(PASTED / f"{name}.jsonl")]) == code
    assert error in capsys.readouterr().err
    records = [json.loads(line) for line in audit(site / "out").splitlines()]
    verdicts = [r["verdict"] for r in records if r["event"] == "verdict"]
    assert verdicts == (["accepted"] if accepted else [])
    assert all(not r["at"].startswith("1970") for r in records)


@pytest.mark.parametrize(
    "turn",
    [
        '{"now": 1',
        '{"now": 1, "time": 2}',
        '{"now": "x", "time": 0}',
        '{"now": 1e999, "time": 0, "lines": []}',
        f'{{"now": 1{"0" * 400}, "time": 0, "lines": []}}',
        f'{{"now": 1{"0" * 5000}, "time": 0, "lines": []}}',
        '{"now": 1, "time": NaN, "lines": []}',
        '{"now": ' + "[" * 100_000,
        '{"now": 1, "time": 2, "lines": [5]}',
        '{"now": 1, "time": 2, "lines": ["\\u0100"]}',
        '{"now": 1, "time": 2, "truth": {}, "file": "x"}',
        '{"now": 1, "time": 2, "note": 5, "data": {}}',
        '{"now": 1, "time": 2, "rtr": {"cache": "", "session": 1, "serial": 1, "vrps": [[1]]}}',
        '{"now": 1, "time": 2, "held": [["192.0.2.1", 5, 0, "x"]]}',
        '{"now": 1, "time": 2, "source": "x"}',
    ],
)
def test_a_turn_that_cannot_be_read_is_named(site: Path, turn: str) -> None:
    (site / "recording").write_text('{"now": 1, "time": 1, "lines": []}\n' + turn + "\n")
    with pytest.raises(RecordingError, match="recording:2: not a turn"):
        list(read(site / "recording"))


WHOLE = b'{"now": 1, "time": 1, "lines": []}\n'


@pytest.mark.parametrize("cut", [b"{", b'{"now": 2, "ti', b'{"now": 2, "time": 2, "lines": ["ab'])
def test_a_recording_that_was_cut_is_replayed_up_to_there(
    site: Path, cut: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A copy as it is made of one that is still written."""
    recording = site / "recording"
    recording.write_bytes(WHOLE + cut)
    assert list(read(recording)) == [(Moment(1.0, 1.0), Lines([]))]
    assert f"{recording}:2: was cut" in caplog.text
    caplog.clear()
    recording.write_bytes(WHOLE + WHOLE.rstrip())  # but for its line feed, it is whole
    assert len(list(read(recording))) == 2
    assert caplog.text == ""


def test_what_was_replayed_before_an_error_is_complete(site: Path) -> None:
    recording, commands = site / "recording", BytesAtTheEnd()
    recording.write_bytes(encode(Moment(1.0, 1.0), STARTED))
    with recording.open("ab") as file:
        file.write(b'{"now": "x"}\n')
    config = load_config(site / "rsfilter.toml")
    with pytest.raises(CommandError, match="recording:2: not a turn"):
        replay(config, [recording], audit=site / "replayed", commands=commands)
    assert commands.is_flushed
    assert b'"event":"start"' in audit(site / "replayed")
    assert json.loads((site / "replayed" / "head.json").read_text())["seq"] == 2


class BytesAtTheEnd(io.BytesIO):
    """Knows whether everything was written out."""

    is_flushed = False

    def flush(self) -> None:
        self.is_flushed = True


def test_the_audit_log_of_a_replay_is_a_new_one(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = site / "recording"
    recording.write_bytes(encode(Moment(1.0, 1.0), STARTED))
    argv = ["replay", "-c", str(site / "rsfilter.toml"), str(recording), "--audit"]
    out, before = str(site / "out"), b""
    for code, why in ((0, ""), (2, f"--audit {out}: has an audit log already")):
        assert main([*argv, out]) == code
        assert why in capsys.readouterr().err
        before = before or audit(site / "out")
    assert audit(site / "out") == before


def test_vrps_are_of_no_use_to_a_recording(site: Path) -> None:
    recording = site / "recording"
    recording.write_bytes(encode(Moment(1.0, 1.0), STARTED))
    config = load_config(site / "rsfilter.toml")
    vrps = site / "truth.json"
    with pytest.raises(CommandError, match="a recording is judged by its own data") as raised:
        replay(config, [recording], audit=site / "out", vrps=vrps)
    assert raised.value.code == 2
    assert not (site / "out").exists()


@pytest.mark.parametrize("content", [b"", b"\n", b"prefix,asn\n10.0.0.1/32,65001\n", b"\xff\xfe\n"])
def test_what_is_no_recording_is_an_error(site: Path, content: bytes) -> None:
    path = site / "a table"
    path.write_bytes(content)
    config = load_config(site / "rsfilter.toml")
    with pytest.raises(CommandError) as raised:
        replay(config, [path], audit=site / "replayed")
    assert raised.value.code == 2
