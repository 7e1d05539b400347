"""Very many prefixes of one router: no step checks more than a few, and none is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from support.core_samples import address, prefix
from support.egress_samples import best

from rsfilter.exabgp import egress as egress_module
from rsfilter.exabgp import router as router_module
from rsfilter.exabgp.egress import Egress
from rsfilter.exabgp.router import RouterState
from rsfilter.exabgp.router_states import Phase
from rsfilter.routing.export import Paths
from rsfilter.routing.groups import RouterGroup
from rsfilter.routing.model import Prefix

ROUTER = address("192.0.2.10")
MANY = [prefix(f"203.0.113.{n}") for n in range(10)]
MAX_CHECKS = 3


class Desired(dict[Prefix, Paths]):
    """Paths that count how often they are read."""

    reads = 0

    def get(self, prefix: Prefix, default: Paths = ()) -> Paths:  # type: ignore[override]
        self.reads += 1
        return super().get(prefix, default)


@pytest.fixture(autouse=True)
def _few_at_once() -> Iterator[None]:
    with (
        patch.object(router_module, "MAX_CHECKS", MAX_CHECKS),
        patch.object(egress_module, "MAX_CHECKS", MAX_CHECKS),
        patch.object(egress_module, "LEAST_CHECKS", 1),
        patch.object(router_module, "WINDOW", MAX_CHECKS),
    ):
        yield


def filled() -> RouterState:
    """A router that has all prefixes."""
    state = RouterState(ROUTER)
    desired = {each: best(1) for each in MANY}
    state.up(desired)
    run(state, desired)
    state.end_of_rib_sent()
    return state


def run(state: RouterState, desired: dict[Prefix, Paths]) -> int:
    """Take steps until the first barrier; return how many prefixes were changed."""
    sent = 0
    for _ in range(100):
        changes = state.take(desired, 100, 100, MAX_CHECKS)
        sent += sum(map(len, changes.values()))
        if state.barrier():
            state.barrier_taken()
            return sent
        assert state.is_behind
    raise AssertionError("no barrier")


def test_a_router_that_comes_up_is_sent_its_table_in_steps() -> None:
    state = filled()
    state.down()
    desired = Desired({each: best(1) for each in MANY})
    state.up(desired)
    for _ in range(2):
        before = desired.reads
        state.take(desired, 100, 100, MAX_CHECKS)
        assert desired.reads - before <= MAX_CHECKS
        assert state.is_behind
        assert state.barrier() == []
    assert 2 * MAX_CHECKS + run(state, desired) == len(MANY)


def test_what_has_gone_while_a_router_was_away_is_checked_in_steps() -> None:
    """Require that nothing of it is sent before the barrier: no change that was sent ends a
    step."""
    state = filled()
    state.down()
    desired = Desired()
    state.up(desired)
    for _ in range(3):
        before = desired.reads
        assert state.take(desired, 100, 100, MAX_CHECKS) == {}
        assert desired.reads - before <= MAX_CHECKS
    run(state, desired)
    state.end_of_rib_sent()
    assert state.phase is Phase.SETTLED
    sent = 0
    for _ in range(len(MANY)):
        sent += sum(map(len, state.take(desired, 100, 100, MAX_CHECKS).values()))
    assert sent == len(MANY)
    assert not state.announced
    assert not state.is_behind


def test_a_change_in_the_middle_of_it_is_sent_once_and_is_the_newest() -> None:
    state = filled()
    state.down()
    desired = {each: best(1) for each in MANY}
    state.up(desired)
    state.take(desired, 100, 100, MAX_CHECKS)
    desired[MANY[9]] = best(2)
    state.mark([MANY[9]], desired)
    changes = state.take(desired, 100, 100, MAX_CHECKS)
    assert MANY[9] in [each for together in changes.values() for each in together]
    assert MAX_CHECKS + sum(map(len, changes.values())) + run(state, desired) == len(MANY)
    assert dict(state.announced[MANY[9]]) == dict(best(2))


def test_a_session_that_ends_in_the_middle_leaves_nothing_to_do() -> None:
    state = filled()
    state.down()
    state.up({})
    state.take({}, 100, 100, MAX_CHECKS)
    state.down()
    assert not state.is_behind
    state.up({each: best(1) for each in MANY})
    assert run(state, {each: best(1) for each in MANY}) == len(MANY)


def test_routers_share_what_is_checked_in_a_step() -> None:
    routers = tuple(address(f"192.0.2.{n}") for n in (10, 11, 12))
    desired = Desired({each: best(1) for each in MANY})
    egress = Egress(65100, [RouterGroup("leaves", routers, 65200)], lambda group: desired)
    for each in routers:
        egress.router_up(each)
    before = desired.reads
    lines = egress.commands(0.0)
    assert desired.reads - before <= MAX_CHECKS
    assert [line.count(b"neighbor") for line in lines] == [3]
    assert egress.next_timer() == float("-inf")


def test_very_many_changes_at_once_are_marked_in_steps() -> None:
    desired: dict[Prefix, Paths] = {}
    egress = Egress(65100, [RouterGroup("leaves", (ROUTER,), 65200)], lambda group: desired)
    egress.router_up(ROUTER)
    desired.update({each: best(1) for each in MANY})
    egress.changed("leaves", MANY)
    state = egress.routers[ROUTER]
    assert not state._pending.fresh
    assert run(state, desired) == len(MANY)
