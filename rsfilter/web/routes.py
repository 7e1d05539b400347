"""Routes: the table in pages or as one stream, and one prefix with its whole story."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing

from aiohttp import web

from rsfilter.audit.query import GaveUpError, Record, query
from rsfilter.audit.record import path_text, timestamp
from rsfilter.routing.export import OutAttributes, path_id
from rsfilter.routing.model import Address, Prefix
from rsfilter.routing.policy import findings
from rsfilter.routing.reasons import REASONS
from rsfilter.routing.rib import Entry
from rsfilter.web import shapes
from rsfilter.web.answers import NDJSON, encode, stream
from rsfilter.web.api import Api
from rsfilter.web.errors import ApiError, bad_request
from rsfilter.web.slices import SLICE

STORY_AUDIT_TIME_S = 2.0
"""How long the audit log is searched for a route's story, which should come at once."""

STORY_RECORDS = 20
"""Audit records beside a route's story: the last few changes; `/api/v1/audit` has all."""

MAX_COMMUNITIES = 100
"""Communities of each kind that a story shows. An UPDATE has room for a thousand and more."""

SCAN_SLICE = 1000
"""Entries that are looked through in one go for a filter: less than a millisecond."""

Test = Callable[[Entry], bool]


async def routes(
    api: Api, request: web.Request, asked: shapes.RoutesAsked
) -> shapes.Routes | web.StreamResponse:
    """A page of the table, or all of it as NDJSON."""
    wanted = _Wanted(asked)
    if NDJSON in request.headers.get("Accept", ""):
        return await _stream(api, request, wanted)
    page: list[shapes.Route] = []
    async with aclosing(_matching(api, wanted)) as found:
        async for entries in found:
            for entry in entries:
                if len(page) == asked.limit:
                    return shapes.Routes(routes=page, next=str(entry.number))
                page.append(route_shape(api, entry))
    return shapes.Routes(routes=page, next=None)


async def _stream(api: Api, request: web.Request, wanted: _Wanted) -> web.StreamResponse:
    async with stream(request, NDJSON) as answer:
        async for entries in _matching(api, wanted):
            lines = [encode(route_shape(api, entry)) for entry in entries]
            if lines:
                await answer.write(b"\n".join((*lines, b"")))
    return answer.response


# Filters -----------------------------------------------------------------------------------------


class _Wanted:
    """The filters of a request, parsed. Raises ApiError for what cannot be parsed."""

    def __init__(self, asked: shapes.RoutesAsked) -> None:
        self.prefix = None if asked.prefix is None else well_formed(asked.prefix)
        self.match = asked.match
        self.start = _position(asked.cursor or "0")
        self.tests = list(_tests(asked))
        if self.prefix is not None and self.match == "covered":
            self.tests.append(_is_covered_by(self.prefix))

    def meets(self, entry: Entry) -> bool:
        """The route is one of those that are asked for."""
        return all(test(entry) for test in self.tests)


def well_formed(text: str) -> Prefix:
    """A prefix that somebody asks about; ApiError when it is none."""
    try:
        prefix = Prefix.parse(text)
    except ValueError as error:
        raise bad_request(f"prefix: {error}") from None
    if not prefix.is_well_formed:
        raise bad_request(f"prefix: {text!r} has host bits set, or an impossible length")
    return prefix


def _position(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise bad_request(f"cursor: {text!r} is none; take it from `next` of the page before")
    return int(text)


def _tests(asked: shapes.RoutesAsked) -> Iterator[Test]:
    if (verdict := asked.verdict) is not None:
        yield lambda entry: entry.verdict.kind.value == verdict
    if (reason := asked.reason) is not None:
        if reason not in REASONS:
            raise bad_request(f"reason: there is no {reason!r}")
        yield lambda entry: reason in entry.verdict.reasons
    if (asn := asked.asn) is not None:
        yield lambda entry: entry.route.asn == asn
    if asked.family is not None:
        family = 4 if asked.family == "ipv4" else 6
        yield lambda entry: entry.route.key.prefix.family == family
    if asked.neighbor is not None:
        try:
            neighbor = Address.parse(asked.neighbor)
        except ValueError as error:
            raise bad_request(f"neighbor: {error}") from None
        yield lambda entry: entry.route.key.neighbor == neighbor


def _is_covered_by(prefix: Prefix) -> Test:
    def test(entry: Entry) -> bool:
        inside = entry.route.key.prefix
        return inside.is_well_formed and prefix.covers(inside)

    return test


async def _matching(api: Api, wanted: _Wanted) -> AsyncGenerator[list[Entry], None]:
    """The entries that are asked for, in order of arrival, in lists to be worked on at once."""
    if wanted.prefix is not None and wanted.match != "covered":
        found = [e for e in _at_or_above(api, wanted.prefix, wanted.match) if wanted.meets(e)]
        yield sorted((e for e in found if e.number >= wanted.start), key=_number)
        return
    rib = api.running.filter.engine.rib_in
    size = SCAN_SLICE if wanted.tests else SLICE
    async for entries in api.slices.entries(rib, wanted.start, size):
        found = [entry for entry in entries if wanted.meets(entry)] if wanted.tests else entries
        for begin in range(0, len(found), SLICE):
            if begin:
                await api.slices.pause()
            yield found[begin : begin + SLICE]


def _number(entry: Entry) -> int:
    return entry.number


def _at_or_above(api: Api, prefix: Prefix, match: str) -> Iterator[Entry]:
    """The routes of exactly this prefix; `covering`: and of every less specific one."""
    rib = api.running.filter.engine.rib_in
    shortest = 0 if match == "covering" else prefix.length
    for length in range(shortest, prefix.length + 1):
        yield from rib.at(prefix.masked(length))


# One route ---------------------------------------------------------------------------------------


def route_shape(api: Api, entry: Entry) -> shapes.Route:
    """A route as JSON shows it."""
    engine = api.running.filter.engine
    route = entry.route
    key, asn = route.key, route.asn
    group = engine.neighbors.identify(key.neighbor).group
    host = engine.data.host(asn, key.neighbor)
    path, path_length = path_text(route.attributes.as_path)
    verdict = entry.verdict
    return shapes.Route(
        neighbor=str(key.neighbor),
        host=host.name if host else group,
        group=group,
        asn=asn,
        prefix=str(key.prefix),
        path_id=key.path_id,
        as_path=path,
        as_path_length=path_length,
        next_hop=" ".join(map(str, route.next_hops)),
        verdict=verdict.kind.value,
        reasons=list(verdict.reasons),
        state=verdict.validation.state.value,
        vrps=[str(vrp) for vrp in verdict.validation.vrps],
        stale=engine.rib_in.is_stale(key),
    )


async def story(
    api: Api, _request: web.Request, asked: shapes.PrefixAsked | shapes.PrefixPartsAsked
) -> shapes.RouteStories:
    """Every host's route of one prefix: its checks, its VRPs, what routers get, its history."""
    text = asked.prefix if isinstance(asked, shapes.PrefixAsked) else _joined(asked)
    try:
        prefix = Prefix.parse(text)  # a malformed one may be in the table as well
    except ValueError as error:
        raise bad_request(f"prefix: {error}") from None
    records, is_complete = await _history(api, str(prefix))
    entries = api.running.filter.engine.rib_in.at(prefix)
    if not entries and not records:
        raise ApiError(404, "no_route", f"nobody announces {prefix}, and the audit log has nothing")
    return shapes.RouteStories(
        prefix=str(prefix),
        routes=[_story(api, entry) for entry in sorted(entries, key=_number)],
        audit=records,
        is_audit_complete=is_complete,
    )


def _joined(asked: shapes.PrefixPartsAsked) -> str:
    return f"{asked.address}/{asked.length}"


async def _history(api: Api, prefix: str) -> tuple[list[Record], bool]:
    directory = api.running.config.audit.directory

    def ask(should_end: Callable[[], bool]) -> list[Record]:
        return list(
            query(
                directory, prefix=prefix, match="exact", limit=STORY_RECORDS, should_end=should_end
            )
        )

    try:
        return await api.audit(ask, STORY_AUDIT_TIME_S), True
    except GaveUpError as error:
        return error.found, False
    except (ValueError, OSError):  # a malformed prefix, which `query` does not look for; no files
        return [], False


def _story(api: Api, entry: Entry) -> shapes.RouteStory:
    engine = api.running.filter.engine
    route, attributes = entry.route, entry.route.attributes
    found = findings(route, engine.neighbors.group(route.key.neighbor), engine.data)
    found["max_prefixes"] = () if entry.within_limit else ("max_prefixes",)
    table = engine.rib_in.tables[route.key.neighbor]
    until = table.stale.get(route.key)
    return shapes.RouteStory(
        route=route_shape(api, entry),
        origin=attributes.origin,
        med=attributes.med,
        communities=_joined_by_colons(attributes.communities),
        large_communities=_joined_by_colons(attributes.large_communities),
        extended_communities=[f"0x{c:016x}" for c in attributes.extended_communities][
            :MAX_COMMUNITIES
        ],
        malformed=attributes.malformed,
        checks=[_check(name, reasons) for name, reasons in found.items()],
        within_limit=entry.within_limit,
        stale_until=None if until is None else timestamp(api.running.wall_clock(until)),
        announced=list(_announced(api, entry)),
    )


def _joined_by_colons(communities: tuple[tuple[int, ...], ...]) -> list[str]:
    return [":".join(map(str, community)) for community in communities[:MAX_COMMUNITIES]]


def _check(name: str, reasons: tuple[str, ...]) -> shapes.Check:
    explained = [shapes.Reason(**REASONS[reason]._asdict()) for reason in reasons]
    return shapes.Check(check=name, is_good=not reasons, reasons=explained)


def _announced(api: Api, entry: Entry) -> Iterator[shapes.Announced]:
    """What of each router group's table is this route's: its path id, or the best path if that
    has its next hop and its AS."""
    engine = api.running.filter.engine
    key = entry.route.key
    own_id = path_id(key.neighbor, key.path_id)
    candidates = engine.rib_in.candidates(key.prefix)
    is_first = bool(candidates) and candidates[0].key == key
    for group, rib in engine.ribs_out.items():
        paths = rib.routes.get(key.prefix, ())
        for number, (sent_id, attributes) in enumerate(paths):
            if sent_id == own_id or (sent_id == 0 and is_first):
                yield _announcement(group, sent_id, attributes, is_best=number == 0)


def _announcement(
    group: str, sent_id: int, attributes: OutAttributes, *, is_best: bool
) -> shapes.Announced:
    return shapes.Announced(
        routers=group,
        path_id=sent_id,
        next_hop=str(attributes.next_hop),
        as_path=" ".join(map(str, attributes.as_path)),
        med=attributes.med,
        communities=_joined_by_colons(attributes.communities),
        is_best=is_best,
    )
