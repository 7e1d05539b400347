"""The native form of the truth: hosts with their ASN, addresses and prefixes.

Owns the reading of `hosts` and the rules between hosts. A name, and a neighbor address, belongs to
one host. A prefix may belong to several hosts (anycast, migration), but may not lie inside a prefix
of another ASN. This form is rsfilter's own, so an unknown member is an error: a misspelt
`neighbors` would allow the host's ASN from every address.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from rsfilter.routing.groups import MAX_HOPS, TruthHost
from rsfilter.routing.model import BITS, Address, Prefix, Vrp
from rsfilter.routing.policy import BOGON_ASNS
from rsfilter.rpki.document import (
    MISSING,
    Json,
    Path,
    Problems,
    free,
    member,
    objects,
    pointer,
    printable,
    read_asn,
    read_max_length,
    read_prefix,
    refuse_unknown,
    show,
)

_MEMBERS = ("name", "asn", "neighbors", "prefixes", "password", "ttl_security")

_PASSWORD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)

MAX_NAME = 253
"""Characters of a host's name: as many as a domain name has (RFC 1035 section 2.3.4)."""


class _Owner(NamedTuple):
    """A host that owns a prefix, and its entry."""

    asn: int
    name: str
    path: Path


_Owners = dict[Prefix, list[_Owner]]


class _Read(NamedTuple):
    """A host as read, with the indexes of its VRPs."""

    name: str
    asn: int
    neighbors: frozenset[Address]
    password: str
    hops: int | None
    own: slice


def read_hosts(
    document: dict[str, Json], problems: Problems, warnings: Problems
) -> tuple[list[Vrp], tuple[TruthHost, ...]]:
    """Read the VRPs and the hosts of a native document. Problems go to `problems`."""
    refuse_unknown(document, (), ("hosts", "metadata"), problems)
    vrps: list[Vrp] = []
    read: list[_Read] = []
    owners: _Owners = defaultdict(list)
    seen = _Seen(problems)
    for path, entry in objects(document["hosts"], ("hosts",), problems):
        refuse_unknown(entry, path, _MEMBERS, problems)
        name = member(entry, "name", _read_name, path, problems) or ""
        asn = member(entry, "asn", _read_host_asn, path, problems) or 0
        seen.name(name, path)
        neighbors = _neighbors(entry, path, seen, problems)
        password = member(entry, "password", _read_password, path, problems) or ""
        hops = member(entry, "ttl_security", _read_hops, path, problems)
        first = len(vrps)
        for where, prefix, max_length in _prefixes(entry, path, problems):
            vrps.append(Vrp(prefix, max_length, asn))
            owners[prefix].append(_Owner(asn, name, where))
        read.append(_Read(name, asn, neighbors, password, hops, slice(first, len(vrps))))
    hosts = _hosts(read, vrps)
    if not problems:
        _refuse_overlaps(owners, problems)
        _warn_mute(hosts, warnings)
        _warn_alike(hosts, owners, warnings)
    free(owners)
    return vrps, hosts


def _hosts(read: list[_Read], vrps: list[Vrp]) -> tuple[TruthHost, ...]:
    """Make the hosts. Only hosts that share an ASN keep all their own VRPs."""
    sharing = Counter(host.asn for host in read)
    return tuple(
        TruthHost(
            host.name,
            host.asn,
            host.neighbors,
            tuple(vrps[host.own]) if sharing[host.asn] > 1 else (),
            _host_routes(vrps[host.own]) if host.neighbors else (),
            host.password,
            host.hops,
        )
        for host in read
    )


def _host_routes(vrps: Iterable[Vrp]) -> tuple[Prefix, ...]:
    routes = (vrp.prefix for vrp in vrps if vrp.prefix.length == BITS[vrp.prefix.family])
    return tuple(dict.fromkeys(routes))


# One host ----------------------------------------------------------------------------------------


def _read_name(value: Json) -> str:
    if value is MISSING:
        raise ValueError("is missing: give every host a name of its own")
    if type(value) is not str or not value.strip() or not value.isprintable():
        raise ValueError(f"must be a name that can be printed, not {show(value)}")
    if len(value) > MAX_NAME:
        raise ValueError(f"is longer than {MAX_NAME} characters: {show(value)}")
    return value


def _read_host_asn(value: Json) -> int:
    asn = read_asn(value)
    if asn in BOGON_ASNS:
        raise ValueError(f"must not be {asn}: no host may use it (RFC 7607, 6793, 7300)")
    return asn


def _read_password(value: Json) -> str:
    """Read the name of a password. The value is not repeated: it may be a password by mistake."""
    if value is MISSING:
        return ""
    if type(value) is not str or not _PASSWORD_NAME.fullmatch(value):
        raise ValueError(
            "must be the name of a password in password_file, never the password: at most 64 "
            "letters, digits, dots, dashes and underscores"
        )
    return value


def _read_hops(value: Json) -> int | None:
    if value is MISSING:
        return None
    if type(value) is not int or not 0 <= value <= MAX_HOPS:
        raise ValueError(f"must be hops from 1 to {MAX_HOPS}, or 0, not {show(value)}")
    return value


def _read_neighbor(value: Json) -> Address:
    if type(value) is str:
        try:
            return Address.parse(value)
        except ValueError:
            pass
    raise ValueError(f'must be one address such as "198.51.100.101", not {show(value)}')


class _Seen:
    """Names and addresses read so far, each with its host."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._names: dict[str, Path] = {}
        self._addresses: dict[Address, Path] = {}

    def name(self, name: str, host: Path) -> None:
        first = self._names.setdefault(name, host)
        if name and first != host:
            self._problems.add(
                (*host, "name"), f"{show(name)} is also the name of {pointer(first)}; rename one"
            )

    def address(self, address: Address, path: Path) -> None:
        first = self._addresses.setdefault(address, path)
        if first != path:
            self._problems.add(
                path, f"neighbor {address} is listed at {pointer(first)} too; keep one of the two"
            )


def _neighbors(
    entry: dict[str, Json], path: Path, seen: _Seen, problems: Problems
) -> frozenset[Address]:
    listed = entry.get("neighbors", MISSING)
    if listed is MISSING:
        return frozenset()
    path = (*path, "neighbors")
    if not isinstance(listed, list) or not listed:
        problems.add(
            path,
            f"must be a list of addresses, not {'an empty one' if listed == [] else show(listed)};"
            " leave it out to accept the ASN from any neighbor",
        )
        return frozenset()
    addresses: set[Address] = set()
    for index, value in enumerate(listed):
        try:
            address = _read_neighbor(value)
        except ValueError as error:
            problems.add((*path, index), str(error))
        else:
            seen.address(address, (*path, index))
            addresses.add(address)
    return frozenset(addresses)


def _prefixes(
    entry: dict[str, Json], path: Path, problems: Problems
) -> list[tuple[Path, Prefix, int]]:
    """Yield (path, prefix, maxLength) of a host's prefixes. A host may have none."""
    listed = entry.get("prefixes", MISSING)
    path = (*path, "prefixes")
    if not isinstance(listed, list):
        shown = "missing" if listed is MISSING else show(listed)
        problems.add(path, f"must be a list of prefixes, [] for none, and is {shown}")
        return []
    found = []
    for index, value in enumerate(listed):
        where = (*path, index)
        if isinstance(value, dict):
            refuse_unknown(value, where, ("prefix", "max_length"), problems)
            prefix = member(value, "prefix", read_prefix, where, problems)
        else:
            try:
                prefix, value = read_prefix(value), {}
            except ValueError as error:
                problems.add(where, str(error))
                continue
        if prefix is None:
            continue
        read = partial(read_max_length, prefix=prefix, default=BITS[prefix.family])
        max_length = member(value, "max_length", read, where, problems)
        if max_length is not None:
            found.append((where, prefix, max_length))
    return found


# Between hosts -----------------------------------------------------------------------------------


class _Pair(NamedTuple):
    """Two owners of a prefix with different ASNs. For any ASN, at least one of them differs."""

    first: _Owner
    other: _Owner | None
    """Owner with another ASN than the first; None if all share one."""

    @classmethod
    def of(cls, owners: list[_Owner]) -> _Pair:
        first = owners[0]
        return cls(first, next((owner for owner in owners if owner.asn != first.asn), None))

    def stranger(self, asn: int) -> _Owner | None:
        """Return the first owner whose ASN differs from `asn`, if any."""
        return self.first if self.first.asn != asn else self.other


def _refuse_overlaps(owners: _Owners, problems: Problems) -> None:
    """Refuse a prefix strictly inside another ASN's prefix: one of the two is wrong, and the file
    does not show which."""
    enclosing: list[tuple[Prefix, _Pair]] = []  # each covers the next; at most one of each length
    for prefix in sorted(owners):
        while enclosing and not enclosing[-1][0].covers(prefix):
            enclosing.pop()
        for wider, pair in enclosing:
            for owner in owners[prefix]:
                if other := pair.stranger(owner.asn):
                    problems.add(owner.path, partial(_lies_inside, prefix, owner, wider, other))
        enclosing.append((prefix, _Pair.of(owners[prefix])))


def _lies_inside(prefix: Prefix, owner: _Owner, wider: Prefix, other: _Owner) -> str:
    return (
        f"{prefix} of {_named(owner)} lies inside {wider} of {_named(other)} at "
        f"{pointer(other.path)}; remove one, or give both the same prefix"
    )


def _named(owner: _Owner) -> str:
    return f"{printable(owner.name, 60)} (AS{owner.asn})"


def _warn_mute(hosts: Iterable[TruthHost], warnings: Problems) -> None:
    """Warn of a host without addresses beside a host of the same ASN that lists some: its routes
    are never accepted."""
    listing = {host.asn: host.name for host in hosts if host.neighbors}
    for index, host in enumerate(hosts):
        if not host.neighbors and host.asn in listing:
            warnings.add(
                ("hosts", index),
                f"no session of {show(host.name)} is accepted: {show(listing[host.asn])} lists "
                f"the addresses of AS{host.asn}, and this host none; add its neighbors",
            )


def _warn_alike(hosts: Iterable[TruthHost], owners: _Owners, warnings: Problems) -> None:
    """Warn of hosts that nothing distinguishes: same ASN, same prefixes, and no addresses
    listed."""
    names: dict[int, list[str]] = defaultdict(list)
    for host in hosts:
        names[host.asn].append(host.name)
    bound = {host.asn for host in hosts if host.neighbors}
    shared = {asn for asn, same in names.items() if len(same) > 1 and asn not in bound}
    for prefix, listed in owners.items():
        owning: dict[int, set[str]] = defaultdict(set)
        for owner in listed:
            if owner.asn in shared:
                owning[owner.asn].add(owner.name)
        for asn, found in owning.items():
            if len(found) < len(names[asn]):
                shared.remove(asn)
                other = next(name for name in names[asn] if name not in found)
                warnings.add(
                    ("hosts",),
                    f"{show(other)} may announce {prefix} too: it has the ASN of "
                    f"{show(min(found))}, AS{asn}, and nothing distinguishes their sessions; list "
                    "the addresses of each as neighbors, or give each an ASN",
                )
