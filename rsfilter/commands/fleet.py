"""`rsfilter fleet`: many route servers, with one audit and one view.

What needs the database's driver is imported when it is called for.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from rsfilter.audit.chain import GENESIS
from rsfilter.audit.files import DIRECTORY_MODE, Disk, write_head
from rsfilter.commands import arguments
from rsfilter.commands.arguments import Subparsers
from rsfilter.commands.output import FAILED, GOOD, INVALID, console, print_json, print_table
from rsfilter.config.build import FleetConfig, load_config
from rsfilter.config.database import parse_url
from rsfilter.config.model import Config, ConfigError
from rsfilter.config.reader import HintError
from rsfilter.edge.truth_file import load_truth
from rsfilter.rpki.truth import TruthError
from rsfilter.util.text import clean, clean_lines

if TYPE_CHECKING:
    from rsfilter.fleet.collect import Finding
    from rsfilter.fleet.state import Peer

MISSING = "this needs the driver of PostgreSQL: pip install 'rsfilter[fleet]'"


def add(commands: Subparsers) -> None:
    """Add `fleet` to the command line."""
    parser = commands.add_parser("fleet", help="many route servers: one audit, one view")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_check(actions)
    _add_schema(actions)
    _add_ship(actions)
    _add_resume(actions)
    _add_collect(actions)
    _add_status(actions)
    _add_diff(actions)


def run(args: argparse.Namespace) -> int:
    """Run the selected action."""
    action: Callable[[argparse.Namespace], int] = args.run_action
    return action(args)


def _add_action(
    actions: Subparsers,
    name: str,
    action: Callable[[argparse.Namespace], int],
    *,
    help: str,  # noqa: A002 - argparse's own word
    description: str,
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=help, description=description)
    parser.set_defaults(handler=run, run_action=action)
    return parser


# The plan ----------------------------------------------------------------------------------------


def _add_check(actions: Subparsers) -> None:
    parser = _add_action(
        actions,
        "check",
        _check,
        help="do the configurations of many route servers fit together?",
        description="Reads all of them and their truths: ranges of hosts that too few route "
        "servers have, or none; rules, routers and fan-outs that are not the same; names that are "
        "not unique. Needs no database. Exit code 1: there is an error.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a configuration")
    parser.add_argument(
        "--sessions",
        type=arguments.count,
        default=2,
        metavar="N",
        help="route servers that each host should have (default: %(default)s)",
    )
    parser.add_argument(
        "--covers",
        action="append",
        default=[],
        type=arguments.prefix,
        metavar="PREFIX",
        help="every address in it has to be in some route server's ranges",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object to a line")


def _check(args: argparse.Namespace) -> int:
    from rsfilter.fleet.plan import Instance, check

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
            instances.append(Instance(str(path), config, digest, bound))
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


# The database ------------------------------------------------------------------------------------


def _add_schema(actions: Subparsers) -> None:
    parser = _add_action(
        actions,
        "schema",
        _schema,
        help="the SQL that makes the database, or brings it up to date",
        description="Prints SQL for the database's administrator, who reads it and gives it to "
        "psql -v ON_ERROR_STOP=1. Applied again it changes nothing.",
    )
    parser.add_argument("fleet", metavar="FLEET", help="the name of the fleet")
    parser.add_argument(
        "--instance",
        action="append",
        default=[],
        metavar="NAME",
        help="add a role that ships its own audit log, and can do nothing else",
    )
    parser.add_argument(
        "--collector",
        action="append",
        default=[],
        metavar="NAME",
        help="add a role that reads everything, and can change nothing",
    )
    parser.add_argument(
        "--begins-after",
        nargs=2,
        metavar=("SEQ", "HASH"),
        help="the record before the first that the instance's log still has",
    )


def _schema(args: argparse.Namespace) -> int:
    from rsfilter.fleet.schema import schema_sql

    seq, digest = args.begins_after or ("0", GENESIS)
    try:
        begins_after = (arguments.count(seq), digest)
        sql = schema_sql(args.fleet, args.instance, args.collector, begins_after=begins_after)
    except (ValueError, argparse.ArgumentTypeError) as error:
        sys.stderr.write(clean_lines(f"rsfilter fleet schema: {error}\n"))
        return INVALID
    sys.stdout.write(sql)
    return GOOD


# Shipping ----------------------------------------------------------------------------------------


def _add_ship(actions: Subparsers) -> None:
    parser = _add_action(
        actions,
        "ship",
        _ship,
        help="ship an audit log to the database, to its end",
        description="Ships what the audit log has and the database has not. A running filter does "
        "so by itself; this is for a log whose filter runs no more, or for a copy of one.",
    )
    arguments.add_config(parser)
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="the log or a copy of it (default: that of the configuration)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _ship(args: argparse.Namespace) -> int:
    config, fleet = _configured(args)
    directory = args.directory or config.audit.directory
    if not directory.is_dir():
        raise ConfigError([f"{directory}: there is no audit log"])
    with _database_errors("fleet ship"):
        from rsfilter.fleet.database import Database
        from rsfilter.fleet.shipper import Shipper

        shipper = Shipper(directory, Database(fleet))
        while shipper.step():
            pass
    state = shipper.state
    if args.json:
        print_json([{**state._asdict(), "shipped": state.shipped.seq, "hash": state.shipped.hash}])
    elif state.problem:
        sys.stderr.write(clean(f"rsfilter fleet ship: {state.detail}") + "\n")
    else:
        console().print(
            clean(f"{fleet.instance}: the database has all records up to {state.shipped.seq}")
        )
    return FAILED if state.problem else GOOD


def _add_resume(actions: Subparsers) -> None:
    parser = _add_action(
        actions,
        "resume",
        _resume,
        help="let an empty audit log go on where the database's ends",
        description="For a machine that has lost its disk, or a new one under the same name, "
        "before its filter is started: the first record will follow the last one that was shipped.",
    )
    arguments.add_config(parser)


def _resume(args: argparse.Namespace) -> int:
    config, fleet = _configured(args)
    directory = config.audit.directory
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError([f"{directory}: is not empty; stop the filter and move it aside"])
    with _database_errors("fleet resume"):
        from rsfilter.fleet.database import Database

        newest = Database(fleet).newest()
    directory.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    if newest.seq:
        write_head(directory, newest, Disk())
    where = f"after record {newest.seq}" if newest.seq else "from its beginning"
    console().print(clean(f"{directory}: the log of {fleet.instance} goes on {where}"))
    return GOOD


def shipped_seq(fleet: FleetConfig) -> int:
    """Return the last record of this instance in the database, for `audit prune`. Ends the command
    if the database cannot be reached."""
    newest = 0
    with _database_errors("audit prune: nothing is removed"):
        from rsfilter.fleet.database import Database

        with closing(Database(fleet)) as database:
            newest = database.newest().seq
    return newest


# Collecting --------------------------------------------------------------------------------------

COLLECT_S = 10.0
"""Seconds between two rounds with --follow."""


def _add_collect(actions: Subparsers) -> None:
    parser = _add_action(
        actions,
        "collect",
        _collect,
        help="copies of all audit logs, octet for octet",
        description="Writes DIR/INSTANCE/audit-*.jsonl for each instance, and checks every hash. "
        "Called again it goes on. Exit code 1: something is wrong with one of them.",
    )
    _add_database(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--follow", action="store_true", help="go on for ever")
    parser.add_argument("--json", action="store_true", help="print JSON, one object to a line")


def _collect(args: argparse.Namespace) -> int:
    fleet = _named(args)
    args.output.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    while True:
        with _database_errors("fleet collect", goes_on=args.follow):
            found = list(_collect_once(fleet, args.output))
            _print_found(found, args)
        if not args.follow:
            return FAILED if any(one.problem for one in found) else GOOD
        time.sleep(COLLECT_S)


def _collect_once(fleet: FleetConfig, output: Path) -> Iterator[Finding]:
    """Copy once; yield the final state of each copy."""
    from rsfilter.fleet.collect import Finding, collect
    from rsfilter.fleet.database import Database
    from rsfilter.fleet.schema import checked

    with closing(Database(fleet)) as database:
        for instance, newest, _ in database.instances():
            try:
                place = output / checked(instance)
            except ValueError as error:
                yield Finding(instance, 0, 0, 0, str(error))
            else:
                *_, finding = collect(database, instance, newest, place)
                yield finding


def _print_found(found: Sequence[Finding], args: argparse.Namespace) -> None:
    if args.follow:  # only what is new
        found = [one for one in found if one.records or one.problem]
    if args.json:
        print_json((one._asdict() for one in found), is_live=args.follow)
        return
    for one in found if args.follow else ():
        text = one.problem or f"{one.records} records, up to {one.last}"
        print(clean(f"{one.instance}: {text}"), flush=True)  # noqa: T201
    if not args.follow:
        print_table(
            ("instance", "new", "last", "behind", "problem"),
            [(one.instance, one.records, one.last, one.behind, one.problem) for one in found],
            max_width=None,
        )


# Status and comparison ---------------------------------------------------------------------------


def _add_status(actions: Subparsers) -> None:
    parser = _add_action(
        actions,
        "status",
        _status,
        help="all instances: who is there, what they decide by, how far they are shipped",
        description="Shows the newest heartbeat of each instance. Exit code 1: one is silent, is "
        "not shipped, or judges by other data than the others.",
    )
    _add_reader(parser)


def _add_diff(actions: Subparsers) -> None:
    parser = _add_action(
        actions,
        "diff",
        _diff,
        help="routes that two instances do not have alike, and why",
        description="Shows where two instances with the same hosts differ, each with its cause. "
        "Exit code 1: there is a difference.",
    )
    _add_reader(parser)


def _status(args: argparse.Namespace) -> int:
    peers = _peers(args)
    rows = [_status_row(peer, peers) for peer in peers]
    if args.json:
        print_json(
            {"instance": p.instance, "age": int(p.age), "is_silent": p.is_silent, **asdict(p.state)}
            for p in peers
        )
    else:
        print_table(_STATUS, rows, max_width=None)
    return FAILED if any(row[-1] for row in rows) or not rows else GOOD


_STATUS = (
    *("instance", "heard", "version", "truth", "rtr", "sessions", "accepted", "rejected", "held"),
    *("behind", "problem"),
)


def _status_row(peer: Peer, peers: Sequence[Peer]) -> tuple[object, ...]:
    state = peer.state
    return (
        *(peer.instance, f"{peer.age:.0f} s", state.version, state.revision or state.truth),
        *(state.rtr, state.sessions, state.accepted, state.rejected, state.held, state.behind),
        problem_of(peer, peers),
    )


def problem_of(peer: Peer, peers: Sequence[Peer]) -> str:
    """Return the problem of an instance, for display; empty if there is none."""
    from rsfilter.fleet.compare import other_data

    if peer.is_silent:
        return f"silent for {peer.age:.0f} s"
    if peer.state.problem:
        return f"not shipped: {peer.state.problem}"
    if not peer.state.is_complete:
        return "its log is not complete: it is not compared"
    for other in peers:
        same_hosts = {g.id for g in peer.state.groups} & {g.id for g in other.state.groups}
        if same_hosts and not other.is_silent and (data := other_data(peer.state, other.state)):
            return f"other {data} than {other.instance}"
    return ""


def _diff(args: argparse.Namespace) -> int:
    from rsfilter.fleet.state import CAUSES

    found = list(differences(_peers(args, is_detailed=True)))
    if args.json:
        print_json(found)
    elif not found:
        console().print("no difference")
    else:
        print_table(_DIFF, [[one[name] for name in _DIFF] for one in found], max_width=None)
        for cause in sorted({one["cause"] for one in found}):
            console().print(f"{cause}: {CAUSES.get(cause, cause)}", soft_wrap=True)
    return FAILED if found else GOOD


_DIFF = ("prefix", "host", "neighbor", "instance", "has", "other", "other_has", "cause")


def differences(peers: Sequence[Peer]) -> Iterator[dict[str, Any]]:
    """Each difference once, as the first of the two instances sees it."""
    seen = set()
    for peer in peers:
        for one in peer.detail.differences if peer.detail and not peer.is_silent else ():
            pair = frozenset((peer.instance, one.peer))
            place = (pair, one.neighbor, one.prefix, one.path_id)
            if place in seen:
                continue
            seen.add(place)
            yield {
                "prefix": one.prefix,
                "path_id": one.path_id,
                "host": one.host,
                "neighbor": one.neighbor,
                "instance": peer.instance,
                "has": one.here or "nothing",
                "other": one.peer,
                "other_has": one.there or "nothing",
                "cause": one.cause,
            }


def _peers(args: argparse.Namespace, *, is_detailed: bool = False) -> list[Peer]:
    fleet = _configured(args)[1] if args.database is None else _named(args)
    peers: list[Peer] = []
    with _database_errors(f"fleet {args.action}"):
        from rsfilter.fleet.database import Database

        with closing(Database(fleet)) as database:
            peers = database.peers(is_detailed=is_detailed)
    return peers


# Arguments and errors ----------------------------------------------------------------------------


def _add_reader(parser: argparse.ArgumentParser) -> None:
    arguments.add_config(parser)
    _add_database(parser, is_required=False)
    parser.add_argument("--json", action="store_true", help="print JSON, one object to a line")


def _add_database(parser: argparse.ArgumentParser, *, is_required: bool = True) -> None:
    """Add arguments for the database, for machines without a filter."""
    parser.add_argument(
        "--fleet", required=is_required, metavar="NAME", help="the name of the fleet"
    )
    parser.add_argument(
        "--database",
        required=is_required,
        metavar="URL",
        help="postgresql://ROLE@HOST/DATABASE?sslmode=verify-full, without a password",
    )
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="its first line is the password"
    )


def _named(args: argparse.Namespace) -> FleetConfig:
    if not args.fleet:
        raise ConfigError(["--database: needs --fleet, the name of the fleet"])
    try:
        return FleetConfig(args.fleet, parse_url(args.database), args.password_file)
    except HintError as error:
        raise ConfigError([f"--database: {error}"]) from None


def _configured(args: argparse.Namespace) -> tuple[Config, FleetConfig]:
    config = load_config(args.config)
    if config.fleet is None:
        raise ConfigError([f"{args.config}: fleet: missing; a [fleet] section is needed"])
    return config, config.fleet


@contextmanager
def _database_errors(command: str, *, goes_on: bool = False) -> Iterator[None]:
    """Print what the database has against it, and end with FAILED unless the command goes on."""
    try:
        from rsfilter.fleet.database import DatabaseError
    except ImportError:
        sys.stderr.write(f"rsfilter {command}: {MISSING}\n")
        raise SystemExit(FAILED) from None
    try:
        yield
    except DatabaseError as error:
        sys.stderr.write(clean(f"rsfilter {command}: {error}") + "\n")
        if not goes_on:
            raise SystemExit(FAILED) from None
