"""`rsfilter check`: what is in force, read as `run` would read it.

The report is one structure: `--json` prints it, the tables are drawn from it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.console import Console

from rsfilter.commands import output
from rsfilter.commands.arguments import Subparsers, configured
from rsfilter.commands.output import GOOD
from rsfilter.config.build import FAMILY_NAMES, load_config
from rsfilter.config.files import file_warnings
from rsfilter.config.model import Config, ConfigError
from rsfilter.config.passwords import password_files, read_passwords
from rsfilter.edge.socket_memory import memory_warning
from rsfilter.edge.truth_file import truth_of
from rsfilter.render.exabgp import RenderError
from rsfilter.render.protection import protected
from rsfilter.render.sessions import Plan, hosts_of_our_as, plan
from rsfilter.routing.groups import HostGroup, HostGroups, RouterGroup
from rsfilter.rpki.truth import Truth
from rsfilter.util.text import clean, to_json

Report = dict[str, Any]


def add(commands: Subparsers) -> None:
    """Add `check` to the command line."""
    parser = commands.add_parser(
        "check",
        parents=[configured()],
        help="print the active settings, or every error",
        description="Reads configuration and truth as run does, and prints the active settings, "
        "or every error with its place.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Run `rsfilter check`; return the exit code."""
    config = load_config(args.config)
    truth = truth_of(config)
    if problems := hosts_of_our_as(config, truth):
        raise RenderError(problems)
    found = report(config, truth)
    if args.json:
        sys.stdout.write(to_json(found, indent=2) + "\n")
    else:
        print_report(found)
    return GOOD


def report(config: Config, truth: Truth | None) -> Report:
    """Return the active settings, as JSON values only."""
    planned = plan(config, truth)
    group_of = HostGroups(config.hosts)
    bound = Counter(
        group.name
        for host in (truth.hosts if truth else ())
        for address in host.neighbors
        if (group := group_of(address))
    )
    rendered = Counter(host.group for host in planned.hosts)
    return {
        "configuration": str(config.path),
        "route_server": {
            "asn": config.route_server.asn,
            "router_id": str(config.route_server.router_id),
            "local_address": [str(address) for address in config.route_server.local_addresses],
            "port": config.route_server.port,
        },
        "hosts": [
            _host_group(group, bound[group.name], rendered[group.name]) for group in config.hosts
        ],
        "routers": [_router_group(group) for group in config.served],
        "fanout": _fanout(config),
        "rtr": _rtr(config),
        "truth": _truth(config, truth),
        "guard": asdict(config.guard),
        "readiness": _readiness(config),
        "audit": {"directory": str(config.audit.directory)},
        "http": _http(config),
        "fleet": _fleet(config),
        "warnings": [
            *(f"{problem} (rsfilter render refuses this)" for problem in planned.problems),
            *planned.warnings,
            *_password_warnings(config, planned),
            *file_warnings(config),
            *_data_warnings(config, truth),
        ],
    }


def _http(config: Config) -> Report:
    http = config.http
    shown = "hosts and routers" if http.looking_glass_routers else "hosts"
    return {
        "listen": str(http.listen),
        "socket": str(http.socket),
        "token_file": None if http.token_file is None else str(http.token_file),
        "looking_glass": shown if http.looking_glass else None,
    }


def _fleet(config: Config) -> Report | None:
    fleet = config.fleet
    if fleet is None:
        return None
    return {
        "name": fleet.name,
        "instance": fleet.instance,
        "database": str(fleet.database),
        "password_file": None if fleet.password_file is None else str(fleet.password_file),
        "heartbeat": fleet.heartbeat,
    }


def _host_group(group: HostGroup, bound: int, rendered: int) -> Report:
    return {
        "name": group.name,
        "neighbors": [str(network) for network in group.networks],
        "ipv4_lengths": sorted(group.ipv4_lengths),
        "ipv6_lengths": sorted(group.ipv6_lengths),
        "families": _families(group),
        "asn": group.asn,
        "max_prefixes": group.max_prefixes,
        "max_prefixes_warning": group.max_prefixes_warning,
        "max_prepends": group.max_prepends,
        "next_hop": "neighbor" if group.next_hops is None else list(map(str, group.next_hops)),
        "not_found": "accept" if group.accept_not_found else "reject",
        "stale_time": group.stale_time,
        "requires": list(group.requires),
        "password_file": group.password_file,
        "ttl_security": group.ttl_security,
        "truth_addresses": bound,
        "rendered": rendered,
    }


def _families(group: HostGroup | RouterGroup) -> list[str]:
    return [FAMILY_NAMES[family] for family in sorted(group.families)]


def _router_group(group: RouterGroup) -> Report:
    return {
        "name": group.name,
        "neighbors": [str(address) for address in group.neighbors],
        "asn": group.asn,
        "port": group.port,
        "families": _families(group),
        "paths": "all" if group.all_paths else "best",
        "as_path": "prepend" if group.prepend else "transparent",
        "password_file": group.password_file,
        "ttl_security": group.ttl_security,
    }


def _fanout(config: Config) -> Report | None:
    if config.fanout is None:
        return None
    return {
        "addresses": [str(address) for address in config.fanout.addresses],
        "port": config.fanout.port,
        "shards": [str(address) for address in config.fanout.shards],
        "password_file": config.fanout.password_file,
        "ttl_security": config.fanout.ttl_security,
    }


def _rtr(config: Config) -> Report | None:
    if config.rtr is None:
        return None
    return {
        "caches": [
            {"address": str(cache), "transport": cache.transport} for cache in config.rtr.caches
        ],
        "refresh": config.rtr.refresh,
        "retry": config.rtr.retry,
        "expire": config.rtr.expire,
        "on_expire": config.rtr.on_expire,
        "startup_wait": config.rtr.startup_wait,
    }


def _truth(config: Config, truth: Truth | None) -> Report | None:
    if config.truth is None or truth is None:
        return None
    return {
        "file": str(config.truth.file),
        "mode": config.truth.mode.value,
        "format": truth.format,
        "hosts": len(truth.hosts),
        "unbound_hosts": sum(not host.neighbors for host in truth.hosts),
        "vrps": len(truth.vrps),
        "filters": len(truth.filters),
        "revision": truth.revision,
        "sha256": truth.sha256,
        "warnings": [str(warning) for warning in truth.warnings],
    }


def _password_warnings(config: Config, planned: Plan) -> list[str]:
    """Return what `rsfilter render` would refuse. Files that this user cannot read are not checked
    (`file_warnings` names them)."""
    try:
        passwords = {path: read_passwords(path) for path in password_files(config)}
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    found = protected(config, planned.hosts, passwords)
    refused = [f"{problem} (rsfilter render refuses this)" for problem in found.problems]
    memory = memory_warning(found.most_passwords)
    return [*refused, memory] if memory else refused


def _data_warnings(config: Config, truth: Truth | None) -> list[str]:
    if truth is not None and not truth.vrps and config.rtr is None:
        return [
            "truth.file: has only filters, and there is no [rtr] whose data they could filter: "
            "no host owns any prefix"
        ]
    return []


def _readiness(config: Config) -> Report | None:
    if config.readiness is None:
        return None
    ready, disable = config.readiness.ready_file, config.readiness.disable_file
    return {
        "ready_file": None if ready is None else str(ready),
        "disable_file": None if disable is None else str(disable),
        "drain_time": config.readiness.drain_time,
    }


# Tables ----------------------------------------------------------------------------------------


_ROUTE_SERVER = ("asn", "router_id", "local_address", "port")
_HOSTS = (
    "name",
    "neighbors",
    "ipv4_lengths",
    "ipv6_lengths",
    "families",
    "asn",
    "max_prefixes",
    "max_prefixes_warning",
    "max_prepends",
    "next_hop",
    "not_found",
    "stale_time",
    "requires",
    "password_file",
    "ttl_security",
    "truth_addresses",
    "rendered",
)
_ROUTERS = (
    *("name", "neighbors", "asn", "port", "families", "paths", "as_path"),
    *("password_file", "ttl_security"),
)
_FANOUT = ("addresses", "port", "shards", "password_file", "ttl_security")
_RTR = ("caches", "refresh", "retry", "expire", "on_expire", "startup_wait")
_TRUTH = ("file", "mode", "format", "hosts", "unbound_hosts", "vrps", "revision", "sha256")
_FLEET = ("name", "instance", "database", "password_file", "heartbeat")
_READINESS = ("ready_file", "disable_file", "drain_time")

MAX_LISTED = 20
"""Items of a list that a table cell shows, and groups that a table does; `--json` has them all."""


def print_report(found: Report) -> None:
    """Print the report as tables."""
    console = output.console()
    console.print(clean(f"{found['configuration']}: ok"), soft_wrap=True)
    _print_fields(console, "route server", found["route_server"], _ROUTE_SERVER)
    _print_groups(console, "hosts", found["hosts"], _HOSTS)
    _print_groups(console, "routers", found["routers"], _ROUTERS)
    if found["fanout"]:
        _print_fields(console, "fan-out", found["fanout"], _FANOUT)
    if found["rtr"]:
        caches = [f"{c['address']} ({c['transport']})" for c in found["rtr"]["caches"]]
        _print_fields(console, "RTR", {**found["rtr"], "caches": caches}, _RTR)
    if found["truth"]:
        _print_fields(console, "truth", found["truth"], _TRUTH)
    _print_fields(console, "guard", found["guard"], ("max_loss_percent", "min_loss"))
    if found["readiness"]:
        _print_fields(console, "readiness", found["readiness"], _READINESS)
    _print_fields(console, "audit", found["audit"], ("directory",))
    _print_fields(console, "HTTP", found["http"], ("listen", "token_file", "looking_glass"))
    if found["fleet"]:
        _print_fields(console, "fleet", found["fleet"], _FLEET)
    warnings = found["warnings"] + (found["truth"]["warnings"] if found["truth"] else [])
    for warning in warnings:
        console.print(clean(f"warning: {warning}"), soft_wrap=True)


def _print_fields(console: Console, title: str, values: Report, names: tuple[str, ...]) -> None:
    """One thing: a row for each of its fields."""
    fields = output.table("", "", title=title)
    for name in names:
        fields.add_row(_label(name), _cell(values[name]))
    console.print(fields)


def _print_groups(
    console: Console, title: str, groups: list[Report], names: tuple[str, ...]
) -> None:
    """Several things of a kind: a column for each, as they have many fields."""
    shown, more = groups[:MAX_LISTED], groups[MAX_LISTED:]
    fields = output.table("", *("" for _ in shown), title=title)
    for name in names:
        fields.add_row(_label(name), *(_cell(group[name]) for group in shown))
    console.print(fields)
    if more:
        console.print(f"and {len(more)} more groups of {title}: --json has them all")


def _label(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: object) -> str:
    if isinstance(value, list):
        items = [str(item) for item in value[:MAX_LISTED]]
        if len(value) > MAX_LISTED:
            items.append(f"and {len(value) - MAX_LISTED} more")
        return "\n".join(map(clean, items))
    return "none" if value is None or value == "" else clean(str(value))
