"""`/api/v1/routes/{prefix}`: every host's route of one prefix, with its history.

An anycast prefix may have thousands of owners: they are streamed, in slices, and their common parts
(the paths of each router group) are computed once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, cast

from aiohttp import web

from rsfilter.audit.record import timestamp
from rsfilter.routing.adj_rib_in import Entry
from rsfilter.routing.export import BEST_PATH_ID, OutAttributes, path_id
from rsfilter.routing.judging import findings
from rsfilter.routing.model import Address, Prefix, Route, RouteKey
from rsfilter.routing.reasons import REASONS
from rsfilter.web import parameters, schema
from rsfilter.web.api import Api
from rsfilter.web.audit_worker import Found
from rsfilter.web.handlers.routes import by_number, joined_by_colons, route_shape
from rsfilter.web.owners import owners
from rsfilter.web.requests import ApiError, bad_request
from rsfilter.web.responses import JSON, encode, stream

AUDIT_TIME_S = 2.0
"""Seconds for the search of the audit log for a route's history, which should be fast."""

AUDIT_RECORDS = 20
"""Audit records beside a route's story: the last few changes; `/api/v1/audit` has all."""

MAX_COMMUNITIES = 100
"""Communities of each kind that a story shows. An UPDATE has room for a thousand and more."""

STORY_SLICE = 16
"""Stories that are made in one go: a millisecond. Each runs every check of its route again."""


async def story(
    api: Api, request: web.Request, params: parameters.PrefixParams | parameters.PrefixPartsParams
) -> web.StreamResponse:
    """Every host's route of one prefix: its checks, its VRPs, what routers get, its history."""
    text = params.prefix if isinstance(params, parameters.PrefixParams) else _joined(params)
    try:
        prefix = Prefix.parse(text)  # a malformed one may be in the table as well
    except ValueError as error:
        raise bad_request(f"prefix: {error}") from None
    history = await _history(api, str(prefix))
    entries = api.running.filter.engine.rib_in.at(prefix)
    owned_by = owners(api.running, prefix)
    if not entries and not owned_by and not history.count:
        raise ApiError(
            404, "no_route", f"no host announces or owns {prefix}, and no audit record names it"
        )
    frame = schema.RouteStories(
        prefix=str(prefix),
        owners=owned_by,
        routes=[],
        audit=cast(Any, history.records),  # as they are: encoded
        is_audit_complete=not history.problem,
    )
    before, opening, after = encode(frame).partition(b'"routes":[]')
    async with stream(request, JSON) as answer:
        await answer.write(before + opening[:-1])
        separator = b""
        async with aclosing(_stories(api, prefix)) as found:
            async for stories in found:
                await answer.write(separator + b",".join(map(encode, stories)))
                separator = b","
        await answer.write(b"]" + after)
    return answer.response


async def _stories(api: Api, prefix: Prefix) -> AsyncGenerator[list[schema.RouteStory], None]:
    """Every route of the prefix, in order of arrival, in lists that are never empty."""
    rib = api.running.filter.engine.rib_in
    announced = _AnnouncedPaths(api, prefix)
    async for entries in api.reader.slices_of(sorted(rib.at(prefix), key=by_number), STORY_SLICE):
        if stories := [_story(api, entry, announced) for entry in entries if rib.has(entry)]:
            yield stories


def _joined(params: parameters.PrefixPartsParams) -> str:
    return f"{params.address}/{params.length}"


async def _history(api: Api, prefix: str) -> Found:
    try:
        return await api.audit(AUDIT_TIME_S, prefix=prefix, match="exact", limit=AUDIT_RECORDS)
    except ApiError as error:  # a story without its history is better than none
        return Found(problem="unreadable", detail=str(error))


def _story(api: Api, entry: Entry, announced: _AnnouncedPaths) -> schema.RouteStory:
    engine = api.running.filter.engine
    route, attributes = entry.route, entry.route.attributes
    found = findings(route, engine.neighbors.group(route.key.neighbor), engine.data)
    found["max_prefixes"] = () if entry.within_limit else ("max_prefixes",)
    table = engine.rib_in.tables[route.key.neighbor]
    until = table.stale.get(route.key)
    return schema.RouteStory(
        route=route_shape(api, entry),
        origin=attributes.origin,
        med=attributes.med,
        communities=_communities(attributes.communities),
        large_communities=_communities(attributes.large_communities),
        extended_communities=[f"0x{c:016x}" for c in attributes.extended_communities][
            :MAX_COMMUNITIES
        ],
        malformed=attributes.malformed,
        checks=[_check(name, reasons) for name, reasons in found.items()],
        within_limit=entry.within_limit,
        stale_until=None if until is None else timestamp(api.running.wall_clock(until)),
        announced=announced.of(route.key),
    )


def _communities(communities: tuple[tuple[int, ...], ...]) -> list[str]:
    return joined_by_colons(communities[:MAX_COMMUNITIES])


def _check(name: str, reasons: tuple[str, ...]) -> schema.Check:
    explained = [schema.ReasonJson(**REASONS[reason]._asdict()) for reason in reasons]
    return schema.Check(check=name, is_good=not reasons, reasons=explained)


class _AnnouncedPaths:
    """The paths of one prefix in each router group's table, by the route that they are of."""

    def __init__(self, api: Api, prefix: Prefix) -> None:
        engine = api.running.filter.engine
        candidates = engine.rib_in.candidates(prefix)
        self._best: dict[RouteKey, list[_Path]] = defaultdict(list)
        self._by_path_id: dict[int, list[_Path]] = defaultdict(list)
        for group, rib in engine.ribs_out.items():
            for number, (sent_id, attributes) in enumerate(rib.routes.get(prefix, ())):
                path = _Path(group, sent_id, attributes, is_best=number == 0)
                if sent_id != BEST_PATH_ID:
                    self._by_path_id[sent_id].append(path)
                elif key := _first_with(attributes.next_hop, candidates):
                    self._best[key].append(path)

    def of(self, key: RouteKey) -> list[schema.AnnouncedJson]:
        """The paths that routers have because of this route."""
        own_id = path_id(key.neighbor, key.path_id)
        return [path.shape() for path in (*self._best[key], *self._by_path_id[own_id])]


class _Path(NamedTuple):
    """A path that a group of routers should have."""

    group: str
    path_id: int
    attributes: OutAttributes
    is_best: bool

    def shape(self) -> schema.AnnouncedJson:
        """The path as JSON shows it."""
        return schema.AnnouncedJson(
            routers=self.group,
            path_id=self.path_id,
            next_hop=str(self.attributes.next_hop),
            as_path=" ".join(map(str, self.attributes.as_path)),
            med=self.attributes.med,
            communities=_communities(self.attributes.communities),
            is_best=self.is_best,
        )


def _first_with(next_hop: Address, candidates: Sequence[Route]) -> RouteKey | None:
    """The best candidate that has this next hop: the best of all may not be exported."""
    return next((route.key for route in candidates if next_hop in route.next_hops), None)
