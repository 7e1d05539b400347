"""`/api/v1/openapi.json`: the OpenAPI 3.1 document, made of the table of endpoints."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from rsfilter import __version__
from rsfilter.web import schema as api_schema
from rsfilter.web import status_schema
from rsfilter.web.responses import JSON

if TYPE_CHECKING:
    from rsfilter.web.endpoints import Endpoint
    from rsfilter.web.parameters import Params

Json = dict[str, Any]


async def document(_api: object, _request: web.Request, _params: None) -> web.Response:
    """Return this description (OpenAPI 3.1)."""
    return web.Response(body=_encoded(), content_type=JSON)


@cache
def _encoded() -> bytes:
    return json.dumps(build()).encode()


def build() -> Json:
    """The whole document."""
    from rsfilter.web.endpoints import ENDPOINTS  # not above: this document is one of them

    types: list[Any] = [api_schema.Error]
    for endpoint in ENDPOINTS:
        body = endpoint.params if endpoint.method == "POST" else None
        types += (kind for kind in (endpoint.answer, body) if kind is not None)
    schemas, components = _renamed(
        msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    )
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, Json] = {}
    for endpoint in ENDPOINTS:
        operation = _operation(endpoint, schema_of)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "rsfilter", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _renamed(schemas: Any) -> Any:
    """Return schemas under their public names: `RouteJson` is the class's name alone, because
    `Route` is a class of the routing table."""
    return json.loads(json.dumps(schemas).replace('Json"', '"'))


def _operation(endpoint: Endpoint, schema_of: dict[Any, Json]) -> Json:
    content: Json = {media: {} for media in endpoint.media}
    if endpoint.answer is not None:
        content[JSON] = {"schema": schema_of[endpoint.answer]}
    error = {"content": {JSON: {"schema": schema_of[api_schema.Error]}}}
    responses: Json = {"200": {"description": "good", "content": content}}
    statuses = sorted({400, 401, 403, 421, 503, *endpoint.errors})
    for status in statuses:
        responses[str(status)] = {"description": _STATUSES[status], **error}
    if endpoint.answer is status_schema.Health:
        responses["503"] = {"description": "not good", "content": content}
    operation: Json = {
        "summary": (endpoint.handler.__doc__ or "").splitlines()[0],
        "operationId": _name(endpoint),
        "responses": responses,
    }
    if endpoint.needs_token:
        operation["security"] = [{"token": []}]
    if endpoint.takes_file:
        body: Json = {"schema": {"type": "object"}}
        operation["requestBody"] = {"required": True, "content": {JSON: body}}
    elif endpoint.params and endpoint.method == "POST":
        body = {"schema": schema_of[endpoint.params]}
        is_required = not endpoint.is_body_optional
        operation["requestBody"] = {"required": is_required, "content": {JSON: body}}
    elif endpoint.params:
        operation["parameters"] = _parameters(endpoint, endpoint.params)
    return operation


def _parameters(endpoint: Endpoint, kind: type[Params]) -> list[Json]:
    found = []
    _, components = msgspec.json.schema_components([kind])
    for name, of in components[kind.__name__]["properties"].items():
        is_path = f"{{{name}}}" in endpoint.path
        plain = [each for each in of.get("anyOf", [of]) if each != {"type": "null"}]
        found.append(
            {
                "name": name,
                "in": "path" if is_path else "query",
                "required": is_path,
                "schema": plain[0],
            }
        )
    return found


def _name(endpoint: Endpoint) -> str:
    words = endpoint.path.removeprefix("/api/v1").strip("/").replace("{", "by/").replace("}", "")
    return "_".join((endpoint.method.lower(), *words.replace(".", "/").split("/")))


_STATUSES = {
    400: "the request is invalid",
    401: "the token is missing or wrong",
    403: "a page of another site made the request, or no token is configured",
    404: "there is none",
    408: "the body came too slowly",
    409: "the configuration does not allow it",
    413: "the body is too large",
    415: "the body is not JSON",
    421: "Host is neither an address nor localhost",
    422: "the truth file is invalid",
    429: "too many at once; try again",
    503: "not now: too many at once, a disk does not answer, or the filter ends",
}
