"""Access over TCP: names of hosts, the token for readers, HTTPS."""

from __future__ import annotations

import asyncio
import random
import ssl
import subprocess
from base64 import b64encode
from pathlib import Path

import aiohttp
import pytest
from lab.waiting import DEADLINE_S
from support.web_bench import CONFIG, TOKEN, Bench

READ_TOKEN = "read only, and long enough"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "read-token").write_text(READ_TOKEN)
    (tmp_path / "read-token").chmod(0o600)
    more = 'read_token_file = "read-token"\nallowed_hosts = ["rs1.example.net"]\n'
    return Bench(tmp_path, CONFIG + more)


def basic(password: str) -> str:
    return "Basic " + b64encode(f"anybody:{password}".encode()).decode()


READERS = [
    ("", 401),
    (f"Bearer {READ_TOKEN}", 200),
    (f"Bearer {TOKEN}", 200),
    (basic(READ_TOKEN), 200),
    (basic(TOKEN), 200),
    (basic(""), 401),
    ("Basic %%%", 401),
    ("Bearer read only, and long", 401),
]


@pytest.mark.parametrize(("authorization", "status"), READERS)
@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/api/v1/status"])
async def test_reading_takes_a_token_where_one_is_configured(
    bench: Bench, authorization: str, status: int, path: str
) -> None:
    async with bench.client() as client:
        headers = {"Authorization": authorization} if authorization else {}
        answer = await client.http.get(path, headers=headers)
        assert answer.status == status
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)


async def test_the_token_of_readers_changes_nothing(bench: Bench) -> None:
    async with bench.client() as client:
        for token, status in ((READ_TOKEN, 401), (TOKEN, 200)):
            headers = {"Authorization": f"Bearer {token}"}
            answer = await client.http.post("/api/v1/guard/release", headers=headers)
            assert answer.status == status


async def test_a_wrong_token_is_called_wrong_and_a_missing_one_missing(bench: Bench) -> None:
    async with bench.client() as client:
        for headers, words in (({}, "needs the token"), ({"Authorization": "Bearer x"}, "not the")):
            answer = await client.http.get("/api/v1/status", headers=headers)
            assert words in (await answer.json())["detail"]


@pytest.mark.parametrize(
    ("host", "status"),
    [("rs1.example.net", 200), ("RS1.example.net.:443", 200), ("rs2.example.net", 421)],
)
async def test_requests_for_allowed_hosts_are_answered(
    bench: Bench, host: str, status: int
) -> None:
    async with bench.client() as client:
        headers = {"Host": host, "Authorization": f"Bearer {READ_TOKEN}"}
        assert (await client.http.get("/api/v1/status", headers=headers)).status == status


# HTTPS -------------------------------------------------------------------------------------------


def certificate(place: Path, name: str) -> None:
    """A new key, and a certificate for 127.0.0.0/8 as this name."""
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN={name} -addext subjectAltName=DNS:localhost -keyout key.pem "
        f"-out cert.pem".split(),
        cwd=place,
        check=True,
        capture_output=True,
    )


def trusting(place: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(place / "cert.pem"))


async def test_https_waits_for_its_files_and_takes_renewed_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsfilter.web.tls.RETRY_S", 0.02)
    monkeypatch.setattr("rsfilter.web.tls.FRESH_S", 0.02)
    listen = f"127.78.{random.randint(0, 255)}.{random.randint(1, 254)}:8480"
    http = f'listen = "{listen}"\ntls_certificate = "cert.pem"\ntls_key = "key.pem"\n'
    bench = Bench(tmp_path, CONFIG + http)
    url = f"https://{listen}/api/v1/status"

    async def status() -> int:
        async with (
            asyncio.timeout(DEADLINE_S),
            aiohttp.ClientSession() as session,
        ):
            while True:
                try:
                    async with session.get(
                        url, ssl=trusting(tmp_path), server_hostname="localhost"
                    ) as answer:
                        return answer.status
                except aiohttp.ClientError:
                    await asyncio.sleep(0.02)

    await bench.server.start()
    try:
        await asyncio.sleep(0.1)
        assert bench.server.address is None  # and not HTTP in its place
        certificate(tmp_path, "first")
        assert await status() == 200
        certificate(tmp_path, "second")
        assert await status() == 200
    finally:
        await bench.server.stop()
        bench.running.audit.close(5)
