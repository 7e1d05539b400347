"""Answer `GET /api/v1/audit`."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from rsfilter.audit.query import GaveUpError, Record, parse_time, query
from rsfilter.audit.record import EVENTS
from rsfilter.routing.reasons import REASONS
from rsfilter.web import schema
from rsfilter.web.api import Api
from rsfilter.web.requests import ApiError, bad_request

AUDIT_TIME_S = 10.0
"""A question to the audit log that takes longer is given up: it has read some gigabytes by then,
and the filter wants its share of the interpreter back."""


async def audit(api: Api, _request: web.Request, asked: schema.AuditAsked) -> schema.AuditRecords:
    """The audit log."""
    for name, known in (("event", EVENTS), ("reason", REASONS)):
        value = getattr(asked, name)
        if value is not None and value not in known:  # none found would read like good news
            raise bad_request(f"{name}: there is no {value!r}")
    directory = api.running.config.audit.directory
    conditions = {
        name: getattr(asked, name)
        for name in asked.__struct_fields__
        if name not in ("since", "until")
    }

    def ask(should_end: Callable[[], bool]) -> list[Record]:
        since = None if asked.since is None else parse_time(asked.since)
        until = None if asked.until is None else parse_time(asked.until)
        found = query(directory, **conditions, since=since, until=until, should_end=should_end)
        return list(found)

    try:
        return schema.AuditRecords(records=await api.audit(ask, AUDIT_TIME_S))
    except ValueError as error:
        raise bad_request(str(error)) from None
    except GaveUpError:
        detail = f"not answered in {AUDIT_TIME_S:.0f} s: ask for less with `since`, or use the CLI"
        raise ApiError(503, "too_much", detail) from None
    except FileNotFoundError:
        return schema.AuditRecords(records=[])  # the first record is still on its way
    except OSError as error:
        raise ApiError(503, "audit_unreadable", f"{directory}: {error.strerror}") from None
