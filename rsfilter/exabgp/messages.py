"""Messages of ExaBGP, beside the events that the core knows.

`decode.decode` makes exactly one `Message` of every line. The core's own events go to the engine;
the others stay in this room: they drive the egress (`Opened`, `Offered`, `SentEndOfRib`,
`SentUpdate`, `Reply`), answer queries (`ShowLine`) or are only counted (`Sent`, `Ignored`,
`Skipped`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from msgspec import Raw

from rsfilter.routing.events import EndOfRib, RefreshMark, SessionDown, SessionUp, Update
from rsfilter.routing.model import Address

SkipReason = Literal[
    "not_json",
    "not_utf8",
    "too_long",
    "repeated_key",
    "bad_shape",
    "no_peer_as",
    "unknown_type",
    "unknown_dialect",
]
"""Reason for skipping a line. Metrics use these names.

not_json: neither JSON nor a text reply. not_utf8: octets that JSON cannot hold. too_long: past
`decode.MAX_LINE_OCTETS`. repeated_key: a JSON object repeats a name, so its meaning is ambiguous.
bad_shape: JSON, but a member is missing or malformed. no_peer_as: ExaBGP prints `"peer": None` for
a neighbor with `peer-as auto`. unknown_type: a kind of message that ExaBGP 4.2 and 5.0 do not have.
unknown_dialect: another API version.
"""


@dataclass(frozen=True, slots=True)
class SentEndOfRib:
    """ExaBGP handed an End-of-RIB to TCP, so everything written before it has gone out too.

    A neighbor whose `send` block has both `parsed` and `packets` yields two for each one sent.
    """

    neighbor: Address
    family: str
    """Family, named as in `model.UNICAST`."""


@dataclass(frozen=True, slots=True)
class SentUpdate:
    """An UPDATE that ExaBGP passed to TCP. `decode.routes_sent` reads it where needed."""

    neighbor: Address
    update: Raw = field(compare=False)
    """The update as printed."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A copy of any other message that ExaBGP sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Reply to a command. ExaBGP does not identify the command."""

    ok: bool


@dataclass(frozen=True, slots=True)
class ShowLine:
    """One line of the answer to a `show` command, text or JSON."""

    text: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    """ExaBGP is about to end."""


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    """Request of a neighbor for all routes of a family (ROUTE-REFRESH, RFC 2918)."""

    neighbor: Address
    family: str
    """Family, named as in `model.UNICAST`."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Offer of a neighbor in its OPEN (RFC 5492), as received or as reported by ExaBGP."""

    neighbor: Address
    families: frozenset[int]
    """4 and 6: of IPv4 and IPv6 unicast, those that it speaks (RFC 4760)."""
    add_path: frozenset[int]
    """Families in which it accepts several paths of a prefix (RFC 7911)."""
    offers_refresh: bool = False
    """True if it repeats its routes on request (route refresh, RFC 2918)."""
    wrong_asn: int = 0
    """Its ASN, if that is not the one that ExaBGP expects; 0: it is. No session follows."""
    capabilities: frozenset[str] = frozenset()
    """Names of the offered capabilities, of `routing.groups.CAPABILITIES`."""


@dataclass(frozen=True, slots=True)
class Offered:
    """The families that ExaBGP offered to a neighbor in its own OPEN."""

    neighbor: Address
    families: frozenset[int]
    """4 and 6, as in `Opened`."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A line that was understood and is not needed."""

    kind: str
    """The message type as ExaBGP names it, or `connected`, `packets` (the raw copy of a received
    message), `other_family` (End-of-RIB or refresh outside IPv4 and IPv6 unicast)."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line that was not understood, or not beyond doubt. Nothing of it was used."""

    why: SkipReason


Message: TypeAlias = (
    Update
    | SessionUp
    | SessionDown
    | EndOfRib
    | RefreshMark
    | SentEndOfRib
    | SentUpdate
    | Sent
    | Reply
    | ShowLine
    | Shutdown
    | RefreshRequest
    | Opened
    | Offered
    | Ignored
    | Skipped
)
