"""The engine, event by event: what is audited, what routers should have, what is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs
from support.core_samples import (
    OWN_ASN,
    address,
    data,
    down,
    host_group,
    path,
    prefix,
    route,
    up,
    update,
    withdraw,
)
from support.engine_bench import (
    NOTHING,
    OWNED,
    after,
    changed,
    engine,
    logged,
    paths,
    replaced,
    verdicts,
)

from rsfilter.routing.effects import NlriRefused, Provenance, SessionChange, VerdictChange
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import EndOfRib, Update
from rsfilter.routing.model import (
    UNICAST,
    Attributes,
    OriginState,
    Route,
    Validation,
    Verdict,
    VerdictKind,
)
from rsfilter.routing.sessions import Session
from rsfilter.routing.table import MAX_REFUSED
from rsfilter.routing.validation import Mode

ONE = "203.0.113.1/32"
TWO = "203.0.113.2/32"
ANYCAST = "203.0.113.10/32"
THEIRS = "203.0.113.17/32"
V6 = "2001:db8:aa::1/128"

HV7, HV8 = "198.51.100.7", "198.51.100.8"
ID7, ID8 = 0xC6336407, 0xC6336408


def with_med(med: int, where: str = ONE, **rest: object) -> Route:
    return route(where, attributes=Attributes(as_path=path("65007"), med=med), **rest)  # type: ignore[arg-type]


def from_8(where: str = ANYCAST) -> Route:
    return route(where, neighbor=HV8, asn=65008)


# Announcements -----------------------------------------------------------------------------------


def test_a_good_route_is_accepted_logged_and_announced() -> None:
    machine = engine()
    actions = after(machine, update(route(ONE)))
    assert logged(actions) == ["203.0.113.1/32 accepted (announce)"]
    assert changed(actions) == ["leaves 203.0.113.1/32", "spines 203.0.113.1/32"]
    assert paths(machine, ONE) == {0: HV7}
    assert paths(machine, ONE, "spines") == {ID7: HV7}


def test_a_bad_route_is_rejected_logged_and_kept() -> None:
    machine = engine()
    actions = after(machine, update(route(THEIRS)))
    assert logged(actions) == ["203.0.113.17/32 rejected origin_invalid_asn (announce)"]
    assert changed(actions) == []
    assert verdicts(machine) == {f"{HV7} {THEIRS}": "rejected origin_invalid_asn"}
    assert machine.rib_in.at(prefix(THEIRS))[0].verdict.validation == Validation(
        OriginState.INVALID,
        tuple(OWNED.truth.covering(prefix(THEIRS))),  # type: ignore[union-attr]
    )


def test_an_audit_event_has_every_member() -> None:
    provenance = Provenance("3f2a1c", "ab" * 32, "192.0.2.50:8282", 7, 42)
    bound = data(("203.0.113.0/28-32 AS65007",), None, Mode.AUTHORITATIVE, ("hv7", 65007, HV7))
    machine = engine(replace(bound, provenance=provenance))
    (event,) = after(machine, update(route(ONE))).audit
    valid = Validation(OriginState.VALID, tuple(bound.truth.covering(prefix(ONE))))  # type: ignore[union-attr]
    assert event == VerdictChange(
        route=route(ONE),
        host="hv7",
        verdict=Verdict(VerdictKind.ACCEPTED, (), valid),
        was=None,
        cause="announce",
        provenance=provenance,
    )


@pytest.mark.parametrize(
    ("neighbor", "name"),
    [(HV7, "hv7"), (HV8, "hypervisors"), ("192.0.2.99", "")],
)
def test_the_host_is_named_by_truth_or_by_its_group(neighbor: str, name: str) -> None:
    machine = engine(data((), None, Mode.AUTHORITATIVE, ("hv7", 65007, HV7)))
    (event,) = after(machine, update(route(ONE, neighbor=neighbor))).audit
    assert isinstance(event, VerdictChange)
    assert event.host == name


def test_a_name_is_the_hosts_own_and_by_the_data_in_force() -> None:
    by = [data((), None, Mode.AUTHORITATIVE, (name, 65007, HV7)) for name in ("old", "new")]
    machine = engine(by[0])
    names = []
    for event in (
        update(route(ONE, neighbor=HV7)),
        update(route(ONE, neighbor=HV8)),
        update(route("203.0.113.4/32", neighbor=HV7, asn=65008)),
        update(route(TWO, neighbor=HV7)),
        replaced(by[1], []),
        update(route("203.0.113.3/32", neighbor=HV7)),
    ):
        names += [e.host for e in after(machine, event).audit if isinstance(e, VerdictChange)]
    assert names == ["old", "hypervisors", "hypervisors", "old", "new"]


def test_one_update_may_carry_many_routes() -> None:
    machine = engine()
    actions = after(machine, update(route(ONE), route(THEIRS), route(TWO)))
    assert logged(actions) == [
        "203.0.113.1/32 accepted (announce)",
        "203.0.113.17/32 rejected origin_invalid_asn (announce)",
        "203.0.113.2/32 accepted (announce)",
    ]
    assert machine.counters == {"updates": 1, "announced": 3}


@pytest.mark.parametrize("where", [ONE, THEIRS])
def test_a_repetition_costs_nothing(where: str) -> None:
    machine = engine()
    first, again = update(route(where)), update(route(where))
    assert after(machine, first, again, again) == NOTHING
    assert machine.counters["announced"] == 1
    assert machine.counters["repeated"] == 2


def test_a_replacement_is_one_change() -> None:
    machine = engine()
    actions = after(machine, update(with_med(1)), update(with_med(2)))
    assert logged(actions) == []
    assert changed(actions) == ["leaves 203.0.113.1/32", "spines 203.0.113.1/32"]
    assert machine.routes_out("leaves")[prefix(ONE)][0][1].med == 2
    assert len(machine.rib_in) == 1
    assert machine.counters["announced"] == 2


def test_a_replacement_with_the_same_outgoing_attributes_is_no_change() -> None:
    machine = engine()
    own = Attributes(as_path=path("65007"), communities=((OWN_ASN, 1),))
    assert after(machine, update(route(ONE)), update(route(ONE, attributes=own))) == NOTHING


def test_a_rejected_replacement_withdraws() -> None:
    machine = engine()
    stolen = update(route(ONE, next_hops=HV8))
    actions = after(machine, update(route(ONE)), stolen)
    assert logged(actions) == ["203.0.113.1/32 accepted -> rejected next_hop_not_owned (announce)"]
    assert changed(actions) == ["leaves 203.0.113.1/32", "spines 203.0.113.1/32"]
    assert paths(machine, ONE) == paths(machine, ONE, "spines") == {}


def test_an_accepted_replacement_announces() -> None:
    machine = engine()
    actions = after(machine, update(route(ONE, next_hops=HV8)), update(route(ONE)))
    assert logged(actions) == ["203.0.113.1/32 rejected -> accepted (announce)"]
    assert paths(machine, ONE) == {0: HV7}


def test_other_reasons_are_logged_once() -> None:
    machine = engine()
    worse = update(route(ONE, next_hops=HV8, as_path="65008"))
    actions = after(machine, update(route(ONE, next_hops=HV8)), worse)
    assert logged(actions) == [
        "203.0.113.1/32 rejected -> rejected first_as_not_neighbor next_hop_not_owned (announce)"
    ]
    assert changed(actions) == []


def test_an_endless_path_is_one_withdraw_and_one_line() -> None:
    machine = engine()
    after(machine, update(route(ONE)))
    lines, changes = [], []
    for length in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1000):
        actions = after(machine, update(route(ONE, as_path="65007 " * length)))
        lines += logged(actions)
        changes += changed(actions)
    assert lines == ["203.0.113.1/32 accepted -> rejected as_path_too_long (announce)"]
    assert changes == ["leaves 203.0.113.1/32", "spines 203.0.113.1/32"]
    assert machine.counters["announced"] == 11
    assert len(machine.rib_in) == 1


def test_a_malformed_update_withdraws_what_it_names() -> None:
    machine = engine()
    malformed = update(route(ONE, next_hops="", malformed="treat-as-withdraw"))
    actions = after(machine, update(route(ONE)), malformed)
    assert logged(actions) == ["203.0.113.1/32 accepted -> gone (malformed)"]
    assert paths(machine, ONE) == {}
    assert len(machine.rib_in) == 0


def test_a_withdraw_beside_a_malformed_attribute_leaves_room() -> None:
    """Guests come, and go in UPDATEs that have a malformed attribute too: nothing stays."""
    machine = engine(hosts=host_group(max_prefixes=2))
    for number in range(5):
        guest = f"203.0.113.{number}/32"
        after(
            machine,
            update(route(guest)),
            update(route(guest, as_path="", next_hops="", malformed="treat-as-withdraw")),
        )
    assert len(machine.rib_in) == 0
    assert logged(after(machine, update(route(ONE)))) == ["203.0.113.1/32 accepted (announce)"]


def test_a_malformed_announcement_of_a_new_prefix_is_kept_with_its_reason() -> None:
    machine = engine()
    malformed = update(route(ONE, next_hops="", malformed="treat-as-withdraw"))
    assert logged(after(machine, malformed)) == [
        "203.0.113.1/32 rejected attribute_malformed (announce)"
    ]
    assert logged(after(machine, malformed)) == [], "it is repeated"


def test_a_global_and_a_link_local_next_hop_are_one_route() -> None:
    machine = engine()
    neighbor = "2001:db8:c633::7"
    both = route(V6, neighbor=neighbor, next_hops=f"{neighbor} fe80::7")
    actions = after(machine, update(both))
    assert logged(actions) == ["2001:db8:aa::1/128 accepted (announce)"]
    assert len(machine.rib_in) == 1
    assert paths(machine, V6) == {0: neighbor}


# Withdraws ---------------------------------------------------------------------------------------


def test_a_withdraw_is_logged_and_passed_on() -> None:
    machine = engine()
    actions = after(machine, update(route(ONE)), withdraw(route(ONE).key))
    assert logged(actions) == ["203.0.113.1/32 accepted -> gone (withdraw)"]
    assert changed(actions) == ["leaves 203.0.113.1/32", "spines 203.0.113.1/32"]
    assert len(machine.rib_in) == len(machine.routes_out("leaves")) == 0
    after(machine, update(route(TWO)), withdraw(route(TWO).key))
    assert machine.counters["withdrawn"] == 2


def test_a_rejected_route_that_is_withdrawn_concerns_no_router() -> None:
    machine = engine()
    actions = after(machine, update(route(THEIRS)), withdraw(route(THEIRS).key))
    assert logged(actions) == ["203.0.113.17/32 rejected -> gone (withdraw)"]
    assert changed(actions) == []


@pytest.mark.parametrize("other", [route(TWO), route(ONE, neighbor=HV8), route(ONE, path_id=1)])
def test_withdrawing_what_is_not_there_is_nothing(other: Route) -> None:
    machine = engine()
    assert after(machine, update(route(ONE)), withdraw(other.key)) == NOTHING
    assert machine.counters["withdrawn"] == 0
    assert paths(machine, ONE) == {0: HV7}


def test_an_update_withdraws_before_it_announces() -> None:
    machine = engine()
    both = update(with_med(2), withdrawn=ONE)
    actions = after(machine, update(with_med(1)), both)
    assert logged(actions) == [
        "203.0.113.1/32 accepted -> gone (withdraw)",
        "203.0.113.1/32 accepted (announce)",
    ]
    assert machine.routes_out("leaves")[prefix(ONE)][0][1].med == 2


def test_a_route_comes_back() -> None:
    machine = engine()
    actions = after(machine, update(route(ONE)), withdraw(route(ONE).key), update(route(ONE)))
    assert logged(actions) == ["203.0.113.1/32 accepted (announce)"]
    assert changed(actions) == ["leaves 203.0.113.1/32", "spines 203.0.113.1/32"]


# Several paths -----------------------------------------------------------------------------------


def test_anycast_is_two_paths_and_one_best() -> None:
    machine = engine()
    actions = after(machine, update(from_8()), update(route(ANYCAST)))
    assert changed(actions) == ["leaves 203.0.113.10/32", "spines 203.0.113.10/32"]
    assert paths(machine, ANYCAST) == {0: HV7}
    assert paths(machine, ANYCAST, "spines") == {ID7: HV7, ID8: HV8}


def test_one_of_two_paths_leaves_without_a_gap() -> None:
    machine = engine()
    actions = after(machine, update(route(ANYCAST)), update(from_8()), withdraw(route(ANYCAST).key))
    assert changed(actions) == ["leaves 203.0.113.10/32", "spines 203.0.113.10/32"]
    assert paths(machine, ANYCAST) == {0: HV8}
    assert paths(machine, ANYCAST, "spines") == {ID8: HV8}


def test_a_worse_path_concerns_only_routers_that_get_all() -> None:
    machine = engine()
    actions = after(machine, update(route(ANYCAST)), update(from_8()))
    assert changed(actions) == ["spines 203.0.113.10/32"]


def test_theft_leaves_the_owner_untouched() -> None:
    machine = engine()
    actions = after(machine, update(route(ONE)), update(from_8(ONE)))
    assert logged(actions) == ["203.0.113.1/32 rejected origin_invalid_asn (announce)"]
    assert changed(actions) == []
    assert paths(machine, ONE) == {0: HV7}


def test_a_private_best_path_leaves_the_next_best() -> None:
    machine = engine()
    attributes = Attributes(as_path=path("65007"), communities=((65535, 65281),))
    after(machine, update(route(ANYCAST, attributes=attributes)), update(from_8()))
    assert paths(machine, ANYCAST) == {0: HV8}
    assert paths(machine, ANYCAST, "spines") == {ID8: HV8}


def test_two_planes_are_two_paths() -> None:
    bound = data(("203.0.113.0/28-32 AS65007",), None, Mode.AUTHORITATIVE,
                 ("hv7", 65007, "198.51.100.7 198.51.100.17"))  # fmt: skip
    machine = engine(bound)
    after(machine, update(route(ONE)), update(route(ONE, neighbor="198.51.100.17")))
    assert paths(machine, ONE, "spines") == {ID7: HV7, ID7 + 10: "198.51.100.17"}
    after(machine, down("198.51.100.17"))
    assert paths(machine, ONE, "spines") == {ID7: HV7}


# Sessions ----------------------------------------------------------------------------------------


def test_a_session_that_comes_up_is_logged() -> None:
    machine = engine()
    actions = after(machine, up(), now=5.0)
    assert actions == NOTHING._replace(
        audit=[SessionChange(address(HV7), 65007, "host", "hypervisors", True, "")]
    )
    assert machine.sessions == {address(HV7): Session(65007, True, 5.0)}


@pytest.mark.parametrize(
    ("neighbor", "role", "group"),
    [
        (HV7, "host", "hypervisors"),
        ("2001:db8:c633::7", "host", "hypervisors"),
        ("192.0.2.10", "router", "leaves"),
        ("192.0.2.20", "router", "spines"),
        ("192.0.2.99", "unknown", ""),
    ],
)
def test_the_role_of_a_neighbor_follows_from_its_group(
    neighbor: str, role: str, group: str
) -> None:
    machine = engine()
    assert machine.neighbors.identify(address(neighbor)) == (role, group)
    actions = after(machine, down(neighbor))
    assert actions.audit == [SessionChange(address(neighbor), 65007, role, group, False, "lost")]


def test_a_session_has_the_name_that_truth_has_for_the_host() -> None:
    """The name is that of its routes, so that one name finds both. A router has none there."""
    named = data((), None, Mode.AUTHORITATIVE, ("hv7", 65007, HV7), ("hv8", 65200, "192.0.2.10"))
    machine = engine(named)
    router = "192.0.2.10"
    actions = [after(machine, up()), after(machine, down()), after(machine, up(router, 65200))]
    sessions = [event for action in actions for event in action.audit]
    assert [(event.group, event.host) for event in sessions] == [
        ("hypervisors", "hv7"),
        ("hypervisors", "hv7"),
        ("leaves", ""),
    ]


def test_the_first_group_that_names_a_neighbor_has_it() -> None:
    narrow, wide = host_group("198.51.100.7/32"), host_group("198.51.100.0/24")
    machine = Engine(OWN_ASN, (narrow, wide), (), OWNED)
    assert machine.neighbors.group(address(HV7)) is narrow
    assert machine.neighbors.group(address(HV8)) is wide
    assert machine.neighbors.group(address("192.0.2.1")) is None
    assert machine.neighbors.group(address(HV7)) is narrow


def test_a_lost_host_takes_its_routes_along() -> None:
    machine = engine()
    after(machine, up(), update(route(ONE), route(THEIRS)), update(from_8()))
    actions = after(machine, down(reason="hold timer expired"), now=9.0)
    assert logged(actions) == [
        "203.0.113.1/32 accepted -> gone (session_down)",
        "203.0.113.17/32 rejected -> gone (session_down)",
        "host 198.51.100.7 down: hold timer expired",
    ]
    assert changed(actions) == ["leaves 203.0.113.1/32", "spines 203.0.113.1/32"]
    assert verdicts(machine) == {f"{HV8} {ANYCAST}": "accepted"}
    assert machine.sessions[address(HV7)] == Session(
        65007, False, 9.0, reason="hold timer expired", flaps=1
    )


def test_a_peer_that_stays_down_is_logged_once() -> None:
    machine = engine()
    assert logged(after(machine, down())) == ["host 198.51.100.7 down: lost"]
    assert after(machine, down(), now=3.0) == NOTHING
    assert machine.sessions[address(HV7)].since == 0.0
    assert logged(after(machine, up())) == ["host 198.51.100.7 up"]
    assert logged(after(machine, down())) == ["host 198.51.100.7 down: lost"]


def test_routes_may_come_before_we_saw_the_session() -> None:
    """We were restarted, and ExaBGP was not."""
    machine = engine()
    assert logged(after(machine, update(route(ONE)), up())) == ["host 198.51.100.7 up"]
    assert paths(machine, ONE) == {0: HV7}


def test_a_session_that_starts_anew_unseen_has_nothing_yet() -> None:
    machine = engine()
    after(machine, up(), update(route(ONE)))
    actions = after(machine, up(asn=65008), now=8.0)
    assert logged(actions) == [
        "203.0.113.1/32 accepted -> gone (session_down)",
        "host 198.51.100.7 up",
    ]
    assert paths(machine, ONE) == {}
    assert machine.sessions[address(HV7)] == Session(65008, True, 8.0)


def test_routes_of_routers_are_ignored() -> None:
    machine = engine()
    ours = update(route(ONE, neighbor="192.0.2.10"))
    assert after(machine, ours, ours) == NOTHING
    assert len(machine.rib_in) == 0
    assert machine.counters == {"updates": 2, "from_router": 2}


def test_routes_of_unknown_neighbors_are_judged_and_rejected() -> None:
    machine = engine()
    actions = after(machine, update(route(ONE, neighbor="192.0.2.99")))
    assert logged(actions) == ["203.0.113.1/32 rejected neighbor_unknown (announce)"]
    again = after(machine, update(route(ONE, neighbor="192.0.2.99", as_path="")))
    assert logged(again) == [
        "203.0.113.1/32 rejected -> rejected neighbor_unknown as_path_missing (announce)"
    ]


def test_the_end_of_rib_is_nothing_to_us() -> None:
    machine = engine()
    assert after(machine, EndOfRib(address(HV7), 65007, UNICAST[4])) == NOTHING


def test_other_families_are_refused_and_logged_once() -> None:
    provenance = Provenance("3f2a1c")
    bound = data((), None, Mode.AUTHORITATIVE, ("hv7", 65007, HV7))
    machine = engine(replace(bound, provenance=provenance))
    flows = (("ipv4 flow", "destination 203.0.113.1/32"), ("ipv4 unicast", "nonsense"))
    foreign = Update(address(HV7), 65007, (), (), flows)
    assert after(machine, foreign).audit == [
        NlriRefused(address(HV7), 65007, "hv7", family, text, reason, provenance)
        for (family, text), reason in zip(
            flows, ("family_not_allowed", "prefix_malformed"), strict=True
        )
    ]
    assert after(machine, foreign) == NOTHING
    assert machine.counters["refused"] == 4
    assert len(machine.rib_in) == 0
    other = structs.replace(foreign, neighbor=address(HV8), asn=65008)
    assert len(after(machine, other).audit) == 2, "each neighbor has its own"


def test_what_is_logged_of_other_families_is_bounded() -> None:
    machine = engine()
    flows = tuple(("ipv4 flow", str(n)) for n in range(MAX_REFUSED + 10))
    assert len(after(machine, Update(address(HV7), 65007, (), (), flows)).audit) == 100


def test_what_an_update_takes_and_gives_back_is_no_change_for_routers() -> None:
    machine = engine()
    one = route(ONE)
    after(machine, update(one))
    actions = after(machine, update(one, withdrawn=ONE))
    assert logged(actions) == [
        "203.0.113.1/32 accepted -> gone (withdraw)",
        "203.0.113.1/32 accepted (announce)",
    ]
    assert changed(actions) == []
    assert paths(machine, ONE) == {0: HV7}
