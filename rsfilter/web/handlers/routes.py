"""Routes: the table in pages or as one stream. `story` has the whole of one prefix."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing

from aiohttp import web

from rsfilter.audit.record import path_text
from rsfilter.routing.adj_rib_in import Entry
from rsfilter.routing.model import Address, Prefix
from rsfilter.routing.reasons import REASONS
from rsfilter.web import parameters, schema
from rsfilter.web.api import Api
from rsfilter.web.handlers.status import host_name
from rsfilter.web.requests import bad_request
from rsfilter.web.responses import NDJSON, encode, stream
from rsfilter.web.table_reader import SLICE, is_best

MAX_COMMUNITIES = 16
"""Communities of each kind that a list shows. An UPDATE has room for a thousand and more."""

SCAN_SLICE = 1000
"""Entries filtered in one go: less than a millisecond."""

Test = Callable[[Entry], bool]


async def routes(
    api: Api, request: web.Request, params: parameters.RoutesParams
) -> schema.Routes | web.StreamResponse:
    """A page of the table, or all of it as NDJSON."""
    wanted = _RouteFilter(api, params)
    if NDJSON in request.headers.get("Accept", ""):
        return await _stream(api, request, wanted)
    page: list[schema.RouteJson] = []
    async with aclosing(_matching(api, wanted)) as found:
        async for entries in found:
            for entry in entries:
                if len(page) == params.limit:
                    return schema.Routes(routes=page, next=str(entry.number))
                page.append(route_shape(api, entry))
    return schema.Routes(routes=page, next=None)


async def _stream(api: Api, request: web.Request, wanted: _RouteFilter) -> web.StreamResponse:
    async with stream(request, NDJSON) as answer:
        async for entries in _matching(api, wanted):
            lines = [encode(route_shape(api, entry)) for entry in entries]
            if lines:
                await answer.write(b"\n".join((*lines, b"")))
    return answer.response


# Filters -----------------------------------------------------------------------------------------


class _RouteFilter:
    """The filters of a request, parsed. Raises ApiError for what cannot be parsed."""

    def __init__(self, api: Api, params: parameters.RoutesParams) -> None:
        self.prefix = None if params.prefix is None else well_formed(params.prefix)
        self.match = params.match
        self.start = _position(params.cursor or "0")
        self.tests = list(_tests(api, params))
        if self.prefix is not None and self.match == "covered":
            self.tests.append(_is_covered_by(self.prefix))

    def meets(self, entry: Entry) -> bool:
        """Return whether the route meets the conditions."""
        return all(test(entry) for test in self.tests)


def well_formed(text: str) -> Prefix:
    """Parse a prefix of a request. Raises ApiError if it is invalid."""
    try:
        prefix = Prefix.parse(text)
    except ValueError as error:
        raise bad_request(f"prefix: {error}") from None
    if not prefix.is_well_formed:
        raise bad_request(f"prefix: {text!r} has host bits set, or an impossible length")
    return prefix


def _position(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise bad_request(f"cursor: {text!r} is not a cursor; use `next` of the previous page")
    return int(text)


def _tests(api: Api, params: parameters.RoutesParams) -> Iterator[Test]:
    if (verdict := params.verdict) is not None:
        yield lambda entry: entry.verdict.kind.value == verdict
    if (reason := params.reason) is not None:
        if reason not in REASONS:
            raise bad_request(f"reason: there is no {reason!r}")
        yield lambda entry: reason in entry.verdict.reasons
    if (asn := params.asn) is not None:
        yield lambda entry: entry.route.asn == asn
    if (host := params.host) is not None:
        yield lambda entry: host_of(api, entry) == host
    if params.family is not None:
        family = 4 if params.family == "ipv4" else 6
        yield lambda entry: entry.route.key.prefix.family == family
    if params.neighbor is not None:
        try:
            neighbor = Address.parse(params.neighbor)
        except ValueError as error:
            raise bad_request(f"neighbor: {error}") from None
        yield lambda entry: entry.route.key.neighbor == neighbor


def _is_covered_by(prefix: Prefix) -> Test:
    def test(entry: Entry) -> bool:
        inside = entry.route.key.prefix
        return inside.is_well_formed and prefix.covers(inside)

    return test


async def _matching(api: Api, wanted: _RouteFilter) -> AsyncGenerator[list[Entry], None]:
    """Yield the matching entries, in order of arrival, in lists to be processed at once."""
    async for entries in _read(api, wanted):
        found = [entry for entry in entries if wanted.meets(entry)] if wanted.tests else entries
        for begin in range(0, len(found), SLICE):
            if begin:
                await api.reader.pause()
            yield found[begin : begin + SLICE]


def _read(api: Api, wanted: _RouteFilter) -> AsyncGenerator[list[Entry], None]:
    """Every entry that the filters may let through, from the cursor on."""
    size = SCAN_SLICE if wanted.tests else SLICE
    if wanted.prefix is None or wanted.match == "covered":
        return api.reader.entries(api.running.filter.engine.rib_in, wanted.start, size)
    found = [e for e in _at_or_above(api, wanted.prefix, wanted.match) if e.number >= wanted.start]
    return api.reader.slices_of(sorted(found, key=by_number), size)


def by_number(entry: Entry) -> int:
    """The order of arrival, to sort by."""
    return entry.number


def _at_or_above(api: Api, prefix: Prefix, match: str) -> Iterator[Entry]:
    """The routes of exactly this prefix; `covering`: and of every less specific one."""
    rib = api.running.filter.engine.rib_in
    shortest = 0 if match == "covering" else prefix.length
    for length in range(shortest, prefix.length + 1):
        yield from rib.at(prefix.masked(length))


# One route ---------------------------------------------------------------------------------------


def route_shape(api: Api, entry: Entry) -> schema.RouteJson:
    """A route as JSON shows it."""
    engine = api.running.filter.engine
    route = entry.route
    key, asn = route.key, route.asn
    group = engine.neighbors.identify(key.neighbor).group
    attributes = route.attributes
    path, path_length = path_text(attributes.as_path)
    verdict = entry.verdict
    return schema.RouteJson(
        neighbor=str(key.neighbor),
        host=host_of(api, entry),
        group=group,
        asn=asn,
        prefix=str(key.prefix),
        path_id=key.path_id,
        as_path=path,
        as_path_length=path_length,
        next_hop=" ".join(map(str, route.next_hops)),
        med=attributes.med,
        communities=joined_by_colons(attributes.communities[:MAX_COMMUNITIES]),
        large_communities=joined_by_colons(attributes.large_communities[:MAX_COMMUNITIES]),
        is_best=is_best(engine, entry),
        verdict=verdict.kind.value,
        reasons=list(verdict.reasons),
        state=verdict.validation.state.value,
        vrps=[str(vrp) for vrp in verdict.validation.vrps],
        owners=list(verdict.validation.owners),
        stale=engine.rib_in.is_stale(key),
    )


def host_of(api: Api, entry: Entry) -> str:
    """The truth's name for the host that announces a route, else the name of its group."""
    return host_name(api.running, entry.route.key.neighbor, entry.route.asn)


def joined_by_colons(communities: Iterable[tuple[int, ...]]) -> list[str]:
    """Communities as operators write them."""
    return [":".join(map(str, community)) for community in communities]
