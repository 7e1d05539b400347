"""What a line from ExaBGP can say, beside the events that the core knows.

`decode.decode` makes exactly one `Message` of every line. The core's own events go to the engine;
the others stay in the speaker: they drive the egress (`Opened`, `Offered`, `SentEndOfRib`,
`SentUpdate`, `Reply`), answer questions (`ShowLine`) or are only counted (`Sent`, `Ignored`,
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
"""Why a line was skipped. Metrics use these names.

not_json: neither JSON nor a text reply. not_utf8: octets that JSON cannot hold. too_long: past
`decode.MAX_LINE_OCTETS`. repeated_key: one JSON object says the same thing twice, so nobody can
tell which was meant. bad_shape: JSON, but a member is missing or is not what it has to be.
no_peer_as: ExaBGP prints `"peer": None` for a neighbor with `peer-as auto`. unknown_type: a kind
of message that ExaBGP 4.2 and 5.0 do not have. unknown_dialect: another API version.
"""


@dataclass(frozen=True, slots=True)
class SentEndOfRib:
    """ExaBGP handed an End-of-RIB to TCP, so everything written before it has gone out too.

    A neighbor whose `send` block has both `parsed` and `packets` yields two for each one sent.
    """

    neighbor: Address
    family: str
    """As `model.UNICAST` names it."""


@dataclass(frozen=True, slots=True)
class SentUpdate:
    """ExaBGP handed an UPDATE to TCP. Mostly nobody reads it: `decode.routes_sent`."""

    neighbor: Address
    update: Raw = field(compare=False)
    """As it is printed."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A copy of any other message that ExaBGP sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a command. ExaBGP does not say to which one."""

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
    """A neighbor asks for everything of a family again (ROUTE-REFRESH, RFC 2918)."""

    neighbor: Address
    family: str
    """As `model.UNICAST` names it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a neighbor offers in its OPEN (RFC 5492), or ExaBGP says that it did."""

    neighbor: Address
    families: frozenset[int]
    """4 and 6: of IPv4 and IPv6 unicast, those that it speaks (RFC 4760)."""
    add_path: frozenset[int]
    """Of these, those in which it takes several paths of a prefix (RFC 7911)."""
    offers_refresh: bool = False
    """It repeats itself when requested to (route refresh, RFC 2918)."""
    wrong_asn: int = 0
    """Its ASN, if that is not the one that ExaBGP expects; 0: it is. No session follows."""


@dataclass(frozen=True, slots=True)
class Offered:
    """The families that ExaBGP offered to a neighbor in its own OPEN."""

    neighbor: Address
    families: frozenset[int]
    """4 and 6, as in `Opened`."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A line that was understood and says nothing that rsfilter needs."""

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
