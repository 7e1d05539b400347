"""SLURM (RFC 8416): local filters and assertions about the RPKI.

Owns the reading of a SLURM object and the meaning of its prefix filters. A member unknown to RFC
8416 is an error, as section 3.2 requires: a misspelt filter would admit data that the operator
excluded. A wrong type is an error too. Members for BGPsec and ASPA are ignored, because rsfilter
validates origins only. A missing list counts as empty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from rsfilter.routing.model import BITS, Prefix, Vrp
from rsfilter.rpki.document import (
    MISSING,
    Json,
    Path,
    Problems,
    member,
    objects,
    read_max_length,
    read_number_asn,
    read_prefix,
    refuse_unknown,
    show,
)
from rsfilter.rpki.vrps import VrpSet

VERSIONS = (1, 2)
"""RFC 8416 is version 1; its draft successor adds only ASPA members, which are ignored."""


class PrefixFilter(NamedTuple):
    """One prefix filter (RFC 8416 section 3.3.1). At least one of the two fields is set."""

    prefix: Prefix | None
    """Removes the VRPs of this prefix and of prefixes inside it. None matches any prefix."""
    asn: int | None
    """Removes the VRPs of this ASN. None matches any ASN."""


class Slurm(NamedTuple):
    """Prefix filters and assertions of a SLURM object."""

    filters: tuple[PrefixFilter, ...]
    assertions: tuple[Vrp, ...]


class Filters:
    """Many prefix filters, indexed: a VRP takes one lookup instead of one test per filter."""

    def __init__(self, filters: Iterable[PrefixFilter]) -> None:
        self._asns: set[int] = set()
        by_prefix: list[Vrp] = []
        self._by_asn: dict[int, set[Prefix]] = defaultdict(set)
        for prefix, asn in filters:
            if prefix is None:
                if asn is not None:
                    self._asns.add(asn)
            elif asn is None:
                by_prefix.append(Vrp(prefix, BITS[prefix.family], 0))
            else:
                self._by_asn[asn].add(prefix)
        self._prefixes = VrpSet.of(by_prefix)
        both = {prefix for prefixes in self._by_asn.values() for prefix in prefixes}
        self._lengths = {(prefix.family, prefix.length) for prefix in both}

    def removes(self, vrp: Vrp) -> bool:
        """Return whether a filter matches the VRP."""
        return vrp.asn in self._asns or self._prefixes.covers(vrp.prefix) or self._removes_pair(vrp)

    def _removes_pair(self, vrp: Vrp) -> bool:
        """Return whether a filter with both prefix and ASN matches. One prefix may have many, so
        each existing length takes one lookup."""
        prefixes = self._by_asn.get(vrp.asn)
        if prefixes is None:
            return False
        return any(
            vrp.prefix.masked(length) in prefixes
            for family, length in self._lengths
            if family == vrp.prefix.family and length <= vrp.prefix.length
        )


def read_slurm(document: dict[str, Json], problems: Problems) -> Slurm:
    """Read the filters and assertions of a SLURM object. Problems go to `problems`."""
    version = document.get("slurmVersion", MISSING)
    if type(version) is not int or version not in VERSIONS:
        shown = "missing" if version is MISSING else show(version)
        problems.add(("slurmVersion",), f"must be 1 (RFC 8416), and is {shown}")
    refuse_unknown(document, (), _DOCUMENT, problems)
    filters = _part(document, "validationOutputFilters", _FILTERS, problems)
    asserted = _part(document, "locallyAddedAssertions", _ASSERTIONS, problems)
    return Slurm(
        tuple(
            found
            for path, entry in filters
            if (found := _filter(entry, path, problems)) is not None
        ),
        tuple(
            vrp
            for path, entry in asserted
            if (vrp := _assertion(entry, path, problems)) is not None
        ),
    )


_DOCUMENT = ("slurmVersion", "validationOutputFilters", "locallyAddedAssertions", "metadata")
_FILTERS = ("prefixFilters", "bgpsecFilters", "aspaFilters")
_ASSERTIONS = ("prefixAssertions", "bgpsecAssertions", "aspaAssertions")

_Entries = list[tuple[Path, dict[str, Json]]]


def _part(
    document: dict[str, Json],
    name: str,
    lists: tuple[str, str, str],
    problems: Problems,
) -> _Entries:
    """Read the prefix entries of one half of the document. A missing list counts as empty."""
    part = document.get(name, {})
    if not isinstance(part, dict):
        problems.add((name,), f"must be an object, not {show(part)}")
        return []
    refuse_unknown(part, (name,), lists, problems)
    prefix_list, *others = lists
    for other in others:
        list(objects(part.get(other, []), (name, other), problems))
    return list(objects(part.get(prefix_list, []), (name, prefix_list), problems))


def _filter(entry: dict[str, Json], path: Path, problems: Problems) -> PrefixFilter | None:
    refuse_unknown(entry, path, ("prefix", "asn", "comment"), problems)
    if "prefix" not in entry and "asn" not in entry:
        problems.add(path, "filters nothing: give prefix, asn or both")
        return None
    prefix = member(entry, "prefix", read_prefix, path, problems) if "prefix" in entry else None
    asn = member(entry, "asn", read_number_asn, path, problems) if "asn" in entry else None
    return PrefixFilter(prefix, asn)


def _assertion(entry: dict[str, Json], path: Path, problems: Problems) -> Vrp | None:
    refuse_unknown(entry, path, ("asn", "prefix", "maxPrefixLength", "comment"), problems)
    prefix = member(entry, "prefix", read_prefix, path, problems)
    asn = member(entry, "asn", read_number_asn, path, problems)
    if prefix is None:
        return None
    read = partial(read_max_length, prefix=prefix, default=prefix.length)
    max_length = member(entry, "maxPrefixLength", read, path, problems)
    return None if asn is None or max_length is None else Vrp(prefix, max_length, asn)
