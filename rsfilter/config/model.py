"""The configuration as values: immutable, checked, with defaults filled in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rsfilter.config.schema import (
    FleetConfig,
    GuardConfig,
    HttpConfig,
    ReadinessConfig,
    TruthConfig,
)
from rsfilter.routing.groups import HostGroup, RouterGroup
from rsfilter.routing.model import Address
from rsfilter.routing.validation import Mode
from rsfilter.util.addresses import CacheAddress


class ConfigError(Exception):
    """Raised for an unusable configuration. `problems`: each is `file: place: problem`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class RouteServer:
    """The route server itself: `[route_server]`."""

    asn: int
    router_id: Address
    """An IPv4 address."""
    local_addresses: tuple[Address, ...]
    """Local addresses of sessions: one, or one per family."""
    port: int
    """TCP port where ExaBGP listens."""
    name: str = ""
    """Name of this route server, for display and metrics."""

    def local_address(self, family: int) -> Address | None:
        """Return the local address for sessions of a family (4 or 6), if there is one."""
        return next((a for a in self.local_addresses if a.family == family), None)


@dataclass(frozen=True, slots=True)
class Fanout:
    """BIRDs between the ExaBGPs and the routers: `[fanout]`."""

    addresses: tuple[Address, ...]
    """Address of each fan-out."""
    port: int
    """TCP port where they listen."""
    shards: tuple[Address, ...]
    """Addresses of the ExaBGPs that they serve, ours among them."""
    groups: tuple[RouterGroup, ...]
    """The routers, as configured in `[[routers]]`."""
    password_file: str | None = None
    """Path of the file with the passwords of the sessions between ExaBGP and the fan-outs."""
    ttl_security: int = 0
    """Number of hops between them at most (GTSM, RFC 5082); 0: not checked."""

    def only_outside(self, asn: int) -> bool:
        """Return whether all routers are in other ASes than `asn`, our own."""
        return all(group.asn != asn for group in self.groups)

    def as_routers(self, asn: int) -> RouterGroup:
        """Return the group that ExaBGP serves in place of the routers. `asn` is our own. It carries
        every path that any router takes."""
        return RouterGroup(
            name="fanout",
            neighbors=self.addresses,
            asn=asn,
            port=self.port,
            families=frozenset().union(*(group.families for group in self.groups)),
            all_paths=any(group.all_paths for group in self.groups),
            asns_behind=frozenset(group.asn for group in self.groups),
            only_outside=self.only_outside(asn),
            password_file=self.password_file,
            ttl_security=self.ttl_security,
        )


@dataclass(frozen=True, slots=True)
class RtrConfig:
    """The RTR caches: `[rtr]`. Times are seconds."""

    caches: tuple[CacheAddress, ...]
    """Caches in order of preference. Paths in them are absolute."""
    refresh: int
    retry: int
    expire: int
    """Seconds after which data are stale, whatever longer time their cache allows."""
    max_unchanged: int | None
    """Seconds for which a cache's data may stand still; 0: for ever; None: by their number."""
    max_differing: int
    """Seconds for which two caches may differ in one prefix; 0: for ever."""
    on_expire: Literal["hold", "reject"]
    startup_wait: int
    """Seconds to wait for the first data. Nothing is announced meanwhile."""


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """The audit log: `[audit]`."""

    directory: Path


@dataclass(frozen=True, slots=True)
class Config:
    """A checked configuration. All paths are absolute."""

    path: Path
    """File of the configuration."""
    route_server: RouteServer
    hosts: tuple[HostGroup, ...]
    routers: tuple[RouterGroup, ...]
    """Routers that ExaBGP serves directly: with `[fanout]`, the fan-outs."""
    fanout: Fanout | None
    rtr: RtrConfig | None
    truth: TruthConfig | None
    guard: GuardConfig
    readiness: ReadinessConfig | None
    audit: AuditConfig
    http: HttpConfig
    fleet: FleetConfig | None = None

    @property
    def truth_may_be_empty(self) -> bool:
        """Return whether a truth without prefixes is meaningful: RTR caches cover what truth
        omits."""
        return self.rtr is not None and (self.truth is None or self.truth.mode is not Mode.BOTH)

    @property
    def served(self) -> tuple[RouterGroup, ...]:
        """Return the routers themselves, behind a fan-out or not."""
        return self.fanout.groups if self.fanout else self.routers
