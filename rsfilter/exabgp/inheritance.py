"""Prefixes that wait for hosts which have not repeated their routes.

A path in ExaBGP's table for a router, announced by an earlier process, may still be announced by a
host: that is unknown until the host has repeated its routes (`repetition`). Such a prefix is not
changed at any router until each host it may belong to has finished. An announcement by another host
then takes its place. If no host announces it, it would be withdrawn: it waits in turn for each
unfinished host that the active data allow to announce it. All other prefixes proceed: a host that
never finishes, or stays away, delays only what it may announce itself.

A host may have a whole table: its prefixes are released in slices, and wait until then.

Pure: takes known facts, returns prefixes that no longer wait.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from rsfilter.routing.model import Address, Prefix

REVIEWED_AT_ONCE = 20
"""Prefixes in one step that no host announces: each may be judged for many hosts."""

RELEASED_AT_ONCE = 1000
"""Prefixes of finished hosts in one step: some milliseconds, with those that are marked then."""

Claimant = Callable[[Prefix], Address | None]
"""Finds an unfinished host that the data in force would let announce a prefix."""


@dataclass(slots=True)
class _Waiting:
    """Prefixes that wait for one host."""

    prefixes: dict[Prefix, int] = field(default_factory=dict)
    """Number of the host's session in which it announced each; 0 if it has not."""
    session: int = 1
    """Number of its current session: when another begins, no prefix has to be changed."""
    unheard: int = 0
    """Number of prefixes that it has not announced in this session."""


class Inheritance:
    """Prefixes that are not to be changed yet."""

    def __init__(
        self,
        unfinished: Collection[Address],
        announces: Callable[[Address, Prefix], bool] = lambda _host, _prefix: False,
    ) -> None:
        """`unfinished`: hosts that have not repeated themselves, as they are at any time.
        `announces`: returns whether a host announces a prefix now."""
        self.awaited: dict[Prefix, int] = {}
        """Number of hosts that each prefix waits for; 0 if that is not determined yet."""
        self._unfinished = unfinished
        self._announces = announces
        self._of: dict[Address, _Waiting] = {}
        self._finished: deque[Iterator[Prefix]] = deque()
        """Prefixes of each host that has finished, as far as they still wait for it."""
        self._unclear: OrderedDict[Prefix, None] = OrderedDict()
        """Ordered: a plain dict finds its first key slowly after many removals at the front."""

    @property
    def is_unclear(self) -> bool:
        """There is something to `review`."""
        return bool(self._unclear)

    @property
    def is_releasing(self) -> bool:
        """There is something to `release`."""
        return bool(self._finished or (self._unclear and not self._unfinished))

    def adopt(self, prefix: Prefix, next_hop: Address) -> None:
        """ExaBGP's table for a router has a path of this prefix to `next_hop`."""
        if next_hop in self._unfinished:
            self.watch(prefix, next_hop)
        elif self._unfinished:
            self.doubt(prefix)

    def watch(self, prefix: Prefix, host: Address) -> None:
        """A prefix waits for an unfinished host."""
        waiting = self._of.setdefault(host, _Waiting())
        if prefix not in waiting.prefixes:
            is_heard = self._announces(host, prefix)
            waiting.prefixes[prefix] = waiting.session if is_heard else 0
            waiting.unheard += not is_heard
            self._unclear.pop(prefix, None)
            self.awaited[prefix] = self.awaited.get(prefix, 0) + 1

    def doubt(self, prefix: Prefix) -> None:
        """Record a prefix that may have to wait; its hosts are determined later."""
        if prefix not in self.awaited:
            self.awaited[prefix] = 0
            self._unclear[prefix] = None

    def heard(self, host: Address, prefixes: Iterable[Prefix]) -> None:
        """Record what an unfinished host announces."""
        waiting = self._of.get(host)
        if waiting is None:
            return
        for prefix in prefixes:
            if waiting.prefixes.get(prefix, waiting.session) != waiting.session:
                waiting.prefixes[prefix] = waiting.session
                waiting.unheard -= 1

    def begin_session(self, host: Address) -> None:
        """Record a new session of a host: it has announced nothing in it."""
        if waiting := self._of.get(host):
            waiting.session += 1
            waiting.unheard = len(waiting.prefixes)

    def owes(self, host: Address) -> bool:
        """Return whether an unfinished host has not announced all that waits for it, because
        routers have it from this host."""
        waiting = self._of.get(host)
        return waiting is not None and waiting.unheard > 0

    def finished(self, hosts: Iterable[Address]) -> None:
        """Record that these hosts have finished: `release` goes through their prefixes."""
        for host in hosts:
            if waiting := self._of.pop(host, None):
                self._finished.append(iter(waiting.prefixes))

    def release(self) -> list[Prefix]:
        """Go through a slice of what waits for finished hosts. Returns prefixes that no longer
        wait, because no host is unfinished; otherwise they are to be reviewed."""
        released: list[Prefix] = []
        for _ in islice(self._go_through(released), RELEASED_AT_ONCE):
            pass
        if not self.awaited:
            self.awaited.clear()  # an empty dict can still have the memory of a whole table
        return released

    def _go_through(self, released: list[Prefix]) -> Iterator[None]:
        """Pause after each prefix."""
        while self._finished:
            for prefix in self._finished[0]:
                self.awaited[prefix] -= 1
                if self.awaited[prefix] == 0:
                    self._unclear[prefix] = None
                yield
            self._finished.popleft()
        while self._unclear and not self._unfinished:
            prefix, _ = self._unclear.popitem(last=False)
            del self.awaited[prefix]
            released.append(prefix)
            yield

    def review(
        self, desired: Sequence[Mapping[Prefix, object]], claimant: Claimant
    ) -> list[Prefix]:
        """Determine the hosts that these prefixes wait for. Returns prefixes that no longer wait: a
        host announces them, or no host may. `desired`: the routes of each group of routers."""
        released = []
        judged = 0
        for prefix in list(islice(self._unclear, RELEASED_AT_ONCE)):
            host = None
            if not all(prefix in table for table in desired):
                host = claimant(prefix)
                judged += 1
            if host is not None:
                self.watch(prefix, host)
            else:
                del self._unclear[prefix], self.awaited[prefix]
                released.append(prefix)
            if judged == REVIEWED_AT_ONCE:
                break
        return released
