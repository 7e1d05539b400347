"""POST: the guard, the drain, the truth, and the impact of another truth."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.waiting import DEADLINE_S
from support.speaker import state
from support.web_bench import CONFIG, HV7, HV8, TRUTH, Bench

from rsfilter.edge.truth_watcher import Reading, TruthWatcher

GUESTS = [f"203.0.113.{n}/32" for n in range(15)]


def truth_of(*owners: tuple[int, str]) -> dict[str, Any]:
    return {"roas": [{"prefix": p, "maxLength": 32, "asn": asn} for asn, p in owners]}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.announces(HV7, 65007, *GUESTS, "203.0.113.17/32")
    return bench


async def test_a_release_is_recorded_with_its_requester(bench: Bench) -> None:
    bench.loads(truth_of((65008, "203.0.113.0/24")))
    async with bench.client() as client:
        assert (await client.get("/api/v1/status"))["guard"]["held"] == 15
        assert (await client.get("/healthz"))["warnings"][0]["name"] == "guard_holds"
        answer = await client.post("/api/v1/guard/release")
    assert answer == {"released": 15, "held": 0}
    assert bench.released == ["HTTP from 127.0.0.1"]


async def test_the_guard_is_released_by_prefix_or_host(bench: Bench) -> None:
    """.0 to .14 are held: eight of them are in the first /29."""
    bench.loads(truth_of((65008, "203.0.113.0/24")))
    release = "/api/v1/guard/release"
    async with bench.client() as client:
        answer = await client.post(release, {"prefix": "203.0.113.0/29"})
        assert answer == {"released": 8, "held": 7}
        assert (await client.get("/api/v1/status"))["guard"]["held"] == 7
        wrong = await client.post(release, {"host": "nosuch"}, status=404)
        assert wrong["detail"] == "the guard holds no route of nosuch"
        assert (await client.get("/api/v1/status"))["guard"]["held"] == 7
        wrong = await client.post(release, {"prefix": "203.0.113.1/24"}, status=400)
        assert "host bits" in wrong["detail"]
        assert (await client.post(release, {}))["released"] == 7
        assert (await client.get("/api/v1/status"))["guard"]["held"] == 0


async def test_a_drain_begins_and_ends(bench: Bench) -> None:
    async with bench.client() as client:
        answer = await client.post("/api/v1/drain", {"on": True})
        assert answer["phase"] != "in_service"
        assert answer["why"] == ["operator: HTTP from 127.0.0.1"]
        assert (await client.get("/readyz", 503))["reasons"][0]["name"] == answer["phase"]
        assert (await client.get("/healthz"))["status"] == "ok"
        answer = await client.post("/api/v1/drain", {"on": False})
        assert answer == {"phase": "in_service", "why": [], "until": None}
        await client.get("/readyz")


async def test_truth_is_read_again_at_once(bench: Bench) -> None:
    assert bench.config.truth is not None
    file = bench.config.truth.file
    file.write_text(json.dumps(TRUTH))
    loaded: list[str] = []

    async def take(reading: Reading) -> None:
        loaded.append(reading.truth.format)

    watcher = TruthWatcher(file, take, lambda _: None)
    bench.running.watcher = watcher
    async with bench.client() as client:
        answer = await client.post("/api/v1/truth/reload")
        assert answer["problems"] == []
        assert loaded == ["hosts"]
        file.write_text('{"roas": [{"prefix": "203.0.113.0/24", "asn": -1}]}')
        answer = await client.post("/api/v1/truth/reload", status=422)
        assert (answer["error"], answer["pointer"]) == ("truth_invalid", "/roas/0/asn")
        assert len((await client.get("/api/v1/truth"))["problems"]) == 1
        assert (await client.get("/healthz"))["warnings"][0]["name"] == "truth_refused"


# Impact ------------------------------------------------------------------------------------------


async def test_impact_names_what_would_flip(bench: Bench) -> None:
    new = truth_of((65007, "203.0.113.0/29"), (65007, "203.0.113.17/32"), (65008, "203.0.113.8/32"))
    async with bench.client() as client:
        answer = await client.post("/api/v1/impact", new, token=None)
        after = await client.get("/api/v1/status")
    assert answer["truth"]["vrps"] == 3
    assert (answer["diff"]["added"], answer["diff"]["removed"]) == (3, 3)
    assert answer["diff"]["first_removed"] == [
        "203.0.113.0/28-32 AS65007",
        "203.0.113.16/28-32 AS65008",
        "2001:db8:aa::/64-128 AS65007",
    ]
    assert answer["diff"]["first_added"] == [
        "203.0.113.0/29-32 AS65007",
        "203.0.113.8/32-32 AS65008",
        "203.0.113.17/32-32 AS65007",
    ]
    assert (answer["judged"], answer["accepted_before"], answer["accepted_after"]) == (16, 15, 9)
    assert (answer["lost"], answer["gained"], answer["is_complete"]) == (7, 1, True)
    assert answer["lost_by_reason"] == {"origin_invalid_asn": 1, "origin_not_found": 6}
    assert [(f["prefix"], f["was"], f["verdict"]) for f in answer["flips"]] == [
        *((f"203.0.113.{n}/32", "accepted", "rejected") for n in range(8, 15)),
        ("203.0.113.17/32", "rejected", "accepted"),
    ]
    assert answer["would_hold"] is False, "seven are fewer than min_loss"
    assert after["routes"]["accepted"] == 15, "nothing changes"


async def test_impact_reports_that_the_guard_would_hold(bench: Bench) -> None:
    async with bench.client() as client:
        answer = await client.post("/api/v1/impact", truth_of((65008, "203.0.113.0/24")))
    assert (answer["lost"], answer["would_hold"]) == (15, True)


BAD_TRUTH = [
    (b"", 422, "truth_invalid", ""),
    (b'{"roas": []}', 422, "truth_invalid", ""),
    (b'{"roas": [{"prefix": "203.0.113.0/24"}]}', 422, "truth_invalid", "/roas/0/asn"),
]


@pytest.mark.parametrize(("body", "status", "error", "pointer"), BAD_TRUTH)
async def test_a_truth_that_cannot_be_used_has_no_impact(
    bench: Bench, body: bytes, status: int, error: str, pointer: str
) -> None:
    async with bench.client() as client:
        answer = await client.http.post(
            "/api/v1/impact", data=body, headers={"Content-Type": "application/json"}
        )
        response = await answer.json()
    assert (answer.status, response["error"], response["pointer"]) == (status, error, pointer)


async def test_a_form_of_another_site_has_no_impact(bench: Bench) -> None:
    """A page elsewhere can send text/plain without a preflight request, but no JSON."""
    async with bench.client() as client:
        answer = await client.http.post("/api/v1/impact", data="{}")
        assert answer.status == 415


async def test_a_body_that_is_too_large_is_not_read(bench: Bench) -> None:
    async with bench.client() as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.http.port)
        writer.write(
            b"POST /api/v1/impact HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n"
            b"Content-Type: application/json\r\n\r\n"
        )
        async with asyncio.timeout(DEADLINE_S):
            assert (await reader.readline()).split()[1] == b"413"
        writer.close()


async def test_two_impacts_are_computed_at_a_time(bench: Bench) -> None:
    async with bench.client() as client:
        async with bench.api.impacts.one(), bench.api.impacts.one():
            answer = await client.request("/api/v1/impact", truth_of(), token=None)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert (await answer.json())["error"] == "busy"
        async with asyncio.timeout(DEADLINE_S):  # their places are free once they have gone
            while (await client.request("/api/v1/impact", TRUTH, token=None)).status == 503:
                await asyncio.sleep(0.05)


async def test_without_truth_there_is_no_impact(tmp_path: Path) -> None:
    rtr = CONFIG.replace('[truth]\nfile = "truth.json"', '[rtr]\ncaches = ["192.0.2.50:8282"]')
    bench = Bench(tmp_path, rtr, None)
    async with bench.client() as client:
        assert (await client.post("/api/v1/impact", {}, status=409))["error"] == "not_configured"
        assert (await client.post("/api/v1/truth/reload", status=409))["error"] == "not_configured"
        assert (await client.get("/api/v1/rtr")) == {
            "is_fresh": False,
            "on_expire": "hold",
            "expire_s": 3600,
            "caches": [],
        }


# Events ------------------------------------------------------------------------------------------


async def read_events(response: Any, count: int) -> list[tuple[str, dict[str, Any]]]:
    """The next events of a stream: (kind, data)."""
    found: list[tuple[str, dict[str, Any]]] = []
    kind = ""
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            line = (await response.content.readline()).decode().rstrip("\n")
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                found.append((kind, json.loads(line[6:])))
    return found


async def test_events_are_sent_as_they_happen(bench: Bench) -> None:
    async with bench.client() as client:
        stream = await client.http.get("/api/v1/events")
        assert stream.content_type == "text/event-stream"
        assert await stream.content.readline() == b"retry: 5000\n"
        bench.announces(HV8, 65008, "203.0.113.18/32")
        bench.loads(truth_of((65008, "203.0.113.0/24")))
        await client.post("/api/v1/drain", {"on": True})
        found = await read_events(stream, 5)
        stream.close()
    assert [(kind, data["event"]) for kind, data in found] == [
        ("session", "session_up"),
        ("verdict", "verdict"),
        *[("verdict", "verdict")] * 3,
    ]
    assert found[1][1]["prefix"] == "203.0.113.18/32"


async def test_events_may_be_limited_to_some_kinds(bench: Bench) -> None:
    async with bench.client() as client:
        stream = await client.http.get("/api/v1/events?kinds=data,guard,drain")
        await stream.content.readline()
        bench.loads(truth_of((65008, "203.0.113.0/24")))
        await client.post("/api/v1/guard/release")
        await client.post("/api/v1/drain", {"on": True})
        found = await read_events(stream, 4)
        stream.close()
    assert [kind for kind, _ in found] == ["data", "guard", "guard", "drain"]


async def test_a_slow_client_loses_events_and_gets_their_number(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsfilter.web.event_stream.MAX_QUEUE", 10)
    async with bench.client() as client:
        stream = await client.http.get("/api/v1/events?kinds=verdict")
        await stream.content.readline()
        bench.announces(HV8, 65008, *(f"198.18.0.{n}/32" for n in range(25)))
        found = await read_events(stream, 11)
        stream.close()
        text = (await (await client.http.get("/metrics")).read()).decode()
    assert [kind for kind, _ in found] == ["verdict"] * 10 + ["dropped"]
    assert found[-1][1] == {"count": 15}
    assert "rsfilter_events_dropped_total 15.0" in text


@pytest.fixture
def without_collector() -> Iterator[None]:
    """An object that is in use for long before it is given up is not collected."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
async def test_a_client_that_disconnects_leaves_nothing_behind(bench: Bench) -> None:
    async with bench.client() as client:
        stream = await client.http.get("/api/v1/events")
        await stream.content.readline()
        (listener,) = map(weakref.ref, bench.api.events.clients)
        stream.close()
        async with asyncio.timeout(DEADLINE_S):
            while bench.api.events.clients:
                bench.announces(HV8, 65008, "203.0.113.19/32")
                bench.feed(state(HV8, 65008, "down"))
                await asyncio.sleep(0.01)
            while listener() is not None:
                await asyncio.sleep(0.01)
