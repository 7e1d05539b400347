"""The guard: what a change of data may take away, and what it never lets in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from support.core_samples import (
    OWN_ASN,
    address,
    data,
    down,
    host_group,
    path,
    prefix,
    prefixes,
    route,
    router_group,
    up,
    update,
    vrp,
    withdraw,
)
from support.engine_bench import NOTHING, after, changed, engine, logged, paths, replaced, verdicts
from support.guard_memory import Memory

from rsfilter.routing import adj_rib_in
from rsfilter.routing.effects import Actions, GuardChange, Provenance
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import (
    AllRepeated,
    GuardReleased,
    PolicyReplaced,
    SessionUp,
)
from rsfilter.routing.groups import Limits
from rsfilter.routing.guard import fingerprint
from rsfilter.routing.judging import judge
from rsfilter.routing.model import Address, Attributes, Prefix, Route, RouteKey, VerdictKind
from rsfilter.routing.retention import as_stale
from rsfilter.routing.validation import Data, Source

ONE, TWO, THREE, FOUR = (f"203.0.113.{n}/32" for n in (1, 2, 3, 4))
HV7, HV8 = "198.51.100.7", "198.51.100.8"

EVERYTHING = data(["203.0.113.0/28-32 AS65007"])
ONLY_FOUR = data(["203.0.113.4/32 AS65007"])
ONLY_TWO_AND_FOUR = data(["203.0.113.2/32 AS65007", "203.0.113.4/32 AS65007"])
NOTHING_OF_THEIRS = data(["198.18.0.0/15 AS65099"])
TO_THE_OTHER = data(["203.0.113.0/28-32 AS65008"])

AT_MOST_HALF = Limits(max_loss_percent=50, min_loss=2)
AT_ONCE = Limits(max_loss_percent=50, min_loss=2, window=0)
"""Losses of one change of data alone count."""


# How much is too much ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "accepted", "allowed"),
    [
        (0, 0, True),
        (9, 9, True),  # all of it, and fewer than min_loss
        (10, 10, False),
        (10, 49, False),
        (10, 50, True),  # exactly 20 %
        (11, 54, False),
        (200, 1000, True),
        (201, 1000, False),
    ],
)
def test_default_limits_hold_larger_losses(lost: int, accepted: int, allowed: bool) -> None:
    assert Limits().allow(lost, accepted) is allowed


@pytest.mark.parametrize(
    ("limits", "lost", "accepted", "allowed"),
    [
        (Limits(100, 0), 7, 7, True),  # the guard is off
        (Limits(1, 0), 0, 0, True),
        (Limits(1, 0), 1, 100, True),
        (Limits(1, 0), 1, 99, False),
        (Limits(1, 2), 1, 1, True),
    ],
)
def test_limits_allow_losses_up_to_percent_or_number(
    limits: Limits, lost: int, accepted: int, allowed: bool
) -> None:
    assert limits.allow(lost, accepted) is allowed


# In the engine -----------------------------------------------------------------------------------


def guarded(*announced: Route) -> Engine:
    """Return an engine that holds losses of more than half and of two or more."""
    machine = engine(EVERYTHING, limits=AT_MOST_HALF)
    after(machine, *(update(each) for each in announced))
    return machine


def four() -> list[Route]:
    return [route(where) for where in (ONE, TWO, THREE, FOUR)]


def holding() -> Engine:
    """ONE, TWO and THREE are held."""
    machine = guarded(*four())
    after(machine, replaced(ONLY_FOUR))
    return machine


def announced(machine: Engine) -> set[str]:
    return {str(where) for where in machine.routes_out("leaves")}


def test_a_mass_loss_is_held_and_logged() -> None:
    machine = guarded(*four())
    actions = after(machine, replaced(ONLY_FOUR))
    held = "accepted -> held held_by_guard origin_not_found (data)"
    assert logged(actions) == [
        *(f"{where} {held}" for where in (ONE, TWO, THREE)),
        "truth: 4 judged, 3 flipped",
        "guard: held 3 of 4, 3 held",
    ]
    assert changed(actions) == []
    assert announced(machine) == {ONE, TWO, THREE, FOUR}


def test_the_alarm_names_the_change_and_its_data() -> None:
    provenance = Provenance("r7", "cd" * 32)
    broken = data([])
    broken = Data(broken.truth, truth_source=Source.READY, provenance=provenance)
    alarm = after(guarded(*four()), replaced(broken)).audit[-1]
    assert alarm == GuardChange("held", 4, 4, 4, "truth", "as the test says", provenance)


def test_a_release_is_logged_with_its_requester_and_an_end_once() -> None:
    machine = holding()
    after(machine, withdraw(route(ONE).key), withdraw(route(TWO).key))
    provenance = machine.data.provenance
    assert after(machine, GuardReleased("SIGUSR2")).audit[-1] == GuardChange(
        "released", 1, 0, 0, "operator", "SIGUSR2", provenance
    )
    machine = holding()
    ended = GuardChange("ended", 0, 0, 0, "", "nothing is held any more", provenance)
    assert after(machine, replaced(EVERYTHING)).audit[-1] == ended
    assert after(machine, update(route(ONE))) == NOTHING


def test_a_smaller_loss_is_withdrawn() -> None:
    machine = guarded(*four())
    actions = after(machine, replaced(ONLY_TWO_AND_FOUR))
    assert logged(actions)[-1] == "truth: 4 judged, 2 flipped"
    assert announced(machine) == {TWO, FOUR}


def test_the_share_is_of_every_accepted_route_not_of_those_judged() -> None:
    """Two are lost: all that were judged, and half of what is accepted."""
    machine = guarded(*four(), route("198.18.0.1/32"))
    actions = after(machine, replaced(ONLY_TWO_AND_FOUR, [prefix(ONE), prefix(THREE)]))
    assert logged(actions)[-1] == "truth: 2 judged, 2 flipped"
    assert announced(machine) == {TWO, FOUR}


@pytest.mark.parametrize(("routes", "held"), [(5, 0), (4, 1)])
def test_one_route_is_a_share_too(routes: int, held: int) -> None:
    """A fifth of them may go."""
    texts = [f"203.0.113.{n}/32" for n in range(routes)]
    machine = engine(EVERYTHING, limits=Limits(20, 1))
    after(machine, *(update(route(text)) for text in texts))
    after(machine, replaced(data([f"{text} AS65007" for text in texts[1:]])))
    assert machine.guard.held == held


def test_what_is_held_is_not_among_what_is_accepted() -> None:
    """Two of the two that are accepted, not of five."""
    machine = guarded(*four(), route("203.0.113.5/32"))
    after(machine, replaced(data(["203.0.113.4/31-32 AS65007"])))
    assert machine.guard.held == 3
    actions = after(machine, replaced(NOTHING_OF_THEIRS))
    assert logged(actions)[-1] == "guard: held 2 of 2, 5 held"


def test_rejected_routes_are_not_lost_and_never_held() -> None:
    machine = engine(NOTHING_OF_THEIRS, limits=Limits(1, 0))
    after(machine, *(update(each) for each in four()), replaced(data([])))
    assert (machine.guard.held, announced(machine)) == (0, set())


def test_data_that_are_not_there_are_no_loss_to_hold() -> None:
    """`on_expire = "reject"` means it."""
    machine = guarded(*four())
    after(machine, replaced(Data(truth_source=Source.UNAVAILABLE)))
    assert (machine.guard.held, announced(machine)) == (0, set())


def test_a_loss_of_few_routes_is_never_held() -> None:
    machine = guarded(route(ONE))
    after(machine, replaced(NOTHING_OF_THEIRS))
    assert announced(machine) == set()


def test_release_judges_by_the_data_in_force() -> None:
    machine = holding()
    actions = after(machine, GuardReleased("SIGUSR2"))
    assert logged(actions) == [
        *(f"{w} held -> rejected origin_not_found (guard)" for w in (ONE, TWO, THREE)),
        "guard: released 3, 0 held",
    ]
    assert changed(actions) == [
        f"{group} {where}" for group in ("leaves", "spines") for where in (ONE, TWO, THREE)
    ]
    assert announced(machine) == {FOUR}


def test_a_release_of_one_prefix_keeps_the_others_held() -> None:
    machine = holding()
    actions = after(machine, GuardReleased("HTTP", prefix=Prefix.parse(TWO)))
    assert logged(actions) == [
        f"{TWO} held -> rejected origin_not_found (guard)",
        "guard: released 1, 2 held",
    ]
    assert announced(machine) == {ONE, THREE, FOUR}
    assert actions.audit[-1] == GuardChange(
        "released", 1, 0, 2, "operator", f"HTTP, {TWO}", machine.data.provenance
    )


def test_a_release_of_a_host_takes_its_routes_alone() -> None:
    """No truth names the host here: it goes by the name of its group."""
    machine = holding()
    assert after(machine, GuardReleased("HTTP", host="another")) == NOTHING
    assert announced(machine) == {ONE, TWO, THREE, FOUR}
    group = machine.neighbors.identify(route(ONE).key.neighbor).group
    after(machine, GuardReleased("HTTP", host=group, prefix=Prefix.parse(ONE)))
    assert announced(machine) == {TWO, THREE, FOUR}
    after(machine, GuardReleased("HTTP", host=group))
    assert announced(machine) == {FOUR}


def test_the_last_partial_release_is_not_logged_as_an_end_again() -> None:
    machine = holding()
    for where in (ONE, TWO, THREE):
        after(machine, GuardReleased("HTTP", prefix=Prefix.parse(where)))
    assert logged(after(machine, replaced(EVERYTHING))) == [
        *(f"{where} rejected -> accepted (data)" for where in (ONE, TWO, THREE)),
        "truth: 4 judged, 3 flipped",
    ]


def test_nothing_follows_from_a_release_of_nothing() -> None:
    assert after(guarded(*four()), GuardReleased("SIGUSR2")) == NOTHING


def test_the_guard_is_armed_again_after_a_release() -> None:
    machine = holding()
    after(machine, GuardReleased("SIGUSR2"), replaced(EVERYTHING))
    assert announced(machine) == {ONE, TWO, THREE, FOUR}
    assert logged(after(machine, replaced(ONLY_FOUR)))[-1] == "guard: held 3 of 4, 3 held"


def test_repaired_data_end_it() -> None:
    machine = holding()
    actions = after(machine, replaced(EVERYTHING))
    assert logged(actions) == [
        *(f"{where} held -> accepted (data)" for where in (ONE, TWO, THREE)),
        "truth: 4 judged, 3 flipped",
        "guard: ended 0, 0 held",
    ]
    assert changed(actions) == []


def test_data_may_take_back_a_part() -> None:
    machine = holding()
    assert logged(after(machine, replaced(ONLY_TWO_AND_FOUR))) == [
        f"{TWO} held -> accepted (data)",
        "truth: 4 judged, 1 flipped",
    ]
    assert machine.guard.held == 2
    assert announced(machine) == {ONE, TWO, THREE, FOUR}


def test_what_is_held_stays_so_when_later_data_lose_little() -> None:
    machine = holding()
    actions = after(machine, replaced(NOTHING_OF_THEIRS))
    assert logged(actions) == [
        f"{FOUR} accepted -> rejected origin_not_found (data)",
        "truth: 4 judged, 1 flipped",
    ]
    assert announced(machine) == {ONE, TWO, THREE}


def test_a_held_route_is_logged_again_when_its_reasons_change() -> None:
    machine = holding()
    actions = after(machine, replaced(TO_THE_OTHER))
    assert logged(actions)[0] == (f"{ONE} held -> held held_by_guard origin_invalid_asn (data)")
    assert changed(actions) == ["leaves 203.0.113.4/32", "spines 203.0.113.4/32"]


def test_the_hosts_own_withdraw_is_not_held() -> None:
    machine = holding()
    actions = after(machine, withdraw(route(ONE).key))
    assert logged(actions) == [f"{ONE} held -> gone (withdraw)"]
    assert announced(machine) == {TWO, THREE, FOUR}


def test_nor_is_the_loss_of_its_session() -> None:
    machine = guarded()
    after(machine, up(), *(update(each) for each in four()), replaced(ONLY_FOUR))
    actions = after(machine, down())
    assert logged(actions)[-1] == "guard: ended 0, 0 held"
    assert announced(machine) == set()
    after(machine, up(), *(update(each) for each in four()))
    assert announced(machine) == {FOUR}


def test_stale_routes_are_held_until_their_time_is_over() -> None:
    machine = engine(EVERYTHING, hosts=host_group(stale_time=60), limits=AT_MOST_HALF)
    after(machine, up(), *(update(each) for each in four()), down(), now=1000.0)
    assert logged(after(machine, replaced(ONLY_FOUR)))[-1] == "guard: held 3 of 4, 3 held"
    assert announced(machine) == {ONE, TWO, THREE, FOUR}
    assert logged(machine.expire(1060.0))[-1] == "guard: ended 0, 0 held"
    assert announced(machine) == set()


def test_a_changed_announcement_is_judged_by_the_new_data() -> None:
    machine = holding()
    other = route(ONE, attributes=Attributes(path("65007"), med=5))
    assert logged(after(machine, update(other))) == [
        f"{ONE} held -> rejected origin_not_found (announce)"
    ]
    assert announced(machine) == {TWO, THREE, FOUR}
    # And back again: it is held no longer, whatever the next data are.
    assert logged(after(machine, update(route(ONE)))) == []
    after(machine, replaced(TO_THE_OTHER))
    assert announced(machine) == {TWO, THREE}
    assert machine.guard.held == 2


def test_a_repeated_announcement_stays_held() -> None:
    machine = holding()
    assert after(machine, update(route(ONE))) == NOTHING
    assert announced(machine) == {ONE, TWO, THREE, FOUR}


def test_a_new_announcement_of_a_held_prefix_is_judged_by_the_new_data() -> None:
    machine = holding()
    stolen = route(ONE, neighbor=HV8, asn=65008)
    assert logged(after(machine, update(stolen))) == [f"{ONE} rejected origin_not_found (announce)"]
    assert paths(machine, ONE) == {0: HV7}


def test_the_new_owner_is_announced_instead_of_the_held_route() -> None:
    machine = guarded(*four())
    after(machine, replaced(TO_THE_OTHER))
    worse = route(ONE, neighbor=HV8, asn=65008, attributes=Attributes(path("65008"), med=99))
    after(machine, update(worse))
    assert paths(machine, ONE) == {0: HV8}
    assert list(paths(machine, ONE, "spines").values()) == [HV8]
    after(machine, withdraw(worse.key, asn=65008))
    assert paths(machine, ONE) == {0: HV7}


def test_expired_data_take_what_is_held_too() -> None:
    machine = holding()
    after(machine, replaced(Data(truth_source=Source.UNAVAILABLE)))
    assert announced(machine) == set()
    assert machine.guard.held == 0


def test_the_first_data_are_never_held() -> None:
    machine = engine(Data(truth_source=Source.UNAVAILABLE), limits=Limits(1, 0))
    after(machine, *(update(each) for each in four()), replaced(ONLY_FOUR))
    assert verdicts(machine)[f"{HV7} {ONE}"] == "rejected origin_not_found"
    assert announced(machine) == {FOUR}


# Steps -------------------------------------------------------------------------------------------

TEN = [f"203.0.113.{n}/32" for n in range(10)]


def owned(*kept: int) -> Data:
    return data([f"{TEN[number]} AS65007" for number in kept])


def with_ten(window: float = 60) -> Engine:
    """Three of ten may go, and one alone always."""
    machine = engine(owned(*range(10)), limits=Limits(30, 2, window))
    after(machine, *(update(route(where)) for where in TEN), now=100.0)
    return machine


def test_losses_of_several_changes_count_together() -> None:
    machine = with_ten()
    for step, kept in enumerate([range(1, 10), range(2, 10), range(3, 10)]):
        after(machine, replaced(owned(*kept)), now=100.0 + step)
        assert (machine.guard.held, machine.guard.lost) == (0, step + 1)
    actions = after(machine, replaced(owned(*range(4, 10))), now=103.0)
    assert logged(actions)[-1] == "guard: held 1 of 7, 1 held"
    (alarm,) = [event for event in actions.audit if isinstance(event, GuardChange)]
    assert alarm.lost == 3
    assert announced(machine) == set(TEN[3:])


def test_losses_no_longer_count_when_the_window_is_over() -> None:
    machine = with_ten()
    after(machine, replaced(owned(*range(3, 10))), now=100.0)
    after(machine, replaced(owned(*range(4, 10))), now=159.9)
    assert announced(machine) == set(TEN[3:])
    after(machine, GuardReleased("test"), replaced(owned(*range(3, 10))), now=160.0)
    after(machine, replaced(owned(*range(5, 10))), now=161.0)
    assert (machine.guard.held, announced(machine)) == (0, set(TEN[5:]))


def test_without_a_window_each_change_counts_alone() -> None:
    machine = with_ten(window=0)
    for first in range(1, 10):
        after(machine, replaced(owned(*range(first, 10))), now=100.0)
    assert (machine.guard.held, announced(machine)) == (0, {TEN[9]})


def test_what_came_back_is_no_loss() -> None:
    machine = with_ten()
    after(machine, replaced(owned(*range(3, 10))), replaced(owned(*range(10))), now=100.0)
    assert machine.guard.lost == 0
    after(machine, replaced(owned(*range(7))), now=101.0)
    assert (machine.guard.held, machine.guard.lost) == (0, 3)


def test_what_its_host_withdrew_itself_is_no_loss() -> None:
    """Neither before the data do nor after."""
    machine = with_ten()
    after(machine, *(withdraw(route(where).key) for where in TEN[7:]), now=100.0)
    after(machine, replaced(owned(*range(2, 10))), now=101.0)
    assert machine.guard.lost == 2
    after(machine, *(withdraw(route(where).key) for where in TEN[:2]), now=102.0)
    assert machine.guard.lost == 0
    assert after(machine, replaced(owned(3, 4, 5, 6)), now=103.0).out
    assert (machine.guard.held, announced(machine)) == (0, set(TEN[3:7]))


def test_a_release_starts_the_window_anew() -> None:
    machine = with_ten()
    after(machine, replaced(owned(*range(3, 10))), replaced(owned(*range(4, 10))), now=100.0)
    assert machine.guard.held == 1
    after(machine, GuardReleased("test"), now=101.0)
    assert machine.guard.lost == 0
    after(machine, replaced(owned(*range(5, 10))), now=102.0)
    assert (machine.guard.held, announced(machine)) == (0, set(TEN[5:]))


@pytest.mark.parametrize(("is_forced", "lost"), [(False, 7), (True, 0)])
def test_what_a_configuration_takes_away_counts_unless_it_is_meant(
    is_forced: bool, lost: int
) -> None:
    machine = with_ten()
    after(machine, replaced(owned(*range(2, 10))), now=100.0)
    group = host_group(max_prefixes=5)
    after(machine, PolicyReplaced((group,), machine.guard.limits, 30.0, is_forced), now=101.0)
    assert announced(machine) == set(TEN[2:5])
    assert machine.guard.lost == lost


def test_the_window_continues_after_a_restart() -> None:
    before = with_ten()
    after(before, replaced(owned(*range(3, 10))), now=100.0)
    memory = Memory()
    memory.take(before.guard.take_records())
    machine = engine(owned(*range(3, 10)), limits=before.guard.limits)
    after(machine, memory.restored(130.0), now=5.0)
    after(machine, *(update(route(where)) for where in TEN[1:]), AllRepeated(), now=6.0)
    while machine.is_busy:
        machine.expire(6.0)
    assert machine.guard.lost == 2, "one of the three was withdrawn meanwhile"
    after(machine, replaced(owned(*range(5, 10))), now=7.0)
    assert machine.guard.held == 2
    assert machine.guard.lost == 2
    machine.expire(35.0)  # 30 s ago then, and 60 now
    assert machine.guard.lost == 0


# A restart ---------------------------------------------------------------------------------------


def restarted(
    before: Engine, by: Data, *, knows_accepted: bool = False, **options: object
) -> Engine:
    """An engine that expects what the one before held, or all that it knew."""
    memory = Memory()
    memory.take(before.guard.take_records())
    machine = engine(by, limits=AT_MOST_HALF, **options)  # type: ignore[arg-type]
    restored = after(machine, memory.restored(0.0, accepted=knows_accepted))
    held = len(memory.held)
    assert logged(restored) == ([f"guard: restored {held}, 0 held"] if held else [])
    return machine


def test_what_is_held_survives_a_restart() -> None:
    machine = restarted(holding(), ONLY_FOUR)
    actions = after(machine, up(), *(update(each) for each in four()[:1]))
    assert logged(actions) == [f"{ONE} held held_by_guard origin_not_found (announce)"]
    after(machine, *(update(each) for each in four()))
    assert announced(machine) == {ONE, TWO, THREE, FOUR}
    assert machine.guard.held == 3
    after(machine, AllRepeated())
    assert logged(after(machine, GuardReleased("test")))[-1] == "guard: released 3, 0 held"
    assert announced(machine) == {FOUR}


def test_data_may_come_later_than_the_hosts() -> None:
    machine = restarted(holding(), Data(truth_source=Source.UNAVAILABLE))
    after(machine, up(), *(update(each) for each in four()))
    assert announced(machine) == set()
    after(machine, replaced(ONLY_FOUR))
    assert announced(machine) == {ONE, TWO, THREE, FOUR}
    assert machine.guard.held == 3


def test_data_that_were_put_right_meanwhile_end_it() -> None:
    machine = restarted(holding(), EVERYTHING)
    actions = after(machine, up(), *(update(each) for each in four()))
    assert announced(machine) == {ONE, TWO, THREE, FOUR}
    actions = after(machine, AllRepeated())
    assert machine.guard.held == 0
    assert logged(actions) == []  # it was logged when the last one was accepted


def test_nothing_else_is_announced_because_of_it() -> None:
    """Another attribute, next hop, host, or AS at the same address is another route."""
    machine = restarted(holding(), ONLY_FOUR)
    others = [
        route(ONE, attributes=Attributes(path("65007"), med=5)),
        route(TWO, neighbor=HV8, asn=65008),
        route(THREE, asn=65009),
    ]
    after(machine, *(update(each) for each in others))
    assert announced(machine) == set()
    after(machine, update(route(ONE)), update(route(THREE)))  # too late: it has changed
    assert announced(machine) == set()
    assert logged(after(machine, AllRepeated())) == ["guard: ended 0, 0 held"]


def test_a_held_route_that_is_not_repeated_in_time_is_withdrawn() -> None:
    machine = restarted(holding(), ONLY_FOUR)
    after(machine, update(route(ONE)), AllRepeated())
    assert machine.guard.held == 1
    after(machine, update(route(TWO)))
    assert announced(machine) == {ONE}
    records = machine.guard.take_records()
    assert records[route(TWO).key] is records[route(THREE).key] is None


@pytest.mark.parametrize(
    "narrower", [{"ipv4_lengths": frozenset({24})}, {"next_hops": None}], ids=["lengths", "hops"]
)
def test_another_configuration_takes_what_is_held(narrower: dict[str, object]) -> None:
    """The rule holds even if data might have given the same reason."""
    wide = {"next_hops": prefixes("192.0.2.0/24")}
    machine = engine(EVERYTHING, limits=AT_MOST_HALF, hosts=host_group(**wide))
    for where in (ONE, TWO, THREE, FOUR):
        after(machine, update(route(where, next_hops="192.0.2.99")))
    after(machine, replaced(ONLY_FOUR))
    assert machine.guard.held == 3
    group = host_group(**(wide | narrower))
    after(machine, PolicyReplaced((group,), AT_MOST_HALF, 30.0))
    assert announced(machine) == set()
    assert machine.guard.held == 0


def test_a_release_ends_it_before_anything_came_again() -> None:
    machine = restarted(holding(), ONLY_FOUR)
    after(machine, GuardReleased("test"))
    after(machine, *(update(each) for each in four()))
    assert announced(machine) == {FOUR}


def repeated(machine: Engine, *routes: Route) -> Actions:
    """Return what follows once every host has repeated itself."""
    actions = after(machine, *(update(each) for each in routes), AllRepeated())
    audit, out = actions.audit, actions.out
    while machine.is_busy:
        more = machine.expire(0.0)
        audit, out = [*audit, *more.audit], [*out, *more.out]
    return actions._replace(audit=audit, out=out)


def test_the_first_data_after_a_restart_are_guarded() -> None:
    machine = restarted(guarded(*four()), ONLY_FOUR, knows_accepted=True)
    after(machine, up(), *(update(each) for each in four()))
    assert announced(machine) == {FOUR}, "nothing is held before it is known how much is lost"
    actions = repeated(machine)
    assert logged(actions)[-1] == "guard: held 3 of 4, 3 held"
    assert announced(machine) == {ONE, TWO, THREE, FOUR}
    assert machine.guard.take_records()[route(ONE).key] is not None
    after(machine, GuardReleased("test"))
    assert announced(machine) == {FOUR}


def test_the_first_data_may_lose_a_little() -> None:
    machine = restarted(guarded(*four()), ONLY_TWO_AND_FOUR, knows_accepted=True)
    repeated(machine, *four())
    assert (machine.guard.held, announced(machine)) == (0, {TWO, FOUR})
    assert machine.guard.lost == 2


def test_first_data_that_come_last_are_guarded_as_well() -> None:
    nothing = Data(truth_source=Source.UNAVAILABLE)
    machine = restarted(guarded(*four()), nothing, knows_accepted=True)
    after(machine, up(), *(update(each) for each in four()), replaced(ONLY_FOUR))
    repeated(machine)
    assert announced(machine) == {ONE, TWO, THREE, FOUR}


def test_what_data_revoked_before_a_restart_never_comes_back_by_it() -> None:
    before = guarded(*four(), *(route(f"203.0.113.{n}/32") for n in (5, 6, 7)))
    after(before, replaced(data(["203.0.113.4/30-32 AS65007"])))
    assert announced(before) == {f"203.0.113.{n}/32" for n in (4, 5, 6, 7)}
    machine = restarted(before, NOTHING_OF_THEIRS, knows_accepted=True)
    repeated(machine, *four(), *(route(f"203.0.113.{n}/32") for n in (5, 6, 7)))
    assert announced(machine) == {f"203.0.113.{n}/32" for n in (4, 5, 6, 7)}


def test_what_changed_over_a_restart_is_not_held() -> None:
    """Another attribute, another host, another AS: only what was accepted is."""
    machine = restarted(guarded(*four()), ONLY_FOUR, knows_accepted=True)
    others = [
        route(ONE, attributes=Attributes(path("65007"), med=5)),
        route(TWO, neighbor=HV8, asn=65008),
        route(THREE, asn=65009),
    ]
    repeated(machine, *others)
    assert (machine.guard.held, announced(machine)) == (0, set())


def test_what_a_host_withdraws_before_it_is_weighed_is_not_held() -> None:
    machine = restarted(guarded(*four()), ONLY_FOUR, knows_accepted=True)
    after(machine, *(update(each) for each in four()), withdraw(route(ONE).key))
    after(machine, update(route(TWO, attributes=Attributes(path("65007"), med=5))))
    after(machine, update(route(TWO)))
    repeated(machine)
    assert announced(machine) == {FOUR}, "one of two is no mass loss"


WIDE = host_group(next_hops=prefixes("198.51.100.250/32"))
BY_A_LIST = [route(where, next_hops="198.51.100.250") for where in (ONE, TWO, THREE, FOUR)]
"""Accepted by `WIDE` alone: data might have brought the reason for which others reject them."""


def over_a_restart(before: Engine, limits: Limits, **options: object) -> Engine:
    """An engine whose hosts have repeated themselves, with what the one before has stored."""
    memory = Memory()
    memory.take(dict(before.guard._records))
    machine = engine(ONLY_FOUR, limits=limits, **options)  # type: ignore[arg-type]
    after(machine, memory.restored(0.0))
    repeated(machine, *BY_A_LIST)
    return machine


@pytest.fixture(params=["held", "accepted"])
def by_a_list(request: pytest.FixtureRequest) -> Engine:
    """An engine that accepts or holds all of it."""
    machine = engine(EVERYTHING, limits=AT_MOST_HALF, hosts=WIDE)
    after(machine, *(update(each) for each in BY_A_LIST))
    if request.param == "held":
        after(machine, replaced(ONLY_FOUR))
        assert machine.guard.held == 3
    return machine


def test_the_configuration_of_today_may_not_take_too_much(by_a_list: Engine) -> None:
    """A reload would have refused it."""
    machine = over_a_restart(by_a_list, AT_MOST_HALF)
    assert machine.guard.held == 4
    assert announced(machine) == {ONE, TWO, THREE, FOUR}
    again = over_a_restart(machine, AT_MOST_HALF)
    assert announced(again) == {ONE, TWO, THREE, FOUR}, "another restart changes nothing"
    after(again, PolicyReplaced((host_group(),), AT_MOST_HALF, 30.0))
    assert again.guard.held == 4, "a reload of the same rules changes nothing"
    after(again, GuardReleased("test"))
    assert announced(again) == set()


def test_a_configuration_that_is_put_right_ends_it(by_a_list: Engine) -> None:
    machine = over_a_restart(by_a_list, AT_MOST_HALF)
    after(machine, PolicyReplaced((WIDE,), AT_MOST_HALF, 30.0), replaced(EVERYTHING))
    assert (machine.guard.held, announced(machine)) == (0, {ONE, TWO, THREE, FOUR})


def test_the_configuration_of_today_may_take_what_the_guard_allows(by_a_list: Engine) -> None:
    """Routes that were held are lost too: they were held for reasons of data, and these are
    others."""
    machine = over_a_restart(by_a_list, Limits(100, 0))
    assert (machine.guard.held, announced(machine)) == (0, set())
    assert machine.guard.lost == 4


def test_other_lengths_after_a_restart_are_weighed() -> None:
    before = engine(EVERYTHING, limits=AT_MOST_HALF, hosts=WIDE)
    after(before, *(update(each) for each in BY_A_LIST))
    narrow = host_group(next_hops=prefixes("198.51.100.250/32"), ipv4_lengths=frozenset({24}))
    machine = over_a_restart(before, AT_MOST_HALF, hosts=narrow)
    assert machine.guard.held == 4
    again = over_a_restart(machine, Limits(100, 0), hosts=narrow)
    assert again.guard.held == 4, "it is not weighed again"


def test_a_host_that_announces_in_another_order_gets_no_more_than_its_limit() -> None:
    group = host_group(max_prefixes=2)
    before = engine(EVERYTHING, limits=AT_MOST_HALF, hosts=group)
    after(before, *(update(each) for each in four()))
    assert announced(before) == {ONE, TWO}
    memory = Memory()
    memory.take(before.guard.take_records())
    machine = engine(EVERYTHING, limits=Limits(10, 1), hosts=group)
    after(machine, memory.restored(0.0))
    repeated(machine, *reversed(four()))
    assert (machine.guard.held, announced(machine)) == (0, {THREE, FOUR})


def test_what_the_window_has_lost_is_part_of_the_base() -> None:
    """Two of four, then one of the two that are left: three of four."""
    machine = engine(EVERYTHING, limits=Limits(75, 0))
    after(machine, *(update(each) for each in four()))
    after(machine, replaced(ONLY_TWO_AND_FOUR))
    after(machine, replaced(ONLY_FOUR))
    assert (machine.guard.held, announced(machine)) == (0, {FOUR})


def test_what_is_held_is_never_beside_one_of_many_owners() -> None:
    owners = {f"198.51.100.{n}": 65000 + n for n in (7, 8, 9)}
    by = [f"{where}-32 AS{asn}" for where in (ONE, TWO) for asn in owners.values()]
    with patch.object(adj_rib_in, "MANY", 1):
        machine = engine(data(by), limits=AT_MOST_HALF)
        for neighbor, asn in owners.items():
            for where in (ONE, TWO):
                after(machine, update(route(where, neighbor=neighbor, asn=asn)))
        after(machine, replaced(data([f"{ONE}-32 AS65009"])))
        assert machine.guard.held == 5
        out = {str(p): len(found) for p, found in machine.routes_out("spines").items()}
        assert out == {ONE: 1, TWO: 3}
        after(machine, withdraw(route(ONE, neighbor="198.51.100.9", asn=65009).key, asn=65009))
        assert len(machine.routes_out("spines")[prefix(ONE)]) == 2, "all are held"


def test_the_guard_is_armed_again_after_a_restart() -> None:
    machine = restarted(holding(), EVERYTHING)
    after(machine, *(update(each) for each in four()), AllRepeated())
    assert logged(after(machine, replaced(ONLY_FOUR)))[-1] == "guard: held 3 of 4, 3 held"


def test_our_own_mark_does_not_change_a_route() -> None:
    plain = route(ONE)
    assert fingerprint(as_stale(plain)) == fingerprint(plain)


def test_a_fingerprint_is_for_ever() -> None:
    """Another release must find what this one held: sha256 of what is written here."""
    written = (65007, "65007", "igp", 5, [(65007, 1)], [(1, 2, 3)], [7], ["198.51.100.7"])
    attributes = Attributes(
        path("65007"),
        med=5,
        communities=((65007, 1),),
        large_communities=((1, 2, 3),),
        extended_communities=(7,),
    )
    expected = hashlib.sha256(repr(written).encode()).hexdigest()[:32]
    assert fingerprint(route(ONE, attributes=attributes)) == expected


# Whatever happens --------------------------------------------------------------------------------

SPEAKERS = [(address(HV7), 65007), (address(HV8), 65008)]
HOSTS = host_group(max_prefixes=3)
ROUTERS = [router_group("all", "192.0.2.20", all_paths=True)]
VRPS = [f"203.0.113.{n}/32 AS{asn}" for n in (1, 2, 3, 4) for asn in (65007, 65008)]
LIMITS = Limits(max_loss_percent=40, min_loss=2, window=100)


class GuardMachine(RuleBasedStateMachine):
    """A second implementation beside the engine, written from the manual."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = patch.object(adj_rib_in, "MANY", 1)
        self.patch.start()
        self.now = 1000.0
        self.data = data(VRPS)
        self.group = HOSTS
        self.engine = Engine(OWN_ASN, (HOSTS,), ROUTERS, self.data, LIMITS)
        self.announced: dict[RouteKey, Route] = {}
        self.held: set[RouteKey] = set()
        self.lost: dict[RouteKey, float] = {}
        """Time at which data or a configuration took it."""
        self.written = Memory()

    def teardown(self) -> None:
        self.patch.stop()

    # What the manual has ------------------------------------------------------------------------

    def accepts(self, each: Route) -> bool:
        own = [key for key in self.announced if key.neighbor == each.key.neighbor]
        within = own.index(each.key) < self.group.max_prefixes
        verdict = judge(each, self.group, self.data, within_limit=within)
        return verdict.kind is VerdictKind.ACCEPTED

    def accepted(self) -> set[RouteKey]:
        return {key for key, each in self.announced.items() if self.accepts(each)}

    def expire(self) -> None:
        """A loss ends with the window, with its host's withdraw, or when it is accepted again."""
        accepted = self.accepted()
        self.lost = {
            key: at
            for key, at in self.lost.items()
            if at > self.now - LIMITS.window and key in self.announced and key not in accepted
        }

    def is_too_much(self, lost: set[RouteKey], accepted: int) -> bool:
        """`accepted`: before it, beside what the window has lost."""
        count, base = len(lost) + len(self.lost), accepted + len(self.lost)
        return bool(lost) and count >= 2 and count > 0.4 * base

    # What happens ------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 60.0, 100.0, 101.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.compare(self.engine.expire(self.now))

    @rule(
        who=st.sampled_from(SPEAKERS),
        where=st.sampled_from([ONE, TWO, THREE, FOUR]),
        med=st.sampled_from([None, 1]),
    )
    def announce(self, who: tuple[Address, int], where: str, med: int | None) -> None:
        neighbor, asn = who
        attributes = Attributes(path(str(asn)), med=med)
        new = route(where, neighbor=str(neighbor), asn=asn, attributes=attributes)
        self.change(new)
        self.compare(self.engine.handle(update(new), self.now))

    def change(self, new: Route) -> None:
        if self.announced.get(new.key) != new:
            self.held.discard(new.key)
            self.announced[new.key] = new

    @rule(who=st.sampled_from(SPEAKERS), where=st.sampled_from([ONE, TWO, THREE, FOUR]))
    def withdraw(self, who: tuple[Address, int], where: str) -> None:
        key = RouteKey(who[0], prefix(where), 0)
        self.held.discard(key)
        self.announced.pop(key, None)
        self.compare(self.engine.handle(withdraw(key, asn=who[1]), self.now))

    @rule(who=st.sampled_from(SPEAKERS))
    def session_starts_again(self, who: tuple[Address, int]) -> None:
        self.announced = {k: r for k, r in self.announced.items() if k.neighbor != who[0]}
        self.held = {key for key in self.held if key.neighbor != who[0]}
        self.engine.handle(SessionUp(*who), self.now)
        self.compare(self.engine.handle(SessionUp(*who), self.now))

    @rule(
        kept=st.lists(st.sampled_from(VRPS), unique=True),
        is_vague=st.booleans(),
        is_there=st.sampled_from([True, True, True, False]),
    )
    def data_replaced(self, kept: Sequence[str], is_vague: bool, is_there: bool) -> None:
        self.expire()
        accepted = self.accepted()
        was_there = self.data.truth_source is Source.READY
        self.data = data(kept) if is_there else Data(truth_source=Source.UNAVAILABLE)
        lost = accepted - self.accepted()
        if not is_there:
            self.held = set()
        elif self.is_too_much(lost, len(accepted)):
            self.held |= lost
        else:
            self.lost |= dict.fromkeys(lost, self.now)
        self.held -= self.accepted()
        everything = is_vague or not (was_there and is_there)
        touched = None if everything else [vrp(text).prefix for text in VRPS]
        self.compare(self.engine.handle(replaced(self.data, touched), self.now))

    @rule(is_forced=st.booleans(), max_prefixes=st.sampled_from([1, 3]))
    def configured(self, is_forced: bool, max_prefixes: int) -> None:
        """A reload holds nothing; its losses count, unless the operator forces it."""
        self.expire()
        accepted = self.accepted()
        self.group = host_group(max_prefixes=max_prefixes)
        if is_forced:
            self.lost.clear()
        elif self.data.truth_source is Source.READY:
            self.lost |= dict.fromkeys(accepted - self.accepted(), self.now)
        for key, each in self.announced.items():
            own = [k for k in self.announced if k.neighbor == key.neighbor]
            if own.index(key) >= max_prefixes or self.accepts(each):
                self.held.discard(key)
        event = PolicyReplaced((self.group,), LIMITS, 30.0, is_forced)
        self.compare(self.engine.handle(event, self.now))

    @rule()
    def release(self) -> None:
        self.held.clear()
        self.lost.clear()
        self.compare(self.engine.handle(GuardReleased("test"), self.now))

    @rule(
        is_data_late=st.booleans(),
        gone=st.sampled_from([ONE, TWO, THREE, FOUR, None]),
        moved=st.sampled_from([ONE, TWO, THREE, FOUR, None]),
        kept=st.none() | st.lists(st.sampled_from(VRPS), unique=True),
    )
    def restart(
        self, is_data_late: bool, gone: str | None, moved: str | None, kept: Sequence[str] | None
    ) -> None:
        """Start another engine with what was written down, maybe by other data; hosts have changed
        meanwhile. A route that was gone and is back unchanged cannot be recognised."""
        self.expire()
        before = {key: self.announced[key] for key in self.accepted()}
        neighbor, asn = SPEAKERS[0]
        moved = None if moved == gone else moved
        if gone is not None:
            key = RouteKey(neighbor, prefix(gone), 0)
            self.held.discard(key)
            self.announced.pop(key, None)
        if moved is not None:
            attributes = Attributes(path(str(asn)), med=2)
            self.change(route(moved, neighbor=str(neighbor), asn=asn, attributes=attributes))
        if kept is not None:
            self.data = data(kept)
        first = Data(truth_source=Source.UNAVAILABLE) if is_data_late else self.data
        self.engine = Engine(OWN_ASN, (self.group,), ROUTERS, first, LIMITS)
        self.engine.handle(self.written.restored(self.now), self.now)
        for each in self.announced.values():
            self.engine.handle(update(each), self.now)
        if is_data_late:
            self.engine.handle(replaced(self.data), self.now)
        actions = self.engine.handle(AllRepeated(), self.now)
        while self.engine.is_busy:
            actions = self.engine.expire(self.now)
        if self.data.truth_source is Source.READY:
            self.weigh_first_data(before)
        else:
            self.held = set()
        self.compare(actions)

    def weigh_first_data(self, before: dict[RouteKey, Route]) -> None:
        accepted = self.accepted()
        self.held = {key for key in self.held - accepted if self.is_of_data(self.announced[key])}
        lost = {
            key
            for key, each in before.items()
            if self.announced.get(key) == each and key not in accepted and self.is_of_data(each)
        }
        self.expire()
        if self.is_too_much(lost, len(accepted) + len(lost)):
            self.held |= lost
        else:
            self.lost |= dict.fromkeys(lost, self.now)

    def is_of_data(self, each: Route) -> bool:
        """The route is within its host's limit, and only its owner is wrong."""
        own = [key for key in self.announced if key.neighbor == each.key.neighbor]
        return own.index(each.key) < self.group.max_prefixes

    def compare(self, actions: Actions) -> None:
        self.expire()
        self.written.take(self.engine.guard.take_records())
        assert self.written.held == self.held
        assert self.engine.guard.lost == len(self.lost)
        kinds = {entry.route: entry.verdict.kind for entry in self.engine.rib_in.entries()}
        assert kinds == {
            each: VerdictKind.ACCEPTED
            if self.accepts(each)
            else VerdictKind.HELD
            if key in self.held
            else VerdictKind.REJECTED
            for key, each in self.announced.items()
        }
        assert self.engine.guard.held == len(self.held)
        owned = {key.prefix for key in self.accepted()}
        out = {
            (str(where), attributes.next_hop, attributes.med)
            for where, found in self.engine.routes_out("all").items()
            for _, attributes in found
        }
        assert out == {
            (str(key.prefix), key.neighbor, each.attributes.med)
            for key, each in self.announced.items()
            if self.accepts(each) or (key in self.held and key.prefix not in owned)
        }
        alarms = [event for event in actions.audit if isinstance(event, GuardChange)]
        assert all(alarm.held == len(self.held) for alarm in alarms)


GuardMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestGuardMachine = GuardMachine.TestCase


@settings(max_examples=100)
@given(
    before=st.lists(st.sampled_from(VRPS), unique=True),
    between=st.lists(st.lists(st.sampled_from(VRPS), unique=True), max_size=4),
    last=st.lists(st.sampled_from(VRPS), unique=True),
)
def test_after_a_release_only_the_last_data_count(
    before: list[str], between: list[list[str]], last: list[str]
) -> None:
    routes = [
        route(where, neighbor=neighbor, asn=asn)
        for where in (ONE, TWO, THREE)
        for neighbor, asn in ((HV7, 65007), (HV8, 65008))
    ]
    machine = engine(data(before), limits=LIMITS)
    after(machine, *(update(each) for each in routes))
    after(machine, *(replaced(data(step)) for step in (*between, last)))
    after(machine, GuardReleased("test"))
    plain = engine(data(last))
    after(plain, *(update(each) for each in routes))
    assert verdicts(machine) == verdicts(plain)
    assert machine.routes_out("spines") == plain.routes_out("spines")
