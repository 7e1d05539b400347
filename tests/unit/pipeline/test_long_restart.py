"""Restart of rsfilter whose one host has very many routes: the cost of a step does not depend on
their number, whatever kind of host it is and whatever happens in the middle. In the end routers
have what they should."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import FrameType
from typing import Any
from unittest.mock import patch

import pytest
from support.long_restart import HOST, HOST_KINDS, LongRestart

from rsfilter.exabgp import egress, inheritance, router
from rsfilter.pipeline.outputs import Outputs
from rsfilter.routing import departures, revalidation, slices, table
from rsfilter.routing.model import IPV4, UNICAST, Address

SMALL = 10
"""Routes of a slice, of an UPDATE, and of a step of the egress."""

BOUNDS = [
    (slices, "SLICE"),
    (departures, "SLICE"),
    (table, "SLICE"),
    (inheritance, "RELEASED_AT_ONCE"),
    (router, "MAX_CHECKS"),
    (egress, "MAX_CHECKS"),
    (egress, "LEAST_CHECKS"),
]


@pytest.fixture(autouse=True)
def _small_slices() -> Iterator[None]:
    with ExitStack() as stack:
        for module, name in BOUNDS:
            stack.enter_context(patch.object(module, name, SMALL))
        stack.enter_context(patch.object(revalidation, "_PART_BITS", 0))
        yield


def lines_run(step: Callable[[], Outputs]) -> tuple[Outputs, float]:
    """Run a step; count the lines of Python that it executes, each turn of a loop by itself. No
    clock decides."""
    count = 0

    def trace(_frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        outputs = step()
    finally:
        sys.settrace(before)
    return outputs, count


def unmeasured(step: Callable[[], Outputs]) -> tuple[Outputs, float]:
    return step(), 0.0


def started(count: int, kind: str, *, is_measured: bool = False, **more: Any) -> LongRestart:
    meter = lines_run if is_measured else unmeasured
    return LongRestart(
        count, kind, meter, per_update=SMALL, turn=lambda waiting: waiting[:2], **more
    )


def is_over(site: LongRestart) -> bool:
    return site.pipeline.filter.is_resynced


def assert_all_is_right(site: LongRestart) -> None:
    """The router has what the host announces, and nothing waits."""
    assert is_over(site)
    assert site.pipeline.filter.egress.is_ready
    assert not site.pipeline.filter.inheritance.awaited
    assert site.at_router == sorted(site.prefixes[site.left_out :])


def restart_session(site: LongRestart) -> None:
    """Restart the host's session, as for routes that there was no room for."""
    host = Address.parse(HOST)
    site.pipeline.filter.repetition.repeat(host, UNICAST[IPV4], site.now)


# Costs -------------------------------------------------------------------------------------------


COUNTS = (150, 300, 600)


def grows(longest: list[float]) -> bool:
    """Twice as many routes make the longest step longer."""
    return longest[2] > 1.2 * longest[1]


@pytest.mark.parametrize(
    ("kind", "share", "is_other_up"),
    [*((kind, 0.0, False) for kind in HOST_KINDS), ("marks", 0.5, True), ("silent", 0.5, False)],
)
def test_no_step_grows_with_the_routes_of_a_host(
    kind: str, share: float, is_other_up: bool
) -> None:
    """`share`: of the routes that the host does not repeat."""
    longest = []
    for count in COUNTS:
        left_out = int(share * count)
        site = started(count, kind, is_measured=True, left_out=left_out, is_other_up=is_other_up)
        site.run()
        assert_all_is_right(site)
        longest.append(site.longest)
    assert not grows(longest), longest


def test_no_step_of_a_restarted_session_grows_with_its_routes() -> None:
    longest = []
    for count in COUNTS:
        site = started(count, "none", is_measured=True)
        site.run()
        site.costs.clear()
        restart_session(site)
        site.run(1000.0)
        assert sum("teardown" in command for command in site.commands) == 2
        assert_all_is_right(site)
        longest.append(site.longest)
    assert not grows(longest), longest


# Correctness -------------------------------------------------------------------------------------

COUNT = 100


def is_releasing(site: LongRestart) -> bool:
    """Some of what waited for the host is released, and some is not."""
    return is_over(site) and 0 < len(site.pipeline.filter.inheritance.awaited) < COUNT


def is_watching(site: LongRestart) -> bool:
    """Some of the host's routes are watched before its session is restarted, and some are not."""
    return 0 < len(site.pipeline.filter.inheritance.awaited) < COUNT


@pytest.mark.parametrize("kind", HOST_KINDS)
def test_no_end_of_rib_is_sent_before_everything_is_released(kind: str) -> None:
    """A router may still have routes of an ExaBGP before this one, and drops them then."""
    site = started(COUNT, kind, age_s=150)
    site.run(until=lambda: is_releasing(site))
    assert not site.pipeline.filter.egress.is_ready
    site.run(until=lambda: site.pipeline.filter.egress.is_ready)
    assert not site.pipeline.filter.inheritance.awaited
    site.run()
    assert_all_is_right(site)


def test_a_host_that_withdraws_while_its_prefixes_are_released_is_heard() -> None:
    site = started(COUNT, "marks")
    site.run(until=lambda: is_releasing(site))
    for prefix in (site.prefixes[0], site.prefixes[-1]):
        site.withdraw(prefix)
    site.run()
    assert_all_is_right(site)
    assert len(site.at_router) == COUNT - 2


def test_a_host_that_is_lost_while_its_prefixes_are_released_is_lost() -> None:
    site = started(COUNT, "marks")
    site.run(until=lambda: is_releasing(site))
    site.host_down()
    site.run(2.0)
    assert is_over(site)
    assert site.at_router == []
    site.run()
    assert_all_is_right(site)


def test_a_session_that_ends_before_all_of_its_routes_are_watched_is_waited_for() -> None:
    """Its end is the one that was to be brought about."""
    site = started(COUNT, "none")
    site.run()
    restarts = sum("teardown" in command for command in site.commands)
    restart_session(site)
    site.run(1000.0, until=lambda: is_watching(site))
    site.host_down()
    site.run(1000.0, until=lambda: len(site.at_router) < COUNT)
    assert len(site.at_router) == COUNT
    assert sum("teardown" in command for command in site.commands) == restarts
    assert_all_is_right(site)


def test_a_withdrawal_while_routes_are_watched_is_not_forgotten() -> None:
    site = started(COUNT, "none")
    site.run()
    restart_session(site)
    site.run(1000.0, until=lambda: is_watching(site))
    site.withdraw(site.prefixes[-1])
    site.run()
    assert_all_is_right(site)


@pytest.mark.parametrize("stale_time", [0, 30])
def test_routes_that_follow_end_of_rib_are_waited_for_however_many(stale_time: int) -> None:
    site = started(COUNT, "none", stale_time=stale_time)
    site.ends_first = True
    site.run()
    restart_session(site)
    site.run(1000.0, until=lambda: len(site.at_router) < COUNT)
    assert len(site.at_router) == COUNT
    assert_all_is_right(site)
