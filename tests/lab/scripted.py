"""An RPKI cache that misbehaves on request: `rtr_cache` as a daemon of a lab."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab.core import Daemon, Lab
from lab.stayrtr import PORT, Vrp
from lab.story import narrate
from lab.waiting import eventually

PROGRAM = Path(__file__).parents[1] / "support" / "rtr_program.py"


class ScriptedCache(Daemon):
    """A cache with the data, the faults and the life that a test wants."""

    def __init__(self, lab: Lab, name: str, number: int, vrps: Iterable[Vrp]) -> None:
        super().__init__(lab, name)
        self.log = self.place / "output"
        self._host = lab.address(number, 4)
        self.address = f"{self._host}:{PORT}"
        self._vrps = list(vrps)

    def starts(self) -> None:
        """Start it; returns when it listens."""
        argv = [sys.executable, str(PROGRAM), self._host, str(PORT), "control"]
        self.run(argv, lambda: self._request("status"))
        self.serves(self._vrps)
        self._request("starts")

    def serves(self, vrps: Iterable[Vrp]) -> None:
        """Change its data, and have it notify its clients."""
        narrate(f"{self.name} serves other data")
        entries = [[vrp.prefix, vrp.max_length, vrp.asn] for vrp in vrps]
        self._request("serves", vrps=entries)

    def fails(self, fault: str) -> None:
        """Take one of `rtr_faults` for the next answer."""
        narrate(f"{self.name} fails: {fault}")
        self._request("fails", fault=fault)

    def goes(self) -> None:
        """Close everything, and forget the session."""
        narrate(f"{self.name} is gone")
        self._request("dies")
        self._request("forgets")

    def returns(self) -> None:
        """Undo `goes`, with another session."""
        narrate(f"{self.name} is back")
        self._request("starts")

    def has_answered(self, more: int = 1) -> None:
        """Wait until every fault was met, and so many queries after them have been answered."""

        def probe() -> str | None:
            left = self._request("status")["faults"]
            return f"{left} faults are left" if left else None

        eventually(probe, self.lab.report)
        before = self._request("status")["queries"]

        def answered() -> str | None:
            queries = self._request("status")["queries"] - before
            return None if queries >= more else f"{queries} queries of {more}"

        eventually(answered, self.lab.report)

    def _request(self, do: str, **arguments: Any) -> dict[str, int]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.place / "control"))
            stream = connection.makefile("rw")
            stream.write(json.dumps({"do": do} | arguments) + "\n")
            stream.flush()
            status: dict[str, int] = json.loads(stream.readline())
            return status
