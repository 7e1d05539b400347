"""The shape of `rsfilter.toml`: a dataclass for each table, a field for each key.

Those named `...Config` go into the configuration as they are; those named `...Table` are made into
the words of the core first (`rsfilter.config`). What they mean is in docs/rsfilter.example.toml,
from where docs/configuration.md has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from rsfilter.config.types import (
    DEFAULT_LISTEN,
    Asn,
    Cache,
    Count,
    CountFromOne,
    Database,
    FamilyName,
    Heartbeat,
    HostName,
    IPv4Lengths,
    IPv6Lengths,
    ListenAddress,
    Name,
    NextHops,
    Percent,
    Port,
    PortOrZero,
    Prepends,
    RefreshInterval,
    RetryInterval,
    RouterId,
    Seconds,
    SecondsOrZero,
    SessionAddress,
    SessionNetwork,
    StaleTime,
    WindowSeconds,
)
from rsfilter.routing.expected import DEFAULT_ABSENT_AFTER_S
from rsfilter.routing.groups import Limits
from rsfilter.routing.validation import Mode


@dataclass(frozen=True, slots=True)
class TruthConfig:
    """The operator's truth: `[truth]`."""

    file: Path
    mode: Mode = Mode.AUTHORITATIVE
    absent_after: SecondsOrZero = DEFAULT_ABSENT_AFTER_S
    """For so long a host, or a host route, that truth expects may be missing; 0: for ever."""


@dataclass(frozen=True, slots=True)
class GuardConfig:
    """How much data may take away: `[guard]`."""

    max_loss_percent: Percent = 20
    """Of accepted routes."""
    min_loss: Count = 10
    """Routes; a smaller loss is never held."""
    window: WindowSeconds = 3600
    """Within which losses count together; 0: each change of data alone."""

    @property
    def limits(self) -> Limits:
        """The same as the core has it."""
        return Limits(self.max_loss_percent, self.min_loss, float(self.window))


@dataclass(frozen=True, slots=True)
class ReadinessConfig:
    """When to leave service: `[readiness]`."""

    ready_file: Path | None = None
    """Must exist."""
    disable_file: Path | None = None
    """Must not exist."""
    drain_time: Seconds = 30


DEFAULT_SOCKET = Path("/run/rsfilter/rsfilter.sock")
"""In the unit's RuntimeDirectory."""


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The HTTP API: `[http]`."""

    listen: ListenAddress = DEFAULT_LISTEN
    socket: Path = DEFAULT_SOCKET
    """The unix socket for commands: its owner, group and mode decide who may change state."""
    token_file: Path | None = None
    """Its content must come with every request over TCP that changes state."""
    read_token_file: Path | None = None
    """Its content, or that of `token_file`, must come with every other request over TCP."""
    allowed_hosts: tuple[HostName, ...] | None = None
    """Names that clients may ask for, beside addresses and localhost."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    """Both or none: HTTPS over TCP."""

    @property
    def is_loopback(self) -> bool:
        """Nobody on another machine can ask."""
        return ip_address(str(self.listen.address)).is_loopback


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """Where the audit log and the state of this filter go to: `[fleet]`."""

    name: Name
    """Of the fleet."""
    database: Database
    password_file: Path | None = None
    """The password of the role is its first line."""
    heartbeat: Heartbeat = 10
    """Seconds between two of them."""

    @property
    def instance(self) -> str:
        """The name of this filter in the fleet: its role."""
        return self.database.user


@dataclass(frozen=True, slots=True)
class RouteServerTable:
    asn: Asn
    router_id: RouterId
    local_address: SessionAddress | tuple[SessionAddress, ...]
    port: Port = 179
    name: Name | None = None


@dataclass(frozen=True, slots=True)
class HostsTable:
    name: Name
    neighbors: tuple[SessionNetwork, ...]
    ipv4_lengths: IPv4Lengths = (32,)
    ipv6_lengths: IPv6Lengths = (128,)
    families: tuple[FamilyName, ...] | None = None
    asn: Asn | None = None
    max_prefixes: CountFromOne = 1000
    max_prepends: Prepends = 0
    next_hop: Literal["neighbor"] | tuple[NextHops, ...] = "neighbor"
    not_found: Literal["reject", "accept"] = "reject"
    stale_time: StaleTime = 0


@dataclass(frozen=True, slots=True)
class RoutersTable:
    name: Name
    neighbors: tuple[SessionAddress, ...]
    asn: Asn
    port: PortOrZero = 179
    families: tuple[FamilyName, ...] | None = None
    paths: Literal["best", "all"] = "best"
    as_path: Literal["transparent", "prepend"] = "transparent"


@dataclass(frozen=True, slots=True)
class FanoutTable:
    addresses: tuple[SessionAddress, ...]
    port: Port = 179
    shards: tuple[SessionAddress, ...] | None = None


@dataclass(frozen=True, slots=True)
class CacheTable:
    address: Cache
    transport: Literal["tcp", "ssh"] = "tcp"
    user: Name | None = None
    key: Path | None = None
    known_hosts: Path | None = None


@dataclass(frozen=True, slots=True)
class RtrTable:
    caches: tuple[Cache | CacheTable, ...]
    refresh: RefreshInterval = 60
    retry: RetryInterval = 10
    expire: Seconds = 3600
    on_expire: Literal["hold", "reject"] = "hold"
    startup_wait: Seconds = 30


@dataclass(frozen=True, slots=True)
class AuditTable:
    directory: Path = Path("audit")
    """As a default relative to the directory of the file."""


@dataclass(frozen=True, slots=True)
class FileTables:
    route_server: RouteServerTable | None = None
    hosts: tuple[HostsTable, ...] = ()
    routers: tuple[RoutersTable, ...] = ()
    fanout: FanoutTable | None = None
    rtr: RtrTable | None = None
    truth: TruthConfig | None = None
    guard: GuardConfig = GuardConfig()
    readiness: ReadinessConfig | None = None
    audit: AuditTable = AuditTable()
    http: HttpConfig = HttpConfig()
    fleet: FleetConfig | None = None
