"""Parsing of `rsfilter.toml` into frozen dataclasses. Reports every error, each with its place.

docs/configuration.md and docs/rsfilter.example.toml explain each key. Reading opens only the
configuration file itself: the readers of the truth and of keys check whether these can be read.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from socket import gethostname
from typing import Any

from rsfilter.config.model import AuditConfig, Config, ConfigError, Fanout, RouteServer, RtrConfig
from rsfilter.config.overlaps import Claim, conflicts
from rsfilter.config.reader import TableReader
from rsfilter.config.schema import (
    CacheTable,
    FanoutTable,
    FileTables,
    FleetConfig,
    GuardConfig,
    HostsTable,
    HttpConfig,
    ReadinessConfig,
    RoutersTable,
    RouteServerTable,
    RtrTable,
    TruthConfig,
)
from rsfilter.config.source import read_config
from rsfilter.config.types import IPV4_LINK_LOCAL, FamilyName
from rsfilter.routing.groups import HostGroup, RouterGroup
from rsfilter.routing.model import BITS, IPV4, IPV6, Address, Prefix
from rsfilter.routing.validation import Mode
from rsfilter.util.addresses import CacheAddress

__all__ = [
    "AuditConfig",
    "Config",
    "ConfigError",
    "Fanout",
    "FleetConfig",
    "GuardConfig",
    "HttpConfig",
    "ReadinessConfig",
    "RouteServer",
    "RtrConfig",
    "TruthConfig",
    "load_config",
    "parse_config",
]

MAX_NAME = 64
"""Characters of the name of a machine that are taken."""


def load_config(path: Path) -> Config:
    """Read and check a configuration file. Raises ConfigError with every problem."""
    return parse_config(read_config(path, hint="; name the file with -c"), path)


def parse_config(text: str, file: str | Path) -> Config:
    """Parse and check the configuration `text`. Raises ConfigError with every problem.

    `file` names the text in problems; relative paths are relative to its directory.
    """
    path = Path(file)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: not TOML: {error}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: not usable: nested too deeply"]) from None
    except ValueError:  # Python's own limit for numbers of thousands of digits
        raise ConfigError([f"{path}: not usable: a number has too many digits"]) from None
    reader = TableReader(str(path), path.absolute().parent)
    return _Builder(reader, tables).config(path.absolute())


_NEEDED = {
    "route_server": "missing; a [route_server] section is needed",
    "hosts": "missing; at least one [[hosts]] section is needed",
    "routers": "missing; at least one [[routers]] section is needed",
}


class _Builder:
    """Makes a Config from the tables of one file, and checks rules between tables."""

    def __init__(self, reader: TableReader, tables: dict[str, Any]) -> None:
        self._reader = reader
        self._problem = reader.problem
        self._tables = tables
        self._file = reader.read(FileTables, tables) or FileTables()

    def config(self, path: Path) -> Config:
        """Build the configuration. Raises ConfigError with every problem."""
        file = self._file
        self._check_sections()
        hosts = tuple(self._host_group(i, table) for i, table in enumerate(file.hosts))
        carried = frozenset[int]().union(*(group.families for group in hosts))
        routers = tuple(
            self._router_group(i, table, carried) for i, table in enumerate(file.routers)
        )
        fanout = self._fanout(file.fanout, routers) if file.fanout else None
        self._check_neighbors(hosts, routers, fanout)
        hosts = self._with_others_addresses(hosts, routers, fanout)
        self._check_host_asns()
        rtr = self._rtr(file.rtr) if file.rtr else None
        self._check_http()
        if self._reader.problems or file.route_server is None:
            raise ConfigError(self._reader.problems)
        return Config(
            path=path,
            route_server=_route_server(file.route_server),
            hosts=hosts,
            routers=(fanout.as_routers(file.route_server.asn),) if fanout else routers,
            fanout=fanout,
            rtr=rtr,
            truth=file.truth,
            guard=file.guard,
            readiness=file.readiness,
            audit=AuditConfig(path.parent / file.audit.directory),
            http=file.http,
            fleet=file.fleet,
        )

    def _check_sections(self) -> None:
        for section, text in _NEEDED.items():
            if section not in self._tables:
                self._problem(section, text)
        if not {"rtr", "truth"} & self._tables.keys():
            self._problem("rtr", "missing; [rtr] or [truth] is needed to judge routes by")
        if self._file.truth and self._file.truth.mode is Mode.BOTH and "rtr" not in self._tables:
            self._problem("truth.mode", '"both" needs an [rtr] section too')
        for section in ("hosts", "routers"):
            names = set()
            for index, table in enumerate(getattr(self._file, section)):
                if table.name in names:
                    self._problem(f"{section}[{index}].name", f'"{table.name}" is taken')
                names.add(table.name)

    def _host_group(self, index: int, table: HostsTable) -> HostGroup:
        families = _host_families(table)
        if not families:
            self._problem(
                f"hosts[{index}].families",
                "no family is left that hosts could announce: give ipv4_lengths, or ipv6_lengths "
                "and IPv6 addresses in neighbors or next_hop",
            )
        if table.next_hop == "neighbor":
            for place, network in enumerate(table.neighbors):
                if IPV4_LINK_LOCAL.covers(network):
                    self._problem(
                        f"hosts[{index}].neighbors[{place}]",
                        f"{network} is link-local, and routers cannot reach such a next hop (RFC "
                        "3927 section 2.6.2): list the hosts' other addresses in next_hop",
                    )
        for family, name in FAMILY_NAMES.items():
            lengths = table.ipv4_lengths if family == IPV4 else table.ipv6_lengths
            if family in families and not lengths:
                self._problem(
                    f"hosts[{index}].families",
                    f'"{name}" is offered, and {name}_lengths is empty: every such route would be '
                    "rejected",
                )
        return _host_group(table, families)

    def _router_group(
        self, index: int, table: RoutersTable, carried: frozenset[int]
    ) -> RouterGroup:
        """Build a router group. `carried`: the families that hosts can announce."""
        own = self._file.route_server
        if own and table.as_path == "prepend" and table.asn == own.asn:
            self._problem(
                f"routers[{index}].as_path",
                f'"prepend" would put AS{table.asn} into paths that its own routers then discard',
            )
        return RouterGroup(
            name=table.name,
            neighbors=table.neighbors,
            asn=table.asn,
            port=table.port,
            families=carried if table.families is None else _families(table.families),
            all_paths=table.paths == "all",
            prepend=table.as_path == "prepend",
            password_file=_text(table.password_file),
            ttl_security=table.ttl_security,
        )

    def _fanout(self, table: FanoutTable, groups: tuple[RouterGroup, ...]) -> Fanout:
        own = self._file.route_server
        local = _local_addresses(own) if own else ()
        if own and table.shards and not set(local) & set(table.shards):
            self._problem("fanout.shards", "our own local_address is not among them")
        shards = table.shards or local
        for index, address in enumerate(table.addresses):
            if own and address == own.router_id and address not in local:
                self._problem(
                    "route_server.router_id",
                    f"{address} is the router id of the fan-out there too: they would refuse each "
                    "other (RFC 6286 section 2.2)",
                )
            if shards and address.family not in {shard.family for shard in shards}:
                self._problem(
                    f"fanout.addresses[{index}]",
                    f"{address} has no shard to speak to: none has an IPv{address.family} address",
                )
        return Fanout(
            addresses=table.addresses,
            port=table.port,
            shards=shards,
            groups=groups,
            password_file=_text(table.password_file),
            ttl_security=table.ttl_security,
        )

    def _check_neighbors(
        self,
        hosts: tuple[HostGroup, ...],
        routers: tuple[RouterGroup, ...],
        fanout: Fanout | None,
    ) -> None:
        """Check that no address has two roles, and that every session has a local address."""
        own = self._file.route_server
        local = _local_addresses(own) if own else ()
        claims = [
            Claim(_host_route(a), "route_server", "route_server.local_address") for a in local
        ]
        if fanout:
            shards = set(fanout.shards) - set(local)
            claims += (
                Claim(_host_route(a), "router", "fanout.addresses") for a in fanout.addresses
            )
            claims += (Claim(_host_route(a), "route_server", "fanout.shards") for a in shards)
        for index, hosts_group in enumerate(hosts):
            place = f"hosts[{index}].neighbors"
            claims += (Claim(network, "host", place) for network in hosts_group.networks)
        for index, routers_group in enumerate(routers):
            place = f"routers[{index}].neighbors"
            claims += (Claim(_host_route(a), "router", place) for a in routers_group.neighbors)
        for place, text in conflicts(claims):
            self._problem(place, text)
        ours = [c for c in claims if not (fanout and c.place.startswith("routers["))]
        self._check_local(local, ours)

    def _with_others_addresses(
        self,
        hosts: tuple[HostGroup, ...],
        routers: tuple[RouterGroup, ...],
        fanout: Fanout | None,
    ) -> tuple[HostGroup, ...]:
        """Return the groups with the addresses that are never a host's next hop: ours and the
        routers'."""
        own = self._file.route_server
        others = frozenset(_local_addresses(own) if own else ())
        others |= {address for group in routers for address in group.neighbors}
        if fanout:
            others |= {*fanout.addresses, *fanout.shards}
        for index, group in enumerate(hosts):
            for place, hop in enumerate(group.next_hops or ()):
                if hop.length == BITS[hop.family] and hop.address in others:
                    self._problem(
                        f"hosts[{index}].next_hop[{place}]",
                        f"{hop.address} is our own or a router's: no host can have it",
                    )
        return tuple(replace(group, others_addresses=others) for group in hosts)

    def _check_host_asns(self) -> None:
        own = self._file.route_server
        for index, table in enumerate(self._file.hosts):
            if own and table.asn == own.asn:
                self._problem(
                    f"hosts[{index}].asn",
                    f"AS{own.asn} is our own: over iBGP the path of a host's routes is empty, and "
                    "each is rejected (as_path_missing)",
                )

    def _check_local(self, local: tuple[Address, ...], claims: Iterable[Claim]) -> None:
        have = {address.family for address in local}
        if len(have) < len(local):
            self._problem("route_server.local_address", "more than one address of a family")
        for claim in claims:
            if local and claim.prefix.family not in have:
                self._problem(
                    "route_server.local_address",
                    f"no IPv{claim.prefix.family} address for sessions with {claim.prefix} of "
                    f"{claim.place}; give a list with one of each family",
                )
                have.add(claim.prefix.family)

    def _rtr(self, table: RtrTable) -> RtrConfig:
        caches = tuple(self._cache(index, item) for index, item in enumerate(table.caches))
        seen: set[tuple[str, int]] = set()
        for index, cache in enumerate(caches):
            if (place := cache.place) in seen:
                self._problem(f"rtr.caches[{index}]", f"{cache} is listed twice")
            seen.add(place)
        if table.expire <= max(table.refresh, table.retry):
            self._problem(
                "rtr.expire",
                f"{table.expire} is not longer than refresh ({table.refresh}) and retry "
                f"({table.retry}): data would expire between two requests (RFC 8210 section 6)",
            )
        return RtrConfig(
            caches=caches,
            refresh=table.refresh,
            retry=table.retry,
            expire=table.expire,
            max_unchanged=table.max_unchanged,
            max_differing=table.max_differing,
            on_expire=table.on_expire,
            startup_wait=table.startup_wait,
        )

    def _cache(self, index: int, item: CacheAddress | CacheTable) -> CacheAddress:
        if isinstance(item, CacheAddress):
            return item
        is_ssh = item.transport == "ssh"
        for key in ("user", "key", "known_hosts"):
            if is_ssh and getattr(item, key) is None:
                self._problem(f"rtr.caches[{index}].{key}", 'missing; transport "ssh" needs it')
            if not is_ssh and getattr(item, key) is not None:
                self._problem(f"rtr.caches[{index}].{key}", 'only for transport "ssh"')
        return CacheAddress(
            host=item.address.host,
            port=item.address.port,
            transport=item.transport,
            user=item.user or "",
            key=str(item.key or ""),
            known_hosts=str(item.known_hosts or ""),
        )

    def _check_http(self) -> None:
        http = self._file.http
        if not http.token_file and not http.is_loopback:
            self._problem(
                "http.listen",
                f"{http.listen.address} can be reached from other machines; "
                "set http.token_file, or listen on 127.0.0.1 or [::1]",
            )
        for key, other in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")):
            if getattr(http, key) is None and getattr(http, other) is not None:
                self._problem(f"http.{key}", f"missing; {other} needs it")
        if http.looking_glass_routers and not http.looking_glass:
            self._problem("http.looking_glass_routers", "needs looking_glass = true")


def _route_server(table: RouteServerTable) -> RouteServer:
    name = table.name or gethostname()[:MAX_NAME]
    return RouteServer(table.asn, table.router_id, _local_addresses(table), table.port, name)


def _local_addresses(table: RouteServerTable) -> tuple[Address, ...]:
    local = table.local_address
    return (local,) if isinstance(local, Address) else local


FAMILY_NAMES: dict[int, FamilyName] = {IPV4: "ipv4", IPV6: "ipv6"}
"""Families as the configuration spells them."""


def _families(names: Iterable[FamilyName]) -> frozenset[int]:
    return frozenset(family for family, name in FAMILY_NAMES.items() if name in names)


def _host_families(table: HostsTable) -> frozenset[int]:
    """Return the families offered on sessions with a group; by default those that it can carry.

    IPv6 also needs an IPv6 next hop. Where no host can have one, IPv6 is not offered, because
    speakers refuse it: FRR 10 ends a session that offers IPv6 if it has no IPv6 address there. IPv4
    is offered over IPv6 sessions too: such a route is rejected with its reason.
    """
    if table.families is not None:
        return _families(table.families)
    next_hops = table.neighbors if table.next_hop == "neighbor" else table.next_hop
    has_ipv6 = table.ipv6_lengths and any(hop.family == IPV6 for hop in next_hops)
    carried = {IPV4: bool(table.ipv4_lengths), IPV6: bool(has_ipv6)}
    return frozenset(family for family in carried if carried[family])


def _host_group(table: HostsTable, families: frozenset[int]) -> HostGroup:
    return HostGroup(
        name=table.name,
        networks=table.neighbors,
        ipv4_lengths=frozenset(table.ipv4_lengths),
        ipv6_lengths=frozenset(table.ipv6_lengths),
        families=families,
        asn=table.asn,
        max_prefixes=table.max_prefixes,
        max_prefixes_warning=table.max_prefixes_warning,
        max_prepends=table.max_prepends,
        next_hops=None if table.next_hop == "neighbor" else table.next_hop,
        accept_not_found=table.not_found == "accept",
        stale_time=table.stale_time,
        requires=table.requires,
        password_file=_text(table.password_file),
        ttl_security=table.ttl_security,
    )


def _host_route(address: Address) -> Prefix:
    return Prefix(address.family, address.value, BITS[address.family])


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
