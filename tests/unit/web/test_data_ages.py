"""Ages of truth and caches: shown with what they are, and a warning when they are too high."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.web_bench import CONFIG, TRUTH, Bench

from rsfilter.config.model import RtrConfig
from rsfilter.rtr.caches import CacheAddress, CacheStatus
from rsfilter.util.text import span
from rsfilter.web.data_ages import build_time

GOOD = CacheStatus(
    address=CacheAddress("192.0.2.50", 8282),
    state="established",
    decides=True,
    is_fresh=True,
    age=12.5,
    session=7,
    serial=42,
    vrps=500,
    dropped=0,
    errors=0,
    expire=3600,
    unchanged=100.0,
    is_unchanged_long=False,
    missing=0,
    extra=0,
    differs=None,
    lasting=0,
)

AGED = CONFIG.replace('file = "truth.json"\n', 'file = "truth.json"\nmax_age = 3600\n')
RTR = RtrConfig((GOOD.address,), 60, 10, 3600, None, 21600, "hold", 30)


@pytest.mark.parametrize(
    ("metadata", "at"),
    [
        ({}, None),
        ({"generated": "2026-11-22T10:00:00Z"}, 1795341600),
        ({"buildtime": "2026-11-22T11:00:00+01:00"}, 1795341600),
        ({"generated": "2026-11-22T10:00:00"}, 1795341600),  # no zone is UTC
        ({"generated": "1795341600"}, 1795341600),
        ({"generated": "0", "generatedTime": "2026-11-22T10:00:00Z"}, 1795341600),
        ({"generated": "0"}, None),
        ({"generated": "yesterday"}, None),
        ({"generated": "٣"}, None),
        ({"generated": "9" * 200}, float("9" * 200)),
        ({"generated": ""}, None),
        ({"revision": "2026-11-22T10:00:00Z"}, None),
    ],
)
def test_when_a_truth_was_made(metadata: dict[str, str], at: float | None) -> None:
    assert build_time(metadata) == at


def test_the_build_time_is_kept_whatever_else_there_is(tmp_path: Path) -> None:
    more = {f"a{n}": n for n in range(100)}
    bench = Bench(tmp_path, truth={**TRUTH, "metadata": {**more, "generated": 1795341600}})
    truth = bench.running.sources.truth
    assert truth
    assert build_time(truth.metadata) == 1795341600


class Caches:
    def __init__(self, *found: CacheStatus) -> None:
        self.is_fresh = True
        self.status = lambda: list(found)


def warnings(bench: Bench) -> dict[str, str]:
    return {found.name: found.detail for found in bench.api.watch.health().warnings}


@pytest.mark.parametrize(
    ("changes", "name", "detail"),
    [
        ({}, None, ""),
        (
            {"age": 1801.0},
            "rtr_expires_soon",
            "192.0.2.50:8282 is in use, and its data expire in 1799 s",
        ),
        ({"age": 1801.0, "decides": False}, None, ""),
        (
            {"is_fresh": False, "state": "connecting"},
            "rtr_cache_stale",
            "192.0.2.50:8282: connecting",
        ),
        (
            {"unchanged": 25200.0, "is_unchanged_long": True},
            "rtr_cache_unchanged",
            "192.0.2.50:8282: the same data for 7 h 0 min",
        ),
        ({"differs": 60.0, "missing": 3, "extra": 1}, None, ""),
        (
            {"differs": 25200.0, "missing": 1, "extra": 2, "lasting": 1},
            "rtr_caches_differ",
            "192.0.2.50:8282 has differed for 7 h 0 min: 1 VRP missing, "
            "2 more than the cache in use",
        ),
    ],
)
def test_old_and_differing_caches_are_warned_about(
    tmp_path: Path, changes: dict[str, Any], name: str | None, detail: str
) -> None:
    bench = Bench(tmp_path)
    bench.running.caches = Caches(replace(GOOD, **changes))  # type: ignore[assignment]
    found = warnings(bench)
    assert found == ({} if name is None else {name: detail})
    assert bench.api.watch.health().status == "ok"


async def test_a_truth_that_was_made_long_ago(tmp_path: Path) -> None:
    at = time.time() - 3700
    bench = Bench(tmp_path, AGED, {**TRUTH, "metadata": {"generated": int(at)}})
    assert list(warnings(bench)) == ["truth_old"]
    async with bench.client() as client:
        found = (await client.get("/api/v1/status"))["truth"]
        text = (await (await client.http.get("/metrics")).read()).decode()
    assert (found["is_old"], found["built"] < found["loaded"]) == (True, True)
    assert "rsfilter_truth_old 1.0\n" in text
    bench.loads({**TRUTH, "metadata": {"generated": int(time.time())}})
    assert warnings(bench) == {}


def test_a_truth_without_a_time_or_a_limit_is_never_old(tmp_path: Path) -> None:
    assert warnings(Bench(tmp_path, AGED)) == {}
    assert warnings(Bench(tmp_path, CONFIG, {**TRUTH, "metadata": {"generated": 1}})) == {}


async def test_ages_are_in_status_and_metrics(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.running.config = replace(bench.config, rtr=RTR)
    shown = replace(
        GOOD, expire=900.0, is_unchanged_long=True, missing=2, extra=1, differs=9.0, lasting=3
    )
    bench.running.caches = Caches(shown)  # type: ignore[assignment]
    async with bench.client() as client:
        (found,) = (await client.get("/api/v1/status"))["rtr"]["caches"]
        text = (await (await client.http.get("/metrics")).read()).decode()
    wanted = {"expire_s": 900, "unchanged_s": 100, "is_unchanged_long": True}
    wanted |= {"missing": 2, "extra": 1, "differs_s": 9, "differs_long": 3}
    assert {name: found[name] for name in wanted} == wanted
    gauges = {"expire_seconds": 900, "unchanged_seconds": 100, "unchanged_long": 1}
    gauges |= {"missing_vrps": 2, "extra_vrps": 1, "differing_prefixes": 3}
    for name, number in gauges.items():
        assert f'rsfilter_rtr_cache_{name}{{cache="192.0.2.50:8282"}} {number:.1f}\n' in text


SPANS = {0: "0 s", 59.4: "59 s", 60: "1 min", 3599: "59 min", 21600: "6 h 0 min"}
SPANS |= {172799: "47 h 59 min", 180000: "2 d 2 h"}


@pytest.mark.parametrize(("seconds", "text"), SPANS.items())
def test_a_span_is_written_for_people(seconds: float, text: str) -> None:
    assert span(seconds) == text
