"""ExaBGP's command lines, from the routes that routers should have.

`router` has the rules that keep a router correct. Here its changes become batches, the same batch
for several routers becomes one command, and ExaBGP's replies are counted. Pure: takes `now`,
returns lines. The writer of those lines may block without limit: they are bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from rsfilter.exabgp import encode
from rsfilter.exabgp.changes import Batch, by_routers
from rsfilter.exabgp.router import MAX_CHECKS, WINDOW, RouterState
from rsfilter.exabgp.router_states import Phase
from rsfilter.exabgp.unanswered import Unanswered, Written
from rsfilter.routing.export import Paths
from rsfilter.routing.groups import RouterGroup
from rsfilter.routing.model import Address, Prefix, RouteKey

BARRIER_TIMEOUT_S = 120.0
"""A barrier without its End-of-RIB for this long is lost, and so is a reply: counted, and we start
over. ExaBGP repeats a table of 200,000 routes to a router that came back in well under this."""

BARRIER_AGAIN_S = 5.0
"""Seconds after the reply to its command at which a missing End-of-RIB is requested again, and then
after twice as long each time: a reload of ExaBGP's configuration loses queued ones. Any of them
passes the barrier."""

IN_STEP_S = 5.0
"""Seconds that a router with many new prefixes waits for the barriers of others in its group:
ExaBGP parses a command once, for any number of routers. A window of prefixes takes it a quarter of
a second for each of them. A router that hangs must not delay the others."""

RECONCILE_INTERVAL_S = 5.0
"""Seconds between two reconciliations after `error` replies that no lost session explains: a
command that ExaBGP always refuses must not cause a loop."""

LEAST_CHECKS = 100
"""Prefixes checked in one step at each router, however many routers there are: a command is worth
it."""

FIRST_TAG = 1_000_000
"""Local preferences from here on make a repetition differ from what ExaBGP believes it sent, and
give a withdraw a bucket of its own (`router`, rule 5)."""


class Egress:
    """Every router's state, and the commands that follow from it."""

    def __init__(
        self,
        own_asn: int,
        groups: Iterable[RouterGroup],
        desired: Callable[[str], Mapping[Prefix, Paths]],
        awaited: Collection[Prefix] = (),
    ) -> None:
        """Make an egress. `desired(group)`: returns the routes that routers of a group should have
        now. `awaited`: prefixes whose changes are withheld while they are in it."""
        self.counters: Counter[str] = Counter()
        """announced, withdrawn, repeated, commands, replies, replies_lost, errors, barriers,
        barriers_lost."""
        self.is_ready = False
        """False: nothing is withdrawn and no End-of-RIB is sent, only announcements. Until our
        data are in force and the hosts have repeated themselves, an absence proves nothing."""
        self.routers: dict[Address, RouterState] = {}
        self._groups: dict[str, list[RouterState]] = {}
        self._internal: set[Address] = set()
        for group in groups:
            self._groups[group.name] = [
                RouterState(address, awaited=awaited) for address in group.neighbors
            ]
            self.routers.update((state.address, state) for state in self._groups[group.name])
            if group.asn == own_asn:
                self._internal.update(group.neighbors)
        self._group_name = {
            state.address: name for name, states in self._groups.items() for state in states
        }
        self._desired = desired
        self._tag = FIRST_TAG
        self._unanswered = Unanswered()
        self._opened: dict[Address, tuple[frozenset[int], frozenset[int]]] = {}
        """Families and ADD-PATH of an OPEN whose session is not up yet."""
        self._barrier_at: dict[Address, float] = {}
        self._again: dict[Address, tuple[float, float]] = {}
        """Time of the next request for an End-of-RIB, and seconds since the last, for each barrier
        that ExaBGP has taken."""
        self._excused = 0
        """Upper bound of the next `error` replies that the loss of a session explains."""
        self._to_refresh: dict[tuple[Address, int], None] = {}
        """Hosts that are to repeat a family."""
        self.passed_on: list[Address] = []
        """Hosts whose refresh requests ExaBGP has taken, or dropped. The reader empties it."""
        self._to_restart: dict[Address, None] = {}
        """Hosts whose sessions are to be restarted."""
        self._is_restarting = False
        """The command for that is under way: no other may be."""
        self._resume_at: float | None = None
        """Set: an `error` came back, and nothing is written before this."""
        self._resumed_at = float("-inf")
        self._now = 0.0
        """Time of the last call to `commands`."""

    @property
    def unanswered(self) -> int:
        """Commands that ExaBGP has not replied to."""
        return len(self._unanswered)

    # What happens ------------------------------------------------------------------------------

    def changed(self, group: str, prefixes: Collection[Prefix]) -> None:
        """The routers of a group should have other paths of these prefixes."""
        desired = self._desired(group)
        for state in self._groups[group]:
            mark = state.mark_many if len(prefixes) > MAX_CHECKS else state.mark
            mark(prefixes, desired)

    def has_announced(self, group: str, prefix: Prefix) -> bool:
        """Some router of the group has a path of the prefix."""
        return any(prefix in state.announced for state in self._groups[group])

    def router_up(self, address: Address) -> None:
        """The router's session came up."""
        state = self.routers[address]
        if state.phase is not Phase.DOWN:
            self.router_down(address)
        if address in self._opened:
            state.families, state.add_path = self._opened.pop(address)
        state.up(self._desired(self._group_name[address]))

    def router_down(self, address: Address, *, is_removed: bool = False) -> None:
        """The router's session ended, maybe because ExaBGP's configuration lost it."""
        unanswered = self._unanswered
        self._excused += len(unanswered) if is_removed else unanswered.needing(address)
        self._forget_barriers([address])
        if is_removed:
            self.routers[address].forget()
        else:
            self.routers[address].down()

    def inherit(self, router: Address) -> None:
        """The router, which is up, has been so since before we were started."""
        self.routers[router].is_inherited = True

    def is_inherited(self, neighbor: Address) -> bool:
        """The copies of what is sent to it are worth reading: see `update_sent`."""
        return neighbor in self.routers and self.routers[neighbor].is_inherited

    def update_sent(self, router: Address, keys: Iterable[RouteKey]) -> None:
        """ExaBGP shows what it sent to a router that we have inherited."""
        self.routers[router].update_sent(keys)

    def adopt(
        self, router: Address, prefix: Prefix, path_id: int, *, is_doubtful: bool = False
    ) -> None:
        """ExaBGP's table for the router has this path since before we were started."""
        self.routers[router].adopt(prefix, path_id, is_doubtful=is_doubtful)

    @property
    def inherited(self) -> frozenset[Address]:
        """Routers whose session is older than this process, and no barrier has passed."""
        return frozenset(address for address, s in self.routers.items() if s.is_inherited)

    def opened(self, router: Address, families: frozenset[int], add_path: frozenset[int]) -> None:
        """Record the router's OPEN; it applies from the next `router_up` on. ExaBGP also shows the
        OPENs of connections that it then refuses, in the middle of a session."""
        self._opened[router] = families, add_path

    def request_refresh(self, host: Address, family: int) -> None:
        """A host is to repeat what it announces."""
        if (host, family) in self._to_refresh:
            self.passed_on.append(host)
        self._to_refresh[host, family] = None

    def restart(self, host: Address) -> None:
        """A host's session is to end, and to begin anew."""
        self._to_restart[host] = None

    def host_down(self, host: Address) -> None:
        """Record the end of the host's session: no request reaches it, and ExaBGP refuses queued
        ones."""
        self._to_restart.pop(host, None)
        self.passed_on += [wanted[0] for wanted in self._to_refresh if wanted[0] == host]
        self._to_refresh = {wanted: None for wanted in self._to_refresh if wanted[0] != host}
        self._excused += self._unanswered.needing(host)

    def end_of_rib_sent(self, router: Address, family: int | None = None) -> None:
        """ExaBGP shows an End-of-RIB that it sent, of a family; None: of all."""
        if state := self.routers.get(router):
            state.end_of_rib_sent(family)
            self._note_barrier(state)

    def replied(self, *, ok: bool, now: float) -> None:
        """ExaBGP answered a command.

        An `error` is a bug of ours, or a router that was just lost. Some come before the replies
        to earlier commands, so from then on replies cannot be matched: everything under way is in
        doubt, and nothing is written until all have come.
        """
        self.counters["replies"] += 1
        written = self._unanswered.replied()
        if written and written.requests is not None:
            self.passed_on.append(written.requests)
        if not ok:
            self.counters["errors"] += 1
            due = now if self._excused else self._resumed_at + RECONCILE_INTERVAL_S
            self._excused = max(0, self._excused - 1)
            self._resume_at = max(now, due, self._resume_at or now)
            self._doubt(self.routers)
        elif written and written.barrier is not None:
            state = self.routers[written.barrier]
            state.barrier_taken()
            self._again[written.barrier] = now + BARRIER_AGAIN_S, BARRIER_AGAIN_S
            self._note_barrier(state)
        if not self._unanswered:
            self._excused = 0
            self._is_restarting = False

    def _note_barrier(self, state: RouterState) -> None:
        if not state.is_waiting:
            self._barrier_at.pop(state.address, None)
            if not state.unended:
                self._again.pop(state.address, None)

    def _doubt(self, routers: Collection[Address]) -> None:
        for router in routers:
            self.routers[router].doubt()
        self._forget_barriers(routers)

    def _forget_barriers(self, routers: Collection[Address]) -> None:
        for router in routers:
            self._barrier_at.pop(router, None)
            self._again.pop(router, None)
        self._unanswered.forget_barriers(routers)

    # What follows ------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """Time of the next call to `commands`, if no event occurs before."""
        may_write = self._resume_at is None and not (self._to_restart or self._is_restarting)
        if may_write and any(state.is_behind for state in self.routers.values()):
            return float("-inf")
        since = [*self._barrier_at.values()]
        if self._unanswered.since is not None:
            since.append(self._unanswered.since)
        due = [at + BARRIER_TIMEOUT_S for at in since]
        due += [at for at, _ in self._again.values()]
        due += [
            self._barrier_at[state.address] + IN_STEP_S
            for state in self.routers.values()
            if state.is_in_bulk and state.address in self._barrier_at and not self._is_late(state)
        ]
        if self._resume_at is not None and not self._unanswered:
            due.append(self._resume_at)
        return min(due, default=None)

    def commands(self, now: float) -> list[bytes]:
        """The lines to write now, each whole and ending with a newline."""
        self._expire(now)
        self._now = now
        if self._resume_at is not None:
            if self._unanswered or now < self._resume_at:
                return []
            self._resume_at, self._resumed_at = None, now
        lines = self._restarts() if self._to_restart or self._is_restarting else self._all(now)
        self.counters["commands"] += len(lines)
        return lines

    def _all(self, now: float) -> list[bytes]:
        lines = list(self._changes())
        for state in self.routers.values():
            lines += self._barrier(state, now)
        for host, family in self._to_refresh:
            line = encode.request_refresh(host, family)
            lines.append(self._sent(line, 0, needs=host, requests=host))
        self._to_refresh.clear()
        return lines

    def _restarts(self) -> list[bytes]:
        """Return the commands that restart sessions. ExaBGP replies to such a command ahead of
        queued ones, so its reply could not be attributed: it is written only while no other is
        unanswered."""
        if self._unanswered:
            return []
        self._is_restarting = True
        line = encode.restart(list(self._to_restart))
        self._to_restart.clear()
        return [self._sent(line, 0)]

    def _expire(self, now: float) -> None:
        """A lost End-of-RIB puts its router in doubt. After a lost reply none can be matched any
        more: start over."""
        lost = {router for router, at in self._barrier_at.items() if now >= at + BARRIER_TIMEOUT_S}
        if lost:
            self.counters["barriers_lost"] += len(lost)
            self._doubt(lost)
        since = self._unanswered.since
        if since is not None and now >= since + BARRIER_TIMEOUT_S:
            given_up = self._unanswered.give_up()
            self.counters["replies_lost"] += len(given_up)
            self.passed_on += [w.requests for w in given_up if w.requests is not None]
            self._is_restarting = False
            self._doubt(self.routers)

    def _changes(self) -> Iterator[bytes]:
        batches: dict[Batch, dict[Address, list[Prefix]]] = {}
        flushes: list[Address] = []
        room = WINDOW - self._unanswered.prefixes
        # A router that takes every small piece of room would leave none for those that wait for
        # more.
        whole = room if room >= encode.BATCH else 0
        up = sum(state.phase is not Phase.DOWN for state in self.routers.values())
        checks = max(LEAST_CHECKS, MAX_CHECKS // max(1, up))
        for name, states in self._groups.items():
            desired = self._desired(name)
            in_step = self._room_in_step(states, room)
            for state in states:
                most = whole if state.is_filled_in_bulk else room
                fresh_room = min(state.fresh_room, in_step if state.is_in_bulk else room)
                changes = state.take(desired, min(state.room, most), fresh_room, checks)
                if state.address in self._internal and any(b.is_repeat for b in changes):
                    flushes.append(state.address)
                for batch, prefixes in changes.items():
                    batches.setdefault(batch, {})[state.address] = prefixes
        announcements_first = sorted(batches.items(), key=lambda item: item[0].attributes is None)
        for batch, targets in announcements_first:
            yield from self._lines(batch, targets)
        for address in flushes:
            yield self._sent(encode.flush(address), 0, needs=address)

    def _room_in_step(self, states: list[RouterState], room: int) -> int:
        """Return how many new prefixes each router in bulk may get: the room that all of these
        have, or 0 if that does not fill a command."""
        waited_for = (state for state in states if state.is_in_bulk and not self._is_late(state))
        room = min([room, *(state.fresh_room for state in waited_for)])
        return room if room >= encode.BATCH else 0

    def _is_late(self, state: RouterState) -> bool:
        """The others of its group no longer wait for its barrier."""
        return self._now >= self._barrier_at.get(state.address, self._now) + IN_STEP_S

    def _lines(self, batch: Batch, targets: dict[Address, list[Prefix]]) -> Iterator[bytes]:
        for routers, together in by_routers(targets):
            if batch.attributes is None:
                self.counters["withdrawn"] += len(together) * len(routers)
                tag = self._next_tag() if batch.goes_last else None
                lines = encode.withdraw(routers, batch.path_id, batch.family, together, tag)
            else:
                self.counters["announced"] += len(together) * len(routers)
                tag = self._repeat_tag(routers) if batch.is_repeat else None
                lines = encode.announce(routers, batch.path_id, batch.attributes, together, tag)
            for line, count in lines:
                yield self._sent(line, count)

    def _repeat_tag(self, routers: tuple[Address, ...]) -> int | None:
        """A new tag; none for iBGP, where it would be seen: there a flush repeats everything."""
        self.counters["repeated"] += 1
        return self._next_tag() if self._internal.isdisjoint(routers) else None

    def _next_tag(self) -> int:
        self._tag += 1
        return self._tag

    def _barrier(self, state: RouterState, now: float) -> list[bytes]:
        if state.phase is Phase.FILLING and not (self.is_ready or state.is_waiting):
            return []
        families = state.barrier()
        if families:
            self.counters["barriers"] += 1
            self._barrier_at[state.address] = now
        ends = [
            (family, None if number else state.address) for number, family in enumerate(families)
        ]
        ends += [(family, None) for family in state.barrier_again(self._comes_again(state, now))]
        return [
            self._sent(encode.end_of_rib(state.address, family), 0, owner, state.address)
            for family, owner in ends
        ]

    def _comes_again(self, state: RouterState, now: float) -> bool:
        """Return whether one more End-of-RIB is due; the next one follows after twice as long."""
        at, waited = self._again.get(state.address, (now, 0.0))
        if not waited or now < at:
            return False
        self._again[state.address] = now + 2 * waited, 2 * waited
        return True

    def _sent(
        self,
        line: bytes,
        prefixes: int,
        barrier: Address | None = None,
        needs: Address | None = None,
        requests: Address | None = None,
    ) -> bytes:
        self._unanswered.append(Written(prefixes, barrier, needs, self._now, requests))
        return line
