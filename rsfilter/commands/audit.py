"""`rsfilter audit`: query, tail, stats and verify, for people (tables) and programs (JSON Lines).

Names and texts in the log come from hosts. No control character of theirs reaches a terminal.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from rsfilter.audit.files import list_keys
from rsfilter.audit.indexing import build
from rsfilter.audit.many import logs_in, query_all, sql_all
from rsfilter.audit.prune import prune
from rsfilter.audit.query import Record, parse_time, tail
from rsfilter.audit.record import EVENTS, timestamp
from rsfilter.audit.sql import SqlError
from rsfilter.audit.stats import stats_of_all
from rsfilter.audit.verify import VerifyResult, verify
from rsfilter.commands import arguments
from rsfilter.commands.arguments import Subparsers
from rsfilter.commands.client import ClientError
from rsfilter.commands.fleet import shipped_seq
from rsfilter.commands.output import (
    FAILED,
    GOOD,
    INVALID,
    clean_cell,
    console,
    print_json,
    print_table,
    print_total,
)
from rsfilter.config.build import (
    DEFAULT_HELP,
    default_path,
    load_config,
    parse_config,
    read_config,
)
from rsfilter.routing.reasons import REASONS
from rsfilter.util.text import clean, clean_lines, count

SHOWN = 100
"""Default number of records in a table: as many as a person can read."""


def add(commands: Subparsers) -> None:
    """Add `audit` to the command line."""
    parser = commands.add_parser("audit", help="review the audit log")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    where = argparse.ArgumentParser(add_help=False)
    place = where.add_mutually_exclusive_group()
    place.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the configuration that names the log (default: {DEFAULT_HELP})",
    )
    place.add_argument(
        "--directory", type=Path, metavar="DIR", help="the log itself, or a directory of logs"
    )
    where.add_argument("--json", action="store_true", help="print JSON, one object to a line")
    _add_query(actions, where)
    _add_tail(actions, where)
    _add_stats(actions, where)
    _add_verify(actions, where)
    _add_index(actions, where)
    _add_report(actions, where)
    _add_prune(actions)


def _add_query(actions: Subparsers, where: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "query",
        parents=[where],
        help="who announced what, what was decided, and why",
        description="Prints the records that meet every condition, oldest first.",
    )
    parser.add_argument(
        "prefix", nargs="?", metavar="PREFIX", help="a prefix, or an address for its host route"
    )
    parser.add_argument(
        "--match",
        choices=["covering", "covered", "exact"],
        default="covering",
        help="records whose prefix covers PREFIX, lies in it, or is it (default: %(default)s)",
    )
    parser.add_argument("--asn", type=arguments.asn, metavar="N", help="of the session")
    parser.add_argument("--host", metavar="NAME", help="the host's name in the truth")
    parser.add_argument(
        "--neighbor", type=arguments.address, metavar="ADDRESS", help="the other end of the session"
    )
    parser.add_argument(
        "--reason", choices=list(REASONS), metavar="REASON", help="one of docs/reasons.md"
    )
    parser.add_argument("--verdict", choices=["accepted", "rejected", "held"])
    parser.add_argument(
        "--event", choices=EVENTS, metavar="EVENT", help="verdict, withdraw, session_down, ..."
    )
    _add_period(parser)
    parser.add_argument(
        "--limit",
        type=arguments.count,
        metavar="N",
        help=f"only the newest N; 0 for all (default: {SHOWN}, with --json all)",
    )
    parser.add_argument(
        "--sql",
        metavar="STATEMENT",
        help="a SELECT over the table `audit` instead of conditions (docs/audit.md)",
    )
    parser.set_defaults(handler=_query)


def _add_tail(actions: Subparsers, where: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "tail",
        parents=[where],
        help="the latest records",
        description="Prints the latest records, oldest first; with -f also those that come.",
    )
    parser.add_argument(
        "-n",
        "--count",
        type=arguments.count,
        default=10,
        metavar="N",
        help="how many (default: %(default)s)",
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on with those that come")
    parser.set_defaults(handler=_tail)


def _add_stats(actions: Subparsers, where: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "stats",
        parents=[where],
        help="how many of what",
        description="Counts the records of a time by event, verdict and reason, and for the "
        "busiest neighbors, hosts and prefixes.",
    )
    _add_period(parser)
    parser.set_defaults(handler=_stats)


def _add_verify(actions: Subparsers, where: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "verify",
        parents=[where],
        help="is every record there, and as it was written?",
        description="Finds every record that was changed, removed, cut or moved. Exit code 1: "
        "there is damage, or no record at all.",
    )
    parser.set_defaults(handler=_verify)


def _add_index(actions: Subparsers, where: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "index",
        parents=[where],
        help="make questions about millions of records fast",
        description="Makes a columnar copy of each closed file, in the log's directory `index`. "
        "`query` and `stats` use it. It can be deleted at any time.",
    )
    parser.set_defaults(handler=_index)


def _add_report(actions: Subparsers, where: argparse.ArgumentParser) -> None:
    parser = actions.add_parser(
        "report",
        parents=[where],
        help="some time of the log as one HTML file, for reviewers",
        description="Writes tables, a time line, who announced what belongs to others, and whether "
        "the log is intact. The file loads nothing and runs nothing.",
    )
    _add_period(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.set_defaults(handler=_report)


def _add_prune(actions: Subparsers) -> None:
    parser = actions.add_parser(
        "prune",
        help="remove old files, but none that was not shipped",
        description="Removes closed files of days before a time, oldest first, also while the "
        "filter runs. With [fleet] those only that the database has: if it cannot be asked, none.",
    )
    arguments.add_config(parser)
    parser.add_argument(
        "--before",
        type=_time,
        required=True,
        metavar="TIME",
        help="a day such as 2026-11-22, or so long ago: 400d, 52w",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=_prune)


def _add_period(parser: argparse.ArgumentParser) -> None:
    form = "from then on: 2026-11-22T10:00:00Z, 2026-11-22, 01:15 (UTC), yesterday, 5min, 2h, 3d"
    parser.add_argument("--since", type=_time, metavar="TIME", help=form)
    parser.add_argument("--until", type=_time, metavar="TIME", help="before, in the same forms")


# Commands ----------------------------------------------------------------------------------------


def _query(args: argparse.Namespace) -> int:
    if args.sql is not None:
        return _query_sql(args)
    limit = (None if args.json else SHOWN) if args.limit is None else args.limit or None
    _check_period(args)
    try:
        logs = _logs(args)
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
        raise ClientError(str(error), INVALID) from None
    if args.json:
        print_json(records)
        return GOOD
    shown = list(records)
    _print_records(shown, has_instances=list(logs) != [""])
    print_total(count(len(shown), "record"))
    if not shown:
        sys.stderr.write(_none_found(args))
    if args.limit is None and len(shown) == SHOWN:
        sys.stderr.write(f"These are the newest {SHOWN}; --limit 0 prints all.\n")
    return GOOD


def _check_period(args: argparse.Namespace) -> None:
    """Refuse a time that is empty: nothing found would read like good news."""
    if None not in (args.since, args.until) and args.since >= args.until:
        raise ClientError("--since is not before --until: no record can be between them", INVALID)


def _none_found(args: argparse.Namespace) -> str:
    of = f" of host {args.host!r}: is that the truth's name for it?" if args.host else "."
    return clean(f"No record meets these conditions{of}") + "\n"


def _query_sql(args: argparse.Namespace) -> int:
    # Every file of the log is open at once, an index twice: a year may have more than the usual
    # 1024. The hard limit may always be taken, and this process is no filter.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        columns, rows = sql_all(_logs(args), args.sql)
    except SqlError as error:
        raise ClientError(str(error), FAILED if error.is_file else INVALID) from None
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
        for record in records:  # a table would wait for its last row
            print("  ".join(map(clean_cell, _row(record))), flush=True)  # noqa: T201
    else:
        _print_records(records)
    return GOOD


def _stats(args: argparse.Namespace) -> int:
    _check_period(args)
    try:
        logs = _logs(args)
        found = stats_of_all(logs, args.since, args.until)
    except SqlError as error:
        sys.stderr.write(clean_lines(f"rsfilter audit stats: {error}\n"))
        return FAILED
    if list(logs) == [""]:
        del found["instances"]
    if args.json:
        print_json([found])
        return GOOD
    console().print(f"{found['records']} records, {found['first']} to {found['last']}")
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
            _print_result(result)
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
        console().print(f"{indexed} files were indexed")
    return GOOD


def _report(args: argparse.Namespace) -> int:
    from rsfilter.audit.report import report  # loads Jinja, which only this command needs

    try:
        text = report(_place(args), args.since, args.until)
    except SqlError as error:
        sys.stderr.write(clean_lines(f"rsfilter audit report: {error}\n"))
        return FAILED
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
        console().print(f"{len(names)} files were removed")
    return GOOD


def _print_result(result: VerifyResult) -> None:
    out = console()
    for problem in result.problems:
        out.print(clean(str(problem)), style="red", soft_wrap=True)
    out.print(f"{result.records} records in {result.files} files")
    if result.last_seq is not None:
        out.print(f"record {result.first_seq} to record {result.last_seq}")
        out.print(f"last hash {result.last_hash}", soft_wrap=True)
    if result.pruned_before is not None:
        out.print(f"older files are gone: nothing before record {result.pruned_before}")
    if not result.has_head and result.records:
        out.print("head.json is missing: records at the end may be, too")
    if result.is_ok and not result.records:
        out.print("There is nothing to vouch for: no record, and a filter that runs writes some.")
    else:
        out.print("The log is intact." if result.is_ok else "The log is DAMAGED.")


# Output ------------------------------------------------------------------------------------------

_COLUMNS: dict[str, Callable[[Record], object]] = {
    "at": lambda r: r["at"][:19] + "Z",
    "event": lambda r: r.get("verdict") or r["event"],
    "neighbor": lambda r: r.get("neighbor", ""),
    "host": lambda r: r.get("host", ""),
    "asn": lambda r: r.get("asn", ""),
    "prefix": lambda r: r.get("prefix", ""),
    "as path": lambda r: _shortened(r.get("as_path", "").split(" "), " "),
    "why": lambda r: _why(r),
}
"""Columns of a table of records; --json shows all members."""

_MAX_SHOWN = 4
"""Items of a list in a table."""


def _why(record: Record) -> str:
    if record.get("reasons"):
        vrps = record.get("vrps", ())
        return _shortened(record["reasons"]) + (f" ({_shortened(vrps)})" if vrps else "")
    if "cause" in record:
        vrps = _shortened(record.get("vrps", ()))
        return f"{vrps} ({record['cause']})" if vrps else str(record["cause"])
    return _sentence(record["event"], record.get("data", {}))


def _sentence(event: str, data: Mapping[str, Any]) -> str:
    """Describe an event other than a verdict in a sentence."""
    match event:
        case "session_up":
            return f"{data['role']} of {data['group'] or 'no group'}"
        case "session_down":
            return data["reason"] or "no reason given"
        case "absent":
            return f"missing for {count(data['seconds'], 'second')}"
        case "present":
            return f"{data['detail']}, after {count(data['seconds'], 'second')}"
        case "data":
            return (
                f"{data['source']}: {data['detail']}; {count(data['flipped'], 'verdict')} changed"
            )
        case _:
            return ", ".join(f"{name} {value}" for name, value in data.items())


def summary(record: Record) -> str:
    """A record in one line, for people."""
    return "  ".join(clean_cell(cell) for cell in _row(record) if cell)


def _shortened(items: Sequence[str], separator: str = ", ") -> str:
    shown = separator.join(items[:_MAX_SHOWN])
    return f"{shown}{separator}..." if len(items) > _MAX_SHOWN else shown


def _row(record: Record) -> list[str]:
    return [str(column(record)) for column in _COLUMNS.values()]


def _print_records(records: Iterable[Record], *, has_instances: bool = False) -> None:
    if has_instances:
        rows = ([record.get("instance", ""), *_row(record)] for record in records)
        print_table(("instance", *_COLUMNS), rows)
    else:
        print_table(tuple(_COLUMNS), map(_row, records))


# Arguments ---------------------------------------------------------------------------------------


def _logs(args: argparse.Namespace) -> dict[str, Path]:
    """The log that is meant, under an empty name, or those in a directory of logs."""
    return logs_in(_place(args))


def _directory(args: argparse.Namespace) -> Path:
    """The log that is meant."""
    directory = _place(args)
    if names := [name for name in logs_in(directory) if name]:
        told = f"rsfilter audit: {directory} has several logs; name one: {directory / names[0]}"
        sys.stderr.write(clean(told) + "\n")
        raise SystemExit(INVALID)
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
        told = f"rsfilter audit: {directory}: there is no audit log; {hint}"
        sys.stderr.write(clean(told) + "\n")
        raise SystemExit(INVALID)
    return directory


def _has_log(directory: Path) -> bool:
    return bool(list_keys(directory)) or list(logs_in(directory)) != [""]


def _time(text: str) -> float:
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
