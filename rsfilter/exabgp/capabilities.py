"""Capabilities of neighbors, from the two places where ExaBGP reports them.

These are the "open" of a new session, and the answer to `show neighbor json` for sessions that were
up before this process. For routers: End-of-RIB must not be sent for a family that a router did not
offer, and several paths only to one that accepts them. For hosts: a route refresh is requested only
from one that offered the capability (RFC 2918 section 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from rsfilter.exabgp.messages import Offered, Opened
from rsfilter.routing.model import BOTH_FAMILIES, UNICAST, Address

_OPEN_NAMES = {name.replace(" ", "/"): family for family, name in UNICAST.items()}
_SHOW_NAMES = {name: family for family, name in UNICAST.items()}

_RECEIVES = ("receive", "send/receive")
"""The directions of ADD-PATH in which a neighbor takes several paths."""


class Established(NamedTuple):
    """An established session, as reported by `show neighbor json`."""

    neighbor: Address
    asn: int
    opened: Opened
    duration: int = 0
    """Seconds: how long it is up."""


class Shown(NamedTuple):
    """A neighbor in the answer to `show neighbor json`."""

    neighbor: Address
    duration: int
    """Seconds: how long it is up; or how long after its creation it was last seen to end."""
    session: Established | None
    """The session; None if it is not up."""

    @property
    def was_never_up(self) -> bool:
        """Return whether the session was never up. One that ended within a second is not
        counted."""
        return self.session is None and self.duration == 0


class _MultiProtocol(msgspec.Struct):
    families: list[str] = []


class _FourOctets(msgspec.Struct):
    asn4: int = 0


class _Capabilities(msgspec.Struct):
    """Capabilities by code (IANA): 1 multiprotocol, 2 route refresh, 64 graceful restart, 65
    four-octet ASN, 69 ADD-PATH."""

    multiprotocol: _MultiProtocol | None = msgspec.field(name="1", default=None)
    refresh: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="2", default=msgspec.UNSET)
    restart: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="64", default=msgspec.UNSET)
    four_octets: _FourOctets | None = msgspec.field(name="65", default=None)
    add_path: dict[str, Any] = msgspec.field(name="69", default_factory=dict)


class _Open(msgspec.Struct):
    capabilities: _Capabilities
    asn: int = 0


class _OwnCapabilities(msgspec.Struct):
    """Capabilities by name, as ExaBGP 5.0 prints an OPEN that it sends."""

    multiprotocol: _MultiProtocol | None = None


class _OwnOpen(msgspec.Struct):
    capabilities: _OwnCapabilities


class _Enabled(msgspec.Struct, rename="kebab"):
    """Offer of one side."""

    asn4: bool | None = None
    graceful_restart: bool | None = None
    route_refresh: bool | None = None


class _Side(msgspec.Struct, rename="kebab"):
    """null: not known, because the neighbor has not sent it."""

    address: str = ""
    asn: int | None = msgspec.field(name="as", default=None)
    families: dict[str, bool | None] = {}
    add_path: dict[str, bool | None] = {}
    capabilities: _Enabled = msgspec.field(default_factory=_Enabled)


class _ShownForm(msgspec.Struct):
    fsm: str
    duration: int
    local: _Side
    peer: _Side


_decode_open = msgspec.json.Decoder(_Open).decode
_decode_own_open = msgspec.json.Decoder(_OwnOpen).decode
_decode_shown = msgspec.json.Decoder(list[_ShownForm]).decode


def opened(neighbor: Address, open_: bytes | msgspec.Raw, expected: int) -> Opened:
    """The "open" of a line. `expected`: the ASN that ExaBGP expects. ValidationError when it is not
    one.

    Without the multiprotocol capability a neighbor speaks IPv4 unicast (RFC 4760 section 8).
    """
    document = _decode_open(open_)
    offered = document.capabilities
    asn = offered.four_octets.asn4 if offered.four_octets else document.asn
    families = offered.multiprotocol.families if offered.multiprotocol else ["ipv4/unicast"]
    takes_several = (name for name, way in offered.add_path.items() if way in _RECEIVES)
    return Opened(
        neighbor,
        _families(families, _OPEN_NAMES),
        _families(takes_several, _OPEN_NAMES),
        offers_refresh=offered.refresh is not msgspec.UNSET,
        wrong_asn=asn if asn != expected else 0,
        capabilities=_named(
            asn4=offered.four_octets is not None,
            graceful_restart=offered.restart is not msgspec.UNSET,
            route_refresh=offered.refresh is not msgspec.UNSET,
        ),
    )


def offered(neighbor: Address, open_: bytes | msgspec.Raw) -> Offered:
    """Return the "open" of a line about an OPEN that ExaBGP sent. ValidationError when it is none.

    If it names no families, nothing is known of them, and they limit nothing.
    """
    named = _decode_own_open(open_).capabilities.multiprotocol
    return Offered(neighbor, _families(named.families, _OPEN_NAMES) if named else BOTH_FAMILIES)


def shown(text: str) -> Iterator[Shown]:
    """The answer to `show neighbor json`. ValueError when it is not one."""
    for entry in _decode_shown(text):
        neighbor = Address.parse(entry.peer.address)
        is_up = entry.fsm.upper() == "ESTABLISHED" and entry.peer.asn is not None
        yield Shown(neighbor, entry.duration, _established(neighbor, entry) if is_up else None)


def _established(neighbor: Address, entry: _ShownForm) -> Established:
    offered = entry.local.families or entry.peer.families
    families = (n for n, speaks in entry.peer.families.items() if speaks and offered.get(n))
    negotiated = (name for name, sends in entry.local.add_path.items() if sends)
    # ExaBGP replies `done` and sends nothing if its own side is switched off.
    sides = (entry.local.capabilities, entry.peer.capabilities)
    offers = Opened(
        neighbor,
        _families(families, _SHOW_NAMES),
        _families(negotiated, _SHOW_NAMES),
        offers_refresh=all(side.route_refresh for side in sides),
        capabilities=_named(**msgspec.structs.asdict(entry.peer.capabilities)),
    )
    return Established(neighbor, entry.peer.asn or 0, offers, entry.duration)


def _named(**offers: bool | None) -> frozenset[str]:
    """Return the names of the offered capabilities, in the spelling of the configuration."""
    return frozenset(name.replace("_", "-") for name, is_offered in offers.items() if is_offered)


def _families(names: Iterable[str], numbers: dict[str, int]) -> frozenset[int]:
    return frozenset(numbers[name] for name in names if name in numbers)
