"""The fleet, as its shipping process has last seen it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from rsfilter.web import fleet_schema
from rsfilter.web.api import Api
from rsfilter.web.requests import ApiError

if TYPE_CHECKING:
    from rsfilter.fleet.messages import PeerReport
    from rsfilter.fleet.sightings import Sighting
    from rsfilter.fleet.state import RouteDifference


async def fleet(api: Api, _request: web.Request, _params: None) -> fleet_schema.Fleet:
    """The fleet: its route servers, and where they differ from this one."""
    known = api.running.fleet
    if known is None:
        raise ApiError(404, "not_configured", "the configuration has no [fleet]")
    from rsfilter.fleet.sightings import sightings  # without a fleet nothing of it is loaded

    report, (problem, detail) = known.report, known.problem
    own = next((peer for peer in report.peers if peer.instance == known.instance), None)
    return fleet_schema.Fleet(
        name=known.name,
        instance=known.instance,
        problem=problem,
        detail=detail,
        shipped=report.shipped,
        behind=max(0, report.head - report.shipped),
        has_answer=bool(report.peers),
        instances=[_instance(peer, own) for peer in report.peers],
        absent=[_absent(one) for one in sightings(report.peers)],
        differing=report.differing,
        differences=list(map(_difference, report.differences)),
    )


def _instance(peer: PeerReport, own: PeerReport | None) -> fleet_schema.FleetInstance:
    from rsfilter.fleet.compare import other_data

    state = peer.state
    return fleet_schema.FleetInstance(
        instance=peer.instance,
        age_s=peer.age,
        is_silent=peer.is_silent,
        version=state.version,
        truth=state.truth,
        revision=state.revision,
        rtr=state.rtr,
        vrps=state.vrps,
        other_data=other_data(own.state, state) if own else "",
        data_age_s=state.data_age,
        sessions=state.sessions,
        absent=state.absent_count,
        accepted=state.accepted,
        rejected=state.rejected,
        held=state.held,
        shipped=state.shipped,
        behind=state.behind,
        problem=state.problem,
        is_complete=state.is_complete,
    )


def _absent(one: Sighting) -> fleet_schema.FleetAbsent:
    return fleet_schema.FleetAbsent(
        neighbor=one.neighbor,
        host=one.host,
        absent_from=list(one.absent_from),
        seen_by=list(one.seen_by),
        instances=one.instances,
    )


def _difference(one: RouteDifference) -> fleet_schema.FleetDifference:
    return fleet_schema.FleetDifference(
        peer=one.peer,
        cause=one.cause,
        neighbor=one.neighbor,
        host=one.host,
        prefix=one.prefix,
        path_id=one.path_id,
        here=one.here,
        there=one.there,
    )
