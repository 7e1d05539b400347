"""What the engine tells the edges. Values only: nothing here acts."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from rsfilter.routing.model import Address, Prefix, Route, Verdict, VerdictKind


class Provenance(NamedTuple):
    """Which data were in force when something was decided."""

    truth_revision: str = ""
    truth_sha256: str = ""
    """Empty: no truth in force."""
    rtr_cache: str = ""
    """`host:port` of the cache that decides; empty: none."""
    rtr_session: int = 0
    rtr_serial: int = 0


NO_PROVENANCE = Provenance()


class VerdictChange(Struct, frozen=True, gc=False):
    """A route's verdict or its reasons changed, or the route is gone."""

    route: Route
    host: str
    """The truth's name for the host, else its group's name, else empty."""
    verdict: Verdict | None
    """None: the route is gone."""
    was: VerdictKind | None
    """None: the route was not there."""
    cause: str
    """announce, withdraw, session_down, administrative, end_of_rib, stale_time, data, guard,
    config or max_prefixes."""
    provenance: Provenance
    stale: bool | None = None
    """True: kept for a host that was lost, or was until now when the route is gone. False: it was,
    and the host has repeated it. None: neither."""
    changes: int = 0
    """0: one change. Else: so many, in a flood, of which this is what came of it."""


class NlriRefused(Struct, frozen=True, gc=False):
    """A host announced what cannot be a route here: it is rejected, and not kept."""

    neighbor: Address
    asn: int
    host: str
    """As `VerdictChange.host`."""
    family: str
    nlri: str
    """As the speaker printed it, cut to 200 characters."""
    reason: str
    """family_not_allowed, or prefix_malformed for a unicast NLRI that is no prefix at all."""
    provenance: Provenance
    changes: int = 0
    """As `VerdictChange.changes`."""


class NotKept(Struct, frozen=True, gc=False):
    """A host announced routes so far beyond `max_prefixes` that they were not even kept."""

    neighbor: Address
    asn: int
    host: str
    """As `VerdictChange.host`."""
    routes: int
    """In one UPDATE."""


class SessionChange(Struct, frozen=True, gc=False):
    """A neighbor came up or went down."""

    neighbor: Address
    asn: int
    role: str
    """host, router or unknown."""
    group: str
    """The group's name, empty when unknown."""
    is_up: bool
    reason: str
    """Why it went down, in the speaker's words."""
    changes: int = 0
    """As `VerdictChange.changes`."""
    host: str = ""
    """The truth's name for a host; empty when it has none."""
    wrong_asn: int = 0
    """As `SessionDown.wrong_asn`."""


class DataChange(NamedTuple):
    """Other data are in force."""

    source: str
    """truth or rtr."""
    detail: str
    """For people: what happened."""
    added: int
    removed: int
    """VRPs that came and went."""
    rejudged: int
    """Routes that were judged again."""
    flipped: int
    """Routes whose verdict changed."""
    provenance: Provenance


class GuardChange(NamedTuple):
    """The guard holds routes that a change of data would lose, or no longer does."""

    action: str
    """held, released (by the operator), ended (the data or the hosts have settled it) or restored
    (after a restart)."""
    routes: int
    """held: what this change of data would have lost. released: what was let go. restored: what
    was held before the restart."""
    accepted: int
    """held: so many routes were accepted before."""
    held: int
    """Routes held from now on, earlier ones included."""
    source: str
    """held: truth or rtr, whose change it was, or restart. released: operator."""
    detail: str
    """For people: what happened."""
    provenance: Provenance
    """The data in force; held: those whose losses are held."""
    lost: int = 0
    """held: so many were lost within the window before, and count too."""


class DrainChange(NamedTuple):
    """The filter leaves service or comes back, or other people want it to."""

    phase: str
    """in_service, draining (announced with GRACEFUL_SHUTDOWN) or drained (withdrawn)."""
    detail: str
    """For people: what happened."""
    why: tuple[str, ...]
    """Who keeps it out of service from now on."""


class Absence(NamedTuple):
    """A session or a route that truth expects is absent, or is so no longer."""

    neighbor: Address
    asn: int
    host: str
    """The truth's name for the host."""
    prefix: Prefix | None
    """None: the session."""
    is_absent: bool
    seconds: int
    """How long it has been, or was, missing."""
    detail: str
    """For people: what ended it; empty while it is absent."""


AuditEvent = (
    VerdictChange
    | NlriRefused
    | NotKept
    | SessionChange
    | DataChange
    | GuardChange
    | DrainChange
    | Absence
)


class OutChange(Struct, frozen=True, gc=False):
    """A router group should have other paths of these prefixes than before, or none."""

    group: str
    prefixes: tuple[Prefix, ...]


class RefreshWanted(NamedTuple):
    """A host should repeat what it announces of a family (RFC 2918)."""

    neighbor: Address
    family: int
    """4 or 6."""


class Actions(NamedTuple):
    """What follows from one event, in order."""

    audit: list[AuditEvent]
    out: list[OutChange]
    refresh: list[RefreshWanted]
