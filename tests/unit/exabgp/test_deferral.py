"""The delay of End-of-RIB for the hosts after a start of ExaBGP, in virtual time."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from support.filter_site import CONFIG, HOST, OTHER, TRUTH
from support.speaker import MARKED, announce, line, state

from rsfilter.config.build import parse_config
from rsfilter.exabgp.capabilities import Established, Shown
from rsfilter.exabgp.deferral import DEADLINE_S, SILENCE_S, Deferral
from rsfilter.exabgp.messages import Message, Opened
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.filter import Filter
from rsfilter.routing.events import EndOfRib, SessionDown, SessionUp, Update
from rsfilter.routing.model import Address, Attributes
from rsfilter.rpki.truth import parse_truth

ROUTER = Address.parse("192.0.2.10")
A, B, C = (Address.parse(f"198.51.100.{n}") for n in (1, 2, 3))
V4, V6 = "ipv4 unicast", "ipv6 unicast"


def absent(neighbor: Address, duration: int = 0) -> Shown:
    return Shown(neighbor, duration, None)


def present(neighbor: Address, duration: int = 1) -> Shown:
    offers = Opened(neighbor, frozenset({4, 6}), frozenset())
    return Shown(neighbor, duration, Established(neighbor, 65001, offers))


def opened(host: Address, *families: int) -> Opened:
    return Opened(host, frozenset(families), frozenset())


def up(host: Address) -> SessionUp:
    return SessionUp(host, 65001)


def down(host: Address) -> SessionDown:
    return SessionDown(host, 65001, "gone", administrative=False)


def update_from(host: Address) -> Update:
    return Update(host, 65001, Attributes(), (), ())


def end(host: Address, family: str = V4) -> EndOfRib:
    return EndOfRib(host, 65001, family)


def after(deferral: Deferral, *messages: Message, now: float = 0.0) -> list[Address]:
    """Return the hosts still waited for; empty if the deferral is over."""
    for message in messages:
        deferral.message(message, now)
    deferral.expire(now)
    assert deferral.is_over is not bool(deferral.awaited)
    return deferral.awaited


def waiting(*hosts: Address) -> Deferral:
    """A young ExaBGP with these hosts, at time 0."""
    deferral = Deferral([ROUTER])
    deferral.begin([absent(ROUTER), *map(absent, hosts)], 0.0)
    return deferral


def test_end_of_rib_waits_until_each_host_has_ended_each_of_its_families() -> None:
    deferral = waiting(A, B)
    assert after(deferral, opened(A, 4), up(A), end(A)) == [B]
    assert after(deferral, opened(B, 4, 6), up(B), update_from(B), end(B)) == [B]
    assert after(deferral, end(B, V6)) == []


def test_a_host_whose_open_was_not_shown_has_to_end_both() -> None:
    deferral = waiting(A)
    assert after(deferral, up(A), end(A, V6)) == [A]
    assert after(deferral, end(A, V4)) == []


def test_a_host_that_is_up_and_silent_counts_as_finished() -> None:
    deferral = waiting(A, B)
    after(deferral, up(A), up(B), now=10.0)
    assert deferral.next_timer() == 10.0 + SILENCE_S
    after(deferral, update_from(A), now=12.0)
    assert after(deferral, now=10.0 + SILENCE_S) == [A]
    assert deferral.next_timer() == 12.0 + SILENCE_S
    assert after(deferral, now=11.9 + SILENCE_S) == [A]
    assert after(deferral, now=12.0 + SILENCE_S) == []
    assert deferral.next_timer() is None


def test_a_host_that_is_not_there_costs_the_deadline() -> None:
    deferral = waiting(A, B)
    after(deferral, opened(A, 4), up(A), end(A))
    assert deferral.next_timer() == DEADLINE_S
    assert after(deferral, now=DEADLINE_S - 0.1) == [B]
    deferral.expire(DEADLINE_S)
    assert deferral.is_over
    assert deferral.awaited == [B]


def test_a_host_that_keeps_sending_delays_until_the_deadline_at_most() -> None:
    deferral = waiting(A)
    after(deferral, up(A), now=DEADLINE_S - 1)
    after(deferral, update_from(A), now=DEADLINE_S - 0.5)
    assert deferral.next_timer() == DEADLINE_S
    deferral.expire(DEADLINE_S)
    assert deferral.is_over


def test_a_host_that_is_lost_again_is_waited_for_if_it_had_not_finished() -> None:
    deferral = waiting(A, B)
    assert after(deferral, opened(A, 4), up(A), down(A)) == [A, B]
    assert after(deferral, now=SILENCE_S) == [A, B]  # no silence of a host that is down
    assert after(deferral, up(A), end(A), down(A), now=SILENCE_S) == [B]
    assert after(deferral, up(A), now=SILENCE_S) == [B]


def test_a_host_that_is_no_longer_configured_is_not_waited_for() -> None:
    deferral = waiting(A, B)
    deferral.removed(A)
    assert after(deferral) == [B]


def test_what_happened_before_exabgp_answered_counts() -> None:
    deferral = Deferral([ROUTER])
    for message in (up(ROUTER), opened(A, 4), up(A), end(A), up(B), up(C)):
        deferral.message(message, 0.0)
    assert deferral.next_timer() is None
    assert not deferral.is_over
    # C is not ExaBGP's any more. A was shown before its session was noticed.
    deferral.begin([present(ROUTER), absent(A), present(B)], 1.0)
    assert deferral.awaited == [B]


def test_a_host_that_was_lost_again_before_exabgp_answered_is_waited_for() -> None:
    deferral = Deferral([ROUTER])
    for message in (up(A), down(A)):
        deferral.message(message, 0.0)
    deferral.begin([absent(A, duration=3)], 3.0)
    assert deferral.awaited == [A]
    assert not deferral.is_over


def test_without_hosts_there_is_no_wait() -> None:
    for shown in ([], [absent(ROUTER)], [present(A)], [absent(A, duration=7)]):
        deferral = Deferral([ROUTER])
        deferral.begin(shown, 0.0)
        assert deferral.is_over


def test_an_old_exabgp_does_not_wait_and_a_young_one_waits_for_the_rest_of_its_time() -> None:
    """The time of any neighbor is a lower bound of ExaBGP's, a router's too."""
    old, young = Deferral([ROUTER]), Deferral([ROUTER])
    old.begin([present(ROUTER, duration=90), absent(A)], 1000.0)
    assert old.is_over
    young.begin([present(B, duration=60), absent(A)], 1000.0)
    assert young.next_timer() == 1030.0


def test_others_that_come_up_meanwhile_are_not_waited_for() -> None:
    deferral = waiting(A)
    assert after(deferral, up(B), up(ROUTER)) == [A]


STEPS = st.lists(
    st.tuples(
        st.sampled_from([up, down, update_from, end, lambda h: end(h, V6), lambda h: opened(h, 4)]),
        st.sampled_from([A, B, C, ROUTER]),
        st.floats(0.0, 20.0),
    ),
    max_size=30,
)


@given(STEPS, st.integers(0, 30))
def test_a_deferral_always_ends_and_has_a_timer_until_then(
    steps: list[tuple[object, Address, float]], begins: int
) -> None:
    deferral, now = Deferral([ROUTER]), 0.0
    for number, (make, host, pause) in enumerate([*steps, (update_from, A, 0.0)]):
        if number == min(begins, len(steps)):
            deferral.begin([absent(A), absent(B), present(C)], now)
            begun = now
        now += pause
        deferral.message(make(host), now)  # type: ignore[operator]
        deferral.expire(now)
    while not deferral.is_over:
        timer = deferral.next_timer()
        assert timer is not None
        assert timer > now  # else the filter would spin
        now = timer
        deferral.expire(now)
    assert now <= max(begun + DEADLINE_S, now if steps else 0.0)
    assert deferral.next_timer() is None


# The filter around it ----------------------------------------------------------------------------


def shown_down(host: str) -> dict[str, object]:
    side = {"address": host, "as": 65001, "families": {V4: None}, "add-path": {V4: None}}
    return {"state": "down", "duration": 0, "fsm": "IDLE", "local": {**side}, "peer": side}


def test_announcements_flow_and_end_of_rib_waits() -> None:
    own = parse_config(CONFIG, Path("rsfilter.toml"))
    sources = Sources.of(own)
    machine = Filter(own, sources.nothing)
    loaded = sources.truth_loaded(parse_truth(json.dumps(TRUTH).encode(), "truth.json", 0.0))
    assert loaded is not None
    machine.data_replaced(loaded, 0.0)

    def after_lines(*lines: bytes, now: float = 0.0) -> str:
        for one in lines:
            machine.line(one.rstrip(b"\n"), now)
        return b"".join(machine.commands(now)).decode()

    after_lines()
    neighbors = json.dumps([shown_down(HOST), shown_down(OTHER)]).encode()
    after_lines(*MARKED, neighbors, b"done")
    after_lines(*MARKED, b"done", state("192.0.2.10", 65200, "up"), state(HOST, 65001, "up"))
    commands = after_lines(announce(HOST, 65001, ["203.0.113.1/32"]), now=1.0)
    assert "nlri 203.0.113.1/32" in commands
    assert "eor" not in commands
    assert machine.next_timer() == 1.0 + SILENCE_S
    assert "eor" not in after_lines(now=1.0 + SILENCE_S)
    assert machine.next_timer() == DEADLINE_S
    end_of_rib = (
        '"direction": "receive", "message": { "eor": { "afi" : "ipv4", "safi" : "unicast" } }'
    )
    opened_v4 = (
        '"direction": "receive", "open": { "version": 4, "asn": 65002, "hold_time": 180, '
        '"router_id": "198.51.100.2", "capabilities": {} }'
    )
    commands = after_lines(
        line("open", OTHER, 65002, opened_v4),
        state(OTHER, 65002, "up"),
        line("update", OTHER, 65002, end_of_rib),
        now=20.0,
    )
    assert "announce eor ipv4 unicast" in commands
