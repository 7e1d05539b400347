"""Effects of the engine for the edges. Values only."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from rsfilter.routing.model import Address, Prefix, Route, Verdict, VerdictKind


class Provenance(NamedTuple):
    """Data in force at a decision."""

    truth_revision: str = ""
    truth_sha256: str = ""
    """Empty: no truth in force."""
    rtr_cache: str = ""
    """`host:port` of the cache that decides; empty: none."""
    rtr_session: int = 0
    rtr_serial: int = 0
    rtr_digest: str = ""
    """Digest of all VRPs of that cache: equal for equal VRPs of any cache. Empty if not known."""


NO_PROVENANCE = Provenance()


class VerdictChange(Struct, frozen=True, gc=False):
    """A route's verdict or its reasons changed, or the route is gone."""

    route: Route
    host: str
    """The truth's name for the host, else its group's name, else empty."""
    verdict: Verdict | None
    """Verdict; None if the route was removed."""
    was: VerdictKind | None
    """Previous kind of verdict; None if the route was new."""
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
    """Host, as in `VerdictChange.host`."""
    family: str
    nlri: str
    """NLRI as the speaker printed it, cut to 200 characters."""
    reason: str
    """family_not_allowed, or prefix_malformed for a unicast NLRI that is no prefix at all."""
    provenance: Provenance
    changes: int = 0
    """Changes, as in `VerdictChange.changes`."""


class NotKept(Struct, frozen=True, gc=False):
    """A host announced routes so far beyond `max_prefixes` that they were not even kept."""

    neighbor: Address
    asn: int
    host: str
    """Host, as in `VerdictChange.host`."""
    routes: int
    """Routes in one UPDATE."""


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
    """Reason of the session loss, as the speaker reports it."""
    changes: int = 0
    """Changes, as in `VerdictChange.changes`."""
    host: str = ""
    """The truth's name for a host; empty when it has none."""
    wrong_asn: int = 0
    """Refused ASN, as in `SessionDown.wrong_asn`."""


class DataChange(NamedTuple):
    """Other data are in force."""

    source: str
    """truth or rtr."""
    detail: str
    """Description of the event, for display."""
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
    """Number of routes. held: those that this change of data would have lost. released: those
    withdrawn by the release. restored: those held before the restart."""
    accepted: int
    """held: so many routes were accepted before."""
    held: int
    """Routes held from now on, earlier ones included."""
    source: str
    """held: truth or rtr, whose change it was, or restart. released: operator."""
    detail: str
    """Description of the event, for display."""
    provenance: Provenance
    """The data in force; held: those whose losses are held."""
    lost: int = 0
    """held: so many were lost within the window before, and count too."""


class DrainChange(NamedTuple):
    """The filter leaves service or comes back, or other people want it to."""

    phase: str
    """Phase: in_service, draining (announced with GRACEFUL_SHUTDOWN) or drained (withdrawn)."""
    detail: str
    """Description of the event, for display."""
    why: tuple[str, ...]
    """Requesters that keep it out of service from now on."""


class Absence(NamedTuple):
    """A session or a route that truth expects is absent, or is so no longer."""

    neighbor: Address
    asn: int
    host: str
    """The truth's name for the host."""
    prefix: Prefix | None
    """Missing prefix; None if the session is missing."""
    is_absent: bool
    seconds: int
    """Seconds for which it is, or was, missing."""
    detail: str
    """Reason of the end, for display; empty while it is absent."""


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
    """Effects of one event, in order."""

    audit: list[AuditEvent]
    out: list[OutChange]
    refresh: list[RefreshWanted]
