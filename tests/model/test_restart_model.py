"""The filter or ExaBGP dies at any moment, again and again: no flap, no leftover.

Real daemons show that it works (`test_restart`, `torture`); here a model of ExaBGP, its hosts and
its pipes is taken through thousands of orders of events on a virtual clock. A process that dies
loses what was in its pipes; commands that ExaBGP has read stay in its queue. Hosts take their time
to repeat themselves, and some never mark that they have finished. Routers help graceful restart.

At every moment: a route that its owner announces and that every truth allows, but a broken one that
the guard holds back, is never missing at a router that had it, and a stolen route is never there.
In the end every router has what it should.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from fuzz import site as lines
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import exabgp_model
from support.exabgp_model import ExaBGP, Key, Peer
from support.guard_memory import Memory

from rsfilter.config.build import parse_config
from rsfilter.config.model import Config
from rsfilter.exabgp import inheritance
from rsfilter.exabgp.deferral import KEPT_S
from rsfilter.exabgp.router import RouterState
from rsfilter.exabgp.router_states import Phase
from rsfilter.exabgp.unsettled import SETTLED
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.filter import Filter
from rsfilter.routing import revalidation, slices
from rsfilter.routing.guard import Haste
from rsfilter.routing.model import Prefix
from rsfilter.rpki.truth import parse_truth

BEST, ALL = "127.10.2.1", "127.10.2.2"
"""Routers: of the best path, and of all paths."""

ROUTER_ASN = 65200
STEADY, SHARED, MOVING, LAST = PREFIXES = [f"192.0.2.{n}/32" for n in range(1, 5)]
FOREIGN = [f"198.51.100.{n}/32" for n in range(12)]
"""Prefixes without an owner. A host that announces these too takes its time to repeat itself."""

TURN_S = 0.001
PULSE_S = 30.0
"""Seconds between two writes of what hosts did."""

AGED_S = 120.0
"""Time after which no absent host is waited for."""

RETURN_S = 3.0
"""Seconds until a host comes back after a restart of its session."""

LATE_S = 4.0
"""Seconds until a host that checks its services has checked them again."""

QUIET_S = 1000.0
"""Time by which everything was repeated, whatever was lost on the way."""

MAX_TURNS = 5_000
"""More events than anything here needs by far."""

LINES_READ = 5
"""Lines per loop of ExaBGP, and per turn of the filter: few, so that much is under way."""


@cache
def config(stale_time: int, min_loss: int) -> Config:
    text = f"""
        [route_server]
        asn = 65100
        router_id = "127.10.0.100"
        local_address = "127.10.0.100"

        [truth]
        file = "truth.json"

        [[hosts]]
        name = "hypervisors"
        neighbors = ["127.10.1.0/28"]
        stale_time = {stale_time}

        [[routers]]
        name = "best"
        neighbors = ["{BEST}"]
        asn = {ROUTER_ASN}

        [[routers]]
        name = "all"
        neighbors = ["{ALL}"]
        asn = {ROUTER_ASN}
        paths = "all"

        [guard]
        max_loss_percent = 1
        min_loss = {min_loss}
        """
    return parse_config(text, Path("/site/rsfilter.toml"))


TRUTHS = [
    {65001: [STEADY, SHARED], 65002: [SHARED, MOVING], 65003: [MOVING, LAST]},
    {65001: [STEADY, SHARED], 65002: [], 65003: [MOVING, LAST]},
    {65001: [STEADY], 65002: [SHARED, MOVING], 65003: []},
    {65001: [], 65002: [], 65003: [LAST]},
]
"""Prefixes that each ASN may announce: the first allows all that the others do."""

BROKEN = len(TRUTHS) - 1
"""A truth that the guard has to hold back."""


@dataclass
class Host:
    """A hypervisor: what it announces, and how it repeats itself."""

    address: str
    asn: int
    ends: bool
    """True if it marks the end of a repetition (RFC 7313)."""
    refresh: str
    """yes: it offers route refresh, and answers. mute: it offers it, and does not. no: neither.
    late: neither, and in a new session it sends its routes only some time after End-of-RIB."""
    answer_s: float
    """Seconds until it does so."""
    routes: dict[str, int]
    """MED by prefix."""
    is_up: bool = False
    questions: int = 0
    """Requests that ExaBGP will send it in its next loop."""
    answers_at: deque[float] = field(default_factory=deque)
    """Times at which it will repeat itself, as requested."""
    sending: deque[bytes] = field(default_factory=deque)
    """Lines of what it has sent, and ExaBGP has not read yet."""
    returns_at: float | None = None
    """Time at which its session comes back after a restart."""

    def down(self) -> None:
        self.is_up = False
        self.returns_at = None
        self.questions = 0
        self.answers_at.clear()
        self.sending.clear()

    @property
    def offers_refresh(self) -> bool:
        return self.refresh in ("yes", "mute")

    def announce(self, prefix: str) -> bytes:
        return lines.update(self.address, self.asn, [prefix], med=self.routes[prefix])

    def all(self) -> list[bytes]:
        return [self.announce(prefix) for prefix in self.routes]

    def repeat(self) -> list[bytes]:
        marks = [lines.refresh(self.address, self.asn, what) for what in ("begin", "end")]
        return [marks[0], *self.all(), marks[1]] if self.ends else self.all()


@dataclass
class Router(Peer):
    """A router that helps graceful restart (RFC 4724)."""

    kept: dict[Key, str] = field(default_factory=dict)
    """Paths from an ExaBGP that died. They are used until End-of-RIB."""

    def receive(self, key: Key, attributes: str | None) -> None:
        super().receive(key, attributes)
        self.kept.pop(key, None)

    def run(self) -> list[str]:
        ended = super().run()
        if ended:
            self.kept.clear()
        return ended

    def down(self, *, keeps_pending: bool) -> None:
        super().down(keeps_pending=keeps_pending)
        self.kept.clear()


class Daemon(ExaBGP):
    """The model with hosts, with answers to questions, and with pipes to one process."""

    peers: dict[str, Router]

    def __init__(self, hosts: list[Host], kept: dict[str, dict[Key, str]]) -> None:
        """`kept`: what each router has from an ExaBGP before this one."""
        super().__init__([])
        self.peers = {router: Router(kept=routes) for router, routes in kept.items()}
        self.hosts = {host.address: host for host in hosts}
        self.now = 0.0
        self.host_returns: Callable[[Host], None]
        self.changed_at: dict[str, float] = {}
        """Time of the last change of each neighbor's session, if it ever was up."""
        self.heard: deque[bytes] = deque()
        """Lines of the process that are not read yet."""
        self.output: deque[bytes] = deque()
        """Lines to the process that are not read yet."""

    def respawn(self) -> None:
        self.heard.clear()
        self.output.clear()

    def reload(self) -> None:
        super().reload()
        for host in self.hosts.values():
            host.questions = 0

    def remove(self, router: str) -> None:
        super().remove(router)
        self.peers[router] = Router()
        self.changed_at.pop(router, None)

    def next_event(self, now: float) -> float | None:
        """Time at which it has something to do."""
        if self.heard or any(host.sending or host.questions for host in self.hosts.values()):
            return now
        events = [at for host in self.hosts.values() for at in host.answers_at]
        events += [h.returns_at for h in self.hosts.values() if h.returns_at is not None]
        if (at := self.wakes_at(now)) is not None:
            events.append(at)
        return min(events, default=None)

    def loop(self, now: float) -> None:
        self.now = now
        for host in self.hosts.values():
            self.host_acts(host)
        for _ in range(min(LINES_READ, len(self.heard))):
            for _ in self.write([self.heard.popleft()]):
                self.output.append(b"error")
        replies, ended = self.run(now)
        self.output += [b"done" if ok else b"error" for ok in replies]
        for router, peer in self.peers.items():
            for (prefix, path), text in peer.sent:
                hop = None if text is None else text.split()[0]
                self.output.append(lines.sent(router, ROUTER_ASN, hop, prefix, path))
            peer.sent.clear()
        for router in ended:
            self.output.append(
                lines.end_of_rib(router, ROUTER_ASN, "ipv4 unicast", direction="send")
            )

    def host_acts(self, host: Host) -> None:
        while host.questions:
            host.questions -= 1
            if host.refresh == "yes":
                host.answers_at.append(self.now + host.answer_s)
        if host.returns_at is not None and self.now >= host.returns_at:
            self.host_returns(host)
        if host.answers_at and self.now >= host.answers_at[0]:
            host.answers_at.popleft()
            host.sending += host.repeat()
        if host.sending:
            self.output.append(host.sending.popleft())

    def _read(self, text: str) -> list[bool]:
        match text.split():
            case ["#"]:
                self.output.append(b"done")
            case ["reset"]:
                self.steps.clear()
            case ["version"]:
                self.output += [b"exabgp 5.0.15", b"done"]
            case ["show", *_]:
                self.steps += [(text,), "done"]
            case ["neighbor", host, "announce", "route-refresh", "ipv4", "unicast"]:
                assert self.hosts[host].offers_refresh, "asked for what it does not offer"
                if not self.hosts[host].is_up:
                    return [False]
                self.steps += [("refresh", host), "done"]
            case [*selectors, "teardown", "4"]:
                for word in selectors:
                    if word in self.hosts and self.hosts[word].is_up:
                        self.restart(self.hosts[word])
                self.output.append(b"done")  # ahead of what is queued
            case _:
                return super()._read(text)
        return []

    def restart(self, host: Host) -> None:
        """End a session, as requested, and start it again."""
        host.down()
        self.changed_at[host.address] = self.now
        self.output.append(lines.state(host.address, host.asn, "down", "notification sent (6,4)"))
        host.returns_at = self.now + RETURN_S

    def _obey(self, verb: str, *words: str) -> None:
        match verb:
            case "show neighbor json":
                self.output.append(self._neighbors())
            case "show adj-rib out":
                self.output += self._shown()
            case "refresh":
                host = self.hosts[words[0]]
                host.questions += host.is_up
            case _:
                super()._obey(verb, *words)

    def _neighbors(self) -> bytes:
        sessions = [(h.address, h.asn, h.is_up, h.offers_refresh) for h in self.hosts.values()]
        sessions += [(r, ROUTER_ASN, peer.is_up, True) for r, peer in self.peers.items()]
        answer = []
        for address, asn, is_up, offers_refresh in sessions:
            side = {
                "capabilities": {"route-refresh": offers_refresh},
                "families": {"ipv4 unicast": True},
                "add-path": {"ipv4 unicast": address == ALL},
            }
            answer.append(
                {
                    "duration": int(self.now - self.changed_at.get(address, self.now)),
                    "fsm": "ESTABLISHED" if is_up else "IDLE",
                    "local": {"address": "127.10.0.100", "as": 65100, **side},
                    "peer": {"address": address, "as": asn, **side},
                }
            )
        return json.dumps(answer).encode()

    def _shown(self) -> list[bytes]:
        return [
            " ".join(
                [router, "ipv4 unicast", prefix]
                + (["path-information", path] if path else [])
                + ["next-hop", attributes.split()[0]]
            ).encode()
            for router, peer in self.peers.items()
            for (prefix, path), attributes in peer.cache.items()
        ]


class Site:
    """Hosts, ExaBGP, one filter after the other, routers, and the clock."""

    def __init__(
        self,
        *,
        stale_time: int,
        answer_s: float,
        ends: bool,
        are_all_up: bool,
        is_guarded: bool,
        refresh: str = "yes",
        sends_end_of_rib: bool = True,
    ) -> None:
        """`is_guarded`: no loss that data bring is small enough for the guard. `refresh`: of the
        steady route's owner (`Host.refresh`). `sends_end_of_rib`: so do hosts (RFC 4724)."""
        self.sends_end_of_rib = sends_end_of_rib
        owner = Host("127.10.1.1", 65001, ends, refresh, answer_s, {STEADY: 0, SHARED: 0})
        owner.routes.update(dict.fromkeys(FOREIGN, 0))
        # STEADY is not his: he steals it all the time.
        stolen = {STEADY: 0, SHARED: 0, MOVING: 0}
        thief = Host("127.10.1.2", 65002, True, "yes", answer_s, stolen)
        self.hosts = [owner, thief, Host("127.10.1.3", 65003, True, "yes", 0.0, {LAST: 0})]
        self.is_guarded = is_guarded
        self.config = config(stale_time, 0 if is_guarded else 1000)
        self.written = Memory()
        """State of the guard, as it is written down."""
        self.written_at = 0.0
        self.unsettled = SETTLED
        """The same of what has begun."""
        self.daemon = Daemon(self.hosts, {BEST: {}, ALL: {}})
        self.daemon.host_returns = self.host_up
        self.now = 1000.0
        self.turns = 0
        self.truth = 0
        self.asleep = {"filter": 0.0, "ExaBGP": 0.0}
        """Times until which each does nothing."""
        self.steady: set[str] = set()
        """Routers that have had the steady route in their session."""
        self.due: list[tuple[float, Callable[[], None]]] = []
        """Scheduled events, with their times."""
        self.start(False)
        self.comes_back(0.0, 0.0)
        for host in self.hosts[1:] if are_all_up else ():
            self.host_up(host)

    # What happens ------------------------------------------------------------------------------

    def start(self, loads: bool) -> None:
        """ExaBGP starts the filter, maybe because the one before it has died. `loads`: it reads
        the truth at once."""
        self.daemon.respawn()
        self.sources = Sources.of(self.config)
        self.filter = Filter(self.config, self.sources.nothing)
        self.has_data = False
        self.filter.unsettled_before(self.unsettled, self.now)
        self.filter.guard_restored(self.written.restored(self.now), self.now)
        self.turn_of_filter()
        if loads or self.hosts[0].refresh == "mute":  # else it has never been announced
            self.load()

    def load(self, truth: int | None = None) -> None:
        """The filter reads the truth, maybe another one than before. A broken one comes only when
        the guard knows the steady route, of this process or of one before: it cannot hold what it
        has not seen (ADR 12)."""
        if truth == BROKEN and not self.is_guard_ready():
            return
        self.has_data = True
        self.truth = self.truth if truth is None else truth
        roas = [{"prefix": p, "asn": asn} for asn, ps in TRUTHS[self.truth].items() for p in ps]
        read = parse_truth(json.dumps({"roas": roas}).encode(), "truth.json", 0.0)
        if event := self.sources.truth_loaded(read):
            self.filter.data_replaced(event, self.now)
            self.turn_of_filter()

    def is_guard_ready(self) -> bool:
        """The steady route would be held if it were lost to data."""
        entries = self.filter.engine.rib_in.at(Prefix.parse(STEADY))
        is_announced = any(
            entry.is_announced and entry.route.asn == self.hosts[0].asn for entry in entries
        )
        is_known = any(str(key.prefix) == STEADY for key in self.written.known)
        return self.is_guarded and (is_known or (self.has_data and is_announced))

    def die(self, host_s: float, router_s: float) -> None:
        """ExaBGP dies, and another one starts. Routers keep what they had, but what they kept
        before already. They and the owner of the steady route come back after so long."""
        for router, peer in self.daemon.peers.items():
            if peer.kept:
                self.steady.discard(router)
        kept = {router: dict(peer.table) for router, peer in self.daemon.peers.items()}
        for host in self.hosts:
            host.down()
        self.daemon = Daemon(self.hosts, kept)
        self.daemon.host_returns = self.host_up
        self.start(True)
        self.comes_back(host_s, router_s)

    def comes_back(self, host_s: float, router_s: float) -> None:
        """The sessions of the steady route's owner and of the routers come up after so long."""
        self.due = [(self.now + host_s, partial(self.host_up, self.hosts[0]))]
        self.due += [(self.now + router_s, partial(self.router_up, r)) for r in (BEST, ALL)]

    def change(self, number: int, prefix: str, med: int | None) -> None:
        """A host announces a prefix, in other words or for the first time, or withdraws it."""
        host = self.hosts[number]
        if prefix == STEADY:
            return
        if med is not None:
            host.routes[prefix] = med
            found = host.announce(prefix)
        elif host.routes.pop(prefix, None) is not None:
            found = lines.withdraw(host.address, host.asn, [prefix])
        else:
            return
        if host.is_up:
            host.sending.append(found)

    def flap_host(self, number: int) -> None:
        """A host's session ends or begins; that of the steady route's owner lasts."""
        host = self.hosts[number]
        if not host.is_up:
            self.host_up(host)
        elif number != 0:
            host.down()
            self.daemon.changed_at[host.address] = self.now
            self.daemon.output.append(lines.state(host.address, host.asn, "down", "closed"))

    def host_up(self, host: Host) -> None:
        """Its session is there, and it sends its table."""
        if host.is_up:
            return
        host.is_up, host.returns_at = True, None
        self.daemon.changed_at[host.address] = self.now
        self.daemon.output += [
            lines.opened(host.address, host.asn, ["ipv4/unicast"], [], refresh=host.offers_refresh),
            lines.state(host.address, host.asn, "up"),
        ]
        if host.refresh == "late":
            self.due.append((self.now + LATE_S, partial(self.health_check, host)))
        else:
            host.sending += host.all()
        if self.sends_end_of_rib:
            host.sending.append(lines.end_of_rib(host.address, host.asn, "ipv4 unicast"))

    def health_check(self, host: Host) -> None:
        """A late host announces what it checks."""
        if host.is_up:
            host.sending += host.all()

    def flap_router(self, router: str, keeps_pending: bool) -> None:
        """A router's session ends or begins."""
        peer = self.daemon.peers[router]
        if not peer.is_up:
            self.router_up(router)
        else:
            peer.down(keeps_pending=keeps_pending)
            self.steady.discard(router)
            self.daemon.changed_at[router] = self.now
            self.daemon.output.append(lines.state(router, ROUTER_ASN, "down", "closed"))

    def router_up(self, router: str) -> None:
        """Its session is there."""
        peer = self.daemon.peers[router]
        if peer.is_up:
            return
        peer.up()
        self.daemon.changed_at[router] = self.now
        add_path = ["ipv4/unicast"] if router == ALL else []
        self.daemon.output += [
            lines.opened(router, ROUTER_ASN, ["ipv4/unicast"], add_path),
            lines.state(router, ROUTER_ASN, "up"),
        ]

    def reload(self, router: str) -> None:
        """ExaBGP's configuration loses a router, and has it again: a session will come up anew."""
        was_up = self.daemon.peers[router].is_up
        self.daemon.remove(router)
        self.steady.discard(router)
        if was_up:
            down = lines.state(router, ROUTER_ASN, "down", "stop, message [removed]")
            self.daemon.output.append(down)

    def hang(self, router: str, seconds: float) -> None:
        """A router reads nothing for so long: what is for it waits in ExaBGP."""
        self.daemon.hung_until[router] = self.now + seconds

    def signal(self) -> None:
        """ExaBGP reads its configuration again, in which nothing has changed."""
        self.daemon.reload()

    def sleep(self, who: str, seconds: float) -> None:
        """The filter or ExaBGP does nothing for so long."""
        self.asleep[who] = self.now + seconds

    # What follows ------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while (at := self.next_event()) is not None and at <= until:
            self.turns += 1
            assert self.turns < MAX_TURNS, "something goes on for ever"
            self.now = max(self.now, at) + TURN_S
            self.happen()
            if self.now >= self.asleep["ExaBGP"]:
                self.daemon.loop(self.now)
                self.check()
            if self.now >= self.asleep["filter"]:
                self.turn_of_filter()
        self.now = max(self.now, until)

    def happen(self) -> None:
        """Run what is due by now."""
        due = [what for at, what in self.due if at <= self.now]
        self.due = [(at, what) for at, what in self.due if at > self.now]
        for what in due:
            what()

    def next_event(self) -> float | None:
        """Time at which something is due, or a part that is awake has something to do."""
        of_daemon = self.daemon.next_event(self.now)
        of_filter = self.now if self.daemon.output else self.filter.next_timer()
        events = [
            max(at, self.asleep[who])
            for who, at in (("ExaBGP", of_daemon), ("filter", of_filter))
            if at is not None
        ]
        return min([*events, *(at for at, _ in self.due)], default=None)

    def turn_of_filter(self) -> None:
        """Read some lines, and write what follows."""
        for _ in range(min(LINES_READ, len(self.daemon.output))):
            self.filter.line(self.daemon.output.popleft(), self.now)
        commands = self.filter.commands(self.now)
        self.unsettled = self.filter.unsettled
        if self.filter.record_haste is not Haste.SOMETIME or self.now >= self.written_at + PULSE_S:
            self.written.take(self.filter.take_records())
            self.written_at = self.now
        self.daemon.heard += commands

    def check(self) -> None:
        """Check what holds at every moment."""
        for router, peer in self.daemon.peers.items():
            owners = {hop for prefix, hop, _ in self.table(router) if prefix == STEADY}
            assert owners <= {self.hosts[0].address}, f"{router} has a stolen route"
            if owners:
                self.steady.add(router)
            elif peer.is_up or peer.kept:
                assert router not in self.steady, f"{router} lost a route that nobody withdrew"

    def table(self, router: str) -> set[tuple[str, str, int]]:
        """Prefixes, next hops and MEDs."""
        found = set()
        peer = self.daemon.peers[router]
        for (prefix, _), text in {**peer.kept, **peer.table}.items():
            words = text.split()
            found.add((prefix, words[0], int(words[words.index("med") + 1])))
        return found

    def end(self) -> None:
        """Routers are up, all are awake, the filter has data: then everything becomes right."""
        self.asleep = dict.fromkeys(self.asleep, 0.0)
        self.daemon.hung_until.clear()
        for router in self.daemon.peers:
            self.router_up(router)
        if not self.has_data:
            self.load()
        self.calm()
        if self.is_guarded:
            self.load(0)  # the mistake is mended: nothing is held any more
            self.calm()
            assert not self.written.held
        allowed = {
            (prefix, host.address, med)
            for host in self.hosts
            for prefix, med in host.routes.items()
            if host.is_up and prefix in TRUTHS[self.truth][host.asn]
        }
        has = self.table(ALL)
        assert has <= allowed
        if self.hosts[0].refresh == "mute":  # no part knows of what no router had (`Filter._owes`)
            allowed = {r for r in allowed if r in has or r[1] != self.hosts[0].address}
        assert has == allowed
        best = self.table(BEST)
        assert best <= allowed
        assert sorted(prefix for prefix, *_ in best) == sorted({prefix for prefix, *_ in allowed})

    def calm(self) -> None:
        """Run without events until everything was repeated."""
        self.turns = 0
        self.run(QUIET_S)
        assert self.next_event() is None


numbers = st.integers(0, 2)
meds = st.none() | st.integers(0, 2)
spans = st.sampled_from([TURN_S, 3 * TURN_S, 10 * TURN_S, 17 * TURN_S, 0.1, 1.0, 6.0, 12.0, 40.0])
sleeps = st.sampled_from([2 * TURN_S, 0.1, 2.0])

steps: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just(Site.start), st.just(True)),
    st.tuples(st.just(Site.start), st.booleans()),
    st.tuples(st.just(Site.die), st.sampled_from([0.0, 5.0, 30.0]), st.sampled_from([0.0, 1.0])),
    st.tuples(st.just(Site.load)),
    st.tuples(st.just(Site.load), st.sampled_from(range(len(TRUTHS)))),
    st.tuples(st.just(Site.load), st.just(BROKEN)),
    st.tuples(st.just(Site.change), numbers, st.sampled_from(PREFIXES), meds),
    st.tuples(st.just(Site.flap_host), numbers),
    st.tuples(st.just(Site.flap_router), st.sampled_from([BEST, ALL]), st.booleans()),
    st.tuples(st.just(Site.reload), st.sampled_from([BEST, ALL])),
    st.tuples(st.just(Site.hang), st.sampled_from([BEST, ALL]), st.sampled_from([0.1, 10.0])),
    st.tuples(st.just(Site.signal)),
    st.tuples(st.just(Site.sleep), st.sampled_from(["filter", "ExaBGP"]), sleeps),
    st.tuples(st.just(Site.run), spans),
    st.tuples(st.just(Site.run), spans),
)


@settings(max_examples=600)
@given(
    st.lists(steps, max_size=30),
    st.sampled_from([0.0, 10 * TURN_S, AGED_S]),
    st.fixed_dictionaries(
        {
            "stale_time": st.sampled_from([0, 30]),
            "answer_s": st.sampled_from([0.0, 0.005, 3.0]),
            "ends": st.booleans(),
            "are_all_up": st.booleans(),
            "is_guarded": st.booleans(),
            "refresh": st.sampled_from(["yes", "yes", "mute", "no", "late"]),
            "sends_end_of_rib": st.booleans(),
        }
    ),
    st.sampled_from([1, 50]),
    st.sampled_from([1, 1000]),
)
@example(  # the end of a repetition that the dead process heard in part
    [(Site.start, True), (Site.run, 17 * TURN_S), (Site.start, True)],
    AGED_S,
    {"stale_time": 0, "answer_s": 0.005, "ends": True, "are_all_up": False, "is_guarded": False},
    50,
    1000,
)
@example(  # what was written for a router comes to its successor
    [(Site.flap_host, 1), (Site.run, 3 * TURN_S), (Site.load, 1), (Site.reload, ALL)],
    0.0,
    {"stale_time": 0, "answer_s": 0.0, "ends": True, "are_all_up": False, "is_guarded": False},
    50,
    1000,
)
@example(  # the request to a host that never marks the end is lost
    [(Site.start, True), (Site.run, 3 * TURN_S), (Site.signal,)],
    AGED_S,
    {"stale_time": 0, "answer_s": 0.0, "ends": False, "are_all_up": False, "is_guarded": False},
    50,
    1000,
)
@example(  # the same, and it sends another route meanwhile
    [
        (Site.start, True),
        (Site.run, 3 * TURN_S),
        (Site.signal,),
        (Site.run, 1.0),
        (Site.change, 0, SHARED, 1),
    ],
    AGED_S,
    {"stale_time": 0, "answer_s": 0.0, "ends": True, "are_all_up": False, "is_guarded": False},
    50,
    1000,
)
@example(  # data that come last are half way through the table
    [(Site.start, False), (Site.run, 6.0), (Site.load,), (Site.run, 5.0)],
    AGED_S,
    {"stale_time": 0, "answer_s": 0.0, "ends": True, "are_all_up": True, "is_guarded": False},
    50,
    1,
)
@example(  # the same, and what the guard holds is expected again
    [(Site.load, BROKEN), (Site.run, 6.0), (Site.start, False), (Site.run, 6.0), (Site.load,)],
    AGED_S,
    {"stale_time": 0, "answer_s": 0.0, "ends": True, "are_all_up": True, "is_guarded": True},
    50,
    1,
)
@example(  # what the first data reject is still to be weighed when its session is restarted
    [(Site.die, 0.0, 0.0), (Site.flap_host, 0), (Site.start, True), (Site.load, BROKEN)],
    AGED_S,
    {
        "stale_time": 0,
        "answer_s": 0.0,
        "ends": False,
        "are_all_up": False,
        "is_guarded": True,
        "sends_end_of_rib": False,
    },
    1,
    1,
)
def test_whenever_it_dies_nothing_flaps_and_nothing_is_left(
    happens: list[tuple[Any, ...]], age: float, kind: dict[str, Any], pace: int, routes: int
) -> None:
    """`pace`: steps that ExaBGP takes in a loop. The fewer, the more a dead process leaves.
    `routes`: of a slice. The fewer, the longer data are on their way through the table."""
    with (
        patch.object(exabgp_model, "STEPS_IN_A_LOOP", pace),
        patch.object(slices, "SLICE", routes),
        patch.object(revalidation, "_PER_LIST", 0),
        patch.object(inheritance, "RELEASED_AT_ONCE", routes),
    ):
        site = Site(**kind)
        site.load()
        site.run(age)
        for what, *details in happens:
            if what is Site.die and kind.get("refresh") == "late":
                continue  # its routes are missing until its next check (guarantees.md)
            what(site, *details)
        site.end()


def aged(**kind: Any) -> Site:
    """A site at work for long, whose filter has just been killed."""
    defaults = {"stale_time": 0, "answer_s": 0.0, "ends": False, "are_all_up": True}
    site = Site(**(defaults | {"is_guarded": False} | kind))
    site.load()
    site.run(KEPT_S)
    site.start(True)
    return site


def prefixes(site: Site, router: str) -> set[str]:
    return {prefix for prefix, *_ in site.table(router)}


def test_withdraws_while_a_router_is_filled_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted mistake: what the data have not passed yet would be withdrawn."""
    real = RouterState._send_again

    def send_again(self: RouterState, *args: Any) -> bool:
        state, self.state = self.state, self.state._replace(phase=Phase.SETTLED)
        try:
            return real(self, *args)
        finally:
            self.state = state

    def half_way_through_the_table() -> None:
        site = Site(stale_time=0, answer_s=0.0, ends=True, are_all_up=True, is_guarded=False)
        site.load()
        site.run(AGED_S)
        site.start(False)
        site.run(6.0)
        site.load()
        site.run(5.0)

    monkeypatch.setattr(slices, "SLICE", 1)
    monkeypatch.setattr(revalidation, "_PER_LIST", 0)
    half_way_through_the_table()
    monkeypatch.setattr(RouterState, "_send_again", send_again)
    with pytest.raises(AssertionError, match="lost a route that nobody withdrew"):
        half_way_through_the_table()


def test_a_host_that_sends_without_end_delays_no_other() -> None:
    """The host has no RFC 7313 and sends a new route every 9 s: only this host is waited for."""
    site = aged()
    start = site.now
    waited = []
    for turn in range(20):
        site.hosts[0].routes[f"198.51.100.{100 + turn}/32"] = 0
        site.hosts[0].sending.append(site.hosts[0].announce(f"198.51.100.{100 + turn}/32"))
        med = turn % 2 + 1
        site.change(2, LAST, None if turn % 3 == 0 else med)
        site.run(1.0)
        for router in (BEST, ALL):
            found = {(prefix, m) for prefix, _, m in site.table(router) if prefix == LAST}
            assert found == (set() if turn % 3 == 0 else {(LAST, med)}), f"{turn} at {router}"
        if not site.filter.is_resynced:
            waited.append(site.now - start)
        site.run(8.0)
    assert 100.0 < max(waited) < 140.0
    assert site.filter.repetition.is_over
    site.end()


@pytest.mark.parametrize("refresh", ["no", "mute"])
def test_a_host_that_stays_away_delays_only_what_it_may_announce(
    refresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STEADY is its own. SHARED is announced by another host as well, which withdraws it. MOVING it
    must not announce."""
    monkeypatch.setattr(sys.modules[__name__], "RETURN_S", 60.0)
    site = aged(refresh=refresh)
    site.run(20.0)
    assert not site.hosts[0].is_up
    site.change(1, SHARED, None)
    site.change(1, MOVING, None)
    site.run(1.0)
    for router in (BEST, ALL):
        assert prefixes(site, router) == {STEADY, SHARED, LAST}
    site.run(60.0)
    assert site.filter.is_resynced
    assert site.table(ALL) == {
        (STEADY, "127.10.1.1", 0),
        (SHARED, "127.10.1.1", 0),
        (LAST, "127.10.1.3", 0),
    }
    site.end()


def test_what_would_be_withdrawn_waits_for_a_host_that_may_announce_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """BEST has SHARED over another host, which withdraws it while the one with the worse path is
    away: it would be missing until that host is back."""
    monkeypatch.setattr(sys.modules[__name__], "RETURN_S", 60.0)
    site = Site(
        stale_time=0, answer_s=0.0, ends=True, are_all_up=True, is_guarded=False, refresh="no"
    )
    site.load()
    site.change(0, SHARED, 2)
    site.run(KEPT_S)
    assert (SHARED, "127.10.1.2", 0) in site.table(BEST)
    site.reload(ALL)  # which had both paths
    site.start(True)
    site.run(20.0)
    site.change(1, SHARED, None)
    site.run(1.0)
    assert SHARED in prefixes(site, BEST)
    site.run(60.0)
    assert (SHARED, "127.10.1.1", 2) in site.table(BEST)
    site.end()


def test_routes_that_follow_end_of_rib_are_not_withdrawn_before() -> None:
    """Routes as those of `exabgp healthcheck` in an ExaBGP with `adj-rib-out false`."""
    site = aged(refresh="late")
    site.run(30.0)
    site.end()


def test_a_host_that_does_not_come_back_is_given_up() -> None:
    site = aged(refresh="no")
    site.run(0.5)
    site.hosts[0].returns_at = None
    site.run(100.0)
    assert STEADY in prefixes(site, BEST)
    site.check = lambda: None  # type: ignore[method-assign]
    site.run(30.0)
    assert prefixes(site, BEST) == prefixes(site, ALL) == {SHARED, MOVING, LAST}


def test_end_of_rib_waits_for_hosts_as_long_as_exabgp_is_young() -> None:
    """Routers still have what an ExaBGP before had announced, and drop it then."""
    site = aged(refresh="no")
    site.run(30.0)
    site.die(1.0, 0.0)
    for host in site.hosts[1:]:
        site.host_up(host)
    site.run(5.0)
    site.start(True)  # the host has repeated itself to a dead process, and has to again
    site.run(2.0)
    assert not site.hosts[0].is_up
    assert not site.filter.egress.is_ready
    site.run(20.0)
    assert site.filter.egress.is_ready
    site.end()
