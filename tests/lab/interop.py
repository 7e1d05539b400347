"""Behaviour of each kind of peer with rsfilter, as host and as router, feature by feature.

`Bench` has one host of every kind, and of every kind of router one that gets every path over one
IPv4 session and one that gets the best path, with our ASN in front, which it insists on. A row of
the table is a question; what is seen is "yes", "no" or a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Any, NamedTuple

from lab.bird import BirdHost, BirdRouter
from lab.core import Lab, LabError
from lab.exabgp import PROGRAMS, ExaBgpHost
from lab.frr import BGPD, FrrHost, FrrRouter, FrrRouterOnLink
from lab.gobgp import GoBgpHost, GoBgpRouter
from lab.host import Host
from lab.openbgpd import BGPD as OPENBGPD
from lab.openbgpd import OpenBgpdHost, OpenBgpdRouter
from lab.probe import Probe
from lab.router import Router
from lab.speaker import Endpoint
from lab.stage import GRACEFUL_SHUTDOWN, Stage
from lab.waiting import eventually
from rsfilter.pipeline.filter import YOUNG_S


class ExaBgpHostWithRefresh(ExaBgpHost):
    """ExaBGP offers route refresh only if it is configured."""

    def _further(self, other: Endpoint) -> str:
        return "  capability { route-refresh; }\n"


HOSTS: dict[str, type[Host]] = {
    "BIRD": BirdHost,
    "GoBGP": GoBgpHost,
    "FRR": FrrHost,
    "ExaBGP": ExaBgpHostWithRefresh,
    "OpenBGPD": OpenBgpdHost,
}
ROUTERS: dict[str, type[Router]] = {
    "BIRD": BirdRouter,
    "GoBGP": GoBgpRouter,
    "FRR": FrrRouter,
    "OpenBGPD": OpenBgpdRouter,
}
PROGRAM = {
    "BIRD": ["bird", "--version"],
    "GoBGP": ["gobgpd", "--version"],
    "FRR": [BGPD, "--version"],
    "ExaBGP": [str(PROGRAMS / "exabgp"), "version"],
    "OpenBGPD": [OPENBGPD, "-V"],
}

FIRST_ASN = 4200000001
ANYCAST = {4: "10.9.0.1/32", 6: "2001:db8:9::1/128"}
STALE_TIME_S = 300
LLGR_STALE = (65535, 6)
RETURN_S = 90.0
"""Seconds for a host to be back whose session was restarted: OpenBGPD stays away for 30 s."""
PATIENCE_S = 15.0
"""Seconds for one observation; a later one is as good as never."""

LOST = ["peer reset", "Socket: ", "Connection ", "Error: ", "RMT", "NOTIFICATION", "Traceback"]
"""Log lines of peers about a session that ends; here all of them end on purpose."""

Seen = dict[str, str]
"""Kinds by name."""


class Row(NamedTuple):
    """One question, to all of one role."""

    role: str
    """ "host" or "router"."""
    feature: str
    observe: Callable[[Bench], Seen]


class Bench:
    """One of each kind, in session with a route server."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.stage = stage = Stage(lab, stale_time=STALE_TIME_S)
        self.missing = [] if OpenBgpdHost.can_run(lab) else ["OpenBGPD"]
        """Kinds that cannot run here."""
        kinds = [kind for kind in HOSTS if kind not in self.missing]
        for number, kind in enumerate(kinds):
            stage.add_host(HOSTS[kind], kind.lower(), FIRST_ASN + number)
        with_zebra = {"FRR": FrrRouterOnLink} if FrrRouterOnLink.can_run(lab) else {}
        for kind, router in ROUTERS.items():
            if kind not in self.missing:
                every = with_zebra.get(kind, router)
                stage.add_router(every, f"{kind.lower()}-all", paths="all", over=4)
                stage.add_router(router, f"{kind.lower()}-best", as_path="prepend")
        self.hosts = {kind: stage.host(kind.lower()) for kind in kinds}
        self.kinds = [kind for kind in ROUTERS if kind not in self.missing]
        self.watch = stage.router("bird-all")
        assert isinstance(self.watch, BirdRouter)
        self.probe = Probe(self.watch)
        owned = {
            host.name: [f"10.{n}.0.0/24", f"2001:db8:{n}::/64", *ANYCAST.values()]
            for n, host in enumerate(self.hosts.values(), start=1)
        }
        stage.owners(owned)
        stage.route_server.keeps_recordings = True
        for daemon in lab.daemons.values():
            daemon.tolerated += LOST

    def guest(self, kind: str, family: int, number: int = 1) -> str:
        """A host route of the host of this kind."""
        owner = list(self.hosts).index(kind) + 1
        return f"10.{owner}.0.{number}/32" if family == 4 else f"2001:db8:{owner}::{number}/128"

    def each_host(self, observe: Callable[[str, Host], str | None]) -> Seen:
        """Return the observation of each host: the answer of `look`, "yes" for None, "no" when it
        fails."""
        return {kind: _answer(partial(observe, kind, host)) for kind, host in self.hosts.items()}

    def each_router(self, variant: str, observe: Callable[[Router], str | None]) -> Seen:
        """The same of each router; `variant`: all or best."""
        return {kind: _answer(partial(observe, self.router(kind, variant))) for kind in self.kinds}

    def router(self, kind: str, variant: str) -> Router:
        """One of the two of its kind."""
        return self.stage.router(f"{kind.lower()}-{variant}")

    def versions(self) -> Iterator[tuple[str, str]]:
        """Return the version of each program."""
        for kind in HOSTS:
            with suppress(LabError):
                output = self.lab.run(PROGRAM[kind], check=False)
                if found := re.search(r"\d+\.\d+(\.\d+)?", output):
                    yield kind, found[0]


def _answer(observe: Callable[[], str | None]) -> str:
    try:
        return observe() or "yes"
    except AssertionError:
        return "no"


def _both(first: Seen, second: Seen) -> Seen:
    """The first that is not "yes"."""
    return {kind: second[kind] if first[kind] == "yes" else first[kind] for kind in first}


# Hosts -----------------------------------------------------------------------------------------


def host_announces(family: int) -> Callable[[Bench], Seen]:
    """Announce and withdraw one route."""

    def observe(bench: Bench) -> Seen:
        def one(kind: str, host: Host) -> None:
            guest = bench.guest(kind, family)
            host.announces(guest)
            hop = host.addresses[family]
            bench.watch.has(guest, next_hop=hop, as_path=[host.asn], deadline_s=PATIENCE_S)
            host.withdraws(guest)
            bench.watch.lacks(guest, deadline_s=PATIENCE_S)

        return bench.each_host(one)

    return observe


def host_has_a_large_asn(bench: Bench) -> Seen:
    """Its ASN is in the path as it is, not as AS_TRANS."""

    def one(kind: str, host: Host) -> None:
        guests = [bench.guest(kind, family) for family in (4, 6)]
        host.announces(*guests)
        bench.watch.has(*guests, as_path=[host.asn], deadline_s=PATIENCE_S)

    return bench.each_host(one)


def host_sends(**attributes: Any) -> Callable[[Bench], Seen]:
    """Announce a route with these attributes, which arrive at a router."""

    def observe(bench: Bench) -> Seen:
        def one(kind: str, host: Host) -> None:
            guests = [bench.guest(kind, family, 2) for family in (4, 6)]
            host.announces(*guests, **attributes)
            bench.watch.has(*guests, **attributes, deadline_s=PATIENCE_S)

        return bench.each_host(one)

    return observe


def host_replaces(bench: Bench) -> Seen:
    """Another MED: the route changes in one step."""

    def one(kind: str, host: Host) -> None:
        guests = [bench.guest(kind, family, 3) for family in (4, 6)]
        host.announces(*guests, med=10)
        bench.watch.has(*guests, med=10, deadline_s=PATIENCE_S)
        since = bench.probe.moment()
        host.announces(*guests, med=20)
        bench.watch.has(*guests, med=20, deadline_s=PATIENCE_S)
        bench.probe.never_missing(guests, since)

    return bench.each_host(one)


def host_ends_its_rib(bench: Bench) -> Seen:
    """End-of-RIB in the family of each session, once it was up."""

    def one(kind: str, host: Host) -> None:
        def probe() -> str | None:
            (lines,) = bench.stage.route_server.recordings()
            ended = {line["neighbor"]["address"]["peer"] for line in lines if _is_end(line)}
            missing = set(host.addresses.values()) - ended
            return f"no End-of-RIB from {missing}" if missing else None

        eventually(probe, bench.lab.report, deadline_s=PATIENCE_S)

    return bench.each_host(one)


def _is_settled(bench: Bench) -> str | None:
    """Return the hosts' sessions that are young or down; None if there are none."""
    output = bench.stage.route_server.rsfilter("neighbors", "-c", "rsfilter.toml", "--json")
    hosts = [each for each in json.loads(output)["neighbors"] if each["role"] == "host"]
    limit = (datetime.now(UTC) - timedelta(seconds=YOUNG_S + 1)).isoformat()
    young = [each["neighbor"] for each in hosts if not each["is_up"] or each["since"] > limit]
    return f"{young} are not up for {YOUNG_S} s" if young else None


def _is_not_down(line: dict[str, Any]) -> bool:
    """Return False for the end of a session. What a host announces after it was not requested."""
    return bool(line["neighbor"].get("state") != "down")


def _is_end(line: dict[str, Any]) -> bool:
    message = line["neighbor"].get("message", {}) if "neighbor" in line else {}
    return "eor" in message and line["neighbor"].get("direction") == "receive"


def host_repeats(bench: Bench) -> Seen:
    """A new filter requests it; it may report when it has finished (RFC 2918, 7313). A host that
    does not report it has its session restarted while that is young."""
    eventually(partial(_is_settled, bench), bench.lab.report, deadline_s=YOUNG_S + PATIENCE_S)
    before = len(bench.stage.route_server.recordings())
    since = bench.probe.moment()
    bench.stage.route_server.filter_restarts()

    def one(kind: str, host: Host) -> str:
        mine = set(host.addresses.values())
        kept = [bench.guest(kind, family, 3) for family in (4, 6)]

        def repeated() -> str | None:
            sent = "".join(map(str, takewhile(_is_not_down, _of(bench, before, mine))))
            missing = [guest for guest in kept if guest not in sent]
            return f"{missing} were not repeated" if missing else None

        eventually(repeated, bench.lab.report, deadline_s=PATIENCE_S)
        found = _of(bench, before, mine)
        ends = any(_is_refresh_end(line) for line in found)
        return "yes, and signals the end" if ends else "yes"

    seen = bench.each_host(one)
    everything_goes_out(bench)
    for kind, host in bench.hosts.items():
        found = _of(bench, before, host.addresses.values())
        if not all(map(_is_not_down, found)):
            seen[kind] += "; its session is restarted with rsfilter"
        if bench.probe.gaps([bench.guest(kind, family, 3) for family in (4, 6)], since):
            seen[kind] += "; its routes are lost when rsfilter restarts"
    return seen


def everything_goes_out(bench: Bench) -> None:
    """Wait until a new filter withdraws again, which it does last."""
    marker = bench.guest("BIRD", 4, 100)
    bench.hosts["BIRD"].announces(marker)
    bench.watch.has(marker)
    bench.hosts["BIRD"].withdraws(marker)
    bench.watch.lacks(marker, deadline_s=RETURN_S)


def _of(bench: Bench, recording: int, addresses: Iterable[str]) -> list[dict[str, Any]]:
    recordings = bench.stage.route_server.recordings()
    return [
        line
        for line in (recordings[recording] if len(recordings) > recording else [])
        if line.get("neighbor", {}).get("address", {}).get("peer") in addresses
    ]


def _is_refresh_end(line: dict[str, Any]) -> bool:
    return line["neighbor"].get("route-refresh", {}).get("subtype") == "end"


def host_is_lost_and_returns(bench: Bench) -> Seen:
    """kill -9: its routes are stale; it is back: they are fresh, and were never absent."""
    guests = {kind: [bench.guest(kind, f, 3) for f in (4, 6)] for kind in bench.hosts}
    for kind, host in bench.hosts.items():
        host.announces(*guests[kind], med=30)  # again, should they be lost
    for kind in bench.hosts:
        bench.watch.has(*guests[kind], med=30)
    since = bench.probe.moment()
    for host in bench.hosts.values():
        host.dies()
    stale = bench.each_host(
        lambda kind, _: bench.watch.has(
            *guests[kind], communities=[LLGR_STALE], deadline_s=PATIENCE_S
        )
    )
    for host in bench.hosts.values():
        host.starts()

    def back(kind: str, host: Host) -> None:
        bench.watch.has(*guests[kind], communities=[], deadline_s=60.0)
        bench.probe.never_missing(guests[kind], since)

    return _both(stale, bench.each_host(back))


# Routers ---------------------------------------------------------------------------------------


def router_hears(family: int) -> Callable[[Bench], Seen]:
    """An announcement and a withdrawal, on sessions of their own families."""

    def observe(bench: Bench) -> Seen:
        host, guest = bench.hosts["BIRD"], bench.guest("BIRD", family, 4)

        def announced(router: Router) -> None:
            path = [bench.stage.route_server.asn, host.asn]
            hop = host.addresses[family]
            router.has(guest, paths=1, next_hop=hop, as_path=path, deadline_s=PATIENCE_S)

        def withdrawn(router: Router) -> None:
            router.lacks(guest, deadline_s=PATIENCE_S)

        host.announces(guest)
        first = bench.each_router("best", announced)
        host.withdraws(guest)
        second = bench.each_router("best", withdrawn)
        return _both(first, second)

    return observe


def router_has_one_session(bench: Bench) -> Seen:
    """IPv4 and IPv6 over one IPv4 session; the AS path is the host's alone."""
    host = bench.hosts["BIRD"]
    guests = {family: bench.guest("BIRD", family, 5) for family in (4, 6)}
    host.announces(*guests.values())

    def one(router: Router) -> None:
        for family, guest in guests.items():
            hop = host.addresses[family]
            router.has(guest, next_hop=hop, as_path=[host.asn], deadline_s=PATIENCE_S)

    return bench.each_router("all", one)


def router_has_every_path(bench: Bench) -> Seen:
    """ADD-PATH: a path over each host; one host withdraws its own."""
    for host in bench.hosts.values():
        host.announces(*ANYCAST.values())

    def paths(number: int) -> Seen:
        return bench.each_router(
            "all", lambda r: r.has(*ANYCAST.values(), paths=number, deadline_s=PATIENCE_S)
        )

    every = paths(len(bench.hosts))
    bench.hosts["BIRD"].withdraws(*ANYCAST.values())
    return _both(every, paths(len(bench.hosts) - 1))


def router_gets(**attributes: Any) -> Callable[[Bench], Seen]:
    """A route with these attributes, with every path and with the best."""

    def observe(bench: Bench) -> Seen:
        guests = [bench.guest("BIRD", family, 6) for family in (4, 6)]
        bench.hosts["BIRD"].announces(*guests, **attributes)

        def one(router: Router) -> None:
            router.has(*guests, **attributes, deadline_s=PATIENCE_S)

        return _both(bench.each_router("all", one), bench.each_router("best", one))

    return observe


def router_requests_again(bench: Bench) -> Seen:
    """Require that it requests a refresh: nothing is lost, and a change afterwards arrives."""
    guests = [bench.guest("BIRD", family, 7) for family in (4, 6)]
    bench.hosts["BIRD"].announces(*guests, med=1)

    def one(router: Router) -> None:
        router.has(*guests, med=1, deadline_s=PATIENCE_S)
        before = {prefix: len(paths) for prefix, paths in router.table().items()}
        router.requests_refresh()

        def probe() -> str | None:
            after = {prefix: len(paths) for prefix, paths in router.table().items()}
            return None if after == before else f"{after}, not {before}"

        eventually(probe, bench.lab.report, deadline_s=PATIENCE_S)
        router.is_up()

    seen = bench.each_router("all", one)
    bench.hosts["BIRD"].announces(*guests, med=2)
    changed = bench.each_router("all", lambda r: r.has(*guests, med=2, deadline_s=PATIENCE_S))
    return _both(seen, changed)


def router_survives_exabgp(bench: Bench) -> Seen:
    """kill -9 of ExaBGP (RFC 4724): routes stay, and what did not come again goes at End-of-RIB."""
    kept = [bench.guest("BIRD", family, 8) for family in (4, 6)]
    lost = [bench.guest("BIRD", family, 9) for family in (4, 6)]
    bench.hosts["BIRD"].announces(*kept, *lost)
    bench.each_router("all", lambda r: r.has(*kept, *lost, deadline_s=PATIENCE_S))
    bench.stage.route_server.dies()
    bench.hosts["BIRD"].withdraws(*lost)

    def without(router: Router) -> None:
        def probe() -> str | None:
            return f"{router.name} still has a session" if any(router.sessions().values()) else None

        eventually(probe, bench.lab.report, deadline_s=PATIENCE_S)
        router.has(*kept, *lost, deadline_s=0)

    during = bench.each_router("all", without)
    bench.stage.route_server.starts()
    for host in bench.hosts.values():
        host.connects()

    def back(router: Router) -> None:
        router.lacks(*lost, deadline_s=120.0)
        router.has(*kept, deadline_s=0)

    return _both(during, bench.each_router("all", back))


COMMUNITIES = {"communities": [(64999, 1), (64999, 2)]}
LARGE = {"large_communities": [(FIRST_ASN - 1, 1, 4294967295)]}

ROWS = [
    Row("host", "announces and withdraws, IPv4", host_announces(4)),
    Row("host", "announces and withdraws, IPv6", host_announces(6)),
    Row("host", "a 4-byte ASN (RFC 6793)", host_has_a_large_asn),
    Row("host", "MED", host_sends(med=77)),
    Row("host", "communities", host_sends(**COMMUNITIES)),
    Row("host", "large communities (RFC 8092)", host_sends(**LARGE)),
    Row("host", "GRACEFUL_SHUTDOWN (RFC 8326)", host_sends(communities=[GRACEFUL_SHUTDOWN])),
    Row("host", "a changed route replaces the old one without a gap", host_replaces),
    Row("host", "sends End-of-RIB after its session came up (RFC 4724)", host_ends_its_rib),
    Row("host", "repeats its routes on request (RFC 2918, 7313)", host_repeats),
    Row(
        "host",
        "dies and returns: stale, then fresh, never absent",
        host_is_lost_and_returns,
    ),
    Row("router", "announcements and withdrawals, IPv4", router_hears(4)),
    Row("router", "announcements and withdrawals, IPv6", router_hears(6)),
    Row("router", "both families over one IPv4 session", router_has_one_session),
    Row("router", "every path: ADD-PATH (RFC 7911)", router_has_every_path),
    Row("router", "MED", router_gets(med=77)),
    Row("router", "communities", router_gets(**COMMUNITIES)),
    Row("router", "large communities (RFC 8092)", router_gets(**LARGE)),
    Row("router", "GRACEFUL_SHUTDOWN (RFC 8326)", router_gets(communities=[GRACEFUL_SHUTDOWN])),
    Row("router", "requests a route refresh (RFC 2918)", router_requests_again),
    Row("router", "keeps its routes while ExaBGP restarts (RFC 4724)", router_survives_exabgp),
]
"""Rows in this order: later rows use what earlier ones have announced, and the last ones kill."""


def table(role: str, seen: dict[str, Seen]) -> str:
    """Return the observations of one role, by feature, as a table in Markdown."""
    kinds = list(HOSTS if role == "host" else ROUTERS)
    lines = [f"| as a {role} | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    lines += [
        f"| {row.feature} | {' | '.join(seen[row.feature].get(k, '') for k in kinds)} |"
        for row in ROWS
        if row.role == role and row.feature in seen
    ]
    return "\n".join(lines)
