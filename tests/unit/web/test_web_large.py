"""Nothing that somebody asks over HTTP holds the loop, however much there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.growth import grows_gently
from support.loop_steps import HOLD_S, steps
from support.speaker import announce, state
from support.web_bench import CONFIG, HV7, ROUTER, Bench

from rsfilter.web.responses import NDJSON

ANYCAST = "203.0.113.1/32"
MANY_HOSTS = CONFIG.replace("198.51.100.0/24", "198.18.0.0/15")


def owners(directory: Path, count: int, paths: str = "best") -> Bench:
    """One prefix, announced by `count` hosts of one ASN."""
    config = MANY_HOSTS.replace("asn = 65200", f'asn = 65200\npaths = "{paths}"')
    bench = Bench(directory, config, {"roas": [{"prefix": ANYCAST, "asn": 65007}]})
    bench.says(state(ROUTER, 65200, "up"))
    for number in range(count):
        host = f"198.18.{number >> 8}.{number & 255}"
        bench.says(state(host, 65007, "up"), announce(host, 65007, [ANYCAST]))
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
                    told = json.loads(content)["routes"]
                    assert len(told) == count
                    assert sum(len(route["announced"]) for route in told) == (
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


async def test_a_story_goes_on_when_its_hosts_go(tmp_path: Path) -> None:
    bench = owners(tmp_path, 200)
    async with bench.client() as client:
        answer = await client.http.get(f"/api/v1/routes/{ANYCAST}")
        for number in range(100, 200):
            bench.says(state(f"198.18.0.{number}", 65007, "down", "shutdown"))
        told = json.loads(await answer.read())["routes"]
    assert [route["route"]["neighbor"] for route in told][:100] == [
        f"198.18.0.{number}" for number in range(100)
    ]


WHOLE_TABLE = [
    "/api/v1/status",
    "/metrics",
    "/api/v1/routes?prefix=10.1.0.0/24&match=covered",
    "/api/v1/routes?verdict=held",
]


async def test_a_table_of_two_hundred_thousand_is_read_in_steps(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.says(state(ROUTER, 65200, "up"), state(HV7, 65007, "up"))
    for block in range(200):
        prefixes = [f"10.{block}.{n >> 8}.{n & 255}/32" for n in range(1000)]
        bench.says(announce(HV7, 65007, prefixes))
    assert len(bench.filter.engine.rib_in) == 200_000
    async with bench.client() as client:
        for path in (
            "/api/v1/status",
            "/metrics",
            "/api/v1/routes?prefix=10.1.0.0/24&match=covered",
        ):
            with steps() as measured:
                assert (await client.http.get(path)).status == 200
            assert measured.longest < HOLD_S, path
