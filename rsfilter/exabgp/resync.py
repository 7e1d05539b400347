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
from rsfilter.exabgp.capabilities import Established, Shown, shown
from rsfilter.exabgp.messages import Message, Reply, ShowLine
from rsfilter.routing.events import EndOfRib, RefreshMark, SessionDown, SessionUp, Update
from rsfilter.routing.export import BEST_PATH_ID
from rsfilter.routing.model import UNICAST, Address, Prefix

REFRESH_SILENCE_S = 10.0
"""When no host has said anything for so long, those that have not finished repeating themselves are
taken at their word so far. BIRD answers within 3 s; a host without enhanced refresh (RFC 7313)
never says that it has finished."""

REFRESH_LIMIT_S = 120.0
"""However much they talk: 200,000 routes pass through ExaBGP in a third of it."""


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
        self.shown: list[Shown] = []
        """What ExaBGP said of its neighbors."""
        self._routers = frozenset(routers)
        self._lines = [b"show neighbor json\n"]
        self._hosts: dict[Address, frozenset[int]] = {}
        """Up since before us, with the families that they speak."""
        self._witnessed: set[Address] = set()
        self._unrepeated: set[tuple[Address, str]] = set()
        self._unanswered = 0
        self._deadline: float | None = None
        self._limit = 0.0

    @property
    def is_done(self) -> bool:
        """Until then nobody else may write commands: replies belong to us, and what routers have
        may be right although we cannot know it yet."""
        return self.step is Step.DONE

    def commands(self) -> list[bytes]:
        """What to ask now."""
        lines, self._lines = self._lines, []
        return lines

    def next_timer(self) -> float | None:
        """When `expire` should be called."""
        return self._deadline

    def expire(self, now: float) -> None:
        """Stops waiting for hosts that do not say that they have finished. Replies must come."""
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._unrepeated.clear()
            self._finish_if_repeated()

    def message(self, message: Message, now: float) -> list[Established | Told]:
        """Takes part in a message; says what was found out."""
        match message:
            case ShowLine() if self.step is Step.NEIGHBORS:
                return self._neighbors(message.text)
            case ShowLine() if self.step is Step.TOLD:
                return self._told(message.text)
            case Reply():
                self.is_complete &= message.ok or self.step is Step.REFRESH
                self._answered(now)
            case RefreshMark() | EndOfRib() | Update():
                self._heard(message, now)
            case SessionUp() | SessionDown():
                self._started_anew(message.neighbor)
        return []

    def _started_anew(self, neighbor: Address) -> None:
        """A session that begins or ends before our eyes has nothing left to tell."""
        self._witnessed.add(neighbor)
        self._hosts.pop(neighbor, None)
        for family in UNICAST.values():
            self._repeated(neighbor, family)

    def _neighbors(self, text: str) -> list[Established | Told]:
        try:
            answer = list(shown(text))
        except ValueError:
            self.is_complete = False
            return []
        unseen = [
            entry.session
            for entry in answer
            if entry.session is not None and entry.neighbor not in self._witnessed
        ]
        self.shown = answer
        self._hosts.update(
            (s.neighbor, s.opened.families) for s in unseen if s.neighbor not in self._routers
        )
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
            asked = [(host, f) for host in sorted(self._hosts) for f in sorted(self._hosts[host])]
            self._lines = [encode.request_refresh(host, family) for host, family in asked]
            self._unrepeated = {(host, UNICAST[family]) for host, family in asked}
            self._unanswered = len(self._lines)
            self._deadline = now + REFRESH_SILENCE_S
            self._limit = now + REFRESH_LIMIT_S
            self._finish_if_repeated()
        elif self.step is Step.REFRESH:
            self._unanswered -= 1
            self._finish_if_repeated()

    def _heard(self, message: RefreshMark | EndOfRib | Update, now: float) -> None:
        if self._deadline is not None:
            self._deadline = min(now + REFRESH_SILENCE_S, self._limit)
        if isinstance(message, EndOfRib) or (isinstance(message, RefreshMark) and message.is_end):
            self._repeated(message.neighbor, message.family)

    def _repeated(self, host: Address, family: str) -> None:
        self._unrepeated.discard((host, family))
        if self.step is Step.REFRESH:
            self._finish_if_repeated()

    def _finish_if_repeated(self) -> None:
        if not self._unrepeated and not self._unanswered:
            self.step = Step.DONE
            self._deadline = None
