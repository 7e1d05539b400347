"""Messages between the filter and its shipping process: JSON, one value per line."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct, json

from rsfilter import __version__
from rsfilter.config.build import FleetConfig
from rsfilter.config.database import parse_url
from rsfilter.fleet.state import Heartbeat, RouteDifference
from rsfilter.routing.groups import HostGroup

MAX_LINE = 1 << 20
"""Octets of a line."""


class GroupSettings(Struct, frozen=True):
    """A host group: who is in it, and by which rules they are judged."""

    name: str
    networks: tuple[str, ...]
    policy: str
    """A digest of its rules."""

    @classmethod
    def of(cls, group: HostGroup) -> GroupSettings:
        """The group of a configuration. Our own addresses, which differ, are no rule of it."""
        rules = [
            sorted(group.ipv4_lengths),
            sorted(group.ipv6_lengths),
            sorted(group.families),
            group.max_prefixes,
            group.max_prepends,
            None if group.next_hops is None else sorted(map(str, group.next_hops)),
            group.accept_not_found,
        ]
        return cls(group.name, tuple(sorted(map(str, group.networks))), short_digest(rules))

    @property
    def id(self) -> str:
        """The same for groups of the same hosts."""
        return short_digest(self.networks)


def short_digest(value: object) -> str:
    """16 hexadecimal digits that stand for a value."""
    return blake2b(json.encode(value), digest_size=8).hexdigest()


class Settings(Struct, frozen=True):
    """The first line to the process. There is no secret in it."""

    directory: str
    """The audit log."""
    name: str
    database: str
    password_file: str | None
    heartbeat: int
    version: str
    started: str = ""
    """Time of the filter's `start` record (RFC 3339): all others are of other processes. Only equal
    ones count, because the clock may step back. Empty: the last `start` of the log."""
    groups: tuple[GroupSettings, ...] = ()
    """The host groups whose routes are compared."""

    @classmethod
    def of(
        cls,
        fleet: FleetConfig,
        directory: Path,
        hosts: Sequence[HostGroup] = (),
    ) -> Settings:
        """The settings of a configuration, for the last `start` of the log."""
        file = fleet.password_file
        return cls(
            version=__version__,
            groups=tuple(map(GroupSettings.of, hosts)),
            directory=str(directory),
            name=fleet.name,
            database=str(fleet.database),
            password_file=None if file is None else str(file),
            heartbeat=fleet.heartbeat,
        )

    @property
    def fleet(self) -> FleetConfig:
        """The configuration."""
        file = self.password_file
        return FleetConfig(
            self.name,
            parse_url(self.database),
            None if file is None else Path(file),
            self.heartbeat,
        )


class PeerReport(Struct, frozen=True):
    """One instance of the fleet."""

    instance: str
    age: int
    """Seconds since its heartbeat."""
    is_silent: bool
    state: Heartbeat


class ShippingReport(Struct, frozen=True):
    """A line from the process: how far shipping has come."""

    shipped: int = 0
    """`seq` of the last record that the database is known to have."""
    hash: str = ""
    head: int = 0
    """`seq` of the last record that is safe on the disk here."""
    problem: str = ""
    """`shipper.State.problem`."""
    detail: str = ""
    peers: list[PeerReport] = []
    """All instances, this one too; empty if the database has not answered lately."""
    differing: int = 0
    """Buckets of routes that differ from another instance's."""
    differences: list[RouteDifference] = []


def line_of(value: Struct) -> bytes:
    """A value as a line."""
    return json.encode(value) + b"\n"
