"""Heartbeats: how this instance is, whether the others are there, and where they differ from it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rsfilter.fleet.compare import Comparer, is_young
from rsfilter.fleet.database import Database, DatabaseError
from rsfilter.fleet.ledger import Ledger
from rsfilter.fleet.messages import PeerReport, Settings, ShippingReport
from rsfilter.fleet.sightings import seen_here
from rsfilter.fleet.state import MAX_ABSENT, GroupState, Heartbeat, Peer, RouteDifference
from rsfilter.fleet.tail import StartTail
from rsfilter.routing.groups import HostGroup, HostGroups
from rsfilter.routing.model import Address, Prefix

log = logging.getLogger(__name__)

TURN_S = 1.0
"""Seconds between two checks of the log."""

RECORDS_AT_ONCE = 20_000
"""Records that are folded in one turn: some 0.2 s."""

HURRY_S = 3
"""Seconds between two heartbeats while instances differ."""

HURRIES = 6
"""Quick heartbeats in a row: with steady churn some bucket always differs for a moment."""


class View(NamedTuple):
    """Findings of the last heartbeat."""

    peers: list[PeerReport]
    differing: int
    differences: list[RouteDifference]


NO_VIEW = View([], 0, [])


class BeatLoop:
    """Sends heartbeats without end, in a thread. `shipping` returns the progress of shipping."""

    def __init__(
        self, settings: Settings, database: Database, shipping: Callable[[], ShippingReport]
    ) -> None:
        self.view = NO_VIEW
        self._settings = settings
        self._database = database
        self._shipping = shipping
        self._tail = StartTail(Path(settings.directory))
        self._ledger: Ledger | None = None
        self._is_found = False
        """The start of this filter has been found in its log."""
        self._is_caught_up = False
        self._beat_at = 0.0
        self._hurries = 0
        self._failure = ""

    def run(self, ending: threading.Event) -> None:
        """Beat until `ending`."""
        while not ending.wait(0.0 if self._is_behind else TURN_S):
            try:
                self.turn(time.monotonic())
                self._failure = ""
            except (DatabaseError, OSError) as error:
                self.view = NO_VIEW
                self._beat_at = time.monotonic() + self._settings.heartbeat
                if str(error) != self._failure:
                    log.warning("fleet: no heartbeat: %s", error)
                self._failure = str(error)

    @property
    def _is_behind(self) -> bool:
        return self._is_found and not self._is_caught_up

    def turn(self, now: float) -> None:
        """Fold what has come, and beat if it is time. Raises DatabaseError and OSError."""
        if self._ledger is None:
            self._comparer, self._ledger = self._begin()
        if not self._is_found:
            self._is_found = self._tail.find(self._settings.started)
        count = 0
        for record in islice(self._tail.records(), RECORDS_AT_ONCE):
            self._ledger.apply(record, now)
            count += 1
        if count < RECORDS_AT_ONCE and self._is_found:
            self._is_caught_up = True
        self._ledger.settle(now)
        if now >= self._beat_at:
            self._beat(self._ledger, now)

    def _begin(self) -> tuple[Comparer, Ledger]:
        key = self._database.key()
        groups = HostGroups(
            HostGroup(group.id, tuple(map(Prefix.parse, group.networks)))
            for group in self._settings.groups
        )

        @lru_cache(maxsize=1 << 16)
        def group_of(neighbor: str) -> str:
            try:
                group = groups(Address.parse(neighbor))
            except ValueError:  # a damaged log: `verify` names the line
                return ""
            return group.name if group else ""

        ledger = Ledger(key, group_of)
        return Comparer(ledger), ledger

    def _beat(self, ledger: Ledger, now: float) -> None:
        is_detailed = self._comparer.is_differing
        peers = self._database.peers(is_detailed=is_detailed)
        own = self._database.instance
        others = [peer for peer in peers if peer.instance != own]
        state = self._state(ledger, others, now)
        detail = self._comparer.round(state, others, now)
        self._database.beat(state, detail)
        found = [Peer(own, 0.0, state, None), *others]
        self.view = View(
            sorted(map(_report, found), key=lambda report: report.instance),
            detail.differing if detail else 0,
            detail.differences if detail else [],
        )
        self._beat_at = now + self._pause(bool(detail), bool(detail and detail.differing))

    def _pause(self, is_differing: bool, is_lasting: bool) -> int:
        """Seconds until the next heartbeat."""
        self._hurries = self._hurries + 1 if is_differing and not is_lasting else 0
        is_hurried = is_differing and self._hurries <= HURRIES
        return min(HURRY_S, self._settings.heartbeat) if is_hurried else self._settings.heartbeat

    def _state(self, ledger: Ledger, others: Sequence[Peer], now: float) -> Heartbeat:
        shipping = self._shipping()
        return Heartbeat(
            version=self._settings.version,
            heartbeat=self._settings.heartbeat,
            seq=ledger.seq,
            shipped=shipping.shipped,
            behind=max(0, shipping.head - shipping.shipped),
            problem=shipping.problem,
            truth=ledger.data.truth[:16],
            revision=ledger.data.revision[:64],
            rtr=ledger.data.rtr,
            vrps=ledger.data.vrps[:16],
            data_age=int(now - ledger.data_since),
            is_complete=ledger.is_complete and self._is_caught_up,
            is_young=is_young(ledger, now),
            uncertain=len(ledger.uncertain),
            accepted=ledger.verdicts["accepted"],
            rejected=ledger.verdicts["rejected"],
            held=ledger.verdicts["held"],
            sessions=sum(ledger.sessions.values()),
            absent=list(islice(ledger.absent.values(), MAX_ABSENT)),
            absent_count=len(ledger.absent),
            seen=seen_here(ledger, (group.id for group in self._settings.groups), others),
            groups=[
                GroupState(
                    id=group.id,
                    name=group.name,
                    policy=group.policy,
                    root=found.root if (found := ledger.groups.get(group.id)) else "",
                    routes=found.routes if found else 0,
                )
                for group in self._settings.groups
            ],
        )


def _report(peer: Peer) -> PeerReport:
    return PeerReport(peer.instance, int(peer.age), peer.is_silent, peer.state)
