"""State of the filter as a whole: health, status, metrics, neighbors, sources of data, audit
log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from aiohttp import web

from rsfilter import __version__
from rsfilter.audit.record import timestamp
from rsfilter.routing.expected import Absent
from rsfilter.routing.model import Address
from rsfilter.rtr.caches import CacheStatus
from rsfilter.web import schema, status_schema
from rsfilter.web.api import Api
from rsfilter.web.context import Running
from rsfilter.web.data_ages import is_truth_old, truth_built
from rsfilter.web.health import MAX_NAMED
from rsfilter.web.impact_worker import truth_summary
from rsfilter.web.requests import ApiError
from rsfilter.web.responses import respond
from rsfilter.web.table_reader import Counts

# Health and status -------------------------------------------------------------------------------


async def healthz(api: Api, _request: web.Request, _params: None) -> web.Response:
    """Alive and well?"""
    return _health_response(api.watch.health())


async def readyz(api: Api, _request: web.Request, _params: None) -> web.Response:
    """Return whether the filter is in service."""
    return _health_response(api.watch.readiness())


async def metrics(api: Api, _request: web.Request, _params: None) -> web.Response:
    """Prometheus metrics."""
    counts = await api.counter.counts()
    await api.reader.pause()  # the text takes some milliseconds: no two at once
    body, content_type = api.metrics.exposition(counts)
    return web.Response(body=body, headers={"Content-Type": content_type})


async def status(api: Api, _request: web.Request, _params: None) -> status_schema.Status:
    """Summarise the state of the filter."""
    running = api.running
    counts = await api.counter.counts()
    config, machine = running.config, running.filter
    return status_schema.Status(
        name=config.route_server.name,
        version=__version__,
        configuration=str(config.path),
        asn=config.route_server.asn,
        router_id=str(config.route_server.router_id),
        started=timestamp(running.started),
        uptime_s=round(time.time() - running.started, 3),
        is_resynced=machine.is_resynced,
        has_data=running.sources.is_started,
        health=api.watch.health(),
        readiness=api.watch.readiness(),
        routes=route_counts(counts.all),
        sessions=_sessions(running),
        expected=_expected(running),
        drain=drain_status(running),
        guard=_guard(running),
        exabgp=_commands(running),
        audit=_audit(running),
        truth=_truth(running),
        rtr=_rtr(running),
        fleet=running.fleet.name if running.fleet else None,
    )


async def truth(api: Api, _request: web.Request, _params: None) -> status_schema.TruthJson:
    """The truth in force."""
    found = _truth(api.running)
    if found is None:
        raise ApiError(404, "not_configured", "the configuration has no [truth]")
    return found


async def rtr(api: Api, _request: web.Request, _params: None) -> status_schema.RtrJson:
    """The RTR caches."""
    found = _rtr(api.running)
    if found is None:
        raise ApiError(404, "not_configured", "the configuration has no [rtr]")
    return found


def _health_response(health: status_schema.Health) -> web.Response:
    return respond(health, 200 if health.status == "ok" else 503)


# Parts of several answers ------------------------------------------------------------------------


def host_name(running: Running, neighbor: Address, asn: int) -> str:
    """The truth's name for the host of a session, else the name of its group."""
    engine = running.filter.engine
    host = engine.data.bindings.host(asn, neighbor)
    return host.name if host else engine.neighbors.identify(neighbor).group


def absent_shapes(running: Running, found: Iterable[Absent]) -> list[schema.AbsentJson]:
    """Convert absent hosts and routes to their JSON structure."""
    return [
        schema.AbsentJson(
            host=absent.host.name,
            neighbor=str(absent.neighbor),
            prefix=None if absent.prefix is None else str(absent.prefix),
            since=timestamp(running.wall_clock(absent.since)),
        )
        for absent in found
    ]


# Parts -------------------------------------------------------------------------------------------


def route_counts(counts: Counts) -> schema.RouteCounts:
    """The counts as JSON shows them."""
    return schema.RouteCounts(
        total=counts.total,
        accepted=counts.verdicts["accepted"],
        rejected=counts.verdicts["rejected"],
        held=counts.verdicts["held"],
        stale=counts.stale,
        reasons=dict(counts.reasons.most_common()),
    )


def _sessions(running: Running) -> status_schema.SessionCounts:
    engine, absent = running.filter.engine, running.filter.expected.absent_hosts
    found: Counter[tuple[str, bool]] = Counter()
    down: dict[str, list[Address]] = {"router": [], "host": []}
    for address, session in engine.sessions.items():
        if address in absent:
            continue  # counted, and named, as such
        role = engine.neighbors.identify(address).role
        found[role, session.is_up] += 1
        if not session.is_up and role in down:
            down[role].append(address)
    first = [*sorted(down["router"])[:MAX_NAMED], *sorted(down["host"])[:MAX_NAMED]][:MAX_NAMED]
    return status_schema.SessionCounts(
        hosts_up=found["host", True],
        hosts_down=found["host", False],
        routers_up=found["router", True],
        routers_down=found["router", False],
        unknown=found["unknown", True] + found["unknown", False],
        first_down=[_down(running, address) for address in first],
    )


def _down(running: Running, neighbor: Address) -> status_schema.Down:
    session = running.filter.engine.sessions[neighbor]
    return status_schema.Down(
        neighbor=str(neighbor),
        host=host_name(running, neighbor, session.asn),
        since=timestamp(running.wall_clock(session.since)),
        reason=session.reason,
    )


def _expected(running: Running) -> status_schema.ExpectedStatus:
    expected = running.filter.expected
    hosts, prefixes = expected.absent_hosts, expected.absent_prefixes
    return status_schema.ExpectedStatus(
        hosts=expected.expected_hosts,
        absent_hosts=len(hosts),
        absent_prefixes=len(prefixes),
        first_hosts=absent_shapes(running, islice(hosts.values(), MAX_NAMED)),
        first_prefixes=absent_shapes(running, islice(prefixes.values(), MAX_NAMED)),
    )


def drain_status(running: Running) -> status_schema.DrainStatus:
    """Return the service state."""
    phase, why, until = running.filter.drain_state
    return status_schema.DrainStatus(
        phase=phase.value,
        why=list(why),
        until=None if until is None else timestamp(running.wall_clock(until)),
    )


def _guard(running: Running) -> status_schema.GuardStatus:
    limits, guard = running.config.guard, running.filter.engine.guard
    return status_schema.GuardStatus(
        held=guard.held,
        lost=guard.lost,
        window_s=limits.window,
        max_loss_percent=limits.max_loss_percent,
        min_loss=limits.min_loss,
    )


def _commands(running: Running) -> status_schema.CommandStatus:
    reader, writer, machine = running.reader, running.writer, running.filter
    return status_schema.CommandStatus(
        dialect=machine.lines.dialect,
        speaker=_speaker(running),
        lines_read=reader.counters["lines"],
        commands_written=writer.counters["lines"],
        waiting=writer.waiting,
        unanswered=machine.egress.unanswered,
        errors=machine.egress.counters["errors"],
    )


def _speaker(running: Running) -> status_schema.SpeakerStatus | None:
    found = running.speaker
    if found is None:
        return None
    return status_schema.SpeakerStatus(
        exabgp=found.exabgp, replaced=found.replaced, left_out=found.left_out
    )


def _audit(running: Running) -> status_schema.AuditStatus:
    health = running.audit.health
    return status_schema.AuditStatus(
        is_ok=health.is_ok, reason=health.reason, queued=health.queued, dropped=health.dropped
    )


def _truth(running: Running) -> status_schema.TruthJson | None:
    config, found = running.config.truth, running.sources.truth
    if config is None:
        return None
    error = running.watcher.error if running.watcher else None
    loaded, built = running.truth_loaded, truth_built(running)
    return status_schema.TruthJson(
        file=str(config.file),
        mode=config.mode.value,
        loaded=None if loaded is None else timestamp(loaded),
        built=None if built is None else timestamp(built),
        is_old=is_truth_old(running, time.time()),
        in_force=truth_summary(found) if found else None,
        problems=[str(problem) for problem in error.problems] if error else [],
    )


def _rtr(running: Running) -> status_schema.RtrJson | None:
    config, caches = running.config.rtr, running.caches
    if config is None:
        return None
    return status_schema.RtrJson(
        is_fresh=caches is not None and caches.is_fresh,
        on_expire=config.on_expire,
        expire_s=config.expire,
        caches=[_cache(cache) for cache in caches.status()] if caches else [],
    )


def _cache(cache: CacheStatus) -> status_schema.CacheJson:
    return status_schema.CacheJson(
        address=str(cache.address),
        transport=cache.address.transport,
        state=cache.state,
        decides=cache.decides,
        is_fresh=cache.is_fresh,
        age_s=None if cache.age is None else round(cache.age, 3),
        session=cache.session,
        serial=cache.serial,
        vrps=cache.vrps,
        dropped=cache.dropped,
        errors=cache.errors,
        expire_s=cache.expire,
        unchanged_s=None if cache.unchanged is None else round(cache.unchanged, 3),
        is_unchanged_long=cache.is_unchanged_long,
        missing=cache.missing,
        extra=cache.extra,
        differs_s=None if cache.differs is None else round(cache.differs, 3),
        differs_long=cache.lasting,
    )
