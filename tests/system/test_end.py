"""The end of `rsfilter run` while something hangs: it writes what is due, and is gone.

Each test ends the real process. Exit code 0: the service itself left in time; the last resort of
`rsfilter.edge.ending` would be exit code 1, at 4.5 s.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.waiting import eventually
from lab.warden import descendants
from support.config_sample import configuration
from support.filter_site import HOST, ROUTER, ROUTERS, TRUTH, is_alive, logged
from support.hangs import SERVER, hanging_call
from support.speaker import Speaker, announce, state

from rsfilter.commands.output import FAILED

TOKEN = "correct horse battery staple"

BROKEN = """
from rsfilter.pipeline.filter import Filter

take = Filter.line

def line(self, line, now):
    if b"203.0.113.66/32" in line:
        raise ArithmeticError("half judged")
    take(self, line, now)

Filter.line = line
"""
"""A defect of ours."""


class Site:
    """The files of a filter, each in a directory of its own, and what hangs."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        self.requested, self.gone = place / "asked", place / "gone"
        self._monkeypatch = monkeypatch
        self.extra = ""
        self.arguments: tuple[str, ...] = ()
        self.cache: socket.socket | None = None
        for name in ("etc", "truth", "token", "audit", "recording"):
            (place / name).mkdir()
        self.truth = place / "truth" / "truth.json"
        self.truth.write_text(json.dumps(TRUTH))
        token = place / "token" / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        (place / "sitecustomize.py").write_text(SERVER)
        (place / "broken").mkdir()
        (place / "broken" / "sitecustomize.py").write_text(SERVER + BROKEN)
        monkeypatch.setenv("PYTHONPATH", str(place))
        monkeypatch.setenv("TEST_GONE", str(self.gone))
        monkeypatch.setenv("TEST_ASKED", str(self.requested))
        self.serves("nothing")
        self.listen = f"127.{os.getpid() % 250}.{id(self) >> 6 & 255}.1:8480"

    def serves(self, name: str) -> None:
        """The directory that is on the server."""
        self._monkeypatch.setenv("TEST_SERVED", str(self.place / name))

    @contextlib.contextmanager
    def speaker(self) -> Iterator[Speaker]:
        text = configuration(max_prefixes=1_000_000)
        text = text.replace('"truth.json"', '"../truth/truth.json"')
        text += f'\n[audit]\ndirectory = "../audit"\n{self.extra}'
        text += f'\n[http]\nlisten = "{self.listen}"\ntoken_file = "../token/token"\n'
        (self.place / "etc" / "rsfilter.toml").write_text(text)
        with Speaker(self.place / "etc" / "rsfilter.toml", ROUTERS, *self.arguments) as speaker:
            speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
            speaker.write(announce(HOST, 65001, ["203.0.113.1/32"]))
            yield speaker

    def requests(
        self, method: str, path: str, body: bytes | None = None
    ) -> http.client.HTTPConnection:
        """A request for whose answer no client waits."""
        host, _, port = self.listen.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        return connection

    def connects(self, data: bytes) -> socket.socket:
        """A client that sends this and reads nothing."""
        host, _, port = self.listen.rpartition(":")
        client = socket.create_connection((host, int(port)))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(data)
        return client


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def works(speaker: Speaker) -> None:
    speaker.wait("announced", lambda: "203.0.113.1/32" in speaker.tables[ROUTER])


def the_truth(site: Site, speaker: Speaker) -> object:
    works(speaker)
    site.gone.touch()
    site.truth.touch()
    return speaker.wait("asked for", site.requested.exists, 15)


def the_configuration(site: Site, speaker: Speaker) -> object:
    works(speaker)
    site.gone.touch()
    os.kill(speaker.process.pid, signal.SIGHUP)
    return speaker.wait("asked for", site.requested.exists, 15)


def the_token(site: Site, speaker: Speaker) -> object:
    """Ten requests cost one thread."""
    works(speaker)
    site.gone.touch()
    clients = [site.requests("POST", "/api/v1/drain", b'{"on": true}') for _ in range(10)]
    speaker.wait("asked for", site.requested.exists, 15)
    threads = len(os.listdir(f"/proc/{speaker.process.pid}/task"))
    assert threads < 20
    return clients


def the_audit_log(site: Site, speaker: Speaker) -> object:
    """A writer, and a client that requests it."""
    works(speaker)
    site.gone.touch()
    client = site.requests("GET", "/api/v1/audit?asn=65001")
    speaker.write(announce(HOST, 65001, ["203.0.113.2/32"]))
    speaker.wait("asked for", site.requested.exists, 15)
    return client


def an_impact(site: Site, speaker: Speaker) -> object:
    """One that is judged, and one whose body does not come."""
    works(speaker)
    entries = b",".join(b'{"prefix":"10.0.0.0/8","asn":%d}' % n for n in range(1, 400_000))
    clients = [
        site.requests("POST", "/api/v1/impact", b'{"roas":[' + entries + b"]}"),
        site.connects(
            b"POST /api/v1/impact HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        ),
    ]
    speaker.wait("at work", lambda: len(descendants(speaker.process.pid)) == 3)
    return clients


def a_client_that_reads_nothing(site: Site, speaker: Speaker) -> object:
    works(speaker)
    prefixes = [f"10.0.{n >> 8}.{n & 255}/32" for n in range(5000)]
    for start in range(0, len(prefixes), 500):
        speaker.write(announce(HOST, 65001, prefixes[start : start + 500]))
    speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 5001)
    head = b"Accept: application/x-ndjson\r\nHost: 127.0.0.1\r\n\r\n"
    paths = (b"/api/v1/routes", b"/api/v1/events")
    return [site.connects(b"GET " + path + b" HTTP/1.1\r\n" + head) for path in paths]


def the_truth_at_the_start(site: Site, speaker: Speaker) -> object:
    return speaker.wait("asked for", site.requested.exists, 15)


def an_rtr_cache(site: Site, speaker: Speaker) -> object:
    """Require that it takes the connection and sends nothing."""
    assert site.cache
    site.cache.settimeout(20)
    return site.cache.accept()


def a_name_server(site: Site, speaker: Speaker) -> object:
    return speaker.wait("asked for", site.requested.exists, 15)


def the_watch_of_the_truth(site: Site, speaker: Speaker) -> object:
    """The kernel queries the file server, and not Python: no other thread has the interpreter then.
    The filter goes on."""
    speaker.wait("asked for", site.requested.exists, 15)
    works(speaker)
    speaker.write(announce(HOST, 65001, ["203.0.113.2/32"]))
    return speaker.wait("announced", lambda: "203.0.113.2/32" in speaker.tables[ROUTER])


def the_audit_log_at_the_start(site: Site, speaker: Speaker) -> object:
    return speaker.wait("asked for", site.requested.exists, 15)


def the_recording(site: Site, speaker: Speaker) -> object:
    """Its file takes nothing any more. The filter goes on without it."""
    works(speaker)
    prefixes = [f"10.0.{n >> 8}.{n & 255}/32" for n in range(5000)]
    for start in range(0, len(prefixes), 500):
        speaker.write(announce(HOST, 65001, prefixes[start : start + 500]))
    return speaker.wait("announced", lambda: len(speaker.tables[ROUTER]) == 5001)


def the_recording_at_the_start(site: Site, speaker: Speaker) -> object:
    speaker.wait("asked for", site.requested.exists, 15)
    return works(speaker)


HANGS: dict[str, Callable[[Site, Speaker], object]] = {
    function.__name__: function
    for function in (
        the_truth,
        the_configuration,
        the_token,
        the_audit_log,
        an_impact,
        a_client_that_reads_nothing,
        the_truth_at_the_start,
        an_rtr_cache,
        a_name_server,
        the_watch_of_the_truth,
        the_audit_log_at_the_start,
        the_recording,
        the_recording_at_the_start,
    )
}

SERVED = {
    "the_truth": "truth",
    "the_configuration": "etc",
    "the_token": "token",
    "the_audit_log": "audit",
    "the_truth_at_the_start": "truth",
    "the_audit_log_at_the_start": "audit",
    "the_recording_at_the_start": "recording",
}

CALLS = {"a_name_server": "getaddrinfo", "the_watch_of_the_truth": "inotify_add_watch"}


def sigterm(speaker: Speaker) -> None:
    os.kill(speaker.process.pid, signal.SIGTERM)


def end_of_stdin(speaker: Speaker) -> None:
    assert speaker.process.stdin
    speaker.process.stdin.close()


def shutdown(speaker: Speaker) -> None:
    speaker.write(
        b'{ "exabgp": "5.0.0", "time": 1.0, "host" : "rs", "pid" : 1, "ppid" : 1, "counter": 1, '
        b'"type": "notification", "notification": "shutdown" }\n'
    )


def prepare(site: Site, name: str, stack: contextlib.ExitStack) -> None:
    """Make the files that have to be there before the filter starts."""
    site.serves(SERVED.get(name, "nothing"))
    if name.endswith("at_the_start"):
        site.gone.touch()
    if name == "an_rtr_cache":
        cache = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        site.extra = f'\n[rtr]\ncaches = ["127.0.0.1:{cache.getsockname()[1]}"]\n'
        site.cache = cache
    if name == "a_name_server":
        site.extra = '\n[rtr]\ncaches = ["cache.example.net:8282"]\n'
    if name.startswith("the_recording"):
        recording = site.place / "recording" / "recording"
        site.arguments = ("--record", str(recording))
    if name == "the_recording":
        os.mkfifo(recording)
        stack.callback(os.close, os.open(recording, os.O_RDONLY | os.O_NONBLOCK))
    if function := CALLS.get(name):
        site.gone.touch()
        site._monkeypatch.setenv("LD_PRELOAD", str(hanging_call(site.place, function)))


@pytest.mark.parametrize("end", [sigterm, end_of_stdin, shutdown])
@pytest.mark.parametrize("name", HANGS)
def test_the_filter_ends_whatever_hangs(
    site: Site, name: str, end: Callable[[Speaker], None]
) -> None:
    with contextlib.ExitStack() as stack:
        prepare(site, name, stack)
        speaker = stack.enter_context(site.speaker())
        _kept = HANGS[name](site, speaker)
        children = descendants(speaker.process.pid)
        end(speaker)
        assert speaker.process.wait(10) == 0, (site.place / "etc" / "rsfilter.log").read_text()
        if not name.startswith("the_audit_log"):
            assert b'"event":"stop"' in logged(site.place / "audit").splitlines()[-1]
        with contextlib.suppress(OSError, ValueError):
            speaker.process.stdin.close()  # type: ignore[union-attr] # the last reader's end
        eventually(lambda: "a child is left" if any(map(is_alive, children)) else None)


@pytest.mark.parametrize("name", ["the_truth", "the_audit_log", "an_impact", "the_recording"])
def test_a_filter_that_fails_ends_whatever_hangs(site: Site, name: str) -> None:
    """The old process reads until ExaBGP has gone, or for 15 s; then another one starts."""
    site._monkeypatch.setenv("PYTHONPATH", str(site.place / "broken"))
    log = site.place / "etc" / "rsfilter.log"
    with contextlib.ExitStack() as stack:
        prepare(site, name, stack)
        speaker = stack.enter_context(site.speaker())
        _kept = HANGS[name](site, speaker)
        children = descendants(speaker.process.pid)
        speaker.write(announce(HOST, 65001, ["203.0.113.66/32"]))
        speaker.wait("failed", lambda: "the filter cannot run" in log.read_text(), 15)
        end_of_stdin(speaker)
        assert speaker.process.wait(10) == FAILED
        assert "ArithmeticError: half judged" in log.read_text()
        assert "the end took too long" not in log.read_text()
        if name != "the_audit_log":
            assert b'"event":"stop"' in logged(site.place / "audit").splitlines()[-1]
        eventually(lambda: "a child is left" if any(map(is_alive, children)) else None)
