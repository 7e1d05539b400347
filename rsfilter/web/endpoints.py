"""Every route of the API, once: the server, the OpenAPI document and docs/api.md come from here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from msgspec import Struct

from rsfilter.audit.timeline import Timeline
from rsfilter.web import fleet_schema, openapi, parameters, schema, status_schema
from rsfilter.web.birdwatcher import ROOT
from rsfilter.web.birdwatcher_schema import StatusAnswer
from rsfilter.web.handlers import (
    audit,
    birdwatcher,
    control,
    events,
    fleet,
    neighbors,
    routes,
    status,
    story,
    validity,
)
from rsfilter.web.responses import NDJSON

Handler = Callable[[Any, Any, Any], Awaitable[Any]]


class Endpoint(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    """Function of (api, request, parameters) that returns a structure or a response. Its docstring
    is the summary."""
    answer: type[Struct] | None = None
    """Structure of the response; None for other content (`media`)."""
    params: type[parameters.Params] | None = None
    """Type of the parameters, from path and query, or for POST from the body."""
    needs_token: bool = False
    media: tuple[str, ...] = ()
    """Further content types of the answer."""
    errors: tuple[int, ...] = ()
    """Statuses beyond those that every endpoint can have."""
    is_body_optional: bool = False
    """True if a POST without a body selects the defaults."""
    takes_file: bool = False
    """The body is a truth file."""


ENDPOINTS = (
    Endpoint("GET", "/healthz", status.healthz, status_schema.Health, errors=(503,)),
    Endpoint("GET", "/readyz", status.readyz, status_schema.Health, errors=(503,)),
    Endpoint("GET", "/metrics", status.metrics, media=("text/plain",)),
    Endpoint("GET", "/api/v1/status", status.status, status_schema.Status),
    Endpoint(
        "GET",
        "/api/v1/neighbors",
        neighbors.neighbors,
        schema.NeighborsJson,
        parameters.NeighborsParams,
    ),
    Endpoint(
        "GET",
        "/api/v1/routes",
        routes.routes,
        schema.Routes,
        parameters.RoutesParams,
        media=(NDJSON,),
    ),
    Endpoint(
        "GET",
        "/api/v1/routes/{prefix}",
        story.story,
        schema.RouteStories,
        parameters.PrefixParams,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/routes/{address}/{length}",
        story.story,
        schema.RouteStories,
        parameters.PrefixPartsParams,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/audit",
        audit.audit,
        schema.AuditRecords,
        parameters.AuditParams,
        errors=(503,),
    ),
    Endpoint(
        "GET",
        "/api/v1/timeline",
        audit.timeline,
        Timeline,
        parameters.TimelineParams,
        errors=(503,),
    ),
    Endpoint("GET", "/api/v1/truth", status.truth, status_schema.TruthJson, errors=(404,)),
    Endpoint("GET", "/api/v1/rtr", status.rtr, status_schema.RtrJson, errors=(404,)),
    Endpoint("GET", "/api/v1/fleet", fleet.fleet, fleet_schema.Fleet, errors=(404,)),
    Endpoint(
        "GET",
        "/api/v1/validity/{asn}/{prefix}",
        validity.validity,
        schema.ValidityAnswer,
        parameters.ValidityParams,
        errors=(503,),
    ),
    Endpoint(
        "GET",
        "/api/v1/validity/{asn}/{address}/{length}",
        validity.validity,
        schema.ValidityAnswer,
        parameters.ValidityPartsParams,
        errors=(503,),
    ),
    Endpoint(
        "GET",
        "/api/v1/events",
        events.events,
        params=parameters.EventsParams,
        media=("text/event-stream",),
        errors=(429,),
    ),
    Endpoint("GET", "/api/v1/openapi.json", openapi.document, media=("application/json",)),
    Endpoint(
        "POST",
        "/api/v1/impact",
        control.impact,
        schema.ImpactJson,
        takes_file=True,
        errors=(401, 403, 408, 409, 413, 415, 422, 503),
    ),
    Endpoint(
        "POST",
        "/api/v1/guard/release",
        control.release_guard,
        schema.GuardReleasedJson,
        parameters.ReleaseWanted,
        needs_token=True,
        is_body_optional=True,
        errors=(404, 413),
    ),
    Endpoint(
        "POST",
        "/api/v1/drain",
        control.drain,
        status_schema.DrainStatus,
        parameters.DrainWanted,
        needs_token=True,
        errors=(413, 503),
    ),
    Endpoint(
        "POST",
        "/api/v1/reload",
        control.reload,
        schema.Reloaded,
        parameters.ReloadWanted,
        needs_token=True,
        errors=(413, 422),
    ),
    Endpoint(
        "POST",
        "/api/v1/truth/reload",
        control.reload_truth,
        status_schema.TruthJson,
        needs_token=True,
        errors=(409, 422),
    ),
)


_NEIGHBOR, _TABLE = parameters.BirdNeighborParams, parameters.BirdTableParams

LOOKING_GLASS = (
    Endpoint("GET", f"{ROOT}/status", birdwatcher.status, StatusAnswer, parameters.BirdParams),
    Endpoint("GET", f"{ROOT}/protocols/bgp", birdwatcher.protocols, params=parameters.BirdParams),
    Endpoint(
        "GET", f"{ROOT}/protocols/short", birdwatcher.protocols_short, params=parameters.BirdParams
    ),
    Endpoint("GET", f"{ROOT}/routes/protocol/{{id}}", birdwatcher.accepted, params=_NEIGHBOR),
    Endpoint("GET", f"{ROOT}/routes/filtered/{{id}}", birdwatcher.filtered, params=_NEIGHBOR),
    Endpoint("GET", f"{ROOT}/routes/noexport/{{id}}", birdwatcher.withheld, params=_NEIGHBOR),
    Endpoint("GET", f"{ROOT}/routes/table/{{table}}", birdwatcher.table, params=_TABLE),
    Endpoint(
        "GET", f"{ROOT}/routes/table/{{table}}/filtered", birdwatcher.table_filtered, params=_TABLE
    ),
)
"""The birdwatcher API, served if it is configured. Not part of the OpenAPI document: its contract
is birdwatcher's."""
