"""Answer `GET /api/v1/audit`."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from aiohttp import web

from rsfilter.audit.record import EVENTS
from rsfilter.routing.reasons import REASONS
from rsfilter.web import schema
from rsfilter.web.api import Api
from rsfilter.web.requests import ApiError, bad_request

AUDIT_TIME_S = 10.0
"""A question to the audit log that takes longer is given up: it has read some gigabytes by then."""


async def audit(api: Api, _request: web.Request, asked: schema.AuditAsked) -> schema.AuditRecords:
    """The audit log."""
    for name, known in (("event", EVENTS), ("reason", REASONS)):
        value = getattr(asked, name)
        if value is not None and value not in known:  # none found would read like good news
            raise bad_request(f"{name}: there is no {value!r}")
    found = await api.audit(AUDIT_TIME_S, **msgspec.structs.asdict(asked))
    if found.problem == "bad_request":
        raise bad_request(found.detail)
    if found.problem == "unreadable":
        raise ApiError(503, "audit_unreadable", found.detail)
    if found.problem == "too_much":
        detail = f"not answered in {AUDIT_TIME_S:.0f} s: ask for less with `since`, or use the CLI"
        raise ApiError(503, "too_much", detail)
    return schema.AuditRecords(records=cast(Any, found.records))  # as they are: encoded
