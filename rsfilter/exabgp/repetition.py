"""Repetition of hosts' routes: how it is requested, and when it has finished.

After a restart of rsfilter every host that was up has to repeat its routes; also a host whose
routes were dropped for lack of room, once there is room (`routing.overflow`). A host that offered
route refresh (RFC 2918) gets a request. Any other host would answer with a NOTIFICATION, so its
session is restarted instead. So is that of a host which offered the capability and does not answer
(OpenBGPD 7.7), although routers have routes of it.

Each host has its own time, and has finished at

- the end of a repetition that was observed from its beginning on (RFC 7313). The end of any other,
  and an End-of-RIB of an older session, ends a sequence that a dead process received in part;
- End-of-RIB of every family of its session (RFC 4724), once its session has been restarted, unless
  routers have more of it: ExaBGP with `adj-rib-out false` sends End-of-RIB at once, and its routes
  with the next health check;
- silence, because a speaker without these never signals the end;
- the loss of its session, unless that is the restart.

An unfinished host delays only routes that this host may announce (`inheritance`).

Pure: takes messages and the time, returns hosts to request from and hosts that have finished.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from rsfilter.exabgp.messages import Message, Opened
from rsfilter.routing.events import EndOfRib, RefreshMark, SessionDown, SessionUp
from rsfilter.routing.model import UNICAST, Address

SILENCE_S = 10.0
"""Seconds without news after which an unfinished host counts as finished. FRR takes 7 s for an
empty family, BIRD 3 s. A repeated announcement (healthchecks repeat every few seconds) is not
news."""

AGAIN_S = 5.0
"""Seconds after which a request is repeated if the host has not begun to repeat its routes: a
reload of ExaBGP's configuration loses unsent requests. Hosts without enhanced refresh, which never
signal the beginning, repeat their routes twice."""

MAX_AGAIN = 200
"""Repeated requests, at most. With more, the hosts are of a kind that does not signal the
beginning."""

LIMIT_S = 120.0
"""However much it talks, and however long it stays away when its session is restarted. BGP speakers
connect again after a minute at the latest; 200,000 routes pass through ExaBGP in a third of it."""

REQUESTS_AT_ONCE = 10
"""Requests that ExaBGP has not replied to: with thousands of sessions each takes it up to 0.1 s,
and changes of routes wait meanwhile."""

RESTARTS_AT_ONCE = 10
RESTARTS_EVERY_S = 1.0
"""Seconds between two groups of session restarts: ExaBGP takes some 40 ms to open a session."""

RESTART_AGAIN_S = 600.0
"""Seconds between two restarts of one session: a host that announces too much again and again must
not keep the filter busy."""

_NUMBERS = {name: number for number, name in UNICAST.items()}


class Stage(Enum):
    """Progress of a host."""

    WAITING = "waiting"
    """No request was sent yet."""
    REQUESTED = "asked"
    RESTARTING = "restarting"
    """Its session is to end, or has ended, and is to come back."""
    BACK = "back"
    """Its session has come back."""


@dataclass(slots=True)
class _Host:
    """A host that has not finished."""

    opened: Opened
    unrepeated: set[str]
    """Families."""
    begun: set[str] = field(default_factory=set)
    """Families in which it has begun to repeat itself before our eyes."""
    stage: Stage = Stage.WAITING
    requests: int = 0
    """Requests without a reply of ExaBGP."""
    is_again: bool = False
    """True if the second request was sent, or is not needed."""
    again_at: float = float("inf")
    silent_at: float = float("inf")
    ends_at: float = float("inf")

    @property
    def has_ended(self) -> bool:
        """Return whether it has sent End-of-RIB of every family since its session was restarted."""
        return self.stage is Stage.BACK and not self.unrepeated

    @property
    def due(self) -> float:
        """Time of the next check."""
        return min(self.again_at, self.silent_at, self.ends_at)


class Repetition:
    """Hosts that still have to repeat their routes."""

    def __init__(self) -> None:
        self.hosts: dict[Address, _Host] = {}
        """Unfinished hosts."""
        self.has_begun = False
        self.finished: list[Address] = []
        """Hosts that have finished. The reader empties it."""
        self.restarting: set[Address] = set()
        """Unfinished hosts whose sessions were restarted."""
        self._ended: list[Address] = []
        """Hosts to check, because they have sent an End-of-RIB in a session that was restarted."""
        self._early: set[tuple[Address, str]] = set()
        """Repetitions that have begun before it was known who is up."""
        self._offers: dict[Address, Opened] = {}
        """Last OPEN of every host, if one was seen."""
        self._to_request: deque[tuple[Address, str]] = deque()
        self._requested = 0
        self._agains = 0
        self._to_restart: deque[Address] = deque()
        self._restarts_at = float("-inf")
        """Time at which the next sessions may be restarted."""
        self._restarted_at: dict[Address, float] = {}
        self._later: dict[Address, float] = {}
        """Hosts whose session is to be restarted, but not yet."""
        self._due: list[tuple[float, Address]] = []
        """A heap: no host is due before its first entry."""

    @property
    def is_over(self) -> bool:
        """Every host has finished."""
        return self.has_begun and not self.hosts

    # What happens ------------------------------------------------------------------------------

    def expect(self, opened: Opened) -> None:
        """A host is up since before this process, and has to repeat itself."""
        families = {UNICAST[family] for family in opened.families}
        self._offers[opened.neighbor] = opened
        self._restarted_at.pop(opened.neighbor, None)
        begun = {family for family in families if (opened.neighbor, family) in self._early}
        if families:
            self.hosts[opened.neighbor] = _Host(opened, families, begun)

    def expect_return(self, address: Address, now: float) -> None:
        """A process before this one has restarted the session of a host."""
        host = self.hosts[address] = _Host(Opened(address, frozenset(UNICAST), frozenset()), set())
        host.stage, host.ends_at = Stage.RESTARTING, now + LIMIT_S
        self.restarting.add(address)
        self._restarted_at[address] = now
        self._schedule(address, host)

    def begin(self) -> None:
        """Begin the requests: all expected hosts are known."""
        self.has_begun = True
        self._early.clear()
        for address, host in self.hosts.items():
            if host.stage is Stage.WAITING:
                self._start(address, host)

    def repeat(self, address: Address, family: str, now: float) -> None:
        """Request a host's routes of a family, of which some were dropped for lack of room."""
        offers = self._offers.get(address)
        if offers is not None and offers.offers_refresh:
            self._to_request.append((address, family))
        elif address not in self.hosts:
            last = self._restarted_at.get(address, float("-inf"))
            self._later[address] = max(now, last + RESTART_AGAIN_S)

    def message(self, message: Message, now: float) -> None:
        """Process a message of a host, or about its session."""
        match message:
            case Opened():
                self._offers[message.neighbor] = message
            case RefreshMark():
                self._mark(message, now)
            case EndOfRib():
                self._end_of_rib(message, now)
            case SessionUp():
                self._up(message.neighbor, now)
            case SessionDown():
                self._down(message)

    def heard(self, address: Address, now: float) -> None:
        """A host has announced something that it had not announced so far."""
        host = self.hosts.get(address)
        if host is not None and host.silent_at < float("inf"):
            host.silent_at = now + SILENCE_S

    def passed_on(self, address: Address, now: float) -> None:
        """Record ExaBGP's reply to a request: only from now on is silence significant."""
        self._requested = max(0, self._requested - 1)
        host = self.hosts.get(address)
        if host is None or not host.requests:
            return
        host.requests -= 1
        if host.requests == 0 and host.stage is Stage.REQUESTED:
            host.silent_at, host.ends_at = now + SILENCE_S, now + LIMIT_S
            host.again_at = float("inf") if host.is_again else now + AGAIN_S
            self._schedule(address, host)

    def _mark(self, mark: RefreshMark, now: float) -> None:
        host = self.hosts.get(mark.neighbor)
        if host is None:
            if not self.has_begun and not mark.is_end:
                self._early.add((mark.neighbor, mark.family))
            return
        self.heard(mark.neighbor, now)
        if not mark.is_end:
            host.begun.add(mark.family)
        elif mark.family in host.begun:
            self._repeated(mark.neighbor, host, mark.family)

    def _end_of_rib(self, end: EndOfRib, now: float) -> None:
        if host := self.hosts.get(end.neighbor):
            self.heard(end.neighbor, now)
            if host.stage is Stage.BACK:
                host.unrepeated.discard(end.family)
                self._ended.append(end.neighbor)

    def _up(self, address: Address, now: float) -> None:
        host = self.hosts.get(address)
        if host is None:
            return
        host.opened = self._offers.get(address, host.opened)
        host.unrepeated = {UNICAST[family] for family in host.opened.families}
        host.stage, host.again_at = Stage.BACK, float("inf")
        host.silent_at, host.ends_at = now + SILENCE_S, now + LIMIT_S
        self._schedule(address, host)

    def _down(self, down: SessionDown) -> None:
        address = down.neighbor
        self._later.pop(address, None)
        host = self.hosts.get(address)
        if host is None:
            return
        is_ours = host.stage in (Stage.RESTARTING, Stage.BACK)
        if is_ours and not down.administrative and address in self.restarting:
            host.stage, host.silent_at = Stage.RESTARTING, float("inf")
        else:
            self._finish(address)

    # What follows ------------------------------------------------------------------------------

    def requests(self) -> list[tuple[Address, int]]:
        """Hosts to be requested now to repeat a family (RFC 2918)."""
        found = []
        while self._to_request and self._requested < REQUESTS_AT_ONCE:
            self._requested += 1
            address, family = self._to_request.popleft()
            found.append((address, _NUMBERS[family]))
        return found

    def restarts(self, now: float) -> list[Address]:
        """Hosts whose sessions are to be restarted now."""
        for address, at in list(self._later.items()):
            if now >= at:
                del self._later[address]
                self._expect_restart(address)
        if now < self._restarts_at or not self._to_restart:
            return []
        self._restarts_at = now + RESTARTS_EVERY_S
        found: list[Address] = []
        while self._to_restart and len(found) < RESTARTS_AT_ONCE:
            address = self._to_restart.popleft()
            if host := self.hosts.get(address):
                found.append(address)
                self._restarted_at[address] = now
                self.restarting.add(address)
                host.ends_at = now + LIMIT_S
                self._schedule(address, host)
        return found

    def expire(self, now: float, owes: Callable[[Address], bool]) -> None:
        """Act on ends and on silence. `owes`: whether something of a host may be missing."""
        ended, self._ended = self._ended, []
        for address in ended:
            host = self.hosts.get(address)
            if host and host.has_ended and not owes(address):
                self._finish(address)
        while self._due and now >= self._due[0][0]:
            _, address = heapq.heappop(self._due)
            host = self.hosts.get(address)
            if host is None:
                continue
            if now < host.due:
                self._schedule(address, host)
            elif now >= host.ends_at:
                self._finish(address)
            elif now >= host.silent_at:
                self._silent(address, host, owes)
            else:
                self._request_again(address, host)

    def next_timer(self) -> float | None:
        """Time of the next check, if no event occurs before."""
        due = [at for at, _ in self._due[:1]]
        if self._to_restart:
            due.append(self._restarts_at)
        return min([*due, *self._later.values()], default=None)

    def _start(self, address: Address, host: _Host) -> None:
        if host.opened.offers_refresh:
            host.stage = Stage.REQUESTED
            self._request(address, host, host.unrepeated)
        else:
            self._restart(address, host)

    def _request(self, address: Address, host: _Host, families: Iterable[str]) -> None:
        requests = [(address, family) for family in sorted(families)]
        host.requests += len(requests)
        host.again_at = host.silent_at = host.ends_at = float("inf")  # until it is passed on
        self._to_request += requests

    def _restart(self, address: Address, host: _Host) -> None:
        host.stage = Stage.RESTARTING
        host.again_at = host.silent_at = host.ends_at = float("inf")
        self._to_restart.append(address)

    def _expect_restart(self, address: Address) -> None:
        if address not in self.hosts:
            opened = self._offers.get(address) or Opened(address, frozenset(UNICAST), frozenset())
            self.hosts[address] = host = _Host(opened, set())
            self._restart(address, host)

    def _request_again(self, address: Address, host: _Host) -> None:
        """Request again: ExaBGP may have lost a request that the host has not begun to answer."""
        host.again_at, host.is_again = float("inf"), True
        unheard = host.unrepeated - host.begun
        if unheard and self._agains + len(unheard) <= MAX_AGAIN:
            self._agains += len(unheard)
            self._request(address, host, unheard)
        else:
            self._schedule(address, host)

    def _silent(self, address: Address, host: _Host, owes: Callable[[Address], bool]) -> None:
        if address in self._restarted_at or not owes(address):
            self._finish(address)
        else:
            self._restart(address, host)

    def _repeated(self, address: Address, host: _Host, family: str) -> None:
        host.unrepeated.discard(family)
        if not host.unrepeated:
            self._finish(address)

    def _finish(self, address: Address) -> None:
        del self.hosts[address]
        self.restarting.discard(address)
        self.finished.append(address)

    def _schedule(self, address: Address, host: _Host) -> None:
        heapq.heappush(self._due, (host.due, address))
