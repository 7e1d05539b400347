"""The routes of one filter as reconstructed from its audit log, with digests of each host group.

Reading the log costs the filter nothing, and the result is by definition provable later. Two
instances with the same host group have the same digest if they decided the same. The digest is a
keyed 64-bit hash of each route, times a number for its verdict, summed mod 2^64 in one of 4,096
buckets. A change costs one hash; order does not matter; hosts do not know the key, so that none can
make two tables appear equal. Only routes unchanged for `SETTLE_S` count, because a host's two
sessions do not start in the same moment. Pure: takes `now`.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from rsfilter.fleet.state import MAX_NAME, AbsentHost

BUCKETS = 4096
"""A difference of one route shows in one of them: 76 routes of 312,500."""

SETTLE_S = 5.0
"""A route that has not changed for this long counts."""

_SHIFT = 64 - 12
_MASK = (1 << 64) - 1


class Key(NamedTuple):
    """A route."""

    neighbor: str
    prefix: str
    path_id: int


class Decision(NamedTuple):
    """Decision about a route."""

    verdict: str
    reasons: tuple[str, ...]


class DataIdentity(NamedTuple):
    """Data behind decisions, by which two instances are compared."""

    truth: str = ""
    """SHA-256; empty if there is none."""
    revision: str = ""
    rtr: str = ""
    """`cache session serial`; empty if there is none."""
    vrps: str = ""
    """Digest of the VRPs of the cache; empty if there is none."""


class Record(Struct):
    """Members of a log record that matter here."""

    seq: int
    event: str
    at: str = ""
    neighbor: str = ""
    host: str = ""
    prefix: str = ""
    path_id: int = 0
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    truth: dict[str, str] | UnsetType | None = UNSET
    rtr: dict[str, Any] | UnsetType | None = UNSET
    data: dict[str, Any] = {}


decode: Callable[[bytes], Record] = msgspec.json.Decoder(Record).decode


@dataclass(slots=True)
class LedgerEntry:
    """A route as it stands."""

    key: Key
    host: str
    decision: Decision
    group: str
    """Empty: of no group that is compared."""
    since: float
    bucket: int
    amount: int
    is_counted: bool = False
    """True if it is in the sum of its bucket."""


@dataclass(slots=True)
class Group:
    """The digest of one host group."""

    sums: array[int] = field(default_factory=lambda: array("Q", bytes(8 * BUCKETS)))
    routes: int = 0

    @property
    def root(self) -> str:
        """One value for all buckets."""
        return blake2b(self.sums.tobytes(), digest_size=8).hexdigest()


class Ledger:
    """Folds the records of one log, from a start of the filter on."""

    def __init__(self, key: str, group_of: Callable[[str], str]) -> None:
        """Make a ledger. `key` is the fleet's. `group_of` returns the group of a neighbor; empty if
        none."""
        self._key = key.encode()[:64]
        self._group_of = group_of
        self._code = lru_cache(maxsize=4096)(self._code_of)
        self.clear()

    def clear(self) -> None:
        """Forget everything: the filter begins anew."""
        self.routes: dict[Key, LedgerEntry] = {}
        self.groups: dict[str, Group] = {}
        self.sessions: dict[str, bool] = {}
        """Neighbor: its session is up."""
        self.up_since: dict[str, float] = {}
        """Neighbor: time at which its session came up."""
        self.absent: dict[str, AbsentHost] = {}
        """Host sessions that truth expects and that are absent, by neighbor."""
        self.uncertain: set[str] = set()
        """Neighbors in a flood, or after one: not all of their changes are in the log."""
        self.verdicts: Counter[str] = Counter()
        self.data = DataIdentity()
        self.data_since = 0.0
        self.since = 0.0
        """Time of the start of the filter."""
        self.is_complete = True
        """False: records were lost, so that the routes are not known."""
        self.seq = 0
        self._unsettled: deque[LedgerEntry] = deque()

    def apply(self, record: Record, now: float) -> None:
        """Take one record of the log."""
        self.seq = record.seq
        match record.event:
            case "verdict" if record.prefix:
                self._decide(record, now)
            case "withdraw":
                self._remove(Key(record.neighbor, record.prefix, record.path_id))
            case "session_up":
                self.sessions[record.neighbor] = True
                self.up_since[record.neighbor] = now
                self.uncertain.discard(record.neighbor)
            case "session_down":
                self.sessions[record.neighbor] = False
            case "absent" | "present" if not record.prefix:
                self._take_absence(record)
            case "data":
                self._take_data(record, now)
            case "flood":
                self._doubt(record.neighbor)
            case "gap" | "recovered":
                self.is_complete = False
            case "start":
                self.clear()
                self.seq = record.seq
                self.since = self.data_since = now

    def settle(self, now: float) -> None:
        """Count the routes that have stood for long enough."""
        while self._unsettled and self._unsettled[0].since <= now - SETTLE_S:
            entry = self._unsettled.popleft()
            if self.routes.get(entry.key) is entry and entry.group:
                self._count(entry, 1)
                entry.is_counted = True

    def in_buckets(self, group: str, buckets: set[int]) -> Iterator[LedgerEntry]:
        """The settled routes of a group in some of its buckets."""
        return (
            entry
            for entry in self.routes.values()
            if entry.is_counted and entry.group == group and entry.bucket in buckets
        )

    # Inside --------------------------------------------------------------------------------------

    def _decide(self, record: Record, now: float) -> None:
        key = Key(record.neighbor, record.prefix, record.path_id)
        decision = Decision(record.verdict or "", record.reasons)
        before = self.routes.get(key)
        if before is not None and before.decision == decision:
            return  # stale or fresh: decided as before
        self._remove(key)
        group = "" if key.neighbor in self.uncertain else self._group_of(key.neighbor)
        digest = self._hash(key)
        entry = LedgerEntry(
            key, record.host, decision, group, now, digest >> _SHIFT, digest * self._code(decision)
        )
        self.routes[key] = entry
        self.verdicts[decision.verdict] += 1
        if group:
            self._unsettled.append(entry)

    def _remove(self, key: Key) -> None:
        entry = self.routes.pop(key, None)
        if entry is not None:
            self.verdicts[entry.decision.verdict] -= 1
            if entry.is_counted:
                self._count(entry, -1)

    def _count(self, entry: LedgerEntry, sign: int) -> None:
        """Put a settled route into the sum of its bucket (1), or take it out (-1)."""
        group = self.groups.setdefault(entry.group, Group())
        group.sums[entry.bucket] = (group.sums[entry.bucket] + sign * entry.amount) & _MASK
        group.routes += sign

    def _take_absence(self, record: Record) -> None:
        """Take that a host session is absent, or is so no longer."""
        neighbor = record.neighbor
        if record.event == "present":
            self.absent.pop(neighbor, None)
        else:
            host, group = record.host[:MAX_NAME], self._group_of(neighbor)
            self.absent[neighbor] = AbsentHost(neighbor, host, group)

    def _take_data(self, record: Record, now: float) -> None:
        truth = record.truth if isinstance(record.truth, dict) else {}
        rtr = record.rtr if isinstance(record.rtr, dict) else {}
        data = DataIdentity(
            truth.get("sha256", ""),
            truth.get("revision", ""),
            " ".join(str(rtr[name]) for name in ("cache", "session", "serial")) if rtr else "",
            str(record.data.get("vrps", "")) if rtr else "",
        )
        if data != self.data:
            self.data, self.data_since = data, now

    def _doubt(self, neighbor: str) -> None:
        """Mark a neighbor whose routes in the log are incomplete until its session comes up
        again."""
        if neighbor in self.uncertain:
            return
        self.uncertain.add(neighbor)
        for entry in [e for e in self.routes.values() if e.key.neighbor == neighbor]:
            if entry.is_counted:
                self._count(entry, -1)
            entry.group, entry.is_counted = "", False

    def _hash(self, key: Key) -> int:
        text = f"{key.neighbor} {key.prefix} {key.path_id}".encode()
        return int.from_bytes(blake2b(text, digest_size=8, key=self._key).digest(), "big")

    def _code_of(self, decision: Decision) -> int:
        """A number for what was decided; odd, so that no hash is lost by it."""
        text = " ".join((decision.verdict, *decision.reasons)).encode()
        return int.from_bytes(blake2b(text, digest_size=8, key=self._key).digest(), "big") | 1
