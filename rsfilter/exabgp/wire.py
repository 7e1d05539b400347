"""The shapes of ExaBGP's JSON lines, as far as `decode` reads them.

Every member that a line of any dialect can have is named, used or not: what is named is written out
again by `strict.repeated_names`, which then finds the line whole at first sight.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

Unused = Raw | UnsetType
"""A member that is not read."""


class Addresses(Struct, omit_defaults=True):
    """Both ends of a session."""

    peer: str
    local: Unused = UNSET


class Asns(Struct, omit_defaults=True):
    """Their ASNs."""

    peer: Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]
    local: Unused = UNSET


class Family(Struct):
    """An address family, by its AFI and its SAFI."""

    afi: str
    safi: str

    @property
    def family(self) -> str:
        """Family, named as in `model.UNICAST` if it is one of those."""
        return f"{self.afi} {self.safi}"


class EndOfRibFamily(Family):
    """The End-of-RIB of a family (RFC 4724)."""


class RouteRefresh(Family):
    """ROUTE-REFRESH (RFC 2918, RFC 7313)."""

    subtype: str
    """query, begin or end."""


class Neighbor(Struct, omit_defaults=True, rename="kebab"):
    """Neighbor of a line, and the event."""

    address: Addresses
    asn: Asns
    router_id: Unused = UNSET
    direction: str | UnsetType = UNSET
    message: Raw | UnsetType = UNSET
    state: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    route_refresh: RouteRefresh | UnsetType = UNSET
    open: Raw | UnsetType = UNSET
    negotiated: Unused = UNSET


class Line(Struct, omit_defaults=True):
    """A whole line."""

    exabgp: str
    type: str
    neighbor: Neighbor | UnsetType = UNSET
    notification: str | UnsetType = UNSET
    time: Unused = UNSET
    host: Unused = UNSET
    pid: Unused = UNSET
    ppid: Unused = UNSET
    counter: Unused = UNSET
    header: Unused = UNSET
    body: Unused = UNSET


class UpdateBody(Struct, omit_defaults=True):
    """The inside of an UPDATE, for `attributes` and `nlri`."""

    attribute: Raw | UnsetType = UNSET
    announce: dict[str, Any] | UnsetType = UNSET
    withdraw: dict[str, Any] | UnsetType = UNSET


class Received(Struct, omit_defaults=True):
    """The "message" of a received UPDATE: one of the three."""

    update: UpdateBody | UnsetType = UNSET
    eor: EndOfRibFamily | UnsetType = UNSET
    category: Unused = UNSET
    header: Unused = UNSET
    body: Unused = UNSET


class Copied(Struct, omit_defaults=True):
    """The "message" of a sent UPDATE; its announced routes are not parsed."""

    update: Raw | UnsetType = UNSET
    eor: EndOfRibFamily | UnsetType = UNSET
    category: int | UnsetType = UNSET
    header: Unused = UNSET
    body: str | UnsetType = UNSET
