"""How the filter is as a whole: health, status, metrics, neighbors, sources of data, audit log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from aiohttp import web

from rsfilter import __version__
from rsfilter.audit.query import GaveUpError, Record, parse_time, query
from rsfilter.audit.record import EVENTS, timestamp
from rsfilter.exabgp.router import RouterState
from rsfilter.routing.reasons import REASONS
from rsfilter.rpki import truth as rpki_truth
from rsfilter.rpki.cache import CacheStatus
from rsfilter.web import shapes, status_shapes
from rsfilter.web.answers import respond
from rsfilter.web.api import Api
from rsfilter.web.census import Counts
from rsfilter.web.errors import ApiError, bad_request
from rsfilter.web.running import Running

AUDIT_TIME_S = 10.0
"""A question to the audit log that takes longer is given up: it has read some gigabytes by then,
and the filter wants its share of the interpreter back."""


# Health and status -------------------------------------------------------------------------------


async def healthz(api: Api, _request: web.Request, _asked: None) -> web.Response:
    """Alive and well?"""
    return _health_response(api.watch.health())


async def readyz(api: Api, _request: web.Request, _asked: None) -> web.Response:
    """In service?"""
    return _health_response(api.watch.readiness())


async def metrics(api: Api, _request: web.Request, _asked: None) -> web.Response:
    """Prometheus metrics."""
    api.metrics.census = await api.census.census()
    await api.slices.pause()  # the text takes some milliseconds: no two at once
    body, content_type = api.metrics.exposition()
    return web.Response(body=body, headers={"Content-Type": content_type})


async def status(api: Api, _request: web.Request, _asked: None) -> status_shapes.Status:
    """Everything at a glance."""
    running = api.running
    census = await api.census.census()
    config, machine = running.config, running.filter
    return status_shapes.Status(
        version=__version__,
        configuration=str(config.path),
        asn=config.route_server.asn,
        router_id=str(config.route_server.router_id),
        started=timestamp(running.started),
        uptime_s=round(time.time() - running.started, 3),
        is_resynced=machine.resync.is_done,
        has_data=running.sources.is_started,
        health=api.watch.health(),
        readiness=api.watch.readiness(),
        routes=route_counts(census.all),
        sessions=_sessions(running),
        drain=drain_status(running),
        guard=_guard(running),
        exabgp=_commands(running),
        audit=_audit(running),
        truth=_truth(running),
        rtr=_rtr(running),
    )


async def truth(api: Api, _request: web.Request, _asked: None) -> status_shapes.Truth:
    """The truth in force."""
    found = _truth(api.running)
    if found is None:
        raise ApiError(404, "not_configured", "the configuration has no [truth]")
    return found


async def rtr(api: Api, _request: web.Request, _asked: None) -> status_shapes.Rtr:
    """The RTR caches."""
    found = _rtr(api.running)
    if found is None:
        raise ApiError(404, "not_configured", "the configuration has no [rtr]")
    return found


async def neighbors(
    api: Api, _request: web.Request, asked: shapes.NeighborsAsked
) -> shapes.Neighbors:
    """Every session that was seen, and every configured router."""
    census = await api.census.census()
    engine = api.running.filter.engine
    found: list[shapes.Neighbor] = []
    for number, address in enumerate(sorted({*engine.sessions, *census.by_neighbor})):
        if number % 100 == 99:
            await api.slices.pause()
        session = engine.sessions.get(address)
        role, group = engine.neighbors.identify(address)
        if session is None or asked.role not in (None, role) or asked.group not in (None, group):
            continue
        host = engine.data.bindings.host(session.asn, address)
        limits = engine.neighbors.group(address) if role == "host" else None
        router = api.running.filter.egress.routers.get(address)
        found.append(
            shapes.Neighbor(
                neighbor=str(address),
                role=role,
                group=group,
                host=host.name if host else group,
                asn=session.asn,
                is_up=session.is_up,
                since=timestamp(api.running.wall_clock(session.since)),
                routes=route_counts(census.by_neighbor.get(address, Counts())),
                max_prefixes=limits.max_prefixes if limits else None,
                router=_progress(router) if router else None,
            )
        )
    return shapes.Neighbors(neighbors=found)


async def audit(api: Api, _request: web.Request, asked: shapes.AuditAsked) -> shapes.AuditRecords:
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
        return shapes.AuditRecords(records=await api.audit(ask, AUDIT_TIME_S))
    except ValueError as error:
        raise bad_request(str(error)) from None
    except GaveUpError:
        detail = f"not answered in {AUDIT_TIME_S:.0f} s: ask for less with `since`, or use the CLI"
        raise ApiError(503, "too_much", detail) from None
    except FileNotFoundError:
        return shapes.AuditRecords(records=[])  # the first record is still on its way
    except OSError as error:
        raise ApiError(503, "audit_unreadable", f"{directory}: {error.strerror}") from None


def _health_response(health: status_shapes.Health) -> web.Response:
    return respond(health, 200 if health.status == "ok" else 503)


# Parts -------------------------------------------------------------------------------------------


def route_counts(counts: Counts) -> shapes.RouteCounts:
    """The counts as JSON shows them."""
    return shapes.RouteCounts(
        total=counts.total,
        accepted=counts.verdicts["accepted"],
        rejected=counts.verdicts["rejected"],
        held=counts.verdicts["held"],
        stale=counts.stale,
        reasons=dict(counts.reasons.most_common()),
    )


def _sessions(running: Running) -> status_shapes.SessionCounts:
    engine = running.filter.engine
    found: Counter[tuple[str, bool]] = Counter()
    for address, session in engine.sessions.items():
        found[engine.neighbors.identify(address).role, session.is_up] += 1
    return status_shapes.SessionCounts(
        hosts_up=found["host", True],
        hosts_down=found["host", False],
        routers_up=found["router", True],
        routers_down=found["router", False],
        unknown=found["unknown", True] + found["unknown", False],
    )


def drain_status(running: Running) -> status_shapes.DrainStatus:
    """Whether the filter is in service."""
    phase, why, until = running.filter.drain_state
    return status_shapes.DrainStatus(
        phase=phase.value,
        why=list(why),
        until=None if until is None else timestamp(running.wall_clock(until)),
    )


def _guard(running: Running) -> status_shapes.GuardStatus:
    limits = running.config.guard
    return status_shapes.GuardStatus(
        held=running.filter.engine.guard.held,
        max_loss_percent=limits.max_loss_percent,
        min_loss=limits.min_loss,
    )


def _commands(running: Running) -> status_shapes.CommandStatus:
    reader, writer, machine = running.reader, running.writer, running.filter
    return status_shapes.CommandStatus(
        dialect=machine.dialect,
        lines_read=reader.counters["lines"] if reader else 0,
        commands_written=writer.counters["lines"] if writer else 0,
        waiting=writer.waiting if writer else 0,
        unanswered=machine.egress.unanswered,
        errors=machine.egress.counters["errors"],
    )


def _audit(running: Running) -> status_shapes.AuditStatus:
    health = running.audit.health
    return status_shapes.AuditStatus(
        is_ok=health.is_ok, reason=health.reason, queued=health.queued, dropped=health.dropped
    )


def truth_summary(found: rpki_truth.Truth) -> shapes.TruthSummary:
    """What a truth file holds."""
    return shapes.TruthSummary(
        format=found.format,
        revision=found.revision,
        sha256=found.sha256,
        vrps=len(found.vrps),
        hosts=len(found.hosts),
        filters=len(found.filters),
        metadata=dict(found.metadata),
        warnings=[str(warning) for warning in found.warnings],
    )


def _truth(running: Running) -> status_shapes.Truth | None:
    config, found = running.config.truth, running.sources.truth
    if config is None:
        return None
    error = running.watcher.error if running.watcher else None
    loaded = running.truth_loaded
    return status_shapes.Truth(
        file=str(config.file),
        mode=config.mode.value,
        loaded=None if loaded is None else timestamp(loaded),
        in_force=truth_summary(found) if found else None,
        problems=[str(problem) for problem in error.problems] if error else [],
    )


def _rtr(running: Running) -> status_shapes.Rtr | None:
    config, caches = running.config.rtr, running.caches
    if config is None:
        return None
    return status_shapes.Rtr(
        is_fresh=caches is not None and caches.is_fresh,
        on_expire=config.on_expire,
        expire_s=config.expire,
        caches=[_cache(cache) for cache in caches.status()] if caches else [],
    )


def _cache(cache: CacheStatus) -> status_shapes.Cache:
    return status_shapes.Cache(
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
    )


def _progress(router: RouterState) -> shapes.RouterProgress:
    return shapes.RouterProgress(
        phase=router.phase.value, told=len(router.told), under_way=router.under_way
    )
