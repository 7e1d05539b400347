"""Prefixes that wait for hosts which have not repeated themselves."""

from __future__ import annotations

from support.core_samples import address, prefix

from rsfilter.exabgp.inheritance import REVIEWED_AT_ONCE, Inheritance
from rsfilter.routing.model import Address, Prefix

A, B, GONE = map(address, ("198.51.100.1", "198.51.100.2", "198.51.100.9"))
P, Q = map(prefix, ("203.0.113.1/32", "203.0.113.2/32"))
NOTHING: dict[Prefix, object] = {}


def nobody(_: Prefix) -> Address | None:
    return None


def test_a_prefix_waits_for_the_host_that_it_leads_to() -> None:
    unfinished = {A: None, B: None}
    inheritance = Inheritance(unfinished.keys())
    inheritance.adopt(P, A)
    inheritance.adopt(Q, B)
    assert set(inheritance.waiting_for(A)) == {P}
    del unfinished[A]
    assert inheritance.finished([A]) == []
    assert inheritance.review([{P: ()}], nobody) == [P], "others do not wait for B"
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
    assert inheritance.finished([A]) == []
    assert not inheritance.is_unclear
    del unfinished[B]
    assert inheritance.finished([B]) == []
    assert inheritance.review([{P: ()}], nobody) == [P]


def test_the_last_host_that_finishes_releases_everything() -> None:
    unfinished = {A: None, B: None}
    inheritance = Inheritance(unfinished.keys())
    inheritance.adopt(P, A)
    inheritance.adopt(Q, GONE)
    unfinished.clear()
    assert sorted(map(str, inheritance.finished([A, B]))) == [str(P), str(Q)]
    assert not inheritance.awaited
    assert not inheritance.is_unclear


def test_a_withdraw_waits_for_every_host_that_may_announce_the_prefix() -> None:
    """A is back without P; but B, which is not, may announce it as well."""
    unfinished = {A: None, B: None, GONE: None}
    inheritance = Inheritance(unfinished.keys())
    inheritance.adopt(P, A)
    del unfinished[A]
    inheritance.finished([A])
    assert inheritance.review([NOTHING], lambda _: B) == []
    assert set(inheritance.waiting_for(B)) == {P}
    del unfinished[B]
    inheritance.finished([B])
    assert inheritance.review([NOTHING], nobody) == [P]


def test_what_only_some_routers_are_to_have_would_be_withdrawn_from_the_others() -> None:
    inheritance = Inheritance({B: None}.keys())
    inheritance.adopt(P, GONE)
    assert inheritance.review([{P: ()}, NOTHING], lambda _: B) == []
    assert set(inheritance.waiting_for(B)) == {P}


def test_a_prefix_of_nobody_that_is_known_is_reviewed() -> None:
    inheritance = Inheritance({B: None}.keys())
    inheritance.adopt(P, GONE)
    assert P in inheritance.awaited
    assert inheritance.is_unclear
    assert inheritance.review([NOTHING], nobody) == [P]
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
        sizes.append(len(inheritance.review([NOTHING], nobody)))
    assert sizes == [REVIEWED_AT_ONCE, REVIEWED_AT_ONCE, 1]
