"""Requests that a page of another site makes a browser send are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.web_bench import Bench

EVERYWHERE = ["/healthz", "/metrics", "/api/v1/routes", "/static/app.js", "/nothing"]

LINK = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
IMAGE = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "Same-Origin"])
@pytest.mark.parametrize("how", [LINK, IMAGE])
async def test_another_site_is_refused_everywhere(
    tmp_path: Path, path: str, site: str, how: dict[str, str]
) -> None:
    async with Bench(tmp_path).client() as client:
        answer = await client.http.get(path, headers={**how, "Sec-Fetch-Site": site})
        assert answer.status == 403
        response = await answer.json()
    assert response["error"] == "cross_site"
    assert "another site" in response["detail"]


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_our_own_page_and_a_typed_address_are_answered(tmp_path: Path, site: str) -> None:
    behind_a_proxy = {"Origin": "https://rs1.example", "Sec-Fetch-Site": site}
    async with Bench(tmp_path).client() as client:
        answer = await client.http.get("/api/v1/routes", headers=behind_a_proxy)
        assert answer.status == 200


ORIGINS = [
    ("http://127.0.0.1:8480", 200),
    ("http://127.0.0.1", 403),
    ("http://127.0.0.1:8481", 403),
    ("http://evil.example", 403),
    ("http://evil.example@127.0.0.1:8480", 403),
    ("null", 403),
    ("", 403),
    ("http://[", 403),
]


@pytest.mark.parametrize(("origin", "status"), ORIGINS)
async def test_without_fetch_metadata_the_origin_decides(
    tmp_path: Path, origin: str, status: int
) -> None:
    async with Bench(tmp_path).client() as client:
        headers = {"Host": "127.0.0.1:8480", "Origin": origin}
        assert (await client.http.get("/api/v1/routes", headers=headers)).status == status


@pytest.mark.parametrize(
    ("how", "status"),
    [
        (LINK, 200),
        (IMAGE, 403),
        ({**LINK, "Sec-Fetch-Dest": "iframe"}, 403),
        ({**LINK, "Sec-Fetch-Dest": "object"}, 403),
        ({"Sec-Fetch-Mode": "navigate"}, 403),
    ],
)
async def test_a_link_may_open_the_page_and_nothing_may_embed_it(
    tmp_path: Path, how: dict[str, str], status: int
) -> None:
    async with Bench(tmp_path).client() as client:
        headers = {**how, "Sec-Fetch-Site": "cross-site"}
        assert (await client.http.get("/", headers=headers)).status == status


@pytest.mark.parametrize("path", ["/api/v1/guard/release", "/api/v1/impact"])
async def test_a_form_of_another_site_changes_and_costs_nothing(tmp_path: Path, path: str) -> None:
    bench = Bench(tmp_path)
    async with bench.client() as client:
        headers = {"Host": "127.0.0.1:8480", "Origin": "http://evil.example"}
        answer = await client.http.post(path, data=b"{}", headers=headers)
        assert answer.status == 403
        assert (await answer.json())["error"] == "cross_site"
    assert bench.released == []
