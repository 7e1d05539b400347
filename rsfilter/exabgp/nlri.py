"""The "announce" and "withdraw" objects of an ExaBGP update line -> prefixes of the core.

"announce" is {family: {next hop: [NLRI, …]}}, "withdraw" is {family: [NLRI, …]}. An NLRI is
{"nlri": "192.0.2.1/32", "path-information": "0.0.0.7"} (RFC 7911; often absent), or with
`exabgp.api.compact` the bare text. A next hop that is a global and a link-local IPv6 address
(RFC 2545 section 3) comes as two keys, with the NLRI under both.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from rsfilter.routing.events import Nlri
from rsfilter.routing.model import BITS, IPV4, IPV6, UNICAST, Address, Prefix

PathKey = tuple[Prefix, int]
"""Prefix and ADD-PATH identifier; 0 when there is none."""

MAX_TEXT = 200
"""Characters of a foreign NLRI that are kept, for the audit (`Update.other_families`)."""

_FAMILIES = {name: family for family, name in UNICAST.items()}

_CACHED_PREFIXES = 1 << 16
"""Prefixes whose text is remembered, as `model` does for addresses: a host that repeats or
withdraws its table is not parsed again, and its routes share their prefixes."""


class Announced(NamedTuple):
    """What an "announce" object holds."""

    nlri: tuple[Nlri, ...]
    others: tuple[tuple[str, str], ...]
    """(family, text) of what is no IPv4 or IPv6 unicast prefix: `Update.other_families`."""
    lacks_next_hop: bool
    """A unicast NLRI stands under something that is no address, ExaBGP's `no-nexthop`."""


def announced(section: dict[str, Any]) -> Announced:
    """Every announced NLRI once, with all its next hops, a link-local one last.

    What cannot be read as a prefix of its family is listed in `others` and takes nothing with it:
    it is rejected for what it is, the rest of the UPDATE for what that is.
    """
    nlri: list[Nlri] = []
    others: list[tuple[str, str]] = []
    lacks_next_hop = False
    for name, by_next_hop in section.items():
        family = _FAMILIES.get(name)
        if family is None or not isinstance(by_next_hop, dict):
            others.extend((name[:MAX_TEXT], text) for text in _foreign(by_next_hop))
            continue
        hops: dict[PathKey, tuple[Address, ...]] = {}
        for next_hop, items in by_next_hop.items():
            hop = _next_hop(next_hop)
            lacks_next_hop |= not hop
            keys, strange = path_keys(family, items)
            others.extend((name, _text(item)) for item in strange)
            if not hops:
                hops = dict.fromkeys(keys, hop)
            else:
                _merge(hops, keys, hop)
        nlri.extend(Nlri(prefix, path_id, hop) for (prefix, path_id), hop in hops.items())
    return Announced(tuple(nlri), tuple(others), lacks_next_hop)


def withdrawn(section: dict[str, Any]) -> tuple[PathKey, ...]:
    """Every withdrawn prefix of IPv4 and IPv6 unicast; what is no such prefix was never kept."""
    keys: list[PathKey] = []
    for name, items in section.items():
        family = _FAMILIES.get(name)
        if family is not None:
            keys.extend(path_keys(family, items)[0])
    return tuple(keys)


def path_keys(family: int, items: Any) -> tuple[list[PathKey], list[Any]]:
    """What a list of NLRI names, in its order, and the items that are no prefix of `family`."""
    if not isinstance(items, list):
        return [], [items]
    keys: list[PathKey] = []
    strange: list[Any] = []
    for item in items:
        try:
            if type(item) is dict:
                text = item["nlri"]
                path_id = _path_id(item.get("path-information")) if len(item) > 1 else 0
            else:
                text, path_id = item, 0
            prefix = parse_prefix(text)
            if prefix.family != family:
                raise ValueError("a prefix of the other family")
        except (ValueError, KeyError, TypeError, AttributeError):
            strange.append(item)
        else:
            keys.append((prefix, path_id))
    return keys, strange


@lru_cache(maxsize=_CACHED_PREFIXES)
def parse_prefix(text: str) -> Prefix:
    """The same as `Prefix.parse`, several times faster."""
    address, slash, length = text.partition("/")
    family = IPV6 if ":" in address else IPV4
    try:
        octets = socket.inet_pton(socket.AF_INET6 if family == IPV6 else socket.AF_INET, address)
    except OSError as error:
        raise ValueError(f"{address[:MAX_TEXT]!r} is no address") from error
    if not slash:
        return Prefix(family, int.from_bytes(octets), BITS[family])
    if not (length.isascii() and length.isdigit() and len(length) <= 3):
        raise ValueError(f"{text[:MAX_TEXT]!r} has no usable prefix length")
    return Prefix(family, int.from_bytes(octets), int(length))


def _path_id(text: Any) -> int:
    """ADD-PATH identifiers are printed like IPv4 addresses."""
    if text is None:
        return 0
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text))
    except OSError as error:
        raise ValueError(f"{text[:MAX_TEXT]!r} is no path identifier") from error


def _next_hop(text: str) -> tuple[Address, ...]:
    try:
        return (Address.parse(text),)
    except ValueError:
        return ()


def _merge(
    hops: dict[PathKey, tuple[Address, ...]], keys: list[PathKey], hop: tuple[Address, ...]
) -> None:
    """Adds the next hop (or none) to each of `keys` that does not have it yet."""
    for key in keys:
        known = hops.get(key, ())
        added = tuple(address for address in hop if address not in known)
        hops[key] = tuple(sorted(known + added, key=lambda address: address.is_link_local))


def _foreign(by_next_hop: Any) -> Iterable[str]:
    """The text of every NLRI of a family that is not routed here."""
    if not isinstance(by_next_hop, dict):
        yield _text(by_next_hop)
        return
    for items in by_next_hop.values():
        yield from map(_text, items if isinstance(items, list) else [items])


def _text(item: Any) -> str:
    return (item if isinstance(item, str) else msgspec.json.encode(item).decode())[:MAX_TEXT]
