"""Values of all that leaves the pipeline: one `Outputs` for each input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rsfilter.audit.record import Auditable
from rsfilter.exabgp.unsettled import Unsettled
from rsfilter.pipeline.lines import SkippedLine
from rsfilter.routing.guard import Haste
from rsfilter.routing.model import Address


class DataInForce(NamedTuple):
    """Other data are in force, and the table is judged by them."""

    source: str
    detail: str


class ReleaseKnown(NamedTuple):
    """ExaBGP's release, once in a process."""

    release: str


class HostsAbsent(NamedTuple):
    """End-of-RIB goes out although these hosts are not back; once in a process, and maybe empty."""

    hosts: Sequence[Address]


class ResyncProblem(NamedTuple):
    """ExaBGP's answers about the time before this process were not as expected."""

    problems: Mapping[str, int]
    """Count of each kind since the start."""


class LineNotUnderstood(NamedTuple):
    """The latest line that was not understood; at most one in `pipeline.SKIPPED_EVERY_S`."""

    why: str
    beginning: bytes


Notice = DataInForce | ReleaseKnown | HostsAbsent | ResyncProblem | LineNotUnderstood
"""Notice for the operator's log, without an audit record."""


class Outputs(NamedTuple):
    """Effects of one input."""

    commands: list[bytes]
    """Commands for ExaBGP, to be sent once the records that `haste` requires are stored."""
    audit: Sequence[Auditable]
    notices: Sequence[Notice]
    skipped: Sequence[SkippedLine]
    """Lines of this input that were not understood, the first of them."""
    unsettled: Unsettled
    """State to store before the commands are sent."""
    haste: Haste
    """Urgency of `Pipeline.take_records`: whether the commands wait for it."""
    is_busy: bool
    """Data are still on their way through the table."""
    is_shut_down: bool
    """ExaBGP has announced its end."""
    unsupported: str | None
    """Version of an ExaBGP that rsfilter must not run behind."""
