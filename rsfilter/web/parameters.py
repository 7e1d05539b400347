"""Parameters of a request: texts to values, and in words what one takes that was given another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from rsfilter.audit.record import EVENTS
from rsfilter.routing.groups import Role
from rsfilter.routing.model import VerdictName
from rsfilter.routing.reasons import REASONS
from rsfilter.rpki.vrp_tables import MAX_ASN
from rsfilter.web.requests import bad_request
from rsfilter.web.schema import NeighborState

MAX_SHOWN = 60
"""Characters of a bad value that an error repeats."""

_AS = re.compile(r"[Aa][Ss](?=[0-9])")


def parse(given: Mapping[str, str], kind: type[Params]) -> Params:
    """Return the parameters of a request. ASNs may begin with AS. ApiError 400 for a bad one."""
    asn = given.get("asn")
    values = {**given, "asn": _AS.sub("", asn, count=1)} if asn and _AS.match(asn) else given
    try:
        return msgspec.convert(values, type=kind, strict=False)
    except msgspec.ValidationError as error:
        name = str(error).partition(" - at `$.")[2].rstrip("`")
        if name not in given:
            raise  # one is missing that the path has
    raise bad_request(f"{name}: {_shown(given[name])} is not {takes(kind, name)}")


def takes(kind: type[Params], name: str) -> str:
    """Return in words what a parameter takes."""
    (schema,), components = msgspec.json.schema_components([kind])
    found = components[schema["$ref"].rpartition("/")[2]]["properties"][name]
    of = next(each for each in found.get("anyOf", [found]) if each != {"type": "null"})
    if name == "asn":
        return "an ASN such as 65001 or AS65001"
    if "enum" in of:
        return f"one of {', '.join(of['enum'])}"
    if of["type"] == "integer":
        return f"an integer from {of['minimum']} to {of['maximum']}"
    return f"a text of at most {of['maxLength']} characters"


def _shown(value: str) -> str:
    return repr(value) if len(value) <= MAX_SHOWN else f"a text of {len(value)}"


FamilyName = Literal["ipv4", "ipv6"]


ReasonName = Annotated[str, Meta(extra_json_schema={"enum": list(REASONS)})]


EventName = Annotated[str, Meta(extra_json_schema={"enum": list(EVENTS)})]


Asn = Annotated[int, Meta(ge=0, le=MAX_ASN)]


Text = Annotated[str, Meta(max_length=200)]


class Params(Struct, forbid_unknown_fields=True, kw_only=True):
    """Parameters of a request: path and query, or its body."""


class NeighborsParams(Params):
    """Filters of `/api/v1/neighbors`."""

    role: Role | None = None
    group: Text | None = None
    host: Text | None = None
    """The truth's name for it, or the name of its group."""
    state: NeighborState | None = None


class RoutesParams(Params):
    """Filters of `/api/v1/routes`; all have to hold."""

    prefix: Text | None = None
    match: Literal["covering", "covered", "exact"] = "covering"
    asn: Asn | None = None
    neighbor: Text | None = None
    host: Text | None = None
    """The truth's name for it, or the name of its group."""
    verdict: VerdictName | None = None
    reason: ReasonName | None = None
    family: FamilyName | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: Text | None = None


class PrefixParams(Params):
    """A prefix in the path, as one segment."""

    prefix: Text


class PrefixPartsParams(Params):
    """A prefix in the path, as it is written."""

    address: Text
    length: Text


class AuditParams(Params):
    """Conditions of `/api/v1/audit`; all have to hold."""

    prefix: Text | None = None
    match: Literal["covering", "covered", "exact"] = "covering"
    asn: Asn | None = None
    host: Text | None = None
    neighbor: Text | None = None
    event: EventName | None = None
    verdict: VerdictName | None = None
    reason: ReasonName | None = None
    since: Text | None = None
    """RFC 3339, or so long ago: 90s, 15m, 2h, 3d, 1w."""
    until: Text | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class TimelineParams(Params):
    """The time of `/api/v1/timeline`."""

    since: Text = "1h"
    """RFC 3339, or so long ago: 90s, 15m, 2h, 3d, 1w."""
    until: Text | None = None
    """End of the time; now if it is not given."""


class ValidityParams(Params):
    """A prefix in the path, as one segment."""

    asn: Text
    prefix: Text


class ValidityPartsParams(Params):
    """A prefix in the path, as it is written."""

    asn: Text
    address: Text
    length: Text


class BirdParams(Params):
    """Parameters of the birdwatcher API. Its readers may send `uncached`, which changes nothing."""

    uncached: Text | None = None


class BirdNeighborParams(BirdParams, kw_only=True):
    """A neighbor, by its id."""

    id: Text


class BirdTableParams(BirdParams, kw_only=True):
    """A table, by its name."""

    table: Text


class DrainWanted(Params):
    """Body of `POST /api/v1/drain`."""

    on: bool


class ReloadWanted(Params):
    """Body of `POST /api/v1/reload`."""

    force: bool = False
    """True if the losses are meant: the guard does not refuse them."""


class ReleaseWanted(Params):
    """Body of `POST /api/v1/guard/release`. Without one, all held routes are released."""

    prefix: Text | None = None
    """Only routes of this prefix and of those inside it."""
    host: Text | None = None
    """Only routes of this host: the truth's name for it, or the name of its group."""


class EventsParams(Params):
    """Kinds of events to send."""

    kinds: Text | None = None
    """Comma-separated: verdict, session, absence, data, guard, drain, service. Not given: all."""
