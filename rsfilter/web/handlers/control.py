"""Requests that change the filter or are expensive: every POST."""

from __future__ import annotations

import asyncio
import pickle
from itertools import islice

import msgspec
from aiohttp import web

from rsfilter.routing.events import GuardReleased
from rsfilter.rpki.truth import TruthError
from rsfilter.rpki.vrps import VrpSet
from rsfilter.web import parameters, schema, status_schema
from rsfilter.web.api import Api
from rsfilter.web.bounds import MAX_OCTETS
from rsfilter.web.handlers.routes import host_of, well_formed
from rsfilter.web.handlers.status import drain_status, truth
from rsfilter.web.impact_worker import InForce, Outcome, truth_outcome
from rsfilter.web.requests import ApiError, requester
from rsfilter.web.responses import JSON
from rsfilter.web.workers import Worker

CHUNK = 1 << 16
"""Octets of a body that are handed on at once."""

ROUTES_AT_ONCE = 250
"""Routes handed to a worker in one slice: a millisecond."""

VRPS_AT_ONCE = 2000
"""VRPs handed to a worker in one slice: a millisecond."""

BODY_TIMEOUT_S = 30.0
"""Seconds for a body: a truth of some megabytes over a slow line."""

IMPACT_TIME_S = 50.0
"""Seconds for everything after the body: the commands wait for 60 s in total."""

MAX_PROBLEMS = 10
"""Problems of a configuration in a response; the log has all of them."""


NO_VRPS = VrpSet.of(())


async def release_guard(
    api: Api, request: web.Request, params: parameters.ReleaseWanted
) -> schema.GuardReleasedJson:
    """Withdraw routes that the guard holds: all, or those of a host or inside a prefix."""
    prefix = None if params.prefix is None else well_formed(params.prefix)
    event = GuardReleased(requester(request), prefix, params.host or "")
    guard = api.running.filter.engine.guard
    before = guard.held
    released = await _held_in(api, event) if event.is_partial else before
    if event.is_partial and not released:
        raise ApiError(404, "nothing_held", f"the guard holds no route of {_scope(params)}")
    api.running.release_guard(event)
    return schema.GuardReleasedJson(released=released, held=before - released)


async def _held_in(api: Api, event: GuardReleased) -> int:
    """The number of held routes that a release concerns."""
    engine, found = api.running.filter.engine, 0
    keys = iter(engine.guard.held_keys())
    while some := list(islice(keys, ROUTES_AT_ONCE)):
        entries = (engine.rib_in.find(key) for key in some)
        found += sum(
            event.concerns(entry.route.key.prefix, host_of(api, entry))
            for entry in entries
            if entry is not None
        )
        await api.reader.pause()
    return found


def _scope(params: parameters.ReleaseWanted) -> str:
    return " and ".join(each for each in (params.host, params.prefix) if each)


async def drain(
    api: Api, request: web.Request, params: parameters.DrainWanted
) -> status_schema.DrainStatus:
    """Leaves service, or comes back. That is written down before it is answered."""
    if problem := await api.running.drain(params.on, requester(request)):
        detail = f"applied, but a restart would undo it: {problem}"
        raise ApiError(503, "not_written", detail)
    return drain_status(api.running)


async def reload(
    api: Api, request: web.Request, params: parameters.ReloadWanted
) -> schema.Reloaded:
    """Read the configuration and the truth again."""
    problems = await api.running.reload(requester(request), is_forced=params.force)
    if problems:
        raise ApiError(422, "configuration_refused", "\n".join(problems[:MAX_PROBLEMS]))
    return schema.Reloaded(configuration=str(api.running.config.path))


async def reload_truth(api: Api, request: web.Request, params: None) -> status_schema.TruthJson:
    """Read the truth file now, whatever its time stamps."""
    watcher = api.running.watcher
    if watcher is None:
        raise ApiError(409, "not_configured", "the configuration has no [truth]")
    if error := await watcher.reload():
        raise truth_error(error)
    return await truth(api, request, params)


async def impact(api: Api, request: web.Request, _params: None) -> web.Response:
    """Show the changes that the truth file in the body would cause."""
    if not api.running.config.http.is_loopback:
        await api.token.check(request)
    if api.running.config.truth is None:
        detail = "the configuration has no [truth]: no truth file would change anything"
        raise ApiError(409, "not_configured", detail)
    if request.content_type != "application/json":
        raise ApiError(415, "not_json", "send the truth file as application/json")
    if (request.content_length or 0) > MAX_OCTETS:
        raise _too_large()
    vrps = api.running.sources.rtr_vrps
    async with api.impacts.one() as worker:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            await worker.send(pickle.dumps(_in_force(api)))
            await worker.send(b"")
            await _hand_on_body(request, worker)
        try:
            async with asyncio.timeout(IMPACT_TIME_S):
                return web.Response(body=await _judge(api, worker, vrps), content_type=JSON)
        except TimeoutError:
            detail = f"not judged in {IMPACT_TIME_S:.0f} s: this machine is overloaded"
            raise ApiError(503, "too_slow", detail) from None


def _in_force(api: Api) -> InForce:
    config = api.running.config
    sources = api.running.sources.to_be_filled()
    return InForce(
        config.hosts,
        config.routers,
        config.guard.limits,
        api.running.filter.engine.guard.lost,
        sources,
        config.truth_may_be_empty,
    )


async def _hand_on_body(request: web.Request, worker: Worker) -> None:
    """The body goes to the worker as it comes: the filter never has all of it."""
    size = 0
    async for chunk in request.content.iter_chunked(CHUNK):
        size += len(chunk)
        if size > MAX_OCTETS:
            raise _too_large()
        await worker.send(chunk)
    await worker.send(b"")


async def _judge(api: Api, worker: Worker, vrps: VrpSet) -> bytes:
    """The worker's answer, as JSON. ApiError for a truth that cannot be used."""
    outcome = msgspec.json.decode(await worker.receive(), type=Outcome)
    if outcome.status != 200:
        raise ApiError(outcome.status, outcome.error, outcome.detail, pointer=outcome.pointer)
    truth = api.running.sources.truth
    await _send_vrps(api, worker, vrps)
    await _send_vrps(api, worker, truth.vrps if truth else NO_VRPS)
    rib = api.running.filter.engine.rib_in
    async for entries in api.reader.entries(rib, size=ROUTES_AT_ONCE):
        await worker.send(pickle.dumps(entries))
    await worker.send(b"")
    return await worker.receive()


async def _send_vrps(api: Api, worker: Worker, vrps: VrpSet) -> None:
    numbers = vrps.numbers()
    while some := list(islice(numbers, VRPS_AT_ONCE)):
        await worker.send(pickle.dumps(some))
        await api.reader.pause()
    await worker.send(b"")


def _too_large() -> ApiError:
    detail = f"a truth file has at most {MAX_OCTETS >> 20} MiB here"
    return ApiError(413, "too_large", detail)


def truth_error(error: TruthError) -> ApiError:
    """A truth that cannot be used."""
    outcome = truth_outcome(error)
    return ApiError(outcome.status, outcome.error, outcome.detail, pointer=outcome.pointer)
