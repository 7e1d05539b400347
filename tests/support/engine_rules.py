"""Hypothesis strategies for the engine, and the content of its tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hypothesis import strategies as st
from support.core_samples import OWN_ASN, address, data, host_group, prefixes, router_group, vrp

from rsfilter.routing.effects import Actions, VerdictChange
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import Update
from rsfilter.routing.export import Paths
from rsfilter.routing.groups import TruthHost
from rsfilter.routing.model import (
    Address,
    AsPath,
    Attributes,
    Prefix,
    Route,
    RouteKey,
    Verdict,
    VerdictKind,
    Vrp,
)
from rsfilter.routing.validation import Data, Mode


class Speaker(NamedTuple):
    """A neighbor that announces: its session's address and AS."""

    neighbor: Address
    asn: int


SPEAKERS = [
    Speaker(address("198.51.100.7"), 65007),
    Speaker(address("198.51.100.8"), 65008),
    Speaker(address("2001:db8:c633::7"), 65007),
    Speaker(address("192.0.2.99"), 65007),  # in no group
]


HOSTS = host_group(max_prefixes=3, max_prepends=1)


ROUTERS = [
    router_group("leaves", "192.0.2.10"),
    router_group("spines", "192.0.2.20", all_paths=True, prepend=True),
    router_group("inside", "192.0.2.30", all_paths=True, asn=OWN_ASN),
]


MAX_OVER_LIMIT = 2


PREFIXES = prefixes("203.0.113.1 203.0.113.2 203.0.113.3 127.0.0.1 2001:db8:aa::1 2001:db8:aa::2")


VRPS = [
    "203.0.113.0/24-32 AS65007",
    "203.0.113.0/24-32 AS65008",
    "203.0.113.0/30-31 AS65007",
    "203.0.113.1/32 AS65008",
    "203.0.113.2/32 AS65007",
    "2001:db8:aa::/64-128 AS65007",
    "2001:db8:aa::1/128 AS65008",
]


BINDINGS = [
    [("hv7", 65007, "198.51.100.7 2001:db8:c633::7")],
    [("hv7", 65007, "198.51.100.7"), ("hv6", 65007, "2001:db8:c633::7")],  # they share an ASN
    [("hv7", 65007, "198.51.100.7"), ("hv6", 65007, "192.0.2.99"), ("hv8", 65008, "198.51.100.8")],
    [("hv8", 65008, "198.51.100.8")],
    [("hv8", 65008, "198.51.100.9")],
    [("hv8", 65008, "198.51.100.7")],  # where AS65007 speaks from
    [("hv9", 65009, "198.51.100.8 2001:db8:c633::7")],
]


speakers = st.sampled_from(SPEAKERS)


slots = st.tuples(st.sampled_from(PREFIXES), st.sampled_from((0, 0, 0, 1)))


COMMUNITIES = [(65535, 65281), (65535, 65282), (65535, 6), (OWN_ASN, 1), (65200, 1), (65007, 1)]


@st.composite
def attributes(draw: st.DrawFn, speaker: Speaker) -> Attributes:
    """Mostly good ones; sometimes a bad path."""
    own = speaker.asn
    walked = draw(st.sampled_from(((own,), (own,), (own,), (own, own), (own,) * 3, (65009, own))))
    return Attributes(
        as_path=AsPath.sequence(*walked),
        med=draw(st.sampled_from((None, 0, 1, 2))),
        communities=tuple(draw(st.lists(st.sampled_from(COMMUNITIES), max_size=1))),
        large_communities=tuple(draw(st.lists(st.just((OWN_ASN, 1, 1)), max_size=1))),
    )


@st.composite
def updates(draw: st.DrawFn, speaker: Speaker, most: int = 3) -> Update:
    link_local = (address("fe80::7"),) if speaker.neighbor.family == 6 else ()
    own = (speaker.neighbor, *link_local)
    hops = draw(st.sampled_from((own, own, own, own, (address("198.51.100.66"),))))
    announced = draw(st.lists(slots, max_size=most, unique=True))
    withdrawn = draw(st.lists(slots, max_size=most - len(announced), unique=True))
    carried = draw(attributes(speaker))
    keys, gone = (
        [RouteKey(speaker.neighbor, where, path_id) for where, path_id in named]
        for named in (announced, withdrawn)
    )
    routes = tuple(Route.of(key, speaker.asn, carried, hops) for key in keys)
    return Update(speaker.neighbor, speaker.asn, routes, tuple(gone))


@st.composite
def data_sets(draw: st.DrawFn) -> Data:
    bound = draw(st.just([]) | st.sampled_from(BINDINGS))
    of_asn = {
        asn: [text for text in VRPS if text.endswith(f"AS{asn}")] for asn in (65007, 65008, 65009)
    }
    own = {
        name: draw(st.lists(st.sampled_from(of_asn[asn]), unique=True)) if of_asn[asn] else []
        for name, asn, _ in bound
    }
    return data(
        draw(st.lists(st.sampled_from(VRPS), unique=True)),
        draw(st.none() | st.lists(st.sampled_from(VRPS), unique=True)),
        Mode.AUTHORITATIVE,
        *bound,
        own=own,
    )


def what_changed(
    before: Data, after: Data
) -> tuple[frozenset[Prefix] | None, frozenset[int], frozenset[Address]]:
    """(prefixes, ASNs, neighbors) of `DataReplaced`."""
    if before.rtr_source is not after.rtr_source:
        return None, frozenset(), frozenset()
    touched = {
        each.prefix
        for text in VRPS
        for each in [vrp(text)]
        for one, other in [(before.truth, after.truth), (before.rtr, after.rtr)]
        if (each in (one or ())) is not (each in (other or ()))  # type: ignore[operator]
    }
    was, now = hosts(before), hosts(after)
    for host in was.keys() & now.keys():
        touched |= {each.prefix for each in {*was[host]} ^ {*now[host]}}
    others = was.keys() ^ now.keys()
    return (
        frozenset(touched),
        frozenset(host.asn for host in others),
        frozenset(neighbor for host in others for neighbor in host.neighbors),
    )


def hosts(by: Data) -> dict[TruthHost, tuple[Vrp, ...]]:
    """Truth's hosts with what is their own."""
    return {host: host.prefixes for those in by.bindings.by_asn.values() for host in those}


START = data(VRPS[:1] + VRPS[5:6], None, Mode.AUTHORITATIVE)


def new_engine() -> Engine:
    return Engine(OWN_ASN, (HOSTS,), ROUTERS, START)


def verdicts(engine: Engine) -> dict[Route, Verdict]:
    return {entry.route: entry.verdict for entry in engine.rib_in.entries()}


def routes_out(engine: Engine) -> dict[tuple[str, Prefix], Paths]:
    return {
        (group.name, where): paths
        for group in ROUTERS
        for where, paths in engine.routes_out(group.name).items()
    }


def named(actions: Actions) -> list[tuple[str, Prefix]]:
    """Changes for routers: (group, prefix)."""
    return [(change.group, prefix) for change in actions.out for prefix in change.prefixes]


class Ledger:
    """State of a reader of the audit log: it must be the truth, and follow step by step."""

    def __init__(self) -> None:
        self.known: dict[RouteKey, tuple[VerdictKind, tuple[str, ...]]] = {}

    def read(self, events: Iterable[object]) -> None:
        for event in events:
            if not isinstance(event, VerdictChange):
                continue
            known = self.known.pop(event.route.key, None)
            assert event.was is (known[0] if known else None)
            if event.verdict is not None:
                news = (event.verdict.kind, event.verdict.reasons)
                is_news = news != known or event.stale is not None
                assert is_news, "an event that tells nothing"
                self.known[event.route.key] = news
