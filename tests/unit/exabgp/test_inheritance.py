"""Prefixes that wait for hosts which have not repeated themselves."""

from __future__ import annotations

import pytest
from support.core_samples import address, prefix

from rsfilter.exabgp import inheritance as inheritance_module
from rsfilter.exabgp.inheritance import RELEASED_AT_ONCE, REVIEWED_AT_ONCE, Inheritance
from rsfilter.routing.model import Address, Prefix

A, B, GONE = map(address, ("198.51.100.1", "198.51.100.2", "198.51.100.9"))
P, Q = map(prefix, ("203.0.113.1/32", "203.0.113.2/32"))
NOTHING: dict[Prefix, object] = {}


def no_claimant(_: Prefix) -> Address | None:
    return None


def test_a_prefix_waits_for_the_host_that_it_leads_to() -> None:
    unfinished = {A: None, B: None}
    inheritance = Inheritance(unfinished.keys())
    inheritance.adopt(P, A)
    inheritance.adopt(Q, B)
    del unfinished[A]
    inheritance.finished([A])
    assert inheritance.release() == []
    assert inheritance.review([{P: ()}], no_claimant) == [P], "others do not wait for B"
    assert set(inheritance.awaited) == {Q}


def test_without_unfinished_hosts_nothing_waits() -> None:
    inheritance = Inheritance({}.keys())
    inheritance.adopt(P, A)
    assert not inheritance.awaited
    assert not inheritance.is_unclear


def test_a_prefix_of_several_hosts_waits_for_each_of_them() -> None:
    unfinished = {A: None, B: None, GONE: None}
    inheritance = Inheritance(unfinished.keys())
    for host in (A, B, A):
        inheritance.adopt(P, host)
    del unfinished[A]
    inheritance.finished([A])
    assert inheritance.release() == []
    assert not inheritance.is_unclear
    del unfinished[B]
    inheritance.finished([B])
    assert inheritance.release() == []
    assert inheritance.review([{P: ()}], no_claimant) == [P]


def test_the_last_host_that_finishes_releases_everything() -> None:
    unfinished = {A: None, B: None}
    inheritance = Inheritance(unfinished.keys())
    inheritance.adopt(P, A)
    inheritance.adopt(Q, GONE)
    unfinished.clear()
    inheritance.finished([A, B])
    assert sorted(map(str, inheritance.release())) == [str(P), str(Q)]
    assert not inheritance.awaited
    assert not inheritance.is_unclear


def test_a_withdraw_waits_for_every_host_that_may_announce_the_prefix() -> None:
    """A is back without P; but B, which is not, may announce it as well."""
    unfinished = {A: None, B: None, GONE: None}
    inheritance = Inheritance(unfinished.keys())
    inheritance.adopt(P, A)
    del unfinished[A]
    inheritance.finished([A])
    inheritance.release()
    assert inheritance.review([NOTHING], lambda _: B) == []
    assert not inheritance.is_unclear
    del unfinished[B]
    inheritance.finished([B])
    inheritance.release()
    assert inheritance.review([NOTHING], no_claimant) == [P]


def test_what_only_some_routers_are_to_have_would_be_withdrawn_from_the_others() -> None:
    inheritance = Inheritance({B: None}.keys())
    inheritance.adopt(P, GONE)
    assert inheritance.review([{P: ()}, NOTHING], lambda _: B) == []
    assert inheritance.owes(B)


def test_a_prefix_without_a_known_claimant_is_reviewed() -> None:
    inheritance = Inheritance({B: None}.keys())
    inheritance.adopt(P, GONE)
    assert P in inheritance.awaited
    assert inheritance.is_unclear
    assert inheritance.review([NOTHING], no_claimant) == [P]
    assert not inheritance.is_unclear


def test_a_prefix_that_waits_already_is_not_doubted() -> None:
    inheritance = Inheritance({A: None, B: None}.keys())
    inheritance.adopt(P, A)
    inheritance.adopt(P, GONE)
    inheritance.doubt(P)
    assert not inheritance.is_unclear


def test_a_review_is_done_in_slices() -> None:
    inheritance = Inheritance({B: None}.keys())
    many = [Prefix(4, 0x0A000000 + n, 32) for n in range(2 * REVIEWED_AT_ONCE + 1)]
    for each in many:
        inheritance.adopt(each, GONE)
    sizes = []
    while inheritance.is_unclear:
        sizes.append(len(inheritance.review([NOTHING], no_claimant)))
    assert sizes == [REVIEWED_AT_ONCE, REVIEWED_AT_ONCE, 1]


# What hosts have repeated ------------------------------------------------------------------------


def test_a_host_owes_what_routers_have_from_it_until_it_announces_that() -> None:
    inheritance = Inheritance({A: None, B: None}.keys())
    inheritance.adopt(P, A)
    inheritance.adopt(Q, A)
    inheritance.heard(A, [P, P])
    inheritance.heard(B, [Q])
    assert inheritance.owes(A)
    assert not inheritance.owes(B)
    inheritance.heard(A, [prefix("203.0.113.3/32"), Q])
    assert not inheritance.owes(A)


def test_a_host_owes_everything_again_in_another_session() -> None:
    inheritance = Inheritance({A: None}.keys())
    inheritance.adopt(P, A)
    inheritance.adopt(Q, A)
    inheritance.heard(A, [P, Q])
    inheritance.begin_session(A)
    inheritance.heard(A, [Q])
    assert inheritance.owes(A)
    inheritance.heard(A, [P])
    assert not inheritance.owes(A)


def test_what_a_host_announces_already_it_does_not_owe() -> None:
    inheritance = Inheritance({A: None}.keys(), lambda host, where: (host, where) == (A, P))
    inheritance.adopt(P, A)
    assert not inheritance.owes(A)
    inheritance.adopt(Q, A)
    assert inheritance.owes(A)


# Slices ------------------------------------------------------------------------------------------


def many(count: int) -> list[Prefix]:
    return [Prefix(4, 0x0A000000 + n, 32) for n in range(count)]


def test_prefixes_of_a_host_that_has_finished_are_let_go_in_slices() -> None:
    unfinished = {A: None}
    inheritance = Inheritance(unfinished.keys())
    for each in many(2 * RELEASED_AT_ONCE + 1):
        inheritance.adopt(each, A)
    unfinished.clear()
    inheritance.finished([A])
    left = []
    released = []
    while inheritance.is_releasing:
        released += inheritance.release()
        left.append(len(inheritance.awaited))
        assert not set(released) & inheritance.awaited.keys()
    assert sorted(released) == many(2 * RELEASED_AT_ONCE + 1)
    assert (
        max(a - b for a, b in zip([len(released), *left], left, strict=False)) <= RELEASED_AT_ONCE
    )
    assert not inheritance.is_unclear


def test_a_host_that_begins_to_repeat_itself_in_the_middle_keeps_what_it_may_announce(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The session of B is to be restarted while prefixes of A are released."""
    monkeypatch.setattr(inheritance_module, "RELEASED_AT_ONCE", 1)
    unfinished = {A: None}
    inheritance = Inheritance(unfinished.keys())
    first, second, third = many(3)
    for each in (first, second, third):
        inheritance.adopt(each, A)
    unfinished.clear()
    inheritance.finished([A])
    for _ in range(4):
        inheritance.release()
    assert inheritance.awaited.keys() == {second, third}
    unfinished[B] = None
    inheritance.watch(second, B)
    assert not inheritance.is_releasing
    assert inheritance.review([NOTHING], no_claimant) == [third]
    assert inheritance.awaited.keys() == {second}


def test_a_host_that_is_unfinished_again_in_the_middle_keeps_its_prefixes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inheritance_module, "RELEASED_AT_ONCE", 1)
    unfinished = {A: None}
    inheritance = Inheritance(unfinished.keys())
    inheritance.adopt(P, A)
    inheritance.adopt(Q, A)
    inheritance.finished([A])
    inheritance.watch(P, A)
    inheritance.watch(Q, A)
    while inheritance.is_releasing:
        inheritance.release()
    assert inheritance.awaited.keys() == {P, Q}
    assert not inheritance.is_unclear
    assert inheritance.owes(A)
