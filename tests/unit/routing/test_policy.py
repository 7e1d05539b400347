"""The policy: every reason by table, every combination of faults, and RFC 6811 by property."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from support import oracle
from support.core_samples import address, bindings, data, host_group, route, vrp
from support.policy_cases import CASES, GROUP, MINE, MINE_SHORT, NO_TRUTH, OTHERS, Case, shared

from rsfilter.routing import policy, validation
from rsfilter.routing.bindings import NO_BINDINGS
from rsfilter.routing.groups import HostGroup
from rsfilter.routing.judging import Judge, findings, judge
from rsfilter.routing.model import (
    BITS,
    IPV4,
    OriginState,
    Prefix,
    Route,
    Validation,
    Verdict,
    VerdictKind,
    Vrp,
)
from rsfilter.routing.reasons import REASONS
from rsfilter.routing.validation import Data, Mode, Source
from rsfilter.rpki.vrps import VrpSet


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_route_is_judged(case: Case) -> None:
    verdict = case.judged()
    assert verdict.reasons == case.reasons
    assert verdict.kind is (VerdictKind.REJECTED if case.reasons else VerdictKind.ACCEPTED)


# Every check counts ------------------------------------------------------------------------------


def failing_cases() -> list[Case]:
    """The cases that do not come out as they should."""
    return [case for case in CASES if case.judged().reasons != case.reasons]


@pytest.mark.parametrize("table", ["PATH_CHECKS", "SPARED_CHECKS"])
def test_no_check_can_be_left_out(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checks: tuple[policy.PathCheck | policy.PrefixCheck, ...] = getattr(policy, table)
    for left_out in checks:
        monkeypatch.setattr(policy, table, tuple(c for c in checks if c is not left_out))
        assert failing_cases(), left_out


@pytest.mark.parametrize("table", ["PATH_CHECKS", "PREFIX_CHECKS"])
def test_a_check_that_is_added_runs_for_every_route(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CONTRIBUTING.md names these places for a new check; `explain` uses `findings`."""

    def check_added(*_: object) -> tuple[str, ...]:
        return ("held_by_guard",)  # some reason that no other check has

    monkeypatch.setattr(policy, table, (*getattr(policy, table), check_added))
    for case in CASES:
        if case.route.key.prefix.is_well_formed:
            assert "held_by_guard" in case.judged().reasons, case
            found = findings(case.route, case.group, case.data)
            assert found["added"] == ("held_by_guard",), case


def test_findings_and_judge_agree() -> None:
    for case in CASES:
        found = findings(case.route, case.group, case.data)
        reasons = {name for names in found.values() for name in names}
        assert reasons == set(case.judged().reasons) - {"max_prefixes"}, case  # counted elsewhere


@given(
    st.sampled_from(sorted(BITS)),
    st.integers(0, 2**128 - 1),
    st.integers(0, 128),
    st.sampled_from([case.group for case in CASES if case.group]),
)
def test_the_checks_that_a_plain_host_route_is_spared_find_nothing(
    family: int, network: int, length: int, group: HostGroup
) -> None:
    """`judge` skips some checks for host routes far from any bogon: `findings` skips none."""
    bits = BITS[family]
    prefix = Prefix(family, network >> (128 - bits), bits if length > 32 else min(length, bits))
    judged = Route.of(structs.replace(route().key, prefix=prefix), 65007, route().attributes, ())
    every = [name for names in findings(judged, group, NO_TRUTH).values() for name in names]
    verdict = judge(judged, group, NO_TRUTH)
    assert set(verdict.reasons) == set(every)


def test_a_judge_of_many_routes_agrees_with_judge_for_each() -> None:
    """The order does not matter: neighbors of a case share most with it, and never all."""
    one_after_the_other = Judge()
    for case in CASES:
        for other in CASES:
            for each in (case, case._replace(route=other.route), other._replace(data=case.data)):
                verdict = one_after_the_other(
                    each.route, each.group, each.data, within_limit=each.within_limit
                )
                assert verdict == each.judged()


def test_origin_validation_cannot_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "check_origin", lambda *_: ())
    assert failing_cases()


@pytest.mark.parametrize("bogon", policy.BOGON_PREFIXES, ids=str)
def test_no_bogon_prefix_can_be_left_out(bogon: object, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = tuple(prefix for prefix in policy.BOGON_PREFIXES if prefix != bogon)
    monkeypatch.setattr(policy, "BOGON_PREFIXES", rest)
    assert failing_cases()


@pytest.mark.parametrize("bogon", sorted(policy.BOGON_ASNS))
def test_no_bogon_asn_can_be_left_out(bogon: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "BOGON_ASNS", policy.BOGON_ASNS - {bogon})
    assert failing_cases()


def test_the_table_has_every_reason() -> None:
    """One reason is missing, because only the guard holds."""
    named = {reason for case in CASES for reason in case.reasons}
    assert named == set(REASONS) - {"held_by_guard"}


# The VRPs that decided ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "state", "named"),
    [
        (data([MINE, OTHERS]), OriginState.VALID, [MINE]),
        (data([OTHERS]), OriginState.INVALID, [OTHERS]),
        (data(()), OriginState.NOT_FOUND, []),
        (data([OTHERS], [MINE]), OriginState.INVALID, [OTHERS]),
        (data((), [MINE]), OriginState.VALID, [MINE]),
        (data([OTHERS], [MINE], Mode.UNION), OriginState.VALID, [MINE]),
        (data([OTHERS], [MINE_SHORT], Mode.UNION), OriginState.INVALID, [OTHERS, MINE_SHORT]),
        (data([OTHERS], [OTHERS], Mode.UNION), OriginState.INVALID, [OTHERS]),
        (data([MINE], [MINE], Mode.BOTH), OriginState.VALID, [MINE]),
        (data([MINE], ["203.0.113.1/32 AS65007"], Mode.BOTH), OriginState.VALID,
         [MINE, "203.0.113.1/32 AS65007"]),
        (data([MINE], [OTHERS], Mode.BOTH), OriginState.INVALID, [OTHERS]),
        (data([MINE], (), Mode.BOTH), OriginState.NOT_FOUND, []),
        (NO_TRUTH, OriginState.NOT_FOUND, []),
    ],
)  # fmt: skip
def test_a_verdict_names_its_vrps(by: Data, state: OriginState, named: list[str]) -> None:
    assert judge(route(), GROUP, by).validation == Validation(state, tuple(map(vrp, named)))


def test_what_is_no_prefix_is_not_validated() -> None:
    verdict = judge(route("203.0.113.1/31"), GROUP, NO_TRUTH)
    assert verdict == Verdict(
        VerdictKind.REJECTED,
        ("prefix_malformed",),
        Validation(OriginState.NOT_FOUND),
    )


def test_the_owner_of_a_stolen_prefix_is_named() -> None:
    """A VRP cannot distinguish a thief with the same ASN."""
    theft = route("203.0.113.1/32", neighbor="198.51.100.8")
    assert judge(theft, GROUP, shared()).validation == Validation(
        OriginState.INVALID, (vrp("203.0.113.1/32 AS65007"),), ("hv1",)
    )


# The host behind a session -----------------------------------------------------------------------

TWO = [("hv7", 65007, "198.51.100.7 198.51.100.17"), ("hv9", 65007, "198.51.100.9")]


@pytest.mark.parametrize(
    ("bound", "asn", "neighbor", "name"),
    [
        (TWO, 65007, "198.51.100.17", "hv7"),
        (TWO, 65007, "198.51.100.9", "hv9"),
        (TWO, 65007, "198.51.100.8", None),
        (TWO, 65008, "198.51.100.9", None),
        (TWO[:1], 65007, "198.51.100.8", None),
        ([("hv", 65007, "")], 65007, "198.51.100.8", "hv"),
        ([("hv", 65007, ""), ("hv2", 65007, "")], 65007, "198.51.100.8", None),
        ([("hv", 65007, ""), TWO[1]], 65007, "198.51.100.9", "hv9"),
        ([("hv", 65007, ""), TWO[1]], 65007, "198.51.100.8", None),
    ],
)
def test_truth_names_the_host(
    bound: list[tuple[str, int, str]], asn: int, neighbor: str, name: str | None
) -> None:
    host = bindings(*bound).host(asn, address(neighbor))
    assert (host.name if host else None) == name


# Every fault beside every other ------------------------------------------------------------------

TELLING_ORDER = [
    "neighbor_unknown",
    "neighbor_not_bound",
    "attribute_malformed",
    "prefix_malformed",
    "prefix_too_long",
    "prefix_too_short",
    "bogon_prefix",
    "bogon_asn",
    "as_path_missing",
    "as_path_set",
    "as_path_confed",
    "as_path_too_long",
    "first_as_not_neighbor",
    "next_hop_not_owned",
    "next_hop_family",
    "data_unavailable",
    "origin_invalid_asn",
    "origin_invalid_length",
    "origin_not_found",
    "max_prefixes",
]
"""Reasons by hand: of the neighbor, message, prefix, path, next hop, data and limit."""

BOUND_ELSEWHERE = bindings(("hv7", 65007, "198.51.100.17"))
ONLY_24 = host_group(ipv4_lengths=frozenset({24}))

GROUPS = {"good": GROUP, "neighbor_unknown": None, "other lengths": ONLY_24}
PREFIXES = {
    # prefix: reasons where host routes are expected, and where /24 is
    "203.0.113.1/32": ("", "prefix_too_long"),
    "203.0.113.0/24": ("prefix_too_short", ""),
    "127.0.0.1/32": ("bogon_prefix", "bogon_prefix prefix_too_long"),
    "126.0.0.0/7": ("bogon_prefix prefix_too_short", "bogon_prefix prefix_too_short"),
    "203.0.113.1/31": ("prefix_malformed", "prefix_malformed"),
}
PATHS = {
    "65007": "",
    "": "as_path_missing",
    "65008": "first_as_not_neighbor",
    "0|{65007}|(65007)": "bogon_asn as_path_set as_path_confed as_path_too_long "
    "first_as_not_neighbor",
}
NEXT_HOPS = {"198.51.100.7": "", "198.51.100.8": "next_hop_not_owned"}
WORLD = {
    "": data(["0.0.0.0/0-32 AS65007"]),
    "origin_invalid_asn": data(["0.0.0.0/0-32 AS65008"]),
    "origin_invalid_length": data(["0.0.0.0/0-0 AS65007"]),
    "origin_not_found": data(()),
    "data_unavailable": NO_TRUTH,
}


@pytest.mark.parametrize("group_name", GROUPS)
def test_all_reasons_are_kept_in_the_order_of_the_table(group_name: str) -> None:
    group = GROUPS[group_name]
    for where, as_path, next_hops, origin, unbound, malformed, within in product(
        PREFIXES, PATHS, NEXT_HOPS, WORLD, *[(False, True)] * 3
    ):
        by = replace(WORLD[origin], bindings=BOUND_ELSEWHERE if unbound else NO_BINDINGS)
        judged = route(
            where, as_path=as_path, next_hops=next_hops, malformed="odd" if malformed else ""
        )
        expected = {
            *(["neighbor_unknown"] if group is None else []),
            *(["neighbor_not_bound"] if unbound else []),
            *(["attribute_malformed"] if malformed else []),
            *PREFIXES[where][group is ONLY_24].split(),
            *PATHS[as_path].split(),
            *NEXT_HOPS[next_hops].split(),
            *([origin] if origin and where != "203.0.113.1/31" else []),
            *([] if within else ["max_prefixes"]),
        }
        verdict = judge(judged, group, by, within_limit=within)
        assert list(verdict.reasons) == [name for name in TELLING_ORDER if name in expected]
        assert (verdict.kind is VerdictKind.ACCEPTED) is not expected


# RFC 6811 in every mode --------------------------------------------------------------------------

ASNS = (0, 1, 2, 4294967294)


@st.composite
def small_prefixes(draw: st.DrawFn) -> Prefix:
    """Prefixes of either family, well formed, few enough that they often cover each other."""
    family, base = draw(st.sampled_from(((IPV4, 10 << 24), (6, 0x20010DB8 << 96))))
    bits = BITS[family]
    spare = draw(st.sampled_from((0, 1, 2, 8, bits - 8, bits)))
    network = base | draw(st.integers(0, 3)) | draw(st.integers(0, 1)) << 8
    return Prefix(family, network >> spare << spare, bits - spare)


@st.composite
def small_vrps(draw: st.DrawFn) -> Vrp:
    where = draw(small_prefixes())
    spare = BITS[where.family] - where.length
    more = draw(st.sampled_from((0, 1, 2, 8, spare)))
    return Vrp(where, where.length + min(more, spare), draw(st.sampled_from(ASNS)))


vrp_lists = st.lists(small_vrps(), max_size=8)
EVERY_LENGTH = frozenset(range(129))
ANYTHING = host_group(ipv4_lengths=EVERY_LENGTH, ipv6_lengths=EVERY_LENGTH)


def by_origin(reasons: tuple[str, ...]) -> set[str]:
    return {name for name in reasons if name.startswith("origin_") or name == "data_unavailable"}


@settings(max_examples=600)
@given(
    truth=vrp_lists,
    rtr=st.none() | vrp_lists,
    mode=st.sampled_from(Mode),
    where=small_prefixes(),
    asn=st.sampled_from(ASNS),
    tolerant=st.booleans(),
)
def test_origin_validation_is_rfc_6811_in_every_mode(
    truth: list[Vrp], rtr: list[Vrp] | None, mode: Mode, where: Prefix, asn: int, tolerant: bool
) -> None:
    by = Data(
        truth=VrpSet.of(truth),
        rtr=None if rtr is None else VrpSet.of(rtr),
        truth_source=Source.READY,
        rtr_source=Source.UNAVAILABLE if rtr is None else Source.READY,
        mode=mode,
    )
    state = oracle.origin(truth, rtr, mode, where, asn)
    expected = {
        None: {"data_unavailable"},
        OriginState.VALID: set(),
        OriginState.NOT_FOUND: set() if tolerant else {"origin_not_found"},
        OriginState.INVALID: {oracle.invalid_reason(truth, rtr, mode, where, asn)},
    }[state]
    verdict = judge(route(str(where), asn=asn), replace(ANYTHING, accept_not_found=tolerant), by)
    assert by_origin(verdict.reasons) == expected
    if state is not None:
        assert verdict.validation.state is state
        assert set(verdict.validation.vrps) <= {*truth, *(rtr or ())}
        assert all(vrp.prefix.covers(where) for vrp in verdict.validation.vrps)
        assert bool(verdict.validation.vrps) is (state is not OriginState.NOT_FOUND)


@settings(max_examples=200)
@given(vrp_lists, small_prefixes(), st.sampled_from(ASNS))
def test_a_single_source_decides_in_every_mode(vrps: list[Vrp], where: Prefix, asn: int) -> None:
    expected = oracle.rfc6811(vrps, where, asn)
    table = VrpSet.of(vrps)
    for mode in Mode:
        alone = Data(truth=table, truth_source=Source.READY, mode=mode)
        assert validation.origin(where, asn, alone).state is expected
        alone = Data(rtr=table, rtr_source=Source.READY, mode=mode)
        assert validation.origin(where, asn, alone).state is expected


@given(st.lists(st.integers(0, 2**32 - 1), max_size=4), st.sampled_from((65007, 65008)))
def test_what_the_path_claims_changes_nothing_about_the_origin(
    claimed: list[int], asn: int
) -> None:
    by = data([MINE, "192.0.2.0/24 AS65008"])
    honest = judge(route(asn=asn), GROUP, by)
    lying = judge(route(asn=asn, as_path=" ".join(map(str, claimed))), GROUP, by)
    assert lying.validation == honest.validation
    assert by_origin(lying.reasons) == by_origin(honest.reasons)


@settings(max_examples=300)
@given(
    st.lists(st.lists(st.sampled_from((1, 2)), max_size=3), max_size=3),
    st.integers(0, 3),
)
def test_only_the_sessions_own_as_makes_a_good_path(
    segments: list[list[int]], max_prepends: int
) -> None:
    """A path of sequences is good when it is one, of AS1 alone, and not too long."""
    text = "|".join(" ".join(map(str, asns)) or " " for asns in segments)
    judged = route(asn=1, as_path=text)
    by = data(["203.0.113.0/28-32 AS1"])
    verdict = judge(judged, replace(GROUP, max_prepends=max_prepends), by)
    good = [[1] * (1 + extra) for extra in range(max_prepends + 1)]
    assert (verdict.kind is VerdictKind.ACCEPTED) is (len(segments) == 1 and segments[0] in good)
