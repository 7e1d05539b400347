"""The audit log of a whole day that has passed, for plots over hours."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import msgspec
from support.audit_samples import DAY, HOUR, PROVENANCE, verdict_change

from rsfilter.audit.record import Auditable, ServiceEvent
from rsfilter.routing.effects import DataChange, SessionChange
from rsfilter.routing.model import Address, VerdictKind

Entry = tuple[float, Auditable]
Host = tuple[str, int, list[str]]
"""Address, ASN, guests."""

MINUTE = 60.0

MISTAKES = ["origin_not_found", "as_path_too_long", "next_hop_not_owned"]


class PastDay:
    """Guests that move, a hijack of forty minutes, a rack without power, new data, a restart.

    `hosts`: by name. The same day for the same hosts, whenever it ends.
    """

    def __init__(self, hosts: Mapping[str, Host], hijacker: str, until: float) -> None:
        self._hosts = hosts
        self._hijacker = hijacker
        self._begin, self._until = until - DAY, until
        self._dice = random.Random(7)

    def entries(self) -> list[Entry]:
        """Return the events of the log, in order."""
        found = [
            *self._start(self._begin + 20 * MINUTE),
            *self._start(self._until - 9.3 * HOUR),
            *self._migrations(),
            *self._hijack(self._until - 5 * HOUR),
            *self._mistakes(),
            *self._rack(self._until - 14 * HOUR),
            *self._changes("truth", 2.5),
            *self._changes("rtr", 0.9),
        ]
        return sorted(found, key=lambda entry: entry[0])

    def _start(self, at: float) -> Iterator[Entry]:
        yield at, ServiceEvent("start", {"version": "0.1.0"})
        for name, (_, _, guests) in self._hosts.items():
            yield at + self._dice.uniform(2, 20), self._session(name, is_up=True)
            for guest in guests:
                yield at + self._dice.uniform(20, 60), self._verdict(name, guest)

    def _migrations(self) -> Iterator[Entry]:
        for _ in range(1500):
            at = self._begin + HOUR + 22 * HOUR * self._dice.betavariate(2, 1.4)
            name, guest = self._guest()
            yield at, self._verdict(name, guest)

    def _hijack(self, at: float) -> Iterator[Entry]:
        for _ in range(260):
            _, guest = self._guest()
            hijack = self._verdict(self._hijacker, guest, "origin_invalid_asn")
            yield at + self._dice.uniform(0, 40) * MINUTE, hijack

    def _mistakes(self) -> Iterator[Entry]:
        for _ in range(160):
            name, guest = self._guest()
            mistake = self._verdict(name, guest, self._dice.choice(MISTAKES))
            yield self._begin + self._dice.uniform(1, 23) * HOUR, mistake

    def _rack(self, at: float) -> Iterator[Entry]:
        for number, name in enumerate(list(self._hosts)[40:56]):
            yield at + number, self._session(name, is_up=False)
            yield at + 0.8 * HOUR + 3 * number, self._session(name, is_up=True)

    def _changes(self, source: str, hours: float) -> Iterator[Entry]:
        at = self._begin + HOUR / 2
        while at < self._until:
            yield at, DataChange(source, "", 3, 1, 4, 2, PROVENANCE)
            at += self._dice.expovariate(1 / hours) * HOUR

    def _guest(self) -> tuple[str, str]:
        name = self._dice.choice(list(self._hosts))
        return name, self._dice.choice(self._hosts[name][2])

    def _session(self, name: str, *, is_up: bool) -> SessionChange:
        address, asn, _ = self._hosts[name]
        where = (Address.parse(address), asn, "host", "hypervisors")
        return SessionChange(*where, is_up, "" if is_up else "hold timer expired", host=name)

    def _verdict(self, name: str, guest: str, *reasons: str) -> Auditable:
        address, asn, _ = self._hosts[name]
        change = verdict_change(guest, neighbor=address, host=name, asn=asn, reasons=reasons)
        is_own = bool(reasons) and name != self._hijacker  # it was accepted before
        return msgspec.structs.replace(change, was=VerdictKind.ACCEPTED if is_own else None)
