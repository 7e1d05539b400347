"""State that a new process queries from ExaBGP before it changes anything.

ExaBGP restarts a dead helper and replays nothing: sessions stay up, routers keep their routes, and
the new process knows none of it. So it sends two queries in turn: the sessions, and the routes sent
to routers. Then every host that is up repeats its routes (`repetition`), and only after that does a
missing route prove anything (`inheritance`). After a fresh start of ExaBGP the answers are empty
and the resync ends at once.

ExaBGP still answers commands that the dead process left in its queue, and a reply does not identify
its command: those answers arrive here. So each query begins with a mark: `reset` drops the queue,
and `version` is answered ahead of it with a line that no other command of ours causes. Lines before
it are not for this process; after it, replies can be counted. Commands that `reset` drops are not
lost: the table that ExaBGP shows afterwards lacks them.

Pure: takes messages, returns command lines and findings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from rsfilter.exabgp import dialect_42
from rsfilter.exabgp.capabilities import Established, Shown, shown
from rsfilter.exabgp.messages import Message, Reply, ShowLine
from rsfilter.routing.events import SessionDown, SessionUp
from rsfilter.routing.export import BEST_PATH_ID
from rsfilter.routing.model import IPV4, Address, Prefix

ANSWER_SILENCE_S = 30.0
"""Seconds without a line of its answer after which a query is repeated. ExaBGP answers within a
second, and prints 50 lines of a long answer at a time; a minute of anything else in between would
have cost it its sessions."""

MARK = (dialect_42.SPOILER, b"reset\n", b"version\n")
MARK_AGAIN = (*MARK[:-1], b"system version\n")
"""Mark used after silence. ExaBGP 5.0 treats it the same; series 6 understands only this one."""

MARKED = "exabgp "
"""Beginning of the answer to `version`, and of no other answer."""


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
        self.problems: Counter[str] = Counter()
        """asked_again, refused (questions), unreadable (answers). After all but the first of them
        something may be unknown that a process before us has left."""
        self._routers = frozenset(routers)
        self._questions = [b"show neighbor json\n"]
        self._is_requested = False
        self._marks = 0
        """Marks that are still to come; only after the last one anything is for us."""
        self._has_marked = False
        """True if the mark of the current query was seen. After silence, no earlier line will
        follow."""
        self._replies = 0
        """Still to come, to the mark itself and to the question."""
        self._witnessed: set[Address] = set()
        """Sessions that began or ended before our eyes."""
        self._deadline: float | None = None

    @property
    def is_done(self) -> bool:
        """True at the end. Before that no other part may write commands: replies belong to the
        resync, and the routers' routes may be right although that is not known yet."""
        return self.step is Step.DONE

    def commands(self, now: float) -> list[bytes]:
        """Return the queries to send now."""
        if self._deadline is not None and now >= self._deadline:
            self.problems["asked_again"] += 1
            self._is_requested = False
        if self._is_requested or self.is_done:
            return []
        self._is_requested = True
        self._marks = 1 if self._has_marked else self._marks + 1
        self._has_marked = False
        self._replies = 0
        self._deadline = now + ANSWER_SILENCE_S
        return [*(MARK_AGAIN if self.problems["asked_again"] else MARK), *self._questions]

    def next_timer(self) -> float | None:
        """Time of the next call to `commands`, if no message arrives before."""
        return self._deadline

    def message(self, message: Message, now: float) -> list[Established | Inherited]:
        """Process a message; return the findings."""
        match message:
            case ShowLine():
                return self._shown(message.text, now)
            case Reply():
                self._replied(message)
            case SessionUp() | SessionDown():
                self._witnessed.add(message.neighbor)
        return []

    def _shown(self, text: str, now: float) -> list[Established | Inherited]:
        if not self.is_done:
            self._deadline = now + ANSWER_SILENCE_S
        if text.startswith(MARKED):
            self._has_marked = True
            self._marks = max(0, self._marks - 1)
            self._replies = 0 if self._marks else 1 + len(self._questions)
        elif self._replies and self.step is Step.NEIGHBORS:
            return self._neighbors(text)
        elif self._replies and self.step is Step.LISTING:
            return self._read_path(text)
        return []

    def _replied(self, reply: Reply) -> None:
        if not self._replies:
            return
        self._replies -= 1
        if not reply.ok:
            self.problems["refused"] += 1
        if not self._replies:
            self._answered()

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

    def _answered(self) -> None:
        """The last reply to a question came: on to the next one."""
        self._is_requested = False
        if self.step is Step.NEIGHBORS:
            self.step = Step.LISTING
            self._questions = [b"show adj-rib out\n"]
        else:
            self.step = Step.DONE
            self._deadline = None
