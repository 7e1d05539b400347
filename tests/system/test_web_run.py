"""The HTTP API of a real `rsfilter run`."""

from __future__ import annotations

import http.client
import io
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from lab.waiting import eventually
from support.filter_site import CONFIG, HOST, ROUTER, ROUTERS, TRUTH
from support.recorded_site import TruthFile, audit
from support.speaker import SOCKET, Speaker, announce, state

from rsfilter.commands.replay import replay
from rsfilter.config.build import load_config

TOKEN = "correct horse battery staple"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "rsfilter.toml").write_text(CONFIG)
    (tmp_path / "truth.json").write_text(json.dumps(TRUTH))
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    return tmp_path


def request(speaker: Speaker, method: str, path: str, body: object = None) -> Any:
    """Return the answer of a real filter; the status has to be 200."""
    host, _, port = speaker.http.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    data = None
    if body is not None:
        headers["Content-Type"], data = "application/json", json.dumps(body)
    connection.request(method, path, data, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status == 200, (answer.status, content)
    return json.loads(content)


def test_what_http_changes_is_recorded_and_replays(site: Path) -> None:
    """The same commands and the same audit log, octet for octet."""
    recording, commands = site / "recording", io.BytesIO()
    with Speaker(site / "rsfilter.toml", ROUTERS) as first:
        listen = first.http  # written into the configuration
    text = CONFIG + f'[http]\nlisten = "{listen}"\ntoken_file = "token"\n'
    (site / "rsfilter.toml").write_text(text)
    guests = [f"203.0.113.{n}/32" for n in range(20)]
    with Speaker(site / "rsfilter.toml", ROUTERS, "--record", str(recording)) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, guests))
        speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 20)
        assert request(speaker, "GET", "/api/v1/status")["routes"]["accepted"] == 20
        TruthFile(site).gives_everything_to(65002)
        request(speaker, "POST", "/api/v1/truth/reload")
        assert request(speaker, "GET", "/api/v1/status")["guard"]["held"] == 20
        assert request(speaker, "POST", "/api/v1/guard/release")["released"] == 20
        speaker.wait("released", lambda: not speaker.tables[ROUTER])
        assert request(speaker, "POST", "/api/v1/drain", {"on": True})["phase"] == "draining"
        assert request(speaker, "POST", "/api/v1/drain", {"on": False})["phase"] == "in_service"
        speaker.ends()
    config = load_config(site / "rsfilter.toml")
    assert replay(config, [recording], audit=site / "replayed", commands=commands) == 0
    assert commands.getvalue() == bytes(speaker.received)
    assert audit(site / "replayed") == audit(site / "audit")
    records = [json.loads(line) for line in audit(site / "audit").splitlines()]
    (released,) = (
        r
        for r in records
        if r["event"] == "guard" and r["data"]["routes"] == 20 and r["data"]["action"] == "released"
    )
    assert released["data"]["detail"].startswith("HTTP from 127.")
    assert TOKEN not in (site / "rsfilter.log").read_text()


def test_a_port_that_is_taken_is_waited_for(site: Path) -> None:
    """A second filter on the machine filters, reports the problem, and listens when it can."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        (site / "rsfilter.toml").write_text(CONFIG + f'[http]\nlisten = "{listen}"\n')
        speaker = Speaker(site / "rsfilter.toml", ROUTERS)
        with speaker:
            speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
            speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
            speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])
            log = site / "rsfilter.log"
            eventually(
                lambda: None if "cannot listen on" in log.read_text() else "it does not say so"
            )
            other.close()
            eventually(lambda: _is_healthy(speaker))
            assert log.read_text().count("cannot listen on") == 1


def _is_healthy(speaker: Speaker) -> None:
    request(speaker, "GET", "/healthz")


def with_http(site: Path, listen: str, config: str = CONFIG) -> str:
    return config + f'[http]\nlisten = "{listen}"\n{SOCKET}\ntoken_file = "token"\n'


def test_a_drain_over_http_is_not_forgotten_by_a_restart(site: Path) -> None:
    """A drain lasts until a request ends it. It is written down before it is answered."""
    with Speaker(site / "rsfilter.toml", ROUTERS) as first:
        listen = first.http
    (site / "rsfilter.toml").write_text(with_http(site, listen))
    kept = site / "audit" / "drain.state"
    with Speaker(site / "rsfilter.toml", ROUTERS) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
        speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 1)
        request(speaker, "POST", "/api/v1/drain", {"on": True})
        assert kept.exists()
        speaker.process.kill()
    recording, commands = site / "recording", io.BytesIO()
    with Speaker(site / "rsfilter.toml", ROUTERS, "--record", str(recording)) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
        eventually(lambda: _is_out_of_service(speaker))
        assert not speaker.tables[ROUTER]
        assert request(speaker, "POST", "/api/v1/drain", {"on": False})["phase"] == "in_service"
        assert not kept.exists()
        speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 1)
        speaker.ends()
    config = load_config(site / "rsfilter.toml")
    assert replay(config, [recording], audit=site / "replayed", commands=commands) == 0
    assert commands.getvalue() == bytes(speaker.received)


def _is_out_of_service(speaker: Speaker) -> str | None:
    drain = request(speaker, "GET", "/api/v1/status")["drain"]
    if drain["phase"] == "drained" and drain["why"][0].startswith("operator: HTTP from"):
        return None
    return f"it is {drain}"


def test_a_configuration_that_would_lose_too_much_is_refused_unless_it_is_meant(site: Path) -> None:
    with Speaker(site / "rsfilter.toml", ROUTERS) as first:
        listen = first.http
    (site / "rsfilter.toml").write_text(with_http(site, listen))
    guests = [f"203.0.113.{n}/32" for n in range(20)]
    recording, commands = site / "recording", io.BytesIO()
    with Speaker(site / "rsfilter.toml", ROUTERS, "--record", str(recording)) as speaker:
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(announce(HOST, 65001, guests))
        speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 20)
        narrow = with_http(site, listen, CONFIG.replace("1000000", "9"))
        (site / "rsfilter.toml").write_text(narrow)
        with pytest.raises(AssertionError, match="configuration_refused"):
            request(speaker, "POST", "/api/v1/reload", {})
        why = b"hosts: this would reject 11 of 20 accepted routes"
        speaker.wait("refused", lambda: why in audit(site / "audit"))
        assert len(speaker.tables[ROUTER]) == 20
        request(speaker, "POST", "/api/v1/reload", {"force": True})
        speaker.wait("withdrawn", lambda: list(speaker.tables[ROUTER]) == guests[:9])
        speaker.ends()
    (site / "rsfilter.toml").write_text(with_http(site, listen))
    config = load_config(site / "rsfilter.toml")
    assert replay(config, [recording], audit=site / "replayed", commands=commands) == 0
    assert commands.getvalue() == bytes(speaker.received)
    assert audit(site / "replayed") == audit(site / "audit")
    assert b'"event":"reload_refused"' in audit(site / "audit")
