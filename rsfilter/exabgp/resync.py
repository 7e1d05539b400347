"""State that a new process queries from ExaBGP before it changes anything.

ExaBGP restarts a dead helper and replays nothing: sessions stay up, routers keep their routes, and
the new process knows none of it. So it sends two queries in turn: the sessions, and the routes sent
to routers. Then every host that is up repeats its routes (`repetition`), and only after that does a
missing route prove anything (`inheritance`). After a fresh start of ExaBGP the answers are empty
and the resync ends at once. `conversation` has the queries, and which lines answer them.

Pure: takes messages, returns command lines and findings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from rsfilter.exabgp import dialect_42
from rsfilter.exabgp.capabilities import Established, Shown, shown
from rsfilter.exabgp.conversation import Conversation
from rsfilter.exabgp.messages import Message, Reply, ShowLine
from rsfilter.routing.events import SessionDown, SessionUp
from rsfilter.routing.export import BEST_PATH_ID
from rsfilter.routing.model import IPV4, Address, Prefix


class Inherited(NamedTuple):
    """ExaBGP's table for a router has a path, which a process before us announced."""

    router: Address
    prefix: Prefix
    path_id: int
    next_hop: Address


class Step(Enum):
    """The current query."""

    NEIGHBORS = "sessions"
    LISTING = "the routes of routers"
    DONE = "done"


class Resync:
    """Queries ExaBGP for the state that an earlier process left."""

    def __init__(self, routers: Iterable[Address]) -> None:
        self.step = Step.NEIGHBORS
        self.shown: list[Shown] = []
        """Neighbors reported by ExaBGP."""
        self._routers = frozenset(routers)
        self._conversation = Conversation(b"show neighbor json\n")
        self._witnessed: set[Address] = set()
        """Sessions that began or ended before our eyes."""

    @property
    def problems(self) -> Counter[str]:
        """repeated, refused (queries), unreadable (answers). After all but the first of them
        something may be unknown that a process before us has left."""
        return self._conversation.problems

    @property
    def is_done(self) -> bool:
        """True at the end. Before that no other part may write commands: replies belong to the
        resync, and the routers' routes may be right although that is not known yet."""
        return self.step is Step.DONE

    def commands(self, now: float) -> list[bytes]:
        """Return the queries to send now."""
        return self._conversation.commands(now)

    def next_timer(self) -> float | None:
        """Time of the next call to `commands`, if no message arrives before."""
        return self._conversation.next_timer()

    def message(self, message: Message, now: float) -> list[Established | Inherited]:
        """Process a message; return the findings."""
        match message:
            case ShowLine():
                if self._conversation.is_answer(message.text, now):
                    return self._read(message.text)
            case Reply():
                if self._conversation.is_answered(ok=message.ok):
                    self._go_on()
            case SessionUp() | SessionDown():
                self._witnessed.add(message.neighbor)
        return []

    def _read(self, text: str) -> list[Established | Inherited]:
        return self._neighbors(text) if self.step is Step.NEIGHBORS else self._read_path(text)

    def _go_on(self) -> None:
        """Go on to the next query, once the last reply to one has come."""
        if self.step is Step.NEIGHBORS:
            self.step = Step.LISTING
            self._conversation.begin(b"show adj-rib out\n")
        else:
            self.step = Step.DONE
            self._conversation.end()

    def _neighbors(self, text: str) -> list[Established | Inherited]:
        try:
            answer = list(shown(text))
        except ValueError:
            self.problems["unreadable"] += 1
            return []
        self.shown = answer
        return [
            entry.session
            for entry in answer
            if entry.session is not None and entry.neighbor not in self._witnessed
        ]

    def _read_path(self, text: str) -> list[Established | Inherited]:
        """`ADDRESS AFI SAFI PREFIX [path-information A.B.C.D] next-hop NH`."""
        words = dialect_42.route(text).split()
        try:
            router, prefix = Address.parse(words[0]), Prefix.parse(words[3])
            has_id = words[4] == "path-information"
            identifier = Address.parse(words[5]) if has_id else Address(IPV4, BEST_PATH_ID)
            next_hop = Address.parse(words[words.index("next-hop") + 1])
            if identifier.family != IPV4 or not prefix.is_well_formed:
                raise ValueError(text)  # a path that ExaBGP could not be commanded to withdraw
        except (ValueError, IndexError):
            self.problems["unreadable"] += 1
            return []
        if router not in self._routers:
            return []
        return [Inherited(router, prefix, identifier.value, next_hop)]
