"""Scenario G: the data go wrong, or change more than any operator meant.

Two hosts have twenty guests each, one family each, and every guest has a VRP of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from signal import SIGUSR2
from typing import get_args

import pytest
from lab.audit import Record
from lab.core import Lab
from lab.site import Site, Source
from lab.stayrtr import Vrp, roas
from lab.waiting import eventually, throughout

from rsfilter.edge import guard_file

pytestmark = pytest.mark.lab

HV1, HV2 = 65001, 65002
GUESTS = {
    HV1: [f"10.1.0.{n}/32" for n in range(1, 21)],
    HV2: [f"2001:db8:2::{n}/128" for n in range(1, 21)],
}
EVERYTHING = [*GUESTS[HV1], *GUESTS[HV2]]
A_TENTH = [*GUESTS[HV1][:2], *GUESTS[HV2][:2]]
HELD = [prefix for prefix in EVERYTHING if prefix not in A_TENTH]


def data(prefixes: list[str] = EVERYTHING) -> list[Vrp]:
    """A VRP for each of these guests."""
    return [
        Vrp(asn, prefix, 128 if ":" in prefix else 32)
        for asn, guests in GUESTS.items()
        for prefix in guests
        if prefix in prefixes
    ]


def start(lab: Lab, source: Source, *, recorded: bool = True) -> Site:
    site = Site(lab, source, data(), list(GUESTS), recorded=recorded)
    site.starts()
    for asn, guests in GUESTS.items():
        site.hosts[asn].announces(*guests)
    for router in site.routers:
        router.has_exactly(*EVERYTHING)
    return site


@pytest.fixture(params=get_args(Source))
def site(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Site]:
    """All routes announced; afterwards, no log may report an error but of the guard's."""
    running = start(lab, request.param)
    running.route_server.tolerated.append("guard: ")
    yield running
    lab.no_errors()


def nothing_changes(site: Site) -> Callable[[], str | None]:
    """A probe: no router has seen any change since now."""
    moments = [(router, router.moment()) for router in (site.leaf1, site.leaf2)]

    def probe() -> str | None:
        seen = [change for router, moment in moments for change in router.changes(moment)]
        return f"routers saw {seen}" if seen else None

    return probe


def guard_record(site: Site, action: str) -> Record:
    """Wait until the audit has a record of this action of the guard: the latest of all."""

    def probe() -> str | None:
        records = site.audit.records(event="guard")
        return None if records and records[-1]["data"]["action"] == action else "not yet"

    eventually(probe, site.lab.report)
    return site.audit.records(event="guard")[-1]


def is_written_down(site: Site, count: int) -> None:
    """Wait until a restart would know of so many held routes: some milliseconds."""
    file = site.audit.directory / guard_file.NAME

    def probe() -> str | None:
        lines = len(file.read_bytes().splitlines()) if file.exists() else 0
        return None if lines >= count else f"{lines} of {count} held routes are written down"

    eventually(probe, site.lab.report)


def test_g1_impact_foretells_what_the_next_revision_does(lab: Lab) -> None:
    """One guest moves to the other host, which has announced it already, and one is gone."""
    site = start(lab, "truth")
    moved, gone = GUESTS[HV1][:2]
    site.hosts[HV2].announces(moved)
    site.audit.has(prefix=moved, asn=HV2, reasons=["origin_invalid_asn"])
    new = data([*EVERYTHING[2:]])
    document = {**roas([*new, Vrp(HV2, moved, 32)]), "metadata": {"revision": "r2"}}
    proposal = site.route_server.place / "proposal.json"
    proposal.write_text(json.dumps(document))

    request = ("impact", "-c", "rsfilter.toml", "--truth", str(proposal), "--json")
    found = json.loads(site.route_server.rsfilter(*request, code=3))
    assert {(f["prefix"], f["neighbor"], f["verdict"]) for f in found["flips"]} == {
        (moved, site.address(HV1, 4), "rejected"),
        (gone, site.address(HV1, 4), "rejected"),
        (moved, site.address(HV2, 4), "accepted"),
    }
    unchanged = nothing_changes(site)
    throughout(unchanged, 0.5, lab.report)

    site.route_server.writes_truth(document)
    for router in site.routers:
        router.has_exactly(moved, *EVERYTHING[2:])
    flipped = [
        (record["prefix"], record["neighbor"], record["verdict"])
        for record in site.audit.records(event="verdict", cause="data")
        if record["truth"]["revision"] == "r2"
    ]
    assert sorted(flipped) == sorted(
        (f["prefix"], f["neighbor"], f["verdict"]) for f in found["flips"]
    )
    nothing_more = json.loads(site.route_server.rsfilter(*request))
    assert (nothing_more["lost"], nothing_more["gained"]) == (0, 0)
    lab.no_errors()


def test_g2_rendered_twice_is_the_same_octets(lab: Lab) -> None:
    site = Site(lab, "truth", data(), list(GUESTS))
    rs = site.route_server
    rs.rsfilter("render", "exabgp", "-c", "rsfilter.toml", "-o", "one")
    rs.rsfilter("render", "exabgp", "-c", "rsfilter.toml", "-o", "two")
    for name in ("exabgp.conf", "exabgp.env"):
        one, two = ((rs.place / place / name).read_bytes() for place in ("one", "two"))
        assert one.replace(b"/one/", b"/two/") == two
    again = rs.rsfilter("render", "exabgp", "-c", "rsfilter.toml", "-o", "one")
    assert again.count("unchanged ") == 2


MISTAKES: dict[str, tuple[dict[str, object], str]] = {
    "host bits": ({"prefixes": ["10.1.0.1/24"]}, "/hosts/1/prefixes/0"),
    "maxLength < length": (
        {"prefixes": [{"prefix": "10.1.0.0/24", "max_length": 20}]},
        "/hosts/1/prefixes/0/max_length",
    ),
    "ASN 0": ({"asn": 0}, "/hosts/1/asn"),
    "a neighbor twice": ({"neighbors": ["192.0.2.12", "192.0.2.12"]}, "/hosts/1/neighbors/1"),
    "another host's neighbor": ({"neighbors": ["192.0.2.11"]}, "/hosts/1/neighbors/0"),
    "another host's prefix": ({"prefixes": ["10.1.0.7/32"]}, "/hosts/1/prefixes/0"),
}


def test_g3_a_mistake_has_its_place_and_changes_nothing(lab: Lab) -> None:
    """`check` ends with 2 and names each; the running filter keeps the truth that it has."""
    site = start(lab, "truth")
    rs = site.route_server
    rs.tolerated.append("the active truth stays in force")
    unchanged = nothing_changes(site)
    good = rs.truth.read_text()
    for number, (mistake, place) in enumerate(MISTAKES.values(), 1):
        hosts = [
            {"name": "hv1", "asn": HV1, "neighbors": ["192.0.2.11"], "prefixes": ["10.1.0.0/24"]},
            {"name": "hv2", "asn": HV2, "neighbors": ["192.0.2.12"], "prefixes": ["10.2.0.0/24"]},
        ]
        rs.writes_truth({"hosts": [hosts[0], hosts[1] | mistake]})
        assert f"truth.json: {place}:" in rs.rsfilter("check", "-c", "rsfilter.toml", code=2)
        is_refused(site, number)
    rs.writes_truth(json.loads(good))
    rs.rsfilter("check", "-c", "rsfilter.toml")
    throughout(unchanged, 0.5, lab.report)
    lab.no_errors()


def test_g4_a_mass_loss_is_held_until_it_is_released(site: Site) -> None:
    """Nine of ten VRPs vanish: routers keep everything, the alarm reports it, a signal releases
    it."""
    unchanged = nothing_changes(site)

    site.has_data(data(A_TENTH))

    sent = guard_record(site, "held")
    assert sent["data"]["source"] == ("truth" if site.source == "truth" else "rtr")
    assert [sent["data"][name] for name in ("routes", "accepted", "held")] == [36, 40, 36]
    assert sent["truth" if site.source == "truth" else "rtr"]
    for prefix in HELD:
        record = site.audit.has(prefix=prefix, verdict="held", was="accepted", cause="data")
        assert record["reasons"] == ["held_by_guard", "origin_not_found"]
    assert "would lose 36 of 40 accepted routes" in site.route_server.log.read_text()
    throughout(unchanged, 1.0, site.lab.report)

    # A new announcement of what is held is judged by the new data, a withdraw is never held.
    stolen, withdrawn = HELD[0], HELD[1]
    site.hosts[HV2].announces(stolen)
    site.audit.has(prefix=stolen, asn=HV2, verdict="rejected")
    site.hosts[HV1].withdraws(withdrawn)
    for router in site.routers:
        router.has_exactly(*(prefix for prefix in EVERYTHING if prefix != withdrawn))
        router.has(stolen, paths=1, as_path=[HV1])

    os.kill(site.route_server.filter_pid(), SIGUSR2)

    for router in site.routers:
        router.has_exactly(*A_TENTH)
    sent = guard_record(site, "released")
    assert (sent["data"]["routes"], sent["data"]["detail"]) == (35, "SIGUSR2")
    site.audit.has(prefix=HELD[-1], verdict="rejected", was="held", cause="guard")


def test_g4_what_is_held_survives_a_restart(lab: Lab) -> None:
    """kill -9: the new filter knows the new data alone, and what the old one held."""
    site = start(lab, "truth", recorded=False)
    site.route_server.tolerated.append("guard: ")
    unchanged = nothing_changes(site)
    site.has_data(data(A_TENTH))
    guard_record(site, "held")
    is_written_down(site, len(HELD))
    withdrawn = HELD[0]
    for _ in range(2):
        site.route_server.filter_restarts()
        guard_record(site, "restored")
        for prefix in HELD[1:]:
            site.audit.has(prefix=prefix, verdict="held", was=None)
        throughout(unchanged, 2.0, site.lab.report)

    # A withdraw is never held, and what the new data reject is not announced because of the guard.
    site.hosts[HV1].withdraws(withdrawn)
    for router in site.routers:
        router.has_exactly(*(prefix for prefix in EVERYTHING if prefix != withdrawn))
    site.hosts[HV1].announces(withdrawn)
    site.audit.has(prefix=withdrawn, verdict="rejected", was=None)
    os.kill(site.route_server.filter_pid(), SIGUSR2)
    for router in site.routers:
        router.has_exactly(*A_TENTH)
    site.route_server.filter_restarts()
    site.hosts[HV1].announces("10.1.0.99/32")
    site.audit.has(prefix="10.1.0.99/32", verdict="rejected")
    for router in site.routers:
        router.has_exactly(*A_TENTH)
    lab.no_errors()


def test_g4_data_that_are_put_right_end_it_without_churn(site: Site) -> None:
    unchanged = nothing_changes(site)
    site.has_data(data(A_TENTH))
    guard_record(site, "held")

    site.has_data(data())

    guard_record(site, "ended")
    for prefix in HELD:
        site.audit.has(prefix=prefix, verdict="accepted", was="held")
    throughout(unchanged, 1.0, site.lab.report)
    # And it is armed again.
    site.has_data(data(A_TENTH))
    guard_record(site, "held")
    throughout(unchanged, 1.0, site.lab.report)


def test_a_small_loss_goes_out_at_once(site: Site) -> None:
    site.has_data(data(EVERYTHING[4:]))
    for router in site.routers:
        router.has_exactly(*EVERYTHING[4:])
    assert site.audit.records(event="guard") == []


WHOLE = json.dumps(roas(data()))

BROKEN = {
    "truncated": WHOLE[: len(WHOLE) // 2],
    "no entries": '{"roas": []}',
    "no hosts": '{"hosts": []}',
    "not JSON": "<html>502 Bad Gateway</html>",
    "one bad entry": WHOLE.replace("/128", "/129", 1),
}


def test_g5_a_broken_file_never_means_no_vrps(lab: Lab) -> None:
    """The truth in force stays, for each fault of the file, and even when it is cut in place."""
    site = start(lab, "truth")
    site.route_server.tolerated.append("the active truth stays in force")
    unchanged = nothing_changes(site)
    truth = site.route_server.truth
    os.truncate(truth, 0)
    is_refused(site, 1)
    for number, content in enumerate(BROKEN.values(), 2):
        new = truth.with_suffix(".new")
        new.write_text(content)
        os.replace(new, truth)
        is_refused(site, number)
    throughout(unchanged, 1.0, lab.report)
    assert site.audit.records(event="guard") == []
    # A good one is taken in as ever.
    site.has_data(data(EVERYTHING[1:]))
    for router in site.routers:
        router.has_exactly(*EVERYTHING[1:])
    lab.no_errors()


def is_refused(site: Site, number: int) -> None:
    """Wait until so many truth files have been refused."""

    def probe() -> str | None:
        refused = len(site.audit.records(event="truth_refused"))
        return None if refused == number else f"{refused} files were refused, not {number}"

    eventually(probe, site.lab.report)
