"""The drain: what routers get while the filter leaves service, and when it is back (RFC 8326)."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.core_samples import (
    data,
    host_group,
    path,
    prefix,
    prefixes,
    route,
    up,
    update,
    withdraw,
)
from support.engine_bench import after, changed, engine, logged
from support.filter_site import CONFIG, HOST, ROUTER, TRUTH
from support.speaker import MARKED, announce, state

from rsfilter.config.build import parse_config
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.filter import Filter
from rsfilter.routing import slices
from rsfilter.routing.drain import Drain, DrainPhase, DrainState
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import DrainRequested
from rsfilter.routing.export import GRACEFUL_SHUTDOWN
from rsfilter.routing.model import Attributes
from rsfilter.rpki.truth import parse_truth

ONE, TWO, V6 = "203.0.113.1/32", "203.0.113.2/32", "2001:db8:aa::1/128"


def drain_request(
    *, on: bool = True, source: str = "operator", at_once: bool = False
) -> DrainRequested:
    return DrainRequested(source, on, "alice", at_once)


# Who wants it, and since when --------------------------------------------------------------------


def test_a_drain_announces_graceful_shutdown_then_withdraws() -> None:
    drain = Drain(30.0)
    assert drain.state == DrainState(DrainPhase.IN_SERVICE, (), None)
    assert drain.request(drain_request(), 100.0)
    assert drain.state == DrainState(DrainPhase.DRAINING, ("operator: alice",), 130.0)
    assert not drain.expire(129.9)
    assert drain.expire(130.0)
    assert drain.state == DrainState(DrainPhase.DRAINED, ("operator: alice",), None)
    assert not drain.expire(1000.0)


def test_asking_twice_is_no_news_and_gives_no_more_time() -> None:
    drain = Drain(30.0)
    drain.request(drain_request(), 100.0)
    assert not drain.request(drain_request(), 120.0)
    assert drain.state.until == 130.0


def test_service_returns_when_the_last_requester_allows_it() -> None:
    drain = Drain(30.0)
    drain.request(drain_request(), 100.0)
    assert drain.request(drain_request(source="readiness"), 101.0)
    assert drain.state.why == ("operator: alice", "readiness: alice")
    assert drain.request(drain_request(on=False), 102.0)
    assert drain.state == DrainState(DrainPhase.DRAINING, ("readiness: alice",), 130.0)
    assert drain.request(drain_request(on=False, source="readiness"), 103.0)
    assert drain.state == DrainState(DrainPhase.IN_SERVICE, (), None)
    assert not drain.expire(1000.0)


def test_the_end_of_a_drain_that_was_never_requested_is_no_news() -> None:
    assert not Drain().request(drain_request(on=False), 0.0)


def test_with_nothing_to_lose_it_is_gone_at_once() -> None:
    drain = Drain(30.0)
    drain.request(drain_request(at_once=True), 100.0)
    assert drain.state == DrainState(DrainPhase.DRAINED, ("operator: alice",), None)
    drain.request(drain_request(source="readiness"), 101.0)  # it does not come back to leave again
    assert drain.state.phase is DrainPhase.DRAINED


# What routers get --------------------------------------------------------------------------------


def communities(machine: Engine, where: str, group: str = "leaves") -> list[tuple[int, int]]:
    ((_, attributes),) = machine.routes_out(group)[prefix(where)]
    return list(attributes.communities)


def serving() -> Engine:
    marked = Attributes(as_path=path("65007"), communities=((65007, 1), GRACEFUL_SHUTDOWN))
    own = prefixes("198.51.100.7 2001:db8:c633::7")
    machine = engine(hosts=host_group(next_hops=own))
    v6 = route(V6, next_hops="2001:db8:c633::7")
    after(machine, up(), update(route(ONE), v6), update(route(TWO, attributes=marked)))
    return machine


def test_everything_is_announced_as_about_to_go_then_withdrawn_then_back() -> None:
    machine = serving()
    actions = after(machine, drain_request(), now=100.0)
    assert logged(actions) == [
        "draining: operator asks to leave service: alice [operator: alice]",
    ]
    # TWO had the mark of its host already, so nothing changes for it.
    assert changed(actions) == [f"{g} {p}" for g in ("leaves", "spines") for p in (ONE, V6)]
    assert communities(machine, ONE) == [GRACEFUL_SHUTDOWN]
    assert communities(machine, V6, "spines") == [GRACEFUL_SHUTDOWN]
    assert communities(machine, TWO) == [(65007, 1), GRACEFUL_SHUTDOWN]
    assert machine.next_timer() == 130.0

    actions = machine.expire(130.0)
    assert logged(actions) == ["drained: drain_time is over [operator: alice]"]
    assert changed(actions) == [f"{g} {p}" for g in ("leaves", "spines") for p in (ONE, V6, TWO)]
    assert not machine.routes_out("leaves")
    assert not machine.routes_out("spines")
    assert machine.next_timer() is None

    actions = after(machine, drain_request(on=False), now=200.0)
    assert logged(actions) == ["in_service: operator no longer does: alice []"]
    assert communities(machine, ONE) == []
    assert communities(machine, TWO) == [(65007, 1), GRACEFUL_SHUTDOWN]
    assert set(machine.routes_out("spines")) == {prefix(p) for p in (ONE, TWO, V6)}


def test_what_hosts_do_meanwhile_counts() -> None:
    machine = serving()
    after(machine, drain_request(), now=100.0)
    actions = after(machine, update(route("203.0.113.3/32")), withdraw(route(ONE).key))
    assert changed(actions) == [f"leaves {ONE}", f"spines {ONE}"]
    assert communities(machine, "203.0.113.3/32") == [GRACEFUL_SHUTDOWN]
    machine.expire(130.0)
    actions = after(machine, update(route("203.0.113.4/32")))
    assert logged(actions) == ["203.0.113.4/32 accepted (announce)"]
    assert changed(actions) == []
    after(machine, drain_request(on=False), now=200.0)
    assert set(machine.routes_out("leaves")) == {
        prefix(p) for p in (TWO, V6, "203.0.113.3/32", "203.0.113.4/32")
    }


def test_another_voice_changes_nothing_for_routers() -> None:
    machine = serving()
    after(machine, drain_request(), now=100.0)
    actions = after(machine, drain_request(source="readiness"), now=101.0)
    assert logged(actions) == [
        "draining: readiness asks to leave service: alice [operator: alice, readiness: alice]"
    ]
    assert changed(actions) == []


def test_a_large_table_leaves_in_slices() -> None:
    """No step reads more than a slice of the table, and changes of hosts between steps count."""
    with patch.object(slices, "SLICE", 10):
        machine = engine(data(["10.0.0.0/8-32 AS65007"]))
        routes = [route(f"10.0.0.{number}/32") for number in range(100)]
        after(machine, up(), update(*routes))
        steps = [after(machine, drain_request(), now=100.0)]
        after(machine, withdraw(routes[99].key), update(route("10.0.1.1/32")))
        while machine.is_busy:
            steps.append(machine.expire(100.0))
        assert all(len(change.prefixes) <= 10 for step in steps for change in step.out)
        out = machine.routes_out("spines")
        assert set(out) == {each.key.prefix for each in routes[:99]} | {prefix("10.0.1.1/32")}
        assert all(a.communities == (GRACEFUL_SHUTDOWN,) for ((_, a),) in out.values())


def test_who_comes_back_in_the_middle_of_leaving_is_back_everywhere() -> None:
    with patch.object(slices, "SLICE", 10):
        machine = engine(data(["10.0.0.0/8-32 AS65007"]))
        after(machine, up(), update(*(route(f"10.0.0.{number}/32") for number in range(100))))
        before = dict(machine.routes_out("spines"))
        after(machine, drain_request(), now=100.0)
        machine.expire(101.0)
        after(machine, drain_request(on=False), now=102.0)
        while machine.is_busy:
            machine.expire(103.0)
        assert machine.routes_out("spines") == before


@settings(max_examples=100)
@given(
    st.lists(
        st.one_of(
            st.builds(
                DrainRequested,
                st.sampled_from(["operator", "readiness"]),
                st.booleans(),
                st.just("x"),
                st.booleans(),
            ),
            st.sampled_from([update(route(ONE)), update(route(TWO)), withdraw(route(ONE).key)]),
            st.floats(0.0, 40.0),
        ),
        max_size=12,
    )
)
def test_coming_back_leaves_no_trace(steps: list[object]) -> None:
    """Routers have the routes that they would have had, once all requests have ended."""
    machine, plain, now = engine(), engine(), 0.0
    for step in steps:
        if isinstance(step, float):
            now += step
            machine.expire(now)
        elif isinstance(step, DrainRequested):
            machine.handle(step, now)
        else:
            machine.handle(step, now)  # type: ignore[arg-type]
            plain.handle(step, now)  # type: ignore[arg-type]
    for source in ("operator", "readiness"):
        machine.handle(drain_request(on=False, source=source), now)
    for group in ("leaves", "spines"):
        assert machine.routes_out(group) == plain.routes_out(group)


# The filter around it ----------------------------------------------------------------------------


class Bench:
    """A filter that has its data, and what it wrote."""

    def __init__(self) -> None:
        text = CONFIG + "[readiness]\ndrain_time = 30\n"
        own = parse_config(text, Path("rsfilter.toml"))
        sources = Sources.of(own)
        self.filter = Filter(own, sources.nothing)
        event = sources.truth_loaded(parse_truth(json.dumps(TRUTH).encode(), "truth.json", 0.0))
        assert event is not None
        self.filter.data_replaced(event, 0.0)
        self.now = 0.0
        self.commands()

    def lines(self, *lines: bytes) -> list[str]:
        for one in lines:
            self.filter.line(one.rstrip(b"\n"), self.now)
        return self.commands()

    def commands(self) -> list[str]:
        return [c.decode().strip() for c in self.filter.commands(self.now)]


TOLD = f"{ROUTER} ipv4 unicast 203.0.113.1/32 next-hop {HOST}".encode()


def test_a_new_process_that_is_drained_before_it_knows_anything_announces_nothing() -> None:
    bench = Bench()
    bench.filter.drain(on=True, by="/x is there", now=0.0, source="readiness")
    bench.lines(*MARKED, b"[]", b"done")
    bench.lines(*MARKED, b"done", state(ROUTER, 65200, "up"), state(HOST, 65001, "up"))
    assert bench.filter.drain_state.phase is DrainPhase.DRAINED
    assert not [c for c in bench.lines(announce(HOST, 65001, ["203.0.113.1/32"])) if "nlri" in c]
    bench.filter.drain(on=False, by="ready", now=1.0, source="readiness")
    assert [c for c in bench.commands() if "nlri 203.0.113.1/32" in c]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_new_process_announces_graceful_shutdown_for_the_one_before_it(is_late: bool) -> None:
    bench = Bench()
    if not is_late:
        bench.filter.drain(on=True, by="/x is there", now=0.0, source="readiness")
    bench.lines(*MARKED, b"[]", b"done")
    bench.lines(*MARKED, TOLD, b"done")
    if is_late:
        bench.filter.drain(on=True, by="/x is there", now=0.0, source="readiness")
    assert bench.filter.drain_state.phase is DrainPhase.DRAINING
    bench.lines(state(ROUTER, 65200, "up"), state(HOST, 65001, "up"))
    commands = bench.lines(announce(HOST, 65001, ["203.0.113.1/32"]))
    (announced,) = [c for c in commands if "nlri 203.0.113.1/32" in c]
    assert "community [ 65535:0 ]" in announced
    assert bench.filter.next_timer() == 30.0
