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
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from rsfilter.fleet.state import MAX_NAME, AbsentHost

BUCKETS = 4096
"""A difference of one route shows in one of them: 76 routes of 312,500."""

SETTLE_S = 5.0
"""A route that has not changed for this long counts."""

_SHIFT = 64 - 12
_MASK = (1 << 64) - 1


Key = tuple[str, str, int]
"""A route: neighbor, prefix, path ID. No class, which takes eight times as long to make."""


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
    neighbor: str = ""
    host: str = ""
    prefix: str = ""
    path_id: int = 0
    verdict: str | None = None
    reasons: tuple[str, ...] = ()


class DataRecord(Record):
    """A record of data that came into force. Verdicts name them too, which is not read here."""

    truth: dict[str, str] | None = None
    rtr: dict[str, Any] | None = None
    data: dict[str, Any] = {}


_decode: Callable[[bytes], Record] = msgspec.json.Decoder(Record).decode
_decode_data: Callable[[bytes], DataRecord] = msgspec.json.Decoder(DataRecord).decode


def decode(line: bytes) -> Record:
    """Read a line of the log. Raises msgspec.DecodeError."""
    record = _decode(line)
    return _decode_data(line) if record.event == "data" else record


class LedgerEntry(Struct, gc=False):
    """A route as it stands. It refers to nothing that could refer to it."""

    key: Key
    host: str
    decision: Decision
    code: int
    """A number for the decision."""
    group: str
    """Empty: of no group that is compared."""
    since: float
    bucket: int = -1
    """The bucket whose sum has it; -1: none has, because it has not settled."""
    amount: int = 0
    """Number that it adds to that sum."""


class Group:
    """The digest of one host group."""

    def __init__(self) -> None:
        self.sums = array("Q", bytes(8 * BUCKETS))
        self.routes = 0

    @property
    def root(self) -> str:
        """One value for all buckets."""
        return blake2b(self.sums.tobytes(), digest_size=8).hexdigest()


class Ledger:
    """Folds the records of one log, from a start of the filter on."""

    def __init__(self, key: str, group_of: Callable[[str], str]) -> None:
        """Make a ledger. `key` is the fleet's. `group_of` returns the group of a neighbor; empty if
        none."""
        self._keyed = blake2b(digest_size=8, key=key.encode()[:64])
        self._group_of = group_of
        self._decision = lru_cache(maxsize=4096)(self._coded)
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
                self._remove((record.neighbor, record.prefix, record.path_id))
            case "session_up":
                self.sessions[record.neighbor] = True
                self.up_since[record.neighbor] = now
                self.uncertain.discard(record.neighbor)
            case "session_down":
                self.sessions[record.neighbor] = False
            case "absent" | "present" if not record.prefix:
                self._take_absence(record)
            case "data" if isinstance(record, DataRecord):
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
        unsettled, before = self._unsettled, now - SETTLE_S
        while unsettled and unsettled[0].since <= before:
            entry = unsettled.popleft()
            if entry.group:  # neither replaced nor withdrawn meanwhile
                neighbor, prefix, path_id = entry.key
                digest = self._hash(f"{neighbor} {prefix} {path_id}")
                entry.bucket = digest >> _SHIFT
                entry.amount = digest * entry.code & _MASK
                self._count(entry, entry.amount, 1)

    def in_buckets(self, group: str, buckets: set[int]) -> Iterator[LedgerEntry]:
        """The settled routes of a group in some of its buckets."""
        return (
            entry
            for entry in self.routes.values()
            if entry.bucket in buckets and entry.group == group
        )

    # Inside --------------------------------------------------------------------------------------

    def _decide(self, record: Record, now: float) -> None:
        neighbor = record.neighbor
        key = (neighbor, record.prefix, record.path_id)
        decision, code = self._decision(record.verdict or "", record.reasons)
        before = self.routes.get(key)
        if before is not None:
            if before.decision == decision:
                return  # stale or fresh: decided as before
            self._remove(key)
        group = "" if neighbor in self.uncertain else self._group_of(neighbor)
        self.routes[key] = entry = LedgerEntry(key, record.host, decision, code, group, now)
        self.verdicts[decision.verdict] += 1
        if group:
            self._unsettled.append(entry)

    def _remove(self, key: Key) -> None:
        entry = self.routes.pop(key, None)
        if entry is not None:
            self.verdicts[entry.decision.verdict] -= 1
            self._forget(entry)

    def _forget(self, entry: LedgerEntry) -> None:
        """Let a route count no longer, and not settle either."""
        if entry.bucket >= 0:
            self._count(entry, -entry.amount, -1)
        entry.group, entry.bucket = "", -1

    def _count(self, entry: LedgerEntry, amount: int, routes: int) -> None:
        """Put a settled route into the sum of its bucket, or take it out."""
        group = self.groups.get(entry.group)
        if group is None:
            group = self.groups[entry.group] = Group()
        sums, bucket = group.sums, entry.bucket
        sums[bucket] = sums[bucket] + amount & _MASK
        group.routes += routes

    def _take_absence(self, record: Record) -> None:
        """Take that a host session is absent, or is so no longer."""
        neighbor = record.neighbor
        if record.event == "present":
            self.absent.pop(neighbor, None)
        else:
            host, group = record.host[:MAX_NAME], self._group_of(neighbor)
            self.absent[neighbor] = AbsentHost(neighbor, host, group)

    def _take_data(self, record: DataRecord, now: float) -> None:
        truth, rtr = record.truth or {}, record.rtr or {}
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
        for entry in self.routes.values():
            if entry.key[0] == neighbor:
                self._forget(entry)

    def _hash(self, text: str) -> int:
        digest = self._keyed.copy()  # its first block, of the key, is done
        digest.update(text.encode())
        return int.from_bytes(digest.digest(), "big")

    def _coded(self, verdict: str, reasons: tuple[str, ...]) -> tuple[Decision, int]:
        """A decision, and a number for it; odd, so that no hash is lost by it."""
        return Decision(verdict, reasons), self._hash(" ".join((verdict, *reasons))) | 1
