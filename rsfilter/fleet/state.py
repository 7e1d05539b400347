"""State that instances exchange through the database: heartbeats, digests, differences. Values."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from msgspec import Struct

SILENT_AFTER = 3
"""Heartbeats that an instance may miss before it counts as silent."""

MAX_ABSENT = 100
"""Absent hosts that a heartbeat names: some 10 kB at most."""

MAX_NAME = 64
"""Characters of the name of an absent host."""

MAX_SEEN = 400
"""Absent hosts of others that a heartbeat has seen."""

CAUSES = {
    "truth": "they have different truths",
    "rtr": "they have different VRPs from their RTR caches, or one has none that are fresh",
    "configuration": "their [[hosts]] sections have different rules",
    "guard": "the guard holds the route on one of them",
    "max_prefixes": "the host announces more than max_prefixes, and not in the same order",
    "session": "the host has no session with one of them",
    "route": "the host announces it to one of them only",
    "unexplained": "nothing explains it: same data, same rules, both settled",
}
"""Causes of a difference, and what they mean."""

DATA_CAUSES = ("truth", "rtr")
"""Causes that are data."""


class GroupState(Struct, omit_defaults=True):
    """One host group of one instance."""

    id: str
    """Digest of its networks: groups with the same networks have the same hosts."""
    name: str
    policy: str
    """Digest of its rules."""
    root: str = ""
    """Digest of its settled routes; empty while there are none."""
    routes: int = 0


class AbsentHost(Struct, array_like=True, frozen=True):
    """A host session that truth expects and that is absent at one instance."""

    neighbor: str
    host: str
    group: str
    """`GroupState.id`."""


class Heartbeat(Struct, omit_defaults=True):
    """A heartbeat."""

    version: str = ""
    heartbeat: int = 10
    """Seconds until the next."""
    seq: int = 0
    """The last record of the log that it has read."""
    shipped: int = 0
    behind: int = 0
    problem: str = ""
    """Problem that stops the shipping of its log."""
    truth: str = ""
    """SHA-256 of the truth in force, the first 16 digits."""
    revision: str = ""
    rtr: str = ""
    """`cache session serial` of the RTR data in force."""
    vrps: str = ""
    """Digest of all VRPs of that cache, the first 16 digits; empty in older releases."""
    data_age: int = 0
    """Seconds since other data came into force."""
    is_complete: bool = True
    """Its log has every verdict."""
    is_young: bool = False
    """Its filter has just been started, so that it may hear hosts late."""
    uncertain: int = 0
    """Neighbors that are not compared: in a flood not all is in the log."""
    accepted: int = 0
    rejected: int = 0
    held: int = 0
    sessions: int = 0
    """Sessions that are up."""
    absent: list[AbsentHost] = []
    """Host sessions that are absent here; at most `MAX_ABSENT`."""
    absent_count: int = 0
    """All of them."""
    seen: list[str] = []
    """Neighbors that are absent at another instance, and have a session here."""
    groups: list[GroupState] = []


class ComparedRoute(Struct, array_like=True):
    """A route as one instance has it."""

    neighbor: str
    prefix: str
    path_id: int
    host: str
    verdict: str
    reasons: tuple[str, ...]
    age: int
    """Seconds since it was decided so."""


class RouteDifference(Struct, omit_defaults=True):
    """One route that two instances do not have alike, as one of them sees it."""

    peer: str
    cause: str
    neighbor: str
    host: str
    prefix: str
    path_id: int
    here: str
    """`verdict reason ...`; empty if the route is not there."""
    there: str


class Detail(Struct, omit_defaults=True):
    """Addition to the heartbeat of an instance while its digest differs from another's."""

    buckets: dict[str, str] = {}
    """Sums of a group's buckets (64 bits each, big-endian), in base 64."""
    routes: dict[str, list[ComparedRoute]] = {}
    """Routes of the buckets that differ, some of them where there are many."""
    differing: int = 0
    """Buckets that differ."""
    differences: list[RouteDifference] = []


class PeerLike(Protocol):
    """An instance as readers of heartbeats need it: `Peer`, `messages.PeerReport`."""

    @property
    def instance(self) -> str:
        """Its name."""

    @property
    def is_silent(self) -> bool:
        """Return whether it has missed too many heartbeats."""

    @property
    def state(self) -> Heartbeat:
        """Its last heartbeat."""


class Peer(NamedTuple):
    """Another instance, as the database has it."""

    instance: str
    age: float
    """Seconds since its heartbeat, by the database's clock."""
    state: Heartbeat
    detail: Detail | None

    @property
    def is_silent(self) -> bool:
        """Return whether it has missed too many heartbeats."""
        return self.age > SILENT_AFTER * self.state.heartbeat
