"""The database of a fleet, as commands reach it: its arguments, its errors.

What needs the database's driver is imported when it is called for.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rsfilter.commands.actions import Argument, argument
from rsfilter.commands.errors import CommandError
from rsfilter.config.build import FleetConfig, load_config
from rsfilter.config.database import parse_url
from rsfilter.config.model import Config, ConfigError
from rsfilter.config.reader import HintError

if TYPE_CHECKING:
    from rsfilter.fleet.database import Database

MISSING = "this needs the driver of PostgreSQL: pip install 'rsfilter[fleet]'"


def database_arguments(*, is_required: bool) -> tuple[Argument, ...]:
    """Return the arguments that name the database, for machines without a filter."""
    return (
        argument("--fleet", required=is_required, metavar="NAME", help="the name of the fleet"),
        argument(
            "--database",
            required=is_required,
            metavar="URL",
            help="postgresql://ROLE@HOST/DATABASE?sslmode=verify-full, without a password",
        ),
        argument(
            "--password-file", type=Path, metavar="FILE", help="its first line is the password"
        ),
    )


def named(args: argparse.Namespace) -> FleetConfig:
    """Return the fleet that the arguments name. Raises ConfigError."""
    if not args.fleet:
        raise ConfigError(["--database: needs --fleet, the name of the fleet"])
    try:
        return FleetConfig(args.fleet, parse_url(args.database), args.password_file)
    except HintError as error:
        raise ConfigError([f"--database: {error}"]) from None


def configured(args: argparse.Namespace) -> tuple[Config, FleetConfig]:
    """Return the configuration and its fleet. Raises ConfigError."""
    config = load_config(args.config)
    if config.fleet is None:
        raise ConfigError([f"{args.config}: fleet: missing; a [fleet] section is needed"])
    return config, config.fleet


def require_driver() -> None:
    """Raise CommandError if the driver is not installed."""
    try:
        import rsfilter.fleet.database  # noqa: F401
    except ImportError:
        raise CommandError(MISSING) from None


@contextmanager
def connected(fleet: FleetConfig) -> Iterator[Database]:
    """Connect to the database. Raises CommandError for its errors, also for those of the block."""
    require_driver()
    from rsfilter.fleet.database import Database, DatabaseError

    try:
        with closing(Database(fleet)) as database:
            yield database
    except DatabaseError as error:
        raise CommandError(str(error)) from None


def shipped_seq(fleet: FleetConfig) -> int:
    """Return the last record of this instance in the database, for `audit prune`. Raises
    CommandError."""
    try:
        with connected(fleet) as database:
            return database.newest().seq
    except CommandError as error:
        raise CommandError(f"nothing is removed: {error}") from None
