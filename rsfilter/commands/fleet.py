"""`rsfilter fleet`: many route servers, with one audit and one view."""

from __future__ import annotations

import argparse
from pathlib import Path

from rsfilter.commands import arguments, fleet_logs, fleet_view
from rsfilter.commands.actions import JSON, JSON_LINES, Action, add_actions, argument
from rsfilter.commands.arguments import Subparsers
from rsfilter.commands.fleet_database import database_arguments
from rsfilter.commands.output import FAILED, GOOD, console, print_json
from rsfilter.config.build import load_config
from rsfilter.config.model import ConfigError
from rsfilter.edge.truth_file import load_truth
from rsfilter.rpki.truth import TruthError
from rsfilter.util.text import clean


def add(commands: Subparsers) -> None:
    """Add `fleet` to the command line."""
    parser = commands.add_parser("fleet", help="many route servers: one audit, one view")
    add_actions(parser, _actions())


def _actions() -> tuple[Action, ...]:
    of_filter = (arguments.configured(),)
    of_reader = (*database_arguments(is_required=False), JSON_LINES)
    return (
        Action(
            "check",
            _check,
            help="check that the configurations of many route servers fit together",
            description="Reads the configurations and their truths. Reports ranges of hosts that "
            "too few route servers have, or none; rules, routers and fan-outs that differ; and "
            "names that are not unique. Needs no database. Exit code 1: there is an error.",
            arguments=_CHECK,
        ),
        Action(
            "schema",
            fleet_logs.schema,
            help="print the SQL that creates or upgrades the database",
            description="Prints SQL for the database's administrator, who reads it and applies it "
            "with psql -v ON_ERROR_STOP=1. Applied again it changes nothing.",
            arguments=_SCHEMA,
        ),
        Action(
            "ship",
            fleet_logs.ship,
            help="ship an audit log to the database, to its end",
            description="Ships records that are not in the database yet. A running filter does so "
            "by itself; this is for a log whose filter no longer runs, or for a copy of a log.",
            parents=of_filter,
            arguments=(
                argument(
                    "--directory",
                    type=Path,
                    metavar="DIR",
                    help="the log or a copy of it (default: that of the configuration)",
                ),
                JSON,
            ),
        ),
        Action(
            "resume",
            fleet_logs.resume,
            help="let an empty audit log continue where the database ends",
            description="For a machine that has lost its disk, or a new one under the same name, "
            "before its filter is started: the first record will follow the last one that was "
            "shipped.",
            parents=of_filter,
        ),
        Action(
            "collect",
            fleet_logs.collect,
            help="write copies of all audit logs, byte for byte",
            description="Writes DIR/INSTANCE/audit-*.jsonl for each instance, and checks every "
            "hash. Called again, it continues. Exit code 1: one of the logs has a problem.",
            arguments=(
                *database_arguments(is_required=True),
                argument("-o", "--output", type=Path, required=True, metavar="DIR"),
                argument("--follow", action="store_true", help="do not end"),
                JSON_LINES,
            ),
        ),
        Action(
            "status",
            fleet_view.status,
            help="list all instances: last heartbeat, active data, shipped records",
            description="Shows the newest heartbeat of each instance. Exit code 1: one is silent, "
            "is not shipped, or has other active data than the others.",
            parents=of_filter,
            arguments=of_reader,
        ),
        Action(
            "diff",
            fleet_view.diff,
            help="list routes that two instances decide differently, and why",
            description="Shows where two instances with the same hosts differ, each with its "
            "cause. Exit code 1: there is a difference.",
            parents=of_filter,
            arguments=of_reader,
        ),
    )


_CHECK = (
    argument("files", nargs="+", type=Path, metavar="FILE", help="a configuration"),
    argument(
        "--sessions",
        type=arguments.count,
        default=2,
        metavar="N",
        help="route servers that each host should have (default: %(default)s)",
    ),
    argument(
        "--covers",
        action="append",
        default=[],
        type=arguments.prefix,
        metavar="PREFIX",
        help="require that each address in it is in the ranges of a route server",
    ),
    JSON_LINES,
)

_SCHEMA = (
    argument("fleet", metavar="FLEET", help="the name of the fleet"),
    argument(
        "--instance",
        action="append",
        default=[],
        metavar="NAME",
        help="add a role that ships its own audit log, and can do nothing else",
    ),
    argument(
        "--collector",
        action="append",
        default=[],
        metavar="NAME",
        help="add a role that reads everything, and can change nothing",
    ),
    argument(
        "--begins-after",
        nargs=2,
        metavar=("SEQ", "HASH"),
        help="the record before the first that the instance's log still has",
    ),
)


def _check(args: argparse.Namespace) -> int:
    from rsfilter.fleet.plan import PlannedInstance, check

    problems, instances = [], []
    for path in args.files:
        try:
            config = load_config(path)
            truth = load_truth(config.truth.file) if config.truth else None
            bound = [
                (host.name, str(address))
                for host in (truth.hosts if truth else ())
                for address in host.neighbors
            ]
            digest = truth.sha256 if truth else ""
            instances.append(PlannedInstance(str(path), config, digest, bound))
        except (ConfigError, TruthError) as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(problems)
    found = check(instances, sessions=args.sessions, covers=args.covers)
    errors = sum(one.level == "error" for one in found)
    if args.json:
        print_json(one._asdict() for one in found)
    else:
        for one in found:
            console().print(clean(f"{one.level}: {one.place}: {one.text}"), soft_wrap=True)
        console().print(f"{len(instances)} route servers: {errors or 'no'} errors")
    return FAILED if errors else GOOD
