"""The guard's state as one process writes and the next one reads it, without a file."""

from __future__ import annotations

from rsfilter.routing.events import GuardRestored
from rsfilter.routing.guard import Accepted, Expected, Held, Lost, Record, Records, fingerprint
from rsfilter.routing.model import RouteKey


class Memory:
    """Takes in records, and computes what a new guard has to expect."""

    def __init__(self) -> None:
        self.known: dict[RouteKey, Record] = {}

    def take(self, records: Records) -> None:
        for key, record in records.items():
            if record is None:
                self.known.pop(key, None)
            else:
                self.known[key] = record

    @property
    def held(self) -> set[RouteKey]:
        return {key for key, record in self.known.items() if isinstance(record, Held)}

    def restored(self, now: float, *, accepted: bool = True) -> GuardRestored:
        """`accepted`: the new process is to know what was accepted, not only what was held."""
        return GuardRestored(
            {
                key: Expected(fingerprint(record.route), record.rules, record.reasons)
                for key, record in self.known.items()
                if isinstance(record, Held)
            },
            {
                key: Expected(fingerprint(record.route), record.rules)
                for key, record in self.known.items()
                if isinstance(record, Accepted) and accepted
            },
            {
                key: now - record.at
                for key, record in self.known.items()
                if isinstance(record, Lost)
            },
        )
