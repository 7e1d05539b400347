"""Truth's hosts: the host behind a session, and the prefixes that it owns.

Binding holds both ways. An address that truth gives to a host accepts that host's ASN only, and an
ASN whose hosts list addresses is accepted from those only. VRPs distinguish ASNs, not hosts. Where
hosts share an ASN, each one with addresses therefore has a table of its own, which decides (`own`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from rsfilter.routing.groups import TruthHost
from rsfilter.routing.model import Address, Prefix, Validation, Vrp

MAX_NAMED_OWNERS = 16
"""Hosts that a verdict names: a prefix may have thousands of owners."""


class OriginTable(Protocol):
    """A set of VRPs that answers RFC 6811."""

    def validate(self, prefix: Prefix, asn: int) -> Validation:
        """The origin validation state of a well-formed prefix announced by `asn`."""

    def validator(self, asn: int) -> Callable[[Prefix], Validation]:
        """Return `validate` for the prefixes of one ASN."""

    def covers(self, prefix: Prefix) -> bool:
        """Some VRP covers the prefix."""

    def covering(self, prefix: Prefix, most: int | None = None) -> list[Vrp]:
        """The VRPs whose prefix covers `prefix` (well formed), most specific first: all of them, or
        the first `most`."""


@dataclass(frozen=True, slots=True)
class Bindings:
    """Truth's hosts, to be found by ASN and by address. Immutable."""

    by_asn: Mapping[int, tuple[TruthHost, ...]] = field(default_factory=dict)
    """Hosts by ASN, in the order of the file."""
    by_address: Mapping[Address, TruthHost] = field(default_factory=dict)
    """No address is given to two hosts."""
    bound_asns: frozenset[int] = frozenset()
    """ASNs of hosts that list addresses."""
    own: Mapping[Address, OriginTable] = field(default_factory=dict)
    """Prefixes that a host may announce, by each of its addresses. Only of hosts that share their
    ASN."""
    owners: Mapping[Vrp, tuple[str, ...]] = field(default_factory=dict)
    """Names of the hosts, `MAX_NAMED_OWNERS` at most, that a VRP comes from. Only of ASNs that
    hosts share."""

    @classmethod
    def of(
        cls, hosts: Iterable[TruthHost], table: Callable[[Iterable[Vrp]], OriginTable]
    ) -> Bindings:
        """Return the bindings of some hosts. `table` makes a set of VRPs."""
        known = tuple(hosts)
        by_asn: dict[int, list[TruthHost]] = defaultdict(list)
        for host in known:
            by_asn[host.asn].append(host)
        shared = [host for those in by_asn.values() if len(those) > 1 for host in those]
        own: dict[Address, OriginTable] = {}
        owners: dict[Vrp, tuple[str, ...]] = {}
        for host in shared:
            own.update(dict.fromkeys(host.neighbors, table(host.prefixes)))
            for vrp in host.prefixes:
                named = owners.get(vrp, ())
                if len(named) < MAX_NAMED_OWNERS and host.name not in named:
                    owners[vrp] = (*named, host.name)
        return cls(
            by_asn={asn: tuple(by_asn[asn]) for asn in sorted(by_asn)},
            by_address={
                a: host for those in by_asn.values() for host in those for a in host.neighbors
            },
            bound_asns=frozenset(
                asn for asn, those in by_asn.items() if any(host.neighbors for host in those)
            ),
            own=own,
            owners=owners,
        )

    def host(self, asn: int, neighbor: Address) -> TruthHost | None:
        """Return the host behind a session: by address, else the only one with that ASN."""
        bound = self.by_address.get(neighbor)
        if bound is not None:
            return bound if bound.asn == asn else None
        hosts = self.by_asn.get(asn, ())
        return hosts[0] if len(hosts) == 1 and not hosts[0].neighbors else None

    def accepts(self, asn: int, neighbor: Address) -> bool:
        """Return whether an ASN may speak from an address."""
        bound = self.by_address.get(neighbor)
        return asn not in self.bound_asns if bound is None else bound.asn == asn

    def table(self, asn: int, neighbor: Address) -> OriginTable | None:
        """Return the table that decides in place of the ASN's; None if no other host has the ASN,
        or the session is no host's."""
        table = self.own.get(neighbor)
        return table if table is not None and self.by_address[neighbor].asn == asn else None

    def named(self, vrps: Iterable[Vrp], asn: int) -> tuple[str, ...]:
        """Return the hosts of an ASN that own some VRPs."""
        names = (name for vrp in vrps if vrp.asn == asn for name in self.owners.get(vrp, ()))
        return tuple(dict.fromkeys(names))[:MAX_NAMED_OWNERS]


NO_BINDINGS = Bindings()
