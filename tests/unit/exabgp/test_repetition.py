"""Repetitions of hosts: how they are caused, and when each has finished; in virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rsfilter.exabgp.messages import Opened
from rsfilter.exabgp.repetition import (
    AGAIN_S,
    LIMIT_S,
    MAX_AGAIN,
    REQUESTS_AT_ONCE,
    RESTART_AGAIN_S,
    RESTARTS_AT_ONCE,
    RESTARTS_EVERY_S,
    SILENCE_S,
    Repetition,
)
from rsfilter.routing.events import EndOfRib, RefreshMark, SessionDown, SessionUp
from rsfilter.routing.model import IPV4, IPV6, Address

A, B = Address.parse("198.51.100.1"), Address.parse("198.51.100.2")
V4, V6 = FAMILIES = ("ipv4 unicast", "ipv6 unicast")
BOTH = frozenset({IPV4, IPV6})
SILENT_AT = AGAIN_S + SILENCE_S
"""Time at which a host without marks and without new routes has finished."""


def offers(host: Address, *, refresh: bool = True, families: frozenset[int] = BOTH) -> Opened:
    return Opened(host, families, frozenset(), offers_refresh=refresh)


def number(host: int) -> Address:
    return Address(IPV4, 0xC6330000 + host)


class Rig:
    """Hosts that were up, and an ExaBGP that passes on every request at once."""

    def __init__(self, *hosts: Opened) -> None:
        self.repetition = Repetition()
        self.owing: set[Address] = set()
        """Silent hosts that something is missing of."""
        for host in hosts:
            self.repetition.expect(host)
        self.repetition.begin()

    def at(self, now: float) -> tuple[list[tuple[Address, int]], list[Address]]:
        """Requests and restarts at a time."""
        self.repetition.expire(now, self.owing.__contains__)
        requests = []
        while some := self.repetition.requests():
            requests += some
            for host, _ in some:
                self.repetition.passed_on(host, now)
        return requests, self.repetition.restarts(now)

    def unfinished(self, now: float) -> list[Address]:
        """Hosts that have not finished, after a check at this time."""
        self.at(now)
        return sorted(self.repetition.hosts)

    def hear(self, now: float, *messages: object) -> None:
        for message in messages:
            self.repetition.message(message, now)  # type: ignore[arg-type]

    def repeats(self, now: float, host: Address, *families: str) -> None:
        for family in families:
            self.hear(now, RefreshMark(host, 65001, family, is_end=False))
            self.hear(now, RefreshMark(host, 65001, family, is_end=True))


def up(host: Address) -> SessionUp:
    return SessionUp(host, 65001)


def down(host: Address, *, administrative: bool = False) -> SessionDown:
    return SessionDown(host, 65001, "notification sent (6,4)", administrative)


# Route refresh -----------------------------------------------------------------------------------


def test_a_host_is_requested_in_each_negotiated_family() -> None:
    rig = Rig(offers(A), offers(B, families=frozenset({IPV6})))
    assert rig.at(0.0) == ([(A, IPV4), (A, IPV6), (B, IPV6)], [])
    rig.repeats(1.0, A, V4)
    assert rig.unfinished(1.0) == [A, B]
    rig.repeats(1.0, A, V6)
    assert rig.unfinished(1.0) == [B]
    rig.repeats(1.0, B, V6)
    assert rig.repetition.is_over
    assert rig.repetition.finished == [A, B]


def test_nothing_is_requested_before_commands_may_be_written() -> None:
    repetition = Repetition()
    repetition.expect(offers(A))
    repetition.expect(offers(B, refresh=False))
    assert (repetition.requests(), repetition.restarts(0.0)) == ([], [])
    assert not repetition.is_over
    assert not Repetition().is_over


def test_a_host_that_has_not_offered_it_is_never_requested() -> None:
    rig = Rig(offers(A, refresh=False))
    assert rig.at(0.0) == ([], [A])
    rig.repetition.repeat(A, V4, 1.0)
    for now in range(int(LIMIT_S) + 2):
        assert rig.at(float(now))[0] == []


@pytest.mark.parametrize("mark", [True, False])
def test_the_end_of_a_repetition_that_a_dead_process_received_in_part_ends_nothing(
    mark: bool,
) -> None:
    rig = Rig(offers(A))
    rig.at(0.0)
    for family in FAMILIES:
        end = RefreshMark(A, 65001, family, is_end=True)
        rig.hear(0.0, end if mark else EndOfRib(A, 65001, family))
    assert rig.unfinished(0.0) == [A]
    rig.repeats(0.0, A, *FAMILIES)
    assert rig.unfinished(0.0) == []


def test_a_whole_repetition_counts_whichever_process_requested_it() -> None:
    repetition = Repetition()
    for family in FAMILIES:
        repetition.message(RefreshMark(A, 65001, family, is_end=False), 0.0)
    repetition.expect(offers(A))
    repetition.begin()
    for family in FAMILIES:
        repetition.message(RefreshMark(A, 65001, family, is_end=True), 0.0)
    assert repetition.is_over


def test_what_a_host_has_not_begun_to_repeat_is_requested_once_more() -> None:
    """A reload of ExaBGP's configuration may have lost the request."""
    rig = Rig(offers(A))
    rig.at(0.0)
    rig.repeats(1.0, A, V6)
    assert rig.repetition.next_timer() == AGAIN_S
    assert rig.at(AGAIN_S) == ([(A, IPV4)], [])
    assert rig.unfinished(SILENT_AT - 0.1) == [A]
    assert rig.unfinished(SILENT_AT) == []


def test_a_host_that_has_begun_is_not_requested_again() -> None:
    rig = Rig(offers(A))
    rig.at(0.0)
    rig.hear(0.0, *(RefreshMark(A, 65001, family, is_end=False) for family in FAMILIES))
    assert rig.at(AGAIN_S) == ([], [])
    assert rig.unfinished(SILENCE_S) == []


def test_of_very_many_hosts_some_are_requested_again() -> None:
    rig = Rig(*(offers(number(n), families=frozenset({IPV4})) for n in range(3 * MAX_AGAIN)))
    rig.at(0.0)
    assert len(rig.at(AGAIN_S)[0]) == MAX_AGAIN
    assert len(rig.unfinished(SILENCE_S)) == MAX_AGAIN
    assert rig.unfinished(SILENT_AT) == []


def test_few_requests_are_outstanding() -> None:
    """ExaBGP takes long for each of thousands of sessions, and changes of routes wait."""
    repetition = Repetition()
    for n in range(2 * REQUESTS_AT_ONCE):
        repetition.expect(offers(number(n), families=frozenset({IPV4})))
    repetition.begin()
    first = repetition.requests()
    assert len(first) == REQUESTS_AT_ONCE
    assert repetition.requests() == []
    for host, _ in first[:3]:
        repetition.passed_on(host, 1.0)
    assert len(repetition.requests()) == 3


def test_a_host_is_not_silent_before_exabgp_has_passed_the_request_on() -> None:
    repetition = Repetition()
    repetition.expect(offers(A))
    repetition.begin()
    repetition.requests()
    repetition.passed_on(A, 50.0)  # of one family
    repetition.expire(1000.0, lambda _: False)
    assert repetition.next_timer() is None
    assert list(repetition.hosts) == [A]
    repetition.passed_on(A, 2000.0)
    assert repetition.next_timer() == 2000.0 + AGAIN_S


# Silence, and talk -------------------------------------------------------------------------------


def test_a_host_that_sends_new_routes_is_waited_for() -> None:
    rig = Rig(offers(A))
    rig.at(0.0)
    rig.at(AGAIN_S)
    rig.repetition.heard(A, 14.0)
    assert rig.unfinished(SILENT_AT) == [A]
    assert rig.unfinished(14.0 + SILENCE_S) == []


def test_no_host_is_waited_for_because_others_send() -> None:
    rig = Rig(offers(A), offers(B))
    rig.at(0.0)
    rig.at(AGAIN_S)
    for now in range(6, 30, 3):
        rig.repetition.heard(A, float(now))
        rig.at(float(now))
        assert (B in rig.repetition.hosts) == (now < SILENT_AT)
    assert rig.repetition.finished == [B]


def test_a_host_that_sends_without_end_is_waited_for_until_a_limit() -> None:
    rig = Rig(offers(A))
    rig.at(0.0)
    rig.at(AGAIN_S)
    now = AGAIN_S
    while rig.unfinished(now):
        now += 9.0
        rig.repetition.heard(A, now)
    assert AGAIN_S + LIMIT_S <= now < AGAIN_S + LIMIT_S + 9.0


def test_thousands_of_silent_hosts_finish_one_by_one() -> None:
    """Each has its own time, and none costs a scan of all the others."""
    count = 8000
    rig = Rig(*(offers(number(n), families=frozenset({IPV4})) for n in range(count)))
    rig.at(0.0)
    rig.at(AGAIN_S)
    for n in range(count):
        rig.repetition.heard(number(n), 20.0 + n / 1000)
    calls = 0

    def owes(_: Address) -> bool:
        nonlocal calls
        calls += 1
        return False

    now = 20.0
    while rig.repetition.hosts:
        now = max(now, rig.repetition.next_timer() or 0.0)
        rig.repetition.expire(now, owes)
    assert now == pytest.approx(20.0 + (count - 1) / 1000 + SILENCE_S)
    assert calls == count


def test_a_host_that_goes_down_has_finished() -> None:
    rig = Rig(offers(A))
    rig.at(0.0)
    rig.hear(1.0, down(A))
    assert rig.repetition.finished == [A]
    assert rig.at(100.0) == ([], [])


# A session is restarted --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "finished_at"),
    [(FAMILIES, 31.0), ((V4,), 31.0 + SILENCE_S), ((), 30.0 + SILENCE_S)],
    ids=["End-of-RIB", "of one family", "silence"],
)
def test_a_session_that_is_restarted_is_waited_for(
    ends: tuple[str, ...], finished_at: float
) -> None:
    rig = Rig(offers(A, refresh=False))
    assert rig.at(0.0) == ([], [A])
    rig.hear(0.1, down(A))
    assert rig.unfinished(29.0) == [A]
    rig.hear(30.0, offers(A, refresh=False), up(A))
    rig.hear(31.0, *(EndOfRib(A, 65001, family) for family in ends))
    assert rig.unfinished(finished_at - 0.1) == [A] or finished_at == 31.0
    assert rig.unfinished(finished_at) == []


def test_a_host_that_does_not_come_back_is_not_waited_for_without_end() -> None:
    rig = Rig(offers(A, refresh=False))
    rig.at(0.0)
    rig.hear(0.1, down(A))
    assert rig.unfinished(LIMIT_S - 0.1) == [A]
    assert rig.unfinished(LIMIT_S) == []


def test_a_host_that_shuts_down_meanwhile_has_finished() -> None:
    rig = Rig(offers(A, refresh=False))
    rig.at(0.0)
    rig.hear(1.0, down(A, administrative=True))
    assert rig.repetition.is_over


def test_a_host_that_is_lost_again_is_waited_for_all_the_same() -> None:
    rig = Rig(offers(A, refresh=False))
    rig.at(0.0)
    rig.hear(1.0, down(A), offers(A, refresh=False), up(A), down(A))
    assert rig.unfinished(2 * SILENCE_S) == [A]
    rig.hear(30.0, up(A), *(EndOfRib(A, 65001, family) for family in FAMILIES))
    assert rig.unfinished(30.0) == []


def test_an_end_that_leaves_out_what_routers_have_is_followed_by_silence_first() -> None:
    """ExaBGP with `adj-rib-out false` sends its health checks' routes after End-of-RIB."""
    rig = Rig(offers(A, refresh=False), offers(B, refresh=False))
    rig.owing = {A}
    rig.at(0.0)
    rig.hear(0.1, down(A), down(B))
    rig.hear(1.0, up(A), up(B), *(EndOfRib(host, 65001, f) for host in (A, B) for f in FAMILIES))
    assert rig.unfinished(1.0) == [A]
    rig.repetition.heard(A, 6.0)
    assert rig.unfinished(5.9 + SILENCE_S) == [A]
    assert rig.unfinished(6.0 + SILENCE_S) == []


def test_the_end_of_a_session_that_is_lost_again_does_not_count() -> None:
    rig = Rig(offers(A, refresh=False))
    rig.at(0.0)
    rig.hear(1.0, down(A), up(A), *(EndOfRib(A, 65001, family) for family in FAMILIES), down(A))
    assert rig.unfinished(2 * SILENCE_S) == [A]
    rig.hear(30.0, up(A), EndOfRib(A, 65001, V4), down(A), up(A))
    assert rig.unfinished(30.0) == [A]


def test_a_host_that_offers_to_answer_and_does_not_is_restarted_if_something_is_missing() -> None:
    rig = Rig(offers(A), offers(B))
    rig.owing = {A}
    rig.at(0.0)
    rig.at(AGAIN_S)
    assert rig.at(SILENT_AT) == ([], [A])
    assert rig.repetition.finished == [B]
    rig.hear(20.0, down(A), up(A))
    assert rig.at(20.0 + SILENCE_S) == ([], []), "not twice"
    assert rig.repetition.is_over


def test_sessions_are_restarted_a_few_at_a_time() -> None:
    count = 3 * RESTARTS_AT_ONCE + 1
    rig = Rig(*(offers(number(n), refresh=False) for n in range(count)))
    sizes = []
    for step in range(5):
        now = step * RESTARTS_EVERY_S
        restarts = rig.at(now)[1]
        sizes.append(len(restarts))
        assert rig.at(now + RESTARTS_EVERY_S / 2)[1] == []
    assert sizes == [RESTARTS_AT_ONCE] * 3 + [1, 0]


def test_the_wait_for_a_host_begins_with_the_restart_of_its_session() -> None:
    hosts = [offers(number(n), refresh=False) for n in range(RESTARTS_AT_ONCE + 1)]
    rig = Rig(*hosts)
    rig.at(0.0)
    rig.at(RESTARTS_EVERY_S)
    assert rig.unfinished(LIMIT_S) == [number(RESTARTS_AT_ONCE)]


def test_a_host_that_is_lost_before_its_turn_is_not_restarted() -> None:
    rig = Rig(offers(A, refresh=False))
    rig.hear(0.0, down(A))
    assert rig.at(0.0) == ([], [])
    assert rig.repetition.is_over


def test_a_session_that_a_process_before_has_restarted_is_waited_for() -> None:
    repetition = Repetition()
    repetition.expect_return(A, 0.0)
    repetition.begin()
    assert repetition.restarts(0.0) == []
    repetition.message(up(A), 5.0)
    for family in FAMILIES:
        repetition.message(EndOfRib(A, 65001, family), 6.0)
    repetition.expire(6.0, lambda _: False)
    assert repetition.is_over


# More than was kept ------------------------------------------------------------------------------


def known(*hosts: Opened) -> Rig:
    rig = Rig()
    rig.hear(0.0, *hosts)
    return rig


def test_a_host_is_requested_to_repeat_what_was_not_kept() -> None:
    rig = known(offers(A))
    rig.repetition.repeat(A, V6, 5.0)
    assert rig.at(5.0) == ([(A, IPV6)], [])
    assert rig.repetition.is_over, "nothing waits for it"


@pytest.mark.parametrize("opened", [lambda: offers(A, refresh=False), lambda: up(A)])
def test_without_route_refresh_its_session_is_restarted_but_seldom(
    opened: Callable[[], Opened],
) -> None:
    rig = known(opened())
    rig.repetition.repeat(A, V4, 5.0)
    rig.repetition.repeat(A, V6, 5.0)
    assert rig.at(5.0) == ([], [A])
    rig.hear(6.0, down(A), up(A), *(EndOfRib(A, 65001, family) for family in FAMILIES))
    assert rig.unfinished(6.0) == []
    rig.repetition.repeat(A, V4, 7.0)
    assert rig.at(7.0) == ([], [])
    assert rig.at(4.9 + RESTART_AGAIN_S) == ([], [])
    assert rig.repetition.next_timer() == 5.0 + RESTART_AGAIN_S
    assert rig.at(5.0 + RESTART_AGAIN_S) == ([], [A])


def test_a_host_that_was_removed_has_nothing_to_repeat() -> None:
    rig = known(offers(A, refresh=False))
    rig.repetition.repeat(A, V4, 5.0)
    rig.hear(5.0, down(A))
    assert rig.at(6.0) == ([], [])
    assert rig.repetition.next_timer() is None
