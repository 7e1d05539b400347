"""Every route of the API, once: the server, the OpenAPI document and docs/api.md come from here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from msgspec import Struct

from rsfilter.web import (
    control,
    listening,
    openapi,
    routes,
    shapes,
    status,
    status_shapes,
    story,
    validity,
)
from rsfilter.web.answers import NDJSON

Handler = Callable[[Any, Any, Any], Awaitable[Any]]


class Endpoint(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    """(api, request, what was asked) -> a structure, or a response of its own. Its docstring is
    the summary."""
    answer: type[Struct] | None = None
    """None: not JSON; see `media`."""
    asked: type[shapes.Asked] | None = None
    """From path and query, or for POST from the body."""
    needs_token: bool = False
    media: tuple[str, ...] = ()
    """Further content types of the answer."""
    errors: tuple[int, ...] = ()
    """Statuses beyond those that every endpoint can have."""
    takes_file: bool = False
    """The body is a truth file."""


ENDPOINTS = (
    Endpoint("GET", "/healthz", status.healthz, status_shapes.Health, errors=(503,)),
    Endpoint("GET", "/readyz", status.readyz, status_shapes.Health, errors=(503,)),
    Endpoint("GET", "/metrics", status.metrics, media=("text/plain",)),
    Endpoint("GET", "/api/v1/status", status.status, status_shapes.Status),
    Endpoint("GET", "/api/v1/neighbors", status.neighbors, shapes.Neighbors, shapes.NeighborsAsked),
    Endpoint(
        "GET", "/api/v1/routes", routes.routes, shapes.Routes, shapes.RoutesAsked, media=(NDJSON,)
    ),
    Endpoint(
        "GET",
        "/api/v1/routes/{prefix}",
        story.story,
        shapes.RouteStories,
        shapes.PrefixAsked,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/routes/{address}/{length}",
        story.story,
        shapes.RouteStories,
        shapes.PrefixPartsAsked,
        errors=(404,),
    ),
    Endpoint(
        "GET", "/api/v1/audit", status.audit, shapes.AuditRecords, shapes.AuditAsked, errors=(503,)
    ),
    Endpoint("GET", "/api/v1/truth", status.truth, status_shapes.Truth, errors=(404,)),
    Endpoint("GET", "/api/v1/rtr", status.rtr, status_shapes.Rtr, errors=(404,)),
    Endpoint(
        "GET",
        "/api/v1/validity/{asn}/{prefix}",
        validity.validity,
        shapes.ValidityAnswer,
        shapes.ValidityAsked,
        errors=(503,),
    ),
    Endpoint(
        "GET",
        "/api/v1/validity/{asn}/{address}/{length}",
        validity.validity,
        shapes.ValidityAnswer,
        shapes.ValidityPartsAsked,
        errors=(503,),
    ),
    Endpoint(
        "GET",
        "/api/v1/events",
        listening.events,
        asked=shapes.EventsAsked,
        media=("text/event-stream",),
        errors=(429,),
    ),
    Endpoint("GET", "/api/v1/openapi.json", openapi.document, media=("application/json",)),
    Endpoint(
        "POST",
        "/api/v1/impact",
        control.impact,
        shapes.Impact,
        takes_file=True,
        errors=(409, 413, 415, 422, 429),
    ),
    Endpoint(
        "POST",
        "/api/v1/guard/release",
        control.release_guard,
        shapes.GuardReleased,
        needs_token=True,
    ),
    Endpoint(
        "POST",
        "/api/v1/drain",
        control.drain,
        status_shapes.DrainStatus,
        shapes.DrainWanted,
        needs_token=True,
        errors=(413,),
    ),
    Endpoint(
        "POST",
        "/api/v1/truth/reload",
        control.reload_truth,
        status_shapes.Truth,
        needs_token=True,
        errors=(409, 422),
    ),
)
