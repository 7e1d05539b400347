"""Rules by which Alice-LG 6.2 reads a birdwatcher source of type single_table.

Written from a reading of its `pkg/sources/birdwatcher` and `pkg/decoders`, to be an oracle that
shares no code with rsfilter. Where Alice-LG would panic, because it asserts a type, `PanicError` is
raised; where it shows an error, `ShownError`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SERVERTIME = "%Y-%m-%dT%H:%M:%S%z"
SHORT = EXT = "%Y-%m-%d %H:%M:%S"
"""The layouts of the rendered configuration, as Python spells them."""

ZERO = datetime(1, 1, 1, tzinfo=UTC)
"""Go's zero time: what is shown for a time that cannot be parsed."""


class PanicError(Exception):
    """A type assertion fails: the page is an error 500."""


class ShownError(Exception):
    """The page shows this text."""


@dataclass
class Meta:
    """`api` and `ttl`."""

    version: str = ""
    is_cached: bool = False
    ttl: datetime = ZERO


@dataclass
class NeighborSeen:
    """A neighbor, as the list shows it."""

    id: str
    address: str
    asn: int
    state: str
    description: str
    received: int
    accepted: int
    filtered: int
    exported: int
    since: datetime
    last_error: str
    channels: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass
class RouteSeen:
    """A route, as a table shows it."""

    network: str
    neighbor: str
    gateway: str
    learnt_from: str
    primary: bool
    age: datetime
    as_path: list[int]
    next_hop: str
    med: int
    communities: list[list[int]]
    large: list[list[int]]
    extended: list[tuple[str, int, int]]


def status(body: bytes) -> dict[str, Any]:
    """`Status`: the members that the page shows."""
    bird = _object(body)
    _meta(bird)
    found = bird.get("status")
    if not isinstance(found, dict):
        raise PanicError("status")
    return {
        "version": _text(found.get("version"), "unknown"),
        "message": _text(found.get("message"), "unknown"),
        "router_id": _text(found.get("router_id"), "unknown"),
        "server_time": _time(found.get("current_server"), SHORT),
        "last_reboot": _time(found.get("last_reboot"), SHORT),
        "last_reconfig": _time(found.get("last_reconfig"), EXT),
    }


def neighbors(body: bytes) -> list[NeighborSeen]:
    """`Neighbors`, in the order of the page: by ASN."""
    bird = _object(body)
    _meta(bird)
    found = [_neighbor(*item) for item in _protocols(bird).items()]
    return sorted(found, key=lambda neighbor: neighbor.asn)


def neighbor_states(body: bytes) -> dict[str, str]:
    """`NeighborsStatus`: state by id."""
    bird = _object(body)
    _meta(bird)
    return {key: _text(of.get("state"), "unknown") for key, of in _protocols(bird).items()}


def routes(body: bytes) -> tuple[Meta, list[RouteSeen]]:
    """The stream of a list of routes. The HTTP status is ignored; an object without routes is an
    empty list, whatever else it has."""
    pairs = json.loads(body, object_pairs_hook=list) if _is_json(body) else None
    if pairs is None:
        raise ShownError("no JSON, or it ends too early")
    tokens = [token for pair in pairs for token in pair]
    words = [token for token in tokens if token in ("api", "ttl", "routes")]
    if len(words) != len(set(words)):
        raise ShownError("one of the three words is a value")
    whole = json.loads(body)
    meta = Meta()
    if "api" in whole:
        meta.version, meta.is_cached = _api(whole["api"])
    if "ttl" in whole:
        if not isinstance(whole["ttl"], str):
            raise ShownError("ttl is no text")
        meta.ttl = _time(whole["ttl"], SERVERTIME, strict=True)
    found = whole.get("routes", [])
    if not isinstance(found, list):
        raise ShownError("routes is no array")
    return meta, list(map(_route, found))


def page_of_neighbor(received: bytes, filtered: bytes) -> tuple[list[RouteSeen], list[RouteSeen]]:
    """Return the accepted and the filtered routes of a page. (Without accepted routes all
    filtered ones are shown.)"""
    _, accepted = routes(received)
    _, rejected = routes(filtered)
    if not accepted:
        return [], rejected
    gateway, learnt_from = accepted[0].gateway, accepted[0].learnt_from
    rejected = [
        route
        for route in rejected
        if route.gateway in (gateway, learnt_from) or route.learnt_from == gateway
    ]
    by_network = {route.network: route for route in accepted}
    for route in rejected:
        by_network.pop(route.network, None)
    return list(by_network.values()), rejected


def labels(route: RouteSeen, texts: dict[str, str]) -> list[str]:
    """Texts of `[rejection_reasons]` or `[noexport_reasons]` that the page shows beside a route."""
    names = (":".join(map(str, community)) for community in route.large)
    return [texts[name] for name in names if name in texts]


# Parts -------------------------------------------------------------------------------------------


def _is_json(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False


def _object(body: bytes) -> dict[str, Any]:
    if not _is_json(body):
        raise ShownError("no JSON object")
    found: dict[str, Any] = json.loads(body)
    return found


def _meta(bird: dict[str, Any]) -> Meta:
    if not isinstance(bird.get("api"), dict):
        error = bird.get("error")
        raise ShownError(
            f"bird error: {error}" if isinstance(error, str) else "invalid API response"
        )
    version, is_cached = _api(bird["api"])
    return Meta(version, is_cached, _time(bird.get("ttl"), SERVERTIME, strict=True))


def _api(api: Any) -> tuple[str, bool]:
    version, is_cached = api.get("Version"), api.get("result_from_cache")
    if not isinstance(version, str) or not isinstance(is_cached, bool):
        raise PanicError("api")
    return version, is_cached


def _protocols(bird: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = bird.get("protocols")
    if not isinstance(found, dict) or not all(isinstance(of, dict) for of in found.values()):
        raise PanicError("protocols")
    return found


def _neighbor(key: str, of: dict[str, Any]) -> NeighborSeen:
    counts = of.get("routes")
    if not isinstance(counts, dict):
        raise PanicError("routes of a protocol")
    for name in ("imported", "filtered"):
        if name in counts and not _is_number(counts[name]):
            raise PanicError(name)
    channels = of.get("channels")
    return NeighborSeen(
        id=key,
        address=_text(of.get("neighbor_address"), "error"),
        asn=_int(of.get("neighbor_as"), 0),
        state=_text(of.get("state"), "unknown").lower(),
        description=_text(of.get("description"), "no description"),
        received=_int(counts.get("imported"), 0) + _int(counts.get("filtered"), 0),
        accepted=_int(counts.get("imported"), 0),
        filtered=_int(counts.get("filtered"), 0),
        exported=_int(counts.get("exported"), 0),
        since=_time(of.get("state_changed"), SHORT),
        last_error=_text(of.get("last_error"), ""),
        channels={
            name: channel["routes_count"]
            for name, channel in (channels if isinstance(channels, dict) else {}).items()
            if isinstance(channel, dict) and isinstance(channel.get("routes_count"), dict)
        },
    )


def _route(of: Any) -> RouteSeen:
    if not isinstance(of, dict):
        raise ShownError("a route is no object")
    bgp = of.get("bgp") if isinstance(of.get("bgp"), dict) else {}
    gateway = _text(of.get("gateway"), "unknown gateway")
    return RouteSeen(
        network=_text(of.get("network"), "unknown net"),
        neighbor=_text(of.get("from_protocol"), "unknown neighbor"),
        gateway=gateway,
        learnt_from=_text(of.get("learnt_from"), "") or gateway,
        primary=of.get("primary") is True,
        age=_time(of.get("age"), SHORT),
        as_path=[int(asn) for asn in bgp.get("as_path", []) if _is_digits(asn)],
        next_hop=_text(bgp.get("next_hop"), "unknown"),
        med=int(bgp["med"]) if _is_digits(bgp.get("med")) else 0,
        communities=_communities(bgp.get("communities")),
        large=_communities(bgp.get("large_communities")),
        extended=_extended(bgp.get("ext_communities")),
    )


def _communities(data: Any) -> list[list[int]]:
    if not isinstance(data, list):
        return []
    if not all(isinstance(c, list) and all(map(_is_number, c)) for c in data):
        raise PanicError("communities")
    return [list(map(int, community)) for community in data]


def _extended(data: Any) -> list[tuple[str, int, int]]:
    found = []
    for community in data if isinstance(data, list) else []:
        if len(community) != 3:
            continue
        kind, *numbers = community
        if not all(isinstance(number, str) for number in numbers):
            raise PanicError("ext_communities")
        first, second = (int(n) if _is_digits(n) else 0 for n in numbers)
        found.append((kind, first, second))
    return found


def _time(value: Any, layout: str, *, strict: bool = False) -> datetime:
    if not isinstance(value, str):
        return ZERO
    try:
        return datetime.strptime(value, layout).replace(tzinfo=UTC)
    except ValueError:
        if strict:
            raise ShownError(f"time {value!r}") from None
        return ZERO


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_digits(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit()


def _int(value: Any, fallback: int) -> int:
    return int(value) if _is_number(value) else fallback


def _text(value: Any, fallback: str) -> str:
    return value if isinstance(value, str) else fallback
