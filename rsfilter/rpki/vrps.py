"""An immutable set of VRPs that answers RFC 6811.

Owns the table and its algebra (union, difference, removal); knows nothing of where VRPs come
from or of what becomes of a route. The table is one dict per prefix length, keyed by the masked
network: a lookup asks each length that exists, once. With the few lengths that an operator's own
space has this takes a microsecond, as fast as a trie in C behind a foreign-function call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from rsfilter.routing.model import BITS, OriginState, Prefix, Validation, Vrp

MAX_NAMED_VRPS = 16
"""How many VRPs a `Validation` names. The most that any Internet prefix has is a few dozen; an
audit line must stay one line even when a hostile cache sends thousands for one prefix."""

MAX_ASN = 2**32 - 1
"""RFC 6793: ASNs are 32 bits wide."""

_NO_ASN = 0
"""RFC 6483 section 4: a VRP of AS0 says that nobody may originate; it never matches."""

_NOT_FOUND = Validation(OriginState.NOT_FOUND)


_Buckets = dict[int, tuple[Vrp, ...]]
"""By network; each bucket sorted, without repetition, never empty."""


class _Table(NamedTuple):
    """The VRPs of one family and prefix length."""

    length: int
    mask: int
    buckets: _Buckets


_Tables = dict[int, tuple[_Table, ...]]
"""By family; longest prefix first."""


class VrpSet:
    """A set of VRPs. Make one with `VrpSet.of`; it never changes afterwards.

    Iterates in the natural order of `Vrp`: family, network, length, maxLength, ASN.
    """

    __slots__ = ("_count", "_tables")

    def __init__(self, tables: _Tables) -> None:
        self._tables = tables
        self._count = sum(sum(map(len, table.buckets.values())) for table in self._all())

    @classmethod
    def of(cls, vrps: Iterable[Vrp]) -> VrpSet:
        """The set of these VRPs; repetitions count once. ValueError names one that cannot be."""
        tables: dict[tuple[int, int], _Buckets] = {}
        further: dict[Prefix, list[Vrp]] = {}  # few prefixes have more than one VRP
        for vrp in vrps:
            prefix, max_length, asn = vrp
            family, network, length = prefix
            bits = BITS.get(family, -1)
            if not (
                0 <= length <= max_length <= bits
                and 0 <= asn <= MAX_ASN
                and 0 <= network < 1 << bits
                and network & ((1 << (bits - length)) - 1) == 0
            ):
                raise ValueError(f"not a VRP: {tuple(vrp)}")
            buckets = tables.get((family, length))
            if buckets is None:
                buckets = tables[family, length] = {}
            if network in buckets:
                further.setdefault(prefix, []).append(vrp)
            else:
                buckets[network] = (vrp,)
        for prefix, more in further.items():
            buckets = tables[prefix.family, prefix.length]
            buckets[prefix.network] = tuple(sorted({*buckets[prefix.network], *more}))
        return cls(_ordered(tables))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Vrp]:
        return iter(sorted(self._unordered()))

    def __contains__(self, vrp: object) -> bool:
        if not isinstance(vrp, Vrp):
            return False
        return any(
            vrp in table.buckets.get(vrp.prefix.network, ())
            for table in self._tables.get(vrp.prefix.family, ())
            if table.length == vrp.prefix.length
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VrpSet) and self._tables == other._tables

    def __repr__(self) -> str:
        return f"<VrpSet of {self._count}>"

    def covering(self, prefix: Prefix) -> list[Vrp]:
        """Every VRP whose prefix covers `prefix` (well formed), most specific first."""
        family, network, length = prefix
        found: list[Vrp] = []
        for table_length, mask, buckets in self._tables.get(family, ()):
            if table_length <= length:
                bucket = buckets.get(network & mask)
                if bucket is not None:
                    found += bucket
        return found

    def covers(self, prefix: Prefix) -> bool:
        """Some VRP covers the prefix (well formed)."""
        family, network, length = prefix
        for table_length, mask, buckets in self._tables.get(family, ()):
            if table_length <= length and network & mask in buckets:
                return True
        return False

    def validate(self, prefix: Prefix, asn: int) -> Validation:
        """The origin validation state of a well-formed prefix announced by `asn` (RFC 6811).

        At most `MAX_NAMED_VRPS` VRPs are named, most specific first; when Invalid, those of
        `asn` itself come before the others: they tell a wrong length from a wrong origin.
        """
        covering = self.covering(prefix)
        if not covering:
            return _NOT_FOUND
        length = prefix.length
        matching = [vrp for vrp in covering if vrp.asn == asn and length <= vrp.max_length]
        if matching and asn != _NO_ASN:
            return Validation(OriginState.VALID, tuple(matching[:MAX_NAMED_VRPS]))
        covering.sort(key=lambda vrp: vrp.asn != asn)
        return Validation(OriginState.INVALID, tuple(covering[:MAX_NAMED_VRPS]))

    def diff(self, newer: VrpSet) -> tuple[frozenset[Vrp], frozenset[Vrp]]:
        """(added, removed): what `newer` has beyond this set, and what it lacks."""
        return frozenset(newer._beyond(self)), frozenset(self._beyond(newer))

    def union(self, other: VrpSet) -> VrpSet:
        """The VRPs of either."""
        if not other._count:
            return self
        if not self._count:
            return other
        return VrpSet.of(chain(self._unordered(), other._unordered()))

    def without(self, removes: Callable[[Vrp], bool]) -> VrpSet:
        """The VRPs for which `removes` is false: how local filters (RFC 8416) apply."""
        return VrpSet.of(vrp for vrp in self._unordered() if not removes(vrp))

    def _all(self) -> Iterator[_Table]:
        return chain.from_iterable(self._tables.values())

    def _unordered(self) -> Iterator[Vrp]:
        return (vrp for table in self._all() for bucket in table.buckets.values() for vrp in bucket)

    def _beyond(self, other: VrpSet) -> Iterator[Vrp]:
        """What `other` lacks, without hashing what both share."""
        theirs = {(f, t.length): t.buckets for f, tables in other._tables.items() for t in tables}
        for family, tables in self._tables.items():
            for table in tables:
                there = theirs.get((family, table.length), {})
                for network, bucket in table.buckets.items():
                    same = there.get(network, ())
                    if bucket != same:
                        yield from (vrp for vrp in bucket if vrp not in same)


def _ordered(tables: dict[tuple[int, int], _Buckets]) -> _Tables:
    ordered: _Tables = {}
    for family, length in sorted(tables, reverse=True):
        mask = ((1 << length) - 1) << (BITS[family] - length)
        table = _Table(length, mask, tables[family, length])
        ordered[family] = (*ordered.get(family, ()), table)
    return ordered


EMPTY = VrpSet.of(())
"""No VRPs: every prefix is NotFound."""
