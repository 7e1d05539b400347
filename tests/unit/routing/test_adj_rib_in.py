"""The routing tables: Adj-RIB-In finds what it holds, Adj-RIB-Out reports what changed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.core_samples import OWN_ASN, address, path, prefix, prefixes, route, router_group

from rsfilter.routing import adj_rib_in
from rsfilter.routing.adj_rib_in import AdjRibIn, Entry, NeighborTable
from rsfilter.routing.adj_rib_out import AdjRibOut
from rsfilter.routing.export import OutAttributes, Paths, path_id
from rsfilter.routing.model import (
    Attributes,
    OriginState,
    Prefix,
    Route,
    RouteKey,
    Validation,
    Verdict,
    VerdictKind,
)

VALIDATION = Validation(OriginState.VALID)
ACCEPTED = Verdict(VerdictKind.ACCEPTED, (), VALIDATION)
REJECTED = Verdict(VerdictKind.REJECTED, ("bogon_asn",), VALIDATION)
HELD = Verdict(VerdictKind.HELD, ("held_by_guard",), VALIDATION)


def entry(judged: Route, verdict: Verdict = ACCEPTED, *, within_limit: bool = True) -> Entry:
    return Entry(judged, verdict, within_limit)


def table_of(*entries: Entry) -> AdjRibIn:
    rib_in = AdjRibIn()
    for each in entries:
        rib_in.insert([each])
    return rib_in


# Adj-RIB-In --------------------------------------------------------------------------------------


def test_routes_are_found_by_neighbor_and_by_prefix() -> None:
    one, other = entry(route()), entry(route(neighbor="198.51.100.8"), REJECTED)
    elsewhere = entry(route("203.0.113.2/32"))
    rib_in = table_of(one, other, elsewhere)
    assert len(rib_in) == 3
    assert list(rib_in.entries()) == [one, elsewhere, other]
    assert rib_in.at(prefix("203.0.113.1/32")) == (one, other)
    assert rib_in.at(prefix("203.0.113.3/32")) == ()
    assert [*rib_in.candidates(prefix("203.0.113.1/32"))] == [one.route]
    assert not rib_in.candidates(prefix("203.0.113.3/32"))


def test_rejected_routes_are_no_candidates() -> None:
    rib_in = table_of(entry(route(), REJECTED))
    assert not rib_in.candidates(prefix("203.0.113.1/32"))


def test_held_routes_are_candidates_only_without_an_accepted_one() -> None:
    held, other = entry(route(), HELD), entry(route(neighbor="198.51.100.6"), HELD)
    worst = entry(
        route(neighbor="198.51.100.8", attributes=Attributes(path("65007"), med=9)), ACCEPTED
    )
    rib_in = table_of(held, other, worst)
    assert rib_in.candidates(prefix("203.0.113.1/32")) == [worst.route]
    rib_in.remove(worst.route.key)
    assert rib_in.candidates(prefix("203.0.113.1/32")) == [other.route, held.route]


def test_candidates_are_sorted_by_preference() -> None:
    worse = route(attributes=Attributes(as_path=path("65007"), med=2))
    best = route(neighbor="198.51.100.9")
    middle = route(attributes=Attributes(as_path=path("65007"), med=1), neighbor="198.51.100.1")
    rib_in = table_of(entry(worse), entry(best), entry(middle))
    assert rib_in.candidates(prefix("203.0.113.1/32")) == [best, middle, worse]


def test_paths_of_one_neighbor_are_distinguished() -> None:
    one, other = entry(route(path_id=1)), entry(route(path_id=2))
    rib_in = table_of(one, other)
    assert rib_in.at(prefix("203.0.113.1/32")) == (one, other)
    assert rib_in.remove(one.route.key) is one
    assert rib_in.at(prefix("203.0.113.1/32")) == (other,)


def test_a_removed_route_is_in_no_index() -> None:
    one = entry(route(), within_limit=False)
    rib_in = table_of(one)
    assert rib_in.remove(one.route.key) is one
    assert rib_in.remove(one.route.key) is None
    assert len(rib_in) == 0
    assert rib_in.at(one.route.key.prefix) == ()
    assert rib_in.inside(prefix("0.0.0.0/0")) == []
    assert not rib_in.tables[one.route.key.neighbor].over_limit


def test_removing_what_was_never_there_makes_no_table() -> None:
    rib_in = AdjRibIn()
    assert rib_in.remove(route().key) is None
    assert rib_in.tables == {}


def test_a_neighbors_table_is_made_once() -> None:
    rib_in = AdjRibIn()
    table = rib_in.table(address("198.51.100.7"))
    assert rib_in.table(address("198.51.100.7")) is table
    assert rib_in.table(address("198.51.100.8")) is not table


@pytest.mark.parametrize(
    ("within", "over", "max_prefixes", "room"),
    [
        (0, 0, 0, 0),
        (0, 0, 1, 1),
        (1, 0, 1, 0),
        (1, 1, 1, 0),
        (1, 1, 3, 2),
        (2, 5, 3, 1),
        (3, 5, 3, 0),
        (3, 0, 2, 0),
    ],
)
def test_room_is_for_those_within_the_limit(
    within: int, over: int, max_prefixes: int, room: int
) -> None:
    routes = [entry(route(f"203.0.113.{n}")) for n in range(within)]
    routes += [entry(route(f"203.0.113.{100 + n}"), within_limit=False) for n in range(over)]
    table = table_of(*routes).table(address("198.51.100.7"))
    assert table.room(max_prefixes) == room


def test_a_table_is_full_of_routes_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adj_rib_in, "MAX_OVER_LIMIT", 2)
    table = NeighborTable()
    assert table.room_beyond == 2
    table.over_limit = dict.fromkeys([route("203.0.113.1").key])
    assert table.room_beyond == 1
    table.over_limit = dict.fromkeys(route(f"203.0.113.{n}").key for n in (1, 2))
    assert table.room_beyond == 0
    table.over_limit = dict.fromkeys(route(f"203.0.113.{n}").key for n in (1, 2, 3))
    assert table.room_beyond == 0


# What a prefix covers ----------------------------------------------------------------------------

HELD_ROUTES = prefixes(
    "0.0.0.0/0 203.0.112.255 203.0.113.0 203.0.113.0/24 203.0.113.0/25 203.0.113.127 203.0.113.128 "
    "203.0.113.255 203.0.114.0 ::/0 2001:db8::/64 2001:db8::1 2001:db8::ffff:ffff:ffff:ffff "
    "2001:db8:0:1::"
)


@pytest.mark.parametrize(
    ("queried", "expected"),
    [
        ("203.0.113.0/24", "203.0.113.0 203.0.113.0/24 203.0.113.0/25 203.0.113.127 203.0.113.128 "
                           "203.0.113.255"),
        ("203.0.113.0/25", "203.0.113.0 203.0.113.0/25 203.0.113.127"),
        ("203.0.113.128/25", "203.0.113.128 203.0.113.255"),
        ("203.0.113.0/32", "203.0.113.0"),
        ("203.0.113.255/32", "203.0.113.255"),
        ("203.0.113.1/32", ""),
        ("2001:db8::/64", "2001:db8::/64 2001:db8::1 2001:db8::ffff:ffff:ffff:ffff"),
        ("2001:db8::1/128", "2001:db8::1"),
    ],
)  # fmt: skip
def test_routes_inside_a_prefix_are_found(queried: str, expected: str) -> None:
    rib_in = table_of(*(entry(route(str(held))) for held in HELD_ROUTES))
    assert sorted(rib_in.inside(prefix(queried))) == sorted(prefixes(expected))


def test_a_default_route_covers_its_family() -> None:
    rib_in = table_of(*(entry(route(str(held))) for held in HELD_ROUTES))
    assert len(rib_in.inside(prefix("0.0.0.0/0"))) == 9
    assert len(rib_in.inside(prefix("::/0"))) == 5


@st.composite
def near_prefixes(draw: st.DrawFn) -> Prefix:
    family, bits = draw(st.sampled_from(((4, 32), (6, 128))))
    length = draw(st.sampled_from((0, 1, 2, bits - 2, bits - 1, bits)))
    network = draw(st.integers(0, 3)) << (bits - 2) | draw(st.integers(0, 3))
    return Prefix(family, network >> (bits - length) << (bits - length), length)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(near_prefixes(), st.integers(1, 3), st.booleans()), max_size=20),
    near_prefixes(),
)
def test_covered_routes_are_those_that_covers_accepts(
    changes: list[tuple[Prefix, int, bool]], queried: Prefix
) -> None:
    """The query follows every change: an index sorted before must not be used."""
    rib_in, there = AdjRibIn(), set[RouteKey]()
    for where, host, comes in changes:
        judged = route(str(where), neighbor=f"198.51.100.{host}")
        if comes and judged.key not in there:
            rib_in.insert([entry(judged)])
            there.add(judged.key)
        elif not comes:
            rib_in.remove(judged.key)
            there.discard(judged.key)
        expected = {key.prefix for key in there if queried.covers(key.prefix)}
        assert sorted(rib_in.inside(queried)) == sorted(expected)
        assert rib_in.accepted == sum(e.is_accepted for e in rib_in.entries()) == len(there)


# Adj-RIB-Out -------------------------------------------------------------------------------------

WHERE = prefix("203.0.113.1/32")
NO_EXPORT = ((65535, 65281),)


def out(next_hop: str, asn: int = 65007, med: int | None = None) -> OutAttributes:
    return OutAttributes(address(next_hop), (asn,), "igp", med, (), (), ())


ONE = route()
TWO = route(neighbor="198.51.100.8", asn=65008)
PRIVATE = route(attributes=Attributes(as_path=path("65007"), communities=NO_EXPORT))


@pytest.mark.parametrize(
    ("candidates", "best", "every"),
    [
        ([], (), ()),
        ([ONE], ((0, out("198.51.100.7")),), ((0xC6336407, out("198.51.100.7")),)),
        (
            [ONE, TWO],
            ((0, out("198.51.100.7")),),
            ((0xC6336407, out("198.51.100.7")), (0xC6336408, out("198.51.100.8", 65008))),
        ),
        (
            [TWO, ONE],
            ((0, out("198.51.100.8", 65008)),),
            ((0xC6336408, out("198.51.100.8", 65008)), (0xC6336407, out("198.51.100.7"))),
        ),
        (
            [PRIVATE, TWO],
            ((0, out("198.51.100.8", 65008)),),
            ((0xC6336408, out("198.51.100.8", 65008)),),
        ),
        ([PRIVATE], (), ()),
    ],
)
def test_routers_get_the_best_or_every_path(
    candidates: list[Route], best: Paths, every: Paths
) -> None:
    for all_paths, expected in [(False, best), (True, every)]:
        rib_out = AdjRibOut(OWN_ASN, router_group(all_paths=all_paths))
        assert rib_out.update([(WHERE, candidates)]) == ([WHERE] if expected else [])
        assert rib_out.routes == ({WHERE: expected} if expected else {})


def test_a_path_id_that_collides_stays_with_the_better_path() -> None:
    one, other = route(neighbor="228.11.99.38"), route(neighbor="2001:db8:c633::7")
    assert path_id(one.key.neighbor, 0) == path_id(other.key.neighbor, 0) == 0xE40B6326
    rib_out = AdjRibOut(OWN_ASN, router_group(all_paths=True))
    rib_out.update([(WHERE, [one, other])])
    assert rib_out.routes[WHERE] == ((0xE40B6326, out("228.11.99.38")),)
    rib_out.update([(WHERE, [other, one])])
    assert rib_out.routes[WHERE] == ((0xE40B6326, out("2001:db8:c633::7")),)


def test_only_a_difference_is_a_change() -> None:
    rib_out = AdjRibOut(OWN_ASN, router_group(all_paths=True))
    assert rib_out.update([(WHERE, [])]) == []
    assert rib_out.update([(WHERE, [ONE])]) == [WHERE]
    assert rib_out.update([(WHERE, [ONE])]) == []
    assert rib_out.update([(WHERE, [ONE, TWO])]) == [WHERE]
    assert rib_out.update([(WHERE, [TWO, ONE])]) == [WHERE]
    assert rib_out.update([(WHERE, [TWO, ONE, PRIVATE])]) == []
    assert rib_out.update([(WHERE, [])]) == [WHERE]
    assert rib_out.update([(WHERE, [])]) == []


def test_a_worse_path_is_no_change_where_only_the_best_is_announced() -> None:
    rib_out = AdjRibOut(OWN_ASN, router_group())
    assert rib_out.update([(WHERE, [ONE])]) == [WHERE]
    assert rib_out.update([(WHERE, [ONE, TWO])]) == []
    assert rib_out.update([(WHERE, [TWO, ONE])]) == [WHERE]
    assert rib_out.update([(WHERE, [TWO])]) == []
