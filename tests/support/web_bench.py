"""The HTTP API of a filter without processes: real tables, and a pipe that leads nowhere."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from support.speaker import MARKED, announce, state

from rsfilter.audit.log import AuditLog
from rsfilter.config.build import parse_config
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.filter import Filter
from rsfilter.routing.events import GuardReleased
from rsfilter.rpki.truth import parse_truth
from rsfilter.web.context import Running
from rsfilter.web.server import WebServer, application

ROUTER, HV7, HV8 = "192.0.2.10", "198.51.100.7", "198.51.100.8"

CONFIG = """
[route_server]
asn = 65100
router_id = "192.0.2.100"
local_address = ["192.0.2.100", "2001:db8::100"]

[[hosts]]
name = "hypervisors"
neighbors = ["198.51.100.0/24"]
max_prefixes = 1000000
stale_time = 60

[[routers]]
name = "leaves"
neighbors = ["192.0.2.10"]
asn = 65200

[truth]
file = "truth.json"

[http]
socket = "rsfilter.sock"
token_file = "token"
"""

TRUTH = {
    "hosts": [
        {
            "name": "hv7",
            "asn": 65007,
            "neighbors": [HV7],
            "prefixes": ["203.0.113.0/28", {"prefix": "2001:db8:aa::/64", "max_length": 128}],
        },
        {"name": "hv8", "asn": 65008, "neighbors": [HV8], "prefixes": ["203.0.113.16/28"]},
    ],
    "metadata": {"revision": "3f2a1c"},
}

TOKEN = "correct horse battery staple"


class Pipe:
    """Stands for the threads at both ends of the pipe."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.waiting = 0


class Bench:
    """A filter and its API."""

    def __init__(self, directory: Path, config: str = CONFIG, truth: Any = TRUTH) -> None:
        (directory / "token").write_text(f"{TOKEN}\n")
        (directory / "token").chmod(0o600)
        self.config = parse_config(config, directory / "rsfilter.toml")
        sources = Sources.of(self.config)
        self.filter = Filter(self.config, sources.nothing)
        self.ahead = 0.0
        """Seconds by which the filter's clock is ahead of the machine's."""
        self.released: list[str] = []
        self.requested: list[tuple[bool, str]] = []
        self.reloads: list[tuple[str, bool]] = []
        self.disk_problem = ""
        """Reason why a drain is not written down."""
        self.pipe = Pipe()
        self.running = Running(
            config=self.config,
            filter=self.filter,
            sources=sources,
            audit=AuditLog(self.config.audit.directory),
            reader=self.pipe,  # type: ignore[arg-type]
            writer=self.pipe,  # type: ignore[arg-type]
            release_guard=self.release_guard,
            drain=self.drain,
            reload=self.reload,
        )
        self.server = WebServer(self.running)
        self.api = self.server.api
        self.follow()
        self.feed(*MARKED, b"[]\n", b"done\n")  # no session was up before us,
        self.feed(*MARKED, b"done\n")  # and no router was sent anything
        if truth is not None:
            self.loads(truth)

    def loads(self, truth: Any) -> None:
        """Put this truth into force."""
        content = json.dumps(truth).encode()
        event = self.running.sources.truth_loaded(parse_truth(content, "truth.json", time.time()))
        assert event is not None
        self.running.truth_loaded = time.time()
        self.filter.data_replaced(event, self.now)
        self.follow()

    def feed(self, *lines: bytes) -> None:
        """Feed these lines of ExaBGP."""
        for line in b"".join(lines).splitlines():
            self.filter.line(line, self.now)
        self.follow()

    @property
    def now(self) -> float:
        return time.monotonic() + self.ahead

    def later(self, seconds: float) -> None:
        """Time passes for the filter."""
        self.ahead += seconds
        self.follow()
        self.follow()

    def announces(self, host: str, asn: int, *prefixes: str) -> None:
        """A host is up and announces these, fifty at a time."""
        if host not in {str(address) for address in self.filter.engine.sessions}:
            self.feed(state(host, asn, "up"))
        for start in range(0, len(prefixes), 50):
            self.feed(announce(host, asn, list(prefixes[start : start + 50])))

    def follow(self) -> list[bytes]:
        """Do what the service does after each turn; return the commands."""
        commands = self.filter.commands(self.now)
        events = self.filter.take_audit()
        self.running.audit.extend(time.time(), events)
        self.server.publish(time.time(), events)
        return commands

    def release_guard(self, requested: GuardReleased) -> None:
        self.released.append(requested.by)
        self.filter.guard_released(requested, self.now)
        self.follow()

    async def drain(self, on: bool, by: str) -> str:
        self.requested.append((on, by))
        self.filter.drain(on, by, self.now)
        self.follow()
        return self.disk_problem

    async def reload(self, by: str, *, is_forced: bool = False) -> list[str]:
        self.reloads.append((by, is_forced))
        return [] if is_forced else self.running.reload_problems

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client over HTTP."""
        async with TestClient(TestServer(application(self.api))) as client:
            yield Client(client)
        self.running.audit.close(5)


class Client:
    """Request, and read JSON."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self.http = client

    async def get(self, path: str, status: int = 200) -> Any:
        """Request; return the response, which must have this status."""
        answer = await self.http.get(path)
        found = await answer.json()
        assert answer.status == status, found
        return found

    async def post(
        self, path: str, body: object = None, *, token: str | None = TOKEN, status: int = 200
    ) -> Any:
        """Send `body` as JSON, or bytes unchanged; return the response."""
        answer = await self.request(path, body, token=token)
        found = await answer.json()
        assert answer.status == status, found
        return found

    async def request(self, path: str, body: object, *, token: str | None) -> ClientResponse:
        """The whole answer to a POST."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return await self.http.post(path, data=data, headers=headers)
