"""The worker behind `POST /api/v1/impact`: judges the live routes with a client's truth file.

It receives, in frames: the rules and data in force (`InForce`), the truth's octets, and, once it
has reported that the truth is usable, the VRPs of the RTR caches and the live routes. The filter
sends its own values, pickled; the worker returns JSON, in the form of `/api/v1/impact`.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, NamedTuple

import msgspec
from msgspec import structs

from rsfilter.pipeline.data import Sources
from rsfilter.routing.groups import HostGroup, Limits, Neighbors, RouterGroup
from rsfilter.routing.impact import Impact
from rsfilter.rpki.truth import Truth, TruthError, parse_truth
from rsfilter.rpki.vrp_tables import Numbers
from rsfilter.rpki.vrps import VrpSet
from rsfilter.web import confinement, schema
from rsfilter.web.bounds import TooLargeError, check_bounds
from rsfilter.web.frames import frame, frames

PROBLEMS_SHOWN = 10
"""Problems shown of an unusable truth file; `rsfilter truth check` shows all."""


MAX_CHANGES = 200
"""VRPs that a diff names, of those added and of those removed."""


class InForce(NamedTuple):
    """Rules and data in force, apart from the truth."""

    hosts: tuple[HostGroup, ...]
    routers: tuple[RouterGroup, ...]
    limits: Limits
    """The guard's."""
    lost: int
    """Routes lost within the guard's window."""
    sources: Sources
    """Sources without truth, and without VRPs (`Sources.to_be_filled`)."""
    truth_may_be_empty: bool
    """Another source decides as well."""


class Outcome(msgspec.Struct, gc=False):
    """Result of reading the truth. `status` 200 if it is usable."""

    status: int = 200
    error: str = ""
    detail: str = ""
    pointer: str | None = None


def work(pipe: BinaryIO, answer: BinaryIO) -> None:
    """Serves one request."""
    (given,) = frames(pipe)
    in_force: InForce = pickle.loads(given)  # noqa: S301 - the filter's own values
    outcome, found = _read(b"".join(frames(pipe)), may_be_empty=in_force.truth_may_be_empty)
    answer.write(frame(msgspec.json.encode(outcome)))
    answer.flush()
    if found is None:
        return
    in_force.sources.fill(VrpSet.of_numbers(_numbers(pipe)))
    before = VrpSet.of_numbers(_numbers(pipe))
    diff = _diff(before, found.vrps)
    data = in_force.sources.data_with(found)
    total = Impact(Neighbors(in_force.hosts, in_force.routers), data)
    for slice_ in frames(pipe):
        total.add(pickle.loads(slice_))  # noqa: S301 - the filter's own values
    result = structs.asdict(total.result(in_force.limits, in_force.lost))
    whole = schema.ImpactJson(truth=truth_summary(found), diff=diff, **result)
    answer.write(frame(msgspec.json.encode(whole)))


def _read(content: bytes, *, may_be_empty: bool) -> tuple[Outcome, Truth | None]:
    try:
        check_bounds(content)
        found = parse_truth(content, "body", time.time(), may_be_empty=may_be_empty)
        return Outcome(), found
    except TooLargeError as error:
        return Outcome(413, "too_large", str(error), ""), None
    except TruthError as error:
        return truth_outcome(error), None


def truth_outcome(error: TruthError) -> Outcome:
    """A truth that cannot be used; `pointer` is that of the first problem."""
    shown = [str(problem) for problem in error.problems[:PROBLEMS_SHOWN]]
    if len(error.problems) > len(shown):
        shown.append(f"and {len(error.problems) - len(shown)} more")
    return Outcome(422, "truth_invalid", "\n".join(shown), error.problems[0].pointer)


def _numbers(pipe: BinaryIO) -> Iterator[Numbers]:
    for slice_ in frames(pipe):
        yield from pickle.loads(slice_)  # noqa: S301 - the filter's own values


def _diff(before: VrpSet, after: VrpSet) -> schema.TruthDiff:
    counts = before.difference(after, 0)
    return schema.TruthDiff(
        added=counts.added,
        removed=counts.removed,
        first_added=_first_beyond(after, before),
        first_removed=_first_beyond(before, after),
    )


def _first_beyond(one: VrpSet, other: VrpSet) -> list[str]:
    """The first VRPs of a set that another set does not have."""
    return [str(vrp) for vrp in islice((vrp for vrp in one if vrp not in other), MAX_CHANGES)]


def truth_summary(found: Truth) -> schema.TruthSummary:
    """Summarise the content of a truth file."""
    return schema.TruthSummary(
        format=found.format,
        revision=found.revision,
        sha256=found.sha256,
        vrps=len(found.vrps),
        hosts=len(found.hosts),
        filters=len(found.filters),
        metadata=dict(found.metadata),
        warnings=[str(warning) for warning in found.warnings],
    )


if __name__ == "__main__":
    confinement.run(work)
