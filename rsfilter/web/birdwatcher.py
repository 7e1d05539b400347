"""Answers of the birdwatcher API, made from values of the filter. Pure: the caller knows the time.

The API is read by Alice-LG and by scripts made for birdwatcher, in its single-table mode. Some of
it is odd because readers depend on it: see `birdwatcher_schema` and docs/looking-glass.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import islice

import msgspec

from rsfilter import __version__
from rsfilter.audit.record import timestamp
from rsfilter.routing.adj_rib_in import AdjRibIn, Entry
from rsfilter.routing.export import Withheld
from rsfilter.routing.labels import LargeCommunity, foreign, labels, withheld_label
from rsfilter.routing.model import IPV4, IPV6, Address, Attributes
from rsfilter.web.birdwatcher_schema import (
    BirdBgp,
    BirdCacheStatus,
    BirdMeta,
    BirdRoute,
    CachedAt,
    Envelope,
)

ROOT = "/birdwatcher"
"""Path of the API; readers are given it as part of their base URL."""

VERSION = f"rsfilter {__version__}"

TTL_S = 30
"""Seconds for which a reader may keep an answer: a page that is half a minute old is right for a
looking glass, and many reloads of it cost one reading of the table."""

TABLES = {
    "master": frozenset({IPV4, IPV6}),
    "master4": frozenset({IPV4}),
    "master6": frozenset({IPV6}),
}
"""Families by name of a table; BIRD 1 and BIRD 2 name them so."""

MAX_SHOWN = 64
"""ASNs of a path, and communities of each kind, that are shown of a route. An UPDATE has room for a
thousand; an honest host sends a handful."""

MAX_PATHS = 16
"""Paths of one prefix that are compared to find another path of the same neighbor. More can only
come from many hosts, and comparing each with each would cost too much."""

_encode = msgspec.json.Encoder().encode


# Names and times ---------------------------------------------------------------------------------


@lru_cache(maxsize=1 << 14)
def neighbor_id(neighbor: Address) -> str:
    """Return the id of a neighbor: letters, digits and underscores only, because readers put it
    into paths as it is. It depends on the address alone, so it outlives a new name of the host."""
    if neighbor.family == IPV4:
        return f"ipv4_{neighbor}".replace(".", "_")
    groups = (f"{neighbor.value >> shift & 0xFFFF:x}" for shift in range(112, -16, -16))
    return f"ipv6_{'_'.join(groups)}"


def neighbor_of(text: str) -> Address | None:
    """Return the neighbor with an id; None if the text is no id."""
    if match := _ID.fullmatch(text):
        separator = "." if match["family"] == "4" else ":"
        try:
            found = Address.parse(match["rest"].replace("_", separator))
        except ValueError:
            return None
        return found if neighbor_id(found) == text else None
    return None


_ID = re.compile(r"ipv(?P<family>[46])_(?P<rest>[0-9a-f_]{1,39})")


@lru_cache(maxsize=1 << 12)
def _bird_second(second: int) -> str:
    return timestamp(float(second))[:19].replace("T", " ")


def bird_time(at: float) -> str:
    """Format seconds since the epoch as BIRD does, in UTC."""
    return _bird_second(int(at))


def instant(at: float) -> str:
    """Format seconds since the epoch as RFC 3339, in whole seconds."""
    return f"{timestamp(at)[:19]}Z"


def envelope(made: float, *, is_cached: bool = False) -> Envelope:
    """Return the members of every answer. `made`: the time of its values, in seconds since the
    epoch."""
    return Envelope(
        api=BirdMeta(
            version=VERSION,
            result_from_cache=is_cached,
            cache_status=BirdCacheStatus(cached_at=CachedAt(date=instant(made))),
        ),
        ttl=instant(made + TTL_S),
        cached_at=instant(made),
    )


def error_body(path: str, error: str, detail: str) -> tuple[bytes, str]:
    """Return the body and content type of a failed request. Readers ignore the HTTP status. They
    show `error` of a JSON object, but take such an object for an empty list where they expect
    routes: there, only a body that is not JSON is an error to them."""
    text = f"{error}: {detail}"
    if path.startswith(f"{ROOT}/routes/"):
        return f"rsfilter: {text}\n".encode(), "text/plain"
    return _encode({"error": text}), "application/json"


# Routes ------------------------------------------------------------------------------------------


class RouteEncoder:
    """Encodes routes as JSON. Consecutive routes of a host share all but their prefix."""

    def __init__(self, own_asn: int, age: Callable[[int], float]) -> None:
        """`age(number)`: when the entry with this number arrived, in seconds since the epoch."""
        self._own_asn = own_asn
        self._age = age
        self._last: object = None
        self._bgp = msgspec.Raw()

    def encode(
        self, entry: Entry, *, is_primary: bool = False, withheld: Withheld | None = None
    ) -> bytes:
        """Encode a route. `is_primary`: routers get it. `withheld`: why one does not."""
        route = entry.route
        shown = labels(self._own_asn, entry.verdict)
        if withheld is not None:
            shown = (*shown, withheld_label(self._own_asn, withheld))
        shared = route.attributes, route.next_hops, shown
        if shared != self._last:
            self._last, self._bgp = shared, msgspec.Raw(_encode(self._attributes(*shared)))
        neighbor = _address_text(route.key.neighbor)
        return _encode(
            BirdRoute(
                network=str(route.key.prefix),
                from_protocol=neighbor_id(route.key.neighbor),
                gateway=neighbor,
                learnt_from=neighbor,
                primary=is_primary,
                age=bird_time(self._age(entry.number)),
                bgp=self._bgp,
            )
        )

    def _attributes(
        self,
        attributes: Attributes,
        next_hops: tuple[Address, ...],
        shown: tuple[LargeCommunity, ...],
    ) -> BirdBgp:
        own = islice(foreign(self._own_asn, attributes.large_communities), MAX_SHOWN)
        return BirdBgp(
            origin=_ORIGINS.get(attributes.origin, "Incomplete"),
            as_path=list(map(str, attributes.as_path.asns[:MAX_SHOWN])),
            next_hop=" ".join(map(str, next_hops)),
            med=msgspec.UNSET if attributes.med is None else str(attributes.med),
            communities=list(attributes.communities[:MAX_SHOWN]),
            large_communities=[*own, *shown],
            ext_communities=_extended(attributes.extended_communities[:MAX_SHOWN]),
        )


_ORIGINS = {"igp": "IGP", "egp": "EGP", "incomplete": "Incomplete"}

_address_text = lru_cache(maxsize=1 << 14)(str)
"""Text of a session's address, which thousands of routes share."""


def _extended(communities: Iterable[int]) -> list[tuple[str, str, str]]:
    """Convert extended communities (RFC 4360) to type and two numbers, which readers parse: route
    target and origin of an ASN (RFC 4360, RFC 5668) by name, all others as two halves."""
    return [_extended_one(community) for community in communities]


def _extended_one(community: int) -> tuple[str, str, str]:
    kind, subtype = community >> 56, community >> 48 & 0xFF
    name = {0x02: "rt", 0x03: "ro"}.get(subtype, "")
    if name and kind == 0x00:
        return name, str(community >> 32 & 0xFFFF), str(community & 0xFFFFFFFF)
    if name and kind == 0x02:
        return name, str(community >> 16 & 0xFFFFFFFF), str(community & 0xFFFF)
    return "generic", str(community >> 32), str(community & 0xFFFFFFFF)


def is_hidden(rib: AdjRibIn, entry: Entry) -> bool:
    """Return whether a rejected path would hide an accepted one of the same prefix and neighbor
    (ADD-PATH): Alice-LG shows a prefix as filtered if any path of it is."""
    key = entry.route.key
    if key.path_id == 0 or rib.count(key.prefix) > MAX_PATHS:
        return False
    others = rib.at(key.prefix)
    return any(e.is_accepted and e.route.key.neighbor == key.neighbor for e in others)
