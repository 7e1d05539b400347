"""Prefixes that wait for hosts which have not repeated their routes.

A path in ExaBGP's table for a router, announced by an earlier process, may still be announced by a
host: that is unknown until the host has repeated its routes (`repetition`). Such a prefix is not
changed at any router until each host it may belong to has finished. An announcement by another host
then takes its place. If no host announces it, it would be withdrawn: it waits in turn for each
unfinished host that the active data allow to announce it. All other prefixes proceed: a host that
never finishes, or stays away, delays only what it may announce itself.

Pure: takes known facts, returns prefixes that no longer wait.
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
        """Number of hosts that each prefix waits for; 0 if that is not determined yet."""
        self._unfinished = unfinished
        self._of: dict[Address, dict[Prefix, None]] = {}
        """Prefixes that wait for each host."""
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
        """Record a prefix that may have to wait; its hosts are determined later."""
        if prefix not in self.awaited:
            self.awaited[prefix] = 0
            self._unclear[prefix] = None

    def waiting_for(self, host: Address) -> Collection[Prefix]:
        """Return the prefixes that wait for this host, because routers have them from it."""
        return self._of.get(host, {}).keys()

    def finished(self, hosts: Iterable[Address]) -> list[Prefix]:
        """Record that these hosts have finished. Returns prefixes to review; all, if no host is
        left."""
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
        """Determine the hosts that these prefixes wait for. Returns prefixes that no longer wait: a
        host announces them, or no host may. `desired`: the routes of each group of routers."""
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
