"""The filter has to end in the middle of an act that hangs, between ExaBGP and BIRD.

ExaBGP starts another one, and the router ends with the routes that hosts announce by then: routes
announced while one filter ends and the next one starts are not lost.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGHUP, SIGTERM

import pytest
from lab.bird import BirdHost, BirdRouter
from lab.core import Lab
from lab.exabgp import RouteServer, group_of
from lab.waiting import eventually
from lab.warden import descendants
from support.filter_site import is_alive
from support.hangs import SERVER, hanging_call

pytestmark = pytest.mark.lab

BEFORE, AFTER, MEANWHILE = "10.1.0.1/32", "10.1.0.2/32", "10.1.0.3/32"
TOKEN = "correct horse battery staple"

REQUEST = """
import http.client, sys
host, method, path, body = sys.argv[1:]
headers = {"Authorization": "Bearer %s", "Content-Type": "application/json"}
connection = http.client.HTTPConnection(host, timeout=100)
connection.request(method, path, open(body, "rb") if body else None, headers)
connection.getresponse().read()
"""

DEAF = """
import socket, sys, time
host, _, port = sys.argv[1].rpartition(":")
client = socket.create_connection((host, int(port)))
client.sendall(b"GET /api/v1/events HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n")
print("connected", flush=True)
time.sleep(1000)
"""

SILENT_CACHE = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listens", flush=True)
kept = [server.accept() for _ in range(1000)]
"""

CACHE_PORT = 8282


class Site:
    """One host, one router; `served`: the file or directory that is on the file server."""

    def __init__(self, lab: Lab, served: str, call: str, **sections: dict[str, object]) -> None:
        self.lab = lab
        self.rs = RouteServer(lab)
        place = self.rs.place
        self.gone, self.requested = place / "gone", place / "asked"
        self.host = BirdHost(lab, "hv1", 11, 65001, [self.rs.endpoint])
        self.leaf = BirdRouter(lab, "leaf1", 201, 65200, [self.rs.endpoint], over=4)
        self.rs.writes_truth({"roas": [{"prefix": "10.1.0.0/16", "maxLength": 32, "asn": 65001}]})
        (place / "token").write_text(TOKEN)
        (place / "token").chmod(0o600)
        http = {"listen": self.rs.http, "socket": "rsfilter.sock", "token_file": "token"}
        self.rs.configure(
            [group_of("hv1", self.host)],
            [group_of("leaves", self.leaf, port=lab.bgp_port)],
            truth={"file": "truth.json"},
            http=http,
            **sections,
        )
        (place / "hanging").mkdir()
        (place / "hanging" / "sitecustomize.py").write_text(SERVER)
        environment = {
            "PYTHONPATH": place / "hanging",
            "TEST_SERVED": place / served,
            "TEST_GONE": self.gone,
            "TEST_ASKED": self.requested,
        }
        if call:
            environment["LD_PRELOAD"] = hanging_call(place, call)
        words = " ".join(f"{name}={shlex.quote(str(each))}" for name, each in environment.items())
        self.rs.replaced_by = f"exec env {words} {{command}}"

    def starts(self) -> None:
        self.rs.starts()
        for peer in (self.leaf, self.host):
            peer.starts()
        for peer in (self.leaf, self.host):
            peer.is_up()
        self.host.announces(BEFORE)
        self.leaf.has(BEFORE)

    def hangs(self) -> None:
        """The server is gone, and something waits for it."""
        eventually(lambda: None if self.requested.exists() else "nobody waits", self.lab.report)

    def runs(self, program: str, *arguments: str) -> Path:
        """Start a Python program inside the lab; what it writes."""
        log = self.lab.directory / f"{len(list(self.lab.directory.iterdir()))}.log"
        self.lab.spawn([sys.executable, "-c", program, *arguments], cwd=self.rs.place, log=log)
        return log

    def requests(self, method: str, path: str, body: str = "") -> None:
        self.runs(REQUEST % TOKEN, self.rs.http, method, path, body)


def the_truth(site: Site) -> None:
    site.gone.touch()
    site.rs.truth.touch()
    site.hangs()


def the_configuration(site: Site) -> None:
    site.gone.touch()
    os.kill(site.rs.filter_pid(), SIGHUP)
    site.hangs()


def the_token(site: Site) -> None:
    (site.rs.place / "on.json").write_text('{"on": true}')
    site.gone.touch()
    site.requests("POST", "/api/v1/drain", "on.json")
    site.hangs()


def the_audit_log(site: Site) -> None:
    """A writer, and a client that queries it."""
    site.gone.touch()
    site.requests("GET", "/api/v1/audit?asn=65001")
    site.host.announces(MEANWHILE)
    site.hangs()
    site.host.withdraws(MEANWHILE)


def an_impact(site: Site) -> None:
    entries = ",".join(f'{{"prefix":"10.0.0.0/8","asn":{n}}}' for n in range(1, 400_000))
    (site.rs.place / "impact.json").write_text(f'{{"roas":[{entries}]}}')
    before = len(descendants(site.rs.filter_pid()))
    site.requests("POST", "/api/v1/impact", "impact.json")
    eventually(
        lambda: None if len(descendants(site.rs.filter_pid())) > before else "no impact is judged",
        site.lab.report,
    )


def a_client_that_reads_nothing(site: Site) -> None:
    log = site.runs(DEAF, site.rs.http)
    eventually(lambda: None if log.exists() and log.read_text() else "no client", site.lab.report)


def an_rtr_cache(_site: Site) -> None:
    """Require that it took the connection, and sends nothing."""


def a_name_server(site: Site) -> None:
    site.hangs()


def the_watch_of_the_truth(site: Site) -> None:
    """Another directory holds it now: the kernel queries the file server about that one."""
    elsewhere = site.rs.place / "elsewhere"
    elsewhere.mkdir()
    site.gone.touch()
    os.rename(site.rs.truth, elsewhere / "truth.json")
    site.rs.truth.symlink_to(elsewhere / "truth.json")
    site.hangs()


SERVED: dict[str, str] = {
    "the_truth": "truth.json",
    "the_configuration": "rsfilter.toml",
    "the_token": "token",
    "the_audit_log": "audit",
}
CALLS = {"a_name_server": "getaddrinfo", "the_watch_of_the_truth": "inotify_add_watch"}
CACHES = {"an_rtr_cache": f"127.0.0.1:{CACHE_PORT}", "a_name_server": "cache.example.net:8282"}

HANGS: list[Callable[[Site], None]] = [
    the_truth,
    the_configuration,
    the_token,
    the_audit_log,
    an_impact,
    a_client_that_reads_nothing,
    an_rtr_cache,
    a_name_server,
    the_watch_of_the_truth,
]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as running:
        yield running


@pytest.mark.parametrize("hang", HANGS, ids=lambda hang: hang.__name__)
def test_another_filter_takes_over_whatever_hangs(lab: Lab, hang: Callable[[Site], None]) -> None:
    name = hang.__name__
    sections: dict[str, dict[str, object]] = {}
    if name in CACHES:
        sections["rtr"] = {"caches": [CACHES[name]], "startup_wait": 1}
    site = Site(lab, SERVED.get(name, "nothing"), CALLS.get(name, ""), **sections)
    if name == "an_rtr_cache":
        log = site.runs(SILENT_CACHE, str(CACHE_PORT))
        eventually(lambda: None if log.exists() and log.read_text() else "no cache", lab.report)
    if name == "a_name_server":
        site.gone.touch()
    site.starts()
    hang(site)
    old = site.rs.filter_pid()
    children = descendants(old)
    os.kill(old, SIGTERM)
    site.host.withdraws(BEFORE)
    site.host.announces(AFTER)

    def another() -> str | None:
        pids = lab.find(f"rsfilter run -c {site.rs.configuration}")
        return None if pids and old not in pids else "no other filter runs"

    eventually(another, lab.report)
    site.gone.unlink(missing_ok=True)
    site.leaf.has_exactly(AFTER)
    site.host.announces(MEANWHILE)
    site.leaf.has_exactly(AFTER, MEANWHILE)
    site.host.withdraws(AFTER)
    site.leaf.has_exactly(MEANWHILE)
    eventually(lambda: "a child is left" if any(map(is_alive, children)) else None, lab.report)
