"""The egress woken only when something happens or its timer is due: it never stands still.

`test_egress` takes commands every millisecond, and would not see that `next_timer` forgets
something. Here the virtual clock jumps from event to event. Routers hang, flap and are removed;
replies are lost and commands refused. Once all that has ended, routers end right in bounded time
without further help, and nothing that is not wanted is ever written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from support.exabgp_model import COMMAND, ExaBGP

from rsfilter.exabgp import egress as egress_module
from rsfilter.exabgp import encode
from rsfilter.exabgp import router as router_module
from rsfilter.exabgp.egress import BARRIER_TIMEOUT_S, Egress
from rsfilter.routing.export import OutAttributes, Paths
from rsfilter.routing.groups import RouterGroup
from rsfilter.routing.model import IPV4, Address, Prefix

OWN_ASN = 65100
LEAVES = [Address.parse(f"192.0.2.{n}") for n in (1, 2, 3)]
SPINES = [Address.parse(f"192.0.2.{n}") for n in (11, 12)]
ROUTERS = LEAVES + SPINES
PREFIXES = [Prefix.parse(f"203.0.113.{n}/32") for n in range(10)]
PREFIXES += [Prefix.parse(f"2001:db8::{n}/128") for n in range(2)]

TURN_S = 0.001
"""Seconds of one loop of ExaBGP."""

QUIET_S = 5 * BARRIER_TIMEOUT_S
"""Seconds until every router is right, after everything that disturbs has ended: a reply that is
lost takes a timeout, then a barrier that hangs another one; and some room."""

MAX_TURNS = 3_000
"""More events than anything here needs by far: something goes on for ever."""


def attributes(host: int) -> OutAttributes:
    return OutAttributes(Address(IPV4, 0xC6336400 + host), (65000 + host,), "igp", None, (), (), ())


def as_shown(wanted: OutAttributes) -> str:
    """A path of the model: next hop and attributes."""
    line = next(encode.announce(ROUTERS[:1], 0, wanted, PREFIXES[:1]))[0].decode()
    return line.split("next-hop ")[1].split(" nlri")[0]


class Site:
    """An egress for two groups, ExaBGP, and a clock that jumps to what happens next."""

    def __init__(self, *, spine_asn: int = OWN_ASN) -> None:
        self.groups = {
            "leaves": RouterGroup("leaves", tuple(LEAVES), 65200),
            "spines": RouterGroup("spines", tuple(SPINES), spine_asn, all_paths=True),
        }
        self.desired: dict[str, dict[Prefix, Paths]] = {name: {} for name in self.groups}
        self.egress = Egress(OWN_ASN, self.groups.values(), self.desired.__getitem__)
        self.egress.is_ready = True
        self.exabgp = ExaBGP([str(router) for router in ROUTERS])
        self.now = 0.0
        self.turns = 0
        self.wanted: dict[str, dict[tuple[str, str], str]] = {name: {} for name in self.groups}
        """The tables that routers should have, as the model keeps them."""

    # What disturbs -----------------------------------------------------------------------------

    def change(self, number: int, hosts: list[int]) -> None:
        prefix = PREFIXES[number]
        self._want("leaves", prefix, tuple((0, attributes(host)) for host in hosts[:1]))
        self._want("spines", prefix, tuple((host, attributes(host)) for host in hosts))

    def _want(self, group: str, prefix: Prefix, paths: Paths) -> None:
        for key in [key for key in self.wanted[group] if key[0] == str(prefix)]:
            del self.wanted[group][key]
        for path_id, wanted in paths:
            key = (str(prefix), str(Address(IPV4, path_id)) if path_id else "")
            self.wanted[group][key] = as_shown(wanted)
        if paths:
            self.desired[group][prefix] = paths
        else:
            self.desired[group].pop(prefix, None)
        self.egress.changed(group, [prefix])

    def change_all(self, hosts: list[int]) -> None:
        for number in range(len(PREFIXES)):
            self.change(number, hosts)

    def flap(self, number: int, keeps_pending: bool) -> None:
        router = ROUTERS[number]
        peer = self.exabgp.peers[str(router)]
        if peer.is_up:
            peer.down(keeps_pending=keeps_pending)
            self.egress.router_down(router)
        else:
            peer.up()
            self.egress.router_up(router)

    def remove(self, number: int) -> None:
        self.exabgp.remove(str(ROUTERS[number]))
        self.egress.router_down(ROUTERS[number], is_removed=True)

    def hang(self, number: int, seconds: float) -> None:
        self.exabgp.hung_until[str(ROUTERS[number])] = self.now + seconds

    def reload(self) -> None:
        self.exabgp.reload()

    def lose_replies(self, count: int) -> None:
        self.exabgp.losses += count

    def refuse(self, what: list[str]) -> None:
        self.exabgp.refusals.extend(what)

    def become_unready(self) -> None:
        self.egress.is_ready = False

    def become_ready(self) -> None:
        self.egress.is_ready = True

    # What follows ------------------------------------------------------------------------------

    def request(self) -> None:
        """Take what is to be written after an event."""
        lines = self.egress.commands(self.now)
        for line in lines:
            self.check(line.decode("ascii").rstrip("\n"))
        due = self.egress.next_timer()
        assert due is None or due > self.now, "it would be asked again at once, for ever"
        replies = self.exabgp.write(lines)
        for ok in replies:
            self.egress.replied(ok=ok, now=self.now)
        if replies:  # refused at once
            self.request()

    def check(self, line: str) -> None:
        """Commands have what routers should have at this very moment."""
        command = COMMAND.fullmatch(line)
        if command is None:
            return
        text = f"{command['next_hop']}{command['attributes']}".split(" local-preference")[0]
        for router in command["selectors"].replace("neighbor ", "").split(" , "):
            wanted = self.wanted["leaves" if Address.parse(router) in LEAVES else "spines"]
            for prefix in command["nlri"].split():
                sent = text if command["verb"] == "announce" else None
                assert wanted.get((prefix, command["path"] or "")) == sent, line

    def run(self, seconds: float) -> None:
        """Let time pass, and ExaBGP work."""
        until = self.now + seconds
        while (at := self.next_event()) is not None and at <= until:
            self.turns += 1
            assert self.turns < MAX_TURNS
            self.now = max(self.now, at)
            self.turn()
        self.now = until

    def next_event(self) -> float | None:
        events = (self.exabgp.wakes_at(self.now), self.egress.next_timer())
        return min((at for at in events if at is not None), default=None)

    def turn(self) -> None:
        """One loop of ExaBGP, or the timer."""
        due = self.egress.next_timer()
        is_due = due is not None and self.now >= due
        self.now += TURN_S
        replies, sent = self.exabgp.run(self.now)
        for router in sent:
            self.egress.end_of_rib_sent(Address.parse(router))
        for ok in replies:
            self.egress.replied(ok=ok, now=self.now)
        if replies or sent or is_due:
            self.request()

    def end(self) -> None:
        """Stop all disturbances: every router becomes right, and then nothing moves."""
        self.exabgp.losses = 0
        self.exabgp.refusals.clear()
        self.exabgp.hung_until.clear()
        self.become_ready()
        for router in ROUTERS:
            if not self.exabgp.peers[str(router)].is_up:
                self.exabgp.peers[str(router)].up()
                self.egress.router_up(router)
        self.request()
        self.turns = 0
        self.run(QUIET_S)
        assert self.wrong() == {}, f"next event: {self.next_event()}"
        assert self.next_event() is None
        assert self.egress.unanswered == 0

    def wrong(self) -> dict[str, object]:
        """The routers whose table is not what it should be, and the table."""
        return {
            str(router): self.exabgp.peers[str(router)].table
            for name, group in self.groups.items()
            for router in group.neighbors
            if self.exabgp.peers[str(router)].table != self.wanted[name]
        }


@contextmanager
def small_windows(window: int, batch: int) -> Iterator[None]:
    """Small limits, so that a dozen prefixes meet what thousands would."""
    with (
        patch.object(router_module, "WINDOW", window),
        patch.object(egress_module, "WINDOW", window),
        patch.object(router_module, "MAX_UNCONFIRMED", window + 1),
        patch.object(router_module, "BATCH", batch),
        patch.object(encode, "BATCH", batch),
    ):
        yield


numbers = st.integers(0, len(ROUTERS) - 1)
hosts = st.lists(st.integers(1, 3), max_size=2, unique=True)
refusals = st.lists(st.sampled_from(["", "at once", "in turn"]), min_size=1, max_size=3)
spans = st.sampled_from([TURN_S, 2 * TURN_S, 3 * TURN_S, 0.02, 2.0, 6.0])

steps: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just(Site.change), st.integers(0, len(PREFIXES) - 1), hosts),
    st.tuples(st.just(Site.change), st.integers(0, 3), hosts),
    st.tuples(st.just(Site.change_all), hosts),
    st.tuples(st.just(Site.flap), numbers, st.booleans()),
    st.tuples(st.just(Site.remove), numbers),
    st.tuples(st.just(Site.hang), numbers, st.sampled_from([0.5, 10.0, 200.0])),
    st.tuples(st.just(Site.reload)),
    st.tuples(st.just(Site.lose_replies), st.integers(1, 3)),
    st.tuples(st.just(Site.refuse), refusals),
    st.tuples(st.just(Site.become_unready)),
    st.tuples(st.just(Site.become_ready)),
    st.tuples(st.just(Site.run), spans),
    st.tuples(st.just(Site.run), st.just(BARRIER_TIMEOUT_S)),
)


@settings(max_examples=400)
@given(
    st.lists(st.tuples(steps, st.booleans()), max_size=40),
    st.sampled_from([(2, 1), (4, 2), (5, 3), (2000, 300)]),
    st.sampled_from([OWN_ASN, 65300]),
)
def test_whatever_happens_routers_end_right_by_timers_and_replies_alone(
    happens: list[tuple[tuple[Any, ...], bool]], windows: tuple[int, int], spine_asn: int
) -> None:
    with small_windows(*windows):
        site = Site(spine_asn=spine_asn)
        for number in range(len(ROUTERS)):
            site.flap(number, keeps_pending=False)
        site.request()
        for (what, *details), is_requested in happens:
            what(site, *details)
            if is_requested:
                site.request()
        site.end()
