"""The tables of a set of VRPs, and their construction.

A table is a dict of the VRPs of one prefix length, keyed by the network bits of a prefix.
"""

from __future__ import annotations

from collections import defaultdict
from functools import reduce
from operator import or_
from typing import NamedTuple, NoReturn

from rsfilter.routing.model import BITS

MAX_ASN = 2**32 - 1
"""RFC 6793: ASNs are 32 bits wide."""

ASN_BITS = 32

Bucket = tuple[int, ...]
"""The VRPs of a prefix, each as maxLength << 32 | ASN; sorted, without repetition, never empty."""

Buckets = dict[int, Bucket]
"""Buckets by the network bits of a prefix, as a number. Whole networks as keys take five times as
long for many /24s: they end in the same zeros, and a dict hashes by the low bits."""

Numbers = tuple[int, int, int, int, int]
"""A VRP as (family, network, length, maxLength, ASN)."""

_Kind = tuple[int, int, int]
"""Family, length and maxLength of VRPs."""


class VrpTable(NamedTuple):
    """The VRPs of one family and prefix length."""

    length: int
    shift: int
    """Shift from a network to the network bits of the prefix."""
    buckets: Buckets


Tables = dict[int, tuple[VrpTable, ...]]
"""Tables by family; longest prefix first."""


class TableBuilder:
    """Builds tables.

    Similar VRPs are checked and inserted together, by calls into C for all of them instead of
    statements for each: half a million arrive at a start, and no route is judged before that.
    """

    def __init__(self) -> None:
        self._tables: dict[tuple[int, int], VrpTable] = {}
        self._singles: dict[int, dict[int, Bucket]] = defaultdict(dict)
        """Buckets with one entry, by maxLength and ASN: many prefixes share one."""
        self._further: dict[tuple[int, int, int], set[int]] = defaultdict(set)
        """Entries of prefixes beyond their first VRP, by family, length and key. Few prefixes have
        any."""

    def add(self, vrps: list[Numbers]) -> None:
        """Insert VRPs. Raises ValueError for an impossible one."""
        alike: dict[_Kind, tuple[list[int], list[int]]] = {}
        for family, network, length, max_length, asn in vrps:
            try:
                networks, asns = alike[family, length, max_length]
            except KeyError:
                networks, asns = alike[family, length, max_length] = [], []
            networks.append(network)
            asns.append(asn)
        for kind, (networks, asns) in alike.items():
            self._add_alike(kind, networks, asns)

    def _add_alike(self, kind: _Kind, networks: list[int], asns: list[int]) -> None:
        family, length, _ = kind
        table = self._tables.get((family, length))
        if table is None:
            table = self._tables[family, length] = _empty_table(family, length)
        _, shift, buckets = table
        added = self._buckets_of(kind, networks, asns)
        keys = [network >> shift for network in networks]
        present = list(map(buckets.setdefault, keys, added))
        if present != added:
            for key, first, other in zip(keys, present, added, strict=True):
                if first != other:
                    self._further[family, length, key].update(other)

    def _buckets_of(self, kind: _Kind, networks: list[int], asns: list[int]) -> list[Bucket]:
        """Return the bucket of each VRP of a kind. Raises ValueError for an impossible one."""
        max_length = kind[2]
        singles = self._singles[max_length]
        if not _can_be(kind, reduce(or_, networks)):  # the union has every bit that is wrong in any
            _refuse(kind, networks, asns)
        try:
            return list(map(singles.__getitem__, asns))
        except KeyError:  # first VRP of this ASN
            if min(asns) < 0 or max(asns) > MAX_ASN:
                _refuse(kind, networks, asns)
        for asn in {*asns}.difference(singles):
            singles[asn] = (max_length << ASN_BITS | asn,)
        return list(map(singles.__getitem__, asns))

    def build(self) -> tuple[Tables, int]:
        """Return the completed tables by family, and the number of VRPs."""
        count = sum(len(table.buckets) for table in self._tables.values())
        for (family, length, key), more in self._further.items():
            buckets = self._tables[family, length].buckets
            buckets[key] = tuple(sorted(more.union(buckets[key])))
            count += len(more)
        return _ordered(self._tables), count


def _empty_table(family: int, length: int) -> VrpTable:
    bits = BITS.get(family, -1)
    if not 0 <= length <= bits:
        raise ValueError(f"not a VRP: family {family} has no prefix of length {length}")
    return VrpTable(length, bits - length, {})


def _can_be(kind: _Kind, network: int) -> bool:
    """Return whether the lengths fit the family and the network has no host bits."""
    family, length, max_length = kind
    bits = BITS[family]
    spare = bits - length
    return (
        length <= max_length <= bits
        and network >> bits == 0
        and network >> spare << spare == network
    )


def _refuse(kind: _Kind, networks: list[int], asns: list[int]) -> NoReturn:
    """Raise ValueError that names the first impossible VRP of a kind."""
    family, length, max_length = kind
    network, asn = next(
        (network, asn)
        for network, asn in zip(networks, asns, strict=True)
        if not (_can_be(kind, network) and 0 <= asn <= MAX_ASN)
    )
    raise ValueError(f"not a VRP: {(family, network, length, max_length, asn)}")


def _ordered(tables: dict[tuple[int, int], VrpTable]) -> Tables:
    ordered: Tables = {}
    for family, length in sorted(tables, reverse=True):
        ordered[family] = (*ordered.get(family, ()), tables[family, length])
    return ordered
