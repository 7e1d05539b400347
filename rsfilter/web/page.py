"""The page at `/`: static files that talk to the API. No build step, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from aiohttp import hdrs, web

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain",
}

VENDOR = "vendor"
"""The directory of what others wrote: docs/dependencies.md lists it."""


def _files(place: Traversable, before: str = "") -> Iterator[tuple[str, bytes]]:
    for file in place.iterdir():
        if file.name.endswith(tuple(TYPES)):
            yield before + file.name, file.read_bytes()


_STATIC = files("rsfilter.web").joinpath("static")

FILES = dict(_files(_STATIC)) | dict(_files(_STATIC.joinpath(VENDOR), f"{VENDOR}/"))
"""Files by name. No other file is served: no path of a request reaches the file system."""


def add_to(app: web.Application) -> None:
    """Serves the page beside the API."""
    app.router.add_get("/", _index)
    app.router.add_get("/static/{name:.+}", _file)


async def _index(_request: web.Request) -> web.Response:
    return _respond("index.html")


async def _file(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in FILES:
        raise web.HTTPNotFound
    return _respond(name)


def _respond(name: str) -> web.Response:
    kind = TYPES[name[name.rindex(".") :]]
    headers = {hdrs.CACHE_CONTROL: "no-cache"}  # an upgrade must show at once
    return web.Response(body=FILES[name], content_type=kind, charset="utf-8", headers=headers)
