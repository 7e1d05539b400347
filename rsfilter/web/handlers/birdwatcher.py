"""Answer the birdwatcher API: the looking glass. `web.birdwatcher` makes the answers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator

from aiohttp import web

from rsfilter.routing.adj_rib_in import Entry
from rsfilter.routing.adj_rib_out import AdjRibOut
from rsfilter.routing.model import UNICAST, Address
from rsfilter.routing.sessions import Session
from rsfilter.util.text import clean, count
from rsfilter.web.api import Api
from rsfilter.web.birdwatcher import (
    TABLES,
    VERSION,
    RouteEncoder,
    bird_time,
    envelope,
    is_hidden,
    neighbor_id,
    neighbor_of,
)
from rsfilter.web.birdwatcher_schema import (
    BirdChannel,
    BirdCounts,
    BirdProtocol,
    BirdProtocolShort,
    BirdStatus,
    Envelope,
    StatusAnswer,
)
from rsfilter.web.handlers.neighbors import known_addresses, session_of
from rsfilter.web.handlers.status import host_name
from rsfilter.web.looking_glass import Tally
from rsfilter.web.parameters import BirdNeighborParams, BirdParams, BirdTableParams
from rsfilter.web.requests import ApiError
from rsfilter.web.responses import JSON, encode, stream
from rsfilter.web.table_reader import is_best

SLICE = 64
"""Routes or neighbors that are encoded in one go: a millisecond."""

SCAN_SLICE = 1000
"""Routes that are selected in one go: less than a millisecond."""

MAX_ERROR = 200
"""Characters of the reason of a session loss."""


async def status(api: Api, _request: web.Request, _params: BirdParams) -> StatusAnswer:
    """Return the state of the route server."""
    running, now = api.running, time.time()
    speaker = running.speaker
    made = envelope(now)
    return StatusAnswer(
        api=made.api,
        ttl=made.ttl,
        cached_at=made.cached_at,
        status=BirdStatus(
            version=f"{VERSION} (ExaBGP {speaker.exabgp})" if speaker else VERSION,
            router_id=str(running.config.route_server.router_id),
            current_server=bird_time(now),
            last_reboot=bird_time(running.started),
            last_reconfig=bird_time(max(running.configured, running.truth_loaded or 0.0)),
            message=_message(api),
        ),
    )


def _message(api: Api) -> str:
    """Return in a few words whether the route server is in service. It is public: the names of
    problems, without their details."""
    engine = api.running.filter.engine
    problems = ", ".join(finding.name for finding in api.watch.readiness().reasons)
    held = f"; the guard holds {count(engine.guard.held, 'route')}" if engine.guard.held else ""
    return (f"not in service: {problems}" if problems else "in service") + held


# Neighbors ---------------------------------------------------------------------------------------


async def protocols(api: Api, request: web.Request, _params: BirdParams) -> web.StreamResponse:
    """Return every neighbor with the counts of its routes."""
    requested_at = time.time()
    tally = await api.glass.tally()
    made = envelope(tally.made, is_cached=tally.made < requested_at)

    def encoded(address: Address, session: Session) -> bytes:
        return encode(_protocol(api, address, session, tally))

    return await _respond(request, made, "protocols", ("{", "}"), _neighbors(api, encoded))


async def protocols_short(
    api: Api, request: web.Request, _params: BirdParams
) -> web.StreamResponse:
    """Return the state of every neighbor."""

    def encoded(_address: Address, session: Session) -> bytes:
        return encode(
            BirdProtocolShort(
                state=_state(session), since=_since(api, session), info=_connection(session)
            )
        )

    made = envelope(time.time())
    return await _respond(request, made, "protocols", ("{", "}"), _neighbors(api, encoded))


async def _neighbors(
    api: Api, encoded: Callable[[Address, Session], bytes]
) -> AsyncIterator[list[bytes]]:
    """Yield members of an object: neighbors by id, in slices."""
    addresses = [each for each in await known_addresses(api) if _is_listed(api, each)]
    for start in range(0, len(addresses), SLICE):
        await api.reader.pause()
        found = ((each, session_of(api, each)) for each in addresses[start : start + SLICE])
        yield [
            b'"%b":%b' % (neighbor_id(address).encode(), encoded(address, session))
            for address, session in found
            if session is not None
        ]


def _is_listed(api: Api, neighbor: Address) -> bool:
    is_router = api.running.filter.engine.neighbors.is_router(neighbor)
    return not is_router or api.running.config.http.looking_glass_routers


def _protocol(api: Api, neighbor: Address, session: Session, tally: Tally) -> BirdProtocol:
    router = api.running.filter.egress.routers.get(neighbor)
    found = tally.by_neighbor.get(neighbor, {})
    by_family = {name: found.get(family, BirdCounts()) for family, name in _CHANNELS.items()}
    return BirdProtocol(
        protocol=neighbor_id(neighbor),
        state=_state(session),
        state_changed=_since(api, session),
        connection=_connection(session),
        description=_description(api, neighbor, session),
        neighbor_address=str(neighbor),
        neighbor_as=session.asn,
        last_error=_last_error(api, neighbor, session),
        routes=BirdCounts(
            imported=sum(counts.imported for counts in by_family.values()),
            filtered=sum(counts.filtered for counts in by_family.values()),
            exported=len(router.announced) if router else 0,
            preferred=sum(counts.preferred for counts in by_family.values()),
        ),
        channels={name: BirdChannel(counts, counts) for name, counts in by_family.items()},
    )


_CHANNELS = {family: f"ipv{family}" for family in UNICAST}


def _state(session: Session) -> str:
    return "up" if session.is_up else "down"


def _connection(session: Session) -> str:
    return "Established" if session.is_up else "Active"


def _since(api: Api, session: Session) -> str:
    return bird_time(api.running.wall_clock(session.since))


def _description(api: Api, neighbor: Address, session: Session) -> str:
    role, group = api.running.filter.engine.neighbors.identify(neighbor)
    if role == "unknown":
        return "in no group"
    name = "router" if role == "router" else host_name(api.running, neighbor, session.asn)
    return clean(group if name == group else f"{name}, group {group}")


def _last_error(api: Api, neighbor: Address, session: Session) -> str:
    """Return why the session is down, and which of its routes are not as one would expect."""
    engine = api.running.filter.engine
    table = engine.rib_in.tables.get(neighbor)
    found = []
    if not session.is_up:
        is_known = neighbor in engine.sessions
        found.append(session.reason[:MAX_ERROR] if is_known else "truth expects this host")
        if session.wrong_asn:
            found.append(f"it opens sessions as AS{session.wrong_asn}")
    if table and table.stale:
        found.append(f"{count(len(table.stale), 'route')} kept as stale")
    if table and not table.room_beyond:
        found.append("so many routes beyond max_prefixes that further ones are not kept")
    return clean("; ".join(filter(None, found)))


# Routes ------------------------------------------------------------------------------------------


async def accepted(
    api: Api, request: web.Request, params: BirdNeighborParams
) -> web.StreamResponse:
    """Return the accepted routes of a neighbor."""
    return await _routes(api, request, _of_neighbor(api, _listed(api, params)), _accepted)


async def filtered(
    api: Api, request: web.Request, params: BirdNeighborParams
) -> web.StreamResponse:
    """Return the rejected and held routes of a neighbor."""
    rib = api.running.filter.engine.rib_in

    def select(entries: list[Entry]) -> Iterator[Entry]:
        return (e for e in entries if not e.is_accepted and not is_hidden(rib, e))

    return await _routes(api, request, _of_neighbor(api, _listed(api, params)), select)


async def withheld(
    api: Api, request: web.Request, params: BirdNeighborParams
) -> web.StreamResponse:
    """Return the accepted routes that a router does not get. A host gets none at all: an empty
    list."""
    engine, neighbor = api.running.filter.engine, _listed(api, params)
    role, group = engine.neighbors.identify(neighbor)
    if role != "router":
        return await _routes(api, request, api.reader.slices_of([]), _accepted)
    return await _routes(api, request, _all(api), _accepted, rib_out=engine.ribs_out[group])


async def table(api: Api, request: web.Request, params: BirdTableParams) -> web.StreamResponse:
    """Return the accepted routes of all neighbors."""
    return await _routes(api, request, _of_table(api, params.table), _accepted)


async def table_filtered(
    api: Api, request: web.Request, params: BirdTableParams
) -> web.StreamResponse:
    """Return the rejected and held routes of all neighbors."""

    def select(entries: list[Entry]) -> Iterator[Entry]:
        return (entry for entry in entries if not entry.is_accepted)

    return await _routes(api, request, _of_table(api, params.table), select)


def _listed(api: Api, params: BirdNeighborParams) -> Address:
    neighbor = neighbor_of(params.id)
    if neighbor is None or not _is_listed(api, neighbor):
        raise ApiError(404, "not_found", "no such neighbor; its id is in /protocols/bgp")
    return neighbor


Entries = AsyncIterator[list[Entry]]


def _of_neighbor(api: Api, neighbor: Address) -> Entries:
    found = api.running.filter.engine.rib_in.tables.get(neighbor)
    return api.reader.slices_of(list(found.entries.values()) if found else [], SCAN_SLICE)


def _all(api: Api) -> Entries:
    return api.reader.entries(api.running.filter.engine.rib_in, size=SCAN_SLICE)


async def _of_table(api: Api, name: str) -> Entries:
    """Yield the entries of a table, in slices; none if it is unknown, as BIRD has none then."""
    families = TABLES.get(name)
    if families is None:
        return
    async for entries in _all(api):
        yield [entry for entry in entries if entry.route.key.prefix.family in families]


def _accepted(entries: list[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.is_accepted)


async def _routes(
    api: Api,
    request: web.Request,
    found: Entries,
    select: Callable[[list[Entry]], Iterator[Entry]],
    rib_out: AdjRibOut | None = None,
) -> web.StreamResponse:
    """Stream the selected entries; with `rib_out` those of them that are not in it."""
    engine, own_asn = api.running.filter.engine, api.running.config.route_server.asn
    encoder = RouteEncoder(own_asn, api.glass.age)

    def encoded(entries: list[Entry]) -> list[bytes]:
        if rib_out is None:
            return [encoder.encode(entry, is_primary=is_best(engine, entry)) for entry in entries]
        whys = ((entry, rib_out.withheld(entry.route)) for entry in entries)
        return [encoder.encode(entry, withheld=why) for entry, why in whys if why]

    async def parts() -> AsyncIterator[list[bytes]]:
        async for entries in found:
            selected = list(select(entries))
            for start in range(0, len(selected), SLICE):
                if start:
                    await api.reader.pause()
                # again: verdicts may have changed during the pause
                yield encoded(list(select(selected[start : start + SLICE])))

    return await _respond(request, envelope(time.time()), "routes", ("[", "]"), parts())


async def _respond(
    request: web.Request,
    made: Envelope,
    member: str,
    brackets: tuple[str, str],
    parts: AsyncIterator[list[bytes]],
) -> web.StreamResponse:
    """Stream an answer: its envelope, then the member that has no end, which is last."""
    opening, closing = brackets
    head = f',"{member}":{opening}'.encode()
    async with stream(request, JSON, may_compress=True) as answer:
        await answer.write(encode(made)[:-1] + head)
        separator = b""
        async for items in parts:
            if items:
                await answer.write(separator + b",".join(items))
                separator = b","
        await answer.write(closing.encode() + b"}")
    return answer.response
