"""Prefixes of one router whose changes are due, under way or in doubt: where each one stands.

    urgent       to check; the router has it, or may have it
    fresh        to check; the router does not have it
                 -> issued if it has changed, else none of these
    issued       changed since the last barrier was written
                 -> confirming, when the next barrier is written
    confirming   changed before the barrier that is under way
                 -> none of these, when the barrier has passed
    blocked      to check after the next barrier, beside issued, confirming or doubtful
                 -> urgent or fresh, when the barrier has passed
    doubtful     the router may or may not have some paths of it
                 -> issued, when it is sent again

Pure: `router` moves them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterable, Mapping

from rsfilter.exabgp.changes import PathIds, Sent
from rsfilter.routing.model import Prefix

NO_IDS: PathIds = frozenset()


class Pending:
    """Prefixes by where they stand."""

    __slots__ = ("_announced", "blocked", "confirming", "doubtful", "fresh", "issued", "urgent")

    def __init__(self, announced: Mapping[Prefix, Sent]) -> None:
        """`announced`: the prefixes that the router has."""
        self._announced = announced
        # Ordered: a plain dict finds its first key slowly after many removals at the front.
        self.urgent: OrderedDict[Prefix, None] = OrderedDict()
        self.fresh: OrderedDict[Prefix, None] = OrderedDict()
        self.blocked: dict[Prefix, None] = {}
        self.issued: dict[Prefix, PathIds] = {}
        """Path ids touched."""
        self.confirming: dict[Prefix, PathIds] = {}
        """Path ids touched."""
        self.doubtful: dict[Prefix, PathIds] = {}
        """Path ids in doubt."""

    @property
    def is_marked(self) -> bool:
        """Return whether there are prefixes to check, now or after the next barrier."""
        return bool(self.urgent or self.fresh or self.blocked)

    @property
    def unconfirmed(self) -> int:
        """Prefixes with a change that no barrier has confirmed."""
        return len(self.issued) + len(self.confirming)

    def is_under_way(self, prefix: Prefix) -> bool:
        """Return whether a change of the prefix is not confirmed."""
        return prefix in self.issued or prefix in self.confirming

    def mark(self, prefixes: Iterable[Prefix], desired: Container[Prefix] | None = None) -> None:
        """See `RouterState.mark`."""
        announced, fresh = self._announced, self.fresh
        issued, confirming, doubtful = self.issued, self.confirming, self.doubtful
        for prefix in prefixes:
            if prefix in issued or prefix in confirming or prefix in doubtful:
                self.blocked[prefix] = None
            elif prefix in announced:
                self.urgent[prefix] = None
            elif desired is None or prefix in desired:
                fresh[prefix] = None
            else:
                fresh.pop(prefix, None)

    def unblock(self, prefix: Prefix) -> None:
        """Mark a prefix that waited for a barrier, which has passed."""
        if prefix in self.doubtful and not self.is_under_way(prefix):
            self.urgent[prefix] = None
        else:
            self.mark([prefix])

    def doubt(self, prefix: Prefix, path_ids: PathIds) -> None:
        """Record that the router may or may not have these paths."""
        self.doubtful[prefix] = self.doubtful.get(prefix, NO_IDS) | path_ids
        self.blocked[prefix] = None

    def doubt_changes(self) -> None:
        """Record that any change under way may have failed."""
        for under_way in (self.confirming, self.issued):
            for prefix, path_ids in under_way.items():
                self.doubt(prefix, path_ids)
            under_way.clear()

    def barrier_written(self) -> None:
        """Changes from here on wait for the next barrier."""
        self.confirming, self.issued = self.issued, {}

    def barrier_passed(self) -> dict[Prefix, None]:
        """Confirm the changes before the barrier; return the prefixes that waited for it."""
        self.confirming.clear()
        blocked, self.blocked = self.blocked, {}
        return blocked

    def forget_marks(self) -> None:
        """Forget what is to be checked."""
        for queue in (self.urgent, self.fresh, self.blocked):
            queue.clear()
