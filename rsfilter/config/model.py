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
    """The configuration cannot be used. `problems`: each `file: place: what is wrong`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class RouteServer:
    """Who we are: `[route_server]`."""

    asn: int
    router_id: Address
    """IPv4."""
    local_addresses: tuple[Address, ...]
    """Where sessions end: one, or one of each family."""
    port: int
    """TCP port where ExaBGP listens."""
    name: str = ""
    """Of this route server, for people and metrics."""

    def local_address(self, family: int) -> Address | None:
        """Our end of sessions of a family (4 or 6); None when there is none."""
        return next((a for a in self.local_addresses if a.family == family), None)


@dataclass(frozen=True, slots=True)
class Fanout:
    """BIRDs between ExaBGPs and routers: `[fanout]`."""

    addresses: tuple[Address, ...]
    """Of each one."""
    port: int
    """TCP port where they listen."""
    shards: tuple[Address, ...]
    """The ExaBGPs that they serve; we are among them."""
    groups: tuple[RouterGroup, ...]
    """The routers, as `[[routers]]` has them."""

    def only_outside(self, asn: int) -> bool:
        """All routers are of other ASes than `asn`, our own."""
        return all(group.asn != asn for group in self.groups)

    def as_routers(self, asn: int) -> RouterGroup:
        """What ExaBGP has to serve in place of the routers. `asn` is our own. Every path that any
        router takes has to pass."""
        return RouterGroup(
            name="fanout",
            neighbors=self.addresses,
            asn=asn,
            port=self.port,
            families=frozenset().union(*(group.families for group in self.groups)),
            all_paths=any(group.all_paths for group in self.groups),
            asns_behind=frozenset(group.asn for group in self.groups),
            only_outside=self.only_outside(asn),
        )


@dataclass(frozen=True, slots=True)
class RtrConfig:
    """The RTR caches: `[rtr]`. Times are seconds."""

    caches: tuple[CacheAddress, ...]
    """In order of preference. Paths in them are absolute."""
    refresh: int
    retry: int
    expire: int
    """Data older than this are stale."""
    on_expire: Literal["hold", "reject"]
    startup_wait: int
    """How long nothing is announced while the first data have not come."""


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """The audit log: `[audit]`."""

    directory: Path


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration that has passed every check. All paths are absolute."""

    path: Path
    """The file that it came from."""
    route_server: RouteServer
    hosts: tuple[HostGroup, ...]
    routers: tuple[RouterGroup, ...]
    """Those that ExaBGP serves itself: with `[fanout]` the fan-outs."""
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
        """RTR caches decide what truth does not: one without prefixes means something."""
        return self.rtr is not None and (self.truth is None or self.truth.mode is not Mode.BOTH)

    @property
    def served(self) -> tuple[RouterGroup, ...]:
        """The routers themselves, behind a fan-out or not."""
        return self.fanout.groups if self.fanout else self.routers
