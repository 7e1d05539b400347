"""Rules for what may be accepted, from the words of the manual (docs/reasons.md,
docs/configuration.md).

Shares nothing with `rsfilter.routing.policy`: every accepted route of the tables is held against
these few lines, and against the brute force of tests/support/oracle.py.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from support import oracle

from rsfilter.config.model import Config
from rsfilter.pipeline.filter import Filter
from rsfilter.routing.groups import HostGroup
from rsfilter.routing.model import OriginState, Route, SegmentType, Vrp
from rsfilter.routing.validation import Mode
from rsfilter.rpki.slurm import PrefixFilter
from rsfilter.rpki.truth import Truth

NOBODYS = (0, 23456, 65535, 4294967295)

BOGONS = [
    ip_network(text)
    for text in (
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
        "::/8", "100::/64", "100:0:0:1::/64", "fe80::/10", "fec0::/10", "ff00::/8",
    )
]  # fmt: skip

TRANSLATED = [ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48")]
"""RFC 6052, 8215: in a bogon and none."""

NO_NEXT_HOPS = [
    ip_network(text)
    for text in (
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3",
        "::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8",
    )
]  # fmt: skip


class Oracle:
    """Data as the script gave them; `check` compares the filter's tables with them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._truth: Truth | None = None
        self._rtr: list[Vrp] | None = None
        self._may: dict[Route, bool] = {}
        """Verdict by the present data."""
        self._not_of_hosts = {
            str(address)
            for address in (
                *config.route_server.local_addresses,
                *(router for group in config.routers for router in group.neighbors),
            )
        }

    def configured(self, config: Config) -> None:
        """Another configuration."""
        self._config = config
        self._may.clear()

    def truth_loaded(self, truth: Truth) -> None:
        """Another truth file."""
        self._truth = truth
        self._may.clear()

    def rtr_changed(self, vrps: list[Vrp]) -> None:
        """Another RTR snapshot."""
        self._rtr = vrps
        self._may.clear()

    def expired(self) -> None:
        """No cache is fresh any more."""
        if self._config.rtr and self._config.rtr.on_expire == "reject":
            self._rtr = None
            self._may.clear()

    def check(self, filter_: Filter) -> None:
        """No route is accepted that must not be, and none goes out that was not accepted."""
        entries = list(filter_.engine.rib_in.entries())
        for entry in entries:
            if entry.is_accepted:
                assert self._may_pass(entry.route), f"accepted: {entry}"
        known = {entry.route.key.prefix for entry in entries if entry.is_announced}
        for group in self._config.routers:
            strangers = filter_.engine.routes_out(group.name).keys() - known
            assert not strangers, f"{group.name} gets {strangers}, which nobody announces"

    def _may_pass(self, route: Route) -> bool:
        if route not in self._may:
            self._may[route] = self._is_right(route)
        return self._may[route]

    def _is_right(self, route: Route) -> bool:
        group = self._group(route)
        return (
            group is not None
            and not route.attributes.malformed
            and route.asn not in NOBODYS
            and _is_host_route(route, group)
            and _is_own_path(route, group)
            and self._is_own_next_hop(route, group)
            and self._is_bound(route)
            and self._is_valid(route, group)
        )

    def _group(self, route: Route) -> HostGroup | None:
        neighbor = ip_address(str(route.key.neighbor))
        for group in self._config.hosts:
            if any(neighbor in ip_network(str(network)) for network in group.networks):
                return group
        return None

    def _hosts(self, asn: int) -> list[frozenset[str]]:
        """The addresses of each host with that ASN."""
        hosts = self._truth.hosts if self._truth else ()
        return [frozenset(map(str, host.neighbors)) for host in hosts if host.asn == asn]

    def _is_bound(self, route: Route) -> bool:
        neighbor = str(route.key.neighbor)
        for host in self._truth.hosts if self._truth else ():
            if neighbor in map(str, host.neighbors):
                return host.asn == route.asn
        return not any(self._hosts(route.asn))

    def _is_own_next_hop(self, route: Route, group: HostGroup) -> bool:
        hops = [ip_address(str(hop)) for hop in route.next_hops]
        hops = [hop for hop in hops if not hop.is_link_local]
        if len(hops) != 1 or hops[0].version != (6 if ":" in str(route.key.prefix) else 4):
            return False
        if str(hops[0]) != str(route.key.neighbor) and (
            str(hops[0]) in self._not_of_hosts
            or any(hops[0] in network for network in NO_NEXT_HOPS)
        ):
            return False
        if group.next_hops is not None:
            return any(hops[0] in ip_network(str(allowed)) for allowed in group.next_hops)
        own = {str(route.key.neighbor)}
        for addresses in self._hosts(route.asn):
            if own & addresses:
                own |= addresses
        return str(hops[0]) in own

    def _is_valid(self, route: Route, group: HostGroup) -> bool:
        if self._truth is None or self._config.truth is None:
            return False
        prefix, truth = route.key.prefix, list(self._truth.vrps)
        if self._is_anothers(route, truth):
            return False
        if self._config.rtr is None:
            state: OriginState | None = oracle.rfc6811(truth, prefix, route.asn)
        else:
            filters = self._truth.filters
            rtr = (
                None if self._rtr is None else [v for v in self._rtr if not is_removed(v, filters)]
            )
            state = oracle.origin(truth, rtr, Mode(self._config.truth.mode), prefix, route.asn)
        if state is OriginState.NOT_FOUND:
            return group.accept_not_found
        return state is OriginState.VALID

    def _is_anothers(self, route: Route, truth: list[Vrp]) -> bool:
        """The host has its ASN in common with others, and truth's VRPs are not its own."""
        hosts = self._truth.hosts if self._truth else ()
        sharing = [host for host in hosts if host.asn == route.asn]
        for host in sharing:
            if len(sharing) > 1 and str(route.key.neighbor) in map(str, host.neighbors):
                by_own = oracle.rfc6811(host.prefixes, route.key.prefix, route.asn)
                by_all = oracle.rfc6811(truth, route.key.prefix, route.asn)
                return by_all is OriginState.VALID and by_own is not OriginState.VALID
        return False


def _is_host_route(route: Route, group: HostGroup) -> bool:
    try:
        network = ip_network(str(route.key.prefix))  # strict: ValueError for host bits
    except ValueError:
        return False
    lengths = group.ipv4_lengths if network.version == 4 else group.ipv6_lengths
    is_bogon = any(b.version == network.version and b.overlaps(network) for b in BOGONS)
    is_translated = network.version == 6 and any(network.subnet_of(t) for t in TRANSLATED)
    return network.prefixlen in lengths and (not is_bogon or is_translated)


def _is_own_path(route: Route, group: HostGroup) -> bool:
    if route.attributes.as_path.omitted:
        return False
    match route.attributes.as_path.segments:
        case ((SegmentType.SEQUENCE, asns),):
            return 1 <= len(asns) <= 1 + group.max_prepends and {*asns} == {route.asn}
    return False


def is_removed(vrp: Vrp, filters: tuple[PrefixFilter, ...]) -> bool:
    """RFC 8416 section 3.3.1, one filter after the other."""
    network = ip_network(str(vrp.prefix))
    for prefix, asn in filters:
        wide = None if prefix is None else ip_network(str(prefix))
        is_inside = wide is None or (
            wide.version == network.version and network.subnet_of(wide)  # type: ignore[arg-type]
        )
        if is_inside and asn in (None, vrp.asn):
            return True
    return False
