"""What a new process asks ExaBGP before it changes anything.

ExaBGP restarts a dead helper and replays nothing: sessions stay up, routers keep what they were
told, and the new process knows none of it. So it asks, one question after the other: who is up,
what the routers were told, and then every host that is up to repeat its routes (RFC 2918). Only
when they have, an absence proves anything. After a fresh start of ExaBGP the answers are empty
and this is over at once.

Pure: messages come in, command lines and findings come out.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from rsfilter.exabgp import encode
from rsfilter.exabgp.capabilities import Established, established
from rsfilter.exabgp.messages import Message, Reply, ShowLine
from rsfilter.routing.events import EndOfRib, RefreshMark, SessionDown, SessionUp
from rsfilter.routing.export import BEST_PATH_ID
from rsfilter.routing.model import IPV4, IPV6, UNICAST, Address, Prefix

REFRESH_TIMEOUT_S = 10.0
"""A host that has not repeated itself by then is taken at its word so far. BIRD answers within
3 s; a host without enhanced refresh (RFC 7313) never says that it has finished."""


class Told(NamedTuple):
    """ExaBGP's table for a router has a route."""

    router: Address
    prefix: Prefix
    path_id: int


class Step(Enum):
    """Which question is open."""

    NEIGHBORS = "who is up"
    TOLD = "what routers were told"
    REFRESH = "hosts repeat themselves"
    DONE = "done"


class Resync:
    """Asks ExaBGP for what a process before this one has left."""

    def __init__(self, routers: Iterable[Address]) -> None:
        self.step = Step.NEIGHBORS
        self.is_complete = True
        """False: ExaBGP did not understand a question or an answer was unreadable."""
        self._routers = frozenset(routers)
        self._lines = [b"show neighbor json\n"]
        self._hosts: set[Address] = set()
        self._witnessed: set[Address] = set()
        self._unrepeated: set[tuple[Address, str]] = set()
        self._unanswered = 0
        self._deadline: float | None = None

    @property
    def is_asking(self) -> bool:
        """ExaBGP's replies belong to us: nobody else may write commands."""
        return self.step in (Step.NEIGHBORS, Step.TOLD) or self._unanswered > 0

    def commands(self) -> list[bytes]:
        """What to ask now."""
        lines, self._lines = self._lines, []
        return lines

    def next_timer(self) -> float | None:
        """When `expire` should be called."""
        return self._deadline

    def expire(self, now: float) -> None:
        """Stops waiting for hosts that do not say that they have finished."""
        if self._deadline is not None and now >= self._deadline:
            self._finish()

    def message(self, message: Message, now: float) -> list[Established | Told]:
        """Takes part in a message; says what was found out."""
        match message:
            case ShowLine() if self.step is Step.NEIGHBORS:
                return self._neighbors(message.text)
            case ShowLine() if self.step is Step.TOLD:
                return self._told(message.text)
            case Reply() if self.is_asking:
                self.is_complete &= message.ok or self.step is Step.REFRESH
                self._answered(now)
            case RefreshMark() if message.is_end:
                self._repeated(message.neighbor, message.family)
            case EndOfRib():
                self._repeated(message.neighbor, message.family)
            case SessionUp() | SessionDown():
                self._started_anew(message.neighbor)
        return []

    def _started_anew(self, neighbor: Address) -> None:
        """A session that begins or ends before our eyes has nothing left to tell."""
        self._witnessed.add(neighbor)
        self._hosts.discard(neighbor)
        for family in UNICAST.values():
            self._repeated(neighbor, family)

    def _neighbors(self, text: str) -> list[Established | Told]:
        try:
            found = list(established(text))
        except ValueError:
            self.is_complete = False
            return []
        unseen = [session for session in found if session.neighbor not in self._witnessed]
        self._hosts.update(s.neighbor for s in unseen if s.neighbor not in self._routers)
        return list(unseen)

    def _told(self, text: str) -> list[Established | Told]:
        """`ADDRESS AFI SAFI PREFIX [path-information A.B.C.D] next-hop NH`; 4.2 begins it with
        `neighbor`."""
        words = text.removeprefix("neighbor ").split()
        try:
            router, prefix = Address.parse(words[0]), Prefix.parse(words[3])
            has_id = words[4] == "path-information"
            path_id = Address.parse(words[5]).value if has_id else BEST_PATH_ID
        except (ValueError, IndexError):
            self.is_complete = False
            return []
        return [Told(router, prefix, path_id)] if router in self._routers else []

    def _answered(self, now: float) -> None:
        if self.step is Step.NEIGHBORS:
            self.step = Step.TOLD
            self._lines = [b"show adj-rib out\n"]
        elif self.step is Step.TOLD:
            self.step = Step.REFRESH
            hosts = sorted(self._hosts)
            families = (IPV4, IPV6)
            self._lines = [encode.request_refresh(host, f) for host in hosts for f in families]
            self._unrepeated = {(host, UNICAST[f]) for host in hosts for f in families}
            self._unanswered = len(self._lines)
            self._deadline = now + REFRESH_TIMEOUT_S
            self._finish_if_repeated()
        else:
            self._unanswered -= 1
            self._finish_if_repeated()

    def _repeated(self, host: Address, family: str) -> None:
        self._unrepeated.discard((host, family))
        if self.step is Step.REFRESH:
            self._finish_if_repeated()

    def _finish_if_repeated(self) -> None:
        if not self._unrepeated and not self._unanswered:
            self._finish()

    def _finish(self) -> None:
        self.step = Step.DONE
        self._unanswered = 0
        self._deadline = None
