"""The HTTP server: one entrance for every request, never in the filter's way.

Listens on a unix socket for commands, and on TCP, by default on loopback. Input is bounded
(connections, headers, bodies, time), and requests made by another site's page are refused
(`same_site`). There is no CORS, and headers of every response forbid framing, sniffing and, for the
API, storing. A taken port, or a socket that cannot be created, is logged as an error and retried;
it never ends the filter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from rsfilter.audit.record import Auditable
from rsfilter.util import local_socket
from rsfilter.util.local_socket import LocalSocket, is_local
from rsfilter.util.threads import on_own_thread
from rsfilter.web import birdwatcher, bounds, page, parameters, tls
from rsfilter.web.api import Api
from rsfilter.web.connections import FIRST_REQUEST_S, KEEPALIVE_S, SilentConnections
from rsfilter.web.context import Running
from rsfilter.web.endpoints import ENDPOINTS, LOOKING_GLASS, Endpoint
from rsfilter.web.handlers import events as event_handler
from rsfilter.web.requests import ApiError, bad_request
from rsfilter.web.responses import respond, respond_error, send
from rsfilter.web.same_site import check_host, check_site

log = logging.getLogger(__name__)

_nothing = logging.getLogger(f"{__name__}.requests")
_nothing.setLevel(logging.CRITICAL)
"""aiohttp would log unparseable input, which may contain a token and has no bound."""

MAX_CONNECTIONS = 100
"""Some pages, a Prometheus or two and people's tools need a tenth of it."""

MAX_SMALL_BODY = 4096
"""Octets of any other body."""

RETRY_S = 5.0
"""Seconds between attempts to listen."""

STOP_TIMEOUT_S = 0.2
"""Seconds for responses in progress at the end: ExaBGP does not wait."""

UNSTORED = ("/api/", f"{birdwatcher.ROOT}/", "/healthz", "/readyz", "/metrics")
"""Beginnings of the paths whose responses no cache may store."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "rsfilter",
}


class WebServer:
    """Serves one running filter."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.api = Api(running)
        self.address: tuple[str, int] | None = None
        """Address and port where it listens; None if it does not."""
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    # Calls from the service --------------------------------------------------------------------

    def publish(self, at: float, events: Sequence[Auditable]) -> None:
        """Publish events audited at `at`, seconds since the epoch."""
        self.api.metrics.count(events)
        self.api.events.publish(at, events)

    # The server --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listens as soon as the address is free."""
        self._token_check = asyncio.create_task(
            on_own_thread(self.api.token.log_problem), name="token"
        )
        self._watch = asyncio.create_task(self.api.watch.run(), name="health watch")
        self._task = asyncio.create_task(self._run(), name="web server")

    async def stop(self) -> None:
        """Ends within `STOP_TIMEOUT_S`."""
        self.api.end_workers()
        tasks = [task for task in (self._task, self._watch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        runner = web.AppRunner(
            application(self.api),
            access_log=None,
            logger=_nothing,
            handle_signals=False,
            handler_cancellation=True,  # of who has gone: a query, a place among the listeners
            keepalive_timeout=KEEPALIVE_S,
            shutdown_timeout=STOP_TIMEOUT_S,
        )
        await runner.setup()
        try:
            await asyncio.gather(self._serve_tcp(runner), self._serve_socket(runner))
        finally:
            await runner.cleanup()

    async def _serve_tcp(self, runner: web.AppRunner) -> None:
        http = self.running.config.http
        certificate = await tls.Certificate.of(http)
        server = await self._listen(runner, certificate)
        self.address = server.sockets[0].getsockname()[:2]
        log.info("%s on %s", "HTTPS" if certificate else "HTTP", http.listen)
        try:
            await (certificate.keep_fresh() if certificate else asyncio.Event().wait())
        finally:
            self.address = None
            server.close()

    async def _serve_socket(self, runner: web.AppRunner) -> None:
        made = await self._local_socket()
        door = _Door(runner, self.api.silent, is_local=True)
        server = await asyncio.get_running_loop().create_server(door, sock=made.socket)
        log.info("commands on %s", made.path)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await on_own_thread(local_socket.remove, made)

    async def _local_socket(self) -> LocalSocket:
        """The socket, as soon as it can be made. On a thread: its directory may not answer."""
        path, watch = self.running.config.http.socket, self.api.watch
        while True:
            try:
                made = await on_own_thread(local_socket.listen, path, MAX_CONNECTIONS)
            except OSError as error:
                if (problem := f"{path}: {error.strerror}") != watch.socket_problem:
                    watch.socket_problem = problem
                    log.error(
                        "no socket for commands, trying again; commands need --url: %s", problem
                    )
                await asyncio.sleep(RETRY_S)
            else:
                watch.socket_problem = ""
                return made

    async def _listen(
        self, runner: web.AppRunner, certificate: tls.Certificate | None
    ) -> asyncio.Server:
        listen = self.running.config.http.listen
        loop = asyncio.get_running_loop()
        last = ""
        while True:
            try:
                return await loop.create_server(
                    _Door(runner, self.api.silent),
                    str(listen.address),
                    listen.port,
                    backlog=MAX_CONNECTIONS,
                    ssl=certificate.context if certificate else None,
                    ssl_handshake_timeout=FIRST_REQUEST_S if certificate else None,
                )
            except OSError as error:
                if (reason := str(error.strerror)) != last:
                    last = reason
                    log.error("HTTP: cannot listen on %s, trying again: %s", listen, reason)
            await asyncio.sleep(RETRY_S)


class _Door:
    """Factory of the protocol of each connection. If there are too many, an idle one is closed.
    Each listener has its own limit, so that many clients on TCP do not block the socket."""

    def __init__(
        self, runner: web.AppRunner, silent: SilentConnections, *, is_local: bool = False
    ) -> None:
        """`is_local`: of the unix socket."""
        self._silent = silent
        self._is_local = is_local
        assert runner.server is not None  # noqa: S101 - for the type checker: it was set up
        self._server = runner.server

    def __call__(self) -> asyncio.Protocol:
        here = sum(map(self._is_own, (each.transport for each in self._server.connections)))
        if here >= MAX_CONNECTIONS and not self._silent.make_room(self._is_own):
            return _Refused()
        protocol = self._server()
        self._silent.add(protocol, FIRST_REQUEST_S)
        return protocol

    def _is_own(self, transport: asyncio.BaseTransport | None) -> bool:
        return is_local(transport) == self._is_local


class _Refused(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


# Requests ----------------------------------------------------------------------------------------


def application(api: Api) -> web.Application:
    """The aiohttp application of every endpoint."""
    app = web.Application(client_max_size=bounds.MAX_OCTETS, middlewares=(_middleware(api),))
    has_glass = api.running.config.http.looking_glass
    for endpoint in ENDPOINTS + (LOOKING_GLASS if has_glass else ()):
        handler = _handler(api, endpoint)
        app.router.add_route(endpoint.method, endpoint.path, handler)
        if endpoint.method == "GET" and endpoint.handler is not event_handler.events:
            app.router.add_route("HEAD", endpoint.path, handler)
    page.add_to(app)
    app.on_response_prepare.append(_add_headers)
    return app


AioHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _middleware(api: Api) -> Any:
    @web.middleware
    async def middleware(request: web.Request, handler: AioHandler) -> web.StreamResponse:
        """Every answer passes here, and every failure becomes the one JSON shape."""
        api.silent.discard(request.protocol)
        try:
            if api.running.is_ending:
                raise ApiError(503, "ending", "the filter ends")
            check_host(request, api.running.config.http.allowed_hosts or ())
            check_site(request)
            await api.read_token.check(request)
            response = await handler(request)
        except ApiError as error:
            response = _failed(request, error)
        except web.HTTPException as error:
            response = _failed(request, _http_error(error))
        except TimeoutError:
            response = _failed(request, ApiError(408, "timeout", "the request came too slowly"))
        except (asyncio.CancelledError, ConnectionResetError):
            raise
        except Exception:
            log.exception("HTTP: %s failed", request.match_info.route.resource)
            response = _failed(request, ApiError(500, "failed", "rsfilter's log has the reason"))
        resource = request.match_info.route.resource
        api.metrics.answered(resource.canonical if resource else "", response.status)
        await send(request, response)
        api.silent.add(request.protocol, KEEPALIVE_S)
        return response

    return middleware


def _failed(request: web.Request, error: ApiError) -> web.Response:
    """Respond with an error, in the shape that the readers of the path take for one."""
    response = respond_error(error)
    if request.path.startswith(f"{birdwatcher.ROOT}/"):
        answer = error.answer
        response.body, response.content_type = birdwatcher.error_body(
            request.path, answer.error, answer.detail
        )
    return response


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of every response, streams too."""
    response.headers.update(HEADERS)
    if request.path.startswith(UNSTORED):
        response.headers["Cache-Control"] = "no-store"


def _http_error(error: web.HTTPException) -> ApiError:
    """Convert an error that aiohttp found."""
    allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    name = error.reason.lower().replace(" ", "_")
    return ApiError(error.status, name, error.reason, headers=allowed)


def _handler(api: Api, endpoint: Endpoint) -> AioHandler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if endpoint.needs_token:
            await api.token.check(request)
        params = await _params(request, endpoint)
        answer = await endpoint.handler(api, request, params)
        return answer if isinstance(answer, web.StreamResponse) else respond(answer)

    return handle


async def _params(request: web.Request, endpoint: Endpoint) -> Any:
    """Parse the parameters from path and query, or from the body. Raises ApiError 400 for unknown
    ones."""
    given: dict[str, str] = {}
    for name, value in (*request.match_info.items(), *request.query.items()):
        if name in given:
            raise bad_request(f"{name}: given twice")
        given[name] = value
    is_body = endpoint.method == "POST"
    known = () if is_body or endpoint.params is None else endpoint.params.__struct_encode_fields__
    for name in given:
        if name not in known:
            instead = f"; it takes {', '.join(known)}" if known else ""
            raise bad_request(f"{name}: this takes no such parameter{instead}")
    if endpoint.params is None:
        return None
    try:
        if is_body:
            return msgspec.json.decode(await _body(request, endpoint), type=endpoint.params)
        return parameters.parse(given, endpoint.params)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        place = place.rstrip("`").lstrip(".")
        if is_body:
            pointer = f"/{place}" if place else ""
            raise ApiError(400, "bad_request", message, pointer=pointer) from None
        raise bad_request(f"{place}: {message}" if place else message) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ApiError(400, "bad_request", f"not JSON: {error}", pointer="") from None


async def _body(request: web.Request, endpoint: Endpoint) -> bytes:
    is_empty = endpoint.is_body_optional and not request.body_exists
    return b"{}" if is_empty else await _small_body(request)


async def _small_body(request: web.Request) -> bytes:
    if request.content_type != "application/json":
        raise ApiError(415, "not_json", "send JSON as application/json")
    content = b""
    async with asyncio.timeout(FIRST_REQUEST_S):
        async for chunk in request.content.iter_any():
            content += chunk
            if len(content) > MAX_SMALL_BODY:
                raise ApiError(413, "too_large", f"this body has at most {MAX_SMALL_BODY} octets")
    return content
