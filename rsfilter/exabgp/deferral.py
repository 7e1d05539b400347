"""Delay of End-of-RIB after a start of ExaBGP: route selection deferral (RFC 4724, 4.1).

Routers keep stale routes of a dead ExaBGP, and our End-of-RIB drops those that were not announced
again. It must therefore wait until the hosts have reconnected and repeated their routes. A host has
done so if it has sent End-of-RIB in every family of its session, or if it is up and silent, because
a speaker without graceful restart (GoBGP by default) never signals the end.

A deadline bounds the wait for hosts that never connect. Until then routes are announced as they
arrive, but none can be withdrawn: ExaBGP sends no withdraws to a router before End-of-RIB
(`router`).

While ExaBGP is young, the wait is for the configured hosts that have not had a session with it. So
a restart of rsfilter alone waits for no host, and a restart in the middle of the wait continues it.
Pure: takes messages and the time.
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
"""Seconds after the start of ExaBGP. Less than the 120 s for which `render` requests routers to
keep stale routes, more than the minute within which BGP speakers reconnect."""

KEPT_S = 240.0
"""Seconds after the start of ExaBGP by which End-of-RIB was sent, whichever process sent it: it
waits for `DEADLINE_S`, and for hosts that repeat their routes (`repetition.LIMIT_S`)."""

SILENCE_S = 5.0
"""Seconds of silence after which a host that is up counts as finished. Hosts send their table in
one go; 200 routes take a fraction of a second."""


class Deferral:
    """Hosts that End-of-RIB waits for, and whether the wait is over."""

    def __init__(self, routers: Iterable[Address]) -> None:
        self._routers = frozenset(routers)
        self._seen: set[Address] = set()
        """Came up before our eyes."""
        self._families: dict[Address, frozenset[int]] = {}
        """Families of each host, from its OPEN."""
        self._absent: set[Address] = set()
        """Hosts not up yet, or lost again before they had finished."""
        self._unfinished: dict[Address, set[str]] = {}
        """Hosts that are up, with the families in which more routes may follow."""
        self._heard: OrderedDict[Address, float] = OrderedDict()
        """Time of the last message of each of those, the longest silence first."""
        self._deadline: float | None = None
        self.kept_until = 0.0
        """Time until which routers may keep routes of an earlier ExaBGP."""
        self.is_over = False

    @property
    def awaited(self) -> list[Address]:
        """The hosts that End-of-RIB waits for, or would have."""
        return sorted((*self._absent, *self._unfinished))

    def begin(self, shown: Iterable[Shown], now: float) -> None:
        """Begin with the neighbors that ExaBGP reported. Others are not waited for."""
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
        """Process a message, any kind, from the first line on."""
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
                self._extend(message.neighbor, now)
            case EndOfRib() if message.neighbor in self._unfinished:
                self._extend(message.neighbor, now)
                self._unfinished[message.neighbor].discard(message.family)
                if not self._unfinished[message.neighbor]:
                    self._finished(message.neighbor)

    def removed(self, host: Address) -> None:
        """ExaBGP's configuration has lost it: it will not come."""
        self._absent.discard(host)

    def next_timer(self) -> float | None:
        """Latest time of the next call to `expire`, if no message arrives before."""
        if self.is_over or self._deadline is None:
            return None
        longest = next(iter(self._heard.values()), None)
        return self._deadline if longest is None else min(self._deadline, longest + SILENCE_S)

    def expire(self, now: float) -> None:
        """Stop waiting for silent hosts, and after the deadline for all."""
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
        self._extend(host, now)

    def _extend(self, host: Address, now: float) -> None:
        self._heard[host] = now
        self._heard.move_to_end(host)

    def _finished(self, host: Address) -> None:
        del self._unfinished[host]
        del self._heard[host]
