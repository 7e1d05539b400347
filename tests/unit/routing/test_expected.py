"""Expected and absent: hosts without a session, and host routes without an announcement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.config_sample import configuration
from support.growth import assert_grows_gently
from support.speaker import announce, state, withdraw

from rsfilter.config.build import parse_config
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.filter import Filter
from rsfilter.routing.effects import Absence
from rsfilter.routing.expected import CHECK_S, STEP, STEPS
from rsfilter.rpki.truth import parse_truth

HV1, HV2 = "198.51.100.1", "198.51.100.2"
ROUTE1, ROUTE2 = "203.0.113.1/32", "203.0.113.2/32"
AFTER = 300.0


def host(number: int, *prefixes: str, **more: Any) -> dict[str, Any]:
    """hv1 is AS65001 at 198.51.100.1, and so on."""
    return {
        "name": f"hv{number}",
        "asn": 65000 + number,
        "neighbors": [f"198.51.100.{number}"],
        "prefixes": list(prefixes),
        **more,
    }


class Site:
    """A filter, its truth and its clock; every absence that was audited, with its time."""

    def __init__(self, *hosts: dict[str, Any], config: str = "") -> None:
        parsed = parse_config(config or configuration(), Path("rsfilter.toml"))
        self.sources = Sources.of(parsed)
        self.filter = Filter(parsed, self.sources.nothing)
        self.now = 0.0
        self.audit: list[tuple[float, str]] = []
        self.turns = 0
        self.truth(*hosts)

    def truth(self, *hosts: dict[str, Any]) -> None:
        text = json.dumps({"hosts": list(hosts)}).encode()
        event = self.sources.truth_loaded(parse_truth(text, "truth.json", 0.0, may_be_empty=True))
        assert event is not None
        self.filter.data_replaced(event, self.now)
        self.wait(0)

    def feed(self, line: bytes) -> None:
        self.filter.line(line, self.now)
        self.wait(0)

    def up(self, number: int) -> None:
        self.feed(state(f"198.51.100.{number}", 65000 + number, "up"))

    def down(self, number: int) -> None:
        self.feed(state(f"198.51.100.{number}", 65000 + number, "down", "hold timer"))

    def announces(self, number: int, *prefixes: str) -> None:
        self.feed(announce(f"198.51.100.{number}", 65000 + number, list(prefixes)))

    def wait(self, seconds: float) -> None:
        """Turns as the service has them: when something is due."""
        end = self.now + seconds
        while True:
            self._turn()
            timer = self.filter.expected.next_timer()
            if timer is None or timer > end:
                break
            self.now = max(self.now, timer)
        self.now = end
        self._turn()

    def _turn(self) -> None:
        self.turns += 1
        self.filter.commands(self.now)
        for event in self.filter.take_audit():
            if isinstance(event, Absence):
                self.audit.append((self.now, _text(event)))

    @property
    def absent(self) -> list[str]:
        expected = self.filter.expected
        return [
            str(each.prefix or each.neighbor)
            for each in (*expected.absent_hosts.values(), *expected.absent_prefixes.values())
        ]


def _text(event: Absence) -> str:
    what = event.prefix or event.neighbor
    kind = "absent" if event.is_absent else f"present ({event.detail})"
    return f"{event.host} {what} {kind}, {event.seconds} s"


def test_a_host_that_never_comes_is_absent_after_its_time() -> None:
    site = Site(host(1), host(2))
    site.up(1)
    assert site.filter.expected.expected_hosts == 2
    site.wait(AFTER - 1)
    assert (site.absent, site.audit) == ([], [])
    site.wait(1)
    assert site.absent == [HV2]
    assert site.audit == [(AFTER, f"hv2 {HV2} absent, 300 s")]


def test_a_host_that_comes_late_is_present() -> None:
    site = Site(host(1))
    site.wait(400)
    site.up(1)
    site.wait(CHECK_S)
    assert site.absent == []
    assert site.audit == [
        (300.0, f"hv1 {HV1} absent, 300 s"),
        (400 + CHECK_S, f"hv1 {HV1} present (the session is up), 405 s"),
    ]


def test_a_host_that_comes_just_before_its_time_is_never_absent() -> None:
    site = Site(host(1, ROUTE1), host(2))
    site.wait(AFTER - CHECK_S / 2)
    site.up(1)
    site.announces(1, ROUTE1)
    site.wait(CHECK_S)
    assert site.absent == [HV2]
    assert site.audit == [(AFTER, f"hv2 {HV2} absent, 300 s")]


def test_a_host_that_is_lost_is_absent_once_it_stays_away() -> None:
    site = Site(host(1))
    site.up(1)
    site.wait(1000)
    site.down(1)
    site.wait(200)  # a reboot
    site.up(1)
    site.wait(1000)
    assert site.audit == []
    site.down(1)
    site.wait(CHECK_S + AFTER)
    assert site.audit == [(2200 + CHECK_S + AFTER, f"hv1 {HV1} absent, 300 s")]


def test_a_route_that_its_host_does_not_announce_is_absent() -> None:
    site = Site(host(1, ROUTE1, ROUTE2))
    site.up(1)
    site.announces(1, ROUTE1)
    site.wait(CHECK_S + AFTER)
    assert site.audit == [(CHECK_S + AFTER, f"hv1 {ROUTE2} absent, 300 s")]
    assert site.absent == [ROUTE2]
    site.announces(1, ROUTE2)
    site.wait(CHECK_S)
    assert site.absent == []
    site.feed(withdraw(HV1, 65001, [ROUTE1]))
    site.wait(CHECK_S + AFTER)
    assert site.absent == [ROUTE1]


def test_a_rejected_route_is_there_and_one_of_another_host_is_not() -> None:
    site = Site(host(1, ROUTE1), host(2))
    site.up(1)
    site.up(2)
    site.announces(2, ROUTE1)
    site.wait(1000)
    assert site.absent == [ROUTE1]
    site.feed(announce(HV1, 65001, [ROUTE1], next_hop="192.0.2.1"))
    site.wait(CHECK_S)
    assert site.absent == []


def test_an_absent_host_stands_for_its_routes() -> None:
    site = Site(host(1, ROUTE1))
    site.wait(1000)
    assert site.absent == [HV1]


def test_a_route_that_was_absent_stays_so_while_its_host_is_away() -> None:
    """A host that comes and goes does not make its missing routes come and go."""
    site = Site(host(1, ROUTE1, ROUTE2))
    site.up(1)
    site.announces(1, ROUTE1)
    site.wait(1000)
    for _ in range(5):
        site.down(1)
        site.wait(100)
        site.up(1)
        site.announces(1, ROUTE1)
        site.wait(100)
    assert [text for _, text in site.audit] == [f"hv1 {ROUTE2} absent, 300 s"]


def test_prefixes_with_room_for_several_routes_are_not_expected() -> None:
    site = Site(host(1, "203.0.113.0/28", "2001:db8:aa::/64"))
    site.up(1)
    site.wait(1000)
    assert site.absent == []


def test_ipv6_host_routes_and_both_sessions_of_a_host_are_expected() -> None:
    both = ["198.51.100.1", "198.51.100.9"]
    site = Site(host(1, "2001:db8:aa::1/128", neighbors=both))
    site.up(1)
    site.wait(1000)
    assert site.absent == ["198.51.100.9", "2001:db8:aa::1/128"]


def test_another_truth_that_expects_the_same_changes_nothing() -> None:
    site = Site(host(1), host(2))
    site.up(1)
    for revision in range(20):
        site.wait(40)
        site.truth(host(1), host(2), host(3 + revision))
    assert [text for _, text in site.audit] == [f"hv2 {HV2} absent, 300 s"]
    assert site.audit[0][0] == AFTER  # changes of truth do not put it off
    assert HV2 in site.absent


def test_what_a_truth_expects_anew_has_its_time_from_then() -> None:
    site = Site(host(1))
    site.up(1)
    site.wait(1000)
    site.truth(host(1, ROUTE1), host(2))
    site.wait(AFTER - 1)
    assert site.audit == []
    site.wait(1 + CHECK_S)
    assert sorted(site.absent) == [HV2, ROUTE1]


def test_what_a_truth_expects_no_longer_is_not_absent() -> None:
    site = Site(host(1, ROUTE1, ROUTE2), host(2))
    site.up(1)
    site.announces(1, ROUTE2)
    site.wait(1000)
    site.truth(host(1, ROUTE2))
    assert site.absent == []
    assert [text for _, text in site.audit[-2:]] == [
        f"hv1 {ROUTE1} present (no longer expected), 995 s",
        f"hv2 {HV2} present (no longer expected), 1000 s",
    ]


def test_a_host_in_no_group_is_expected_elsewhere() -> None:
    site = Site(host(1), host(2, neighbors=["10.0.0.2"]), host(3))
    site.up(1)
    site.up(3)
    site.wait(1000)
    assert (site.filter.expected.expected_hosts, site.absent) == (2, [])


def test_hosts_without_addresses_are_not_expected() -> None:
    unbound = {"name": "hv1", "asn": 65001, "prefixes": [ROUTE1]}
    site = Site(unbound)
    site.wait(1000)
    assert site.absent == []


def test_other_groups_change_who_is_expected() -> None:
    site = Site(host(1))
    other = configuration().replace("198.51.100.0/24", "198.51.100.128/25")
    site.wait(1000)
    assert site.absent == [HV1]
    site.filter.configured(parse_config(other, Path("rsfilter.toml")), site.now)
    site.wait(0)
    assert site.absent == []


@pytest.mark.parametrize(("seconds", "absent"), [(0, []), (60, [HV1])])
def test_absent_after_is_configured(seconds: int, absent: list[str]) -> None:
    site = Site(host(1), config=configuration() + f"absent_after = {seconds}\n")
    site.wait(60)
    assert site.absent == absent


# Cost --------------------------------------------------------------------------------------------

WIDE = configuration().replace("198.51.100.0/24", "10.0.0.0/16")


def many(count: int) -> list[dict[str, Any]]:
    """Hosts with one address and one host route each."""
    return [
        host(1, f"10.1.{n >> 8}.{n & 255}/32", neighbors=[f"10.0.{n >> 8}.{n & 255}"])
        | {"name": f"hv{n}", "asn": 4200000000 + n}
        for n in range(1, count + 1)
    ]


def test_a_call_does_a_bounded_part_of_the_work() -> None:
    """10,000 hosts with a route each, of which none comes: no call checks more than its steps."""
    site = Site(host(1), config=WIDE)
    seen: list[int] = []
    original = site.filter.expected.expire

    def counted(now: float) -> list[Absence]:
        before = site.filter.expected._seen
        found = original(now)
        seen.append(site.filter.expected._seen - before)
        return found

    site.filter.expected.expire = counted  # type: ignore[method-assign]
    site.truth(*many(10_000))
    site.wait(AFTER)
    assert len(site.filter.expected.absent_hosts) == 10_000
    assert max(seen) <= STEP * STEPS
    assert sum(seen) <= 50_000 + len(seen)  # host, address, route; when it is due, once more


def test_the_cost_is_linear() -> None:
    def made(count: int) -> Any:
        site = Site(host(1), config=WIDE)
        site.truth(*many(count))
        return lambda: site.wait(AFTER)

    assert_grows_gently(made, 1000)


def test_updates_of_a_busy_host_are_checked_now_and_then() -> None:
    site = Site(host(1, ROUTE1))
    site.up(1)
    site.wait(CHECK_S)
    before = site.filter.expected._seen
    for _ in range(500):
        site.announces(1, ROUTE1)
        site.wait(0.01)
    assert site.filter.expected._seen - before <= 3  # five seconds: one check of host and items
