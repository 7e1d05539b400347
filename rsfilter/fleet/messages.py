"""What the filter and its shipping process write to each other: JSON, one value to a line."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, json

from rsfilter.config.build import FleetConfig
from rsfilter.config.database import parse_url

MAX_LINE = 1 << 20
"""Octets of a line."""


class Settings(Struct, frozen=True):
    """The first line to the process. There is no secret in it."""

    directory: str
    """The audit log."""
    name: str
    database: str
    password_file: str | None
    heartbeat: int

    @classmethod
    def of(cls, fleet: FleetConfig, directory: Path) -> Settings:
        """The settings of a configuration."""
        file = fleet.password_file
        return cls(
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


class Report(Struct, frozen=True):
    """A line from the process: how far shipping has come."""

    shipped: int = 0
    """`seq` of the last record that the database is known to have."""
    hash: str = ""
    head: int = 0
    """`seq` of the last record that is safe on the disk here."""
    problem: str = ""
    """`shipper.State.problem`."""
    detail: str = ""


def line_of(value: Struct) -> bytes:
    """A value as a line."""
    return json.encode(value) + b"\n"
