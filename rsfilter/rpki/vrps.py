"""An immutable set of VRPs that answers RFC 6811.

Owns the table and its algebra (difference, removal); knows nothing of where VRPs come from or of
what becomes of a route. The table is one dict per prefix length, keyed by the masked
network: a lookup asks each length that exists, once. With the few lengths that an operator's own
space has this takes a microsecond, as fast as a trie in C behind a foreign-function call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain, starmap
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

_ASN_BITS = 32

_Bucket = tuple[int, ...]
"""What a prefix's VRPs say, each as maxLength << 32 | ASN; sorted, no repetition, never empty."""

_Buckets = dict[int, _Bucket]
"""By network."""

_Found = tuple[int, int, int, int]
"""A VRP in a table: family, network, length, and what a bucket says."""

_Hit = tuple[int, int, _Bucket]
"""A table's entry for a prefix: masked network, length, and what the bucket says."""

_Asked = tuple[int, int, int, list[_Hit]]
"""What a validation depends on: ASN, prefix length, family, and the entries that cover it."""

_Numbers = tuple[int, int, int, int, int]
"""A VRP as (family, network, length, maxLength, ASN)."""


class _Table(NamedTuple):
    """The VRPs of one family and prefix length."""

    length: int
    mask: int
    buckets: _Buckets


_Tables = dict[int, tuple[_Table, ...]]
"""By family; longest prefix first."""


class Difference(NamedTuple):
    """How one set differs from an older one."""

    added: int
    """VRPs that only the newer one has."""
    removed: int
    """VRPs that only the older one has."""
    prefixes: frozenset[Prefix] | None
    """Of those VRPs; None: more than were asked for."""


class VrpSet:
    """A set of VRPs. Make one with `VrpSet.of`; it never changes afterwards.

    Iterates in the natural order of `Vrp`: family, network, length, maxLength, ASN.
    """

    __slots__ = ("_count", "_last", "_tables")

    def __init__(self, tables: _Tables) -> None:
        self._tables = tables
        self._last: tuple[_Asked | None, Validation] = (None, _NOT_FOUND)
        """The last question whose answer was Valid, and that answer: one decides many routes."""
        self._count = sum(sum(map(len, table.buckets.values())) for table in self._all())

    @classmethod
    def of(cls, vrps: Iterable[Vrp]) -> VrpSet:
        """The set of these VRPs; repetitions count once. ValueError names one that cannot be."""
        return cls.of_numbers(
            (vrp.prefix.family, vrp.prefix.network, vrp.prefix.length, vrp.max_length, vrp.asn)
            for vrp in vrps
        )

    @classmethod
    def of_numbers(cls, vrps: Iterable[_Numbers]) -> VrpSet:
        """As `of`, for VRPs as (family, network, length, maxLength, ASN)."""
        tables: dict[tuple[int, int], _Table] = {}
        further: dict[Prefix, set[int]] = {}  # few prefixes have more than one VRP
        singles: dict[int, _Bucket] = {}  # many prefixes have the same ASN and maxLength
        for family, network, length, max_length, asn in vrps:
            table = tables.get((family, length))
            if table is None:
                table = tables[family, length] = _empty_table(family, length)
            _, mask, buckets = table
            if (
                network & mask != network
                or not length <= max_length <= BITS[family]
                or not 0 <= asn <= MAX_ASN
            ):
                raise ValueError(f"not a VRP: {(family, network, length, max_length, asn)}")
            entry = max_length << _ASN_BITS | asn
            if network in buckets:
                further.setdefault(Prefix(family, network, length), set()).add(entry)
            else:
                bucket = singles.get(entry)
                if bucket is None:
                    bucket = singles[entry] = (entry,)
                buckets[network] = bucket
        for prefix, more in further.items():
            buckets = tables[prefix.family, prefix.length].buckets
            buckets[prefix.network] = tuple(sorted(more.union(buckets[prefix.network])))
        return cls(_ordered(tables))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Vrp]:
        return iter(sorted(self._unordered()))

    def __contains__(self, vrp: object) -> bool:
        if not isinstance(vrp, Vrp):
            return False
        prefix, says = vrp.prefix, vrp.max_length << _ASN_BITS | vrp.asn
        return any(
            says in table.buckets.get(prefix.network, ())
            for table in self._tables.get(prefix.family, ())
            if table.length == prefix.length
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VrpSet) and self._tables == other._tables

    def __repr__(self) -> str:
        return f"<VrpSet of {self._count}>"

    def covering(self, prefix: Prefix) -> list[Vrp]:
        """Every VRP whose prefix covers `prefix` (well formed), most specific first."""
        return list(starmap(_vrp, self._covering(prefix)))

    def covers(self, prefix: Prefix) -> bool:
        """Some VRP covers the prefix (well formed)."""
        network, length = prefix.network, prefix.length
        for table_length, mask, buckets in self._tables.get(prefix.family, ()):
            if table_length <= length and network & mask in buckets:
                return True
        return False

    def validate(self, prefix: Prefix, asn: int) -> Validation:
        """The origin validation state of a well-formed prefix announced by `asn` (RFC 6811).

        At most `MAX_NAMED_VRPS` VRPs are named, most specific first; when Invalid, those of
        `asn` itself come before the others: they tell a wrong length from a wrong origin.
        """
        family, network, length = prefix.family, prefix.network, prefix.length
        hits: list[_Hit] = []
        for table_length, mask, buckets in self._tables.get(family, ()):
            if table_length <= length and (bucket := buckets.get(network & mask)) is not None:
                hits.append((network & mask, table_length, bucket))
        if not hits:
            return _NOT_FOUND
        asked = (asn, length, family, hits)
        last, validation = self._last
        if asked == last:
            return validation
        covering = [
            (family, masked, table_length, entry)
            for masked, table_length, bucket in hits
            for entry in bucket
        ]
        matching = [
            found
            for found in covering
            if found[3] & MAX_ASN == asn != _NO_ASN and length <= found[3] >> _ASN_BITS
        ]
        if matching:
            validation = Validation(OriginState.VALID, _named(matching))
            self._last = asked, validation
            return validation
        covering.sort(key=lambda found: found[3] & MAX_ASN != asn)
        return Validation(OriginState.INVALID, _named(covering))

    def difference(self, newer: VrpSet, most: int) -> Difference:
        """What `newer` has beyond this set and what it lacks; names at most `most` prefixes."""
        prefixes: set[Prefix] = set()
        counts = []
        for one, other in ((newer, self), (self, newer)):
            count = 0
            for prefix, entries in one._beyond(other):
                count += entries
                if len(prefixes) <= most:
                    prefixes.add(prefix)
            counts.append(count)
        added, removed = counts
        return Difference(added, removed, frozenset(prefixes) if len(prefixes) <= most else None)

    def without(self, removes: Callable[[Vrp], bool]) -> VrpSet:
        """The VRPs for which `removes` is false: how local filters (RFC 8416) apply."""
        return VrpSet.of(vrp for vrp in self._unordered() if not removes(vrp))

    def _all(self) -> Iterator[_Table]:
        return chain.from_iterable(self._tables.values())

    def _numbers(self) -> Iterator[_Numbers]:
        for family, tables in self._tables.items():
            for length, _, buckets in tables:
                for network, bucket in buckets.items():
                    for entry in bucket:
                        yield family, network, length, entry >> _ASN_BITS, entry & MAX_ASN

    def _unordered(self) -> Iterator[Vrp]:
        return (
            Vrp(Prefix(family, network, length), max_length, asn)
            for family, network, length, max_length, asn in self._numbers()
        )

    def _covering(self, prefix: Prefix) -> list[_Found]:
        family, network, length = prefix.family, prefix.network, prefix.length
        found: list[_Found] = []
        for table_length, mask, buckets in self._tables.get(family, ()):
            if table_length <= length:
                masked = network & mask
                for entry in buckets.get(masked, ()):
                    found.append((family, masked, table_length, entry))  # noqa: PERF401 - a third quicker
        return found

    def _beyond(self, other: VrpSet) -> Iterator[tuple[Prefix, int]]:
        """The prefixes for which this set says something that `other` does not, and how much."""
        theirs = {(f, t.length): t.buckets for f, tables in other._tables.items() for t in tables}
        for family, tables in self._tables.items():
            for length, _, buckets in tables:
                there = theirs.get((family, length), {})
                for network, bucket in buckets.items():
                    same = there.get(network, ())
                    if bucket != same and (beyond := len({*bucket}.difference(same))):
                        yield Prefix(family, network, length), beyond


@lru_cache(maxsize=1 << 14)  # one VRP decides many routes: each verdict names the same object
def _vrp(family: int, network: int, length: int, entry: int) -> Vrp:
    return Vrp(Prefix(family, network, length), entry >> _ASN_BITS, entry & MAX_ASN)


def _named(found: list[_Found]) -> tuple[Vrp, ...]:
    return tuple(starmap(_vrp, found[:MAX_NAMED_VRPS]))


def _empty_table(family: int, length: int) -> _Table:
    bits = BITS.get(family, -1)
    if not 0 <= length <= bits:
        raise ValueError(f"not a VRP: family {family} has no prefix of length {length}")
    return _Table(length, ((1 << length) - 1) << (bits - length), {})


def _ordered(tables: dict[tuple[int, int], _Table]) -> _Tables:
    ordered: _Tables = {}
    for family, length in sorted(tables, reverse=True):
        ordered[family] = (*ordered.get(family, ()), tables[family, length])
    return ordered


EMPTY = VrpSet.of(())
"""No VRPs: every prefix is NotFound."""
