"""Answer `GET /api/v1/neighbors`."""

from __future__ import annotations

import time
from collections import Counter
from itertools import islice

from aiohttp import web

from rsfilter.audit.record import timestamp
from rsfilter.exabgp.router import RouterState
from rsfilter.routing.engine import Engine
from rsfilter.routing.model import Address
from rsfilter.routing.sessions import Session
from rsfilter.web import parameters, schema
from rsfilter.web.api import Api
from rsfilter.web.handlers.status import absent_shapes, host_name, route_counts
from rsfilter.web.host_checks import hint, is_near_limit
from rsfilter.web.session_state import state_of
from rsfilter.web.table_reader import Counts, TableCounts

MAX_ABSENT = 1000
"""Absent prefixes of one answer."""

SLICE = 100
"""Neighbors that are rendered in one go: a millisecond."""

CHECKED_AT_ONCE = 1000
"""Addresses of the truth checked in one go: a millisecond."""


async def neighbors(
    api: Api, _request: web.Request, params: parameters.NeighborsParams
) -> schema.NeighborsJson:
    """Every session that was seen, every configured router, and every host that truth expects."""
    table = await api.counter.counts()
    expected = api.running.filter.expected
    absent = Counter(name for name, _ in expected.absent_prefixes)
    addresses = sorted(await known_addresses(api))
    found: list[schema.NeighborJson] = []
    for number, address in enumerate(addresses):
        if number % SLICE == SLICE - 1:
            await api.reader.pause()
        if shape := _neighbor(api, address, table, absent):
            found.append(shape)
    prefixes = islice(list(expected.absent_prefixes.values()), MAX_ABSENT)
    return schema.NeighborsJson(
        name=api.running.config.route_server.name,
        neighbors=[each for each in found if _is_wanted(each, params)],
        absent_prefixes=absent_shapes(api.running, prefixes),
    )


async def known_addresses(api: Api) -> set[Address]:
    """Return the addresses of known neighbors and of expected ones."""
    expected = api.running.filter.expected
    found = {*api.running.filter.engine.sessions, *api.running.filter.egress.routers}
    bound = iter(expected.bindings.by_address)
    while some := list(islice(bound, CHECKED_AT_ONCE)):
        found.update(address for address in some if expected.is_expected(address))
        await api.reader.pause()
    return found


def _neighbor(
    api: Api, address: Address, table: TableCounts, absent: Counter[str]
) -> schema.NeighborJson | None:
    engine, expected = api.running.filter.engine, api.running.filter.expected
    role, group = engine.neighbors.identify(address)
    bound = expected.bindings.by_address.get(address)
    router = api.running.filter.egress.routers.get(address)
    session = session_of(api, address)
    if session is None:
        return None
    is_expected = expected.is_expected(address)
    settings = engine.neighbors.group(address) or engine.neighbors.routers.get(address)
    has_password = settings is not None and settings.password_file is not None
    hops = _hops(engine, address)
    limits = engine.neighbors.group(address) if role == "host" else None
    return schema.NeighborJson(
        neighbor=str(address),
        role=role,
        group=group,
        host=host_name(api.running, address, session.asn),
        asn=session.asn,
        open_asn=session.wrong_asn or None,
        state=state_of(api.running, address),
        is_up=session.is_up,
        is_expected=is_expected,
        since=timestamp(api.running.wall_clock(session.since)),
        reason=session.reason,
        flaps=session.flaps,
        routes=route_counts(table.by_neighbor.get(address, Counts())),
        absent_prefixes=absent[bound.name] if bound and is_expected else 0,
        max_prefixes=limits.max_prefixes if limits else None,
        is_near_limit=is_near_limit(api.running, address),
        lacks=api.running.filter.lacking(address),
        has_password=has_password,
        ttl_security=hops,
        hint=""
        if session.is_up
        else hint(
            api.watch.refusals.recent(time.monotonic()), has_password=has_password, hops=hops
        ),
        router=_progress(router) if router else None,
    )


def session_of(api: Api, address: Address) -> Session | None:
    """Return the session of a known or expected neighbor; None if it has left the truth."""
    return api.running.filter.engine.sessions.get(address) or _never_seen(api, address)


def _hops(engine: Engine, address: Address) -> int:
    """Return the number of hops that GTSM permits to a neighbor; 0 if the TTL is not checked."""
    if router := engine.neighbors.routers.get(address):
        return router.ttl_security
    if (group := engine.neighbors.group(address)) is None:
        return 0
    bound = engine.data.bindings.by_address.get(address)
    return group.ttl_security if bound is None or bound.ttl_security is None else bound.ttl_security


def _never_seen(api: Api, address: Address) -> Session | None:
    """A session of which ExaBGP has not spoken; None if it has left the truth meanwhile."""
    expected = api.running.filter.expected
    for group in api.running.config.routers:
        if address in group.neighbors:
            return Session(group.asn, False, api.running.start)
    host = expected.bindings.by_address.get(address)
    return Session(host.asn, False, expected.missing_since(address)) if host else None


def _is_wanted(neighbor: schema.NeighborJson, params: parameters.NeighborsParams) -> bool:
    conditions = (
        (params.role, neighbor.role),
        (params.group, neighbor.group),
        (params.host, neighbor.host),
        (params.state, neighbor.state),
    )
    return all(wanted in (None, value) for wanted, value in conditions)


def _progress(router: RouterState) -> schema.RouterProgress:
    return schema.RouterProgress(
        phase=router.phase.value, told=len(router.announced), under_way=router.under_way
    )
