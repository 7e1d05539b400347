"""Queries of a new process to ExaBGP, and when it may rely on the answers."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from rsfilter.exabgp.capabilities import Established
from rsfilter.exabgp.conversation import ANSWER_SILENCE_S
from rsfilter.exabgp.messages import Opened, Reply, ShowLine
from rsfilter.exabgp.resync import Inherited, Resync, Step
from rsfilter.routing.events import EndOfRib, SessionUp
from rsfilter.routing.model import Address, Prefix

ROUTER, HOST = Address.parse("192.0.2.10"), Address.parse("198.51.100.1")
HOST6 = Address.parse("2001:db8::9")
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
    side["capabilities"] = {"route-refresh": True}
    state = {"state": "up", "fsm": "ESTABLISHED" if is_up else "IDLE", "duration": 7}
    return json.dumps({**state, "local": side, "peer": side})


def answer(*neighbors: str) -> ShowLine:
    return ShowLine(f"[{', '.join(neighbors)}]")


def established(neighbor: Address, asn: int) -> Established:
    offers = frozenset({"route-refresh"})
    opened = Opened(neighbor, BOTH, frozenset({4}), offers_refresh=True, capabilities=offers)
    return Established(neighbor, asn, opened, duration=7)


ROUTER_UP, HOST_UP = shown(ROUTER, 65200), shown(HOST, 65001)
HOST_DOWN = shown(HOST, 65001, is_up=False)
TOLD = "192.0.2.10 ipv4 unicast 203.0.113.1/32 next-hop 198.51.100.1"
TOLD_PATH = (
    "192.0.2.10 ipv6 unicast 2001:db8::1/128 path-information 198.51.100.1 next-hop 2001:db8::9"
)


def query(resync: Resync, *messages: object) -> list[object]:
    return [found for m in messages for found in resync.message(m, 0.0)]  # type: ignore[arg-type]


DONE, ERROR = Reply(ok=True), Reply(ok=False)
MARK = [b"#\n", b"reset\n", b"version\n"]
MARK_AGAIN = [b"#\n", b"reset\n", b"system version\n"]
MARKED = (ShowLine("exabgp 5.0.15"), DONE)
"""Lines that answer a mark once everything before it is out of the way."""


def after_questions(*neighbors: str) -> Resync:
    """A resync whose questions were answered."""
    resync = Resync([ROUTER])
    resync.commands(0.0)
    query(resync, *MARKED, answer(*neighbors), DONE)
    resync.commands(0.0)
    query(resync, *MARKED, DONE)
    return resync


def test_queries_are_sent_one_after_the_other() -> None:
    resync = Resync([ROUTER])
    assert resync.commands(0.0) == [*MARK, b"show neighbor json\n"]
    assert query(resync, DONE, *MARKED, answer(ROUTER_UP, HOST_UP)) == [
        established(ROUTER, 65200),
        established(HOST, 65001),
    ]
    assert resync.commands(0.0) == []
    query(resync, DONE)
    assert resync.commands(0.0) == [*MARK, b"show adj-rib out\n"]
    assert query(resync, DONE, *MARKED, ShowLine(f"neighbor {TOLD}"), ShowLine(TOLD_PATH)) == [
        Inherited(ROUTER, Prefix.parse("203.0.113.1/32"), 0, HOST),
        Inherited(ROUTER, Prefix.parse("2001:db8::1/128"), HOST.value, HOST6),
    ]
    assert not resync.is_done
    query(resync, DONE)
    assert resync.is_done
    assert resync.commands(0.0) == []
    assert resync.next_timer() is None
    assert resync.problems == {}


def test_paths_sent_to_peers_that_are_no_routers_are_not_inherited() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    query(resync, *MARKED, answer(), DONE)
    resync.commands(0.0)
    assert query(resync, *MARKED, ShowLine(TOLD.replace(str(ROUTER), str(HOST))), DONE) == []
    assert resync.problems == {}


# What a dead process has left ------------------------------------------------------------------


def test_an_answer_to_a_dead_process_is_not_for_us() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    assert query(resync, answer(ROUTER_UP)) == []
    query(resync, *MARKED, answer(), DONE)
    resync.commands(0.0)
    assert query(resync, ShowLine(TOLD)) == []


@pytest.mark.parametrize("left", [1, 2, 3, 500])
@pytest.mark.parametrize("reply", [DONE, ERROR])
def test_replies_to_a_dead_process_are_not_for_us(left: int, reply: Reply) -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    query(resync, *[reply] * left)
    assert resync.commands(0.0) == []
    assert query(resync, *MARKED, answer(ROUTER_UP), DONE) == [established(ROUTER, 65200)]
    assert resync.commands(0.0) == [*MARK, b"show adj-rib out\n"]
    assert resync.problems == {}


def test_answers_to_a_dead_process_are_not_for_us() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    assert query(resync, ShowLine(TOLD), DONE, answer(HOST_UP), DONE, ShowLine(TOLD)) == []
    assert resync.step is Step.NEIGHBORS
    assert query(resync, *MARKED, answer(ROUTER_UP)) == [established(ROUTER, 65200)]
    assert resync.problems == {}


def test_a_query_without_an_answer_is_sent_again() -> None:
    resync = Resync([ROUTER])
    resync.commands(1.0)
    assert resync.next_timer() == 1.0 + ANSWER_SILENCE_S
    assert resync.commands(ANSWER_SILENCE_S) == []
    assert resync.commands(1.0 + ANSWER_SILENCE_S) == [*MARK_AGAIN, b"show neighbor json\n"]
    assert resync.problems == {"repeated": 1}
    assert query(resync, *MARKED, answer(HOST_UP), DONE) == [], "to the first one, which is late"
    query(resync, *MARKED, answer(HOST_UP), DONE)
    assert resync.step is Step.LISTING


def test_a_mark_that_got_lost_is_not_waited_for() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    resync.commands(ANSWER_SILENCE_S)
    assert query(resync, *MARKED, answer(HOST_UP), DONE) == [], "it could be the first one's"
    assert resync.commands(3 * ANSWER_SILENCE_S) == [*MARK_AGAIN, b"show neighbor json\n"]
    assert query(resync, *MARKED, answer(HOST_UP), DONE) == [established(HOST, 65001)]
    assert resync.step is Step.LISTING


def test_a_long_answer_is_waited_for() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    query(resync, *MARKED, answer(), DONE)
    resync.commands(0.0)
    query(resync, *MARKED)
    for at in (20.0, 40.0, 60.0):
        resync.message(ShowLine(TOLD), at)
        assert resync.commands(at) == []
    resync.message(DONE, 60.0)
    assert resync.is_done
    assert resync.problems == {}


def test_messages_of_hosts_do_not_end_a_query() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    resync.message(EndOfRib(HOST, 65001, "ipv4 unicast"), 5.0)
    assert resync.next_timer() == ANSWER_SILENCE_S


def test_a_query_that_exabgp_refuses_is_counted() -> None:
    """ExaBGP 4.2 has no JSON for this question."""
    resync = Resync([ROUTER])
    resync.commands(0.0)
    query(resync, *MARKED, ERROR)
    assert resync.commands(0.0) == [*MARK, b"show adj-rib out\n"]
    assert resync.problems == {"refused": 1}


def test_an_answer_that_makes_no_sense_is_remembered() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    query(resync, *MARKED, ShowLine("[nonsense]"), DONE)
    resync.commands(0.0)
    query(resync, *MARKED, ShowLine("more nonsense"), DONE)
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
    query(resync, *MARKED, ShowLine("[]"), DONE)
    resync.commands(0.0)
    assert query(resync, *MARKED, ShowLine(route), DONE) == []
    assert resync.problems == {"unreadable": 1}


def test_after_a_fresh_start_it_is_over_at_once() -> None:
    assert after_questions(HOST_DOWN).is_done


def test_a_session_that_came_up_before_our_eyes_is_none_of_before() -> None:
    resync = Resync([ROUTER])
    resync.commands(0.0)
    query(resync, SessionUp(HOST, 65001))
    assert query(resync, *MARKED, answer(HOST_UP), DONE) == []
