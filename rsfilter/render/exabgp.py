"""ExaBGP's configuration and environment, rendered from ours.

Owns what rsfilter requires of ExaBGP 5.0: the messages passed to rsfilter, and the settings without
which sessions or routes would be lost. `sessions` has the hosts to render. The text is made from
parsed values only, in a fixed order: the same input gives the same bytes.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from rsfilter import __version__
from rsfilter.config.model import Config
from rsfilter.render.protection import NO_PASSWORDS, PasswordFiles, Protection, protected
from rsfilter.render.sessions import HostNeighbor, plan
from rsfilter.routing.groups import RouterGroup
from rsfilter.routing.model import BOTH_FAMILIES, IPV4, IPV6, UNICAST, Address
from rsfilter.rpki.truth import Truth

CONFIG_NAME = "exabgp.conf"
ENVIRONMENT_NAME = "exabgp.env"

PROCESS = "rsfilter"
"""Name of rsfilter's process in ExaBGP's configuration."""

RESTART_TIME = 120
"""Seconds, RFC 4724 section 3: how long a neighbor keeps our routes while ExaBGP restarts. ExaBGP
is up again within seconds; validation data may take `startup_wait`, and hosts reconnect by their
own timers, often after a minute."""

HOST_ECHO = "parsed; open;"
"""Messages to hosts that ExaBGP reports to rsfilter: OPEN, for the offered families."""

ROUTER_ECHO = "parsed; update; open;"
"""Messages to routers that ExaBGP reports to rsfilter: OPEN, for the offered families, and the
echoed End-of-RIB: the barrier that separates two changes of one prefix."""

ENVIRONMENT = {
    "exabgp_api_ack": "true",  # "error" is the only sign of a failed command
    "exabgp_api_cli": "false",  # no named pipes: only rsfilter gives commands
    "exabgp_api_compact": "false",
    "exabgp_api_encoder": "json",
    "exabgp_api_respawn": "true",
    "exabgp_api_terminate": "true",  # else a broken pipe to rsfilter stops every session for good
    "exabgp_bgp_passive": "false",
    "exabgp_cache_attributes": "false",  # keyed on octets alone, across sessions
    "exabgp_daemon_daemonize": "false",  # the supervisor needs it in the foreground
    "exabgp_daemon_drop": "true",
    "exabgp_daemon_umask": "0027",  # ours too: the default makes inaccessible directories
    "exabgp_log_destination": "stderr",
    "exabgp_log_enable": "true",
    "exabgp_log_level": "INFO",
    "exabgp_log_processes": "false",  # a line for each route of a command, a sixth of the CPU
    "exabgp_log_statistics": "false",  # lines for each neighbor's keepalives
    "exabgp_reactor_speed": "0.1",  # commands wait for the loop: four times as fast as at 1.0
    "exabgp_tcp_attempts": "0",
    "exabgp_tcp_once": "false",
}
"""Settings independent of the configuration. Defaults are spelled out where another value would do
harm, because a setting of the shell or of ExaBGP's environment file must not apply."""


class RenderError(Exception):
    """Raised if the configuration cannot be rendered. `problems`: one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class Rendered(NamedTuple):
    """The rendered files."""

    files: dict[str, str]
    """Text by file name: `CONFIG_NAME` and `ENVIRONMENT_NAME`."""
    environment: dict[str, str]
    """Settings in `ENVIRONMENT_NAME`."""
    warnings: tuple[str, ...]
    most_passwords: int
    """Number of TCP MD5 passwords on one listening socket."""


# The files -------------------------------------------------------------------------------------


def render(
    config: Config,
    truth: Truth | None,
    command: Sequence[str],
    user: str,
    passwords: PasswordFiles = NO_PASSWORDS,
) -> Rendered:
    """Render ExaBGP's configuration and environment.

    `command` starts rsfilter, its program as an absolute path; `run -c FILE` is added. `user` is
    the account to which ExaBGP and rsfilter switch if started as root. `passwords`: the files that
    the configuration names. Raises RenderError.
    """
    hosts, warnings, problems = plan(config, truth)
    problems += tuple(_unwritable([*command, str(config.path)]))
    protections = protected(config, hosts, passwords)
    problems += protections.problems
    if problems:
        raise RenderError(problems)
    carried = {group.name: group.families for group in config.hosts}
    kinds = sorted({(host.address.family, tuple(sorted(carried[host.group]))) for host in hosts})
    blocks = [
        f"# Rendered by rsfilter {__version__}. Do not edit: it is written again.",
        *_advice_on_frr(config, hosts),
        _process([*command, "run", "-c", str(config.path)]),
        _block("template", (_host_template(config, *kind) for kind in kinds)),
        *(
            _router(config, group, router, protections.routers[router])
            for group in config.routers
            for router in group.neighbors
        ),
        *(_host(host, carried[host.group], protections.hosts[host.address]) for host in hosts),
    ]
    environment = {
        **ENVIRONMENT,
        "exabgp_daemon_user": user,
        "exabgp_tcp_bind": " ".join(map(str, sorted(config.route_server.local_addresses))),
        "exabgp_tcp_port": str(config.route_server.port),
    }
    settings = "".join(f"{name}={shlex.quote(environment[name])}\n" for name in sorted(environment))
    return Rendered(
        {CONFIG_NAME: "\n".join(blocks) + "\n", ENVIRONMENT_NAME: settings},
        environment,
        warnings,
        protections.most_passwords,
    )


def _advice_on_frr(config: Config, hosts: Iterable[HostNeighbor]) -> Iterator[str]:
    """Yield a comment if groups carry IPv6 over IPv4 sessions: FRR 10 may refuse those."""
    with_ipv4 = {host.group for host in hosts if host.address.family == IPV4}
    names = [
        f"hosts {group.name}"
        for group in config.hosts
        if group.name in with_ipv4 and IPV6 in group.families
    ]
    names += [
        f"routers {group.name}"
        for group in config.served
        if IPV6 in group.families and any(each.family == IPV4 for each in group.neighbors)
    ]
    if names:
        yield (
            f"# IPv6 over IPv4 sessions: {', '.join(names)}.\n"
            "# FRR 10 refuses such a session (NOTIFICATION 6/0) if its interface has no IPv6\n"
            "# address; a link-local one is enough. For a group without IPv6, set families to\n"
            '# ["ipv4"].'
        )


def _unwritable(words: Iterable[str]) -> Iterator[str]:
    """Yield a problem for each word that ExaBGP's configuration cannot express."""
    for word in words:
        if not word.isprintable() or {"'", '"'} & set(word):
            yield (
                f"{word!a}: ExaBGP's configuration cannot hold a path with quotes, control "
                "characters or octets that are no UTF-8; use another path"
            )


def _process(words: Iterable[str]) -> str:
    quoted = " ".join('"' + word.replace("\\", "\\\\") + '"' for word in words)
    return _block(f"process {PROCESS}", [f"run {quoted};", "encoder json;", "respawn true;"])


def _host_template(config: Config, family: int, carried: Collection[int]) -> str:
    """Render the template of all hosts reached over `family` and offered `carried`.

    `adj-rib-in false`: hosts resend by route refresh on request, so ExaBGP need not store a second
    copy. `graceful-restart`: FRR sends End-of-RIB only to peers with that capability.
    `extended-message disable`: one message makes one line, and a line should fit into a pipe.
    `open`: the families to wait for End-of-RIB in (`deferral`). `nexthop` (RFC 8950): without it,
    one IPv4 route with an IPv6 next hop resets the host's session; with it, the route is rejected.
    """
    name = _template(family, carried)
    has_foreign_next_hops = family == IPV6 and BOTH_FAMILIES.issubset(carried)
    return _block(
        f"neighbor {name}",
        [
            *_session(config, family, carried),
            *(["nexthop { ipv4 unicast ipv6; }"] if has_foreign_next_hops else []),
            "passive true;",
            "adj-rib-in false;",
            "adj-rib-out true;",
            _capabilities(
                "extended-message disable;",
                f"nexthop {'enable' if has_foreign_next_hops else 'disable'};",
            ),
            _block(
                f"api {name}",
                [
                    f"processes [ {PROCESS} ];",
                    "neighbor-changes;",
                    "receive { parsed; update; refresh; open; }",
                    f"send {{ {HOST_ECHO} }}",
                ],
            ),
        ],
    )


def _host(host: HostNeighbor, carried: Collection[int], protection: Protection) -> str:
    return _block(
        f"neighbor {host.address}",
        [
            f"inherit {_template(host.address.family, carried)};",
            f"peer-as {host.asn};",
            *protection.exabgp,
        ],
    )


def _router(config: Config, group: RouterGroup, router: Address, protection: Protection) -> str:
    """Render a router's neighbor.

    `manual-eor`: after a restart of ExaBGP the router keeps our routes until rsfilter has announced
    them again; an immediate End-of-RIB would flush them. Of a router's messages only the OPEN
    matters: its families, and whether it takes several paths. Its announcements are not used.
    """
    return _block(
        f"neighbor {router}",
        [
            *_session(config, router.family, group.families),
            f"peer-as {group.asn};",
            *protection.exabgp,
            *([f"connect {group.port};", "passive false;"] if group.port else ["passive true;"]),
            "adj-rib-in false;",
            "adj-rib-out true;",
            "group-updates true;",
            "manual-eor true;",
            _capabilities(f"add-path {'send' if group.all_paths else 'disable'};"),
            _block(
                f"api router-{router}".replace(":", "_"),
                [
                    f"processes [ {PROCESS} ];",
                    "neighbor-changes;",
                    "receive { parsed; open; }",
                    f"send {{ {ROUTER_ECHO} }}",
                ],
            ),
        ],
    )


def _session(config: Config, family: int, carried: Collection[int]) -> list[str]:
    own = config.route_server
    names = " ".join(f"{UNICAST[number]};" for number in sorted(carried))
    return [
        f"local-as {own.asn};",
        f"router-id {own.router_id};",
        f"local-address {own.local_address(family)};",
        f"family {{ {names} }}",
    ]


def _capabilities(*others: str) -> str:
    common = ["asn4 enable;", "route-refresh enable;", f"graceful-restart {RESTART_TIME};"]
    return _block("capability", [*common, *others])


def _template(family: int, carried: Collection[int]) -> str:
    name = f"host-ipv{family}"
    return name if BOTH_FAMILIES.issubset(carried) else f"{name}-only-ipv{min(carried)}"


def _block(title: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines).replace("\n", "\n    ")
    return f"{title} {{\n    {body}\n}}"
