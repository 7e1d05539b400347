"""The JSON of the HTTP API: one structure for each answer, question and body.

docs/api.md and the OpenAPI document are made from these; texts from hosts and files appear as
values only. Times are RFC 3339 in UTC, durations seconds (`_s`).
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from rsfilter.routing.groups import Role
from rsfilter.routing.impact import ImpactResult
from rsfilter.routing.model import StateName, VerdictName


class Shape(Struct, gc=False, kw_only=True):
    """An answer."""


class Error(Shape, omit_defaults=True):
    """Answer to every request that fails."""

    error: str
    """A word for programs."""
    detail: str
    """Text for people: what is wrong and what to do."""
    pointer: str | None = None
    """JSON pointer (RFC 6901) into the body that was sent."""


# Parts of several answers ------------------------------------------------------------------------


class RouteCounts(Shape):
    """Routes by what was decided."""

    total: int
    accepted: int
    rejected: int
    held: int
    stale: int
    """Routes kept for hosts that were lost; they count as accepted or rejected too."""
    reasons: dict[str, int]
    """Routes by reason; a route counts for each of its reasons."""


class TruthSummary(Shape):
    """Contents of a truth file, in numbers."""

    format: str
    revision: str
    sha256: str
    vrps: int
    hosts: int
    filters: int
    """SLURM's prefix filters."""
    metadata: dict[str, str]
    warnings: list[str]


# Neighbors ---------------------------------------------------------------------------------------


class RouterProgress(Shape):
    """Progress of a router's table."""

    phase: Literal["down", "filling", "settled"]
    told: int
    """Prefixes that ExaBGP was sent for it."""
    under_way: int
    """Prefixes whose changes wait: to be written, or for the confirmation that they were sent."""


NeighborState = Literal["up", "down", "absent", "expected"]


class AbsentJson(Shape):
    """A session, or a host route, that truth expects and that is absent."""

    host: str
    neighbor: str
    """The host's address; of a prefix, its first one."""
    prefix: str | None
    """null: the session itself is absent."""
    since: str
    """Time at which it was first missing."""


class NeighborJson(Shape):
    """One session, or one that truth expects."""

    neighbor: str
    role: Role
    group: str
    host: str
    """The truth's name for the host, else its group's."""
    asn: int
    open_asn: int | None
    """The ASN of its last OPEN, where that is another one: there is no session for that."""
    state: NeighborState
    """up; down; absent: truth expects it, and it is missing for longer than `absent_after`;
    expected: not seen yet, and not missing for so long."""
    is_up: bool
    is_expected: bool
    """Truth binds the address to a host."""
    since: str
    """Time at which it came up or was lost; if it was never seen, at which it was first missing."""
    reason: str
    """Reason of the last down, in ExaBGP's words; empty if there was none."""
    flaps: int
    """Number of downs since this process was started."""
    routes: RouteCounts
    absent_prefixes: int
    """Host routes that truth expects from the host and that are absent."""
    max_prefixes: int | None
    """The limit of a host's routes, rejected ones included."""
    is_near_limit: bool
    """True if a host has `max_prefixes_warning` percent of that, or more."""
    lacks: list[str]
    """Required capabilities that a host has not offered in its last OPEN."""
    has_password: bool
    """True if the session has a TCP MD5 password by the configuration."""
    ttl_security: int
    """Number of hops at most (GTSM); 0: not checked."""
    hint: str
    """Possible reason why a session is not up, by counts of the kernel; empty if there is none."""
    router: RouterProgress | None
    """Routers only."""


class NeighborsJson(Shape):
    """`/api/v1/neighbors`, by address."""

    name: str
    """Name of the route server."""
    neighbors: list[NeighborJson]
    absent_prefixes: list[AbsentJson]
    """Missing prefixes, at most 1000, the longest missing first."""


# Routes ------------------------------------------------------------------------------------------


class RouteJson(Shape):
    """A route in Adj-RIB-In, with its verdict."""

    neighbor: str
    host: str
    group: str
    asn: int
    prefix: str
    path_id: int
    as_path: str
    as_path_length: int
    next_hop: str
    med: int | None
    communities: list[str]
    """Communities, at most 16 of each kind; `/api/v1/routes/{prefix}` has more."""
    large_communities: list[str]
    is_best: bool
    """Routers get it, or they get it before the other routes of its prefix."""
    verdict: VerdictName
    reasons: list[str]
    state: StateName
    vrps: list[str]
    owners: list[str]
    """Other hosts with the ASN that own the prefix; mostly none."""
    stale: bool


class Routes(Shape):
    """A page of routes."""

    routes: list[RouteJson]
    next: str | None
    """`cursor` of the next page; null: this was the last."""


class ReasonJson(Shape):
    """A reason, explained."""

    name: str
    text: str
    remedy: str
    """Remedy: a change after which the route is accepted."""
    euro_ix: int


class Check(Shape):
    """One check and what it found."""

    check: str
    is_good: bool
    reasons: list[ReasonJson]


class AnnouncedJson(Shape):
    """Announcement that a group of routers should have because of a route."""

    routers: str
    """The group's name."""
    path_id: int
    next_hop: str
    as_path: str
    med: int | None
    communities: list[str]
    is_best: bool


class RouteStory(Shape):
    """One route with its checks, its announcements and its history."""

    route: RouteJson
    origin: str
    med: int | None
    communities: list[str]
    large_communities: list[str]
    extended_communities: list[str]
    malformed: str
    checks: list[Check]
    within_limit: bool
    stale_until: str | None
    announced: list[AnnouncedJson]


class OwnerSession(Shape):
    """A session of an owner."""

    neighbor: str
    state: NeighborState
    """The same as in `/api/v1/neighbors`."""
    is_up: bool


class OwnerJson(Shape):
    """A host to which truth gives a prefix."""

    host: str
    """Empty if the truth names no hosts."""
    asn: int
    vrp: str
    sessions: list[OwnerSession]
    """Sessions of the addresses that truth binds; else every session of the ASN."""
    announces: bool


class RouteStories(Shape):
    """`/api/v1/routes/{prefix}`: every host's route of one prefix."""

    prefix: str
    owners: list[OwnerJson]
    """Owners by truth, most specific first; at most 16."""
    routes: list[RouteStory]
    audit: list[dict[str, Any]]
    """The last records of the prefix, oldest first (docs/audit.md)."""
    is_audit_complete: bool
    """False: the log is so long that not all of it was searched."""


# Audit -------------------------------------------------------------------------------------------


class AuditRecords(Shape):
    """Records, oldest first (docs/audit.md)."""

    records: list[dict[str, Any]]


# Validity: the shape of Routinator, down to its spelling ----------------------------------------


class ValidityRoute(Shape):
    origin_asn: str
    prefix: str


class ValidityVrp(Shape):
    asn: str
    prefix: str
    max_length: str


class ValidityVrps(Shape):
    matched: list[ValidityVrp]
    unmatched_as: list[ValidityVrp]
    unmatched_length: list[ValidityVrp]


class Validity(Shape, kw_only=True):
    state: Literal["valid", "invalid", "not-found"]
    reason: Literal["as", "length"] | UnsetType = UNSET
    description: str
    VRPs: ValidityVrps


class ValidatedRoute(Shape):
    route: ValidityRoute
    validity: Validity


class ValidityAnswer(Shape):
    """`/api/v1/validity/{asn}/{prefix}`."""

    validated_route: ValidatedRoute
    generatedTime: str  # noqa: N815 - as Routinator spells it


# Changes, and costly requests ------------------------------------------------------------------


class Reloaded(Shape):
    """`POST /api/v1/reload`: the file is in force."""

    configuration: str


class GuardReleasedJson(Shape):
    """`POST /api/v1/guard/release`."""

    released: int
    held: int


class TruthDiff(Shape):
    """VRPs that a truth adds to those of the truth in force, and removes from them."""

    added: int
    removed: int
    first_added: list[str]
    first_removed: list[str]
    """VRPs in order; at most 200 of each."""


class ImpactJson(ImpactResult, kw_only=True):
    """`POST /api/v1/impact`: what a truth file would change, were it in force now."""

    truth: TruthSummary
    diff: TruthDiff


# Events ------------------------------------------------------------------------------------------
