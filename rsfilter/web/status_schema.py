"""The JSON of `/api/v1/status`, health and readiness: how the filter is, what is in force."""

from __future__ import annotations

from typing import Literal

from rsfilter.web.schema import AbsentJson, RouteCounts, Shape, TruthSummary


class Finding(Shape):
    """One problem."""

    name: str
    detail: str


class Health(Shape):
    """`/healthz` and `/readyz`."""

    status: Literal["ok", "failed"]
    reasons: list[Finding]
    """Reasons of failure; empty if healthy."""
    warnings: list[Finding]
    """Warnings for operators that no program should act on."""


# Status ------------------------------------------------------------------------------------------


class SessionCounts(Shape):
    """Sessions that were ever seen by this process. An absent one is not counted as down."""

    hosts_up: int
    hosts_down: int
    routers_up: int
    routers_down: int
    unknown: int
    first_down: list[Down]
    """The first five that are down, routers first."""


class Down(Shape):
    """A session that was lost, or never came up."""

    neighbor: str
    host: str
    """The truth's name for it, else its group's."""
    since: str
    reason: str


class ExpectedStatus(Shape):
    """Expected hosts and routes, and those absent."""

    hosts: int
    """Addresses that truth binds to hosts and that are in a host group."""
    absent_hosts: int
    absent_prefixes: int
    """Host routes that their host does not announce."""
    first_hosts: list[AbsentJson]
    first_prefixes: list[AbsentJson]
    """The first five of each, those that are missing longest."""


class DrainStatus(Shape):
    """Service state: in service, draining or out of service."""

    phase: Literal["in_service", "draining", "drained"]
    why: list[str]
    """Requesters that keep the filter out of service."""
    until: str | None
    """End of the withdrawal, while draining."""


class GuardStatus(Shape):
    """Routes that the guard holds, and its limits."""

    held: int
    lost: int
    """Routes that data or configurations removed within the window, and that count against the
    limits."""
    window_s: float
    max_loss_percent: int
    min_loss: int


class SpeakerStatus(Shape):
    """Replacements that `rsfilter exabgp` has made in ExaBGP, by name."""

    exabgp: str
    """ExaBGP's release."""
    replaced: list[str]
    left_out: list[str]
    """Replacements left out, because this release has other source code than they were made for."""


class CommandStatus(Shape):
    """The pipe to ExaBGP."""

    dialect: str | None
    """ExaBGP's release, after its first message."""
    speaker: SpeakerStatus | None
    """null: plain `exabgp`."""
    lines_read: int
    commands_written: int
    waiting: int
    """Commands that ExaBGP has not taken yet."""
    unanswered: int
    """Commands that it has not replied to yet."""
    errors: int
    """Commands that it refused."""


class AuditStatus(Shape):
    """The audit log."""

    is_ok: bool
    reason: str
    queued: int
    dropped: int


class TruthJson(Shape):
    """`[truth]`: the file and what is in force of it."""

    file: str
    mode: Literal["authoritative", "union", "both"]
    loaded: str | None
    """Time at which the active truth was read; null if none was."""
    built: str | None
    """Time at which it was made, by its own metadata; null if they do not name one."""
    is_old: bool
    """True if it was made longer ago than `max_age`."""
    in_force: TruthSummary | None
    problems: list[str]
    """Problems of the file in its current state; empty if there is none."""


class CacheJson(Shape):
    """One RTR cache."""

    address: str
    transport: Literal["tcp", "ssh"]
    state: str
    decides: bool
    """Its data are in force."""
    is_fresh: bool
    age_s: float | None
    """Seconds since the cache last confirmed its data; null if it never did."""
    session: int
    serial: int
    vrps: int
    dropped: int
    """Records that could not be VRPs."""
    errors: int
    expire_s: float
    """Seconds after which its data expire: `expire`, or its own Expire Interval if that is less."""
    unchanged_s: float | None
    """Seconds since its data last changed, as far as this process has seen; null if there are
    none."""
    is_unchanged_long: bool
    """True if that is longer than `max_unchanged`."""
    missing: int
    """VRPs that the deciding cache has and it does not."""
    extra: int
    """VRPs that it has and the deciding cache does not."""
    differs_s: float | None
    """Seconds for which the oldest difference has lasted; null if there is none."""
    differs_long: int
    """Prefixes that have differed for longer than `max_differing`."""


class RtrJson(Shape):
    """`[rtr]`: every cache, in order of preference."""

    is_fresh: bool
    """The data in force have not expired."""
    on_expire: Literal["hold", "reject"]
    expire_s: int
    caches: list[CacheJson]


class Status(Shape):
    """`/api/v1/status`."""

    name: str
    """Name of the route server: `[route_server] name`."""
    version: str
    configuration: str
    asn: int
    router_id: str
    started: str
    uptime_s: float
    is_resynced: bool
    """True once ExaBGP and the hosts have sent the state from before this process."""
    has_data: bool
    health: Health
    readiness: Health
    routes: RouteCounts
    sessions: SessionCounts
    expected: ExpectedStatus
    drain: DrainStatus
    guard: GuardStatus
    exabgp: CommandStatus
    audit: AuditStatus
    truth: TruthJson | None
    rtr: RtrJson | None
    fleet: str | None
    """The name of the fleet; null without one."""
