"""One router as ExaBGP serves it: paths sent to ExaBGP, changes under way, and doubts.

ExaBGP sends changes bucket by bucket, not in order: two changes of one prefix in the same flush can
leave the wrong one at the router for ever, while ExaBGP's own table shows the right one and
suppresses a repetition. Hence five rules:

1. At most one change of a prefix is under way. The next waits for a barrier: an End-of-RIB, which
ExaBGP sends only when nothing else is pending, and then shows us as sent. The newest state wins;
states in between are never sent. 2. A router that is not up is sent nothing. When the session is
back ExaBGP repeats its own table, and that first flush drops every withdraw. So after `up` come
announcements only, then both End-of-RIBs, then the rest. 3. A change under way when a session
ended, or when an `error` came back, is in doubt: after the next barrier it is sent again, in a way
that ExaBGP cannot take for a repetition. 4. In a session that is older than this process, changes
sent by a dead process may still be waiting. ExaBGP shows its output: a prefix sent twice before the
first barrier is in doubt as well. 5. All withdraws of a flush are in one bucket, which may be older
than that of an announcement. A withdraw of one path beside the announcement of another (RFC 7911)
has a bucket of its own.

An End-of-RIB passes a barrier if ExaBGP sent it after taking our command for one: by then all
commands written before have left. ExaBGP shows us both, in order. So an End-of-RIB counts from the
command's reply on, and one that is left over from an earlier session does no harm.

Pure: no command lines here (`encode`), no clock.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rsfilter.exabgp.changes import Changes, First, PathIds, Sent, add
from rsfilter.exabgp.encode import BATCH
from rsfilter.exabgp.pending import NO_IDS, Pending
from rsfilter.exabgp.router_states import DOWN, Barrier, Phase, Signal, State, follow
from rsfilter.routing.export import BEST_PATH_ID, OutAttributes, Paths
from rsfilter.routing.model import BOTH_FAMILIES, Address, Prefix, RouteKey

WINDOW = 2000
"""Prefixes that ExaBGP has not replied to, or that hold up a barrier. It works them off in a third
of a second or so: that is what the next change may have to wait behind, even when a full table is
on its way."""

MAX_UNCONFIRMED = 5 * WINDOW
"""Changed prefixes at one router after which a barrier is due although nothing waits for one: a
session that ends puts no more of them in doubt. At each barrier ExaBGP runs out of work."""

MAX_CHECKS = 2 * WINDOW
"""Prefixes checked in one step at all routers together, whether they change or not: some 20 ms."""


@dataclass(slots=True)
class RouterState:
    """State of one router. `mark` records prefixes to check, `take` returns changes to send."""

    address: Address
    state: State = DOWN
    families: frozenset[int] = BOTH_FAMILIES
    """4 and 6: what it speaks. Assumed until its OPEN is known."""
    add_path: frozenset[int] = BOTH_FAMILIES
    """Families in which it accepts several paths of a prefix; in the others it gets the best."""
    awaited: Collection[Prefix] = ()
    """Prefixes whose changes are withheld for now (`inheritance`)."""
    announced: dict[Prefix, Sent] = field(default_factory=dict)
    """Content of ExaBGP's own table for the router, once ExaBGP has read all written commands."""
    _pending: Pending = field(init=False)
    _backlog: deque[Iterator[None]] = field(default_factory=deque)
    """Work that marks very many prefixes, one in each step: `take` continues it."""
    is_behind: bool = False
    """The last `take` has checked as many prefixes as it may, and others are left."""
    is_inherited: bool = False
    """True if its session is older than this process, and no barrier has passed yet: changes sent
    by a dead process may still wait in ExaBGP, and leave after ours."""
    _sent: Counter[RouteKey] = field(default_factory=Counter)
    """Number of times that ExaBGP sent each route, while `is_inherited`."""
    unended: set[int] = field(default_factory=set)
    """Families whose real End-of-RIB, after `up`, ExaBGP has not shown yet."""

    def __post_init__(self) -> None:
        self._pending = Pending(self.announced)

    @property
    def doubtful(self) -> Mapping[Prefix, PathIds]:
        """Path ids that the router may or may not have, whatever `announced` contains."""
        return self._pending.doubtful

    @property
    def phase(self) -> Phase:
        """Phase of the session."""
        return self.state.phase

    @property
    def is_waiting(self) -> bool:
        """A barrier is under way."""
        return self.state.barrier is not Barrier.NONE

    @property
    def is_idle(self) -> bool:
        """Return whether the router is up and fully updated."""
        is_marked = self._pending.is_marked or self._backlog
        return self.phase is Phase.SETTLED and not is_marked

    @property
    def is_in_bulk(self) -> bool:
        """Return whether it is settled, with more new prefixes to send than fit into one
        command."""
        return self.phase is Phase.SETTLED and len(self._pending.fresh) > BATCH

    @property
    def is_filled_in_bulk(self) -> bool:
        """Return whether its session is new, with more to send than fits into one command."""
        if self.phase is not Phase.FILLING:
            return False
        pending = self._pending
        return bool(self._backlog) or len(pending.urgent) + len(pending.fresh) > BATCH

    @property
    def unconfirmed(self) -> int:
        """Prefixes with a change that no barrier has confirmed. Not all will be: a barrier is sent
        only if another change has to wait for it."""
        return self._pending.unconfirmed

    @property
    def under_way(self) -> int:
        """Prefixes whose changes wait: to be written, or for the barrier under way."""
        pending, waiting = self._pending, self.unconfirmed if self.is_waiting else 0
        return len(pending.urgent) + len(pending.fresh) + max(len(pending.blocked), waiting)

    @property
    def room(self) -> int:
        """Return for how many prefixes changes may be sent before the barrier under way has passed:
        it does not pass while ExaBGP has other output."""
        return WINDOW - len(self._pending.issued) if self.is_waiting else WINDOW

    @property
    def fresh_room(self) -> int:
        """The same for prefixes that the router does not have yet: they let the barrier pass."""
        return WINDOW - self.unconfirmed if self.is_waiting else WINDOW

    # What happens ------------------------------------------------------------------------------

    def up(self, desired: Iterable[Prefix]) -> None:
        """Record that the session is up. ExaBGP is about to repeat `announced`, if it still has it.

        A router that a reload removes from ExaBGP's configuration while its session is down, and
        that another reload restores, has silently lost its table. So all of it is sent again:
        ExaBGP treats paths that it has as a repetition and sends nothing.
        """
        self._follow(Signal.UP)
        self.unended = set(self.families)
        self._pending.blocked.update(dict.fromkeys(self.doubtful))
        self._backlog.append(self._repeat_all(list(self.announced), list(desired)))
        self._continue(MAX_CHECKS)

    def down(self) -> None:
        """The session ended. ExaBGP keeps its table, and so do we."""
        self.doubt()
        self._follow(Signal.DOWN)
        self.unended.clear()
        self._own()
        self._backlog.clear()
        self.is_behind = False
        self._pending.forget_marks()

    def forget(self) -> None:
        """ExaBGP has dropped its table for the router: it was removed from its configuration.

        What is still on its way to ExaBGP may find the router configured again.
        """
        self._pending.doubtful.clear()
        self.down()
        self.announced.clear()

    def adopt(self, prefix: Prefix, path_id: int, *, is_doubtful: bool = False) -> None:
        """Record that ExaBGP's table has this path from an earlier process. `is_doubtful`: the
        router may nevertheless have another one."""
        announced = dict(self.announced.get(prefix, ()))
        announced.setdefault(path_id, None)
        self.announced[prefix] = tuple(announced.items())
        self._pending.fresh.pop(prefix, None)
        if is_doubtful:
            self._pending.doubt(prefix, frozenset({path_id}))
        if prefix not in self.awaited:  # who lets it go marks it
            self.mark([prefix])

    def mark(self, prefixes: Iterable[Prefix], desired: Container[Prefix] | None = None) -> None:
        """Record that the desired paths of these prefixes may have changed.

        `desired`: prefixes that have at least one path, if the caller knows them. A prefix that has
        none, and that the router never had, is ignored; remembering it would let a host exhaust
        memory.
        """
        if self.phase is not Phase.DOWN:
            self._pending.mark(prefixes, desired)

    def mark_many(self, prefixes: Iterable[Prefix], desired: Container[Prefix]) -> None:
        """`mark` for so many prefixes that it takes several steps."""
        if self.phase is not Phase.DOWN:
            self._backlog.append(self._mark_each(list(prefixes), desired))

    def doubt(self) -> None:
        """Record that any change under way may have failed."""
        self._pending.doubt_changes()
        self._follow(Signal.DOUBT)

    def _follow(self, signal: Signal) -> None:
        self.state = follow(self.state, signal)

    def update_sent(self, keys: Iterable[RouteKey]) -> None:
        """Record routes that ExaBGP sent, announced or withdrawn, while the session `is_inherited`.

        A route sent twice was changed by a dead process and by this one, in unknown order. It is
        sent again once nothing waits any more.
        """
        self._sent.update(keys)

    def _own(self) -> None:
        """End the inheritance: no change of a dead process can leave any more."""
        self.is_inherited = False
        self._sent.clear()

    def barrier_taken(self) -> None:
        """ExaBGP replied to the barrier's command."""
        self._follow(Signal.REPLY)

    def end_of_rib_sent(self, family: int | None = None) -> None:
        """ExaBGP sent an End-of-RIB of a family; None: of all that the router speaks.

        As a barrier any family will do, but a router waits for each of them after `up`.
        """
        passes = self.state.barrier in (Barrier.TAKEN, Barrier.STALLED)
        if passes or self.phase is Phase.SETTLED:
            self.unended -= self.families if family is None else {family}
        self._follow(Signal.END_OF_RIB)
        if not passes:
            return
        for key, times in self._sent.items():
            if times > 1:
                self._pending.doubt(key.prefix, frozenset({key.path_id}))
        self._own()
        blocked = self._pending.barrier_passed()
        self._backlog.append(self._unblock(blocked))
        if len(blocked) <= WINDOW:
            self._continue(len(blocked) + 1)

    # Backlog: generators that yield after each prefix -------------------------------------------

    def _continue(self, steps: int) -> None:
        """Do so many steps of the backlog, as long as few prefixes that the router has wait."""
        while steps and self._backlog and len(self._pending.urgent) < MAX_CHECKS:
            steps -= 1
            if next(self._backlog[0], self) is self:
                self._backlog.popleft()

    def _repeat_all(self, sent: list[Prefix], desired: list[Prefix]) -> Iterator[None]:
        """Mark the prefixes that were sent in earlier sessions, and others that it should
        have. No barrier passes before the end."""
        for prefix in sent:
            paths = self.announced.get(prefix)
            if paths is not None and not self._pending.is_under_way(prefix):
                self.announced[prefix] = tuple((path_id, None) for path_id, _ in paths)
                self.mark([prefix])
            yield
        for prefix in desired:
            if prefix not in self.announced:
                self.mark([prefix])
            yield

    def _unblock(self, blocked: Iterable[Prefix]) -> Iterator[None]:
        """Mark prefixes that waited for a barrier, which has passed."""
        for prefix in blocked:
            self._pending.unblock(prefix)
            yield

    def _mark_each(self, prefixes: list[Prefix], desired: Container[Prefix]) -> Iterator[None]:
        for prefix in prefixes:
            self.mark([prefix], desired)
            yield

    # What follows ------------------------------------------------------------------------------

    def take(
        self,
        desired: Mapping[Prefix, Paths],
        room: int,
        fresh_room: int = WINDOW,
        checks: int = MAX_CHECKS,
    ) -> Changes:
        """Return the changes to send now, of at most `room` prefixes, and of at most `fresh_room`
        that the router does not have yet; they count as sent. At most `checks` prefixes are
        checked: if others are left, it `is_behind`."""
        if room > 0:
            self._continue(checks)
        changes: Changes = {}
        pending, announced, awaited = self._pending, self.announced, self.awaited
        doubtful, issued = pending.doubtful, pending.issued
        first: First | None = None
        for queue, most in ((pending.urgent, room), (pending.fresh, fresh_room)):
            most = min(most, room)
            while queue and most > 0 and checks > 0:
                checks -= 1
                prefix, _ = queue.popitem(last=False)
                if awaited and prefix in awaited:
                    continue  # who lets it go marks it
                paths = desired.get(prefix, ())
                if prefix in announced or prefix in doubtful:
                    has_changed = self._send_again(prefix, paths, changes)
                else:
                    if first is None or paths is not first.desired or prefix.family != first.family:
                        wanted = self._for_us(prefix, paths)
                        first = First.of(paths, wanted, prefix.family, changes)
                    if has_changed := bool(first.wanted):
                        issued[prefix], announced[prefix] = first.path_ids, first.wanted
                        for prefixes in first.prefixes:
                            prefixes.append(prefix)
                if has_changed:
                    most -= 1
                    room -= 1
        is_left = self._backlog or (not checks and (pending.urgent or pending.fresh))
        self.is_behind = room > 0 and bool(is_left)
        return changes

    def _send_again(self, prefix: Prefix, desired: Paths, changes: Changes) -> bool:
        """Add to `changes` those for a prefix that the router has or may have."""
        wanted = self._for_us(prefix, desired)
        announced = dict(self.announced.get(prefix, ()))
        pending = self._pending
        in_doubt = pending.doubtful.pop(prefix, NO_IDS)
        wanted_ids = frozenset(path_id for path_id, _ in wanted)
        found: list[tuple[int, OutAttributes | None]] = [
            (path_id, attributes)
            for path_id, attributes in wanted
            if path_id in in_doubt or announced.get(path_id) != attributes
        ]
        gone = sorted((announced.keys() | in_doubt) - wanted_ids)
        keep: Sent = ()
        if gone and self.phase is Phase.FILLING:
            pending.blocked[prefix] = None
            keep = tuple((path_id, announced[path_id]) for path_id in gone if path_id in announced)
        else:
            found += [(path_id, None) for path_id in gone]
            if gone and BEST_PATH_ID in wanted_ids:
                # Without ADD-PATH (RFC 7911) a withdraw names no path: it takes the best one away.
                pending.doubtful[prefix] = wanted_ids
                pending.blocked[prefix] = None
        if found:
            pending.issued[prefix] = add(changes, prefix, found, in_doubt)
        if now_sent := (*wanted, *keep):
            self.announced[prefix] = now_sent
        else:
            self.announced.pop(prefix, None)
        return bool(found)

    def _for_us(self, prefix: Prefix, desired: Paths) -> Paths:
        """Return the paths that this router can accept: `desired` has the best path first."""
        if prefix.family not in self.families:
            return ()
        if prefix.family in self.add_path or not desired or desired[0][0] == BEST_PATH_ID:
            return desired
        return ((BEST_PATH_ID, desired[0][1]),)

    def barrier(self) -> list[int]:
        """Return the families whose End-of-RIB is due, the first being the barrier; none if no
        barrier is due, or one is under way.

        The first one after `up` is the router's real End-of-RIB (RFC 4724): every family, and only
        after the whole table. Later ones are sent only if a change has to wait for one: FRR logs a
        line for each.
        """
        if self.is_waiting or self.phase is Phase.DOWN or not self.families:
            return []
        families, pending = sorted(self.families), self._pending
        if self.phase is Phase.FILLING:
            if pending.urgent or pending.fresh or self._backlog:
                return []
        elif pending.blocked or len(pending.issued) >= MAX_UNCONFIRMED:
            families = families[:1]
        else:
            return []
        self._follow(Signal.WRITE)
        pending.barrier_written()
        return families

    def barrier_again(self, is_late: bool = False) -> list[int]:
        """Families of one more End-of-RIB that the barrier under way needs; mostly none.

        If its own went out before the reply came, none would follow. A new barrier in its place
        could meet the same, again and again: the End-of-RIB of each would come before the reply
        to the next. If it `is_late`, it may be lost, and with it the router's real one.
        """
        if is_late and self.phase is Phase.SETTLED and self.unended:
            # A reload of ExaBGP's configuration has lost them, after the barrier has passed.
            return sorted(self.unended)
        barrier = self.state.barrier
        if barrier is not Barrier.STALLED and not (is_late and barrier is Barrier.TAKEN):
            return []
        self._follow(Signal.AGAIN)
        families = sorted(self.families)
        return families if is_late and self.phase is Phase.FILLING else families[:1]
