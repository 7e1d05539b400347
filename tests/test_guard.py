"""The guard: what a change of data may take away, and what it never lets in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from core_samples import (
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
from engine_bench import NOTHING, after, changed, engine, paths, replaced, told, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from rsfilter.routing.effects import Actions, GuardChange, Provenance
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import (
    AllRepeated,
    GuardReleased,
    GuardRestored,
    PolicyReplaced,
    SessionUp,
)
from rsfilter.routing.groups import Limits
from rsfilter.routing.guard import fingerprint
from rsfilter.routing.model import Address, Attributes, Route, RouteKey, VerdictKind
from rsfilter.routing.policy import judge
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
def test_a_fifth_may_go_and_so_may_nine(lost: int, accepted: int, allowed: bool) -> None:
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
def test_other_limits(limits: Limits, lost: int, accepted: int, allowed: bool) -> None:
    assert limits.allow(lost, accepted) is allowed


# In the engine -----------------------------------------------------------------------------------


def guarded(*announced: Route) -> Engine:
    """Everything accepted; losses of more than half, and of two or more, are held."""
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


def test_a_mass_loss_is_held_and_told_of() -> None:
    machine = guarded(*four())
    actions = after(machine, replaced(ONLY_FOUR))
    held = "accepted -> held held_by_guard origin_not_found (data)"
    assert told(actions) == [
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


def test_a_release_says_whose_it_is_and_an_end_is_told_once() -> None:
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


def test_a_smaller_loss_goes_out() -> None:
    machine = guarded(*four())
    actions = after(machine, replaced(ONLY_TWO_AND_FOUR))
    assert told(actions)[-1] == "truth: 4 judged, 2 flipped"
    assert announced(machine) == {TWO, FOUR}


def test_the_share_is_of_every_accepted_route_not_of_those_judged() -> None:
    """Two are lost: all that were judged, and half of what is accepted."""
    machine = guarded(*four(), route("198.18.0.1/32"))
    actions = after(machine, replaced(ONLY_TWO_AND_FOUR, [prefix(ONE), prefix(THREE)]))
    assert told(actions)[-1] == "truth: 2 judged, 2 flipped"
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
    assert told(actions)[-1] == "guard: held 2 of 2, 5 held"


def test_rejected_routes_are_not_lost_and_never_held() -> None:
    machine = engine(NOTHING_OF_THEIRS, limits=Limits(1, 0))
    after(machine, *(update(each) for each in four()), replaced(data([])))
    assert (machine.guard.held, announced(machine)) == (0, set())


def test_data_that_are_not_there_are_no_loss_to_hold() -> None:
    """`on_expire = "reject"` means it."""
    machine = guarded(*four())
    after(machine, replaced(Data(truth_source=Source.UNAVAILABLE)))
    assert (machine.guard.held, announced(machine)) == (0, set())


def test_few_routes_may_all_go_at_once() -> None:
    machine = guarded(route(ONE))
    after(machine, replaced(NOTHING_OF_THEIRS))
    assert announced(machine) == set()


def test_release_judges_by_the_data_in_force() -> None:
    machine = holding()
    actions = after(machine, GuardReleased("SIGUSR2"))
    assert told(actions) == [
        *(f"{w} held -> rejected origin_not_found (guard)" for w in (ONE, TWO, THREE)),
        "guard: released 3, 0 held",
    ]
    assert changed(actions) == [
        f"{group} {where}" for group in ("leaves", "spines") for where in (ONE, TWO, THREE)
    ]
    assert announced(machine) == {FOUR}


def test_nothing_follows_from_a_release_of_nothing() -> None:
    assert after(guarded(*four()), GuardReleased("SIGUSR2")) == NOTHING


def test_the_guard_is_armed_again_after_a_release() -> None:
    machine = holding()
    after(machine, GuardReleased("SIGUSR2"), replaced(EVERYTHING))
    assert announced(machine) == {ONE, TWO, THREE, FOUR}
    assert told(after(machine, replaced(ONLY_FOUR)))[-1] == "guard: held 3 of 4, 3 held"


def test_repaired_data_end_it() -> None:
    machine = holding()
    actions = after(machine, replaced(EVERYTHING))
    assert told(actions) == [
        *(f"{where} held -> accepted (data)" for where in (ONE, TWO, THREE)),
        "truth: 4 judged, 3 flipped",
        "guard: ended 0, 0 held",
    ]
    assert changed(actions) == []


def test_data_may_take_back_a_part() -> None:
    machine = holding()
    assert told(after(machine, replaced(ONLY_TWO_AND_FOUR))) == [
        f"{TWO} held -> accepted (data)",
        "truth: 4 judged, 1 flipped",
    ]
    assert machine.guard.held == 2
    assert announced(machine) == {ONE, TWO, THREE, FOUR}


def test_what_is_held_stays_so_when_later_data_lose_little() -> None:
    machine = holding()
    actions = after(machine, replaced(NOTHING_OF_THEIRS))
    assert told(actions) == [
        f"{FOUR} accepted -> rejected origin_not_found (data)",
        "truth: 4 judged, 1 flipped",
    ]
    assert announced(machine) == {ONE, TWO, THREE}


def test_a_held_route_tells_when_its_reasons_change() -> None:
    machine = holding()
    actions = after(machine, replaced(TO_THE_OTHER))
    assert told(actions)[0] == (f"{ONE} held -> held held_by_guard origin_invalid_asn (data)")
    assert changed(actions) == ["leaves 203.0.113.4/32", "spines 203.0.113.4/32"]


def test_the_hosts_own_withdraw_is_not_held() -> None:
    machine = holding()
    actions = after(machine, withdraw(route(ONE).key))
    assert told(actions) == [f"{ONE} held -> gone (withdraw)"]
    assert announced(machine) == {TWO, THREE, FOUR}


def test_nor_is_the_loss_of_its_session() -> None:
    machine = guarded()
    after(machine, up(), *(update(each) for each in four()), replaced(ONLY_FOUR))
    actions = after(machine, down())
    assert told(actions)[-1] == "guard: ended 0, 0 held"
    assert announced(machine) == set()
    after(machine, up(), *(update(each) for each in four()))
    assert announced(machine) == {FOUR}


def test_stale_routes_are_held_until_their_time_is_over() -> None:
    machine = engine(EVERYTHING, hosts=host_group(stale_time=60), limits=AT_MOST_HALF)
    after(machine, up(), *(update(each) for each in four()), down(), now=1000.0)
    assert told(after(machine, replaced(ONLY_FOUR)))[-1] == "guard: held 3 of 4, 3 held"
    assert announced(machine) == {ONE, TWO, THREE, FOUR}
    assert told(machine.expire(1060.0))[-1] == "guard: ended 0, 0 held"
    assert announced(machine) == set()


def test_a_changed_announcement_is_judged_by_the_new_data() -> None:
    machine = holding()
    other = route(ONE, attributes=Attributes(path("65007"), med=5))
    assert told(after(machine, update(other))) == [
        f"{ONE} held -> rejected origin_not_found (announce)"
    ]
    assert announced(machine) == {TWO, THREE, FOUR}
    # And back again: it is held no longer, whatever the next data say.
    assert told(after(machine, update(route(ONE)))) == []
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
    assert told(after(machine, update(stolen))) == [f"{ONE} rejected origin_not_found (announce)"]
    assert paths(machine, ONE) == {0: HV7}


def test_the_new_owner_comes_before_what_is_held() -> None:
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


# A restart ---------------------------------------------------------------------------------------


def restarted(before: Engine, by: Data, **options: object) -> Engine:
    """An engine that expects what the one before held."""
    held = {key: fingerprint(held) for key, held in before.guard.take_changes().items() if held}
    machine = engine(by, limits=AT_MOST_HALF, **options)  # type: ignore[arg-type]
    restored = after(machine, GuardRestored(held))
    assert told(restored) == [f"guard: restored {len(held)}, 0 held"]
    return machine


def test_what_is_held_survives_a_restart() -> None:
    machine = restarted(holding(), ONLY_FOUR)
    actions = after(machine, up(), *(update(each) for each in four()[:1]))
    assert told(actions) == [f"{ONE} held held_by_guard origin_not_found (announce)"]
    after(machine, *(update(each) for each in four()))
    assert announced(machine) == {ONE, TWO, THREE, FOUR}
    assert machine.guard.held == 3
    after(machine, AllRepeated())
    assert told(after(machine, GuardReleased("test")))[-1] == "guard: released 3, 0 held"
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
    assert told(actions) == []  # it was told when the last one was accepted


def test_nothing_else_is_announced_because_of_it() -> None:
    """Not another attribute, another next hop, another host, another AS at the same address."""
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
    assert told(after(machine, AllRepeated())) == ["guard: ended 0, 0 held"]


def test_what_does_not_come_again_in_time_is_gone() -> None:
    machine = restarted(holding(), ONLY_FOUR)
    after(machine, update(route(ONE)), AllRepeated())
    assert machine.guard.held == 1
    after(machine, update(route(TWO)))
    assert announced(machine) == {ONE}
    changes = machine.guard.take_changes()
    assert changes == {route(TWO).key: None, route(THREE).key: None}


def test_what_another_configuration_rejects_is_not_held() -> None:
    machine = restarted(holding(), ONLY_FOUR, hosts=host_group(ipv4_lengths=frozenset({24})))
    after(machine, *(update(each) for each in four()))
    assert announced(machine) == set()


@pytest.mark.parametrize(
    "narrower", [{"ipv4_lengths": frozenset({24})}, {"next_hops": None}], ids=["lengths", "hops"]
)
def test_another_configuration_takes_what_is_held(narrower: dict[str, object]) -> None:
    """Also where data might have brought the same reason."""
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


def test_it_is_armed_again_after_a_restart() -> None:
    machine = restarted(holding(), EVERYTHING)
    after(machine, *(update(each) for each in four()), AllRepeated())
    assert told(after(machine, replaced(ONLY_FOUR)))[-1] == "guard: held 3 of 4, 3 held"


def test_our_own_mark_does_not_change_a_route() -> None:
    plain = route(ONE)
    assert fingerprint(as_stale(plain)) == fingerprint(plain)


def test_a_fingerprint_is_for_ever() -> None:
    """Another release must find what this one held: sha256 of what is written here."""
    said = (65007, "65007", "igp", 5, [(65007, 1)], [(1, 2, 3)], [7], ["198.51.100.7"])
    attributes = Attributes(
        path("65007"),
        med=5,
        communities=((65007, 1),),
        large_communities=((1, 2, 3),),
        extended_communities=(7,),
    )
    expected = hashlib.sha256(repr(said).encode()).hexdigest()[:32]
    assert fingerprint(route(ONE, attributes=attributes)) == expected


# Whatever happens --------------------------------------------------------------------------------

SPEAKERS = [(address(HV7), 65007), (address(HV8), 65008)]
HOSTS = host_group(max_prefixes=3)
ROUTERS = [router_group("all", "192.0.2.20", all_paths=True)]
VRPS = [f"203.0.113.{n}/32 AS{asn}" for n in (1, 2, 3, 4) for asn in (65007, 65008)]
LIMITS = Limits(max_loss_percent=40, min_loss=2)


class GuardMachine(RuleBasedStateMachine):
    """Beside the engine: what each announcement may be, written again from the manual's words."""

    def __init__(self) -> None:
        super().__init__()
        self.data = data(VRPS)
        self.engine = Engine(OWN_ASN, (HOSTS,), ROUTERS, self.data, LIMITS)
        self.announced: dict[RouteKey, Route] = {}
        self.held: set[RouteKey] = set()
        self.written: dict[RouteKey, str] = {}

    def accepts(self, each: Route) -> bool:
        own = [key for key in self.announced if key.neighbor == each.key.neighbor]
        within = own.index(each.key) < HOSTS.max_prefixes
        verdict = judge(each, HOSTS, self.data, within_limit=within)
        return verdict.kind is VerdictKind.ACCEPTED

    @rule(
        who=st.sampled_from(SPEAKERS),
        where=st.sampled_from([ONE, TWO, THREE, FOUR]),
        med=st.sampled_from([None, 1]),
    )
    def announce(self, who: tuple[Address, int], where: str, med: int | None) -> None:
        neighbor, asn = who
        attributes = Attributes(path(str(asn)), med=med)
        new = route(where, neighbor=str(neighbor), asn=asn, attributes=attributes)
        if self.announced.get(new.key) != new:
            self.held.discard(new.key)
            self.announced[new.key] = new
        self.compare(self.engine.handle(update(new), 0.0))

    @rule(who=st.sampled_from(SPEAKERS), where=st.sampled_from([ONE, TWO, THREE, FOUR]))
    def withdraw(self, who: tuple[Address, int], where: str) -> None:
        key = RouteKey(who[0], prefix(where), 0)
        self.held.discard(key)
        self.announced.pop(key, None)
        self.compare(self.engine.handle(withdraw(key, asn=who[1]), 0.0))

    @rule(who=st.sampled_from(SPEAKERS))
    def session_starts_again(self, who: tuple[Address, int]) -> None:
        self.announced = {k: r for k, r in self.announced.items() if k.neighbor != who[0]}
        self.held = {key for key in self.held if key.neighbor != who[0]}
        self.engine.handle(SessionUp(*who), 0.0)
        self.compare(self.engine.handle(SessionUp(*who), 0.0))

    @rule(
        kept=st.lists(st.sampled_from(VRPS), unique=True),
        is_vague=st.booleans(),
        is_there=st.sampled_from([True, True, True, False]),
    )
    def data_replaced(self, kept: Sequence[str], is_vague: bool, is_there: bool) -> None:
        accepted = {k for k, r in self.announced.items() if k not in self.held and self.accepts(r)}
        was_there = self.data.truth_source is Source.READY
        self.data = data(kept) if is_there else Data(truth_source=Source.UNAVAILABLE)
        lost = {key for key in accepted if not self.accepts(self.announced[key])}
        if not is_there:
            self.held = set()
        elif len(lost) >= 2 and len(lost) > 0.4 * len(accepted):
            self.held |= lost
        self.held = {key for key in self.held if not self.accepts(self.announced[key])}
        everything = is_vague or not (was_there and is_there)
        touched = None if everything else [vrp(text).prefix for text in VRPS]
        self.compare(self.engine.handle(replaced(self.data, touched), 0.0))

    @rule()
    def release(self) -> None:
        self.held.clear()
        self.compare(self.engine.handle(GuardReleased("test"), 0.0))

    @rule(
        is_data_late=st.booleans(),
        gone=st.sampled_from([ONE, TWO, THREE, FOUR, None]),
        moved=st.sampled_from([ONE, TWO, THREE, FOUR, None]),
    )
    def restart(self, is_data_late: bool, gone: str | None, moved: str | None) -> None:
        """Another engine, which gets what was written down; hosts have changed meanwhile. That one
        was gone and is back as it was, nobody could know."""
        neighbor, asn = SPEAKERS[0]
        moved = None if moved == gone else moved
        if gone is not None:
            key = RouteKey(neighbor, prefix(gone), 0)
            self.held.discard(key)
            self.announced.pop(key, None)
        if moved is not None:
            attributes = Attributes(path(str(asn)), med=2)
            new = route(moved, neighbor=str(neighbor), asn=asn, attributes=attributes)
            if self.announced.get(new.key) != new:
                self.held.discard(new.key)
                self.announced[new.key] = new
        first = Data(truth_source=Source.UNAVAILABLE) if is_data_late else self.data
        self.engine = Engine(OWN_ASN, (HOSTS,), ROUTERS, first, LIMITS)
        self.engine.handle(GuardRestored(dict(self.written)), 0.0)
        for each in self.announced.values():
            self.engine.handle(update(each), 0.0)
        if is_data_late:
            self.engine.handle(replaced(self.data), 0.0)
        self.compare(self.engine.handle(AllRepeated(), 0.0))

    def compare(self, actions: Actions) -> None:
        for key, written in self.engine.guard.take_changes().items():
            if written is None:
                self.written.pop(key, None)
            else:
                self.written[key] = fingerprint(written)
        assert self.written.keys() == self.held
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
        owned = {key.prefix for key, each in self.announced.items() if self.accepts(each)}
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
