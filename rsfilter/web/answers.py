"""Values to HTTP answers: JSON from typed values only."""

from __future__ import annotations

import msgspec
from aiohttp import web

from rsfilter.web.errors import ApiError

encode = msgspec.json.Encoder().encode

JSON = "application/json"
NDJSON = "application/x-ndjson"


def respond(answer: msgspec.Struct, status: int = 200) -> web.Response:
    """An answer as JSON."""
    return web.Response(body=encode(answer), status=status, content_type=JSON)


def respond_error(error: ApiError) -> web.Response:
    """A failed request."""
    response = respond(error.answer, error.status)
    response.headers.update(error.headers)
    return response
