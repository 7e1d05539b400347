"""ExaBGP's lines as messages, counted, with the facts that only earlier lines had."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import NamedTuple

from rsfilter.exabgp.decode import api_version, decode, dialect, release
from rsfilter.exabgp.messages import Message, Offered, Opened, Skipped
from rsfilter.exabgp.unsupported import is_unsupported
from rsfilter.routing.events import SessionDown
from rsfilter.routing.model import BOTH_FAMILIES, Address

SHOWN_OCTETS = 300
"""Octets shown of a line that was not understood: the neighbor is at its beginning."""

KEPT_SKIPPED = 5
"""Lines that were not understood and are kept of one input: a host may cause any number."""


class SkippedLine(NamedTuple):
    """A line that was not understood."""

    number: int
    """Place among the lines since the start; the first is 1."""
    why: str
    beginning: bytes


class SpeakerLines:
    """Reader of the lines of one ExaBGP."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        """Lines by kind of message; those that were not understood as skipped_ and why."""
        self._skipped: list[SkippedLine] = []
        self.dialect: str | None = None
        """ExaBGP's series according to its lines; None before the first."""
        self.release: str | None = None
        """ExaBGP's release as it reports it; None before."""
        self.unsupported: str | None = None
        """The version of an ExaBGP that rsfilter must not run behind."""
        self._offered: dict[Address, frozenset[int]] = {}
        """Families that ExaBGP offered in its last OPEN, by neighbor."""
        self._wrong_asns: dict[Address, int] = {}
        """`Opened.wrong_asn` of each neighbor's last OPEN."""

    def understand(self, line: bytes) -> Message:
        """Return the message of a line, and count its kind."""
        message = decode(line)
        if self.dialect is None:
            self.dialect = dialect(line)
        if self.release is None:
            self._identify(message, line)
        if isinstance(message, Skipped):
            self.counters[f"skipped_{message.why}"] += 1
            if len(self._skipped) < KEPT_SKIPPED:
                number = self.counters.total()
                self._skipped.append(SkippedLine(number, message.why, line[:SHOWN_OCTETS]))
            return message
        self.counters[type(message).__name__] += 1
        match message:
            case Offered():
                self._offered[message.neighbor] = message.families
            case Opened():
                self._wrong_asns[message.neighbor] = message.wrong_asn
                return self._negotiated(message)
            case SessionDown():
                return replace(message, wrong_asn=self._wrong_asns.get(message.neighbor, 0))
        return message

    def _identify(self, message: Message, line: bytes) -> None:
        self.release = release(message)
        version = self.release or api_version(line)
        if version is not None and is_unsupported(version):
            self.unsupported = version

    def _negotiated(self, opened: Opened) -> Opened:
        """Return an OPEN with the families alone that ExaBGP offered too: End-of-RIB comes, and
        routes go out, in those that both ends speak (RFC 4760 section 8)."""
        offered = self._offered.get(opened.neighbor, BOTH_FAMILIES)
        return replace(opened, families=opened.families & offered)

    def take_skipped(self) -> list[SkippedLine]:
        """Return the lines that were not understood since the last call, the first of them."""
        taken, self._skipped = self._skipped, []
        return taken
