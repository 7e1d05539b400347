"""Runs of the whole filter over a script, with every promise held against them.

A script is text, so that a finding can be read: each line is one that ExaBGP writes, octet for
octet, or a directive.

    @config 2             which of `site.CONFIGS`; before all else
    @wait 12.5            seconds pass
    @truth {"roas": …}    another truth file
    @rtr [["192.0.2.0/24", 32, 65005], …]    another RTR snapshot
    @expired  @given_up   the caches are too old, or late
    @release              the operator releases the routes that the guard holds
    @drain on             … requests a drain (off: ends it)
    @reload 3 force       the host groups of another of `site.CONFIGS`, maybe meant
    @restart              ExaBGP and rsfilter start again: sessions are new, the guard remembers;
                          the first turn ends with @go
    @mute  @unmute        ExaBGP replies to nothing; replies again, and to all that waited
    @hold  @go            lines come in one turn from here on; the turn ends

Where a script has none of them, ExaBGP's replies come by themselves, at once and in order.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from support.guard_memory import Memory

from fuzz import commands, site
from fuzz.oracle import Oracle
from fuzz.text import loads
from rsfilter.exabgp.capabilities import shown
from rsfilter.exabgp.decode import decode
from rsfilter.exabgp.messages import Opened, Reply, ShowLine
from rsfilter.exabgp.router_states import Phase
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.filter import REMOVED, Filter
from rsfilter.routing.effects import AuditEvent, VerdictChange
from rsfilter.routing.events import DataReplaced, GuardReleased, SessionDown, SessionUp
from rsfilter.routing.export import BEST_PATH_ID
from rsfilter.routing.guard import fingerprint
from rsfilter.routing.model import IPV4, Address, Prefix, RouteKey, VerdictKind, Vrp
from rsfilter.rpki.truth import TruthError, parse_truth
from rsfilter.rpki.vrps import RtrSnapshot, VrpSet

MAX_LINES = 400
"""Lines of a script; the rest is not run."""

MAX_WAIT_S = 10_000.0

MAX_ROUNDS = 300
"""Rounds of commands and replies until none is left. A table that is sent anew needs a few, and
each barrier or reply that got lost a timeout more."""

ROUTES = dict[tuple[str, str], str]
"""(prefix, path information): attributes as announced."""


class World:
    """ExaBGP, the operator and the clock around one filter."""

    def __init__(self, config_number: int = 0) -> None:
        self.config = site.CONFIGS[config_number % len(site.CONFIGS)]
        self.sources = Sources.of(self.config)
        self.filter = Filter(self.config, self.sources.nothing)
        self.oracle = Oracle(self.config)
        self.now = 1000.0
        self.audit: list[tuple[float, AuditEvent]] = []
        self.written: list[bytes] = []
        self.routers = {a for group in self.config.routers for a in group.neighbors}
        self.tables: dict[Address, ROUTES] = {router: {} for router in self.routers}
        """Announcements that ExaBGP has got for each router."""
        self.unsure: set[Address] = set()
        """Routers that sent another OPEN in the middle of a session, which BGP does not have."""
        self.offering: set[Address] = set()
        """Hosts that have offered to repeat themselves, or may have: the script has it somehow."""
        self._memory = Memory()
        self._accepted: set[tuple[RouteKey, str]] = set()
        """Routes that were ever accepted, as they were announced."""
        self._is_muted = self._is_holding = False
        self._unanswered: deque[commands.Command] = deque()

    # The script --------------------------------------------------------------------------------

    def line(self, line: bytes) -> None:
        """One line of a script."""
        self.now += 0.01
        if not line.startswith(b"@"):
            self._watch(line)
            self.filter.line(line, self.now)
        else:
            word, _, rest = line[1:].partition(b" ")
            self._directive(word, rest)
        self._note_accepted()
        if not self._is_holding:
            self.turn()

    def _directive(self, word: bytes, rest: bytes) -> None:
        match word:
            case b"wait":
                self.now += _seconds(rest)
            case b"truth" | b"rtr" | b"expired" | b"given_up":
                self._data(word, rest)
            case b"release":
                self.filter.guard_released(GuardReleased("script"), self.now)
            case b"drain":
                self.filter.drain(rest == b"on", "script", self.now)
            case b"reload":
                self._reload(rest)
            case b"restart":
                self._restart()
            case b"hold" | b"go":
                self._is_holding = word == b"hold"
            case _:
                self._is_muted = word == b"mute" or (self._is_muted and word != b"unmute")

    def _data(self, word: bytes, rest: bytes) -> None:
        match word:
            case b"truth":
                self._truth(rest)
            case b"rtr":
                self._rtr(rest)
            case b"expired":
                self.oracle.expired()
                self._replace(self.sources.rtr_expired())
            case _:
                self._replace(self.sources.give_up_waiting())

    def _reload(self, rest: bytes) -> None:
        number, _, force = rest.partition(b" ")
        if number.isdigit() and len(number) < 4:
            hosts = site.CONFIGS[int(number) % len(site.CONFIGS)].hosts
            self.config = replace(self.config, hosts=hosts)
            self.oracle.configured(self.config)
            self.filter.configured(self.config, self.now, is_forced=force == b"force")

    def _restart(self) -> None:
        self._flush()
        restored = self._memory.restored(self.now)
        self.filter = Filter(self.config, self.sources.nothing)
        self.filter.guard_restored(restored, self.now)
        self._replace(DataReplaced(self.sources.data, "restart", "", None))
        for table in self.tables.values():
            table.clear()
        self.unsure.clear()
        self.offering.clear()
        self._unanswered.clear()
        self._is_muted, self._is_holding = False, True

    def _truth(self, content: bytes) -> None:
        try:
            truth = parse_truth(content, "truth.json", 1.7e9)
        except TruthError:
            return
        self.oracle.truth_loaded(truth)
        self._replace(self.sources.truth_loaded(truth))

    def _rtr(self, content: bytes) -> None:
        if self.config.rtr is None:
            return
        items = loads(content)
        vrps = [vrp for item in items if (vrp := _vrp(item))] if isinstance(items, list) else []
        self.oracle.rtr_changed(vrps)
        snapshot = RtrSnapshot(VrpSet.of(vrps), "192.0.2.50:8282", 1, len(vrps), self.now)
        self._replace(self.sources.rtr_changed(snapshot, "script"))

    def _replace(self, event: DataReplaced | None) -> None:
        if event is not None:
            self.filter.data_replaced(event, self.now)

    def _watch(self, line: bytes) -> None:
        """Effect of a line on ExaBGP itself: a neighbor that it forgets, an OPEN out of place."""
        message = decode(line)
        match message:
            case SessionDown() if REMOVED in message.reason and message.neighbor in self.tables:
                self.tables[message.neighbor].clear()
            case Opened():
                self.unsure.add(message.neighbor)
                self._offers(message)
            case ShowLine():
                with contextlib.suppress(ValueError):
                    for entry in shown(message.text):
                        if entry.session is not None:
                            self._offers(entry.session.opened)
            case SessionUp():
                self.unsure.discard(message.neighbor)
            case Reply() if self._is_muted and self._unanswered:
                self._unanswered.popleft()  # the script has ExaBGP's replies

    def _offers(self, opened: Opened) -> None:
        if opened.offers_refresh:
            self.offering.add(opened.neighbor)

    # Turns -------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Commands go out, and replies come back, until neither has anything to add."""
        for _ in range(MAX_ROUNDS):
            sent = self._flush()
            if self._is_muted or not self._unanswered:
                break
            self._reply()
        else:
            raise AssertionError(f"commands without end: {sent[:3]}")

    def _flush(self) -> list[bytes]:
        lines = self.filter.commands(self.now)
        for line in lines:
            command = commands.read(line)
            self._obey(command)
            if command.kind != "reset":  # the only one without a reply
                self._unanswered.append(command)
        self.written += lines
        events = self.filter.take_audit()
        self.audit += [(self.now, event) for event in events]
        self._memory.take(self.filter.engine.guard.take_records())
        self._check_held(events)
        if not self.filter.engine.is_busy:
            self.oracle.check(self.filter)
        return lines

    def _note_accepted(self) -> None:
        """Note the routes that are accepted now: other attributes under the same verdict are no
        event."""
        for entry in self.filter.engine.rib_in.entries():
            if entry.is_accepted:
                self._accepted.add((entry.route.key, fingerprint(entry.route)))

    def _check_held(self, events: Iterable[AuditEvent]) -> None:
        """Require that a held route was accepted once, exactly as it is: by this process or one
        before it."""
        for event in events:
            if isinstance(event, VerdictChange) and event.verdict is not None:
                route = (event.route.key, fingerprint(event.route))
                if event.verdict.kind is VerdictKind.ACCEPTED:
                    self._accepted.add(route)
                elif event.verdict.kind is VerdictKind.HELD:
                    assert route in self._accepted, f"held, and never accepted: {event.route}"

    def _reply(self) -> None:
        while self._unanswered:
            command = self._unanswered.popleft()
            if command.kind == "version":
                self.filter.line(b"exabgp 5.0.15", self.now)
            self.filter.line(b"done", self.now)
            if command.kind == "eor":
                (router,) = command.neighbors
                echo = site.end_of_rib(router, 65200, command.family, direction="send")
                self.filter.line(echo, self.now)

    def _obey(self, command: commands.Command) -> None:
        for name in command.neighbors:
            address = Address.parse(name)
            if command.kind in ("refresh", "teardown"):
                assert address not in self.routers, f"{command.kind} for {name}, which is a router"
                assert command.kind == "teardown" or address in self.offering, f"{name} never did"
                continue
            assert address in self.routers, f"{command.kind} for {name}, which is no router"
            table = self.tables[address]
            for route in command.routes:
                if command.kind == "announce":
                    table[route] = command.attributes
                else:
                    table.pop(route, None)

    # The end -----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Time passes and ExaBGP replies until nothing is left to do. Then every router that is
        up has what it should have."""
        self._is_muted = self._is_holding = False
        for _ in range(MAX_ROUNDS):
            self.turn()
            timer = self.filter.next_timer()
            if timer is None:
                break
            self.now = max(self.now, timer)
        else:
            raise AssertionError(f"timers without end, the next at {self.filter.next_timer()}")
        if self.filter.resync.is_done and self.filter.egress.is_ready:
            for router, state in self.filter.egress.routers.items():
                if state.phase is not Phase.DOWN and router not in self.unsure:
                    self._compare(router)

    def _compare(self, router: Address) -> None:
        state = self.filter.egress.routers[router]
        if not state.families:
            return  # it takes no route of ours, and no End-of-RIB that could show when
        assert state.is_idle, f"{router} is not told everything: {state}"
        group = next(g for g in self.config.routers if router in g.neighbors)
        wanted = {
            (str(prefix), _path_text(path_id)): str(attributes.next_hop)
            for prefix, paths in self.filter.engine.routes_out(group.name).items()
            if prefix.family in state.families
            for path_id, attributes in _for_router(paths, prefix, state.add_path)
        }
        has = {route: text.split()[1] for route, text in self.tables[router].items()}
        assert has == wanted, f"{router} has {has}, should have {wanted}"


def run(script: bytes) -> World:
    """The world after a script, settled. AssertionError when a promise was broken on the way."""
    lines = script.split(b"\n")[:MAX_LINES]
    number = 0
    if lines[0].startswith(b"@config "):
        choice = lines.pop(0)[len(b"@config ") :]
        number = int(choice) if choice.isdigit() and len(choice) < 4 else 0
    world = World(number)
    for line in lines:
        if line:
            world.line(line)
    world.settle()
    return world


def _for_router(paths: Any, prefix: Prefix, add_path: frozenset[int]) -> Any:
    """Require that without ADD-PATH a router gets the best path, and no identifier."""
    if prefix.family in add_path or paths[0][0] == BEST_PATH_ID:
        return paths
    return ((BEST_PATH_ID, paths[0][1]),)


def _path_text(path_id: int) -> str:
    return "" if path_id == BEST_PATH_ID else str(Address(IPV4, path_id))


def _seconds(text: bytes) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return min(seconds, MAX_WAIT_S) if math.isfinite(seconds) and seconds > 0 else 0.0


def _vrp(item: Any) -> Vrp | None:
    """Keep the VRPs that a cache can deliver: RFC 8210 has no malformed VRP, and librtr drops
    it."""
    match item:
        case [str(text), int(length), int(asn)]:
            pass
        case _:
            return None
    try:
        prefix = Prefix.parse(text)
    except ValueError:
        return None
    bits = 32 if prefix.family == IPV4 else 128
    is_good = prefix.is_well_formed and prefix.length <= length <= bits and 0 <= asn < 1 << 32
    return Vrp(prefix, int(length), int(asn)) if is_good else None
