"""`rsfilter audit`: what the log has, for people (tables) and programs (JSON Lines)."""

from __future__ import annotations

import argparse
import resource
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from rsfilter.audit.files import list_keys
from rsfilter.audit.indexing import build
from rsfilter.audit.many import logs_in, query_all, sql_all
from rsfilter.audit.prune import prune
from rsfilter.audit.query import tail
from rsfilter.audit.record import timestamp
from rsfilter.audit.sql import LogFileError, SqlError
from rsfilter.audit.stats import stats_of_all
from rsfilter.audit.verify import verify
from rsfilter.commands import arguments
from rsfilter.commands.actions import JSON, Action, add_actions, argument
from rsfilter.commands.arguments import Subparsers, host_bits
from rsfilter.commands.audit_arguments import (
    CONDITIONS,
    PERIOD,
    SHOWN,
    place_arguments,
    time_argument,
)
from rsfilter.commands.audit_tables import line, print_records, print_result
from rsfilter.commands.errors import CommandError
from rsfilter.commands.fleet_database import shipped_seq
from rsfilter.commands.hosts import meant_in_truth
from rsfilter.commands.output import (
    FAILED,
    GOOD,
    INVALID,
    console,
    print_json,
    print_note,
    print_table,
    print_total,
)
from rsfilter.config.build import load_config, parse_config
from rsfilter.config.source import default_path, read_config
from rsfilter.util.text import clean, count


def add(commands: Subparsers) -> None:
    """Add `audit` to the command line."""
    parser = commands.add_parser("audit", help="review the audit log")
    add_actions(parser, _actions())


def _actions() -> tuple[Action, ...]:
    where = (place_arguments(),)
    return (
        Action(
            "query",
            _query,
            help="search the records of announcements and verdicts",
            description="Prints the records that meet every condition, oldest first.",
            parents=where,
            arguments=CONDITIONS,
        ),
        Action(
            "tail",
            _tail,
            help="print the latest records",
            description="Prints the latest records, oldest first; with -f also new ones.",
            parents=where,
            arguments=(
                argument(
                    "-n",
                    "--count",
                    type=arguments.count,
                    default=10,
                    metavar="N",
                    help="number of records (default: %(default)s)",
                ),
                argument("-f", "--follow", action="store_true", help="also print new records"),
            ),
        ),
        Action(
            "stats",
            _stats,
            help="count records",
            description="Counts the records of a period by event, verdict and reason, and for the "
            "busiest neighbors, hosts and prefixes.",
            parents=where,
            arguments=PERIOD,
        ),
        Action(
            "verify",
            _verify,
            help="check that no record was changed or removed",
            description="Finds every record that was changed, removed, cut or moved. Exit code 1: "
            "there is damage, or no record at all.",
            parents=where,
        ),
        Action(
            "index",
            _index,
            help="make queries over millions of records fast",
            description="Writes a columnar copy of each closed file to the log's directory "
            "`index`. `query` and `stats` use it. It can be deleted at any time.",
            parents=where,
        ),
        Action(
            "report",
            _report,
            help="write a period of the log as one HTML file, for reviewers",
            description="Writes tables, a time line, announcements of prefixes of other hosts, "
            "and whether the log is intact. The file loads nothing and runs no code.",
            parents=where,
            arguments=(
                *PERIOD,
                argument("-o", "--output", type=Path, required=True, metavar="FILE"),
            ),
        ),
        Action(
            "prune",
            _prune,
            help="remove old files, but none that is not shipped yet",
            description="Removes closed files of days before a time, oldest first, also while the "
            "filter runs. With [fleet] only those that are in the database, and none if it does "
            "not answer.",
            parents=(arguments.configured(),),
            arguments=(
                argument(
                    "--before",
                    type=time_argument,
                    required=True,
                    metavar="TIME",
                    help="a day such as 2026-11-22, or an age: 400d, 52w",
                ),
                JSON,
            ),
        ),
    )


# Commands ----------------------------------------------------------------------------------------


def _query(args: argparse.Namespace) -> int:
    if args.sql is not None:
        return _query_sql(args)
    limit = (None if args.json else SHOWN) if args.limit is None else args.limit or None
    _check_period(args)
    if args.prefix and args.match != "exact" and (hint := host_bits(args.prefix)):
        raise CommandError(f"{hint}; --match exact finds it as a host announced it", INVALID)
    logs = _logs(args)
    try:
        records = query_all(
            logs,
            prefix=args.prefix,
            match=args.match,
            asn=args.asn,
            host=args.host,
            reason=args.reason,
            neighbor=args.neighbor,
            event=args.event,
            verdict=args.verdict,
            since=args.since,
            until=args.until,
            limit=limit,
        )
    except ValueError as error:
        raise CommandError(str(error), INVALID) from None
    if args.json:
        print_json(records)
        return GOOD
    shown = list(records)
    print_records(shown, has_instances=list(logs) != [""])
    print_total(count(len(shown), "record"))
    if not shown:
        print_note(_none_found(args))
    if args.limit is None and len(shown) == SHOWN:
        print_note(f"These are the newest {SHOWN}; --limit 0 prints all.")
    return GOOD


def _check_period(args: argparse.Namespace) -> None:
    """Refuse a time that is empty: nothing found would read like good news."""
    if None not in (args.since, args.until) and args.since >= args.until:
        raise CommandError("--since is not before --until: no record can be between them", INVALID)


def _none_found(args: argparse.Namespace) -> str:
    of, hint = (f" of host {args.host!r}", meant_in_truth(args)) if args.host else ("", "")
    return clean(f"No record{of} meets these conditions{hint or '.'}")


def _query_sql(args: argparse.Namespace) -> int:
    # Every file of the log is open at once, an index twice: a year may have more than the usual
    # 1024. The hard limit may always be taken, and this process is no filter.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        columns, rows = sql_all(_logs(args), args.sql)
    except LogFileError as error:
        raise CommandError(str(error)) from None
    except SqlError as error:
        # The lines after the first repeat the statement.
        raise CommandError(str(error).partition("\n")[0], INVALID) from None
    if args.json:
        print_json(dict(zip(columns, row, strict=True)) for row in rows)
    else:
        print_table(columns, rows)
    return GOOD


def _tail(args: argparse.Namespace) -> int:
    records = tail(_directory(args), count=args.count, follow=args.follow)
    if args.json:
        print_json(records, is_live=args.follow)
    elif args.follow:
        for record in records:
            print(line(record), flush=True)  # noqa: T201
    else:
        print_records(records)
    return GOOD


def _stats(args: argparse.Namespace) -> int:
    _check_period(args)
    try:
        logs = _logs(args)
        found = stats_of_all(logs, args.since, args.until)
    except (LogFileError, SqlError) as error:
        raise CommandError(str(error)) from None
    if list(logs) == [""]:
        del found["instances"]
    if args.json:
        print_json([found])
        return GOOD
    console().print(f"{count(found['records'], 'record')}, {found['first']} to {found['last']}")
    for name, rows in found.items():
        if isinstance(rows, list) and rows:
            print_table(_STATS_COLUMNS.get(name, (name.replace("_", " "), "records")), rows)
    return GOOD


_STATS_COLUMNS = {"timeline": ("time", "accepted", "rejected", "held", "gone")}


def _verify(args: argparse.Namespace) -> int:
    is_good = True
    for name, directory in _logs(args).items():
        result = verify(directory)
        is_good = is_good and result.is_ok and bool(result.records)
        if args.json:
            of = {"instance": name} if name else {}
            problems = [problem._asdict() for problem in result.problems]
            print_json([{**of, "ok": result.is_ok, **asdict(result), "problems": problems}])
        else:
            if name:
                console().print(f"{clean(name)}:", style="bold")
            print_result(result)
    return GOOD if is_good else FAILED


def _index(args: argparse.Namespace) -> int:
    indexed = 0
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("indexing", total=None)
        for directory in _logs(args).values():
            done = 0
            for done, total in build(directory):
                progress.update(task, completed=done, total=total)
            indexed += done
    if args.json:
        print_json([{"indexed": indexed}])
    else:
        console().print(f"indexed {count(indexed, 'file')}")
    return GOOD


def _report(args: argparse.Namespace) -> int:
    from rsfilter.audit.report import report  # loads Jinja, which only this command needs

    try:
        text = report(_place(args), args.since, args.until)
    except (LogFileError, SqlError) as error:
        raise CommandError(str(error)) from None
    args.output.write_text(text, encoding="utf-8")
    if args.json:
        print_json([{"wrote": str(args.output)}])
    else:
        console().print(f"wrote {clean(str(args.output))}", soft_wrap=True)
    return GOOD


def _prune(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    shipped = None
    if config.fleet is not None:
        shipped = shipped_seq(config.fleet)
    removed = prune(config.audit.directory, timestamp(args.before)[:10], shipped)
    names = [key.name for key in removed]
    if args.json:
        print_json([{"removed": names}])
    else:
        console().print(f"removed {count(len(names), 'file')}")
    return GOOD


# Arguments ---------------------------------------------------------------------------------------


def _logs(args: argparse.Namespace) -> dict[str, Path]:
    """The log that is meant, under an empty name, or those in a directory of logs."""
    return logs_in(_place(args))


def _directory(args: argparse.Namespace) -> Path:
    """The log that is meant."""
    directory = _place(args)
    if names := [name for name in logs_in(directory) if name]:
        text = f"{directory} has several logs; name one: {directory / names[0]}"
        raise CommandError(text, INVALID)
    return directory


def _place(args: argparse.Namespace) -> Path:
    directory: Path | None = args.directory
    if directory is None:
        path = args.config or default_path()
        hint = "; name the file with -c, or the log with --directory"
        directory = parse_config(read_config(path, hint=hint), path).audit.directory
    # The configured log may be waiting for its first record. `verify` reports that there is none.
    has_to_have_one = args.directory is not None and args.action != "verify"
    if not directory.is_dir() or (has_to_have_one and not _has_log(directory)):
        hint = "the filter makes it when it starts; --directory names another"
        raise CommandError(f"{directory}: there is no audit log; {hint}", INVALID)
    return directory


def _has_log(directory: Path) -> bool:
    return bool(list_keys(directory)) or list(logs_in(directory)) != [""]
