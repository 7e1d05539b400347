"""Types, limits and spelling of the values in `rsfilter.toml`."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from rsfilter.config.database import DatabaseUrl, parse_url
from rsfilter.config.reader import HintError, MayBeEmpty, Parsed
from rsfilter.routing.groups import CAPABILITIES, MAX_HOPS, Capability
from rsfilter.routing.model import BITS, IPV4, IPV6, Address, Prefix
from rsfilter.routing.policy import BOGON_ASNS, NEVER_NEXT_HOPS
from rsfilter.rpki.document import read_asn
from rsfilter.util.addresses import CacheAddress, is_host_name

MAX_STALE_TIME = 2**24 - 1
"""Seconds. RFC 9494 section 3.1: the Long-Lived Stale Time has 24 bits."""

MAX_COUNT = 1_000_000_000
"""Routes; no table has more."""

MAX_PREPENDS = 254
"""RFC 4271 section 4.3: an AS_PATH segment counts its ASNs in one octet; one is the host's own."""

MAX_REFRESH = 86400
MAX_RETRY = 7200
"""Seconds. RFC 8210 section 6; librtr refuses more."""

MAX_HEARTBEAT = 300
"""Seconds. An instance counts as silent after three missed heartbeats: a quarter of an hour."""

MAX_SECONDS = 172800
"""RFC 8210 section 6: the longest Expire Interval, two days. No other wait here is longer."""

_NOT_FOR_SESSIONS = tuple(
    Prefix.parse(text)
    for text in ("0.0.0.0/8", "224.0.0.0/3", "::/128", "::ffff:0:0/96", "ff00::/8")
)
"""RFC 6890: "this network", multicast and reserved, unspecified, IPv4-mapped."""

IPV4_LINK_LOCAL = Prefix.parse("169.254.0.0/16")
_IPV6_LINK_LOCAL = Prefix.parse("fe80::/10")

_LOOPBACK = frozenset(map(Prefix.parse, ("127.0.0.0/8", "::/127")))
_NO_NEXT_HOPS = tuple(block for block in NEVER_NEXT_HOPS if block not in _LOOPBACK)
"""Loopback is allowed, because sessions in labs use it and list their own address."""

_NO_RANGES = (*_NOT_FOR_SESSIONS, Prefix.parse("::/64"))
"""RFC 4291 section 2.5: only ::1 of ::/64 is used, and that is one address."""


class Listen(NamedTuple):
    """Address and port to listen on."""

    address: Address
    port: int

    def __str__(self) -> str:
        """Return `address:port`, an IPv6 address in brackets."""
        host = f"[{self.address}]" if self.address.family == IPV6 else str(self.address)
        return f"{host}:{self.port}"


DEFAULT_LISTEN = Listen(Address.parse("127.0.0.1"), 8480)


def _asn(value: int | str) -> int:
    if isinstance(value, str) and not value.upper().startswith("AS"):
        raise ValueError  # in a configuration "65001" is no number
    asn = read_asn(value)
    if asn in BOGON_ASNS:
        raise HintError("it is reserved (RFC 7607, 6793, 7300)")
    return asn


def _host_name(text: str) -> str:
    if not is_host_name(text):
        raise ValueError
    return text.lower().removesuffix(".")


def _unicast(text: str) -> Address:
    """Parse an address that can end a BGP session."""
    address = Address.parse(text)
    if fault := session_fault(address):
        raise HintError(fault)
    return address


def session_fault(address: Address) -> str:
    """Return why no BGP session can end at an address; empty if one can."""
    if _IPV6_LINK_LOCAL.holds(address):
        return "link-local addresses are not supported"
    if any(network.holds(address) for network in _NOT_FOR_SESSIONS):
        return "no BGP session can have it"
    return ""


def _router_id(text: str) -> Address:
    if Address.parse(text).family != IPV4:
        raise ValueError
    return _unicast(text)


def _network(text: str) -> Prefix:
    network = Prefix.parse(text)
    if not network.is_well_formed:
        if network.length > BITS[network.family]:
            raise HintError("the length is impossible")
        raise HintError(f"host bits are set; the network is {network.masked(network.length)}")
    if network.length == BITS[network.family]:
        _unicast(str(network.address))
    return network


def _next_hops(text: str) -> Prefix:
    network = _network(text)
    if any(block.covers(network) for block in _NO_NEXT_HOPS):
        raise HintError("no router can reach a next hop of it")
    return network


def _session_network(text: str) -> Prefix:
    network = _network(text)
    if _IPV6_LINK_LOCAL.covers(network):
        raise HintError("link-local addresses are not supported")
    if any(block.covers(network) for block in _NO_RANGES if network.length < BITS[network.family]):
        raise HintError("no BGP session can have an address of it")
    return network


def _cache(text: str) -> CacheAddress:
    cache = CacheAddress.parse(text)
    try:
        address = ip_address(cache.host)
    except ValueError:
        return cache  # a host name
    if address.version == IPV6 and address.is_link_local:
        raise HintError("link-local addresses are not supported")
    if address.is_unspecified or address.is_multicast:
        raise HintError("no cache can be reached there")
    return cache


def _listen(text: str) -> Listen:
    cache = CacheAddress.parse(text)
    return Listen(Address.parse(cache.host), cache.port)


Asn = Annotated[int, Meta(description="an ASN such as 65001 or AS65001"), Parsed((int, str), _asn)]
HostName = Annotated[
    str, Meta(description="a host name such as rs1.example.net"), Parsed(str, _host_name)
]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z",
        description="a name of at most 64 letters, digits, dots, dashes and underscores",
    ),
]
SessionAddress = Annotated[Address, Meta(description="an IP address"), Parsed(str, _unicast)]
RouterId = Annotated[Address, Meta(description="an IPv4 address"), Parsed(str, _router_id)]
NextHops = Annotated[
    Prefix, Meta(description="an address or a range such as 192.0.2.0/24"), Parsed(str, _next_hops)
]
SessionNetwork = Annotated[
    Prefix,
    Meta(description="an address or a range such as 192.0.2.0/24"),
    Parsed(str, _session_network),
]
Port = Annotated[int, Meta(ge=1, le=65535, description="a TCP port, 1 to 65535")]
PortOrZero = Annotated[int, Meta(ge=0, le=65535, description="a TCP port, or 0")]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT, description=f"an integer from 0 to {MAX_COUNT}")]
CountFromOne = Annotated[
    int, Meta(ge=1, le=MAX_COUNT, description=f"an integer from 1 to {MAX_COUNT}")
]
WindowSeconds = Annotated[
    int, Meta(ge=0, le=MAX_SECONDS, description=f"seconds from 0 to {MAX_SECONDS}")
]
Seconds = Annotated[int, Meta(ge=1, le=MAX_SECONDS, description=f"seconds from 1 to {MAX_SECONDS}")]
SecondsOrZero = Annotated[
    int, Meta(ge=0, le=MAX_SECONDS, description=f"seconds from 0 to {MAX_SECONDS}")
]
IPv4Length = Annotated[int, Meta(ge=1, le=32, description="a prefix length, 1 to 32")]
IPv6Length = Annotated[int, Meta(ge=1, le=128, description="a prefix length, 1 to 128")]
IPv4Lengths = Annotated[
    tuple[IPv4Length, ...], Meta(description="a list of prefix lengths, 1 to 32"), MayBeEmpty()
]
IPv6Lengths = Annotated[
    tuple[IPv6Length, ...], Meta(description="a list of prefix lengths, 1 to 128"), MayBeEmpty()
]
Capabilities = Annotated[
    tuple[Capability, ...],
    Meta(description=f"a list of {', '.join(CAPABILITIES)}"),
    MayBeEmpty(),
]
FamilyName = Literal["ipv4", "ipv6"]
Cache = Annotated[
    CacheAddress,
    Meta(description="host:port, an IPv6 address in brackets"),
    Parsed(str, _cache),
]
ListenAddress = Annotated[
    Listen, Meta(description="address:port, an IPv6 address in brackets"), Parsed(str, _listen)
]
Database = Annotated[
    DatabaseUrl,
    Meta(description="a URL such as postgresql://ROLE@HOST/DATABASE?sslmode=verify-full"),
    Parsed(str, parse_url, is_secret=True),
]
Percent = Annotated[int, Meta(ge=1, le=100, description="an integer from 1 to 100")]
Prepends = Annotated[
    int, Meta(ge=0, le=MAX_PREPENDS, description=f"an integer from 0 to {MAX_PREPENDS}")
]
HopsOrZero = Annotated[int, Meta(ge=0, le=MAX_HOPS, description=f"hops from 1 to {MAX_HOPS}, or 0")]
StaleTime = Annotated[
    int, Meta(ge=0, le=MAX_STALE_TIME, description=f"seconds from 0 to {MAX_STALE_TIME}")
]
RefreshInterval = Annotated[
    int, Meta(ge=1, le=MAX_REFRESH, description=f"seconds from 1 to {MAX_REFRESH}")
]
Heartbeat = Annotated[
    int, Meta(ge=1, le=MAX_HEARTBEAT, description=f"seconds from 1 to {MAX_HEARTBEAT}")
]
RetryInterval = Annotated[
    int, Meta(ge=1, le=MAX_RETRY, description=f"seconds from 1 to {MAX_RETRY}")
]
