"""Values of the core: addresses, prefixes, AS paths, routes and verdicts.

Every type here is an immutable value. Text becomes a value at the edges (`Address.parse`,
`Prefix.parse`); the core computes with integers only. A `Prefix` may be malformed on purpose (host
bits set, length 33): it is kept as the host sent it, and judged in `policy`.

Per-route values are msgspec Structs, which are created six times faster than NamedTuples and take
two thirds of their memory. None of these values can be part of a reference cycle, so the collector
skips them (`gc=False`). Addresses keep their hash, which is an integer object of 48 octets. Keys of
routes do not: it would be a fifth of their memory.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton
from typing import Literal, NamedTuple

from msgspec import Struct

IPV4 = 4
IPV6 = 6
_OCTET_TEXT = tuple(map(str, range(256)))

BITS = {IPV4: 32, IPV6: 128}
"""Address length in bits for each family."""

_LENGTHS = {str(length): length for length in range(BITS[IPV6] + 1)}
"""Prefix lengths as nearly everybody spells them."""

_MOST_DIGITS = len(str(BITS[IPV6]))
"""Digits of the longest prefix length."""

UNICAST = {IPV4: "ipv4 unicast", IPV6: "ipv6 unicast"}
"""The families that are routed here, under the names that ExaBGP and operators use."""

BOTH_FAMILIES = frozenset(UNICAST)


class Address(Struct, frozen=True, order=True, gc=False, cache_hash=True):
    """An IP address. Orders by family, then numerically: the tie-break of best-path selection."""

    family: int
    """4 or 6."""
    value: int
    """The address as an unsigned integer, network byte order."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address that `text` spells; ValueError when it spells none (zone ids included)."""
        return _parse_address(text)

    def __str__(self) -> str:
        return _address_text(self.family, self.value)

    @property
    def is_link_local(self) -> bool:
        """169.254.0.0/16 (RFC 3927) or fe80::/10 (RFC 4291 section 2.5.6)."""
        if self.family == IPV4:
            return self.value >> 16 == 0xA9FE
        return self.value >> 118 == 0x3FA


class Prefix(Struct, frozen=True, order=True, gc=False):
    """An IP prefix as it was sent. `is_well_formed` is true if it is a valid prefix."""

    family: int
    """4 or 6."""
    network: int
    """The address part as an unsigned integer, host bits included when they were sent."""
    length: int
    """Prefix length in bits."""

    @classmethod
    def parse(cls, text: str) -> Prefix:
        """Read `address/length`, or an address alone as its host route. ValueError otherwise.

        Host bits and a length past the family's are kept: see `is_well_formed`.
        """
        address, slash, length = text.partition("/")
        try:  # every NLRI and every VRP of a file comes through here: no call that can be spared
            if ":" in address:
                return cls(IPV6, int.from_bytes(inet_pton(AF_INET6, address)), _LENGTHS[length])
            return cls(IPV4, int.from_bytes(inet_pton(AF_INET, address)), _LENGTHS[length])
        except (OSError, KeyError):
            host = _parse_address(address)
        if not slash:
            return cls(host.family, host.value, BITS[host.family])
        if not (length.isascii() and length.isdigit() and len(length) <= _MOST_DIGITS):
            raise ValueError(f"{text!r} has no usable prefix length")
        return cls(host.family, host.value, int(length))

    def __str__(self) -> str:
        bits = self.network
        if self.family == IPV4:  # every command and every record has one
            return f"{_three_octets_text(bits >> 8)}{_OCTET_TEXT[bits & 255]}/{self.length}"
        return f"{_ipv6_text(bits)}/{self.length}"

    @property
    def is_well_formed(self) -> bool:
        """The length fits the family and no host bit is set."""
        spare = BITS[self.family] - self.length
        return spare >= 0 and self.network & ((1 << spare) - 1) == 0

    @property
    def address(self) -> Address:
        """The address part: the first address, when no host bit is set."""
        return Address(self.family, self.network)

    def masked(self, length: int) -> Prefix:
        """The prefix of this length, at most the family's, that the address part lies in."""
        spare = BITS[self.family] - length
        return Prefix(self.family, self.network >> spare << spare, length)

    def covers(self, other: Prefix) -> bool:
        """`other` is this prefix or more specific. Both must be well formed."""
        return (
            self.family == other.family
            and self.length <= other.length
            and (self.network ^ other.network) >> (BITS[self.family] - self.length) == 0
        )

    def overlaps(self, other: Prefix) -> bool:
        """One of the two covers the other. Both must be well formed."""
        if self.family != other.family:
            return False
        shared = min(self.length, other.length)
        return (self.network ^ other.network) >> (BITS[self.family] - shared) == 0

    def holds(self, address: Address) -> bool:
        """The address lies inside this prefix."""
        return (
            self.family == address.family
            and (self.network ^ address.value) >> (BITS[self.family] - self.length) == 0
        )


class SegmentType(Enum):
    """AS_PATH segment types (RFC 4271 section 4.3, RFC 5065 section 3)."""

    SEQUENCE = "sequence"
    SET = "set"
    CONFED_SEQUENCE = "confed_sequence"
    CONFED_SET = "confed_set"
    UNKNOWN = "unknown"


class Segment(NamedTuple):
    """One AS_PATH segment, in wire order."""

    type: SegmentType
    asns: tuple[int, ...]


class AsPath(NamedTuple):
    """An AS_PATH. It has no segments if it is empty or absent, which cannot be distinguished."""

    segments: tuple[Segment, ...]
    omitted: int = 0
    """ASNs that followed and are not kept: a path can be as long as its sender likes."""

    @classmethod
    def sequence(cls, *asns: int) -> AsPath:
        """A path of one AS_SEQUENCE."""
        return cls((Segment(SegmentType.SEQUENCE, asns),) if asns else ())

    @property
    def asns(self) -> tuple[int, ...]:
        """Every ASN of every segment, in order."""
        return tuple(asn for segment in self.segments for asn in segment.asns)

    @property
    def length(self) -> int:
        """ASNs of the whole path, those that are not kept too."""
        return sum(len(segment.asns) for segment in self.segments) + self.omitted

    def cut(self, most: int) -> AsPath:
        """The path with its first `most` segments and ASNs alone."""
        room = most
        kept: list[Segment] = []
        for segment in self.segments[:most]:
            if room == 0:
                break
            kept.append(segment._replace(asns=segment.asns[:room]))
            room -= len(kept[-1].asns)
        return AsPath(tuple(kept), self.length - (most - room))

    def __str__(self) -> str:
        """The customary notation: 1 2 {3 4} (5 6) [7 8]."""
        return " ".join(_segment_text(segment) for segment in self.segments)


TREAT_AS_WITHDRAW = "treat-as-withdraw"
"""`Attributes.malformed` begins with it when the speaker turned the UPDATE into withdraws (RFC 7606
section 2)."""


class Attributes(NamedTuple):
    """The path attributes that an UPDATE carried and that rsfilter keeps."""

    as_path: AsPath = AsPath(())
    origin: str = "igp"
    """igp, egp or incomplete; anything else is malformed."""
    med: int | None = None
    communities: tuple[tuple[int, int], ...] = ()
    """RFC 1997, in the order received."""
    large_communities: tuple[tuple[int, int, int], ...] = ()
    """RFC 8092."""
    extended_communities: tuple[int, ...] = ()
    """RFC 4360: each the 8 octets as an unsigned integer."""
    malformed: str = ""
    """Malformed part of the UPDATE (RFC 7606) as the speaker reports it; empty if there is none."""

    @property
    def is_treated_as_withdraw(self) -> bool:
        """Return whether the UPDATE withdraws its routes; the routes that it meant to announce are
        unknown."""
        return self.malformed.startswith(TREAT_AS_WITHDRAW)


class RouteKey(Struct, frozen=True, order=True, gc=False):
    """Identity of a route: a new route replaces the old one with the same key."""

    neighbor: Address
    prefix: Prefix
    path_id: int
    """ADD-PATH identifier (RFC 7911) from the neighbor; 0 when it sent none."""


class Announcement(Struct, frozen=True, gc=False):
    """The part of an UPDATE that its routes of one family and next hop share: all but their
    prefixes and path identifiers. They share one object, so that it is judged, exported and
    rendered once."""

    neighbor: Address
    asn: int
    """The AS of the session, never an ASN that the path claims."""
    family: int
    """4 or 6: that of the prefixes."""
    attributes: Attributes
    next_hops: tuple[Address, ...]
    """One; or an IPv6 global and its link-local companion (RFC 2545 section 3); or none."""


class Route(Struct, frozen=True, gc=False):
    """A route as a host announced it. Its key and its announcement agree on neighbor and family."""

    key: RouteKey
    announcement: Announcement

    @classmethod
    def of(
        cls, key: RouteKey, asn: int, attributes: Attributes, next_hops: tuple[Address, ...]
    ) -> Route:
        """Make a route with an announcement of its own."""
        family = key.prefix.family
        return cls(key, Announcement(key.neighbor, asn, family, attributes, next_hops))

    @property
    def asn(self) -> int:
        """The AS of the session."""
        return self.announcement.asn

    @property
    def attributes(self) -> Attributes:
        """The path attributes."""
        return self.announcement.attributes

    @property
    def next_hops(self) -> tuple[Address, ...]:
        """The next hops."""
        return self.announcement.next_hops

    def with_attributes(self, attributes: Attributes) -> Route:
        """Return the route with other path attributes."""
        return Route.of(self.key, self.asn, attributes, self.next_hops)


StateName = Literal["Valid", "Invalid", "NotFound"]
"""Values of `OriginState`."""


class OriginState(Enum):
    """Origin validation states (RFC 6811 section 2)."""

    VALID = "Valid"
    INVALID = "Invalid"
    NOT_FOUND = "NotFound"


class Vrp(Struct, frozen=True, order=True, gc=False):
    """A Validated ROA Payload (RFC 6811 section 2)."""

    prefix: Prefix
    max_length: int
    asn: int

    def __str__(self) -> str:
        return f"{self.prefix}-{self.max_length} AS{self.asn}"


class Validation(Struct, frozen=True, gc=False):
    """The outcome of RFC 6811 for one route, with the VRPs that decided it.

    Valid: the VRPs that match. Invalid: every VRP that covers the prefix. NotFound: none.
    """

    state: OriginState
    vrps: tuple[Vrp, ...] = ()
    owners: tuple[str, ...] = ()
    """Truth's hosts that own the prefix, where it is Invalid although VRPs are of the session's
    own ASN: they are of other hosts with that ASN."""


VerdictName = Literal["accepted", "rejected", "held"]
"""Values of `VerdictKind`."""


class VerdictKind(Enum):
    """Outcome for a route."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    HELD = "held"


class Verdict(Struct, frozen=True, gc=False):
    """The judgement of one route: what, why, and by which data."""

    kind: VerdictKind
    reasons: tuple[str, ...]
    """Names from `reasons.REASONS`, most specific first; empty if accepted."""
    validation: Validation


_OPENING = {SegmentType.SEQUENCE: "", SegmentType.SET: "{", SegmentType.CONFED_SEQUENCE: "("}
_CLOSING = {SegmentType.SEQUENCE: "", SegmentType.SET: "}", SegmentType.CONFED_SEQUENCE: ")"}


def _segment_text(segment: Segment) -> str:
    asns = " ".join(map(str, segment.asns))
    return _OPENING.get(segment.type, "[") + asns + _CLOSING.get(segment.type, "]")


@lru_cache(maxsize=1 << 16)
def _parse_address(text: str) -> Address:
    if "%" in text:
        raise ValueError(f"{text!r} has a zone id")
    family, code = (IPV6, AF_INET6) if ":" in text else (IPV4, AF_INET)
    try:
        return Address(family, int.from_bytes(inet_pton(code, text)))
    except OSError:
        raise ValueError(f"{text!r} is no IPv4 or IPv6 address") from None


def _address_text(family: int, value: int) -> str:
    if family == IPV4:
        return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"
    return _ipv6_text(value)


@lru_cache(maxsize=1 << 12)
def _three_octets_text(value: int) -> str:
    """Return the text that the addresses of a /24 share."""
    return f"{value >> 16}.{value >> 8 & 255}.{value & 255}."


@lru_cache(maxsize=1 << 16)
def _ipv6_text(value: int) -> str:
    """Return the text of RFC 5952. Python's own spelling depends on its version."""
    if value >> 32 == 0xFFFF:  # section 5: IPv4-mapped
        return f"::ffff:{_address_text(IPV4, value & 0xFFFFFFFF)}"
    groups = [f"{value >> shift & 0xFFFF:x}" for shift in range(112, -16, -16)]
    start, length = _longest_zeros(groups)
    if length < 2:  # section 4.2.2: one group alone is not shortened
        return ":".join(groups)
    return f"{':'.join(groups[:start])}::{':'.join(groups[start + length :])}"


def _longest_zeros(groups: list[str]) -> tuple[int, int]:
    """Return where the longest run of zeros starts, the first of equal ones, and its length."""
    best = (0, 0)
    start = 0
    for index, group in enumerate(groups):
        if group != "0":
            start = index + 1
        elif index + 1 - start > best[1]:
            best = (start, index + 1 - start)
    return best
