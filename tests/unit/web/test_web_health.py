"""`/healthz`, `/readyz` and `/metrics`: red when it should be, and nothing else."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.speaker import announce, state
from support.web_bench import CONFIG, HV7, HV8, ROUTER, TRUTH, Bench

from rsfilter.audit.flood import Budget, Floods
from rsfilter.audit.log import LogHealth
from rsfilter.exabgp.capabilities import Shown
from rsfilter.exabgp.deferral import DEADLINE_S, Deferral
from rsfilter.exabgp.speaker import Speaker
from rsfilter.routing.model import Address
from rsfilter.routing.reasons import REASONS
from rsfilter.routing.validation import Mode, Source
from rsfilter.rtr.caches import CacheAddress, CacheStatus
from rsfilter.web.health import NOT_READING_S, NOT_REPLYING_S


def names(health: Any) -> list[str]:
    return [finding.name for finding in health.reasons]


def test_a_healthy_filter_has_no_findings(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert names(bench.api.watch.health()) == []
    assert names(bench.api.watch.readiness()) == []


def test_without_data_it_is_neither_well_nor_ready(tmp_path: Path) -> None:
    bench = Bench(tmp_path, truth=None)
    assert names(bench.api.watch.health()) == ["data_missing"]
    assert names(bench.api.watch.readiness()) == ["data_missing"]


@pytest.mark.parametrize(("mode", "found"), [(Mode.BOTH, ["data_expired"]), (Mode.UNION, [])])
def test_where_both_have_to_agree_one_alone_makes_nothing_ready(
    tmp_path: Path, mode: Mode, found: list[str]
) -> None:
    bench = Bench(tmp_path)
    table = bench.running.filter.engine.table
    table.data = replace(table.data, rtr_source=Source.UNAVAILABLE, mode=mode)
    assert names(bench.api.watch.readiness()) == found


def test_before_the_resync_it_is_not_ready(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.running.filter = type(bench.filter)(bench.config, bench.running.sources.data)
    assert names(bench.api.watch.readiness()) == ["resync"]


def test_an_audit_log_that_cannot_be_written_is_red(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    full = LogHealth(False, "audit: No space left on device", 10, 0)
    monkeypatch.setattr(type(bench.running.audit), "health", full)
    (reason,) = bench.api.watch.health().reasons
    assert (reason.name, reason.detail) == ("audit_unwritable", "audit: No space left on device")
    assert names(bench.api.watch.readiness()) == [], "routers need the routes all the same"


@pytest.mark.parametrize(
    ("hops", "speaker", "found"),
    [
        (0, None, []),
        (1, None, ["ttl_unchecked"]),
        (1, Speaker("5.0.15", ["hops"], []), []),
        (1, Speaker("5.0.16", ["loop"], ["hops"]), ["ttl_unchecked"]),
    ],
)
def test_a_ttl_that_nothing_checks_is_a_warning(
    tmp_path: Path, hops: int, speaker: Speaker | None, found: list[str]
) -> None:
    bench = Bench(tmp_path, CONFIG.replace("stale_time", f"ttl_security = {hops}\nstale_time"))
    bench.running.speaker = speaker
    assert [each.name for each in bench.api.watch.health().warnings] == found


def test_a_required_ttl_that_is_not_checked_is_red(tmp_path: Path) -> None:
    truth = deepcopy(TRUTH)
    truth["hosts"][0]["ttl_security"] = 1
    router = CONFIG.replace("asn = 65200", "asn = 65200\nttl_security = 1")
    for bench in (Bench(tmp_path, CONFIG, truth), Bench(tmp_path, router)):
        assert [each.name for each in bench.api.watch.health().warnings] == ["ttl_unchecked"]


def test_a_flood_is_a_warning(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.running.filter.floods = Floods(Budget(burst=1))
    bench.announces(HV7, 65007, "203.0.113.1/32", "203.0.113.2/32")
    health = bench.api.watch.health()
    assert (names(health), [finding.name for finding in health.warnings]) == ([], ["flood"])
    assert HV7 in health.warnings[0].detail


def test_hosts_that_end_of_rib_waits_for_are_a_warning(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    deferral = bench.running.filter.deferral = Deferral([])
    deferral.begin([Shown(Address.parse(HV7), 0, None)], now=0.0)
    (warning,) = bench.api.watch.health().warnings
    assert (warning.name, warning.detail) == (
        "deferral",
        f"nothing is withdrawn yet, these hosts are not back: {HV7}",
    )
    deferral.expire(DEADLINE_S)
    assert bench.api.watch.health().warnings == []


def test_expired_data_are_red(tmp_path: Path) -> None:
    class Caches:
        is_fresh = False

        def status(self) -> list[object]:
            return []

    bench = Bench(tmp_path)
    bench.running.caches = Caches()  # type: ignore[assignment]
    assert names(bench.api.watch.health()) == ["data_expired"]


READING = [
    # (second, commands that wait, commands read so far) -> is it red?
    ([(0, 0, 0), (100, 0, 0)], False),
    ([(0, 5, 0), (NOT_READING_S - 1, 5, 0)], False),
    ([(0, 5, 0), (NOT_READING_S, 5, 0)], True),
    ([(0, 5, 0), (NOT_READING_S - 1, 5, 1), (NOT_READING_S, 5, 1)], False),
    ([(0, 5, 0), (50, 0, 5), (51, 1, 5), (60, 1, 5)], False),
    ([(0, 5, 0), (50, 0, 5), (51, 1, 5), (51 + NOT_READING_S, 1, 5)], True),
]


@pytest.mark.parametrize(("states", "is_red"), READING)
def test_an_exabgp_that_does_not_read_is_red(
    tmp_path: Path, states: list[tuple[float, int, int]], is_red: bool
) -> None:
    bench = Bench(tmp_path)
    for now, waiting, written in states:
        bench.pipe.waiting, bench.pipe.counters["lines"] = waiting, written
        bench.api.watch.check(1000 + now)
    assert names(bench.api.watch.health()) == (["exabgp_not_reading"] if is_red else [])


def test_an_exabgp_that_does_not_reply_is_red(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed(state(ROUTER, 65200, "up"))
    bench.announces(HV7, 65007, "203.0.113.1/32")
    unanswered = bench.filter.egress.unanswered
    assert unanswered > 0
    bench.api.watch.check(0)
    bench.api.watch.check(NOT_REPLYING_S - 1)
    assert names(bench.api.watch.health()) == []
    bench.api.watch.check(NOT_REPLYING_S)
    assert names(bench.api.watch.health()) == ["exabgp_not_replying"]
    bench.feed(b"done\n")
    bench.api.watch.check(NOT_REPLYING_S + 1)
    assert names(bench.api.watch.health()) == []


async def test_red_is_503_with_reasons(tmp_path: Path) -> None:
    bench = Bench(tmp_path, truth=None)
    async with bench.client() as client:
        for path in ("/healthz", "/readyz"):
            answer = await client.get(path, 503)
            assert answer["status"] == "failed"
            assert [reason["name"] for reason in answer["reasons"]] == ["data_missing"]


# Metrics -----------------------------------------------------------------------------------------


async def scrape(bench: Bench) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name and labels."""
    async with bench.client() as client:
        answer = await client.http.get("/metrics")
        text = (await answer.read()).decode()
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_what_happened(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed(state(ROUTER, 65200, "up"))
    bench.announces(HV7, 65007, "203.0.113.1/32", "203.0.113.17/32", "198.18.0.1/32")
    bench.feed(announce(HV7, 65007, ["203.0.113.1/32"]))
    bench.feed(state(HV8, 65008, "up"), state(HV8, 65008, "down", "lost"))
    bench.api.metrics.turned(3, 0.002)
    bench.api.metrics.sample(0.0)
    found = await scrape(bench)
    assert found["rsfilter_routes", ("accepted",)] == 1
    assert found["rsfilter_routes", ("rejected",)] == 2
    assert found["rsfilter_routes_by_reason", ("origin_invalid_asn",)] == 1
    assert found["rsfilter_routes_by_reason", ("origin_not_found",)] == 1
    assert found["rsfilter_routes_by_reason", ("max_prefixes",)] == 0
    assert found["rsfilter_verdicts_total", ("", "accepted")] == 1
    assert found["rsfilter_repeated_prefixes_total", ()] == 1
    assert found["rsfilter_sessions", ("hypervisors", "host", "up")] == 1
    assert found["rsfilter_sessions", ("hypervisors", "host", "down")] == 1
    assert found["rsfilter_router_up", (ROUTER,)] == 1
    assert found["rsfilter_data_in_force", ()] == 1
    assert found["rsfilter_truth_vrps", ()] == 3
    assert found["rsfilter_audit_ok", ()] == 1
    assert found["rsfilter_drain_phase", ("in_service",)] == 1
    assert found["rsfilter_judge_seconds_count", ()] == 1
    assert found["rsfilter_turn_lines_sum", ()] == 3
    assert found["rsfilter_command_backlog_count", ()] == 1
    assert found["rsfilter_revalidation_routes_count", ()] == 1


async def test_every_reason_is_a_label_and_no_prefix_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.announces(HV7, 65007, "203.0.113.1/32", "203.0.113.17/32")
    found = await scrape(bench)
    reasons = {labels[0] for name, labels in found if name == "rsfilter_routes_by_reason"}
    assert reasons == set(REASONS)
    assert not [labels for _, labels in found if any("203.0.113" in text for text in labels)]
    assert not [labels for _, labels in found if HV7 in labels]


async def test_requests_are_counted_by_their_place_in_the_api(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.client() as client:
        await client.get("/api/v1/routes/192.0.2.1/32", 404)  # without an owner
        await client.get("/secret/path", 404)
        text = (await (await client.http.get("/metrics")).read()).decode()
    lines = re.findall(r"^rsfilter_http_requests_total.*$", text, re.MULTILINE)
    assert lines == [
        'rsfilter_http_requests_total{route="",status="404"} 1.0',
        'rsfilter_http_requests_total{route="/api/v1/routes/{address}/{length}",status="404"} 1.0',
    ]


async def test_with_caches_their_state_is_shown(tmp_path: Path) -> None:
    class Caches:
        is_fresh = True

        def status(self) -> list[CacheStatus]:
            address = CacheAddress("192.0.2.50", 8282)
            counts = (address, "established", True, True, 12.5, 7, 42, 500, 0, 3)
            return [CacheStatus(*counts, 3600, 90.0, False, 0, 0, None, 0)]

    bench = Bench(tmp_path, CONFIG, TRUTH)
    bench.running.caches = Caches()  # type: ignore[assignment]
    found = await scrape(bench)
    cache = ("192.0.2.50:8282",)
    assert found["rsfilter_rtr_fresh", ()] == 1
    assert found["rsfilter_rtr_cache_vrps", cache] == 500
    assert found["rsfilter_rtr_cache_age_seconds", cache] == 12.5
    assert found["rsfilter_rtr_cache_errors_total", cache] == 3
