"""What can happen to the engine. Edges make events; the core never sees JSON, bytes or sockets.

What comes with every line is a Struct: see `model`.
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
    """Of this neighbor and AS, no key twice."""
    withdrawn: tuple[RouteKey, ...]
    """Of this neighbor."""
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
    """For people. At most 200 characters, as the speaker gave it."""
    administrative: bool
    """On purpose: the peer said so (NOTIFICATION Cease with subcode 2, 3 or 9: RFC 4486, 8538), or
    the operator removed it."""
    wrong_asn: int = 0
    """The ASN of the neighbor's last OPEN, if it is not `asn`; 0: it is, or there was none."""


@dataclass(frozen=True, slots=True)
class EndOfRib:
    """The neighbor has sent all it has of a family (RFC 4724 section 2)."""

    neighbor: Address
    asn: int
    family: str
    """As `model.UNICAST` names it."""


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
    """For people: what happened."""
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
    """For people: who, or how."""
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
        """For people: who, and the scope."""
        scope = [f"host {self.host}"] if self.host else []
        if self.prefix is not None:
            scope.append(str(self.prefix))
        return ", ".join((self.by, *scope))


DrainSource = Literal["operator", "readiness"]


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """Somebody wants the filter to leave service, or no longer does."""

    source: DrainSource
    """Each asks for itself, and one is enough to keep the filter out."""
    on: bool
    by: str
    """For people: who, or why."""
    at_once: bool = False
    """Routers have nothing of ours that they could lose."""


# A restart ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GuardRestored:
    """What the guard of a process before this one knew."""

    held: Mapping[RouteKey, Expected]
    accepted: Mapping[RouteKey, Expected] = field(default_factory=dict)
    lost: Mapping[RouteKey, float] = field(default_factory=dict)
    """How many seconds ago data or a configuration took the route away."""


@dataclass(frozen=True, slots=True)
class AllRepeated:
    """After a restart: every host has repeated its routes, or is not waited for any longer."""

    is_over: bool = True
    """False: some may still do, but routers are told from now on what is gone."""


Event = (
    Update
    | SessionUp
    | SessionDown
    | EndOfRib
    | RefreshMark
    | DataReplaced
    | PolicyReplaced
    | GuardReleased
    | DrainAsked
    | GuardRestored
    | AllRepeated
)
"""What the engine handles."""
