"""The lab itself: real daemons have sessions with each other, and expectations report what is
there."""

from __future__ import annotations

import re

import pytest
from lab.bird import BirdHost, BirdRouter, parse_changes, parse_routes
from lab.core import Lab, LabError, family_of
from lab.frr import FrrRouter
from lab.gobgp import GoBgpRouter
from lab.routes import Path
from lab.speaker import Endpoint
from lab.stayrtr import StayRtr, Vrp
from lab.waiting import eventually, throughout

HOST_ASN, ROUTER_ASN = 65007, 65200
GUEST4, OTHER4, GUEST6 = "203.0.113.1/32", "203.0.113.2/32", "2001:db8:cc::1/128"

Router = BirdRouter | FrrRouter | GoBgpRouter


def expected_of(lab: Lab, name: str, number: int, asn: int) -> Endpoint:
    """Return the speaker that will be at a number, for the side that is configured first."""
    addresses = {family: lab.address(number, family) for family in lab.families}
    return Endpoint(name, asn, addresses, lab.bgp_port)


def pair(lab: Lab, kind: type[Router]) -> tuple[BirdHost, Router]:
    """A host and a router in session with each other."""
    router = kind(lab, "leaf1", 201, ROUTER_ASN, [expected_of(lab, "hv1", 11, HOST_ASN)])
    host = BirdHost(lab, "hv1", 11, HOST_ASN, [router.endpoint])
    router.starts()
    host.starts()
    return host, router


@pytest.mark.lab
@pytest.mark.parametrize("kind", [BirdRouter, FrrRouter, GoBgpRouter])
def test_routes_pass_between_a_host_and_a_router_of_each_kind(lab: Lab, kind: type[Router]) -> None:
    """Routes of a host arrive as they were sent, in both families, and leave again."""
    host, router = pair(lab, kind)
    guests = [guest for guest in (GUEST4, GUEST6) if family_of(guest) in lab.families]
    host.announces(*guests)
    host.announces(
        OTHER4,
        as_path=[HOST_ASN, 65008],
        next_hop="192.0.2.77",
        med=3,
        communities=[(65535, 0), (65007, 2)],
        large_communities=[(65007, 2, 3)],
    )
    for guest in guests:
        own = host.addresses[family_of(guest)]
        router.has(guest, paths=1, next_hop=own, as_path=[HOST_ASN])
    router.has(
        OTHER4,
        paths=1,
        as_path=[HOST_ASN, 65008],
        next_hop="192.0.2.77",
        med=3,
        communities=[(65535, 0), (65007, 2)],
        large_communities=[(65007, 2, 3)],
    )
    host.withdraws(OTHER4)
    router.lacks(OTHER4)
    router.has_exactly(*guests)
    lab.no_errors()


@pytest.mark.lab
def test_a_lab_works_without_namespaces() -> None:
    """A lab has IPv4 on loopback addresses of its own where the kernel allows no namespaces."""
    with Lab(namespaces=False) as lab, Lab(namespaces=False) as other:
        assert lab.families == (4,)
        assert lab.address(11, 4) != other.address(11, 4)
        host, router = pair(lab, BirdRouter)
        host.announces(GUEST4)
        router.has(GUEST4, next_hop=lab.address(11, 4), as_path=[HOST_ASN])


@pytest.mark.lab
def test_changes_distinguish_a_replacement_from_a_gap(lab: Lab) -> None:
    """BIRD's history shows an implicit replace, a withdraw, and that a repetition is none."""
    host, router = pair(lab, BirdRouter)
    assert isinstance(router, BirdRouter)
    host.announces(GUEST4)
    router.has(GUEST4)
    moment = router.moment()
    host.announces(GUEST4, med=7)
    router.has(GUEST4, med=7)
    assert router.changes(moment) == [("replaced", GUEST4)]
    moment = router.moment()
    host.repeats()
    host.announces(OTHER4)
    router.has(OTHER4)
    assert router.changes(moment) == [("added", OTHER4)]
    host.withdraws(GUEST4)
    router.lacks(GUEST4)
    assert router.changes(moment)[-1] == ("removed", GUEST4)


@pytest.mark.lab
def test_errors_in_logs_are_found(lab: Lab) -> None:
    """A session that is cut shows up, unless the test has announced it."""
    host, router = pair(lab, BirdRouter)
    assert isinstance(router, BirdRouter)
    router.is_up()
    lab.no_errors()
    host.dies()
    eventually(lambda: None if not any(router.sessions().values()) else "still up")
    host.starts()
    router.is_up()
    host.shuts_down()
    eventually(lambda: None if router.errors() else "no error yet")
    with pytest.raises(AssertionError, match=r"leaf1: .*Administrative shutdown"):
        lab.no_errors()
    router.tolerated.append("Administrative shutdown")
    lab.no_errors()


@pytest.mark.lab
def test_a_failed_expectation_shows_what_is_there(lab: Lab) -> None:
    """The message holds the expectation, every table and the logs."""
    host, router = pair(lab, BirdRouter)
    host.announces(GUEST4)
    router.has(GUEST4)
    with pytest.raises(AssertionError) as caught:
        router.has(GUEST4, paths=2, deadline_s=0.1)
    message = str(caught.value)
    assert message.startswith(f"leaf1 has 1 paths of {GUEST4}, not 2 (waited 0.1 s)")
    assert re.search(r"--- leaf1\n +hv1_4:up.*\n +\* 203\.0\.113\.1/32 via ", message)
    assert "--- hv1" in message
    with pytest.raises(AssertionError, match="has no path"):
        router.has(GUEST4, as_path=[1], deadline_s=0.1)
    with pytest.raises(AssertionError, match=r"still has \['203\.0\.113\.1/32'\]"):
        router.lacks(GUEST4, deadline_s=0.1)
    with pytest.raises(AssertionError, match=r"misses \['203\.0\.113\.2/32'\]"):
        router.has_exactly(OTHER4, deadline_s=0.1)


@pytest.mark.lab
def test_a_cache_serves_and_changes_its_data(lab: Lab) -> None:
    """StayRTR's own client reads what the cache was given."""
    cache = StayRtr(lab, "cache", 50, [Vrp(65007, "203.0.113.0/24", 32)])
    cache.starts()

    def dump() -> str:
        return lab.run(["rtrdump", "-connect", cache.address, "-file", ""])

    assert '{"prefix":"203.0.113.0/24","maxLength":32,"asn":65007}' in dump()
    cache.serves([Vrp(65008, "203.0.113.0/24", 32)])
    eventually(lambda: None if '"asn":65008' in dump() else "old data")
    lab.no_errors()


@pytest.mark.lab
def test_a_program_that_cannot_run_is_an_error(lab: Lab) -> None:
    """A program that does not exist or ends at once is an error with its output."""
    with pytest.raises(LabError, match="no-such-program"):
        lab.run(["no-such-program"])
    with pytest.raises(LabError, match=r"ended with 3: why"):
        lab.run(["sh", "-c", "echo why; exit 3"])
    router = BirdRouter(lab, "leaf1", 201, ROUTER_ASN, [])
    router.asn = -1
    router._head = lambda: "nonsense"  # type: ignore[method-assign]
    with pytest.raises(LabError, match=r"leaf1 did not start:\n.*syntax error"):
        router.starts()


def test_expectations_fail_at_the_first_wrong_check_or_at_the_deadline() -> None:
    """The verb `throughout` fails at the first wrong check, `eventually` at its deadline."""
    answers = iter([None, None, "gone"])
    with pytest.raises(AssertionError, match="gone"):
        throughout(lambda: next(answers), 10)
    throughout(lambda: None, 0.01)
    with pytest.raises(AssertionError, match=r"never \(waited 0\.01 s\)\nevidence"):
        eventually(lambda: "never", lambda: "evidence", 0.01)


SHOW_ROUTE_ALL = """\
Table master4:
203.0.113.1/32       unreachable [rs_4 05:37:37.999 from 192.0.2.100] * (100) [AS65007i]
\tType: BGP univ
\tBGP.origin: IGP
\tBGP.as_path: 65007 65008
\tBGP.next_hop: 192.0.2.77
\tBGP.med: 5
\tBGP.local_pref: 100
\tBGP.community: (65535,0) (65007,2)
\tBGP.large_community: (1, 2, 3)
                     unreachable [rs_4 05:37:39.317 from 192.0.2.100] (100) [AS65008i]
\tType: BGP univ
\tBGP.as_path: 65008
\tBGP.next_hop: 192.0.2.78
198.51.100.0/24      blackhole [static4 05:37:37.999] * (200)
\tType: static univ
"""


def test_birds_table_is_read() -> None:
    """Two paths of one prefix; a static route is none of ours."""
    assert parse_routes(SHOW_ROUTE_ALL.splitlines()) == [
        Path(
            prefix="203.0.113.1/32",
            neighbor="rs_4",
            next_hop="192.0.2.77",
            as_path=(65007, 65008),
            best=True,
            med=5,
            communities=frozenset({(65535, 0), (65007, 2)}),
            large_communities=frozenset({(1, 2, 3)}),
        ),
        Path(
            prefix="203.0.113.1/32",
            neighbor="rs_4",
            next_hop="192.0.2.78",
            as_path=(65008,),
            best=False,
        ),
    ]


def test_birds_history_is_read() -> None:
    """The local number shows whose "added" is a replacement."""
    before = "<TRACE> rs_4.ipv4 > added [best] 203.0.113.1/32 2L 3G unreachable\n"
    after = (
        "<TRACE> rs_4.ipv4 > added [best] 203.0.113.1/32 2L 3G unreachable\n"
        "<TRACE> rs_4.ipv4 > added 203.0.113.1/32 7L 5G unreachable\n"
        "<TRACE> rs_4.ipv4 > ignored 203.0.113.1/32 7L 5G unreachable\n"
        "<TRACE> rs_4.ipv4 > removed [replaced] 203.0.113.1/32 2L 3G unreachable\n"
        "<TRACE> rs_4.ipv4 > added [best] 203.0.113.1/32 2L 3G unreachable\n"
    )
    assert parse_changes(before, after) == [
        ("replaced", "203.0.113.1/32"),
        ("added", "203.0.113.1/32"),
        ("removed", "203.0.113.1/32"),
        ("added", "203.0.113.1/32"),
    ]
