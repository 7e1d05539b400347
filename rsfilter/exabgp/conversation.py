"""Queries to ExaBGP, one at a time, and which of its lines answer them.

ExaBGP still answers commands that a dead process left in its queue, and a reply does not identify
its command: those answers arrive here. So each query begins with a mark: `reset` drops the queue,
and `version` is answered ahead of it with a line that no other command of ours causes. Lines before
it are not for this process; after it, replies can be counted. Commands that `reset` drops are not
lost: the table that ExaBGP shows afterwards lacks them.

Pure: takes lines and replies, returns command lines.
"""

from __future__ import annotations

from collections import Counter

from rsfilter.exabgp import dialect_42

ANSWER_SILENCE_S = 30.0
"""Seconds without a line of its answer after which a query is repeated. ExaBGP answers within a
second, and prints 50 lines of a long answer at a time; a minute of anything else in between would
have cost it its sessions."""

MARK = (dialect_42.SPOILER, b"reset\n", b"version\n")
MARK_AGAIN = (*MARK[:-1], b"system version\n")
"""Mark used after silence. ExaBGP 5.0 treats it the same; series 6 understands only this one."""

MARKED = "exabgp "
"""Beginning of the answer to `version`, and of no other answer."""

REPLIES = 2
"""Replies after the mark's answer: to the mark itself and to the query."""


class Conversation:
    """The current query, sent again as long as ExaBGP is silent."""

    def __init__(self, query: bytes) -> None:
        self.problems: Counter[str] = Counter()
        """repeated, refused (queries)."""
        self._query: bytes | None = query
        """Current query; None at the end."""
        self._is_sent = False
        self._marks = 0
        """Marks that are still to come; only after the last one anything is for us."""
        self._has_marked = False
        """True if the mark of the current query was seen. After silence, no earlier line will
        follow."""
        self._replies = 0
        """Still to come."""
        self._deadline: float | None = None

    def begin(self, query: bytes) -> None:
        """Send another query next."""
        self._query, self._is_sent = query, False

    def end(self) -> None:
        """Send no further query."""
        self._query = self._deadline = None

    def commands(self, now: float) -> list[bytes]:
        """Return the commands to send now."""
        if self._query is None:
            return []
        if self._deadline is not None and now >= self._deadline:
            self.problems["repeated"] += 1
            self._is_sent = False
        if self._is_sent:
            return []
        self._is_sent = True
        self._marks = 1 if self._has_marked else self._marks + 1
        self._has_marked = False
        self._replies = 0
        self._deadline = now + ANSWER_SILENCE_S
        return [*(MARK_AGAIN if self.problems["repeated"] else MARK), self._query]

    def next_timer(self) -> float | None:
        """Time of the next call to `commands`, if ExaBGP writes nothing before."""
        return self._deadline

    def is_answer(self, text: str, now: float) -> bool:
        """Take a line that ExaBGP shows; return whether it belongs to the query's answer."""
        if self._query is None:
            return False
        self._deadline = now + ANSWER_SILENCE_S
        if text.startswith(MARKED):
            self._has_marked = True
            self._marks = max(0, self._marks - 1)
            self._replies = 0 if self._marks else REPLIES
            return False
        return self._replies > 0

    def is_answered(self, *, ok: bool) -> bool:
        """Take a reply; return whether it is the last one to the query."""
        if not self._replies:
            return False
        self._replies -= 1
        if not ok:
            self.problems["refused"] += 1
        return not self._replies
