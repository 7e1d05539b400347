"""State that instances exchange through the database: heartbeats, digests, differences. Values."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

SILENT_AFTER = 3
"""Heartbeats that an instance may miss before it counts as silent."""

CAUSES = {
    "truth": "they judge by different truths",
    "rtr": "they judge by the data of different RTR sessions or serials",
    "configuration": "their [[hosts]] sections have different rules",
    "guard": "the guard holds the route on one of them",
    "max_prefixes": "the host announces more than max_prefixes, and not in the same order",
    "session": "the host has no session with one of them",
    "route": "the host announces it to one of them only",
    "unexplained": "nothing explains it: same data, same rules, both settled",
}
"""Causes of a difference, and what they mean."""


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
    data_age: int = 0
    """Seconds since other data came into force."""
    is_complete: bool = True
    """Its log has every verdict."""
    uncertain: int = 0
    """Neighbors that are not compared: in a flood not all is in the log."""
    accepted: int = 0
    rejected: int = 0
    held: int = 0
    sessions: int = 0
    """Sessions that are up."""
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
