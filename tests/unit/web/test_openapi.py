"""The OpenAPI document: true to the API, checked by a program that reads nothing else."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.web_bench import HV7, TOKEN, Bench

from rsfilter.web.endpoints import ENDPOINTS
from rsfilter.web.openapi import build
from rsfilter.web.server import application

DOCUMENT = build()

EXAMPLES = 15
"""Yield each operation."""


def fails_only_as_promised(ctx: Any, response: Any, case: Any) -> None:
    """No server error, but for "not now", with when to try again: workers are few, and a busy
    machine takes its time to end them."""
    if response.status_code != 503 or "retry-after" not in response.headers:
        not_a_server_error(ctx, response, case)


CHECKS = [
    fails_only_as_promised,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A filter with some routes, served from a thread of its own."""
    loop = asyncio.new_event_loop()
    bench = Bench(tmp_path_factory.mktemp("a site"))
    bench.announces(HV7, 65007, "203.0.113.1/32", "203.0.113.17/32", "198.18.0.0/33")
    runner = web.AppRunner(application(bench.api), access_log=None, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port: int = runner.addresses[0][1]
        return port

    port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    bench.running.audit.close(5)


async def test_the_document_is_served(tmp_path: Path) -> None:
    async with Bench(tmp_path).client() as client:
        assert await client.get("/api/v1/openapi.json") == json.loads(json.dumps(DOCUMENT))


def test_every_endpoint_is_in_it() -> None:
    listed = {(m.upper(), path) for path, of in DOCUMENT["paths"].items() for m in of}
    assert listed == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}


def test_requests_that_change_state_are_described_with_the_token() -> None:
    secured = {
        path
        for path, methods in DOCUMENT["paths"].items()
        if any("security" in operation for operation in methods.values())
    }
    assert secured == {
        "/api/v1/guard/release",
        "/api/v1/drain",
        "/api/v1/reload",
        "/api/v1/truth/reload",
    }


def test_every_reference_leads_somewhere() -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    for reference in references(DOCUMENT):
        assert reference.removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"]


schema = schemathesis.openapi.from_dict(DOCUMENT).exclude(path="/api/v1/events")  # never ends


OPERATIONS = [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_the_api_keeps_what_the_document_promises(
    operation: schemathesis.APIOperation, address: str
) -> None:
    """Each operation is a test with a name of its own: of equal names, only one would be run when
    the tests are distributed."""

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    def keeps(case: schemathesis.Case) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"} if case.path.endswith("release") else {}
        case.call_and_validate(base_url=address, checks=CHECKS, headers=headers)

    keeps()
