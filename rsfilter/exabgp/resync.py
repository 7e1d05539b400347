"""What a new process asks ExaBGP before it changes anything.

ExaBGP restarts a dead helper and replays nothing: sessions stay up, routers keep what they were
told, and the new process knows none of it. So it asks, one question after the other: who is up,
what the routers were told, and then every host that is up to repeat its routes (RFC 2918). Only
when they have, an absence proves anything. After a fresh start of ExaBGP the answers are empty
and this is over at once.

Commands that the dead process left in ExaBGP's queue are still answered, and a reply does not say
to what: its answers come to us. So each question begins with a mark: `reset` drops the queue, and
`version` is answered ahead of it with a line that no other command of ours brings. What comes
before that line is not for us; after it, replies can be counted. What `reset` drops is not lost:
the table that ExaBGP shows afterwards lacks it.

Pure: messages come in, command lines and findings come out.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from enum import Enum
from itertools import islice, takewhile
from typing import NamedTuple

from rsfilter.exabgp import encode
from rsfilter.exabgp.capabilities import Established, Shown, shown
from rsfilter.exabgp.messages import Message, Reply, ShowLine
from rsfilter.routing.events import EndOfRib, RefreshMark, SessionDown, SessionUp, Update
from rsfilter.routing.export import BEST_PATH_ID
from rsfilter.routing.model import IPV4, UNICAST, Address, Prefix, RouteKey

ANSWER_SILENCE_S = 30.0
"""A question without a line of its answer for this long is asked again. ExaBGP answers within a
second, and prints 50 lines of a long answer at a time; a minute of anything else in between would
have cost it its sessions."""

REFRESH_SILENCE_S = 10.0
"""A host that has not finished repeating itself, and has said nothing new for this long, is taken
at its word so far. FRR takes 7 s for an empty family, BIRD 3 s; a host without enhanced refresh
(RFC 7313), as ExaBGP is, never says that it has finished. What others say, and what it says for the
second time (healthchecks repeat themselves every few seconds), is not waited for: meanwhile no
change reaches a router."""

REFRESH_AGAIN_S = 5.0
"""What a host has not begun to repeat this long after the question is asked for once more: a reload
of ExaBGP's configuration loses the questions that it has not sent yet. Hosts without enhanced
refresh, which never say that they begin, repeat themselves twice."""

MAX_AGAIN = 200
"""With more questions to be asked again none is: they take ExaBGP up to 0.1 s each. So many are not
lost, but the hosts are of a kind that does not say that it begins."""

REFRESH_LIMIT_S = 120.0
"""However much they talk, once they are asked: 200,000 routes pass through ExaBGP in a third of it.
And for how long ExaBGP may pass on none of the questions."""

MARK = (b"#\n", b"reset\n", b"version\n")
"""The comment spoils what ExaBGP 4.2 glues to our first line: the half line of a dead process."""

MARKED = "exabgp "
"""So begins the answer to `version`, and to nothing else."""


class Inherited(NamedTuple):
    """ExaBGP's table for a router has a path, which a process before us announced."""

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
        self.shown: list[Shown] = []
        """What ExaBGP said of its neighbors."""
        self.problems: Counter[str] = Counter()
        """asked_again, refused, unanswered (questions), unreadable (answers). After all but the
        first of them something may be unknown that a process before us has left."""
        self._routers = frozenset(routers)
        self._questions = [b"show neighbor json\n"]
        self._is_asked = False
        self._marks = 0
        """Marks that are still to come; only after the last one anything is for us."""
        self._has_marked = False
        """Since we asked last. After silence, what came before that mark will not come any more."""
        self._replies = 0
        """Still to come, to the mark itself and to the question."""
        self._hosts: dict[Address, frozenset[int]] = {}
        """Up since before us, with the families that they speak."""
        self._witnessed: set[Address] = set()
        self._unrepeated: set[tuple[Address, str]] = set()
        self._begun: set[tuple[Address, str]] = set()
        """Repetitions that we have heard from their beginning on. The end of any other, and the
        End-of-RIB of a session that had just come up, end what a dead process was told in part."""
        self._deadline: float | None = None
        self._limit = 0.0
        self._silent_at: OrderedDict[Address, float] = OrderedDict()
        """When a host that has not finished will have been silent for too long, the first first."""
        self._said: set[RouteKey] = set()
        """What such hosts have repeated."""
        self._asked: set[tuple[Address, str]] = set()
        """What the questions are about."""
        self._again_at: float | None = None
        """When to ask for the second time."""
        self._is_again = False
        """That has been done."""

    @property
    def is_done(self) -> bool:
        """Until then nobody else may write commands: replies belong to us, and what routers have
        may be right although we cannot know it yet."""
        return self.step is Step.DONE

    def commands(self, now: float) -> list[bytes]:
        """What to ask now."""
        if self._deadline is not None and now >= self._deadline:
            self._expire(now)
        if self._is_asked or self.is_done:
            return []
        self._is_asked = True
        self._marks = 1 if self._has_marked else self._marks + 1
        self._has_marked = False
        self._replies = 0
        if self.step is not Step.REFRESH:
            self._deadline = now + ANSWER_SILENCE_S
        return [*MARK, *self._questions]

    def next_timer(self) -> float | None:
        """When to ask for `commands`, if nothing happens before."""
        return self._deadline

    def _expire(self, now: float) -> None:
        if self.step is not Step.REFRESH:
            self.problems["asked_again"] += 1
            self._is_asked = False
        elif now < self._limit:
            # Hosts that do not say that they have finished are waited for no longer; replies are.
            if self._again_at is not None and now >= self._again_at:
                self._ask_again()
            silent = takewhile(lambda entry: now >= entry[1], self._silent_at.items())
            for host, _ in list(silent):
                del self._silent_at[host]
                self._unrepeated -= {(host, family) for family in UNICAST.values()}
            self._set_deadline()
            self._finish_if_repeated()
        else:
            self.problems["unanswered"] += 1
            self._finish()

    def _set_deadline(self) -> None:
        """Of hosts: the next one to be asked again, or not to be waited for any longer."""
        due = [self._limit, *islice(self._silent_at.values(), 1)]
        if self._again_at is not None:
            due.append(self._again_at)
        self._deadline = min(due)

    def _ask_again(self) -> None:
        self._again_at = None
        self._is_again = True
        unheard = self._unrepeated - self._begun
        if 0 < len(unheard) <= MAX_AGAIN:
            for host, _ in unheard:
                self._silent_at.pop(host, None)  # until the question is passed on
            self._ask(unheard)

    def _ask(self, asked: set[tuple[Address, str]]) -> None:
        """Asks hosts to repeat families."""
        self._asked, self._is_asked = asked, False
        numbers = {family: number for number, family in UNICAST.items()}
        self._questions = [
            encode.request_refresh(host, numbers[family]) for host, family in sorted(asked)
        ]

    def message(self, message: Message, now: float) -> list[Established | Inherited]:
        """Takes part in a message; says what was found out."""
        match message:
            case ShowLine():
                return self._shown(message.text, now)
            case Reply():
                self._replied(message, now)
            case RefreshMark() | EndOfRib() | Update():
                self._heard(message, now)
            case SessionUp() | SessionDown():
                self._started_anew(message.neighbor)
        return []

    def _shown(self, text: str, now: float) -> list[Established | Inherited]:
        if self.step is not Step.REFRESH:
            self._deadline = now + ANSWER_SILENCE_S
        if text.startswith(MARKED):
            self._has_marked = True
            self._marks = max(0, self._marks - 1)
            self._replies = 0 if self._marks else 1 + len(self._questions)
        elif self._replies and self.step is Step.NEIGHBORS:
            return self._neighbors(text)
        elif self._replies and self.step is Step.TOLD:
            return self._told(text)
        return []

    def _replied(self, reply: Reply, now: float) -> None:
        if not self._replies:
            return
        self._replies -= 1
        if not reply.ok and self.step is not Step.REFRESH:
            self.problems["refused"] += 1
        if self.step is Step.REFRESH:
            self._passed_on(now)
        elif not self._replies:
            self._answered(now)

    def _started_anew(self, neighbor: Address) -> None:
        """A session that begins or ends before our eyes has nothing left to tell."""
        self._witnessed.add(neighbor)
        self._hosts.pop(neighbor, None)
        for family in UNICAST.values():
            self._repeated(neighbor, family)

    def _neighbors(self, text: str) -> list[Established | Inherited]:
        try:
            answer = list(shown(text))
        except ValueError:
            self.problems["unreadable"] += 1
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

    def _told(self, text: str) -> list[Established | Inherited]:
        """`ADDRESS AFI SAFI PREFIX [path-information A.B.C.D] next-hop NH`; 4.2 begins it with
        `neighbor`."""
        words = text.removeprefix("neighbor ").split()
        try:
            router, prefix = Address.parse(words[0]), Prefix.parse(words[3])
            has_id = words[4] == "path-information"
            identifier = Address.parse(words[5]) if has_id else Address(IPV4, BEST_PATH_ID)
            if identifier.family != IPV4 or not prefix.is_well_formed:
                raise ValueError(text)  # what ExaBGP could not be told to withdraw
        except (ValueError, IndexError):
            self.problems["unreadable"] += 1
            return []
        return [Inherited(router, prefix, identifier.value)] if router in self._routers else []

    def _answered(self, now: float) -> None:
        """The last reply to a question about ExaBGP itself came: on to the next one."""
        self._is_asked = False
        if self.step is Step.NEIGHBORS:
            self.step = Step.TOLD
            self._questions = [b"show adj-rib out\n"]
            return
        self.step = Step.REFRESH
        self._unrepeated = {
            (h, UNICAST[f]) for h, families in self._hosts.items() for f in families
        }
        self._ask(self._unrepeated.copy())
        self._limit = self._deadline = now + REFRESH_LIMIT_S
        if not self._questions:
            self._finish()

    def _passed_on(self, now: float) -> None:
        """ExaBGP has passed on a question, or all of them: only then a silence says something about
        a host. It looks for each host among all its sessions: minutes, with thousands."""
        self._limit = self._deadline = now + REFRESH_LIMIT_S
        if self._replies:
            return
        for host in sorted({host for host, _ in self._asked & self._unrepeated}):
            self._silent_at[host] = now + REFRESH_SILENCE_S
            self._silent_at.move_to_end(host)
        if not self._is_again:
            self._again_at = now + REFRESH_AGAIN_S
        self._set_deadline()
        self._finish_if_repeated()

    def _heard(self, message: RefreshMark | EndOfRib | Update, now: float) -> None:
        host = message.neighbor
        if host in self._silent_at and self._is_new(message):
            self._silent_at[host] = now + REFRESH_SILENCE_S
            self._silent_at.move_to_end(host)
        if isinstance(message, RefreshMark):
            if not message.is_end:
                self._begun.add((host, message.family))
            elif (host, message.family) in self._begun:
                self._repeated(host, message.family)

    def _is_new(self, message: RefreshMark | EndOfRib | Update) -> bool:
        if not isinstance(message, Update):
            return True
        said = {route.key for route in message.announced}
        is_new = not said <= self._said
        self._said |= said
        return is_new

    def _repeated(self, host: Address, family: str) -> None:
        self._unrepeated.discard((host, family))
        if not any((host, other) in self._unrepeated for other in UNICAST.values()):
            self._silent_at.pop(host, None)
        if self.step is Step.REFRESH:
            self._finish_if_repeated()

    def _finish_if_repeated(self) -> None:
        if not self._unrepeated and self._is_asked and not self._marks and not self._replies:
            self._finish()

    def _finish(self) -> None:
        self.step = Step.DONE
        self._deadline = None
        self._said.clear()
