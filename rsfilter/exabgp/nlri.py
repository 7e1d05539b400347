"""The "announce" and "withdraw" objects of an ExaBGP update line -> prefixes of the core.

"announce" is {family: {next hop: [NLRI, …]}}, "withdraw" is {family: [NLRI, …]}. An NLRI is
{"nlri": "192.0.2.1/32", "path-information": "0.0.0.7"} (RFC 7911; often absent), or with
`exabgp.api.compact` the bare text. A next hop that is a global and a link-local IPv6 address
(RFC 2545 section 3) comes as two keys, with the NLRI under both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import starmap
from socket import AF_INET, inet_pton
from struct import iter_unpack
from typing import Any, NamedTuple

import msgspec

from rsfilter.routing.model import BITS, IPV4, UNICAST, Address, Prefix, RouteKey

NextHops = tuple[Address, ...]
"""Next hops, as in `Route.next_hops`."""

MAX_TEXT = 200
"""Characters of a foreign NLRI that are kept, for the audit (`Update.other_families`)."""

_FAMILIES = {name: family for family, name in UNICAST.items()}


class Announced(NamedTuple):
    """Content of an "announce" object."""

    next_hops: dict[RouteKey, NextHops]
    """Next hops of each route."""
    others: tuple[tuple[str, str], ...]
    """(family, text) of what is no IPv4 or IPv6 unicast prefix: `Update.other_families`."""
    lacks_next_hop: bool
    """A unicast NLRI stands under something that is no address, ExaBGP's `no-nexthop`."""


def announced(neighbor: Address, section: dict[str, Any]) -> Announced:
    """Every NLRI that a neighbor announced, with all its next hops, a link-local one last.

    What cannot be read as a prefix of its family is listed in `others` and takes nothing with it:
    it is rejected for what it is, the rest of the UPDATE for what that is.
    """
    next_hops: dict[RouteKey, NextHops] = {}
    others: list[tuple[str, str]] = []
    lacks_next_hop = False
    for name, by_next_hop in section.items():
        family = _FAMILIES.get(name)
        if family is None or not isinstance(by_next_hop, dict):
            others.extend((name[:MAX_TEXT], text) for text in _foreign(by_next_hop))
            continue
        for text, items in by_next_hop.items():
            hop = _next_hop(text)
            lacks_next_hop |= not hop
            keys, strange = route_keys(neighbor, family, items)
            others.extend((name, _text(item)) for item in strange)
            found = dict.fromkeys(keys, hop)
            if len(by_next_hop) > 1:
                _merge(next_hops, found)
            next_hops.update(found)
    return Announced(next_hops, tuple(others), lacks_next_hop)


def withdrawn(neighbor: Address, section: dict[str, Any]) -> tuple[RouteKey, ...]:
    """Every IPv4 and IPv6 unicast prefix that a neighbor withdrew; what is no such prefix was
    never kept."""
    keys: list[RouteKey] = []
    for name, items in section.items():
        family = _FAMILIES.get(name)
        if family is not None:
            keys.extend(route_keys(neighbor, family, items)[0])
    return tuple(keys)


def with_meant(keys: tuple[RouteKey, ...]) -> tuple[RouteKey, ...]:
    """Return these keys, and for each with bits set past its length the one without: the bits have
    no meaning (RFC 4271 section 4.3), but ExaBGP prints them."""
    meant = [
        RouteKey(key.neighbor, key.prefix.masked(key.prefix.length), key.path_id)
        for key in keys
        if key.prefix.length < BITS[key.prefix.family] and not key.prefix.is_well_formed
    ]
    return (*keys, *meant) if meant else keys


def route_keys(neighbor: Address, family: int, items: Any) -> tuple[list[RouteKey], list[Any]]:
    """Return the keys in a list of NLRI, in its order, and the items that are not prefixes of
    `family`."""
    if not isinstance(items, list):
        return [], [items]
    try:
        return [RouteKey(neighbor, prefix, 0) for prefix in _plain(family, items)], []
    except (ValueError, KeyError, TypeError):
        return _keys_of_each(neighbor, family, items)


_PLAIN = re.compile(r"(?:[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}/[0-9]{1,2},)*")
_PREFIX_OCTETS = 5
"""An address and a length."""

_TO_LIST = str.maketrans("./", ",,")
_decode_octets = msgspec.json.Decoder(list[int]).decode


def _plain(family: int, items: list[Any]) -> Iterator[Prefix]:
    """Read a list of IPv4 NLRI without path identifiers, all at once: a third of the cost. Raises
    ValueError, KeyError or TypeError if it holds anything else.

    A number of JSON has no leading zeros, and an octet is 255 at most: all of it is read as
    `Prefix.parse` reads each.
    """
    if family != IPV4 or max(map(len, items), default=1) > 1:
        raise ValueError("read each of them")
    texts = ",".join([item["nlri"] for item in items])
    if not _PLAIN.fullmatch(texts + ","):
        raise ValueError("something else than IPv4 prefixes")
    octets = bytes(_decode_octets(f"[{texts.translate(_TO_LIST)}]"))
    if len(octets) != _PREFIX_OCTETS * len(items):
        raise ValueError("an NLRI with a comma in it")
    return starmap(partial(Prefix, IPV4), iter_unpack(">IB", octets))


def _keys_of_each(
    neighbor: Address, family: int, items: list[Any]
) -> tuple[list[RouteKey], list[Any]]:
    keys: list[RouteKey] = []
    strange: list[Any] = []
    parse = Prefix.parse
    for item in items:
        try:
            if type(item) is dict:
                text = item["nlri"]
                path_id = _path_id(item.get("path-information")) if len(item) > 1 else 0
            else:
                text, path_id = item, 0
            prefix = parse(text)
            if prefix.family != family:
                raise ValueError("a prefix of the other family")
        except (ValueError, KeyError, TypeError, AttributeError):
            strange.append(item)
        else:
            keys.append(RouteKey(neighbor, prefix, path_id))
    return keys, strange


def _path_id(text: Any) -> int:
    """ADD-PATH identifiers are printed like IPv4 addresses."""
    if text is None:
        return 0
    try:
        return int.from_bytes(inet_pton(AF_INET, text))
    except OSError as error:
        raise ValueError(f"{text[:MAX_TEXT]!r} is no path identifier") from error


def _next_hop(text: str) -> NextHops:
    try:
        return (Address.parse(text),)
    except ValueError:
        return ()


def _merge(known: dict[RouteKey, NextHops], found: dict[RouteKey, NextHops]) -> None:
    """Add the known next hops to each route found."""
    merged: dict[NextHops, NextHops] = {}  # routes with equal next hops share them
    for key, hops in found.items():
        before = known.get(key, ())
        both = before + tuple(hop for hop in hops if hop not in before)
        hops = tuple(sorted(both, key=lambda address: address.is_link_local))
        found[key] = merged.setdefault(hops, hops)


def _foreign(by_next_hop: Any) -> Iterable[str]:
    """The text of every NLRI of a family that is not routed here."""
    if not isinstance(by_next_hop, dict):
        yield _text(by_next_hop)
        return
    for items in by_next_hop.values():
        yield from map(_text, items if isinstance(items, list) else [items])


def _text(item: Any) -> str:
    return (item if isinstance(item, str) else msgspec.json.encode(item).decode())[:MAX_TEXT]
