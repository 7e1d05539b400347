"""The engine: `max_prefixes`, what a refresh sweeps, and data that change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.core_samples import (
    address,
    bindings,
    data,
    down,
    host_group,
    path,
    prefix,
    prefixes,
    route,
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

from rsfilter.routing import adj_rib_in
from rsfilter.routing.effects import DataChange, Provenance, VerdictChange
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import RefreshMark
from rsfilter.routing.model import UNICAST, Attributes, Prefix, Route
from rsfilter.routing.validation import Data, Source

HV7, HV8 = "198.51.100.7", "198.51.100.8"


def guest(number: int, **rest: object) -> Route:
    return route(f"203.0.113.{number}/32", **rest)  # type: ignore[arg-type]


def limited(max_prefixes: int) -> Engine:
    return engine(hosts=host_group(max_prefixes=max_prefixes))


def accepted(machine: Engine) -> list[str]:
    return [name.split()[1] for name, verdict in verdicts(machine).items() if verdict == "accepted"]


# max_prefixes ------------------------------------------------------------------------------------


def test_what_is_over_the_limit_is_rejected_and_the_rest_untouched() -> None:
    machine = limited(2)
    actions = after(machine, update(guest(1), guest(2), guest(3)))
    assert logged(actions) == [
        "203.0.113.1/32 accepted (announce)",
        "203.0.113.2/32 accepted (announce)",
        "203.0.113.3/32 rejected max_prefixes (announce)",
    ]
    assert accepted(machine) == ["203.0.113.1/32", "203.0.113.2/32"]


def test_rejected_routes_count() -> None:
    machine = limited(2)
    actions = after(machine, update(guest(17), guest(1), guest(18), guest(2)))
    assert logged(actions)[2:] == [
        "203.0.113.18/32 rejected origin_invalid_asn max_prefixes (announce)",
        "203.0.113.2/32 rejected max_prefixes (announce)",
    ]


def test_every_neighbor_has_its_own_limit() -> None:
    machine = limited(1)
    after(machine, update(guest(1)), update(guest(17, neighbor=HV8, asn=65008)))
    assert accepted(machine) == ["203.0.113.1/32", "203.0.113.17/32"]


def test_every_path_counts() -> None:
    machine = limited(1)
    actions = after(machine, update(guest(1), guest(1, path_id=1)))
    assert logged(actions)[1] == "203.0.113.1/32 rejected max_prefixes (announce)"


def test_strangers_have_a_limit_too() -> None:
    machine = limited(1)
    many = [guest(n, neighbor="192.0.2.99") for n in (1, 2)]
    assert logged(after(machine, update(*many)))[1] == (
        "203.0.113.2/32 rejected neighbor_unknown (announce)"
    )


def test_the_oldest_moves_up() -> None:
    machine = limited(2)
    after(machine, update(*map(guest, (1, 2, 4, 3))))
    actions = after(machine, withdraw(guest(2).key))
    assert logged(actions) == [
        "203.0.113.2/32 accepted -> gone (withdraw)",
        "203.0.113.4/32 rejected -> accepted (max_prefixes)",
    ]
    assert changed(actions) == [
        "leaves 203.0.113.2/32",
        "leaves 203.0.113.4/32",
        "spines 203.0.113.2/32",
        "spines 203.0.113.4/32",
    ]
    actions = after(machine, withdraw(guest(1).key))
    assert logged(actions)[1:] == ["203.0.113.3/32 rejected -> accepted (max_prefixes)"]
    assert accepted(machine) == ["203.0.113.4/32", "203.0.113.3/32"]


def test_a_bad_route_that_moves_up_stays_rejected() -> None:
    machine = limited(1)
    after(machine, update(guest(1), guest(17)))
    actions = after(machine, withdraw(guest(1).key))
    assert logged(actions)[1:] == [
        "203.0.113.17/32 rejected -> rejected origin_invalid_asn (max_prefixes)"
    ]
    assert changed(actions) == ["leaves 203.0.113.1/32", "spines 203.0.113.1/32"]


def test_nothing_moves_up_for_what_was_over_itself() -> None:
    machine = limited(1)
    after(machine, update(guest(1), guest(2), guest(3)))
    assert logged(after(machine, withdraw(guest(2).key))) == [
        "203.0.113.2/32 rejected -> gone (withdraw)"
    ]
    assert accepted(machine) == ["203.0.113.1/32"]


def test_a_replacement_keeps_its_place() -> None:
    machine = limited(1)
    after(machine, update(guest(1), guest(2)))
    with_med = Attributes(as_path=path("65007"), med=5)
    assert logged(after(machine, update(guest(2, attributes=with_med)))) == []
    assert logged(after(machine, update(guest(1, attributes=with_med)))) == []
    assert accepted(machine) == ["203.0.113.1/32"]


def test_a_withdraw_makes_room_in_its_own_update() -> None:
    machine = limited(1)
    after(machine, update(guest(1)))
    assert logged(after(machine, update(guest(2), withdrawn="203.0.113.1/32"))) == [
        "203.0.113.1/32 accepted -> gone (withdraw)",
        "203.0.113.2/32 accepted (announce)",
    ]


def test_nothing_moves_up_when_all_of_it_goes() -> None:
    machine = limited(1)
    after(machine, update(guest(1), guest(2), guest(3)))
    assert logged(after(machine, down())) == [
        "203.0.113.1/32 accepted -> gone (session_down)",
        "203.0.113.2/32 rejected -> gone (session_down)",
        "203.0.113.3/32 rejected -> gone (session_down)",
        "host 198.51.100.7 down: lost",
    ]
    assert logged(after(machine, update(guest(2)))) == ["203.0.113.2/32 accepted (announce)"]


def test_far_beyond_the_limit_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adj_rib_in, "MAX_OVER_LIMIT", 2)
    machine = limited(1)
    actions = after(machine, update(*map(guest, (1, 2, 3, 4, 5))))
    assert logged(actions)[1:] == [
        "203.0.113.2/32 rejected max_prefixes (announce)",
        "203.0.113.3/32 rejected max_prefixes (announce)",
        "hypervisors 198.51.100.7: 2 not kept",
    ]
    assert machine.counters["not_kept"] == 2
    assert machine.counters["announced"] == 5
    assert len(machine.rib_in) == 3
    assert after(machine, withdraw(guest(5).key)) == NOTHING
    actions = after(machine, withdraw(guest(2).key), update(guest(4)))
    assert logged(actions) == ["203.0.113.4/32 rejected max_prefixes (announce)"]


# Refresh (RFC 7313) ------------------------------------------------------------------------------


def mark(family: int = 4, *, is_end: bool, neighbor: str = HV7) -> RefreshMark:
    return RefreshMark(address(neighbor), 65007, UNICAST[family], is_end)


BEGIN, END = mark(is_end=False), mark(is_end=True)


def test_what_a_refresh_does_not_repeat_is_gone() -> None:
    machine = engine()
    after(machine, update(*map(guest, (1, 2, 3))), BEGIN, update(guest(2)))
    actions = after(machine, END)
    assert logged(actions) == [
        "203.0.113.1/32 accepted -> gone (withdraw)",
        "203.0.113.3/32 accepted -> gone (withdraw)",
    ]
    assert accepted(machine) == ["203.0.113.2/32"]
    assert after(machine, END) == NOTHING


def test_what_a_refresh_changes_or_adds_stays() -> None:
    machine = engine()
    after(machine, update(guest(1)), BEGIN)
    after(machine, update(guest(1, attributes=Attributes(as_path=path("65007"), med=1))))
    after(machine, update(guest(2)))
    assert after(machine, END) == NOTHING
    assert accepted(machine) == ["203.0.113.1/32", "203.0.113.2/32"]


def test_a_refresh_is_of_one_family_and_one_neighbor() -> None:
    machine = engine()
    six = route("2001:db8:aa::1/128", neighbor=HV7, next_hops=HV7)
    eight = guest(17, neighbor=HV8, asn=65008)
    after(machine, update(guest(1)), update(six), update(eight), BEGIN, mark(6, is_end=True))
    assert len(machine.rib_in) == 3
    assert logged(after(machine, END)) == ["203.0.113.1/32 accepted -> gone (withdraw)"]
    assert len(machine.rib_in) == 2


def test_a_refresh_of_ipv6_sweeps_ipv6() -> None:
    machine = engine()
    neighbor = "2001:db8:c633::7"
    six = [route(f"2001:db8:aa::{n}/128", neighbor=neighbor) for n in (1, 2)]
    after(machine, update(*six), mark(6, is_end=False, neighbor=neighbor), update(six[1]))
    actions = after(machine, mark(6, is_end=True, neighbor=neighbor))
    assert logged(actions) == ["2001:db8:aa::1/128 accepted -> gone (withdraw)"]


def test_paths_are_swept_one_by_one() -> None:
    machine = engine()
    after(machine, update(guest(1, path_id=1), guest(1, path_id=2)), BEGIN)
    after(machine, update(guest(1, path_id=2)))
    after(machine, END)
    assert [entry.route.key.path_id for entry in machine.rib_in.entries()] == [2]


def test_a_refresh_that_begins_again_forgets_what_was_repeated() -> None:
    machine = engine()
    after(machine, update(guest(1), guest(2)), BEGIN, update(guest(1)), BEGIN, update(guest(2)))
    assert logged(after(machine, END)) == ["203.0.113.1/32 accepted -> gone (withdraw)"]


def test_a_withdraw_during_a_refresh_is_one_withdraw() -> None:
    machine = engine()
    after(machine, update(guest(1)), BEGIN, withdraw(guest(1).key))
    assert after(machine, END) == NOTHING
    after(machine, update(guest(1)), BEGIN, withdraw(guest(1).key), update(guest(1)))
    assert after(machine, END) == NOTHING
    assert accepted(machine) == ["203.0.113.1/32"]


def test_a_session_that_ends_ends_its_refresh() -> None:
    machine = engine()
    after(machine, update(guest(1)), BEGIN, down(), update(guest(1)))
    assert after(machine, END) == NOTHING
    assert accepted(machine) == ["203.0.113.1/32"]


def test_what_a_refresh_sweeps_does_not_move_up_before() -> None:
    machine = limited(1)
    after(machine, update(*map(guest, (1, 2, 3, 4))), BEGIN, update(guest(4)))
    assert logged(after(machine, END)) == [
        "203.0.113.1/32 accepted -> gone (withdraw)",
        "203.0.113.4/32 rejected -> accepted (max_prefixes)",
        "203.0.113.2/32 rejected -> gone (withdraw)",
        "203.0.113.3/32 rejected -> gone (withdraw)",
    ]


@pytest.mark.parametrize("is_end", [False, True])
def test_marks_of_others_are_nothing(is_end: bool) -> None:
    machine = engine()
    after(machine, update(guest(1)))
    for neighbor, family in [
        ("198.51.100.99", UNICAST[4]),
        ("192.0.2.10", UNICAST[4]),
        (HV7, "ipv4 flow"),
    ]:
        assert after(machine, RefreshMark(address(neighbor), 65007, family, is_end)) == NOTHING
    assert list(machine.rib_in.tables) == [address(HV7)]
    assert machine.rib_in.tables[address(HV7)].refreshed_at == {}


# Data --------------------------------------------------------------------------------------------

BEFORE = data(("203.0.113.1/32 AS65007", "203.0.113.2/32 AS65008", "203.0.113.16/28-32 AS65007"))
MOVED = data(("203.0.113.1/32 AS65007", "203.0.113.2/32 AS65007", "203.0.113.16/28-32 AS65007"))


def two_hosts(by: Data = BEFORE) -> Engine:
    """65007 and 65008 both want .2; each has other routes too."""
    machine = engine(by)
    after(machine, update(guest(1), guest(2), guest(17)))
    after(machine, update(guest(2, neighbor=HV8, asn=65008), guest(1, neighbor=HV8, asn=65008)))
    return machine


def test_a_prefix_that_moves_between_hosts_moves_alone() -> None:
    machine = two_hosts()
    assert paths(machine, "203.0.113.2/32") == {0: HV8}
    actions = after(machine, replaced(MOVED, prefixes("203.0.113.2/32")))
    assert logged(actions) == [
        "203.0.113.2/32 rejected -> accepted (data)",
        "203.0.113.2/32 accepted -> rejected origin_invalid_asn (data)",
        "truth: 2 judged, 2 flipped",
    ]
    assert changed(actions) == ["leaves 203.0.113.2/32", "spines 203.0.113.2/32"]
    assert paths(machine, "203.0.113.2/32") == {0: HV7}
    assert paths(machine, "203.0.113.2/32", "spines") == {0xC6336407: HV7}


def test_everything_may_have_changed() -> None:
    machine = two_hosts()
    actions = after(machine, replaced(MOVED))
    assert logged(actions)[-1] == "truth: 5 judged, 2 flipped"
    assert changed(actions) == ["leaves 203.0.113.2/32", "spines 203.0.113.2/32"]


def test_exactly_what_a_changed_prefix_covers_is_judged_again() -> None:
    machine = two_hosts()
    fewer = data(("203.0.113.1/32 AS65007", "203.0.113.2/32 AS65008"))
    actions = after(machine, replaced(fewer, prefixes("203.0.113.16/28")))
    assert logged(actions) == [
        "203.0.113.17/32 accepted -> rejected origin_not_found (data)",
        "truth: 1 judged, 1 flipped",
    ]
    actions = after(machine, replaced(BEFORE, prefixes("203.0.113.16/28")))
    assert logged(actions) == [
        "203.0.113.17/32 rejected -> accepted (data)",
        "truth: 1 judged, 1 flipped",
    ]


def test_other_reasons_are_logged_and_are_no_flip() -> None:
    machine = two_hosts()
    unowned = data(("203.0.113.2/32 AS65008", "203.0.113.16/28-32 AS65007"))
    after(machine, replaced(unowned, prefixes("203.0.113.1/32")))
    short = data(("203.0.113.0/24 AS65008", "203.0.113.2/32 AS65008", "203.0.113.16/28-32 AS65007"))
    actions = after(machine, replaced(short, prefixes("203.0.113.0/24")))
    assert logged(actions) == [
        "203.0.113.1/32 rejected -> rejected origin_invalid_asn (data)",
        "203.0.113.1/32 rejected -> rejected origin_invalid_length (data)",
        "truth: 5 judged, 0 flipped",
    ]
    assert changed(actions) == []


def test_bindings_concern_the_routes_of_their_asn() -> None:
    machine = two_hosts()
    bound = replace(BEFORE, bindings=bindings(("hv8", 65008, HV7)))
    actions = after(machine, replaced(bound, (), asns=(65008,)))
    assert logged(actions) == [
        "203.0.113.2/32 accepted -> rejected neighbor_not_bound (data)",
        "203.0.113.1/32 rejected -> rejected neighbor_not_bound origin_invalid_asn (data)",
        "truth: 2 judged, 1 flipped",
    ]
    assert changed(actions) == ["leaves 203.0.113.2/32", "spines 203.0.113.2/32"]
    assert logged(after(machine, replaced(BEFORE, (), asns=(65008,))))[0] == (
        "203.0.113.2/32 rejected -> accepted (data)"
    )


def test_a_route_that_two_causes_concern_is_judged_once() -> None:
    machine = two_hosts()
    actions = after(machine, replaced(MOVED, prefixes("203.0.113.2/32"), asns=(65007,)))
    assert logged(actions)[-1] == "truth: 4 judged, 2 flipped"


def test_a_change_of_data_is_logged_with_every_figure() -> None:
    provenance = Provenance("3f2a1d", "cd" * 32)
    machine = two_hosts()
    by = replace(MOVED, provenance=provenance)
    audit = after(machine, replaced(by, prefixes("203.0.113.2/32"), source="rtr")).audit
    assert audit[-1] == DataChange("rtr", "as the test says", 2, 1, 2, 2, provenance)
    assert all(isinstance(e, VerdictChange) and e.provenance == provenance for e in audit[:-1])
    assert machine.data is by


def test_other_data_that_change_nothing_are_logged() -> None:
    machine = two_hosts()
    assert after(machine, replaced(BEFORE, prefixes("203.0.113.1/32"))) == NOTHING
    renamed = replace(BEFORE, provenance=Provenance("3f2a1d"))
    assert logged(after(machine, replaced(renamed, ()))) == ["truth: 0 judged, 0 flipped"]
    assert after(machine, replaced(renamed, ())) == NOTHING
    assert logged(after(machine, replaced(renamed))) == ["truth: 5 judged, 0 flipped"]


def test_data_that_expire_are_logged_even_without_routes() -> None:
    machine = engine(data(None, ()))
    expired = replace(machine.data, rtr=None, rtr_source=Source.UNAVAILABLE)
    assert logged(after(machine, replaced(expired, source="rtr"))) == ["rtr: 0 judged, 0 flipped"]


def test_nothing_is_announced_before_there_are_data() -> None:
    machine = engine(Data(truth_source=Source.UNAVAILABLE))
    assert logged(after(machine, update(guest(1)))) == [
        "203.0.113.1/32 rejected data_unavailable (announce)"
    ]
    actions = after(machine, replaced(OWNED))
    assert logged(actions) == [
        "203.0.113.1/32 rejected -> accepted (data)",
        "truth: 1 judged, 1 flipped",
    ]
    assert paths(machine, "203.0.113.1/32") == {0: HV7}


def test_the_limit_outlives_the_data() -> None:
    machine = limited(1)
    after(machine, update(guest(1), guest(2)), replaced(MOVED))
    assert verdicts(machine)[f"{HV7} 203.0.113.2/32"] == "rejected max_prefixes"


def test_changes_come_out_in_the_order_of_the_routes() -> None:
    machine = engine(data(()))
    many: list[Prefix] = [prefix(f"203.0.113.{n}/32") for n in (3, 1, 2)]
    after(machine, update(*(route(str(where)) for where in many)))
    actions = after(machine, replaced(OWNED))
    for group in ("leaves", "spines"):
        sent = [change.prefixes for change in actions.out if change.group == group]
        assert [where for prefixes in sent for where in prefixes] == many
