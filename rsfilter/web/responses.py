"""Values to HTTP answers: JSON from typed values only."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from aiohttp import web

from rsfilter.web.requests import ApiError

if TYPE_CHECKING:
    from zlib import _Compress

encode = msgspec.json.Encoder().encode

WRITE_TIMEOUT_S = 30.0
"""A client that takes nothing for this long has gone, or is holding the connection."""

GZIP = zlib.MAX_WBITS | 16
"""gzip (RFC 1952), as `zlib` spells it."""

PACK_LEVEL = 1
"""Level of compression: a list of routes becomes 20 times smaller, and higher levels cost more than
the routes themselves."""

JSON = "application/json"
NDJSON = "application/x-ndjson"


def respond(answer: msgspec.Struct, status: int = 200) -> web.Response:
    """An answer as JSON."""
    return web.Response(body=encode(answer), status=status, content_type=JSON)


@asynccontextmanager
async def stream(
    request: web.Request, content_type: str, *, may_compress: bool = False
) -> AsyncIterator[Stream]:
    """An answer without a known end. Whatever fails after its beginning cuts the connection: a
    second answer would read like more of the first. A client that has gone ends it, and is no
    failure: its exception would refer to its own frames, with all that waited for the client, and
    such cycles are hardly ever collected here (`service.COLLECTOR`). `may_compress`: gzip for a
    client that takes it."""
    response = web.StreamResponse()
    response.content_type = content_type
    packer = None
    if may_compress and "gzip" in request.headers.get("Accept-Encoding", ""):
        packer = zlib.compressobj(PACK_LEVEL, wbits=GZIP)
        response.headers["Content-Encoding"] = "gzip"
    await response.prepare(request)
    try:
        destination = Stream(response, packer, is_empty=request.method == "HEAD")
        yield destination
        await destination.end()
    except ConnectionResetError:
        return
    except BaseException:
        if request.transport is not None:
            request.transport.abort()
        raise


class Stream(NamedTuple):
    """Destination of the parts of a response."""

    response: web.StreamResponse
    packer: _Compress | None = None
    is_empty: bool = False
    """True if the response has headers only (HEAD): a body would be read as the next response."""

    async def write(self, data: bytes) -> None:
        """The next part. TimeoutError when the client takes nothing any more."""
        await self._send(data if self.packer is None else self.packer.compress(data))

    async def end(self) -> None:
        """Send what the compression still holds back."""
        if self.packer is not None:
            await self._send(self.packer.flush())

    async def _send(self, data: bytes) -> None:
        if data and not self.is_empty:
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
