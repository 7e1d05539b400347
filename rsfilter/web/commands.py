"""`rsfilter status`, `routes`, `guard` and `drain`: ask or tell a running filter.

They speak to its HTTP API and find it by the configuration's `[http]`, or by `--url`. Tables for
people, `--json` for programs. What the answers hold comes from hosts: it is printed by `terminal`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rsfilter import arguments
from rsfilter.arguments import Subparsers
from rsfilter.config import DEFAULT_PATH, Config, parse_config, read_config
from rsfilter.exit_codes import FAILED, GOOD
from rsfilter.routing.reasons import REASONS
from rsfilter.terminal import clean, console, print_json, print_table
from rsfilter.web.client import Client, ClientError

SHOWN = 100
"""Routes in a table unless told otherwise: what one can look through."""


def add_arguments(commands: Subparsers) -> None:
    """Adds the commands to the command line."""
    reaching = reaching_arguments()
    printing = argparse.ArgumentParser(add_help=False)
    printing.add_argument("--json", action="store_true", help="print JSON")
    parents = [reaching, printing]
    _add_status(commands, parents)
    _add_routes(commands, parents)
    _add_guard(commands, parents)
    _add_drain(commands, parents)


def reaching_arguments() -> argparse.ArgumentParser:
    """The arguments that say which filter is meant."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        default=DEFAULT_PATH,
        metavar="FILE",
        help="the filter's configuration (default: ./%(default)s)",
    )
    parser.add_argument("--url", help="where its API is, instead, such as http://127.0.0.1:8480")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="its token, for what changes the filter (default: token_file of the configuration)",
    )
    return parser


def client_of(args: argparse.Namespace) -> Client:
    """The filter that is meant. Raises ConfigError and ClientError."""
    if args.url:
        return Client(args.url, args.token_file)
    hint = "; name the file with -c, or the filter with --url"
    config = parse_config(read_config(args.config, hint=hint), args.config)
    client = Client.of(config, args.token_file)
    _warn_of_another(client, config)
    return client


def _warn_of_another(client: Client, config: Config) -> None:
    """All configurations that say nothing of [http] name the same address: who is there may be the
    filter of another one."""
    try:
        theirs = os.path.realpath(client.get("/api/v1/status")["configuration"])
    except (ClientError, KeyError, TypeError, ValueError):
        return  # the question itself will fail, and say why
    ours = os.path.realpath(config.path)
    if theirs != ours:
        told = f"the filter on {config.http.listen} runs by {theirs}, not by {ours}"
        sys.stderr.write(f"rsfilter: {clean(told)}\n")


def _add_status(commands: Subparsers, parents: Sequence[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "status",
        parents=parents,
        help="is the filter well, and what is in force?",
        description="Prints how the running filter is and what is in force, the most urgent "
        "first. Exit code 1: the filter says that something is wrong.",
    )
    parser.set_defaults(handler=_status)


def _add_routes(commands: Subparsers, parents: Sequence[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "routes",
        parents=parents,
        help="every route of every host, with its verdict",
        description="Prints the routes that meet every condition, in order of arrival.",
    )
    parser.add_argument(
        "prefix", nargs="?", type=arguments.prefix, metavar="PREFIX", help="a prefix or an address"
    )
    parser.add_argument(
        "--match",
        choices=["covering", "covered", "exact"],
        default="covering",
        help="routes whose prefix covers PREFIX, lies in it, or is it (default: %(default)s)",
    )
    parser.add_argument("--asn", type=arguments.asn, metavar="N", help="of the session")
    parser.add_argument(
        "--neighbor",
        type=arguments.address,
        metavar="ADDRESS",
        help="the host's end of the session",
    )
    parser.add_argument("--verdict", choices=["accepted", "rejected", "held"])
    parser.add_argument(
        "--reason", choices=list(REASONS), metavar="REASON", help="one of docs/reasons.md"
    )
    parser.add_argument("--family", choices=["ipv4", "ipv6"])
    _add_limit(parser)
    parser.add_argument(
        "--snapshot", type=Path, metavar="FILE", help="write all of them there, for impact"
    )
    parser.set_defaults(handler=_routes)


def _add_guard(commands: Subparsers, parents: Sequence[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("guard", help="what the guard holds")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser(
        "show",
        parents=parents,
        help="the routes that are held, and why",
        description="Prints the routes that a change of data would lose. Routers keep them until "
        "the data accept them again, or somebody lets them go.",
    )
    _add_limit(show)
    show.set_defaults(
        handler=_routes,
        verdict="held",
        **dict.fromkeys(("prefix", "asn", "neighbor", "reason", "family", "snapshot")),
    )
    release = actions.add_parser(
        "release",
        parents=parents,
        help="let go of all that is held",
        description="Everything that is held is judged by the data in force: what they reject is "
        "withdrawn from routers. Look at it first: rsfilter guard show",
    )
    release.set_defaults(handler=_release)


def _add_drain(commands: Subparsers, parents: Sequence[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "drain",
        parents=parents,
        help="leave service, or come back",
        description="on: everything is announced with GRACEFUL_SHUTDOWN (RFC 8326) for drain_time "
        "seconds, then withdrawn. off: everything is announced as before.",
    )
    parser.add_argument("state", choices=["on", "off"], metavar="{on,off}")
    parser.set_defaults(handler=_drain)


def _add_limit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit",
        type=arguments.count,
        metavar="N",
        help=f"only the first N; 0 for all (default: {SHOWN}, with --json all)",
    )


# Commands ----------------------------------------------------------------------------------------


def _status(args: argparse.Namespace) -> int:
    status = client_of(args).get("/api/v1/status")
    if args.json:
        print_json([status])
    else:
        # whole: what is wrong with a file is at the end of a long text
        print_table(("what", "is"), list(_status_rows(status)), max_width=None)
    return GOOD if status["health"]["status"] == "ok" else FAILED


def _status_rows(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What somebody woken at night wants to know, the most urgent first."""
    for name in ("health", "readiness"):
        found = status[name]
        yield name, found["status"]
        for finding in (*found["reasons"], *found["warnings"]):
            yield "", f"{finding['name']}: {finding['detail']}"
    drain = status["drain"]
    yield "service", ", ".join((drain["phase"].replace("_", " "), *drain["why"]))
    routes = status["routes"]
    counts = ("accepted", "rejected", "held", "stale")
    yield "routes", ", ".join(f"{routes[name]} {name}" for name in counts)
    for reason, count in routes["reasons"].items():
        yield "", f"{count} {reason}"
    sessions = status["sessions"]
    yield "host sessions", f"{sessions['hosts_up']} up, {sessions['hosts_down']} down"
    yield "router sessions", f"{sessions['routers_up']} up, {sessions['routers_down']} down"
    yield from _data_rows(status)
    exabgp = status["exabgp"]
    yield "exabgp", f"{exabgp['dialect'] or 'silent so far'}, {exabgp['waiting']} commands waiting"
    audit = status["audit"]
    yield "audit log", audit["reason"] or f"good, {audit['queued']} records waiting"
    yield "filter", f"{status['version']}, since {status['started']}, by {status['configuration']}"


def _data_rows(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if truth := status["truth"]:
        found = truth["in_force"]
        yield (
            "truth",
            f"revision {found['revision'] or 'unnamed'}, {found['vrps']} VRPs, "
            f"{found['hosts']} hosts, {found['sha256'][:12]}, since {truth['loaded']}"
            if found
            else "none in force",
        )
        for problem in truth["problems"]:
            yield "", f"the file as it is now: {problem}"
    if rtr := status["rtr"]:
        for cache in rtr["caches"]:
            age = "never" if cache["age_s"] is None else f"{cache['age_s']:.0f} s ago"
            decides = ", decides" if cache["decides"] else ""
            yield (
                "rtr cache",
                f"{cache['address']}: {cache['state']}, {cache['vrps']} VRPs, fresh {age}{decides}",
            )


_COLUMNS = ("prefix", "neighbor", "host", "asn", "as_path", "next_hop", "verdict")


def _routes(args: argparse.Namespace) -> int:
    found = client_of(args).lines(
        "/api/v1/routes",
        prefix=args.prefix,
        match=args.match if args.prefix else None,
        asn=args.asn,
        neighbor=args.neighbor,
        verdict=args.verdict,
        reason=args.reason,
        family=args.family,
    )
    if args.snapshot:
        return _write_snapshot(args.snapshot, found)
    limit = (None if args.json else SHOWN) if args.limit is None else args.limit or None
    shown = islice(found, limit)
    if args.json:
        print_json(shown)
        return GOOD
    rows = [
        (*(route[name] for name in _COLUMNS), _why(route), "stale" if route["stale"] else "")
        for route in shown
    ]
    print_table((*(name.replace("_", " ") for name in _COLUMNS), "why", ""), rows)
    if not rows:
        sys.stderr.write(_none_found(args))
    if args.limit is None and next(found, None) is not None:
        sys.stderr.write(f"These are the first {SHOWN}; --limit 0 prints all.\n")
    return GOOD


def _none_found(args: argparse.Namespace) -> str:
    if args.command == "guard":
        return "Nothing is held.\n"
    others = (args.asn, args.neighbor, args.verdict, args.reason, args.family)
    if args.prefix is None or any(other is not None for other in others):
        return "There is no such route.\n"
    what = f"anything in {args.prefix}" if args.match == "covered" else args.prefix
    return f"Nobody announces {what}.\n"


def _why(route: dict[str, Any]) -> str:
    decided = ", ".join(route["vrps"]) or route["state"]
    return f"{', '.join(route['reasons'])} ({decided})" if route["reasons"] else decided


def _write_snapshot(path: Path, routes: Iterator[dict[str, Any]]) -> int:
    draft = path.with_name(path.name + ".new")
    count = 0
    with draft.open("w", encoding="ascii") as file:
        for route in routes:
            file.write(json.dumps(route) + "\n")
            count += 1
        file.write(json.dumps({"routes": count}) + "\n")  # what is cut lacks it
    draft.replace(path)
    console().print(f"wrote {count} routes to {clean(str(path))}", soft_wrap=True)
    return GOOD


def _release(args: argparse.Namespace) -> int:
    answer = client_of(args).post("/api/v1/guard/release")
    if args.json:
        print_json([answer])
    else:
        console().print(f"{answer['released']} routes were let go, {answer['held']} are held")
    return GOOD


def _drain(args: argparse.Namespace) -> int:
    body = json.dumps({"on": args.state == "on"}).encode()
    answer = client_of(args).post("/api/v1/drain", body)
    if args.json:
        print_json([answer])
        return GOOD
    until = f" until {answer['until']}" if answer["until"] else ""
    why = f" ({', '.join(answer['why'])})" if answer["why"] else ""
    console().print(clean(f"{answer['phase'].replace('_', ' ')}{until}{why}"), soft_wrap=True)
    if args.state == "on" and answer["phase"] == "in_service":
        sys.stderr.write(
            "The filter has only just started: it leaves service once it knows what routers have.\n"
        )
    return GOOD
