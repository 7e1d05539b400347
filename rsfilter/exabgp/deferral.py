"""How long End-of-RIB waits after a start of ExaBGP: route selection deferral (RFC 4724, 4.1).

Routers keep what they had from an ExaBGP that died, and drop with our End-of-RIB what was not
announced again. So it must not go out before the hosts are back and have repeated themselves. A
host has, when it has sent End-of-RIB in every family that it speaks; or when it is up and silent,
since a speaker without graceful restart (GoBGP by default) never says that it has finished.

Hosts that never come are waited for until a deadline. Meanwhile everything is announced as it
comes, but nothing can be withdrawn: a router that has not seen End-of-RIB takes no withdraws from
ExaBGP (`router`).

Waited for are the hosts that ExaBGP is configured with and never had a session with, as long as it
is young. So a restart of rsfilter alone waits for nobody, and one that hits us in the middle of
the wait goes on with it. Pure: messages and the time come in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import takewhile

from rsfilter.exabgp.capabilities import Shown
from rsfilter.exabgp.messages import Message, Opened
from rsfilter.routing.events import EndOfRib, SessionDown, SessionUp, Update
from rsfilter.routing.model import UNICAST, Address

DEADLINE_S = 90.0
"""After the start of ExaBGP. Less than the 120 s that `render` asks routers to keep stale routes
for, more than the minute after which BGP speakers connect again at the latest."""

KEPT_S = 240.0
"""After the start of ExaBGP. By then End-of-RIB has gone out, whichever process sent it: it waits
for `DEADLINE_S`, and for hosts that repeat themselves (`repetition.LIMIT_S`)."""

SILENCE_S = 5.0
"""A host that is up and has not sent anything for this long has no more to say. Hosts send their
table in one go; 200 routes take a fraction of a second."""


class Deferral:
    """Which hosts are waited for, and whether that is over."""

    def __init__(self, routers: Iterable[Address]) -> None:
        self._routers = frozenset(routers)
        self._seen: set[Address] = set()
        """Came up before our eyes."""
        self._families: dict[Address, frozenset[int]] = {}
        """By OPEN."""
        self._absent: set[Address] = set()
        """Not up yet, or lost again before they had finished."""
        self._unfinished: dict[Address, set[str]] = {}
        """Up, and the families in which they may have more to say."""
        self._heard: OrderedDict[Address, float] = OrderedDict()
        """When each of those said something last, the longest silence first."""
        self._deadline: float | None = None
        self.kept_until = 0.0
        """Before this, routers may still keep what an ExaBGP before this one had announced."""
        self.is_over = False

    @property
    def awaited(self) -> list[Address]:
        """The hosts that End-of-RIB waits for, or would have."""
        return sorted((*self._absent, *self._unfinished))

    def begin(self, shown: Iterable[Shown], now: float) -> None:
        """What ExaBGP says of its neighbors; those that it does not name are not waited for."""
        neighbors = {entry.neighbor: entry for entry in shown}
        for host in self._unfinished.keys() - neighbors.keys():
            self._finished(host)
        self._absent &= neighbors.keys()
        never_up = {entry.neighbor for entry in neighbors.values() if entry.was_never_up}
        self._absent |= never_up - self._routers - self._seen
        age = max((entry.duration for entry in neighbors.values()), default=0)
        self.kept_until = now - age + KEPT_S
        self._deadline = now - age + DEADLINE_S
        self.expire(now)

    def message(self, message: Message, now: float) -> None:
        """Whatever comes, from the first line on."""
        if self.is_over:
            return
        match message:
            case Opened():
                self._families[message.neighbor] = message.families
            case SessionUp() if self._is_awaited(message.neighbor):
                self._up(message.neighbor, now)
            case SessionDown() if message.neighbor in self._unfinished:
                self._finished(message.neighbor)
                self._absent.add(message.neighbor)
            case Update() if message.neighbor in self._unfinished:
                self._say(message.neighbor, now)
            case EndOfRib() if message.neighbor in self._unfinished:
                self._say(message.neighbor, now)
                self._unfinished[message.neighbor].discard(message.family)
                if not self._unfinished[message.neighbor]:
                    self._finished(message.neighbor)

    def removed(self, host: Address) -> None:
        """ExaBGP's configuration has lost it: it will not come."""
        self._absent.discard(host)

    def next_timer(self) -> float | None:
        """When to call `expire`, if nothing happens before."""
        if self.is_over or self._deadline is None:
            return None
        longest = next(iter(self._heard.values()), None)
        return self._deadline if longest is None else min(self._deadline, longest + SILENCE_S)

    def expire(self, now: float) -> None:
        """Stops waiting for the silent, and in the end for everybody."""
        if self.is_over or self._deadline is None:
            return
        silent = takewhile(lambda heard: now >= heard[1] + SILENCE_S, self._heard.items())
        for host, _ in list(silent):
            self._finished(host)
        self.is_over = now >= self._deadline or not (self._absent or self._unfinished)

    def _is_awaited(self, neighbor: Address) -> bool:
        if self._deadline is None:
            return neighbor not in self._routers
        return neighbor in self._absent or neighbor in self._unfinished

    def _up(self, host: Address, now: float) -> None:
        self._seen.add(host)
        families = self._families.get(host, UNICAST.keys())
        self._absent.discard(host)
        self._unfinished[host] = {UNICAST[family] for family in families}
        self._say(host, now)

    def _say(self, host: Address, now: float) -> None:
        self._heard[host] = now
        self._heard.move_to_end(host)

    def _finished(self, host: Address) -> None:
        del self._unfinished[host]
        del self._heard[host]
