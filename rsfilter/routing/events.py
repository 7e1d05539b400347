"""Events for the engine. The edges make them; the core never sees JSON, bytes or sockets.

Events of every line are Structs: see `model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from rsfilter.routing.groups import HostGroup, Limits
from rsfilter.routing.guard import Expected
from rsfilter.routing.model import Address, Prefix, Route, RouteKey
from rsfilter.routing.validation import Data

# Neighbors ----------------------------------------------------------------------------------------


class Update(Struct, frozen=True, gc=False):
    """One UPDATE from a neighbor. What it withdraws is applied before what it announces.

    An UPDATE that the speaker turned into withdraws because an attribute was malformed
    (RFC 7606) comes as announcements with `attributes.malformed` set and no next hop: it is
    judged, rejected and audited like any other route.
    """

    neighbor: Address
    asn: int
    """The AS of the session."""
    announced: tuple[Route, ...]
    """Announced routes, all of this neighbor and AS, each key once."""
    withdrawn: tuple[RouteKey, ...]
    """Withdrawn routes of this neighbor."""
    other_families: tuple[tuple[str, str], ...] = ()
    """(family, NLRI text cut to 200 characters) announced outside IPv4 and IPv6 unicast."""


@dataclass(frozen=True, slots=True)
class SessionUp:
    """A BGP session reached Established."""

    neighbor: Address
    asn: int


@dataclass(frozen=True, slots=True)
class SessionDown:
    """A BGP session ended, or was never up: ExaBGP repeats `down` for a peer it cannot reach."""

    neighbor: Address
    asn: int
    reason: str
    """Reason for display, at most 200 characters, as the speaker reported it."""
    administrative: bool
    """True if the session ended on purpose: by the peer (NOTIFICATION Cease with subcode 2, 3 or 9:
    RFC 4486, 8538), or because the operator removed it."""
    wrong_asn: int = 0
    """The ASN of the neighbor's last OPEN, if it is not `asn`; 0: it is, or there was none."""
    is_restart: bool = False
    """rsfilter restarts the session: the guard goes on holding what it holds."""


@dataclass(frozen=True, slots=True)
class EndOfRib:
    """The neighbor has sent all it has of a family (RFC 4724 section 2)."""

    neighbor: Address
    asn: int
    family: str
    """Family, named as in `model.UNICAST`."""


@dataclass(frozen=True, slots=True)
class RefreshMark:
    """Enhanced route refresh (RFC 7313): a neighbor begins or ends repeating a family."""

    neighbor: Address
    asn: int
    family: str
    is_end: bool


# Data and configuration ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DataReplaced:
    """Other validation data are in force from now on."""

    data: Data
    source: str
    """truth or rtr: which of the two changed."""
    detail: str
    """Description of the event, for display."""
    prefixes: frozenset[Prefix] | None
    """Prefixes of the VRPs that came or went; None: everything may have changed."""
    asns: frozenset[int] = frozenset()
    """ASNs whose hosts or their addresses changed."""
    added: int = 0
    removed: int = 0
    """VRPs that came and went."""
    neighbors: frozenset[Address] = frozenset()
    """Session addresses of those hosts, before and after: another ASN may speak from there."""


@dataclass(frozen=True, slots=True)
class PolicyReplaced:
    """The configuration has other rules for hosts."""

    hosts: tuple[HostGroup, ...]
    limits: Limits
    drain_time: float
    """Seconds; of the next drain."""
    is_forced: bool = False
    """The operator means what it takes away: it is no loss, and the guard's window begins anew."""


# The operator, and those who watch over the filter ------------------------------------------------


@dataclass(frozen=True, slots=True)
class GuardReleased:
    """The operator releases routes that the guard holds: all of them, or those in a scope."""

    by: str
    """Requester, for display."""
    prefix: Prefix | None = None
    """Only routes of prefixes that it covers. None: of every prefix."""
    host: str = ""
    """Only routes of this host, by the name in truth, else by its group. Empty: of every host."""

    @property
    def is_partial(self) -> bool:
        """Routes outside of its scope stay held."""
        return self.prefix is not None or bool(self.host)

    def concerns(self, prefix: Prefix, host: str) -> bool:
        """Return whether a held route of a host is in the scope."""
        if self.host not in ("", host):
            return False
        return self.prefix is None or (prefix.is_well_formed and self.prefix.covers(prefix))

    @property
    def detail(self) -> str:
        """Requester and scope, for display."""
        scope = [f"host {self.host}"] if self.host else []
        if self.prefix is not None:
            scope.append(str(self.prefix))
        return ", ".join((self.by, *scope))


DrainSource = Literal["operator", "readiness"]


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """A source requests a drain, or ends its request."""

    source: DrainSource
    """Source of the request. Each requests for itself, and one request keeps the filter out."""
    on: bool
    by: str
    """Requester or reason, for display."""
    at_once: bool = False
    """Routers have nothing of ours that they could lose."""


# A restart ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GuardRestored:
    """State of the guard in an earlier process."""

    held: Mapping[RouteKey, Expected]
    accepted: Mapping[RouteKey, Expected] = field(default_factory=dict)
    lost: Mapping[RouteKey, float] = field(default_factory=dict)
    """Seconds since data or a configuration removed each route."""


@dataclass(frozen=True, slots=True)
class AllRepeated:
    """Every host has repeated its routes after a restart, or is no longer waited for."""

    is_over: bool = True
    """False if some may still follow, although missing routes are withdrawn from now on."""


Event = (
    Update
    | SessionUp
    | SessionDown
    | EndOfRib
    | RefreshMark
    | DataReplaced
    | PolicyReplaced
    | GuardReleased
    | DrainRequested
    | GuardRestored
    | AllRepeated
)
"""Events that the engine handles."""
