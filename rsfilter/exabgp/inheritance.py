"""Prefixes that wait for hosts which have not repeated themselves.

What ExaBGP's table for a router holds, because a process before this one announced it, a host may
still announce: nobody knows until it has repeated itself (`repetition`). So nothing of such a
prefix is changed at any router until each host that it leads to has finished. What another host
announces then takes its place. But where nobody does, the prefix would be withdrawn: it waits for
each unfinished host in turn that the data in force would let announce it. Everything else goes on:
a host that talks without end, or stays away, delays what it may announce itself, and nobody else.

Pure: what is known comes in, prefixes that wait no longer come out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice

from rsfilter.routing.model import Address, Prefix

REVIEWED_AT_ONCE = 20
"""Prefixes in one step: each may be judged for many hosts."""

Claimant = Callable[[Prefix], Address | None]
"""Finds an unfinished host that the data in force would let announce a prefix."""


class Inheritance:
    """Prefixes that are not to be changed yet."""

    def __init__(self, unfinished: Collection[Address]) -> None:
        """`unfinished`: hosts that have not repeated themselves, as they are at any time."""
        self.awaited: dict[Prefix, int] = {}
        """How many hosts each prefix waits for; 0: whether there is one is to be found out."""
        self._unfinished = unfinished
        self._of: dict[Address, dict[Prefix, None]] = {}
        """Who waits for each host."""
        self._unclear: dict[Prefix, None] = {}

    @property
    def is_unclear(self) -> bool:
        """There is something to `review`."""
        return bool(self._unclear)

    def adopt(self, prefix: Prefix, next_hop: Address) -> None:
        """ExaBGP's table for a router has a path of this prefix to `next_hop`."""
        if next_hop in self._unfinished:
            self.watch(prefix, next_hop)
        elif self._unfinished:
            self.doubt(prefix)

    def watch(self, prefix: Prefix, host: Address) -> None:
        """A prefix waits for an unfinished host."""
        waiting = self._of.setdefault(host, {})
        if prefix not in waiting:
            waiting[prefix] = None
            self._unclear.pop(prefix, None)
            self.awaited[prefix] = self.awaited.get(prefix, 0) + 1

    def doubt(self, prefix: Prefix) -> None:
        """A prefix may have to wait for somebody: for whom is to be found out."""
        if prefix not in self.awaited:
            self.awaited[prefix] = 0
            self._unclear[prefix] = None

    def waiting_for(self, host: Address) -> Collection[Prefix]:
        """What waits for this host: routers have it from there."""
        return self._of.get(host, {}).keys()

    def finished(self, hosts: Iterable[Address]) -> list[Prefix]:
        """These hosts have finished. All prefixes, when that were the last ones."""
        for host in hosts:
            for prefix in self._of.pop(host, {}):
                self.awaited[prefix] -= 1
                if self.awaited[prefix] == 0:
                    self._unclear[prefix] = None
        if self._unfinished:
            return []
        released = list(self.awaited)
        for known in (self.awaited, self._of, self._unclear):
            known.clear()
        return released

    def review(
        self, desired: Sequence[Mapping[Prefix, object]], claimant: Claimant
    ) -> list[Prefix]:
        """Finds out of some prefixes whom they wait for. Those that wait no longer: everybody is to
        have them, or nobody could announce them. `desired`: what each group of routers is to have.
        """
        released = []
        for prefix in list(islice(self._unclear, REVIEWED_AT_ONCE)):
            is_desired = all(prefix in table for table in desired)
            host = None if is_desired else claimant(prefix)
            if host is not None:
                self.watch(prefix, host)
            else:
                del self._unclear[prefix], self.awaited[prefix]
                released.append(prefix)
        return released
