"""`rsfilter fleet`: audit logs between route servers and the database.

What needs the database's driver is imported when it is called for.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rsfilter.audit.chain import GENESIS
from rsfilter.audit.files import DIRECTORY_MODE, Disk, write_head
from rsfilter.commands import arguments
from rsfilter.commands.errors import CommandError, report
from rsfilter.commands.fleet_database import configured, connected, named, require_driver
from rsfilter.commands.output import FAILED, GOOD, INVALID, console, print_json, print_table
from rsfilter.config.build import FleetConfig
from rsfilter.config.model import ConfigError
from rsfilter.util.text import clean, count

if TYPE_CHECKING:
    from rsfilter.fleet.collect import CopyState

COLLECT_S = 10.0
"""Seconds between two rounds of `collect --follow`."""


def schema(args: argparse.Namespace) -> int:
    """Print the SQL that makes the database."""
    from rsfilter.fleet.schema import schema_sql

    seq, digest = args.begins_after or ("0", GENESIS)
    try:
        begins_after = (arguments.count(seq), digest)
        sql = schema_sql(args.fleet, args.instance, args.collector, begins_after=begins_after)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise CommandError(str(error), INVALID) from None
    sys.stdout.write(sql)
    return GOOD


def ship(args: argparse.Namespace) -> int:
    """Ship an audit log to its end; return the exit code."""
    config, fleet = configured(args)
    directory = args.directory or config.audit.directory
    if not directory.is_dir():
        raise ConfigError([f"{directory}: there is no audit log"])
    with connected(fleet) as database:
        from rsfilter.fleet.shipper import Shipper

        shipper = Shipper(directory, database)
        while shipper.step():
            pass
    state = shipper.state
    if args.json:
        print_json([{**state._asdict(), "shipped": state.shipped.seq, "hash": state.shipped.hash}])
    elif state.problem:
        raise CommandError(state.detail)
    else:
        console().print(
            clean(f"{fleet.instance}: the database has all records up to {state.shipped.seq}")
        )
    return FAILED if state.problem else GOOD


def resume(args: argparse.Namespace) -> int:
    """Let an empty audit log begin where the database's ends."""
    config, fleet = configured(args)
    directory = config.audit.directory
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError([f"{directory}: is not empty; stop the filter and move it aside"])
    with connected(fleet) as database:
        newest = database.newest()
    directory.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    if newest.seq:
        write_head(directory, newest, Disk())
    where = f"after record {newest.seq}" if newest.seq else "from its beginning"
    console().print(clean(f"{directory}: the log of {fleet.instance} goes on {where}"))
    return GOOD


def collect(args: argparse.Namespace) -> int:
    """Copy all audit logs, once or for ever; return the exit code."""
    fleet = named(args)
    args.output.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    require_driver()
    while True:
        try:
            found = list(_collect_once(fleet, args.output))
        except CommandError as error:
            if not args.follow:
                raise
            report(args, error)
        else:
            _print_found(found, args)
            if not args.follow:
                return FAILED if any(one.problem for one in found) else GOOD
        time.sleep(COLLECT_S)


def _collect_once(fleet: FleetConfig, output: Path) -> Iterator[CopyState]:
    """Copy once; yield the final state of each copy."""
    from rsfilter.fleet.collect import CopyState, collect
    from rsfilter.fleet.schema import checked

    with connected(fleet) as database:
        for instance, newest, _ in database.instances():
            try:
                place = output / checked(instance)
            except ValueError as error:
                yield CopyState(instance, 0, 0, 0, str(error))
            else:
                *_, finding = collect(database, instance, newest, place)
                yield finding


def _print_found(found: Sequence[CopyState], args: argparse.Namespace) -> None:
    if args.follow:  # only what is new
        found = [one for one in found if one.records or one.problem]
    if args.json:
        print_json((one._asdict() for one in found), is_live=args.follow)
        return
    for one in found if args.follow else ():
        text = one.problem or f"{count(one.records, 'record')}, up to {one.last}"
        print(clean(f"{one.instance}: {text}"), flush=True)  # noqa: T201
    if not args.follow:
        print_table(
            ("instance", "new", "last", "behind", "problem"),
            [(one.instance, one.records, one.last, one.behind, one.problem) for one in found],
            max_width=None,
        )
