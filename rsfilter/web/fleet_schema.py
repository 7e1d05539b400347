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
    vrps: str
    """The first 16 digits of a digest of all VRPs of that cache, the same for the same VRPs of any
    cache; empty without, or of an older release."""
    other_data: str
    """Data that it has not like this instance: `truth`, `rtr`, or empty."""
    data_age_s: int
    """Seconds since other data came into force."""
    sessions: int
    absent: int
    """Host sessions that are absent there."""
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


class FleetAbsent(Shape):
    """A host session that is absent at one route server at least."""

    neighbor: str
    host: str
    absent_from: list[str]
    """Instances at which it is absent."""
    seen_by: list[str]
    """Instances that have a session with it."""
    instances: int
    """Instances with the same hosts that were heard of."""


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
    absent: list[FleetAbsent]
    """Absent host sessions, those that the fewest see first; of each instance 100 at most."""
    differing: int
    """Buckets of routes that differ: how much, where more differ than are named."""
    differences: list[FleetDifference]
