"""Stale routes, in virtual time: which stay, how they are marked, and when they end."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from support.core_samples import (
    address,
    data,
    down,
    host_group,
    path,
    prefix,
    prefixes,
    route,
    up,
    update,
    withdraw,
)
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

from rsfilter.routing import slices
from rsfilter.routing.adj_rib_in import AdjRibIn, Entry
from rsfilter.routing.effects import Actions, SessionChange, VerdictChange
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import EndOfRib, PolicyReplaced, RefreshMark, SessionDown
from rsfilter.routing.groups import Limits
from rsfilter.routing.guard import DEFAULT_LIMITS
from rsfilter.routing.model import (
    UNICAST,
    Attributes,
    OriginState,
    Route,
    Validation,
    Verdict,
    VerdictKind,
)
from rsfilter.routing.retention import Retention

ONE, TWO, THREE = "203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32"
ANYCAST = "203.0.113.10/32"
THEIRS = "203.0.113.17/32"
V6 = "2001:db8:aa::1/128"

HV7, HV8 = "198.51.100.7", "198.51.100.8"
HV7_IN_V6 = "2001:db8:c633::7"

LLGR_STALE, NO_LLGR = (65535, 6), (65535, 7)

NOT_FOUND = Validation(OriginState.NOT_FOUND)

STALE_TIME = 120
MAX_PREFIXES = 3


def with_communities(*communities: tuple[int, int], where: str = ONE) -> Route:
    return route(where, attributes=Attributes(as_path=path("65007"), communities=communities))


def from_8(where: str = ANYCAST, med: int | None = None) -> Route:
    attributes = Attributes(as_path=path("65008"), med=med)
    return route(where, neighbor=HV8, asn=65008, attributes=attributes)


def retaining(stale_time: int = STALE_TIME, max_prefixes: int = MAX_PREFIXES) -> Engine:
    """The host has an address in each family, whatever its session runs over."""
    own = prefixes(f"198.51.100.0/24 {HV7_IN_V6}/128")
    group = host_group(stale_time=stale_time, max_prefixes=max_prefixes, next_hops=own)
    return engine(hosts=group)


def end_of_rib(family: int = 4, neighbor: str = HV7, asn: int = 65007) -> EndOfRib:
    return EndOfRib(address(neighbor), asn, UNICAST[family])


def shutdown(neighbor: str = HV7, asn: int = 65007) -> SessionDown:
    return SessionDown(address(neighbor), asn, "notification received (6,2)", administrative=True)


def at_routers(machine: Engine, group: str = "spines") -> dict[str, list[str]]:
    """Paths that routers should have: next hops, the best first, stale ones marked with a star."""
    return {
        str(where): [f"{out.next_hop}{'*' * (LLGR_STALE in out.communities)}" for _, out in paths]
        for where, paths in machine.routes_out(group).items()
    }


def stale(actions: Actions) -> list[tuple[str, bool | None]]:
    """Audit events about routes: (prefix, stale)."""
    return [
        (str(event.route.key.prefix), event.stale)
        for event in actions.audit
        if isinstance(event, VerdictChange)
    ]


# Lost --------------------------------------------------------------------------------------------


def test_a_lost_hosts_routes_stay_marked_without_a_withdraw() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE), route(V6, next_hops=HV7_IN_V6)))
    actions = after(machine, down(reason="hold timer expired"), now=10.0)
    assert at_routers(machine) == {ONE: [f"{HV7}*"], V6: [f"{HV7_IN_V6}*"]}
    assert changed(actions) == [f"{g} {p}" for g in ("leaves", "spines") for p in (ONE, V6)]
    assert logged(actions) == [
        f"{ONE} accepted -> accepted (session_down)",
        f"{V6} accepted -> accepted (session_down)",
        "host 198.51.100.7 down: hold timer expired",
    ]
    assert stale(actions) == [(ONE, True), (V6, True)]
    assert machine.next_timer() == 130.0


def test_each_route_keeps_its_own_attributes() -> None:
    machine = retaining()
    after(machine, up(), update(with_communities((65007, 1))))
    after(machine, update(with_communities((65007, 2), where=TWO)), down())
    kept = {str(e.route.key.prefix): e.route.attributes for e in machine.rib_in.entries()}
    assert {where: each.communities for where, each in kept.items()} == {
        ONE: ((65007, 1), LLGR_STALE),
        TWO: ((65007, 2), LLGR_STALE),
    }


def test_a_host_that_comes_and_goes_has_one_timer() -> None:
    rib_in = AdjRibIn()
    retention = Retention(rib_in)
    group = host_group(stale_time=STALE_TIME)
    for now, where in [(0.0, ONE), (10.0, TWO)]:
        entry = Entry(route(where), Verdict(VerdictKind.ACCEPTED, (), NOT_FOUND), True)
        rib_in.insert([entry])
        retention.lose(address(HV7), list(rib_in.entries()), group, now)
    assert retention.expired(119.0, 10) == []
    assert retention.expired(120.0, 10) == [route(ONE).key]
    assert retention.next_timer() == 130.0
    assert retention.expired(130.0, 10) == [route(ONE).key, route(TWO).key], "ONE was not withdrawn"
    assert retention.next_timer() is None


def test_without_a_stale_time_nothing_stays() -> None:
    machine = retaining(stale_time=0)
    after(machine, up(), update(route(ONE)))
    assert logged(after(machine, down()))[:1] == [f"{ONE} accepted -> gone (session_down)"]
    assert at_routers(machine) == {}
    assert machine.next_timer() is None


@pytest.mark.parametrize(
    ("sent", "change"),
    [
        (route(THEIRS), f"{THEIRS} rejected -> gone (session_down)"),
        (with_communities(NO_LLGR), f"{ONE} accepted -> gone (session_down)"),
        (with_communities((65007, 7), NO_LLGR), f"{ONE} accepted -> gone (session_down)"),
        (with_communities(LLGR_STALE, NO_LLGR), f"{ONE} accepted -> gone (session_down)"),
    ],
    ids=["rejected", "no-llgr", "no-llgr-among-others", "no-llgr-of-a-stale-one"],
)
def test_what_goes_at_once(sent: Route, change: str) -> None:
    machine = retaining()
    after(machine, up(), update(sent))
    actions = after(machine, down())
    assert logged(actions)[0] == change
    assert stale(actions) == [(str(sent.key.prefix), None)]
    assert verdicts(machine) == {}
    assert at_routers(machine) == {}
    assert machine.next_timer() is None


def test_what_was_beyond_the_limit_goes_and_nothing_moves_up() -> None:
    machine = retaining(max_prefixes=2)
    after(machine, up(), update(route(THEIRS), route(ONE), route(TWO)))
    assert verdicts(machine)[f"{HV7} {TWO}"] == "rejected max_prefixes"
    actions = after(machine, down())
    assert logged(actions)[:-1] == [
        f"{ONE} accepted -> accepted (session_down)",
        f"{THEIRS} rejected -> gone (session_down)",
        f"{TWO} rejected -> gone (session_down)",
    ]
    assert at_routers(machine) == {ONE: [f"{HV7}*"]}


def test_a_stale_route_is_last_whatever_its_metric() -> None:
    machine = retaining()
    after(machine, up(), update(route(ANYCAST)), update(from_8(med=9)))
    assert at_routers(machine)[ANYCAST] == [HV7, HV8]
    after(machine, down())
    assert at_routers(machine) == {ANYCAST: [HV8, f"{HV7}*"]}
    assert at_routers(machine, "leaves") == {ANYCAST: [HV8]}


def test_a_host_may_mark_a_route_as_stale_itself() -> None:
    """Passed on, last in choice; and marked once, even when the host is lost."""
    machine = retaining()
    after(machine, up(), update(route(ANYCAST)), update(from_8(med=9)))
    own = with_communities(LLGR_STALE, where=ANYCAST)
    actions = after(machine, update(own))
    assert at_routers(machine)[ANYCAST] == [HV8, f"{HV7}*"]
    assert stale(actions) == []
    before = machine.routes_out("spines")[prefix(ANYCAST)]
    actions = after(machine, down())
    assert stale(actions) == [(ANYCAST, True)]
    assert changed(actions) == []
    assert machine.routes_out("spines")[prefix(ANYCAST)] == before
    actions = after(machine, up(), update(own))
    assert stale(actions) == [(ANYCAST, False)]
    assert changed(actions) == []
    assert after(machine, end_of_rib()) == NOTHING


def test_every_host_may_be_lost_at_once() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE), route(ANYCAST)), up(HV8, 65008), update(from_8(THEIRS)))
    after(machine, down(), down(HV8, 65008))
    everything = {ONE: [f"{HV7}*"], ANYCAST: [f"{HV7}*"], THEIRS: [f"{HV8}*"]}
    assert at_routers(machine) == everything
    assert at_routers(machine, "leaves") == everything


def test_a_session_whose_end_went_unseen_was_lost() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE)))
    actions = after(machine, up(), now=5.0)
    assert logged(actions) == [
        f"{ONE} accepted -> accepted (session_down)",
        "host 198.51.100.7 up",
    ]
    assert at_routers(machine) == {ONE: [f"{HV7}*"]}
    assert machine.next_timer() == 125.0


# How they end ------------------------------------------------------------------------------------


def test_the_timer_ends_them() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE)))
    after(machine, down(), now=10.0)
    assert machine.expire(129.9) == NOTHING
    assert machine.next_timer() == 130.0
    actions = machine.expire(130.0)
    assert logged(actions) == [f"{ONE} accepted -> gone (stale_time)"]
    assert stale(actions) == [(ONE, True)]
    assert changed(actions) == [f"leaves {ONE}", f"spines {ONE}"]
    assert at_routers(machine) == {}
    assert machine.next_timer() is None
    assert machine.expire(999.0) == NOTHING


def test_each_host_has_its_own_timer() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE)), up(HV8, 65008), update(from_8(THEIRS)))
    after(machine, down(), now=10.0)
    after(machine, down(HV8, 65008), now=12.0)
    assert machine.next_timer() == 130.0
    machine.expire(130.0)
    assert at_routers(machine) == {THEIRS: [f"{HV8}*"]}
    assert machine.next_timer() == 132.0
    machine.expire(200.0)
    assert at_routers(machine) == {}


def test_a_host_that_is_back_repeats_and_the_rest_goes_at_its_end_of_rib() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE), route(TWO), route(V6, next_hops=HV7_IN_V6)))
    after(machine, down(), now=10.0)
    assert logged(after(machine, up(), now=20.0)) == ["host 198.51.100.7 up"]
    actions = after(machine, update(route(ONE)), now=20.0)
    assert logged(actions) == [f"{ONE} accepted -> accepted (announce)"]
    assert stale(actions) == [(ONE, False)]
    assert changed(actions) == [f"leaves {ONE}", f"spines {ONE}"]  # an implicit replace
    assert at_routers(machine) == {ONE: [HV7], TWO: [f"{HV7}*"], V6: [f"{HV7_IN_V6}*"]}
    actions = after(machine, end_of_rib(4), now=21.0)
    assert logged(actions) == [f"{TWO} accepted -> gone (end_of_rib)"]
    assert stale(actions) == [(TWO, True)]
    assert at_routers(machine) == {ONE: [HV7], V6: [f"{HV7_IN_V6}*"]}
    after(machine, end_of_rib(6), now=21.0)
    assert at_routers(machine) == {ONE: [HV7]}
    assert machine.expire(999.0) == NOTHING


def test_the_timer_runs_on_until_the_end_of_rib() -> None:
    """A speaker without graceful restart never sends one."""
    machine = retaining()
    after(machine, up(), update(route(ONE), route(TWO)))
    after(machine, down(), now=10.0)
    after(machine, up(), update(route(ONE)), now=20.0)
    assert logged(machine.expire(130.0)) == [f"{TWO} accepted -> gone (stale_time)"]
    assert at_routers(machine) == {ONE: [HV7]}


def test_the_end_of_a_refresh_proves_as_much() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE), route(TWO)))
    after(machine, down(), up())
    begin, end = (RefreshMark(address(HV7), 65007, UNICAST[4], is_end) for is_end in (False, True))
    assert stale(after(machine, begin, update(route(ONE)), end)) == [(TWO, True)]
    assert at_routers(machine) == {ONE: [HV7]}


def test_a_refresh_that_the_loss_cut_short_proves_nothing() -> None:
    machine = retaining()
    begin, end = (RefreshMark(address(HV7), 65007, UNICAST[4], is_end) for is_end in (False, True))
    after(machine, up(), update(route(ONE)), begin, down(), up())
    assert after(machine, end) == NOTHING
    assert at_routers(machine) == {ONE: [f"{HV7}*"]}


@pytest.mark.parametrize("is_back", [False, True])
def test_an_administrative_shutdown_ends_all_at_once(is_back: bool) -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE), route(TWO)), down())
    if is_back:
        after(machine, up(), update(route(ONE)))
    actions = after(machine, shutdown())
    ended = sorted(logged(actions)[:2])
    assert ended == [f"{p} accepted -> gone (administrative)" for p in (ONE, TWO)]
    assert sorted(stale(actions)) == [(ONE, None if is_back else True), (TWO, True)]
    assert at_routers(machine) == {}
    assert machine.expire(999.0) == NOTHING


def test_a_shutdown_of_a_live_session_keeps_nothing() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE)))
    actions = after(machine, shutdown())
    assert logged(actions)[0] == f"{ONE} accepted -> gone (administrative)"
    assert at_routers(machine) == {}
    assert isinstance(actions.audit[-1], SessionChange)


def test_a_host_withdraws_what_is_stale() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE)), down(), up())
    actions = after(machine, withdraw(route(ONE).key))
    assert logged(actions) == [f"{ONE} accepted -> gone (withdraw)"]
    assert at_routers(machine) == {}


def test_a_host_repeats_it_with_what_is_wrong() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE)), down(), up())
    actions = after(machine, update(route(ONE, as_path="65007 65009")))
    assert logged(actions) == [f"{ONE} accepted -> rejected as_path_too_long (announce)"]
    assert stale(actions) == [(ONE, False)]
    assert at_routers(machine) == {}
    assert after(machine, end_of_rib()) == NOTHING


def test_another_as_at_the_address_inherits_nothing() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE)), down())
    assert logged(after(machine, up(asn=65008))) == [
        f"{ONE} accepted -> gone (session_down)",
        "host 198.51.100.7 up",
    ]
    assert at_routers(machine) == {}


def test_one_that_was_not_repeated_keeps_its_time_when_the_host_is_lost_again() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE), route(TWO)))
    after(machine, down(), now=10.0)
    after(machine, up(), update(route(ONE)), now=20.0)
    actions = after(machine, down(), now=30.0)
    assert stale(actions) == [(ONE, True)]
    assert after(machine, down(), now=31.0) == NOTHING  # ExaBGP repeats it
    assert logged(machine.expire(130.0)) == [f"{TWO} accepted -> gone (stale_time)"]
    assert machine.next_timer() == 150.0
    assert logged(machine.expire(150.0)) == [f"{ONE} accepted -> gone (stale_time)"]


def test_a_shorter_stale_time_counts_from_the_next_loss() -> None:
    machine = retaining(stale_time=3600)
    after(machine, up(), update(route(ONE), route(TWO)))
    after(machine, down(), now=10.0)
    after(machine, configured(stale_time=60), up(), update(route(TWO)), now=20.0)
    after(machine, down(), now=40.0)
    assert machine.next_timer() == 100.0
    assert logged(machine.expire(100.0)) == [
        f"{ONE} accepted -> gone (stale_time)",
        f"{TWO} accepted -> gone (stale_time)",
    ]
    assert logged(machine.expire(3610.0)) == []  # the time of before
    assert machine.next_timer() is None


def configured(stale_time: int = STALE_TIME, max_prefixes: int = MAX_PREFIXES) -> PolicyReplaced:
    """A reload of the configuration."""
    group = host_group(stale_time=stale_time, max_prefixes=max_prefixes)
    return PolicyReplaced((group,), DEFAULT_LIMITS, 30.0)


# Data --------------------------------------------------------------------------------------------

OTHERS = data(("203.0.113.0/28-32 AS65008",))
"""Require that nothing is left to 65007."""


def test_stale_routes_are_judged_by_new_data() -> None:
    machine = retaining()
    after(machine, up(), update(route(ONE)), down())
    actions = after(machine, replaced(OTHERS))
    assert logged(actions)[0] == f"{ONE} accepted -> rejected origin_invalid_asn (data)"
    assert stale(actions) == [(ONE, True)]
    assert at_routers(machine) == {}
    after(machine, replaced(OWNED))  # a mistake, put right in time
    assert at_routers(machine) == {ONE: [f"{HV7}*"]}
    after(machine, replaced(OTHERS), down())
    assert logged(machine.expire(120.0)) == [f"{ONE} rejected -> gone (stale_time)"]


# The guard ---------------------------------------------------------------------------------------


def holding() -> Engine:
    """ONE is held: the data have taken it from its host, and the guard lets nothing go."""
    machine = engine(hosts=host_group(stale_time=STALE_TIME), limits=Limits(0, 1))
    after(machine, up(), update(route(ONE)), replaced(OTHERS))
    assert verdicts(machine) == {f"{HV7} {ONE}": "held held_by_guard origin_invalid_asn"}
    return machine


def test_what_the_guard_holds_stays_when_its_host_is_lost_and_back() -> None:
    machine = holding()
    actions = after(machine, down())
    assert logged(actions)[0] == (
        f"{ONE} held -> held held_by_guard origin_invalid_asn (session_down)"
    )
    assert at_routers(machine) == {ONE: [f"{HV7}*"]}
    actions = after(machine, up(), update(route(ONE)))
    assert logged(actions) == [f"{ONE} held -> held held_by_guard origin_invalid_asn (announce)"]
    assert stale(actions) == [(ONE, False)]
    assert at_routers(machine) == {ONE: [HV7]}
    assert machine.guard.held == 1


def test_a_host_that_is_back_with_another_route_is_held_no_longer() -> None:
    machine = holding()
    changed_route = route(ONE, attributes=Attributes(as_path=path("65007"), med=1))
    actions = after(machine, down(), up(), update(changed_route))
    assert logged(actions)[0] == f"{ONE} held -> rejected origin_invalid_asn (announce)"
    assert at_routers(machine) == {}
    assert machine.guard.held == 0


def test_the_timer_ends_what_is_held_too() -> None:
    machine = holding()
    after(machine, down())
    assert logged(machine.expire(120.0))[0] == f"{ONE} held -> gone (stale_time)"
    assert at_routers(machine) == {}
    assert machine.guard.held == 0


# max_prefixes ------------------------------------------------------------------------------------


def test_stale_routes_take_no_place_from_those_of_the_new_session() -> None:
    machine = retaining(max_prefixes=2)
    after(machine, up(), update(route(ONE), route(TWO)), down(), up())
    after(machine, update(route(THREE)))
    assert at_routers(machine) == {ONE: [f"{HV7}*"], TWO: [f"{HV7}*"], THREE: [HV7]}
    after(machine, update(route(TWO)))
    assert at_routers(machine) == {ONE: [f"{HV7}*"], TWO: [HV7], THREE: [HV7]}
    # The third of the new session is over the limit, be it stale or not.
    actions = after(machine, update(route(ONE)))
    assert logged(actions) == [
        f"{ONE} accepted -> gone (max_prefixes)",
        f"{ONE} rejected max_prefixes (announce)",
    ]
    assert at_routers(machine) == {TWO: [HV7], THREE: [HV7]}
    after(machine, withdraw(route(THREE).key))
    assert at_routers(machine) == {ONE: [HV7], TWO: [HV7]}


def test_a_stale_route_that_ends_makes_no_room() -> None:
    machine = retaining(max_prefixes=2)
    after(machine, up(), update(route(ONE), route(TWO)), down(), up())
    after(machine, update(route(THREE), route(ANYCAST), route(V6, next_hops=HV7_IN_V6)))
    over = f"{HV7} {V6}"
    assert verdicts(machine)[over] == "rejected max_prefixes"
    after(machine, withdraw(route(ONE).key))
    after(machine, end_of_rib())
    assert at_routers(machine) == {THREE: [HV7], ANYCAST: [HV7]}
    assert verdicts(machine)[over] == "rejected max_prefixes"


def test_a_limit_that_was_lowered_moments_before_the_loss_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Verdicts follow in slices; a host is lost between two, and comes back with what it may."""
    monkeypatch.setattr(slices, "SLICE", 1)
    machine = retaining(max_prefixes=3)
    after(machine, up(), update(route(ONE), route(TWO), route(THREE)))
    after(machine, configured(max_prefixes=1))
    assert machine.is_busy
    after(machine, down())
    while machine.is_busy:
        machine.expire(0.0)
    after(machine, up(), update(route(THREE)), end_of_rib())
    assert at_routers(machine) == {THREE: [HV7]}


def test_no_more_than_the_limit_is_ever_kept() -> None:
    """A host that comes and goes, each time with others."""
    machine = retaining(max_prefixes=2)
    after(machine, up(), update(route(ONE), route(TWO)), down(), up(), update(route(THREE)))
    actions = after(machine, down())
    assert logged(actions)[:-1] == [
        f"{THREE} accepted -> accepted (session_down)",
        f"{ONE} accepted -> gone (session_down)",
    ]
    assert at_routers(machine) == {TWO: [f"{HV7}*"], THREE: [f"{HV7}*"]}


def test_the_latest_of_the_last_session_are_kept_not_of_those_before() -> None:
    """Both come back, the second first: it is the older one from then on."""
    machine = retaining(max_prefixes=2)
    after(machine, up(), update(route(ONE), route(TWO)), down(), up())
    after(machine, update(route(TWO)), update(route(ONE)), down(), up())
    after(machine, update(route(THREE)), down())
    assert at_routers(machine) == {ONE: [f"{HV7}*"], THREE: [f"{HV7}*"]}


# Whatever the order ------------------------------------------------------------------------------

PREFIXES = (ONE, TWO, THREE, ANYCAST)
LAWS = {
    "all": data(("203.0.113.0/28-32 AS65007", "203.0.113.0/28-32 AS65008")),
    "most": data(("203.0.113.0/30-32 AS65007", "203.0.113.0/28-32 AS65008")),
    "none": OTHERS,
}
ALLOWED = {
    ("all", 65007): PREFIXES,
    ("most", 65007): PREFIXES[:3],
    ("none", 65007): (),
    **{(law, 65008): PREFIXES for law in LAWS},
}
KINDS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "plain": (),
    "own mark": (LLGR_STALE,),
    "no llgr": (NO_LLGR,),
}
HOSTS = {HV7: 65007, HV8: 65008}

hosts = st.sampled_from(tuple(HOSTS))
places = st.sampled_from(PREFIXES)


class Host:
    """State of a host: the routes that it announces, in order, and those that are kept of
    before."""

    def __init__(self) -> None:
        self.fresh: dict[str, str] = {}
        self.stale: dict[str, tuple[str, float]] = {}
        self.is_up = False


class RetentionMachine(RuleBasedStateMachine):
    """The engine beside two small tables for each host."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = retaining(max_prefixes=2)
        self.law = "all"
        self.engine.handle(replaced(LAWS["all"]), 0.0)
        self.model = {host: Host() for host in HOSTS}
        self.now = 0.0
        self.log: dict[tuple[str, str], tuple[str, bool]] = {}
        """Knowledge of a reader of the audit: verdict, and whether the route is stale."""

    @rule(host=hosts, where=places, kind=st.sampled_from(tuple(KINDS)))
    def announce(self, host: str, where: str, kind: str) -> None:
        asn, model = HOSTS[host], self.model[host]
        attributes = Attributes(as_path=path(str(asn)), communities=KINDS[kind])
        sent = route(where, neighbor=host, asn=asn, attributes=attributes)
        model.fresh[where] = kind
        model.stale.pop(where, None)
        self.compare(self.engine.handle(update(sent), self.now))

    @rule(host=hosts, where=places)
    def withdraw(self, host: str, where: str) -> None:
        self.model[host].fresh.pop(where, None)
        self.model[host].stale.pop(where, None)
        asn = HOSTS[host]
        gone = withdraw(route(where, neighbor=host, asn=asn).key, asn=asn)
        self.compare(self.engine.handle(gone, self.now))

    @rule(host=hosts)
    def comes(self, host: str) -> None:
        if self.model[host].is_up:
            self.lose(host)
        self.model[host].is_up = True
        self.compare(self.engine.handle(up(host, HOSTS[host]), self.now))

    @rule(host=hosts)
    def is_lost(self, host: str) -> None:
        self.lose(host)
        self.model[host].is_up = False
        self.compare(self.engine.handle(down(host, HOSTS[host]), self.now))

    @rule(host=hosts)
    def shuts_down(self, host: str) -> None:
        self.model[host] = Host()
        self.compare(self.engine.handle(shutdown(host, HOSTS[host]), self.now))

    @rule(host=hosts)
    def ends_its_rib(self, host: str) -> None:
        self.model[host].stale.clear()
        self.compare(self.engine.handle(end_of_rib(4, host, HOSTS[host]), self.now))

    @rule(law=st.sampled_from(tuple(LAWS)))
    def data_change(self, law: str) -> None:
        self.law = law
        self.compare(self.engine.handle(replaced(LAWS[law]), self.now))

    @rule(seconds=st.integers(1, 150))
    def time_passes(self, seconds: int) -> None:
        self.passes(self.now + seconds)

    @precondition(lambda self: self.engine.next_timer() is not None)
    @rule()
    def the_timer_comes(self) -> None:
        at = self.engine.next_timer()
        assert at is not None
        self.passes(max(self.now, at))

    def passes(self, now: float) -> None:
        self.now = now
        for model in self.model.values():
            model.stale = {p: kept for p, kept in model.stale.items() if kept[1] > now}
        self.compare(self.engine.expire(now))
        assert self.engine.expire(now) == NOTHING

    # The oracle --------------------------------------------------------------------------------

    def lose(self, host: str) -> None:
        model = self.model[host]
        until = self.now + STALE_TIME
        for place, (where, kind) in enumerate(model.fresh.items()):
            if self.is_good(host, where, place) and kind != "no llgr":
                model.stale[where] = (kind, until)
        model.fresh.clear()
        while len(model.stale) > 2:
            del model.stale[next(iter(model.stale))]

    def is_good(self, host: str, where: str, place: int = 0) -> bool:
        return place < 2 and where in ALLOWED[self.law, HOSTS[host]]

    def expected(self) -> dict[tuple[str, str], tuple[str, bool]]:
        """(host, prefix): verdict, and whether the route is stale."""
        found = {}
        for host, model in self.model.items():
            places = [(where, n, False) for n, where in enumerate(model.fresh)]
            for where, place, is_stale in places + [(where, 0, True) for where in model.stale]:
                verdict = "accepted" if self.is_good(host, where, place) else "rejected"
                found[host, where] = (verdict, is_stale)
        return found

    def expected_at_routers(self) -> dict[str, list[str]]:
        paths: dict[str, list[tuple[bool, str]]] = {}
        for (host, where), (verdict, is_stale) in self.expected().items():
            kind = self.model[host].fresh.get(where) or self.model[host].stale[where][0]
            if verdict == "accepted":
                is_marked = is_stale or kind == "own mark"
                paths.setdefault(where, []).append((is_marked, host))
        return {w: [f"{h}{'*' * m}" for m, h in sorted(found)] for w, found in paths.items()}

    def compare(self, actions: Actions) -> None:
        at_all, at_best = at_routers(self.engine, SPINES.name), at_routers(self.engine, LEAVES.name)
        assert at_all == self.expected_at_routers()
        assert at_best == {where: paths[:1] for where, paths in at_all.items()}
        self.read(actions)
        assert self.log == self.expected()
        ends = [until for host in self.model.values() for _, until in host.stale.values()]
        timer = self.engine.next_timer()
        assert not ends or (timer is not None and timer <= min(ends))

    def read(self, actions: Actions) -> None:
        for event in actions.audit:
            if not isinstance(event, VerdictChange):
                continue
            key = (str(event.route.key.neighbor), str(event.route.key.prefix))
            verdict, was_stale = self.log.pop(key, (None, False))
            assert verdict == (event.was.value if event.was else None)
            if event.verdict is None:
                assert was_stale is bool(event.stale)
            else:
                assert event.stale is not None or not was_stale
                assert event.stale is not False or was_stale
                self.log[key] = (event.verdict.kind.value, bool(event.stale))


RetentionMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
TestRetentionMachine = RetentionMachine.TestCase
