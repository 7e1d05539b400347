"""JSON of `/api/v1/fleet`."""

from __future__ import annotations

from rsfilter.web.schema import Shape


class FleetInstance(Shape):
    """One route server, as its last heartbeat has it."""

    instance: str
    age_s: int
    """Seconds since that heartbeat, by the database's clock."""
    is_silent: bool
    version: str
    truth: str
    """The first 16 digits of its truth's SHA-256; empty without one."""
    revision: str
    rtr: str
    """`cache session serial` of its RTR data; empty without."""
    data_age_s: int
    """Seconds since other data came into force."""
    sessions: int
    accepted: int
    rejected: int
    held: int
    shipped: int
    """The last audit record that the database has."""
    behind: int
    problem: str
    """Problem that stops the shipping of its log; empty if there is none."""
    is_complete: bool
    """Its log has every verdict since its start: it can be compared."""


class FleetDifference(Shape):
    """A route that another instance does not have alike."""

    peer: str
    cause: str
    neighbor: str
    host: str
    prefix: str
    path_id: int
    here: str
    """The verdict and its reasons; empty if the route is not there."""
    there: str


class Fleet(Shape):
    """`/api/v1/fleet`."""

    name: str
    instance: str
    """Name of this instance."""
    problem: str
    """Problem that stops the shipping of the log here; empty if there is none."""
    detail: str
    shipped: int
    behind: int
    has_answer: bool
    """The database has answered lately; if not, the other instances are not known."""
    instances: list[FleetInstance]
    """All of them, this one too."""
    differing: int
    """Buckets of routes that differ: how much, where more differ than are named."""
    differences: list[FleetDifference]
