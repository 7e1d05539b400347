"""Values of all that can come in, and the moment at which it does.

Some are events of the engine, and one is an event of the audit log: they come in as they are.
What a thread has computed beforehand (`prepared`) saves time and changes no result.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from rsfilter.audit.record import ServiceEvent
from rsfilter.config.model import Config
from rsfilter.exabgp.unsettled import Unsettled
from rsfilter.pipeline.data import PreparedRtr, PreparedTruth
from rsfilter.routing.events import DrainRequested, GuardReleased, GuardRestored
from rsfilter.rpki.truth import Truth
from rsfilter.rpki.vrps import RtrSnapshot


class Moment(NamedTuple):
    """Time of an input, by two clocks."""

    now: float
    """Seconds of the clock that timers run by."""
    time: float
    """Seconds since the epoch: the audit log shows them."""


class Lines(NamedTuple):
    """Lines of ExaBGP, without their line feeds. None at all: only timers are due."""

    lines: Iterable[bytes]
    """Lines, iterated once by the pipeline, and again by a recorder: the iteration may end before
    all waiting lines are taken."""


class TruthRead(NamedTuple):
    """Another truth was read from its file."""

    truth: Truth
    content: bytes
    """The file, from which `truth` was parsed."""
    file: str
    at: float
    """Time of the reading, in seconds since the epoch: what had expired is left out."""
    prepared: PreparedTruth | None = None


class RtrRead(NamedTuple):
    """Another whole snapshot of an RTR cache decides."""

    snapshot: RtrSnapshot
    reason: str
    prepared: PreparedRtr | None = None


class RtrGone(NamedTuple):
    """The caches' data are too old, or have not come in time."""

    why: Literal["expired", "given_up"]


class Configured(NamedTuple):
    """Another configuration was read from its file."""

    config: Config
    content: str
    """The file, from which `config` was parsed."""
    is_forced: bool = False
    """The guard does not weigh what the configuration takes away."""


Input = (
    Lines
    | TruthRead
    | RtrRead
    | RtrGone
    | Configured
    | GuardReleased
    | DrainRequested
    | GuardRestored
    | Unsettled
    | ServiceEvent
)
"""`GuardRestored` and `Unsettled` are what an earlier process left; `ServiceEvent` is a note for
the audit log, and ends the filter if it is a "stop"."""
