"""Values to HTTP answers: JSON from typed values only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from aiohttp import web

from rsfilter.web.requests import ApiError

encode = msgspec.json.Encoder().encode

WRITE_TIMEOUT_S = 30.0
"""A client that takes nothing for this long has gone, or is holding the connection."""

JSON = "application/json"
NDJSON = "application/x-ndjson"


def respond(answer: msgspec.Struct, status: int = 200) -> web.Response:
    """An answer as JSON."""
    return web.Response(body=encode(answer), status=status, content_type=JSON)


@asynccontextmanager
async def stream(request: web.Request, content_type: str) -> AsyncIterator[Stream]:
    """An answer without a known end. Whatever fails after its beginning cuts the connection: a
    second answer would read like more of the first. A client that has gone ends it, and is no
    failure: its exception would refer to its own frames, with all that waited for the client, and
    such cycles are hardly ever collected here (`service.COLLECTOR`)."""
    response = web.StreamResponse()
    response.content_type = content_type
    await response.prepare(request)
    try:
        yield Stream(response)
    except ConnectionResetError:
        return
    except BaseException:
        if request.transport is not None:
            request.transport.abort()
        raise


class Stream(NamedTuple):
    """Destination of the parts of a response."""

    response: web.StreamResponse

    async def write(self, data: bytes) -> None:
        """The next part. TimeoutError when the client takes nothing any more."""
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await self.response.write(data)


async def send(request: web.Request, response: web.StreamResponse) -> None:
    """The whole of an answer that is no stream: aiohttp would wait for ever for a client that does
    not read, and a hundred of those would be all that there may be."""
    if response.prepared:
        return
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()


def respond_error(error: ApiError) -> web.Response:
    """A failed request."""
    response = respond(error.answer, error.status)
    response.headers.update(error.headers)
    return response
