"""An immutable set of VRPs that answers RFC 6811.

Owns the table and its algebra (difference, removal). Knows neither the source of VRPs nor the
routes. The table is one dict per prefix length, keyed by the network bits of a prefix: a lookup
probes each existing length once. With the few lengths of an operator's own space this takes a
microsecond, as fast as a trie in C behind a foreign-function call.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice, starmap
from typing import NamedTuple

from rsfilter.routing.model import BITS, OriginState, Prefix, Validation, Vrp
from rsfilter.rpki.vrp_tables import ASN_BITS, MAX_ASN, Bucket, Numbers, TableBuilder, Tables

MAX_NAMED_VRPS = 16
"""VRPs that a `Validation` names. Any Internet prefix has a few dozen at most. An audit record must
stay one line even if a hostile cache sends thousands for one prefix."""

_NO_ASN = 0
"""RFC 6483 section 4: a VRP of AS0 states that no AS may originate the prefix; it never matches."""

_LARGE = 64
"""VRPs of one prefix above which those of an ASN are found by index instead of by scan. A hostile
cache can send hundreds of thousands for one prefix, and every covered route would wait for the
scan."""

_NOT_FOUND = Validation(OriginState.NOT_FOUND)

_SLICE = 1 << 13
"""VRPs inserted together: enough to share the work on similar ones, and few enough that no other
thread waits long for a call into C."""

_Found = tuple[int, int, int, int]
"""A VRP in a table: family, network, length, and its entry in the bucket."""

_Inputs = tuple[int, int, int, list[tuple[int, int, Bucket]]]
"""The inputs of a validation: the ASN, the prefix's family and length, and for each table with a
covering VRP its length, key and bucket."""


class Difference(NamedTuple):
    """Difference between a set and an older one."""

    added: int
    """VRPs that only the newer one has."""
    removed: int
    """VRPs that only the older one has."""
    prefixes: frozenset[Prefix] | None
    """Prefixes of those VRPs. None if there are more than requested."""


class VrpSet:
    """An immutable set of VRPs. Make one with `VrpSet.of`.

    Iterates in the natural order of `Vrp`: family, network, length, maxLength, ASN.
    """

    __slots__ = ("_by_asn", "_count", "_invalid", "_tables", "_valid")

    def __init__(self, tables: Tables, count: int) -> None:
        self._tables = tables
        self._count = count
        self._valid: tuple[_Inputs | None, Validation] = (None, _NOT_FOUND)
        self._invalid: tuple[_Inputs | None, Validation] = (None, _NOT_FOUND)
        """The last inputs that validated as Valid and as Invalid, with their result: the prefixes
        of a block follow each other, and one result serves all of them."""
        self._by_asn: dict[tuple[int, int, int], dict[int, list[int]]] = {}
        """Index of the large buckets that were used: the entries of each ASN, by family,
        length and key."""

    @classmethod
    def of(cls, vrps: Iterable[Vrp]) -> VrpSet:
        """Make the set of these VRPs; repetitions count once. Raises ValueError for an impossible
        one."""
        return cls.of_numbers(
            (vrp.prefix.family, vrp.prefix.network, vrp.prefix.length, vrp.max_length, vrp.asn)
            for vrp in vrps
        )

    @classmethod
    def of_numbers(cls, vrps: Iterable[Numbers]) -> VrpSet:
        """Make the set as `of` does, from VRPs as (family, network, length, maxLength, ASN)."""
        builder = TableBuilder()
        waiting = iter(vrps)
        while slice_ := list(islice(waiting, _SLICE)):
            builder.add(slice_)
        return cls(*builder.build())

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Vrp]:
        return iter(sorted(self._unordered()))

    def __contains__(self, vrp: object) -> bool:
        if not isinstance(vrp, Vrp):
            return False
        prefix, entry = vrp.prefix, vrp.max_length << ASN_BITS | vrp.asn
        for length, shift, buckets in self._tables.get(prefix.family, ()):
            if length == prefix.length:
                key = prefix.network >> shift
                return key << shift == prefix.network and entry in buckets.get(key, ())
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VrpSet) and self._tables == other._tables

    def __repr__(self) -> str:
        return f"<VrpSet of {self._count}>"

    def covering(self, prefix: Prefix, most: int | None = None) -> list[Vrp]:
        """Return the VRPs whose prefix covers `prefix` (well formed), most specific first: all, or
        the first `most`."""
        return list(starmap(_vrp, islice(self._covering(prefix), most)))

    def covers(self, prefix: Prefix) -> bool:
        """Return whether a VRP covers the prefix (well formed)."""
        network, length = prefix.network, prefix.length
        for table_length, shift, buckets in self._tables.get(prefix.family, ()):
            if table_length <= length and network >> shift in buckets:
                return True
        return False

    def validate(self, prefix: Prefix, asn: int) -> Validation:
        """Validate the origin `asn` of a well-formed prefix (RFC 6811).

        Names at most `MAX_NAMED_VRPS` VRPs, most specific first. If Invalid, the VRPs of `asn`
        itself come before the others, because they distinguish a wrong length from a wrong origin.
        """
        return self._validate(asn, prefix)

    def validator(self, asn: int) -> Callable[[Prefix], Validation]:
        """Return `validate` for the prefixes of one ASN."""
        return partial(self._validate, asn)

    def _validate(self, asn: int, prefix: Prefix) -> Validation:
        family, network, length = prefix.family, prefix.network, prefix.length
        covering: list[tuple[int, int, Bucket]] = []
        for table_length, shift, buckets in self._tables.get(family, ()):
            if table_length <= length and (bucket := buckets.get(network >> shift)) is not None:
                covering.append((table_length, network >> shift, bucket))
        if not covering:
            return _NOT_FOUND
        inputs = (asn, family, length, covering)
        for last, validation in (self._valid, self._invalid):
            if inputs == last:
                return validation
        own = [
            (family, key << BITS[family] - table_length, table_length, entry)
            for table_length, key, bucket in covering
            for entry in (
                bucket
                if len(bucket) < _LARGE
                else self._entries_of(asn, (family, table_length, key), bucket)
            )
            if entry & MAX_ASN == asn
        ]
        matching = [found for found in own if asn != _NO_ASN and length <= found[3] >> ASN_BITS]
        if matching:
            validation = Validation(OriginState.VALID, _named(matching))
            self._valid = inputs, validation
            return validation
        others = (found for found in self._covering(prefix) if found[3] & MAX_ASN != asn)
        named = _named([*own, *islice(others, MAX_NAMED_VRPS)])
        validation = Validation(OriginState.INVALID, named)
        self._invalid = inputs, validation
        return validation

    def _entries_of(self, asn: int, where: tuple[int, int, int], bucket: Bucket) -> list[int]:
        """Return the entries of an ASN in a large bucket."""
        by_asn = self._by_asn.get(where)
        if by_asn is None:
            by_asn = defaultdict(list)
            for entry in bucket:
                by_asn[entry & MAX_ASN].append(entry)
            self._by_asn[where] = by_asn  # assigned whole: another thread may be reading
        return by_asn.get(asn, [])

    def difference(self, newer: VrpSet, most: int) -> Difference:
        """Count the VRPs that `newer` adds to this set and removes from it. Names at most `most`
        prefixes."""
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

    def without_these(self, vrps: Iterable[Numbers]) -> VrpSet:
        """Return the set without some of its VRPs. Tables that have none of them are shared."""
        tables = {family: list(of_family) for family, of_family in self._tables.items()}
        places = {
            (f, t.length): i for f, of_family in tables.items() for i, t in enumerate(of_family)
        }
        copied: set[tuple[int, int]] = set()
        count = self._count
        for family, network, length, max_length, asn in vrps:
            place = places[family, length]
            if (family, length) not in copied:
                copied.add((family, length))
                table = tables[family][place]
                tables[family][place] = table._replace(buckets=table.buckets.copy())
            _, shift, buckets = tables[family][place]
            removed = max_length << ASN_BITS | asn
            rest = tuple(entry for entry in buckets[network >> shift] if entry != removed)
            count -= len(buckets[network >> shift]) - len(rest)
            if rest:
                buckets[network >> shift] = rest
            else:
                del buckets[network >> shift]
        left = {f: tuple(t for t in of_family if t.buckets) for f, of_family in tables.items()}
        return VrpSet({f: of_family for f, of_family in left.items() if of_family}, count)

    def without(self, removes: Callable[[Vrp], bool]) -> VrpSet:
        """Return the set without the VRPs for which `removes` is true: local filters (RFC 8416)."""
        return VrpSet.of(vrp for vrp in self._unordered() if not removes(vrp))

    def numbers(self) -> Iterator[Numbers]:
        """Yield every VRP as (family, network, length, maxLength, ASN), unordered; input for
        `of_numbers`."""
        for family, tables in self._tables.items():
            for length, shift, buckets in tables:
                for key, bucket in buckets.items():
                    for entry in bucket:
                        yield family, key << shift, length, entry >> ASN_BITS, entry & MAX_ASN

    def _unordered(self) -> Iterator[Vrp]:
        return (
            Vrp(Prefix(family, network, length), max_length, asn)
            for family, network, length, max_length, asn in self.numbers()
        )

    def _covering(self, prefix: Prefix) -> Iterator[_Found]:
        family, network, length = prefix.family, prefix.network, prefix.length
        for table_length, shift, buckets in self._tables.get(family, ()):
            if table_length <= length:
                key = network >> shift
                for entry in buckets.get(key, ()):
                    yield family, key << shift, table_length, entry

    def _beyond(self, other: VrpSet) -> Iterator[tuple[Prefix, int]]:
        """Yield the prefixes that have VRPs in this set and not in `other`, each with the number of
        them."""
        theirs = {(f, t.length): t.buckets for f, tables in other._tables.items() for t in tables}
        for family, tables in self._tables.items():
            for length, shift, buckets in tables:
                there = theirs.get((family, length), {})
                for key, bucket in buckets.items():
                    same = there.get(key, ())
                    if bucket != same and (beyond := len({*bucket}.difference(same))):
                        yield Prefix(family, key << shift, length), beyond


@lru_cache(maxsize=1 << 14)  # one VRP matches many routes: each verdict shares the object
def _vrp(family: int, network: int, length: int, entry: int) -> Vrp:
    return Vrp(Prefix(family, network, length), entry >> ASN_BITS, entry & MAX_ASN)


def _named(found: list[_Found]) -> tuple[Vrp, ...]:
    return tuple(starmap(_vrp, found[:MAX_NAMED_VRPS]))


EMPTY = VrpSet.of(())
"""No VRPs: every prefix is NotFound."""


@dataclass(frozen=True, slots=True)
class RtrSnapshot:
    """All VRPs of one cache at one End of Data."""

    vrps: VrpSet
    cache: str
    """Address of the cache, as the configuration spells it."""
    session: int
    serial: int
    at: float
    """time.monotonic() of that End of Data."""
    digest: str = ""
    """The same for equal VRPs, of whichever cache; empty if not known."""
