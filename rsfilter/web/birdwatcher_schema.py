"""The JSON of the birdwatcher API, as its readers take it.

Member names and types are birdwatcher's, not ours: numbers where its readers want numbers, texts
of digits where they want texts. The readers hand whole objects to browsers, so nothing is here that
the public must not see.
"""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct, UnsetType, field


class BirdShape(Struct, gc=False):
    """A part of an answer."""


class CachedAt(BirdShape):
    """Time at which an answer was made."""

    date: str
    timezone_type: str = "UTC"
    timezone: str = "UTC"


class BirdCacheStatus(BirdShape):
    """Age of an answer."""

    cached_at: CachedAt


class BirdMeta(BirdShape):
    """`api` of every answer."""

    version: str = field(name="Version")
    result_from_cache: bool
    cache_status: BirdCacheStatus


class Envelope(BirdShape):
    """Members of every answer."""

    api: BirdMeta
    ttl: str
    """Instant until which a reader may keep the answer (RFC 3339)."""
    cached_at: str


class BirdStatus(BirdShape):
    """`status` of `/status`. Times are UTC, as BIRD writes them."""

    version: str
    router_id: str
    current_server: str
    last_reboot: str
    last_reconfig: str
    message: str


class StatusAnswer(Envelope):
    """`/status`."""

    status: BirdStatus


class BirdCounts(BirdShape):
    """Routes of a neighbor."""

    imported: int = 0
    """Accepted routes."""
    filtered: int = 0
    """Rejected and held routes."""
    exported: int = 0
    """Prefixes announced to a router."""
    preferred: int = 0
    """Accepted routes that routers get."""


class BirdChannel(BirdShape):
    """Routes of one family: birdwatcher writes `routes`, Alice-LG reads `routes_count`."""

    routes_count: BirdCounts
    routes: BirdCounts


class BirdProtocol(BirdShape, kw_only=True):
    """A neighbor in `/protocols/bgp`."""

    protocol: str
    bird_protocol: str = "BGP"
    table: str = "master"
    state: str
    """up or down."""
    state_changed: str
    connection: str
    description: str
    neighbor_address: str
    neighbor_as: int
    last_error: str
    routes: BirdCounts
    channels: dict[str, BirdChannel]


class BirdProtocolShort(BirdShape, kw_only=True):
    """A neighbor in `/protocols/short`."""

    proto: str = "BGP"
    table: str = "master"
    state: str
    since: str
    info: str


class BirdBgp(BirdShape, kw_only=True):
    """Path attributes of a route."""

    origin: str
    as_path: list[str]
    next_hop: str
    local_pref: str = "100"
    med: str | UnsetType = UNSET
    communities: list[tuple[int, int]]
    large_communities: list[tuple[int, int, int]]
    ext_communities: list[tuple[str, str, str]]


class BirdRoute(BirdShape, kw_only=True):
    """A route."""

    network: str
    from_protocol: str
    gateway: str
    """The session's address: a foreign one would hide the route from Alice-LG."""
    learnt_from: str
    interface: str = "rsfilter"
    metric: int = 100
    """BIRD's preference of BGP."""
    primary: bool
    age: str
    type: tuple[str, str] = ("BGP", "univ")
    bgp: Raw
