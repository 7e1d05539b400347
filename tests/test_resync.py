"""What a new process asks ExaBGP, and when it may rely on the answers."""

from __future__ import annotations

import json
from collections.abc import Iterable

from rsfilter.exabgp.capabilities import Established
from rsfilter.exabgp.messages import Opened, Reply, ShowLine
from rsfilter.exabgp.resync import REFRESH_LIMIT_S, REFRESH_SILENCE_S, Resync, Told
from rsfilter.routing.events import EndOfRib, RefreshMark, SessionDown, SessionUp
from rsfilter.routing.model import Address, Prefix

ROUTER, HOST = Address.parse("192.0.2.10"), Address.parse("198.51.100.1")
BOTH = frozenset({4, 6})


def shown(
    neighbor: Address,
    asn: int,
    *,
    is_up: bool = True,
    families: Iterable[str] = ("ipv4 unicast", "ipv6 unicast"),
) -> str:
    """One neighbor in the answer to `show neighbor json`."""
    speaks = {name: name in families for name in ("ipv4 unicast", "ipv6 unicast")}
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


def ask(resync: Resync, *messages: object) -> list[object]:
    return [found for m in messages for found in resync.message(m, 0.0)]  # type: ignore[arg-type]


def after_questions(*neighbors: str) -> Resync:
    """A resync whose `show` commands were answered."""
    resync = Resync([ROUTER])
    resync.commands()
    ask(resync, answer(*neighbors), Reply(ok=True))
    resync.commands()
    ask(resync, Reply(ok=True))
    return resync


def test_one_question_after_the_other() -> None:
    resync = Resync([ROUTER])
    assert resync.commands() == [b"show neighbor json\n"]
    assert ask(resync, answer(ROUTER_UP, HOST_UP)) == [
        established(ROUTER, 65200),
        established(HOST, 65001),
    ]
    assert resync.commands() == []
    ask(resync, Reply(ok=True))
    assert resync.commands() == [b"show adj-rib out\n"]
    assert ask(resync, ShowLine(f"neighbor {TOLD}"), ShowLine(TOLD_PATH)) == [
        Told(ROUTER, Prefix.parse("203.0.113.1/32"), 0),
        Told(ROUTER, Prefix.parse("2001:db8::1/128"), HOST.value),
    ]
    ask(resync, Reply(ok=True))
    assert resync.commands() == [
        b"neighbor 198.51.100.1 announce route-refresh ipv4 unicast\n",
        b"neighbor 198.51.100.1 announce route-refresh ipv6 unicast\n",
    ]
    ask(resync, Reply(ok=True), Reply(ok=True))
    assert not resync.is_done, "the host has not repeated itself"


def test_a_host_is_asked_only_for_what_it_speaks() -> None:
    resync = Resync([ROUTER])
    resync.commands()
    ask(resync, answer(shown(HOST, 65001, families=["ipv6 unicast"])), Reply(ok=True))
    resync.commands()
    ask(resync, Reply(ok=True))
    assert resync.commands() == [b"neighbor 198.51.100.1 announce route-refresh ipv6 unicast\n"]


def test_it_ends_when_every_host_has_repeated_both_families() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, Reply(ok=True), Reply(ok=True))
    ask(resync, RefreshMark(HOST, 65001, "ipv4 unicast", is_end=False))
    ask(resync, RefreshMark(HOST, 65001, "ipv4 unicast", is_end=True))
    assert not resync.is_done
    ask(resync, EndOfRib(HOST, 65001, "ipv6 unicast"))
    assert resync.is_done


def test_a_host_that_never_finishes_is_waited_for_while_somebody_talks() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, Reply(ok=True), Reply(ok=True))
    assert resync.next_timer() == REFRESH_SILENCE_S
    resync.message(RefreshMark(HOST, 65001, "ipv4 unicast", is_end=False), 8.0)
    resync.expire(REFRESH_SILENCE_S)
    assert not resync.is_done
    resync.expire(8.0 + REFRESH_SILENCE_S)
    assert resync.is_done


def test_talk_without_end_is_not_waited_for_without_end() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, Reply(ok=True), Reply(ok=True))
    for now in range(int(REFRESH_LIMIT_S)):
        resync.message(RefreshMark(HOST, 65001, "ipv4 unicast", is_end=False), float(now))
    assert resync.next_timer() == REFRESH_LIMIT_S


def test_replies_are_waited_for_however_long_it_takes() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, Reply(ok=True))
    resync.expire(1000.0)
    assert not resync.is_done
    ask(resync, Reply(ok=True))
    assert resync.is_done


def test_a_host_that_goes_down_is_not_waited_for() -> None:
    resync = after_questions(HOST_UP)
    ask(resync, Reply(ok=True), Reply(ok=False), SessionDown(HOST, 65001, "", False))
    assert resync.is_done


def test_after_a_fresh_start_it_is_over_at_once() -> None:
    assert after_questions(HOST_DOWN).is_done


def test_a_session_that_came_up_before_our_eyes_has_nothing_left_to_tell() -> None:
    resync = Resync([ROUTER])
    resync.commands()
    ask(resync, SessionUp(HOST, 65001))
    assert ask(resync, answer(HOST_UP), Reply(ok=True)) == []
    resync.commands()
    ask(resync, Reply(ok=True))
    assert resync.is_done


def test_an_answer_that_makes_no_sense_is_remembered() -> None:
    resync = Resync([ROUTER])
    ask(resync, ShowLine("[nonsense]"))
    assert not resync.is_complete
