"""`rsfilter init`: write a first configuration from options, or from answers on a terminal."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsfilter.commands import arguments
from rsfilter.commands.arguments import Subparsers
from rsfilter.commands.errors import CommandError
from rsfilter.commands.output import GOOD, INVALID, clean, print_note
from rsfilter.config.build import parse_config
from rsfilter.config.source import SYSTEM_PATH
from rsfilter.render.exabgp import RenderError
from rsfilter.render.first import FirstHost, Site, first_configuration, first_truth
from rsfilter.render.sessions import hosts_of_our_as, plan
from rsfilter.routing.model import BITS, Prefix
from rsfilter.rpki.truth import Truth, parse_truth

CONFIGURATION, TRUTH = "rsfilter.toml", "truth.json"

SYSTEM_STATE = Path("/var/lib/rsfilter")
"""Directory that the unit lets rsfilter write to."""

_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,31}")
"""Names that systemd does not escape: a dash would be a slash in its eyes."""


def _instance(text: str) -> str:
    """Parse the name of an instance of the unit `rsfilter@.service`."""
    if not _INSTANCE.fullmatch(text):
        raise ArgumentTypeError(f"invalid name {text!r}: at most 32 letters, digits, underscores")
    return text


def _host(text: str) -> FirstHost:
    """Parse one host of the first truth: `NAME,ASN,ADDRESS,PREFIX[,PREFIX…]`."""
    words = [word.strip() for word in text.split(",")]
    if len(words) < 4 or not all(words):
        raise ArgumentTypeError(
            f"invalid host {text!r}, such as hv1,65001,198.51.100.1,203.0.113.1"
        )
    name, asn, address, *prefixes = words
    return FirstHost(
        name,
        arguments.asn(asn),
        arguments.address(address),
        tuple(_with_length(arguments.prefix(prefix)) for prefix in prefixes),
    )


def _with_length(text: str) -> str:
    return str(Prefix.parse(text))


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of the site: an option, and a question if the option is missing."""

    name: str
    type: Callable[[str], Any]
    metavar: str
    text: str
    example: str = ""
    is_list: bool = False
    is_needed: bool = True

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")


_VALUES = (
    _Value("asn", arguments.asn, "ASN", "AS of the route server", "65100"),
    _Value(
        "address",
        arguments.address,
        "ADDRESS",
        "its own address; with IPv6 sessions too, one of each family",
        "192.0.2.100",
        is_list=True,
    ),
    _Value(
        "hosts_from",
        arguments.prefix,
        "RANGE",
        "addresses that hosts connect from",
        "198.51.100.0/25",
        is_list=True,
    ),
    _Value(
        "router",
        arguments.address,
        "ADDRESS",
        "addresses of the routers",
        "192.0.2.10",
        is_list=True,
    ),
    _Value("router_asn", arguments.asn, "ASN", "AS of the routers", "65200"),
    _Value(
        "cache",
        str,
        "HOST:PORT",
        "caches of the RPKI, in order of preference",
        "192.0.2.50:8282",
        is_list=True,
        is_needed=False,
    ),
)


def add(commands: Subparsers) -> None:
    """Add `init` to the command line."""
    parser = commands.add_parser(
        "init",
        help="write a first configuration",
        description="Writes DIR/rsfilter.toml, and DIR/truth.json with the first hosts. On a "
        "terminal it requests what no option gives. The result is checked before it is written, "
        "and a file that exists is never replaced.",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="created if missing (default: the current directory; with --instance "
        f"{SYSTEM_PATH.parent}/NAME)",
    )
    for value in _VALUES:
        parser.add_argument(
            value.option,
            type=value.type,
            metavar=value.metavar,
            nargs="+" if value.is_list else None,
            help=f"{value.text}, such as {value.example}",
        )
    parser.add_argument(
        "--host",
        type=_host,
        action="append",
        metavar="NAME,ASN,ADDRESS,PREFIX",
        help="a host of the first truth, its session's address, and what it may announce; more "
        "prefixes follow with commas, and more hosts with another --host",
    )
    parser.add_argument(
        "--router-id",
        type=arguments.address,
        metavar="ADDRESS",
        help="an IPv4 address (default: the first of --address)",
    )
    parser.add_argument(
        "--instance",
        type=_instance,
        metavar="NAME",
        help="one of several filters on this machine: that of the unit rsfilter@NAME",
    )
    parser.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        help="of page, API and metrics; each filter of a machine needs its own",
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter init`; return the exit code."""
    directory = args.output or (SYSTEM_PATH.parent / args.instance if args.instance else Path())
    for name in (CONFIGURATION, TRUTH):
        if os.path.lexists(directory / name):
            problem = f"{directory / name} exists: nothing is replaced; choose another -o DIR"
            raise CommandError(problem)
    _complete(args)
    site = _site(args, directory)
    files = {CONFIGURATION: first_configuration(site)}
    if site.hosts:
        files = {TRUTH: first_truth(site.hosts)} | files
    for warning in _warnings(files, directory):
        print_note(clean(f"warning: {warning}"))
    _write(directory, files)
    sys.stdout.write(_next_steps(directory, args.instance))
    return GOOD


def _complete(args: argparse.Namespace) -> None:
    """Get missing values from the terminal. Raises CommandError if there is no terminal."""
    missing = [v for v in _VALUES if v.is_needed and not getattr(args, v.name)]
    needs_data = not args.host and not args.cache
    if not missing and not needs_data:
        return
    if not sys.stdin.isatty():
        options = [value.option for value in missing] + ["--host or --cache"] * needs_data
        raise CommandError(f"missing: {', '.join(options)}", INVALID)
    for value in _VALUES:
        if not getattr(args, value.name):
            setattr(args, value.name, _answer(value))
    if not args.host:
        is_needed = not args.cache
        text = "first host, as name,ASN,address,prefix"
        example = "hv1,65001,198.51.100.1,203.0.113.1"
        host = _answer(_Value("host", _host, "", text, example, is_needed=is_needed))
        args.host = [] if host is None else [host]


def _answer(value: _Value) -> Any:
    """Request one value on the terminal, until it is usable. Empty is None if it is not needed."""
    while True:
        hint = "" if value.is_needed else "; empty: none"
        sys.stderr.write(f"{value.text} (such as {value.example}{hint}): ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise CommandError("no answer: nothing was written")
        words = line.replace(",", " ").split() if value.is_list else [line.strip()]
        words = [word for word in words if word]
        if not words and not value.is_needed:
            return None
        try:
            if not words:
                raise ArgumentTypeError("a value is needed")
            found = [value.type(word) for word in words]
        except ArgumentTypeError as error:
            print_note(clean(f"  {error}"))
            continue
        return found if value.is_list else found[0]


def _site(args: argparse.Namespace, directory: Path) -> Site:
    """Return the values of the site, with defaults for what has one right choice."""
    ipv4 = [address for address in args.address if ":" not in address]
    router_id = args.router_id or (ipv4[0] if ipv4 else None)
    if router_id is None:
        raise CommandError("missing: --router-id, an IPv4 address", INVALID)
    is_system = directory.absolute().is_relative_to(SYSTEM_PATH.parent)
    state = SYSTEM_STATE / (args.instance or "") if is_system else Path()
    return Site(
        asn=args.asn,
        addresses=tuple(args.address),
        router_id=router_id,
        ranges=tuple(map(_without_host_length, args.hosts_from)),
        routers=tuple(args.router),
        router_asn=args.router_asn,
        audit=state / "audit",
        caches=tuple(args.cache or ()),
        hosts=tuple(args.host or ()),
        instance=args.instance or "",
        listen=args.listen or "",
    )


def _without_host_length(text: str) -> str:
    """An address alone for a host route: it names a neighbor, where a range only authorises."""
    prefix = Prefix.parse(text)
    return str(prefix.address) if prefix.length == BITS[prefix.family] else str(prefix)


def _warnings(files: dict[str, str], directory: Path) -> list[str]:
    """Check the files as `rsfilter check` would; return its warnings. Raises ConfigError,
    TruthError or RenderError, with every problem."""
    config = parse_config(files[CONFIGURATION], directory / CONFIGURATION)
    truth: Truth | None = None
    if TRUTH in files:
        truth = parse_truth(files[TRUTH].encode(), str(directory / TRUTH), time.time())
    if problems := hosts_of_our_as(config, truth):
        raise RenderError(problems)
    planned = plan(config, truth)
    return [*planned.problems, *planned.warnings]


def _write(directory: Path, files: dict[str, str]) -> None:
    """Write new files, all or none. Everybody may read them, because none has a secret."""
    umask = os.umask(0o022)
    written: list[Path] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with (directory / name).open("x", encoding="utf-8") as file:
                written.append(directory / name)
                file.write(text)
    except BaseException:
        for path in written:
            path.unlink()
        raise
    finally:
        os.umask(umask)
    for path in written:
        sys.stdout.write(clean(f"wrote {path}") + "\n")


def _next_steps(directory: Path, instance: str | None) -> str:
    unit = f"rsfilter@{instance}" if instance else "rsfilter"
    return (
        clean(f"next: rsfilter check -c {directory / CONFIGURATION}")
        + "\n"
        + (
            clean(
                f"      rsfilter render exabgp -c {directory / CONFIGURATION} -o {directory} "
                "--user rsfilter"
            )
            + "\n"
            f"      systemctl enable --now {unit}\n"
        )
    )
