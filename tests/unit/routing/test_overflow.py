"""Requests for routes that were not kept, far beyond `max_prefixes`, once there is room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

import pytest
from support.core_samples import address, down, host_group, route, update, withdraw
from support.engine_bench import after, engine, verdicts

from rsfilter.routing import adj_rib_in
from rsfilter.routing.effects import RefreshWanted
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import PolicyReplaced
from rsfilter.routing.guard import DEFAULT_LIMITS
from rsfilter.routing.model import Route
from rsfilter.routing.overflow import CHECK_EVERY_S, REQUESTED_AT_ONCE

HV7 = address("198.51.100.7")
ASKED = [RefreshWanted(HV7, 4)]


@pytest.fixture(autouse=True)
def _few_are_kept() -> Iterator[None]:
    with patch.object(adj_rib_in, "MAX_OVER_LIMIT", 1):
        yield


def guests(*numbers: int) -> list[Route]:
    return [route(f"203.0.113.{number}/32") for number in numbers]


def overfull() -> Engine:
    """Two routes within the limit, one beyond it, and two that were not kept."""
    machine = engine(hosts=host_group(max_prefixes=2))
    after(machine, update(*guests(1, 2, 3, 4, 5)))
    assert len(machine.rib_in) == 3
    return machine


def requested(machine: Engine, now: float) -> list[RefreshWanted]:
    return machine.expire(now).refresh


def test_a_host_is_requested_to_repeat_itself_once_there_is_room() -> None:
    machine = overfull()
    assert requested(machine, CHECK_EVERY_S) == []
    after(machine, withdraw(*(each.key for each in guests(1, 2, 3))), now=CHECK_EVERY_S)
    assert machine.next_timer() == 2 * CHECK_EVERY_S
    assert requested(machine, 2 * CHECK_EVERY_S - 1) == []
    assert requested(machine, 2 * CHECK_EVERY_S) == ASKED
    after(machine, update(*guests(4, 5)))
    assert set(verdicts(machine).values()) == {"accepted"}
    assert machine.next_timer() is None
    assert requested(machine, 9 * CHECK_EVERY_S) == []


def test_a_raised_limit_is_room() -> None:
    machine = overfull()
    group = replace(host_group(), max_prefixes=5)
    after(machine, PolicyReplaced((group,), DEFAULT_LIMITS, 30.0))
    assert requested(machine, CHECK_EVERY_S) == ASKED


def test_what_one_route_takes_another_may_have_had() -> None:
    """The route beyond the limit moves up: no room, no request, and the limit is checked again."""
    machine = overfull()
    after(machine, withdraw(guests(1)[0].key))
    assert requested(machine, CHECK_EVERY_S) == []
    assert machine.next_timer() == 2 * CHECK_EVERY_S


def test_a_host_that_exceeds_its_limit_again_is_requested_again_and_no_sooner() -> None:
    machine = overfull()
    for turn in range(1, 4):
        now = turn * CHECK_EVERY_S
        after(machine, withdraw(*(entry.route.key for entry in machine.rib_in.entries())), now=now)
        assert requested(machine, now) == ASKED
        after(machine, update(*guests(1, 2, 3, 4, 5)), now=now)
        assert requested(machine, now + CHECK_EVERY_S - 1) == []


@pytest.mark.parametrize("stale_time", [0, 60])
def test_a_session_that_ends_needs_no_request(stale_time: int) -> None:
    machine = engine(hosts=host_group(max_prefixes=2, stale_time=stale_time))
    after(machine, update(*guests(1, 2, 3, 4, 5)), down())
    assert requested(machine, CHECK_EVERY_S) == []
    assert requested(machine, 9 * CHECK_EVERY_S) == []


def test_thousands_of_hosts_are_not_requested_at_once() -> None:
    """ExaBGP would do nothing else for minutes."""
    machine = engine(hosts=host_group(max_prefixes=2))
    for number in range(REQUESTED_AT_ONCE + 1):
        neighbor = f"198.51.100.{number}"
        routes = [
            route(each, neighbor=neighbor) for each in (f"203.0.113.{n}/32" for n in range(4))
        ]
        after(machine, update(*routes), withdraw(*(each.key for each in routes)))
    assert len(requested(machine, CHECK_EVERY_S)) == REQUESTED_AT_ONCE
    assert len(requested(machine, 2 * CHECK_EVERY_S)) == 1


def test_a_host_is_requested_in_the_families_that_were_not_kept() -> None:
    machine = engine(hosts=host_group(max_prefixes=1))
    ipv6 = [route(f"2001:db8:aa::{n}/128", next_hops="2001:db8::7") for n in range(3)]
    after(machine, update(*guests(1, 2)), update(*ipv6))
    after(machine, withdraw(*(entry.route.key for entry in machine.rib_in.entries())))
    assert requested(machine, CHECK_EVERY_S) == [RefreshWanted(HV7, 6)]
