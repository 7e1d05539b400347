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
            help="do the configurations of many route servers fit together?",
            description="Reads all of them and their truths: ranges of hosts that too few route "
            "servers have, or none; rules, routers and fan-outs that are not the same; names that "
            "are not unique. Needs no database. Exit code 1: there is an error.",
            arguments=_CHECK,
        ),
        Action(
            "schema",
            fleet_logs.schema,
            help="the SQL that makes the database, or brings it up to date",
            description="Prints SQL for the database's administrator, who reads it and gives it to "
            "psql -v ON_ERROR_STOP=1. Applied again it changes nothing.",
            arguments=_SCHEMA,
        ),
        Action(
            "ship",
            fleet_logs.ship,
            help="ship an audit log to the database, to its end",
            description="Ships what the audit log has and the database has not. A running filter "
            "does so by itself; this is for a log whose filter runs no more, or for a copy of one.",
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
            help="let an empty audit log go on where the database's ends",
            description="For a machine that has lost its disk, or a new one under the same name, "
            "before its filter is started: the first record will follow the last one that was "
            "shipped.",
            parents=of_filter,
        ),
        Action(
            "collect",
            fleet_logs.collect,
            help="copies of all audit logs, octet for octet",
            description="Writes DIR/INSTANCE/audit-*.jsonl for each instance, and checks every "
            "hash. Called again it goes on. Exit code 1: something is wrong with one of them.",
            arguments=(
                *database_arguments(is_required=True),
                argument("-o", "--output", type=Path, required=True, metavar="DIR"),
                argument("--follow", action="store_true", help="go on for ever"),
                JSON_LINES,
            ),
        ),
        Action(
            "status",
            fleet_view.status,
            help="all instances: who is there, what they decide by, how far they are shipped",
            description="Shows the newest heartbeat of each instance. Exit code 1: one is silent, "
            "is not shipped, or judges by other data than the others.",
            parents=of_filter,
            arguments=of_reader,
        ),
        Action(
            "diff",
            fleet_view.diff,
            help="routes that two instances do not have alike, and why",
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
        help="every address in it has to be in some route server's ranges",
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
