"""What a new process asks ExaBGP, and when it may rely on the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial

import pytest

from rsfilter.exabgp.capabilities import Established
from rsfilter.exabgp.messages import Opened, Reply, ShowLine
from rsfilter.exabgp.resync import (
    ANSWER_SILENCE_S,
    MAX_AGAIN,
    REFRESH_AGAIN_S,
    REFRESH_LIMIT_S,
    REFRESH_SILENCE_S,
    Inherited,
    Resync,
    Step,
)
from rsfilter.routing.events import EndOfRib, RefreshMark, SessionDown, SessionUp, Update
from rsfilter.routing.model import Address, Attributes, Prefix, Route, RouteKey

ROUTER, HOST = Address.parse("192.0.2.10"), Address.parse("198.51.100.1")
OTHER = Address.parse("198.51.100.2")
BOTH = frozenset({4, 6})
FAMILIES = ("ipv4 unicast", "ipv6 unicast")


def shown(
    neighbor: Address,
    asn: int,
    *,
    is_up: bool = True,
    families: Iterable[str] = FAMILIES,
) -> str:
    """One neighbor in the answer to `show neighbor json`."""
    speaks = {name: name in families for name in FAMILIES}
    several = {"ipv4 unicast": True, "ipv6 unicast": False}
    side = {"address": str(neighbor), "as": asn, "families": speaks, "add-path": several}
    state = {"state": "up", "fsm": "ESTABLISHED" if is_up else "IDLE", "duration": 7}
    return json.dumps({**state, "local": {**side, "capabilities": {}}, "peer": side})


def answer(*neighbors: str) -> ShowLine:
    return ShowLine(f"[{', '.join(neighbors)}]")


def established(neighbor: Address, asn: int) -> Established:
    return Established(neighbor, asn, Opened(neighbor, BOTH, frozenset({4})))


ROUTER_UP, HOST_UP = shown(ROUTER, 65200), shown(HOST, 65001)
HOST_DOWN = shown(HOST, 65001, is_up=False)
TOLD = "192.0.2.10 ipv4 unicast 203.0.113.1/32 next-hop 198.51.100.1"
TOLD_PATH = (
    "192.0.2.10 ipv6 unicast 2001:db8::1/128 path-information 198.51.100.1 next-hop 2001:db8::9"
)


def repetition(host: Address, family: str) -> list[RefreshMark]:
    """The marks around what a host repeats (RFC 7313)."""
    return [RefreshMark(host, 65001, family, is_end=is_end) for is_end in (False, True)]


def ask(resync: Resync, *messages: object) -> list[object]:
    return [found for m in messages for found in resync.message(m, 0.0)]  # type: ignore[arg-type]


DONE, ERROR = Reply(ok=True), Reply(ok=False)
MARK = [b"#\n", b"reset\n", b"version\n"]
MARKED = (ShowLine("exabgp 5.0.15"), DONE)
"""What comes back for a mark once everything before it is out of the way."""


def after_questions(*neighbors: str) -> Resync:
    """A resync whose `show` commands were answered, and whose last question was asked."""
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, *MARKED, answer(*neighbors), DONE)
    resync.commands(0.0)
    ask(resync, *MARKED, DONE)
    if not resync.is_done:
        resync.commands(0.0)
        ask(resync, *MARKED)
    return resync


def test_one_question_after_the_other() -> None:
    resync = Resync([ROUTER])
    assert resync.commands(0.0) == [*MARK, b"show neighbor json\n"]
    assert ask(resync, DONE, *MARKED, answer(ROUTER_UP, HOST_UP)) == [
        established(ROUTER, 65200),
        established(HOST, 65001),
    ]
    assert resync.commands(0.0) == []
    ask(resync, DONE)
    assert resync.commands(0.0) == [*MARK, b"show adj-rib out\n"]
    assert ask(resync, DONE, *MARKED, ShowLine(f"neighbor {TOLD}"), ShowLine(TOLD_PATH)) == [
        Inherited(ROUTER, Prefix.parse("203.0.113.1/32"), 0),
        Inherited(ROUTER, Prefix.parse("2001:db8::1/128"), HOST.value),
    ]
    ask(resync, DONE)
    assert resync.commands(0.0) == [
        *MARK,
        b"neighbor 198.51.100.1 announce route-refresh ipv4 unicast\n",
        b"neighbor 198.51.100.1 announce route-refresh ipv6 unicast\n",
    ]
    ask(resync, DONE, *MARKED, DONE, DONE)
    assert not resync.is_done, "the host has not repeated itself"
    assert resync.problems == {}


def test_a_host_is_asked_only_for_what_it_speaks() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, *MARKED, answer(shown(HOST, 65001, families=["ipv6 unicast"])), DONE)
    resync.commands(0.0)
    ask(resync, *MARKED, DONE)
    assert resync.commands(0.0) == [
        *MARK,
        b"neighbor 198.51.100.1 announce route-refresh ipv6 unicast\n",
    ]


def test_what_others_than_routers_were_told_is_not_taken_over() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, *MARKED, answer(), DONE)
    resync.commands(0.0)
    assert ask(resync, *MARKED, ShowLine(TOLD.replace(str(ROUTER), str(HOST))), DONE) == []
    assert resync.problems == {}


def test_a_host_that_goes_down_before_the_question_is_not_asked() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, *MARKED, answer(HOST_UP), DONE)
    resync.commands(0.0)
    ask(resync, *MARKED, SessionDown(HOST, 65001, "", False), DONE)
    assert resync.is_done


# What a dead process has left ------------------------------------------------------------------


def test_an_answer_to_a_dead_process_is_not_for_us() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    assert ask(resync, answer(ROUTER_UP)) == []
    ask(resync, *MARKED, answer(), DONE)
    resync.commands(0.0)
    assert ask(resync, ShowLine(TOLD)) == []


@pytest.mark.parametrize("left", [1, 2, 3, 500])
@pytest.mark.parametrize("reply", [DONE, ERROR])
def test_replies_to_a_dead_process_are_not_for_us(left: int, reply: Reply) -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, *[reply] * left)
    assert resync.commands(0.0) == []
    assert ask(resync, *MARKED, answer(ROUTER_UP), DONE) == [established(ROUTER, 65200)]
    assert resync.commands(0.0) == [*MARK, b"show adj-rib out\n"]
    assert resync.problems == {}


def test_answers_to_a_dead_process_are_not_for_us() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    assert ask(resync, ShowLine(TOLD), DONE, answer(HOST_UP), DONE, ShowLine(TOLD)) == []
    assert resync.step is Step.NEIGHBORS
    assert ask(resync, *MARKED, answer(ROUTER_UP)) == [established(ROUTER, 65200)]
    assert resync.problems == {}


def test_a_question_that_is_not_answered_is_asked_again() -> None:
    resync = Resync([ROUTER])
    resync.commands(1.0)
    assert resync.next_timer() == 1.0 + ANSWER_SILENCE_S
    assert resync.commands(ANSWER_SILENCE_S) == []
    assert resync.commands(1.0 + ANSWER_SILENCE_S) == [*MARK, b"show neighbor json\n"]
    assert resync.problems == {"asked_again": 1}
    assert ask(resync, *MARKED, answer(HOST_UP), DONE) == [], "to the first one, which is late"
    ask(resync, *MARKED, answer(HOST_UP), DONE)
    assert resync.step is Step.TOLD


def test_a_mark_that_got_lost_is_not_waited_for() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    resync.commands(ANSWER_SILENCE_S)
    assert ask(resync, *MARKED, answer(HOST_UP), DONE) == [], "it could be the first one's"
    assert resync.commands(3 * ANSWER_SILENCE_S) == [*MARK, b"show neighbor json\n"]
    assert ask(resync, *MARKED, answer(HOST_UP), DONE) == [established(HOST, 65001)]
    assert resync.step is Step.TOLD


def test_a_long_answer_is_waited_for() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, *MARKED, answer(), DONE)
    resync.commands(0.0)
    ask(resync, *MARKED)
    for at in (20.0, 40.0, 60.0):
        resync.message(ShowLine(TOLD), at)
        assert resync.commands(at) == []
    resync.message(DONE, 60.0)
    assert resync.is_done
    assert resync.problems == {}


def test_what_hosts_say_does_not_hurry_an_answer() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    resync.message(EndOfRib(HOST, 65001, "ipv4 unicast"), 5.0)
    assert resync.next_timer() == ANSWER_SILENCE_S


def test_what_exabgp_refuses_to_tell_is_remembered() -> None:
    """ExaBGP 4.2 has no JSON for this question."""
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, *MARKED, ERROR)
    assert resync.commands(0.0) == [*MARK, b"show adj-rib out\n"]
    assert resync.problems == {"refused": 1}


def test_an_answer_that_makes_no_sense_is_remembered() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, *MARKED, ShowLine("[nonsense]"), DONE)
    resync.commands(0.0)
    ask(resync, *MARKED, ShowLine("more nonsense"), DONE)
    assert resync.problems == {"unreadable": 2}


@pytest.mark.parametrize(
    "route",
    [
        "192.0.2.10 ipv4 unicast 203.0.113.1/33 next-hop 198.51.100.1",
        "192.0.2.10 ipv4 unicast 203.0.113.1/24 next-hop 198.51.100.1",
        "192.0.2.10 ipv6 unicast 2001:db8::/64 path-information 2001:db8::1 next-hop 2001:db8::9",
    ],
)
def test_what_could_not_be_withdrawn_again_is_not_taken_over(route: str) -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, *MARKED, ShowLine("[]"), DONE)
    resync.commands(0.0)
    assert ask(resync, *MARKED, ShowLine(route), DONE) == []
    assert resync.problems == {"unreadable": 1}


# Hosts repeat themselves -----------------------------------------------------------------------


def test_it_ends_when_every_host_has_repeated_both_families() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, DONE, DONE)
    ask(resync, *repetition(HOST, "ipv4 unicast"))
    assert not resync.is_done
    ask(resync, *repetition(HOST, "ipv6 unicast"))
    assert resync.is_done
    assert resync.next_timer() is None


@pytest.mark.parametrize("end", [EndOfRib, partial(RefreshMark, is_end=True)])
def test_the_end_of_what_a_dead_process_heard_in_part_ends_nothing(
    end: Callable[[Address, int, str], EndOfRib | RefreshMark],
) -> None:
    """It died while a host repeated itself, or sent its table for the first time."""
    resync = after_questions(HOST_UP)
    ask(resync, DONE, DONE)
    ask(resync, announced(HOST, "203.0.113.9/32"), *(end(HOST, 65001, f) for f in FAMILIES))
    assert not resync.is_done
    ask(resync, *(mark for family in FAMILIES for mark in repetition(HOST, family)))
    assert resync.is_done


def test_a_repetition_that_was_heard_whole_counts_whoever_asked_for_it() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, *(repetition(HOST, family)[0] for family in FAMILIES))
    ask(resync, *MARKED, answer(HOST_UP), DONE)
    resync.commands(0.0)
    ask(resync, *MARKED, DONE)
    resync.commands(0.0)
    ask(resync, *MARKED, DONE, DONE)
    assert not resync.is_done
    ask(resync, *(repetition(HOST, family)[1] for family in FAMILIES))
    assert resync.is_done


def announced(neighbor: Address, *prefixes: str) -> Update:
    keys = (RouteKey(neighbor, Prefix.parse(prefix), 0) for prefix in prefixes)
    routes = tuple(Route(key, 65001, Attributes(), (neighbor,)) for key in keys)
    return Update(neighbor, 65001, routes, ())


def done_at(resync: Resync, *times: float) -> list[bool]:
    """Whether it is over at each of these times, when ExaBGP answers and hosts say nothing."""
    found = []
    for now in times:
        if lines := resync.commands(now):
            for message in (*MARKED, *[DONE] * (len(lines) - len(MARK))):
                resync.message(message, now)
        found.append(resync.is_done)
    return found


SILENT_AT = REFRESH_AGAIN_S + REFRESH_SILENCE_S
"""When a host that never says that it begins or ends, and has nothing new to say, is given up."""


def test_a_host_that_never_finishes_is_waited_for_while_it_says_something_new() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, DONE, DONE)
    assert resync.next_timer() == REFRESH_AGAIN_S
    assert done_at(resync, REFRESH_AGAIN_S) == [False]
    resync.message(RefreshMark(HOST, 65001, "ipv4 unicast", is_end=False), 8.0)
    assert done_at(resync, SILENT_AT) == [False]
    assert resync.next_timer() == 8.0 + REFRESH_SILENCE_S
    resync.message(announced(HOST, "203.0.113.1/32", "203.0.113.2/32"), 16.0)
    assert done_at(resync, 8.0 + REFRESH_SILENCE_S, 16.0 + REFRESH_SILENCE_S) == [False, True]
    assert resync.problems == {}


def test_repetitions_are_not_waited_for() -> None:
    """A healthcheck announces the same every few seconds, for ever."""
    resync = after_questions(HOST_UP)
    ask(resync, DONE, DONE)
    assert done_at(resync, REFRESH_AGAIN_S) == [False]
    for now in range(6, 15):
        resync.message(announced(HOST, "203.0.113.1/32"), float(now))
    assert done_at(resync, SILENT_AT, 6.0 + REFRESH_SILENCE_S) == [False, True]


def test_several_things_said_in_turn_are_repetitions_too() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, DONE, DONE)
    assert done_at(resync, REFRESH_AGAIN_S) == [False]
    for now in range(6, 15):
        resync.message(announced(HOST, f"203.0.113.{now % 2}/32"), float(now))
    assert done_at(resync, SILENT_AT, 7.0 + REFRESH_SILENCE_S) == [False, True]


def test_nobody_is_waited_for_because_others_talk() -> None:
    resync = after_questions(HOST_UP, shown(OTHER, 65002))
    ask(resync, DONE, DONE, DONE, DONE)
    ask(resync, *(mark for family in FAMILIES for mark in repetition(OTHER, family)))
    assert done_at(resync, REFRESH_AGAIN_S) == [False]
    resync.message(announced(OTHER, "203.0.113.3/32"), 8.0)
    assert done_at(resync, SILENT_AT) == [True]


def test_each_host_has_its_own_time() -> None:
    resync = after_questions(HOST_UP, shown(OTHER, 65002))
    ask(resync, DONE, DONE, DONE, DONE)
    assert done_at(resync, REFRESH_AGAIN_S) == [False]
    resync.message(announced(OTHER, "203.0.113.3/32"), 9.0)
    assert done_at(resync, SILENT_AT) == [False]
    assert resync.next_timer() == 9.0 + REFRESH_SILENCE_S
    assert done_at(resync, 9.0 + REFRESH_SILENCE_S) == [True]
    assert resync.next_timer() is None


def test_what_a_host_has_not_begun_to_repeat_is_asked_for_once_more() -> None:
    """A reload of ExaBGP's configuration may have lost the question, whatever it says else."""
    resync = after_questions(HOST_UP, shown(OTHER, 65002))
    ask(resync, DONE, DONE, DONE, DONE)
    ask(resync, *(repetition(OTHER, family)[0] for family in FAMILIES))
    ask(resync, *repetition(HOST, FAMILIES[1]), announced(HOST, "203.0.113.1/32"))
    assert resync.commands(REFRESH_AGAIN_S) == [
        *MARK,
        b"neighbor 198.51.100.1 announce route-refresh ipv4 unicast\n",
    ]
    for message in (*MARKED, DONE):
        resync.message(message, 7.0)
    for mark in repetition(OTHER, FAMILIES[0]) + repetition(OTHER, FAMILIES[1]):
        resync.message(mark, 7.0)
    assert done_at(resync, REFRESH_SILENCE_S) == [False]
    assert resync.next_timer() == 7.0 + REFRESH_SILENCE_S, "from when it has been asked"
    for mark in repetition(HOST, FAMILIES[0]):
        assert not resync.is_done
        resync.message(mark, 12.0)
    assert resync.is_done
    assert resync.problems == {}


def test_a_host_that_has_begun_is_not_asked_again() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, DONE, DONE, *(repetition(HOST, family)[0] for family in FAMILIES))
    assert resync.commands(REFRESH_AGAIN_S) == []
    assert done_at(resync, REFRESH_SILENCE_S) == [True]


def test_many_hosts_that_do_not_say_that_they_begin_are_not_asked_again() -> None:
    hosts = [Address(4, (198 << 24) + number) for number in range(MAX_AGAIN // 2 + 1)]
    resync = after_questions(*(shown(host, 65001) for host in hosts))
    ask(resync, *[DONE] * (2 * len(hosts)))
    assert resync.commands(REFRESH_AGAIN_S) == []
    assert done_at(resync, REFRESH_SILENCE_S) == [True]


def test_replies_to_the_second_question_are_waited_for() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, DONE, DONE)
    assert resync.commands(REFRESH_AGAIN_S) != []
    assert resync.commands(REFRESH_SILENCE_S) == []
    assert not resync.is_done
    for message in (*MARKED, DONE, DONE):
        assert done_at(resync, 100.0) == [False]
        resync.message(message, 100.0)
    assert done_at(resync, 100.0 + REFRESH_SILENCE_S) == [True]
    assert resync.problems == {}


def test_talk_without_end_is_not_waited_for_without_end() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, DONE, DONE)
    limit = REFRESH_AGAIN_S + REFRESH_LIMIT_S  # IPv6 is asked for again
    for now in range(int(limit)):
        resync.message(RefreshMark(HOST, 65001, "ipv4 unicast", is_end=False), float(now))
        assert done_at(resync, float(now)) == [False]
    assert done_at(resync, limit) == [True]


@pytest.mark.parametrize("replies", [[], [DONE]])
def test_a_host_is_not_silent_before_exabgp_has_asked_it(replies: list[Reply]) -> None:
    """ExaBGP may be busy for long: with a reload, or with thousands of other sessions."""
    resync = after_questions(HOST_UP)
    ask(resync, *replies)
    assert resync.commands(REFRESH_SILENCE_S) == []
    assert not resync.is_done
    assert resync.next_timer() == REFRESH_LIMIT_S
    for reply in [DONE] * (2 - len(replies)):
        resync.message(reply, 50.0)
    assert resync.next_timer() == 50.0 + REFRESH_AGAIN_S
    assert done_at(resync, 50.0, 50.0 + REFRESH_AGAIN_S, 50.0 + SILENT_AT) == [False, False, True]
    assert resync.problems == {}


def test_exabgp_may_take_long_to_ask_as_long_as_it_goes_on() -> None:
    resync = after_questions(HOST_UP, shown(OTHER, 65002))
    for now in (100.0, 200.0, 300.0):
        resync.message(DONE, now)
        assert done_at(resync, now + REFRESH_LIMIT_S - 1) == [False]
    resync.message(DONE, 400.0)
    for host in (HOST, OTHER):
        for family in FAMILIES:
            assert not resync.is_done
            for mark in repetition(host, family):
                resync.message(mark, 405.0)
    assert resync.is_done
    assert resync.problems == {}


def test_thousands_of_silent_hosts_are_given_up_one_by_one() -> None:
    """Each at its own time, and each giving up costs no look at all the others."""
    hosts = [Address(4, (198 << 24) + number) for number in range(8000)]
    resync = after_questions(*(shown(host, 65001) for host in hosts))
    ask(resync, *[DONE] * (2 * len(hosts)))
    for number, host in enumerate(hosts):
        resync.message(announced(host, f"203.0.{number >> 8}.{number & 255}/32"), number / 1000)
    assert resync.next_timer() == REFRESH_AGAIN_S
    assert resync.commands(REFRESH_AGAIN_S) == []
    for number in range(len(hosts) - 1):
        assert resync.next_timer() == number / 1000 + REFRESH_SILENCE_S
        resync.commands(number / 1000 + REFRESH_SILENCE_S)
        assert not resync.is_done
    assert done_at(resync, 7.999 + REFRESH_SILENCE_S) == [True]
    assert resync.problems == {}


def test_replies_are_not_waited_for_without_end() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, DONE)
    resync.commands(REFRESH_SILENCE_S)
    resync.commands(REFRESH_LIMIT_S)
    assert resync.is_done
    assert resync.problems == {"unanswered": 1}


def test_an_exabgp_that_does_not_answer_is_not_waited_for_without_end() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, *MARKED, answer(HOST_UP), DONE)
    resync.commands(0.0)
    ask(resync, *MARKED, DONE)
    resync.commands(1.0)
    assert resync.next_timer() == REFRESH_LIMIT_S
    assert done_at(resync, REFRESH_LIMIT_S) == [True]
    assert resync.problems == {"unanswered": 1}


def test_a_host_that_goes_down_is_not_waited_for() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, DONE, ERROR, SessionDown(HOST, 65001, "", False))
    assert resync.is_done
    assert resync.problems == {}


def test_a_host_that_goes_down_before_it_is_asked_leaves_no_reply_behind() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, *MARKED, answer(HOST_UP), DONE)
    resync.commands(0.0)
    ask(resync, *MARKED, DONE, SessionDown(HOST, 65001, "", False))
    assert not resync.is_done
    assert len(resync.commands(0.0)) == len(MARK) + 2
    ask(resync, *MARKED, ERROR)
    assert not resync.is_done
    ask(resync, ERROR)
    assert resync.is_done


def test_after_a_fresh_start_it_is_over_at_once() -> None:
    assert after_questions(HOST_DOWN).is_done


def test_a_session_that_came_up_before_our_eyes_has_nothing_left_to_tell() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    ask(resync, SessionUp(HOST, 65001))
    assert ask(resync, *MARKED, answer(HOST_UP), DONE) == []
    resync.commands(0.0)
    ask(resync, *MARKED, DONE)
    assert resync.is_done
