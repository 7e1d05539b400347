"""A prefix that many hosts announce: the change of one route does not cost what all of them do."""

from __future__ import annotations

import time
from unittest.mock import patch

import pytest
from support.core_samples import (
    data,
    host_group,
    path,
    prefix,
    route,
    router_group,
    update,
    withdraw,
)
from support.engine_bench import after, changed, engine, paths, replaced
from support.growth import grows_gently

from rsfilter.exabgp.egress import Egress
from rsfilter.routing import adj_rib_in
from rsfilter.routing.effects import Actions
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import SessionUp
from rsfilter.routing.groups import Limits
from rsfilter.routing.model import Attributes, Route

ANYCAST = "203.0.113.1/32"
OWNED = data(["203.0.113.0/24-32 AS65007"])
LEAVES = router_group("leaves", "192.0.2.10")
SPINES = router_group("spines", "192.0.2.20", all_paths=True)
NO_EXPORT = (65535, 65281)


def host(number: int) -> str:
    return f"198.18.{number >> 8}.{number & 255}"


def owner(number: int, med: int | None = None, *communities: tuple[int, int]) -> Route:
    attributes = Attributes(path("65007"), med=med, communities=communities)
    return route(ANYCAST, neighbor=host(number), attributes=attributes)


def owners(count: int) -> Engine:
    """Announce one address from so many hosts, one after the other."""
    machine = engine(OWNED, hosts=host_group("198.18.0.0/15"), routers=(LEAVES, SPINES))
    after(machine, *(update(owner(number)) for number in range(count)))
    return machine


def cpu(count: int) -> float:
    """CPU seconds that so many owners cost: all come, then each flaps."""
    least = float("inf")
    for _ in range(3):
        began = time.process_time()
        machine = owners(count)
        for number in range(count):
            after(machine, withdraw(owner(number).key), update(owner(number)))
        least = min(least, time.process_time() - began)
    return least


def test_many_owners_cost_about_as_much_each_as_few() -> None:
    """Four times as many cost some four times as much; a quadratic rule would make it sixteen."""
    costs = [cpu(count) for count in (400, 800, 1600)]
    assert grows_gently(costs), costs


def test_a_change_of_data_for_2000_owners_is_worked_off_in_slices() -> None:
    machine = owners(2000)
    machine.guard.limits = Limits(100, 0)
    machine.handle(replaced(data(["203.0.113.0/24-32 AS65008"])), 1.0)
    judged = 0
    while machine.is_busy:
        actions = machine.expire(1.0)
        assert len(actions.audit) <= 1001
        judged += len(actions.audit)
    assert judged == 2001  # one of them reports that other data are in force
    assert machine.routes_out("leaves") == machine.routes_out("spines") == {}


@pytest.mark.parametrize("many", [1, 16])
def test_a_router_of_all_paths_gets_the_one_that_changed(many: int) -> None:
    with patch.object(adj_rib_in, "MANY", many):
        machine = owners(40)
        egress = Egress(65100, (LEAVES, SPINES), machine.routes_out)

        def follow(actions: Actions) -> list[bytes]:
            for change in actions.out:
                egress.changed(change.group, change.prefixes)
            return egress.commands(0.0)

        egress.is_ready = True
        (spine,) = SPINES.neighbors
        egress.router_up(spine)
        lines = follow(Actions([], [], []))
        assert sum(line.count(b"path-information") for line in lines) == 40
        for _ in lines:
            egress.replied(ok=True, now=0.0)
        egress.end_of_rib_sent(spine)
        for _ in egress.commands(0.0):
            egress.replied(ok=True, now=0.0)
            egress.end_of_rib_sent(spine)
        (line, *_) = follow(after(machine, update(owner(7, med=5))))
        assert b"198.18.0.7" in line
        assert line.count(b"path-information") == 1


@pytest.mark.parametrize("many", [1, 3, 16])
def test_the_best_of_many_is_the_best_whatever_left(many: int) -> None:
    with patch.object(adj_rib_in, "MANY", many):
        machine = owners(5)
        assert list(paths(machine, ANYCAST).values()) == [host(0)]
        after(machine, update(owner(0, med=7)))
        assert list(paths(machine, ANYCAST).values()) == [host(1)]
        after(machine, update(owner(1, 0, NO_EXPORT)))
        assert list(paths(machine, ANYCAST).values()) == [host(2)]
        wanted = [host(number) for number in (2, 3, 4, 0)]
        assert list(paths(machine, ANYCAST, "spines").values()) == wanted
        after(machine, *(withdraw(owner(number).key) for number in (2, 3, 4, 1)))
        assert list(paths(machine, ANYCAST).values()) == [host(0)]
        actions = after(machine, withdraw(owner(0).key))
        assert changed(actions) == [f"leaves {ANYCAST}", f"spines {ANYCAST}"]
        assert prefix(ANYCAST) not in machine.routes_out("spines")


@pytest.mark.parametrize("many", [1, 16])
@pytest.mark.parametrize("communities", [(), (NO_EXPORT,)], ids=["plain", "no-export"])
def test_what_the_guard_holds_is_never_beside_an_owner(
    many: int, communities: tuple[tuple[int, int], ...]
) -> None:
    """The rule holds even if the owner requests no export: the prefix is not the other host's."""
    with patch.object(adj_rib_in, "MANY", many):
        machine = owners(4)
        machine.guard.limits = Limits(1, 0)
        after(machine, replaced(data(["203.0.113.0/24-32 AS65008"])))
        assert machine.guard.held == 4
        assert len(paths(machine, ANYCAST, "spines")) == 4
        attributes = Attributes(path("65008"), med=9, communities=communities)
        new = route(ANYCAST, neighbor=host(99), asn=65008, attributes=attributes)
        after(machine, SessionUp(new.key.neighbor, 65008), update(new))
        expected = [] if communities else [host(99)]
        assert list(paths(machine, ANYCAST).values()) == expected
        assert list(paths(machine, ANYCAST, "spines").values()) == expected
        after(machine, withdraw(new.key, asn=65008))
        assert len(paths(machine, ANYCAST, "spines")) == 4
