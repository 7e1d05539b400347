"""Decoder, engine and egress as one: ExaBGP's lines and new data in, commands and audit events out.

    line -> decode -> engine -> egress -> commands
                        |
                        +-> audit events

`pipeline` drives it with what comes in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rsfilter.audit.flood import Audited, Floods
from rsfilter.config.model import Config
from rsfilter.exabgp.decode import (
    routes_sent,
)
from rsfilter.exabgp.deferral import Deferral
from rsfilter.exabgp.egress import Egress
from rsfilter.exabgp.inheritance import Inheritance
from rsfilter.exabgp.messages import (
    Message,
    Opened,
    Reply,
    SentEndOfRib,
    SentUpdate,
    Shutdown,
)
from rsfilter.exabgp.repetition import Repetition
from rsfilter.exabgp.resync import Inherited, Resync
from rsfilter.exabgp.unsettled import SETTLED, Unsettled
from rsfilter.pipeline.lines import SpeakerLines
from rsfilter.routing.drain import DEFAULT_DRAIN_TIME_S, DrainState
from rsfilter.routing.effects import Actions, OutChange
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import (
    AllRepeated,
    DataReplaced,
    DrainRequested,
    DrainSource,
    EndOfRib,
    Event,
    GuardReleased,
    GuardRestored,
    PolicyReplaced,
    RefreshMark,
    SessionDown,
    SessionUp,
    Update,
)
from rsfilter.routing.expected import Expectations
from rsfilter.routing.guard import Haste, Records
from rsfilter.routing.model import UNICAST, Address, Prefix
from rsfilter.routing.slices import Pace
from rsfilter.routing.validation import Data

_NUMBERS = {name: number for number, name in UNICAST.items()}

REMOVED = "stop, message [removed]"
"""The reason of a `down`: ExaBGP's configuration lost the neighbor, and its table with it."""

YOUNG_S = 30
"""A session as young as this, and a host that is slow, may still have been sending its table."""


class Filter:
    """Decoder, engine and egress, wired."""

    def __init__(self, config: Config, data: Data) -> None:
        own_asn = config.route_server.asn
        policy = _policy(config)
        self.engine = Engine(
            own_asn, policy.hosts, config.routers, data, policy.limits, policy.drain_time
        )
        self.expected = Expectations(
            self.engine.rib_in,
            self._has_group,
            self._is_up,
            config.truth.absent_after if config.truth else 0,
        )
        self.repetition = Repetition()
        self.inheritance = Inheritance(self.repetition.hosts.keys(), self.engine.announces)
        self.egress = Egress(
            own_asn, config.routers, self.engine.routes_out, self.inheritance.awaited
        )
        self._before = SETTLED
        self._young: set[Address] = set()
        """Hosts that may not have sent all of their table to a process before this one."""
        self._to_watch: dict[Address, Iterator[list[Prefix]]] = {}
        """Hosts whose sessions are to be restarted, with the prefixes that have still to be watched
        before."""
        self._groups = tuple(group.name for group in config.routers)
        self.resync = Resync(self.egress.routers)
        self.deferral = Deferral(self.egress.routers)
        self.lines = SpeakerLines()
        self._capabilities: dict[Address, frozenset[str]] = {}
        """`Opened.capabilities` of each host's last OPEN."""
        self.is_shut_down = False
        """True once ExaBGP has reported its shutdown."""
        self.floods = Floods()
        self._is_resynced = False
        self._has_settled = False
        """True once every host has repeated its routes since this process started."""
        self._has_data = False
        self._has_weighed = False
        """The guard has: see `_weigh`."""
        self._has_predecessor = False
        """Routers have routes that a process before this one announced."""
        self._drain_requests: list[DrainRequested] = []
        """Drain requests made before the routers' routes were known."""
        self._audit: list[Audited] = []

    def line(self, line: bytes, now: float) -> None:
        """One line from ExaBGP."""
        message = self.lines.understand(line)
        is_resyncing = not self.resync.is_done
        if is_resyncing:
            self._resync(message, now)
        self.deferral.message(message, now)
        self.repetition.message(message, now)
        match message:
            case Update() | SessionUp() | SessionDown() if (
                message.neighbor in self.repetition.hosts
            ):
                self._unfinished(message, now)
            case Update() | SessionUp() | SessionDown() | EndOfRib() | RefreshMark():
                self._routing(message, now)
            case SentEndOfRib():
                self.egress.end_of_rib_sent(message.neighbor, _NUMBERS[message.family])
            case SentUpdate() if self.egress.is_inherited(message.neighbor):
                self.egress.update_sent(message.neighbor, routes_sent(message))
            case Reply() if not is_resyncing:
                self.egress.replied(ok=message.ok, now=now)
            case Opened():
                self._capabilities[message.neighbor] = message.capabilities
                self._opened(message)
            case Shutdown():
                self.is_shut_down = True

    def data_replaced(self, event: DataReplaced, now: float) -> None:
        """Other data are in force."""
        self._has_data = True
        if event.data.bindings is not self.expected.bindings:
            self.expected.replace(event.data.bindings)
        self._routing(event, now)

    def configured(self, config: Config, now: float, *, is_forced: bool = False) -> None:
        """Another configuration is in force, as far as `reload` lets it change. `is_forced`: what
        it takes away is meant."""
        self._routing(replace(_policy(config), is_forced=is_forced), now)
        self.expected.replace(self.expected.bindings)

    def guard_released(self, event: GuardReleased, now: float) -> None:
        """The operator releases routes that the guard holds."""
        self._routing(event, now)

    def guard_restored(self, before: GuardRestored, now: float) -> None:
        """Restore the state of the guard of an earlier process."""
        self._routing(before, now)

    def unsettled_before(self, before: Unsettled, now: float) -> None:
        """Restore the unfinished work of an earlier process. Called before anything else."""
        self._before = before
        for host in before.hosts - self.egress.routers.keys():
            self.repetition.expect_return(host, now)

    def lacking(self, host: Address) -> list[str]:
        """Return the required capabilities that a host has not offered in its last OPEN."""
        group, offered = self.engine.neighbors.group(host), self._capabilities.get(host)
        if group is None or offered is None:
            return []
        return [name for name in group.requires if name not in offered]

    @property
    def unsettled(self) -> Unsettled:
        """Return the work to store before the commands that begin it."""
        return Unsettled(self.egress.inherited, frozenset(self.repetition.restarting))

    @property
    def is_resynced(self) -> bool:
        """Return whether the state before this process is known: ExaBGP has answered, and hosts
        have repeated their routes."""
        return self.resync.is_done and self.repetition.is_over

    @property
    def drain_state(self) -> DrainState:
        """Return the service state, and the requesters that keep the filter out of service."""
        return self.engine.drain.state

    def drain(self, on: bool, by: str, now: float, source: DrainSource = "operator") -> None:
        """Request a drain for a source, or end its request (`DrainRequested`).

        The filter is in service again when no source requests a drain. A request made before the
        routers' routes are known waits until they are: then the filter leaves as always, or
        announces nothing at all if routers have none of its routes.
        """
        self._drain_requests.append(DrainRequested(source, on, by))
        if self._is_resynced:
            self._follow_drain(now)

    def commands(self, now: float) -> list[bytes]:
        """Return the commands to write to ExaBGP now."""
        self._follow(self.engine.expire(now), now)
        for host in self.engine.table.departures.take_ended():
            self.expected.mark(host, now)
        self._audit += self.floods.expire(now)
        self._audit += self.expected.expire(now)
        if self.lines.unsupported:
            return []
        questions = self.resync.commands(now)
        if not self.resync.is_done:
            return questions
        if not self._is_resynced:
            self._resynced(now)
        self.deferral.expire(now)
        self._repeat(now)
        if not self.egress.is_ready and self._may_withdraw(now):
            self._weigh(now)
        if not self._has_settled and self._knows_all and self.repetition.is_over:
            self._has_settled = True
            self._routing(AllRepeated(), now)
        return self.egress.commands(now)

    def _weigh(self, now: float) -> None:
        """Weigh the losses of the first data by the guard, before any withdraw."""
        if not self._has_weighed:
            self._has_weighed = True
            self._routing(AllRepeated(is_over=False), now)
        self.egress.is_ready = not self.engine.is_revalidating

    @property
    def _knows_all(self) -> bool:
        """Return whether unaccepted routes of hosts that have repeated theirs may be withdrawn,
        because the data have been applied to the whole table."""
        return self._has_data and self.deferral.is_over and not self.engine.is_revalidating

    def _may_withdraw(self, now: float) -> bool:
        """End-of-RIB may be sent as well: then routers drop what an ExaBGP before this one had
        announced, and an unfinished host may still announce that."""
        are_all_released = self.repetition.is_over and not self.inheritance.is_releasing
        has_all_repeated = are_all_released or now >= self.deferral.kept_until
        return self._knows_all and has_all_repeated

    def next_timer(self) -> float | None:
        """Time of the next call to `commands`, if no event occurs before. Only what that call
        comes to counts: a timer that is due and not served would keep the loop busy."""
        timers = [self.engine.next_timer(), self.floods.next_timer(), self.expected.next_timer()]
        if not self.lines.unsupported:
            timers.append(self.resync.next_timer())
            if self.resync.is_done:
                timers += self._timers_after_resync()
        return min((at for at in timers if at is not None), default=None)

    def _timers_after_resync(self) -> list[float | None]:
        if self._to_watch or self.inheritance.is_releasing or self._is_reviewing:
            return [float("-inf")]
        waits_for_hosts = self._knows_all and not self.egress.is_ready
        return [
            self.deferral.kept_until if waits_for_hosts else None,
            self.deferral.next_timer(),
            self.repetition.next_timer(),
            self.egress.next_timer(),
        ]

    def take_audit(self) -> list[Audited]:
        """Return the events to audit since the last call."""
        taken, self._audit = self._audit, []
        return taken

    def end(self, now: float) -> None:
        """End the input: the stored summaries of floods become due."""
        self._audit += self.floods.end(now)

    @property
    def record_haste(self) -> Haste:
        """Urgency of `take_records`."""
        return self.engine.guard.haste

    def take_records(self) -> Records:
        """Return the changes of accepted, held and lost routes since the last call: the next
        process needs them."""
        return self.engine.guard.take_records()

    def _resync(self, message: Message, now: float) -> None:
        for found in self.resync.message(message, now):
            if isinstance(found, Inherited):
                self._has_predecessor = True
                self.inheritance.adopt(found.prefix, found.next_hop)
                is_doubtful = found.router in self._before.routers
                self.egress.adopt(
                    found.router, found.prefix, found.path_id, is_doubtful=is_doubtful
                )
            elif found.neighbor in self.egress.routers:
                self._opened(found.opened)
                self._routing(SessionUp(found.neighbor, found.asn), now)
                self.egress.inherit(found.neighbor)
            else:
                self._routing(SessionUp(found.neighbor, found.asn), now)
                self._capabilities[found.neighbor] = found.opened.capabilities
                self.repetition.expect(found.opened)
                if found.duration < YOUNG_S:
                    self._young.add(found.neighbor)

    def _unfinished(self, message: Update | SessionUp | SessionDown, now: float) -> None:
        """A host that has still to repeat itself announces, or its session begins or ends."""
        host = message.neighbor
        if isinstance(message, Update):
            before = self.engine.count(host)
            self._routing(message, now)
            self.inheritance.heard(host, (route.key.prefix for route in message.announced))
            if self.engine.count(host) > before:
                # News. What there is no room for is none: it cannot go on for ever.
                self.repetition.heard(host, now)
        elif isinstance(message, SessionUp):
            self.inheritance.begin_session(host)
            self._routing(message, now)
        else:
            self._routing(replace(message, is_restart=True), now)

    def _repeat(self, now: float) -> None:
        """Goes on with the hosts that have still to repeat themselves."""
        for host in self._taken(self.egress.passed_on):
            self.repetition.passed_on(host, now)
        self.repetition.expire(now, self._owes)
        self.inheritance.finished(self._taken(self.repetition.finished))
        for host, family in self.repetition.requests():
            self.egress.request_refresh(host, family)
        for host in self.repetition.restarts(now):
            self._has_settled = False
            self._young.discard(host)
            self._to_watch[host] = self.engine.prefixes(host)
        self._watch()
        released = self.inheritance.release()
        if self._is_reviewing:
            tables = [self.engine.routes_out(group) for group in self._groups]
            released += self.inheritance.review(tables, self._claimant)
        for group in self._groups if released else ():
            self.egress.changed(group, released)

    def _watch(self) -> None:
        """Watch a slice of the routes of hosts whose sessions are to be restarted. A session is
        restarted after the last of its routes."""
        pace = Pace()
        for host, prefixes in list(self._to_watch.items()):
            for some in prefixes:
                for prefix in some:
                    self.inheritance.watch(prefix, host)
                if pace.is_pause_due(len(some)):
                    return
            del self._to_watch[host]
            self.egress.restart(host)

    def _owes(self, host: Address) -> bool:
        """A host may not have repeated all: it does not announce all that routers have from it, or
        its session had only just begun when this process was started."""
        return host in self._young or self.inheritance.owes(host)

    @property
    def _is_reviewing(self) -> bool:
        return self.inheritance.is_unclear and self._knows_all

    def _claimant(self, prefix: Prefix) -> Address | None:
        """An unfinished host that may announce the prefix."""
        return self.engine.claimant(prefix, self.repetition.hosts)

    @staticmethod
    def _taken(hosts: list[Address]) -> list[Address]:
        taken = hosts.copy()
        hosts.clear()
        return taken

    def _resynced(self, now: float) -> None:
        """Apply the work that waited for the state before this process."""
        self._is_resynced = True
        self.repetition.begin()
        self.deferral.begin(self.resync.shown, now)
        self._follow_drain(now, at_once=not self._has_predecessor)

    def _follow_drain(self, now: float, *, at_once: bool = False) -> None:
        requests, self._drain_requests = self._drain_requests, []
        for event in requests:
            self._routing(replace(event, at_once=at_once), now)

    def _opened(self, opened: Opened) -> None:
        if opened.neighbor in self.egress.routers:
            self.egress.opened(opened.neighbor, opened.families, opened.add_path)

    def _routing(self, event: Event, now: float) -> None:
        if isinstance(event, SessionDown) and event.reason == REMOVED:
            event = replace(event, administrative=True)
            self.deferral.removed(event.neighbor)
        self._follow(self.engine.handle(event, now), now)
        if isinstance(event, SessionDown) and event.reason == REMOVED:
            self._forget(event.neighbor)
        if isinstance(event, Update | SessionUp | SessionDown):
            self.expected.mark(event.neighbor, now)
        if isinstance(event, SessionUp | SessionDown) and event.neighbor in self.egress.routers:
            self._router_session(event)
        elif isinstance(event, SessionDown):
            self._to_watch.pop(event.neighbor, None)
            self.egress.host_down(event.neighbor)

    def _forget(self, neighbor: Address) -> None:
        """A host that has left ExaBGP's configuration is not down, it is none any more."""
        if neighbor not in self.egress.routers:
            self.engine.sessions.pop(neighbor, None)
            self._capabilities.pop(neighbor, None)

    def _has_group(self, neighbor: Address) -> bool:
        return self.engine.neighbors.group(neighbor) is not None

    def _is_up(self, neighbor: Address, asn: int) -> bool:
        session = self.engine.sessions.get(neighbor)
        return session is not None and session.is_up and session.asn == asn

    def _follow(self, actions: Actions, now: float) -> None:
        self._audit += self.floods.pass_on(actions.audit, now)
        for change in actions.out:
            self._keep_claimed(change)
            self.egress.changed(change.group, change.prefixes)
        for wanted in actions.refresh:
            self.repetition.repeat(wanted.neighbor, UNICAST[wanted.family], now)

    def _keep_claimed(self, change: OutChange) -> None:
        """Keep prefixes that no host announces any more and an unfinished host may announce."""
        if not self.repetition.hosts:
            return
        desired = self.engine.routes_out(change.group)
        for prefix in change.prefixes:
            if prefix not in desired and self.egress.has_announced(change.group, prefix):
                self.inheritance.doubt(prefix)

    def _router_session(self, event: SessionUp | SessionDown) -> None:
        if isinstance(event, SessionUp):
            self.egress.router_up(event.neighbor)
        else:
            self.egress.router_down(event.neighbor, is_removed=event.reason == REMOVED)


def _policy(config: Config) -> PolicyReplaced:
    readiness = config.readiness
    return PolicyReplaced(
        config.hosts,
        config.guard.limits,
        readiness.drain_time if readiness else DEFAULT_DRAIN_TIME_S,
    )
