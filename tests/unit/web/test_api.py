"""The HTTP API: what it answers, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from socket import gethostname

import pytest
from lab.waiting import DEADLINE_S
from support.speaker import state
from support.web_bench import CONFIG, HV7, HV8, ROUTER, TOKEN, Bench

from rsfilter.routing.expected import CHECK_S
from rsfilter.web import server
from rsfilter.web.handlers import routes
from rsfilter.web.responses import NDJSON

OWN = [f"203.0.113.{n}/32" for n in range(1, 4)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """hv7 announces three guests of its own and one of hv8's; hv8 is down."""
    directory = tmp_path / "a site"
    directory.mkdir()
    bench = Bench(directory)
    bench.feed(state(ROUTER, 65200, "up"))
    bench.announces(HV7, 65007, *OWN, "203.0.113.17/32")
    bench.feed(state(HV8, 65008, "up"), state(HV8, 65008, "down", "hold timer"))
    return bench


# Answers -----------------------------------------------------------------------------------------


async def test_status_has_every_part(bench: Bench) -> None:
    async with bench.client() as client:
        answer = await client.get("/api/v1/status")
    assert answer["asn"] == 65100
    assert (answer["is_resynced"], answer["has_data"]) == (True, True)
    assert answer["routes"] == {
        "total": 4,
        "accepted": 3,
        "rejected": 1,
        "held": 0,
        "stale": 0,
        "reasons": {"origin_invalid_asn": 1},
    }
    assert answer["sessions"] == {
        "hosts_up": 1,
        "hosts_down": 1,
        "routers_up": 1,
        "routers_down": 0,
        "unknown": 0,
        "first_down": [
            {
                "neighbor": HV8,
                "host": "hv8",
                "since": answer["sessions"]["first_down"][0]["since"],
                "reason": "hold timer",
            }
        ],
    }
    assert answer["name"] == gethostname()
    assert answer["expected"]["hosts"] == 2
    assert answer["guard"] == {
        "held": 0,
        "lost": 0,
        "window_s": 3600,
        "max_loss_percent": 20,
        "min_loss": 10,
    }
    assert answer["drain"] == {"phase": "in_service", "why": [], "until": None}
    assert answer["truth"]["in_force"]["revision"] == "3f2a1c"
    assert answer["truth"]["in_force"]["vrps"] == 3
    assert answer["rtr"] is None


async def test_neighbors_have_their_role_their_host_and_their_counts(bench: Bench) -> None:
    async with bench.client() as client:
        everybody = (await client.get("/api/v1/neighbors"))["neighbors"]
        hosts = (await client.get("/api/v1/neighbors?role=host"))["neighbors"]
    assert [(n["neighbor"], n["role"], n["host"], n["is_up"]) for n in everybody] == [
        (ROUTER, "router", "leaves", True),
        (HV7, "host", "hv7", True),
        (HV8, "host", "hv8", False),
    ]
    assert [n["neighbor"] for n in hosts] == [HV7, HV8]
    assert hosts[0]["routes"]["reasons"] == {"origin_invalid_asn": 1}
    assert everybody[0]["router"]["told"] == 3


async def test_a_route_is_returned_with_its_verdict(bench: Bench) -> None:
    async with bench.client() as client:
        (found,) = (await client.get("/api/v1/routes?verdict=rejected"))["routes"]
    assert found == {
        "neighbor": HV7,
        "host": "hv7",
        "group": "hypervisors",
        "asn": 65007,
        "prefix": "203.0.113.17/32",
        "path_id": 0,
        "as_path": "65007",
        "as_path_length": 1,
        "next_hop": HV7,
        "med": None,
        "communities": [],
        "large_communities": [],
        "is_best": False,
        "verdict": "rejected",
        "reasons": ["origin_invalid_asn"],
        "state": "Invalid",
        "vrps": ["203.0.113.16/28-32 AS65008"],
        "owners": [],
        "stale": False,
    }


FILTERS = [
    ("", [1, 2, 3, 17]),
    ("?verdict=accepted", [1, 2, 3]),
    ("?verdict=held", []),
    ("?reason=origin_invalid_asn", [17]),
    ("?reason=bogon_asn", []),
    ("?asn=65007", [1, 2, 3, 17]),
    ("?asn=65008", []),
    (f"?neighbor={HV7}", [1, 2, 3, 17]),
    (f"?neighbor={HV8}", []),
    ("?family=ipv4", [1, 2, 3, 17]),
    ("?family=ipv6", []),
    ("?prefix=203.0.113.2", [2]),
    ("?prefix=203.0.113.2/32&match=exact", [2]),
    ("?prefix=203.0.113.0/28", []),
    ("?prefix=203.0.113.0/28&match=covered", [1, 2, 3]),
    ("?prefix=203.0.113.0/24&match=covered&verdict=rejected", [17]),
    ("?prefix=203.0.113.0/28&match=exact", []),
    ("?prefix=2001:db8::/32&match=covered", []),
]


@pytest.mark.parametrize(("query", "wanted"), FILTERS)
async def test_filters_have_all_to_hold(bench: Bench, query: str, wanted: list[int]) -> None:
    async with bench.client() as client:
        found = (await client.get(f"/api/v1/routes{query}"))["routes"]
    assert [route["prefix"] for route in found] == [f"203.0.113.{n}/32" for n in wanted]


async def test_covering_finds_less_specific_routes(bench: Bench) -> None:
    bench.announces(HV7, 65007, "203.0.113.0/28", "0.0.0.0/0")
    async with bench.client() as client:
        found = (await client.get("/api/v1/routes?prefix=203.0.113.1"))["routes"]
    assert [route["prefix"] for route in found] == [
        "203.0.113.1/32",
        "203.0.113.0/28",
        "0.0.0.0/0",
    ]


async def test_pages_have_each_route_once_whatever_comes_and_goes(bench: Bench) -> None:
    staying = [f"203.0.113.{n}/32" for n in range(1, 16)]
    bench.announces(HV7, 65007, *staying)
    seen: list[str] = []
    async with bench.client() as client:
        path, turn = "/api/v1/routes?limit=2", 0
        while path:
            page = await client.get(path)
            assert len(page["routes"]) <= 2
            seen += [route["prefix"] for route in page["routes"]]
            path = f"/api/v1/routes?limit=2&cursor={page['next']}" if page["next"] else ""
            turn += 1
            bench.announces(HV8, 65008, f"203.0.113.{16 + turn}/32")
            if turn == 3:
                bench.feed(state(HV8, 65008, "down"))
    assert [prefix for prefix in seen if prefix in staying] == [*OWN, *staying[3:]]


async def test_all_routes_are_returned_as_a_stream(bench: Bench) -> None:
    bench.announces(HV7, 65007, *(f"198.18.{n >> 8}.{n & 255}/32" for n in range(1000)))
    async with bench.client() as client:
        answer = await client.http.get("/api/v1/routes", headers={"Accept": NDJSON})
        lines = (await answer.read()).splitlines()
    assert answer.content_type == NDJSON
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    found = [json.loads(line)["prefix"] for line in lines]
    assert len(found) == 1004
    assert found[:3] == OWN


@pytest.mark.parametrize("path", ["203.0.113.17/32", "203.0.113.17%2F32", "203.0.113.17"])
async def test_a_route_has_its_story(bench: Bench, path: str) -> None:
    async with bench.client() as client:
        answer = await client.get(f"/api/v1/routes/{path}")
    (story,) = answer["routes"]
    assert story["route"]["verdict"] == "rejected"
    bad = [check for check in story["checks"] if not check["is_good"]]
    assert [check["check"] for check in bad] == ["origin"]
    assert bad[0]["reasons"][0]["name"] == "origin_invalid_asn"
    assert bad[0]["reasons"][0]["euro_ix"] == 13
    assert story["announced"] == []
    assert story["origin"] == "igp"


async def test_a_story_has_what_routers_get_and_the_last_record(bench: Bench) -> None:
    async with bench.client() as client:

        async def shown() -> list[dict[str, object]]:
            answer = await client.get(f"/api/v1/routes/{OWN[0]}")
            assert answer["routes"][0]["announced"] == [
                {
                    "routers": "leaves",
                    "path_id": 0,
                    "next_hop": HV7,
                    "as_path": "65007",
                    "med": None,
                    "communities": [],
                    "is_best": True,
                }
            ]
            records: list[dict[str, object]] = answer["audit"]
            return records

        async with asyncio.timeout(DEADLINE_S):
            while not (records := await shown()):
                await asyncio.sleep(0.01)
    assert [(r["event"], r["verdict"], r["prefix"]) for r in records] == [
        ("verdict", "accepted", OWN[0])
    ]


async def test_a_stale_route_has_the_time_of_its_end(bench: Bench) -> None:
    bench.feed(state(HV7, 65007, "down", "hold timer"))
    async with bench.client() as client:
        (story,) = (await client.get(f"/api/v1/routes/{OWN[0]}"))["routes"]
        counts = (await client.get("/api/v1/status"))["routes"]
    assert story["route"]["stale"] is True
    assert story["stale_until"] > "2020"
    assert counts["stale"] == 3


async def test_the_audit_log_can_be_queried(bench: Bench) -> None:
    async with bench.client() as client:

        async def found() -> list[int]:
            answer = await client.get("/api/v1/audit?reason=origin_invalid_asn&since=1h")
            return [record["prefix"] for record in answer["records"]]

        async with asyncio.timeout(DEADLINE_S):
            while not (prefixes := await found()):
                await asyncio.sleep(0.01)
        assert prefixes == ["203.0.113.17/32"]
        answer = await client.get("/api/v1/audit?event=verdict&limit=2")
        assert [r["prefix"] for r in answer["records"]] == ["203.0.113.3/32", "203.0.113.17/32"]
        assert await client.get("/api/v1/audit?until=2020-01-01") == {"records": []}


async def test_an_audit_log_that_is_not_there_yet_has_no_records(bench: Bench) -> None:
    nowhere = bench.config.audit.directory / "nothing here"
    object.__setattr__(bench.config.audit, "directory", nowhere)
    async with bench.client() as client:
        assert await client.get("/api/v1/audit") == {"records": []}


async def test_truth_returns_what_is_in_force(bench: Bench) -> None:
    async with bench.client() as client:
        answer = await client.get("/api/v1/truth")
    assert (answer["mode"], answer["problems"]) == ("authoritative", [])
    assert answer["in_force"]["hosts"] == 2
    assert answer["in_force"]["metadata"] == {"revision": "3f2a1c"}


# Refusals ----------------------------------------------------------------------------------------

WRONG = [
    ("/api/v1/nothing", 404, "not_found"),
    ("/api/v1/rtr", 404, "not_configured"),
    ("/api/v1/routes/192.0.2.77/32", 404, "no_route"),
    ("/api/v1/routes?nothing=1", 400, "bad_request"),
    ("/api/v1/routes?limit=0", 400, "bad_request"),
    ("/api/v1/routes?limit=1001", 400, "bad_request"),
    ("/api/v1/routes?limit=1&limit=2", 400, "bad_request"),
    ("/api/v1/routes?verdict=maybe", 400, "bad_request"),
    ("/api/v1/routes?reason=because", 400, "bad_request"),
    ("/api/v1/audit?reason=because", 400, "bad_request"),
    ("/api/v1/audit?event=session_dwon", 400, "bad_request"),
    ("/api/v1/routes?prefix=203.0.113.1/24", 400, "bad_request"),
    ("/api/v1/routes?prefix=x", 400, "bad_request"),
    ("/api/v1/routes?neighbor=hv7", 400, "bad_request"),
    ("/api/v1/routes?cursor=-1", 400, "bad_request"),
    ("/api/v1/routes?cursor=²", 400, "bad_request"),
    ("/api/v1/routes?asn=4294967296", 400, "bad_request"),
    (f"/api/v1/routes?neighbor={'1' * 300}", 400, "bad_request"),
    ("/api/v1/routes/x", 400, "bad_request"),
    ("/api/v1/routes/203.0.113.1/x", 400, "bad_request"),
    ("/api/v1/audit?since=someday", 400, "bad_request"),
    ("/api/v1/audit?prefix=203.0.113.1/24", 400, "bad_request"),
    ("/api/v1/events?kinds=weather", 400, "bad_request"),
    ("/api/v1/status?x=1", 400, "bad_request"),
    ("/api/v1/drain", 405, "method_not_allowed"),
]


@pytest.mark.parametrize(("path", "status", "error"), WRONG)
async def test_all_errors_have_one_form(bench: Bench, path: str, status: int, error: str) -> None:
    async with bench.client() as client:
        answer = await client.get(path, status)
    assert answer["error"] == error
    assert isinstance(answer["detail"], str)
    assert answer.keys() <= {"error", "detail", "pointer"}


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        (
            "/api/v1/neighbors?grup=x",
            "grup: this takes no such parameter; it takes role, group, host, state",
        ),
        ("/api/v1/status?x=1", "x: this takes no such parameter"),
    ],
)
async def test_the_error_of_a_misspelt_parameter_lists_the_known_ones(
    bench: Bench, path: str, detail: str
) -> None:
    async with bench.client() as client:
        assert (await client.get(path, 400))["detail"] == detail


async def test_a_defect_is_logged_and_its_response_has_no_detail(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(routes, "route_shape", lambda *_: 1 / 0)
    async with bench.client() as client:
        answer = await client.get("/api/v1/routes", 500)
    assert answer == {"error": "failed", "detail": "rsfilter's log has the reason"}
    assert "ZeroDivisionError" in caplog.text


# Security ----------------------------------------------------------------------------------------

HOSTS = [
    ("127.0.0.1:8480", 200),
    ("127.0.0.1", 200),
    ("[::1]:8480", 200),
    ("192.0.2.100:8480", 200),
    ("localhost:8480", 200),
    ("evil.example:8480", 421),
    ("evil.example", 421),
    ("localhost.evil.example", 421),
    ("127.0.0.1.evil.example", 421),
    ("[evil.example]", 421),
    ("evil.example:127.0.0.1", 421),
    ("a b", 421),
    (":8480", 421),
]


@pytest.mark.parametrize(("host", "status"), HOSTS)
async def test_only_addresses_and_localhost_are_hosts(bench: Bench, host: str, status: int) -> None:
    async with bench.client() as client:
        answer = await client.http.get("/healthz", headers={"Host": host})
        assert answer.status == status


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/api/v1/routes", "/nothing"])
async def test_every_answer_is_fenced(bench: Bench, path: str) -> None:
    async with bench.client() as client:
        answer = await client.http.get(path, headers={"Origin": "http://evil.example"})
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Server"] == "rsfilter"
    assert "Access-Control-Allow-Origin" not in answer.headers
    if path != "/nothing":
        assert answer.headers["Cache-Control"] == "no-store"


STATE_CHANGING = ["/api/v1/guard/release", "/api/v1/drain", "/api/v1/truth/reload"]


@pytest.mark.parametrize("path", STATE_CHANGING)
@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], f"{TOKEN}x", "ü"])
async def test_nothing_changes_without_the_token(
    bench: Bench, path: str, token: str | None
) -> None:
    async with bench.client() as client:
        answer = await client.request(path, {"on": True}, token=token)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert (bench.requested, bench.released) == ([], [])


async def test_without_a_token_file_nothing_can_be_changed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, CONFIG.partition("[http]")[0])
    async with bench.client() as client:
        answer = await client.post("/api/v1/drain", {"on": True}, status=403)
    assert answer["error"] == "no_token"
    assert "token_file" in answer["detail"]


async def test_another_token_holds_at_once_and_is_never_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    file = bench.config.http.token_file
    assert file is not None
    async with bench.client() as client:
        await client.post("/api/v1/drain", {"on": True})
        file.write_text("another token, long enough")
        file.chmod(0o644)
        await client.post("/api/v1/drain", {"on": False}, status=401)
        await client.post("/api/v1/drain", {"on": False}, token="another token, long enough")
        file.write_text("short")
        await client.post("/api/v1/drain", {"on": False}, token="short", status=403)
        file.unlink()
        await client.post("/api/v1/drain", {"on": False}, status=403)
    assert "all users of this machine can read it" in caplog.text
    for secret in (TOKEN, "another token", "short"):
        assert secret not in caplog.text.replace(str(file), "")


BODIES = [
    (b"", 400, ""),
    (b"{", 400, ""),
    (b"[]", 400, ""),
    (b'{"on":"yes"}', 400, "/on"),
    (b'{"on":true,"off":true}', 400, ""),
    (b'{"on":true' + b" " * 5000 + b"}", 413, None),
    (b"\xff\xfe", 400, ""),
]


@pytest.mark.parametrize(("body", "status", "pointer"), BODIES)
async def test_a_body_is_taken_as_it_should_be_or_not_at_all(
    bench: Bench, body: bytes, status: int, pointer: str | None
) -> None:
    async with bench.client() as client:
        answer = await client.post("/api/v1/drain", body, status=status)
    assert answer.get("pointer") == pointer
    assert bench.requested == []


async def test_a_request_without_a_host_is_refused_without_a_dns_query(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getfqdn", lambda *_: pytest.fail("asked"))
    async with bench.client() as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.http.port)
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"421"
        writer.close()


ASK = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def test_idle_connections_make_room_and_are_closed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """Clients with an earlier request count too, if the next one never becomes whole."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(server, "FIRST_REQUEST_S", 0.5)
    monkeypatch.setattr(server, "KEEPALIVE_S", 0.5)
    async with served(bench, unused_tcp_port) as address:
        open_ones = [await asyncio.open_connection(*address) for _ in range(3)]
        for reader, writer in open_ones[1:]:
            writer.write(ASK)
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        for _, writer in open_ones:
            writer.write(b"GET /healthz HTTP/1.1\r\n")  # and never sends more
        reader, writer = await asyncio.open_connection(*address)
        writer.write(ASK)
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()
        for reader, writer in open_ones:
            await reader.read()
            writer.close()


async def test_too_many_connections_that_are_in_use_are_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    async with served(bench, unused_tcp_port) as address:
        listening = [await asyncio.open_connection(*address) for _ in range(2)]
        for reader, writer in listening:
            writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        refused, its_writer = await asyncio.open_connection(*address)
        assert await refused.read() == b""
        for writer in (its_writer, *(writer for _, writer in listening)):
            writer.close()


async def test_who_does_not_read_an_answer_holds_no_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr("rsfilter.web.responses.WRITE_TIMEOUT_S", 0.3)
    request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    async with served(bench, unused_tcp_port) as address:
        _, deaf = await asyncio.open_connection(*address, limit=1)
        deaf.write(request * 1000)
        async with asyncio.timeout(DEADLINE_S):
            while not await is_answered(address):
                await asyncio.sleep(0.05)
        deaf.close()


async def test_a_client_that_disconnects_frees_its_place(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """Others need the place before the next sign of life is due."""
    monkeypatch.setattr("rsfilter.web.handlers.events.HEARTBEAT_S", 600.0)
    async with served(bench, unused_tcp_port) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await reader.readuntil(b"retry: 5000")
        assert len(bench.api.events.clients) == 1
        writer.close()
        async with asyncio.timeout(DEADLINE_S):
            while bench.api.events.clients:
                await asyncio.sleep(0.01)


async def is_answered(address: tuple[str, int]) -> bool:
    """The server takes another connection, and answers."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    line = b""
    with suppress(ConnectionError):
        line = await reader.readline()
    writer.close()
    return line == b"HTTP/1.1 200 OK\r\n"


async def test_what_cannot_be_parsed_is_not_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture, unused_tcp_port: int
) -> None:
    """A refused header may hold a token."""
    async with served(bench, unused_tcp_port) as address:
        for request in (
            b"GET / HTTP/1.1\r\nAuthorization: Bearer secret\x00\r\n\r\n",
            b"secret / HTTP/1.1\r\n\r\n",
            b"GET /" + b"secret" * 2000 + b" HTTP/1.1\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(request)
            assert (await reader.readline()).split()[1] == b"400"
            writer.close()
    assert "secret" not in caplog.text


@asynccontextmanager
async def served(bench: Bench, port: int) -> AsyncIterator[tuple[str, int]]:
    """The whole server, as the service runs it; where it listens."""
    listen = bench.config.http.listen._replace(port=port)
    object.__setattr__(bench.config.http, "listen", listen)
    await bench.server.start()
    async with asyncio.timeout(DEADLINE_S):
        while bench.server.address is None:
            await asyncio.sleep(0.01)
        yield bench.server.address
    await bench.server.stop()
    bench.running.audit.close(5)


# Expected and absent -----------------------------------------------------------------------------


async def test_neighbors_have_who_is_expected_who_is_absent_and_why_one_is_down(
    tmp_path: Path,
) -> None:
    truth = {
        "hosts": [
            {"name": "hv7", "asn": 65007, "neighbors": [HV7], "prefixes": ["203.0.113.9/32"]},
            {"name": "hv8", "asn": 65008, "neighbors": [HV8], "prefixes": []},
        ]
    }
    bench = Bench(tmp_path, truth=truth)
    bench.feed(state(ROUTER, 65200, "up"), state(HV7, 65007, "up"))
    bench.feed(state(HV7, 65007, "down", "hold timer"), state(HV7, 65007, "up"))
    async with bench.client() as client:
        answer = await client.get("/api/v1/neighbors?role=host")
        assert [
            (n["neighbor"], n["state"], n["is_expected"], n["flaps"], n["reason"])
            for n in answer["neighbors"]
        ] == [(HV7, "up", True, 1, "hold timer"), (HV8, "expected", True, 0, "")]
        assert answer["absent_prefixes"] == []
        bench.later(CHECK_S)
        bench.later(301)
        bench.later(301)
        answer = await client.get("/api/v1/neighbors?host=hv8")
        assert [(n["host"], n["state"], n["asn"]) for n in answer["neighbors"]] == [
            ("hv8", "absent", 65008)
        ]
        (prefix,) = answer["absent_prefixes"]
        assert (prefix["host"], prefix["prefix"]) == ("hv7", "203.0.113.9/32")
        assert len((await client.get("/api/v1/neighbors?state=absent"))["neighbors"]) == 1
        status = await client.get("/api/v1/status")
        warnings = {w["name"]: w["detail"] for w in status["health"]["warnings"]}
        metrics = await (await client.http.get("/metrics")).text()
    assert status["health"]["status"] == "ok"
    assert warnings["hosts_absent"] == f"1 host session absent, expected by truth: hv8 ({HV8})"
    assert warnings["prefixes_absent"] == (
        "1 prefix absent, expected by truth: 203.0.113.9/32 of hv7"
    )
    assert (status["expected"]["absent_hosts"], status["expected"]["absent_prefixes"]) == (1, 1)
    assert status["expected"]["first_hosts"][0]["host"] == "hv8"
    for line in ("expected_hosts 2.0", "absent_hosts 1.0", "absent_prefixes 1.0"):
        assert f"\nrsfilter_{line}\n" in metrics


async def test_an_absent_host_has_the_same_state_everywhere(tmp_path: Path) -> None:
    """Its session was lost: it is down at first, and then absent, in every answer."""
    hv8 = {"name": "hv8", "asn": 65008, "neighbors": [HV8], "prefixes": ["203.0.113.8/32"]}
    bench = Bench(tmp_path, truth={"hosts": [hv8]})
    bench.feed(state(HV8, 65008, "up"), state(HV8, 65008, "down", "hold timer"))
    async with bench.client() as client:
        for shown, down in (("down", 1), ("absent", 0)):
            if shown == "absent":
                bench.later(CHECK_S)
                bench.later(301)
                bench.later(301)
            (neighbor,) = (await client.get("/api/v1/neighbors?host=hv8"))["neighbors"]
            (owner,) = (await client.get("/api/v1/routes/203.0.113.8"))["owners"]
            status = await client.get("/api/v1/status")
            assert neighbor["state"] == shown
            assert owner["sessions"] == [{"neighbor": HV8, "state": shown, "is_up": False}]
            assert status["sessions"]["hosts_down"] == down
            assert len(status["sessions"]["first_down"]) == down
            assert status["expected"]["absent_hosts"] == 1 - down


async def test_a_host_that_exabgp_no_longer_has_is_not_down(bench: Bench) -> None:
    bench.feed(state(HV8, 65008, "up"), state(HV8, 65008, "down", "stop, message [removed]"))
    async with bench.client() as client:
        status = await client.get("/api/v1/status")
        everybody = (await client.get("/api/v1/neighbors"))["neighbors"]
    assert status["sessions"]["hosts_down"] == 0
    assert [(n["neighbor"], n["state"]) for n in everybody if n["neighbor"] == HV8] == [
        (HV8, "expected")  # by truth, as long as that names it
    ]


async def test_routes_have_med_communities_best_and_are_found_by_host(bench: Bench) -> None:
    async with bench.client() as client:
        mine = (await client.get("/api/v1/routes?host=hv7"))["routes"]
        assert (await client.get("/api/v1/routes?host=hv8"))["routes"] == []
    assert [(r["prefix"], r["is_best"]) for r in mine] == [
        *((prefix, True) for prefix in OWN),
        ("203.0.113.17/32", False),
    ]


@pytest.mark.parametrize("asn", ["65007", "AS65007", "as65007"])
async def test_an_asn_is_a_number_or_has_as_before_it(bench: Bench, asn: str) -> None:
    async with bench.client() as client:
        assert len((await client.get(f"/api/v1/routes?asn={asn}"))["routes"]) == 4


async def test_errors_describe_in_words_what_a_parameter_takes(bench: Bench) -> None:
    async with bench.client() as client:
        for query, detail in (
            ("asn=hv7", "asn: 'hv7' is not an ASN such as 65001 or AS65001"),
            ("limit=0", "limit: '0' is not an integer from 1 to 1000"),
            ("verdict=no", "verdict: 'no' is not one of accepted, held, rejected"),
            (
                "prefix=" + "1" * 201,
                "prefix: a text of 201 is not a text of at most 200 characters",
            ),
        ):
            assert (await client.get(f"/api/v1/routes?{query}", 400))["detail"] == detail
