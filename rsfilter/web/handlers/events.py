"""`/api/v1/events`: serves one client. What it gets is in `events`."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from rsfilter.web import parameters
from rsfilter.web.api import Api
from rsfilter.web.event_stream import KIND_NAMES, Listener
from rsfilter.web.requests import ApiError, bad_request
from rsfilter.web.responses import stream

MAX_CLIENTS = 20
"""Each costs time whenever something happens. A page has one."""

HEARTBEAT_S = 15.0
"""A comment when nothing happens: proxies close what is silent for a minute."""


async def events(
    api: Api, request: web.Request, params: parameters.EventsParams
) -> web.StreamResponse:
    """Stream live events."""
    kinds = frozenset(params.kinds.split(",")) if params.kinds else frozenset()
    if unknown := kinds.difference(KIND_NAMES):
        known = ", ".join(KIND_NAMES)
        raise bad_request(f"kinds: there is no {min(unknown)!r}; there are {known}")
    if len(api.events.clients) >= MAX_CLIENTS:
        raise ApiError(429, "busy", f"{MAX_CLIENTS} clients listen already")
    client = Listener(kinds)
    async with stream(request, "text/event-stream") as answer:
        api.events.clients.add(client)
        try:
            await answer.write(b"retry: 5000\n\n")
            while True:
                await answer.write(await _next(client))
                await api.reader.pause()
        finally:
            api.events.clients.discard(client)
    return answer.response


async def _next(client: Listener) -> bytes:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HEARTBEAT_S):
            return await client.take()
    return b": nothing new\n\n"
