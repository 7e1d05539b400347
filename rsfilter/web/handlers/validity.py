"""`/api/v1/validity/{asn}/{prefix}`: RFC 6811 in the form of Routinator's response.

Validates with the active data, under the active mode: in `authoritative` mode the VRPs of the
deciding source, in `union` those of both, in `both` those of the source that prevails.
"""

from __future__ import annotations

import time
from typing import Literal

from aiohttp import web
from msgspec import UNSET

from rsfilter.audit.record import timestamp
from rsfilter.routing.bindings import OriginTable
from rsfilter.routing.model import BITS, OriginState, Prefix, Vrp
from rsfilter.routing.validation import Data, DataUnavailableError, Mode, Source, origin
from rsfilter.rpki.document import read_asn
from rsfilter.web import parameters, schema
from rsfilter.web.api import Api
from rsfilter.web.requests import ApiError, bad_request

MAX_VRPS = 1000
"""VRPs of one source that an answer names, at most. The Internet's prefixes have some dozens; a
hostile cache can send hundreds of thousands for one."""

State = Literal["valid", "invalid", "not-found"]
Reason = Literal["as", "length"]

_STATES: dict[OriginState, State] = {
    OriginState.VALID: "valid",
    OriginState.INVALID: "invalid",
    OriginState.NOT_FOUND: "not-found",
}

_DESCRIPTIONS = {
    "valid": "At least one VRP Matches the Route Prefix",
    "as": "At least one VRP Covers the Route Prefix, but no VRP ASN matches the route origin ASN",
    "length": "At least one VRP Covers the Route Prefix, but the Route Prefix length is greater "
    "than the maximum length allowed by VRP(s) matching this route origin ASN",
    "not-found": "No VRP Covers the Route Prefix",
}
"""The texts that programs know from the RIPE NCC's validator and from Routinator."""


async def validity(
    api: Api,
    _request: web.Request,
    params: parameters.ValidityParams | parameters.ValidityPartsParams,
) -> schema.ValidityAnswer:
    """The origin validation state of a prefix and an ASN."""
    if isinstance(params, parameters.ValidityParams):
        text = params.prefix
    else:
        text = f"{params.address}/{params.length}"
    asn, prefix = _asn(params.asn), _network(text)
    try:
        found = answer(asn, prefix, api.running.filter.engine.data)
    except DataUnavailableError:
        detail = "the source that would decide has no data in force"
        raise ApiError(503, "data_unavailable", detail) from None
    now = timestamp(time.time())[:19] + "Z"
    return schema.ValidityAnswer(validated_route=found, generatedTime=now)


def _asn(text: str) -> int:
    """An ASN, with or without AS in front; ApiError for another text."""
    try:
        return read_asn(text)
    except ValueError:
        raise bad_request(f"asn: {text!r} is not an ASN") from None


def _network(text: str) -> Prefix:
    """Like Routinator, takes host bits for a way to name the network."""
    try:
        prefix = Prefix.parse(text)
    except ValueError as error:
        raise bad_request(f"prefix: {error}") from None
    if prefix.length > BITS[prefix.family]:
        raise bad_request(f"prefix: {text!r} has an impossible length")
    return prefix.masked(prefix.length)


def answer(asn: int, prefix: Prefix, data: Data) -> schema.ValidatedRoute:
    """The answer without its time. DataUnavailableError as `policy.origin` raises it."""
    state = origin(prefix, asn, data).state
    matched: list[schema.ValidityVrp] = []
    unmatched_as: list[schema.ValidityVrp] = []
    unmatched_length: list[schema.ValidityVrp] = []
    for vrp in _covering(prefix, asn, data, state):
        if prefix.length > vrp.max_length:
            unmatched_length.append(_vrp(vrp))
        elif vrp.asn != asn or asn == 0:
            unmatched_as.append(_vrp(vrp))
        else:
            matched.append(_vrp(vrp))
    name = _STATES[state]
    why: Reason = "as" if unmatched_as else "length"
    is_invalid = state is OriginState.INVALID
    found = schema.Validity(
        state=name,
        reason=why if is_invalid else UNSET,
        description=_DESCRIPTIONS[why if is_invalid else name],
        VRPs=schema.ValidityVrps(
            matched=matched, unmatched_as=unmatched_as, unmatched_length=unmatched_length
        ),
    )
    route = schema.ValidityRoute(origin_asn=f"AS{asn}", prefix=str(prefix))
    return schema.ValidatedRoute(route=route, validity=found)


def _vrp(vrp: Vrp) -> schema.ValidityVrp:
    return schema.ValidityVrp(
        asn=f"AS{vrp.asn}", prefix=str(vrp.prefix), max_length=str(vrp.max_length)
    )


def _covering(prefix: Prefix, asn: int, data: Data, state: OriginState) -> list[Vrp]:
    found: dict[Vrp, None] = {}
    for table in _deciding(prefix, asn, data, state):
        found.update(dict.fromkeys(table.validate(prefix, asn).vrps))
        found.update(dict.fromkeys(table.covering(prefix, MAX_VRPS)))
    return list(found)


def _deciding(prefix: Prefix, asn: int, data: Data, state: OriginState) -> list[OriginTable]:
    """The sources whose VRPs led to the state (see `policy.origin`)."""
    rtr = data.rtr if data.rtr_source is Source.READY else None
    both = [table for table in (data.truth, rtr) if table is not None]
    if data.mode is Mode.AUTHORITATIVE and data.truth is not None and data.truth.covers(prefix):
        return [data.truth]
    if data.mode is Mode.BOTH:
        return [table for table in both if table.validate(prefix, asn).state is state]
    return both
