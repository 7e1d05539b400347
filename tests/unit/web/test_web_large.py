"""No request over HTTP holds the loop, however much there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from support.growth import grows_gently
from support.loop_steps import HOLD_S, steps
from support.speaker import announce, state
from support.web_bench import CONFIG, HV7, ROUTER, Bench

from rsfilter.routing.model import Address
from rsfilter.web.birdwatcher import RouteEncoder, neighbor_id
from rsfilter.web.handlers.birdwatcher import SLICE
from rsfilter.web.responses import NDJSON
from rsfilter.web.table_reader import RouteReader

ANYCAST = "203.0.113.1/32"
MANY_HOSTS = CONFIG.replace("198.51.100.0/24", "198.18.0.0/15")


def owners(directory: Path, count: int, paths: str = "best") -> Bench:
    """One prefix, announced by `count` hosts of one ASN."""
    config = MANY_HOSTS.replace("asn = 65200", f'asn = 65200\npaths = "{paths}"')
    bench = Bench(directory, config, {"roas": [{"prefix": ANYCAST, "asn": 65007}]})
    bench.feed(state(ROUTER, 65200, "up"))
    for number in range(count):
        host = f"198.18.{number >> 8}.{number & 255}"
        bench.feed(state(host, 65007, "up"), announce(host, 65007, [ANYCAST]))
    return bench


PATHS = [
    f"/api/v1/routes/{ANYCAST}",
    f"/api/v1/routes?prefix={ANYCAST}&limit=1000",
    f"/api/v1/routes?prefix={ANYCAST}&verdict=rejected",
    "/api/v1/neighbors",
    "/metrics",
]


@pytest.mark.parametrize("paths", ["best", "all"])
async def test_the_owners_of_one_prefix_cost_what_they_are(tmp_path: Path, paths: str) -> None:
    costs: dict[str, list[float]] = {path: [] for path in PATHS}
    for count in (500, 1000, 2000):
        directory = tmp_path / str(count)
        directory.mkdir()
        bench = owners(directory, count, paths)
        async with bench.client() as client:
            for path in PATHS:
                with steps() as measured:
                    answer = await client.http.get(path)
                    content = await answer.read()
                assert answer.status == 200
                assert measured.longest < HOLD_S, path
                costs[path].append(measured.total)
                if path == PATHS[0]:
                    response = json.loads(content)["routes"]
                    assert len(response) == count
                    assert sum(len(route["announced"]) for route in response) == (
                        1 if paths == "best" else count
                    )
    assert all(map(grows_gently, costs.values())), costs


async def test_the_owners_of_one_prefix_come_as_a_stream_in_steps(tmp_path: Path) -> None:
    bench = owners(tmp_path, 1000)
    async with bench.client() as client:
        with steps() as measured:
            answer = await client.http.get(
                f"/api/v1/routes?prefix={ANYCAST}", headers={"Accept": NDJSON}
            )
            lines = (await answer.read()).splitlines()
    assert len(lines) == 1000
    assert measured.longest < HOLD_S


async def test_a_story_continues_when_its_hosts_withdraw(tmp_path: Path) -> None:
    bench = owners(tmp_path, 200)
    async with bench.client() as client:
        answer = await client.http.get(f"/api/v1/routes/{ANYCAST}")
        for number in range(100, 200):
            bench.feed(state(f"198.18.0.{number}", 65007, "down", "shutdown"))
        response = json.loads(await answer.read())["routes"]
    assert [route["route"]["neighbor"] for route in response][:100] == [
        f"198.18.0.{number}" for number in range(100)
    ]


WHOLE_TABLE = [
    "/api/v1/status",
    "/metrics",
    "/api/v1/routes?prefix=10.1.0.0/24&match=covered",
    "/api/v1/routes?verdict=held",
]


GLASS_S = 0.01
"""CPU of a step of the looking glass: no route waits longer for it."""

GLASS = {
    "protocols/bgp": 1,
    f"routes/protocol/{neighbor_id(Address.parse(HV7))}": 128_000,
    "routes/table/master/filtered": 72_000,
}
"""Routes or neighbors by path."""


HALF = {
    "hosts": [
        {
            "name": "hv7",
            "asn": 65007,
            "neighbors": [HV7],
            "prefixes": [{"prefix": "10.0.0.0/9", "max_length": 32}],
        }
    ]
}


async def test_a_table_of_two_hundred_thousand_is_read_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, f"{CONFIG}looking_glass = true\n", HALF)
    bench.feed(state(ROUTER, 65200, "up"), state(HV7, 65007, "up"))
    for block in range(200):
        prefixes = [f"10.{block}.{n >> 8}.{n & 255}/32" for n in range(1000)]
        bench.feed(announce(HV7, 65007, prefixes))
    assert len(bench.filter.engine.rib_in) == 200_000
    in_one_step = InOneStep(monkeypatch)
    async with bench.client() as client:
        for path in (
            "/api/v1/status",
            "/metrics",
            "/api/v1/routes?prefix=10.1.0.0/24&match=covered",
        ):
            with steps() as measured:
                assert (await client.http.get(path)).status == 200
            assert measured.longest < HOLD_S, path
        for path, count in GLASS.items():
            with steps() as measured:
                answer = await client.http.get(
                    f"/birdwatcher/{path}", headers={"Accept-Encoding": "gzip"}
                )
                octets = await read_slowly(answer)
            assert octets.count(b'"network":') + octets.count(b'"table":') == count, path
            assert measured.longest < GLASS_S, path
    assert 1 < in_one_step.most <= SLICE


class InOneStep:
    """Counts the routes that are encoded between two rests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = self._now = 0
        encode, pause = RouteEncoder.encode, RouteReader.pause

        def counted(*args: Any, **kwargs: Any) -> bytes:
            self._now += 1
            self.most = max(self.most, self._now)
            return encode(*args, **kwargs)

        async def rested(reader: RouteReader) -> None:
            self._now = 0
            await pause(reader)

        monkeypatch.setattr(RouteEncoder, "encode", counted)
        monkeypatch.setattr(RouteReader, "pause", rested)


async def read_slowly(answer: ClientResponse) -> bytes:
    """The body in pieces: this client shares the loop that is measured."""
    return b"".join([piece async for piece in answer.content.iter_any()])


async def test_the_neighbors_of_a_large_site_are_shown_in_steps(tmp_path: Path) -> None:
    bench = Bench(tmp_path, f"{MANY_HOSTS}looking_glass = true\n")
    hosts = [f"198.18.{number >> 8}.{number & 255}" for number in range(4000)]
    bench.feed(*(state(host, 65007, "up") for host in hosts))
    async with bench.client() as client:
        for path in ("protocols/bgp", "protocols/short"):
            with steps() as measured:
                answer = await client.http.get(f"/birdwatcher/{path}")
                octets = await read_slowly(answer)
            assert octets.count(b'"table":') == len(hosts)
            assert measured.longest < GLASS_S, path
