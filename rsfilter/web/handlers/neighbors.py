"""Answer `GET /api/v1/neighbors`."""

from __future__ import annotations

from aiohttp import web

from rsfilter.audit.record import timestamp
from rsfilter.exabgp.router import RouterState
from rsfilter.web import schema
from rsfilter.web.api import Api
from rsfilter.web.handlers.status import route_counts
from rsfilter.web.table_reader import Counts


async def neighbors(
    api: Api, _request: web.Request, asked: schema.NeighborsAsked
) -> schema.Neighbors:
    """Every session that was seen, and every configured router."""
    census = await api.census.census()
    engine = api.running.filter.engine
    found: list[schema.Neighbor] = []
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
            schema.Neighbor(
                neighbor=str(address),
                role=role,
                group=group,
                host=host.name if host else group,
                asn=session.asn,
                open_asn=session.wrong_asn or None,
                is_up=session.is_up,
                since=timestamp(api.running.wall_clock(session.since)),
                routes=route_counts(census.by_neighbor.get(address, Counts())),
                max_prefixes=limits.max_prefixes if limits else None,
                router=_progress(router) if router else None,
            )
        )
    return schema.Neighbors(neighbors=found)


def _progress(router: RouterState) -> schema.RouterProgress:
    return schema.RouterProgress(
        phase=router.phase.value, told=len(router.told), under_way=router.under_way
    )
