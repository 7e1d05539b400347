"""Answer `GET /api/v1/audit` and `/api/v1/timeline`."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from aiohttp import web

from rsfilter.audit.record import EVENTS
from rsfilter.routing.reasons import REASONS
from rsfilter.web import parameters, schema
from rsfilter.web.api import Api
from rsfilter.web.audit_worker import Found
from rsfilter.web.requests import ApiError, bad_request
from rsfilter.web.responses import JSON

AUDIT_TIME_S = 10.0
"""A question to the audit log that takes longer is given up: it has read some gigabytes by then."""


async def audit(
    api: Api, _request: web.Request, params: parameters.AuditParams
) -> schema.AuditRecords:
    """The audit log."""
    for name, known in (("event", EVENTS), ("reason", REASONS)):
        value = getattr(params, name)
        if value is not None and value not in known:  # none found would read like good news
            raise bad_request(f"{name}: there is no {value!r}")
    found = await api.audit(AUDIT_TIME_S, **msgspec.structs.asdict(params))
    return schema.AuditRecords(records=cast(Any, _checked(found).records))  # as they are: encoded


async def timeline(
    api: Api, _request: web.Request, params: parameters.TimelineParams
) -> web.Response:
    """Verdicts, reasons, sessions and changes of data, counted in equal steps of a time."""
    up_now = _hosts_up(api) if params.until is None else None
    conditions = {"since": params.since, "until": params.until, "sessions_up": up_now}
    found = _checked(await api.timeline(AUDIT_TIME_S, **conditions))
    if not found.count:
        raise ApiError(503, "audit_unreadable", "the audit log has no record yet")
    return web.Response(body=bytes(found.records), content_type=JSON)


def _hosts_up(api: Api) -> int:
    engine = api.running.filter.engine
    return sum(
        session.is_up and engine.neighbors.identify(address).role == "host"
        for address, session in engine.sessions.items()
    )


def _checked(found: Found) -> Found:
    if found.problem == "bad_request":
        raise bad_request(found.detail)
    if found.problem == "unreadable":
        raise ApiError(503, "audit_unreadable", found.detail)
    if found.problem == "too_much":
        detail = (
            f"not answered in {AUDIT_TIME_S:.0f} s: limit the query with `since`, or use the CLI"
        )
        raise ApiError(503, "too_much", detail)
    return found
