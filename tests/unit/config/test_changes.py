"""Reloads of the configuration: what is taken in, and what follows for present routes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.core_samples import OWN_ASN, address, data, host_group, route, up, update, withdraw
from support.engine_bench import (
    LEAVES,
    NOTHING,
    OWNED,
    SPINES,
    after,
    changed,
    engine,
    logged,
    replaced,
    verdicts,
)
from support.filter_site import CONFIG

from rsfilter.config.build import parse_config
from rsfilter.config.changes import FIXED, LIVE, refusals
from rsfilter.config.changes import changed as sections
from rsfilter.config.model import Config
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import DrainRequested, Event, PolicyReplaced
from rsfilter.routing.groups import HostGroup, Limits
from rsfilter.routing.guard import DEFAULT_LIMITS

HERE = Path("/etc/rsfilter/rsfilter.toml")


def config(*edits: tuple[str, str], more: str = "") -> Config:
    text = CONFIG
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return parse_config(text + more, HERE)


# What is taken in --------------------------------------------------------------------------------


def test_every_section_is_either_taken_in_or_refused() -> None:
    assert {field.name for field in fields(Config)} == {"path", *LIVE, *FIXED}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (config(), []),
        (config(("max_prefixes = 1000000", "max_prefixes = 5")), ["hosts"]),
        (config(("198.51.100.0/24", "198.51.101.0/24")), ["hosts"]),
        (config(more="[guard]\nmin_loss = 3\n"), ["guard"]),
        (config(more='[readiness]\nready_file = "ready"\n'), ["readiness"]),
    ],
)
def test_what_decides_about_routes_is_taken_in(wanted: Config, expected: list[str]) -> None:
    assert refusals(config(), wanted) == []
    assert sections(config(), wanted) == expected


ROUTER_HOST = ('["192.0.2.10"]', '["192.0.2.11"]')


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (config(("asn = 65100", "asn = 65101")), ["route_server"]),
        (config(("asn = 65200", "asn = 65201")), ["routers"]),
        (config(('"truth.json"', '"other.json"')), ["truth"]),
        (config(more='[rtr]\ncaches = ["192.0.2.50:8282"]\n'), ["rtr"]),
        (config(more='[audit]\ndirectory = "elsewhere"\n'), ["audit"]),
        (config(more='[http]\nlisten = "127.0.0.1:9999"\n'), ["http"]),
        (config(("asn = 65100", "asn = 65101"), ROUTER_HOST), ["route_server", "routers"]),
    ],
)
def test_what_needs_a_restart_is_refused(wanted: Config, expected: list[str]) -> None:
    assert refusals(config(), wanted) == [
        f"{section}: changing it requires a restart of rsfilter" for section in expected
    ]


def test_no_neighbor_changes_its_role() -> None:
    as_host = config(ROUTER_HOST, ('"198.51.100.0/24"', '"198.51.100.0/24", "192.0.2.10"'))
    assert refusals(config(), as_host)[0] == "192.0.2.10 would change its role from router to host"
    assert refusals(as_host, config())[0] == "192.0.2.10 would change its role from host to router"


# What follows ------------------------------------------------------------------------------------

ONE, TWO, THREE, FOUR = (f"203.0.113.{n}/32" for n in (1, 2, 3, 4))
HV7 = "198.51.100.7"


def rules(
    limits: Limits = DEFAULT_LIMITS, drain_time: float = 30.0, **options: object
) -> PolicyReplaced:
    return PolicyReplaced((host_group(**options),), limits, drain_time)  # type: ignore[arg-type]


def serving(**options: object) -> Engine:
    machine = engine(hosts=host_group(**options))  # type: ignore[arg-type]
    after(machine, up(), *(update(route(where)) for where in (ONE, TWO, THREE)))
    return machine


def announced(machine: Engine) -> set[str]:
    return {str(where) for where in machine.routes_out("spines")}


def test_routes_are_judged_by_the_new_rules() -> None:
    machine = serving()
    actions = after(machine, rules(ipv4_lengths=frozenset({24})))
    assert logged(actions) == [
        f"{where} accepted -> rejected prefix_too_long (config)" for where in (ONE, TWO, THREE)
    ]
    assert announced(machine) == set()
    actions = after(machine, rules())
    assert logged(actions) == [
        f"{where} rejected -> accepted (config)" for where in (ONE, TWO, THREE)
    ]
    assert changed(actions) == [f"{g} {w}" for g in ("leaves", "spines") for w in (ONE, TWO, THREE)]


def test_the_same_rules_change_nothing() -> None:
    assert after(serving(), rules()) == NOTHING


def test_a_host_that_no_group_holds_any_more_is_unknown() -> None:
    machine = serving()
    after(machine, rules(networks="198.51.101.0/24"))
    assert verdicts(machine)[f"{HV7} {ONE}"] == "rejected neighbor_unknown"
    assert announced(machine) == set()


def test_a_lower_limit_drops_the_latest_and_a_higher_one_brings_them_back() -> None:
    machine = serving()
    after(machine, rules(max_prefixes=2))
    assert verdicts(machine)[f"{HV7} {THREE}"] == "rejected max_prefixes"
    assert announced(machine) == {ONE, TWO}
    after(machine, update(route(FOUR)))
    after(machine, withdraw(route(ONE).key))  # the oldest beyond the limit moves up
    assert announced(machine) == {TWO, THREE}
    after(machine, rules(max_prefixes=3))
    assert announced(machine) == {TWO, THREE, FOUR}


def test_the_guard_does_not_hold_back_what_the_operator_configures() -> None:
    machine = engine(limits=Limits(1, 1))
    after(machine, up(), *(update(route(where)) for where in (ONE, TWO, THREE)))
    after(machine, rules(Limits(1, 1), max_prefixes=1))
    assert announced(machine) == {ONE}
    assert machine.guard.held == 0


def test_what_is_held_stays_so_unless_the_new_rules_reject_it() -> None:
    machine = engine(limits=Limits(1, 1))
    after(machine, up(), *(update(route(where)) for where in (ONE, TWO, THREE)))
    after(machine, replaced(data(["198.18.0.0/15 AS65099"])))
    assert machine.guard.held == 3
    after(machine, rules(Limits(1, 1), max_prefixes=2))
    assert announced(machine) == {ONE, TWO}
    assert (
        logged(after(machine, rules(ipv4_lengths=frozenset({24}))))[-1] == "guard: ended 0, 0 held"
    )


def test_limits_of_the_guard_and_the_drain_count_from_the_next_time_on() -> None:
    machine = serving()
    after(machine, rules(Limits(1, 1), drain_time=5.0))
    assert logged(after(machine, replaced(data(["203.0.113.1/32 AS65007"]))))[-1] == (
        "guard: held 2 of 3, 2 held"
    )
    after(machine, DrainRequested("operator", True, "x"), now=100.0)
    assert machine.next_timer() == 105.0


STEPS: list[Event] = [
    *(update(route(where)) for where in (ONE, TWO, THREE, FOUR)),
    *(withdraw(route(where).key) for where in (ONE, TWO, THREE, FOUR)),
    update(route(ONE, asn=65007, as_path="65007 65008")),
]
GROUPS = [
    host_group(),
    host_group(max_prefixes=1),
    host_group(max_prefixes=2),
    host_group(max_prepends=3, ipv4_lengths=frozenset({24, 32})),
    host_group("198.51.101.0/24"),
]


@settings(max_examples=200)
@given(
    st.lists(st.one_of(st.sampled_from(STEPS), st.sampled_from(GROUPS)), max_size=20),
    st.sampled_from(GROUPS),
)
def test_in_the_end_only_the_last_rules_count(
    steps: list[Event | HostGroup], last: HostGroup
) -> None:
    """The state is that of a new process with the same input."""
    machine = Engine(OWN_ASN, (host_group(),), (LEAVES, SPINES), OWNED)
    for step in (*steps, last):
        is_group = isinstance(step, HostGroup)
        event = PolicyReplaced((step,), Limits(), 30.0) if is_group else step
        machine.handle(event, 0.0)  # type: ignore[arg-type]
    fresh = Engine(OWN_ASN, (last,), (LEAVES, SPINES), OWNED)
    for entry in machine.rib_in.entries():
        fresh.handle(update(entry.route), 0.0)
    assert verdicts(machine) == verdicts(fresh)
    for group in ("leaves", "spines"):
        assert machine.routes_out(group) == fresh.routes_out(group)
    table = machine.rib_in.tables.get(address(HV7))
    assert table is None or set(table.over_limit) == {
        e.route.key for e in table.entries.values() if not e.within_limit
    }
