"""Delay of routes by clients of the HTTP API, from a host's UPDATE to ExaBGP's command.

    python tests/bench/web.py [--routes 200000] [--probes 300] [--only "looking glass"]

A real `rsfilter run` behind a scripted ExaBGP has a full table. A host announces one more prefix
again and again, and the time until the command for it is there is taken: first without clients,
then while clients list everything, query the audit log, judge another truth, or scrape. Clients are
processes of their own. Prints milliseconds, "alone" just before the clients come: on a busy machine
that is the noise to compare with. Each is the median, 99 %, and the worst.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.usage import cpu_s
from support.config_sample import configuration
from support.speaker import CHANGE, Speaker, announce, state

ROUTER, HOST, PROBE = "192.0.2.10", "198.51.100.1", "198.51.100.2"

CONFIG = configuration(max_prefixes=1_000_000)

HTTP = '[http]\nlisten = "{listen}"\nlooking_glass = true\n'

ALICE = ("protocols/bgp", "routes/table/master", "routes/table/master/filtered")
"""Requests that Alice-LG makes every five minutes."""

CLIENT = """
import http.client, sys
host, port, path, accept, body = sys.argv[1:6]
method = "POST" if body else "GET"
headers = {"Accept": accept, "Content-Type": "application/json"}
total = 0
while True:
    connection = http.client.HTTPConnection(host, int(port), timeout=120)
    here = path
    while here:
        content = open(body, "rb").read() if body else None
        connection.request(method, here, content, headers)
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status == 200, (answer.status, data[:200])
        total += 1
        at = data.rfind(b'"next":"') if "limit=" in path else -1
        here = path + "&cursor=" + data[at + 8 : -2].decode() if at > 0 else ""
        print(total, flush=True)
"""
"""Send requests for ever; follows `next`. Prints how many requests it has made."""


class Watched(Speaker):
    """Notes when the command for a prefix came."""

    def __init__(self, config: Path) -> None:
        self.seen: dict[str, float] = {}
        self.arrived = threading.Condition()
        super().__init__(config, {ROUTER: 65200})

    def _carry_out(self, text: str) -> None:
        now = time.monotonic()
        if change := CHANGE.fullmatch(text):
            with self.arrived:
                self.seen.update(dict.fromkeys(change[4].split(), now))
                self.arrived.notify()
        super()._carry_out(text)

    def delay_of(self, prefix: str) -> float:
        """Seconds from the UPDATE to the command."""
        started = time.monotonic()
        self.write(announce(PROBE, 65002, [prefix]))
        with self.arrived:
            self.arrived.wait_for(lambda: prefix in self.seen, 60)
        return self.seen[prefix] - started


class Bench:
    """A filter with a full table."""

    def __init__(self, directory: Path, routes: int) -> None:
        self.truth = directory / "truth.json"
        roas = [
            {"prefix": "10.0.0.0/8", "maxLength": 32, "asn": 65001},
            {"prefix": "172.16.0.0/12", "maxLength": 32, "asn": 65002},
        ]
        self.truth.write_text(json.dumps({"roas": roas}))
        config = directory / "rsfilter.toml"
        listen = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.1:8480"
        config.write_text(CONFIG + HTTP.format(listen=listen))
        self.speaker = Watched(config)
        self._routes = routes
        self._probe = 0

    def fill(self) -> None:
        """The table, through the front door."""
        speaker = self.speaker
        speaker.write(state(ROUTER, 65200, "up") + state(HOST, 65001, "up"))
        speaker.write(state(PROBE, 65002, "up"))
        for start in range(0, self._routes, 50):
            numbers = range(start, min(start + 50, self._routes))
            speaker.write(
                announce(
                    HOST, 65001, [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32" for n in numbers]
                )
            )
        speaker.wait("full", lambda: len(speaker.tables[ROUTER]) == self._routes, 600)

    def probe(self, count: int) -> list[float]:
        """The delays of so many routes, in milliseconds, sorted."""
        found = []
        for _ in range(count):
            self._probe += 1
            number = self._probe
            prefix = f"172.16.{number >> 8}.{number & 255}/32"
            found.append(1000 * self.speaker.delay_of(prefix))
            time.sleep(0.005)
        return sorted(found)

    def refresh(self, encoding: str) -> str:
        """One refresh of Alice-LG: what it costs the filter, and what goes over the wire."""
        pid, octets = self.speaker.process.pid, 0
        cpu, started = cpu_s(pid), time.monotonic()
        for path in ALICE:
            url = f"http://{self.speaker.http}/birdwatcher/{path}"
            request = urllib.request.Request(url, headers={"Accept-Encoding": encoding})
            with urllib.request.urlopen(request) as answer:
                while piece := answer.read(1 << 20):
                    octets += len(piece)
        return (
            f"a refresh of Alice-LG ({encoding}): {cpu_s(pid) - cpu:.2f} CPU seconds, "
            f"{time.monotonic() - started:.1f} s, {octets / 1e6:.1f} MB"
        )

    @contextmanager
    def clients(
        self, count: int, path: str, accept: str, *, body: Path | None
    ) -> Iterator[list[int]]:
        """Run so many clients meanwhile; afterwards the list holds the requests that they made."""
        host, _, port = self.speaker.http.rpartition(":")
        argv = [sys.executable, "-c", CLIENT, host, port, path, accept, str(body or "")]
        started = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(count)]
        requested: list[int] = []
        try:
            time.sleep(0.5)  # all of them are busy
            yield requested
        finally:
            for process in started:
                process.terminate()
            for process in started:
                lines = process.communicate()[0].split()
                requested.append(int(lines[-1]) if lines else 0)


def figures(delays: list[float]) -> list[str]:
    """Median, 99th percentile, worst."""
    chosen = (delays[len(delays) // 2], delays[-1 - len(delays) // 100], delays[-1])
    return [f"{value:.1f}" for value in chosen]


LOADS: Sequence[tuple[str, int, str, str, bool]] = (
    ("1 client streams all routes", 1, "/api/v1/routes", "application/x-ndjson", False),
    ("5 clients stream all routes", 5, "/api/v1/routes", "application/x-ndjson", False),
    ("1 client pages through all", 1, "/api/v1/routes?limit=1000", "*/*", False),
    ("5 clients filter for nothing", 5, "/api/v1/routes?verdict=held", "*/*", False),
    ("1 client asks for the story", 1, "/api/v1/routes/10.0.0.1/32", "*/*", False),
    ("1 client searches the audit log", 1, "/api/v1/audit?asn=1", "*/*", False),
    ("1 client asks for impact", 1, "/api/v1/impact", "*/*", True),
    ("1 client reads the looking glass", 1, "/birdwatcher/routes/table/master", "*/*", False),
    ("1 client scrapes", 1, "/metrics", "*/*", False),
)


def run(routes: int, probes: int, only: str) -> tuple[Table, list[str]]:
    """The whole of it, or the loads whose names have `only`."""
    table = Table(
        "",
        "alone",
        "99 %",
        "worst",
        "meanwhile",
        "99 %",
        "worst",
        "answers",
        title=f"{routes} routes, milliseconds",
    )
    table.columns[0].no_wrap = True
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), routes)
        with bench.speaker:
            bench.fill()
            refreshes = [bench.refresh(encoding) for encoding in ("gzip", "identity")]
            for name, count, path, accept, has_body in LOADS:
                if only not in name:
                    continue
                body = bench.truth if has_body else None
                alone = bench.probe(probes)
                with bench.clients(count, path, accept, body=body) as requested:
                    delays = bench.probe(probes)
                table.add_row(name, *figures(alone), *figures(delays), str(sum(requested)))
    return table, refreshes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--routes", type=int, default=200_000)
    parser.add_argument("--probes", type=int, default=300)
    parser.add_argument("--only", default="", help="loads whose names have this")
    options = parser.parse_args()
    table, refreshes = run(options.routes, options.probes, options.only)
    Console().print(table, *refreshes, sep="\n")
