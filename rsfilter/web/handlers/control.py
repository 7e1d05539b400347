"""What changes the filter, and what asks much of it: every POST."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from rsfilter.routing.impact import MAX_FLIPS, Flip, Impact
from rsfilter.routing.validation import Data
from rsfilter.rpki.truth import Truth, TruthError, parse_truth
from rsfilter.util.threads import to_its_end
from rsfilter.web import schema, status_schema
from rsfilter.web.api import Api
from rsfilter.web.handlers.status import drain_status, truth, truth_summary
from rsfilter.web.requests import ApiError, requester

JUDGED_AT_ONCE = 100
"""Routes judged in one slice: a millisecond."""

MAX_BODY = 64 << 20
"""Octets: a truth of a million entries."""

BODY_TIMEOUT_S = 30.0
"""For a truth of some megabytes from a slow line. Nobody else can ask meanwhile."""

PROBLEMS_SHOWN = 10
"""Of a truth file that cannot be used; `rsfilter truth check` shows all."""


async def release_guard(api: Api, request: web.Request, _asked: None) -> schema.GuardReleased:
    """Lets go of what the guard holds."""
    guard = api.running.filter.engine.guard
    before = guard.held
    api.running.release_guard(requester(request))
    return schema.GuardReleased(released=before, held=guard.held)


async def drain(
    api: Api, request: web.Request, asked: schema.DrainWanted
) -> status_schema.DrainStatus:
    """Leaves service, or comes back."""
    api.running.drain(asked.on, requester(request))
    return drain_status(api.running)


async def reload_truth(api: Api, request: web.Request, asked: None) -> status_schema.Truth:
    """Reads the truth file now, whatever its time stamps say."""
    watcher = api.running.watcher
    if watcher is None:
        raise ApiError(409, "not_configured", "the configuration has no [truth]")
    if error := await watcher.reload():
        raise truth_error(error)
    return await truth(api, request, asked)


async def impact(api: Api, request: web.Request, _asked: None) -> schema.Impact:
    """What the truth file in the body would change."""
    if api.running.config.truth is None:
        detail = "the configuration has no [truth]: no truth file would change anything"
        raise ApiError(409, "not_configured", detail)
    if request.content_type != "application/json":
        raise ApiError(415, "not_json", "send the truth file as application/json")
    if api.impact_lock.locked():
        raise ApiError(429, "busy", "one impact at a time; try again", headers={"Retry-After": "5"})
    if (request.content_length or 0) > MAX_BODY:
        raise ApiError(413, "too_large", f"a truth file has at most {MAX_BODY >> 20} MiB here")
    async with api.impact_lock:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            content = await request.read()
        try:
            found, data = await to_its_end(lambda: _read(api, content))
        except TruthError as error:
            raise truth_error(error) from None
        return await _judge(api, found, data)


def _read(api: Api, content: bytes) -> tuple[Truth, Data]:
    found = parse_truth(
        content, "body", time.time(), may_be_empty=api.running.config.truth_may_be_empty
    )
    return found, api.running.sources.data_with(found)


async def _judge(api: Api, found: Truth, data: Data) -> schema.Impact:
    engine = api.running.filter.engine
    total = Impact(engine.neighbors, data)
    async for entries in api.slices.entries(engine.rib_in, size=JUDGED_AT_ONCE):
        total.add(entries)
    flips = (total.lost_routes + total.gained_routes)[:MAX_FLIPS]
    shown: list[schema.Flip] = []
    for start in range(0, len(flips), JUDGED_AT_ONCE):
        await api.slices.pause()
        shown += (_flip(flip, data) for flip in flips[start : start + JUDGED_AT_ONCE])
    return schema.Impact(
        truth=truth_summary(found),
        judged=total.judged,
        accepted_before=total.accepted_before,
        accepted_after=total.accepted_after,
        lost=total.lost,
        gained=total.gained,
        lost_by_reason=dict(total.lost_by_reason.most_common()),
        would_hold=total.would_hold(api.running.config.guard.limits),
        flips=shown,
        is_complete=len(flips) == total.lost + total.gained,
    )


def _flip(flip: Flip, data: Data) -> schema.Flip:
    route, was, verdict = flip
    host = data.bindings.host(route.asn, route.key.neighbor)
    return schema.Flip(
        neighbor=str(route.key.neighbor),
        host=host.name if host else "",
        asn=route.asn,
        prefix=str(route.key.prefix),
        path_id=route.key.path_id,
        was=was.kind.value,
        verdict=verdict.kind.value,
        reasons=list(verdict.reasons),
        state=verdict.validation.state.value,
        vrps=[str(vrp) for vrp in verdict.validation.vrps],
    )


def truth_error(error: TruthError) -> ApiError:
    """A truth that cannot be used; `pointer` is that of the first problem."""
    shown = [str(problem) for problem in error.problems[:PROBLEMS_SHOWN]]
    if len(error.problems) > len(shown):
        shown.append(f"and {len(error.problems) - len(shown)} more")
    return ApiError(422, "truth_invalid", "\n".join(shown), pointer=error.problems[0].pointer)
