"""The shape of `rsfilter.toml`: a dataclass for each table, a field for each key.

Classes named `...Config` become part of the configuration unchanged; classes named `...Table` are
first converted to types of the core (`rsfilter.config.build`). docs/rsfilter.example.toml explains
the keys, and docs/configuration.md includes it.
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
    Capabilities,
    Count,
    CountFromOne,
    Database,
    FamilyName,
    Heartbeat,
    HopsOrZero,
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
    """Seconds after which an expected host or host route counts as absent; 0: never."""
    max_age: SecondsOrZero = 0
    """Seconds after its build time at which a truth counts as old; 0: never."""


@dataclass(frozen=True, slots=True)
class GuardConfig:
    """Limits on the routes that a change of data may withdraw: `[guard]`."""

    max_loss_percent: Percent = 20
    """Percentage of accepted routes."""
    min_loss: Count = 10
    """Routes; a smaller loss is never held."""
    window: WindowSeconds = 3600
    """Seconds within which losses add up; 0: each change of data counts alone."""

    @property
    def limits(self) -> Limits:
        """The same limits as a type of the core."""
        return Limits(self.max_loss_percent, self.min_loss, float(self.window))


@dataclass(frozen=True, slots=True)
class ReadinessConfig:
    """Conditions for leaving service: `[readiness]`."""

    ready_file: Path | None = None
    """File that must exist."""
    disable_file: Path | None = None
    """File that must not exist."""
    drain_time: Seconds = 30


DEFAULT_SOCKET = Path("/run/rsfilter/rsfilter.sock")
"""Default path, in the unit's RuntimeDirectory."""


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The HTTP API: `[http]`."""

    listen: ListenAddress = DEFAULT_LISTEN
    socket: Path = DEFAULT_SOCKET
    """The unix socket for commands: its owner, group and mode decide who may change state."""
    token_file: Path | None = None
    """File with the token that every state-changing request over TCP must carry."""
    read_token_file: Path | None = None
    """File with the token for every other request over TCP; the one in `token_file` also serves."""
    allowed_hosts: tuple[HostName, ...] | None = None
    """Names accepted in the Host header, beside addresses and localhost."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    """Both are set or neither. If set, HTTPS is served over TCP."""
    looking_glass: bool = False
    """The birdwatcher API is served."""
    looking_glass_routers: bool = False
    """True if that API lists routers too."""

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can connect."""
        return ip_address(str(self.listen.address)).is_loopback


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """Destination of this filter's audit log and state: `[fleet]`."""

    name: Name
    """Name of the fleet."""
    database: Database
    password_file: Path | None = None
    """File whose first line is the password of the role."""
    heartbeat: Heartbeat = 10
    """Seconds between two heartbeats."""

    @property
    def instance(self) -> str:
        """Name of this filter in the fleet, which is its role."""
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
    max_prefixes_warning: Percent = 75
    max_prepends: Prepends = 0
    next_hop: Literal["neighbor"] | tuple[NextHops, ...] = "neighbor"
    not_found: Literal["reject", "accept"] = "reject"
    stale_time: StaleTime = 0
    requires: Capabilities = ()
    password_file: Path | None = None
    ttl_security: HopsOrZero = 0


@dataclass(frozen=True, slots=True)
class RoutersTable:
    name: Name
    neighbors: tuple[SessionAddress, ...]
    asn: Asn
    port: PortOrZero = 179
    families: tuple[FamilyName, ...] | None = None
    paths: Literal["best", "all"] = "best"
    as_path: Literal["transparent", "prepend"] = "transparent"
    password_file: Path | None = None
    ttl_security: HopsOrZero = 0


@dataclass(frozen=True, slots=True)
class FanoutTable:
    addresses: tuple[SessionAddress, ...]
    port: Port = 179
    shards: tuple[SessionAddress, ...] | None = None
    password_file: Path | None = None
    ttl_security: HopsOrZero = 0


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
    max_unchanged: SecondsOrZero | None = None
    max_differing: SecondsOrZero = 21600
    on_expire: Literal["hold", "reject"] = "hold"
    startup_wait: Seconds = 30


@dataclass(frozen=True, slots=True)
class AuditTable:
    directory: Path = Path("audit")
    """Directory of the log. The default is relative to the directory of the configuration."""


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
