"""StayRTR as an RPKI cache."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from signal import SIGHUP
from typing import NamedTuple

from lab.core import Daemon, Lab
from lab.story import narrate

PORT = 8282


class Vrp(NamedTuple):
    """A validated ROA payload."""

    asn: int
    prefix: str
    max_length: int


class StayRtr(Daemon):
    """A cache that serves a file and rereads it on request."""

    ERROR = re.compile(r"level=(error|fatal|panic)|^panic:")

    def __init__(self, lab: Lab, name: str, number: int, vrps: Iterable[Vrp]) -> None:
        super().__init__(lab, name)
        self.log = self.place / "output"
        self._host = lab.address(number, 4)
        self.address = f"{self._host}:{PORT}"
        self._write(vrps)

    def starts(self) -> None:
        """Start it; returns when it listens."""
        # checktime: a hand-made file has no build time. refresh: only a signal makes it reread.
        argv = ["stayrtr", "-bind", self.address, "-cache", "vrps.json", "-checktime=false"]
        argv += ["-refresh", "86400", "-metrics.addr", "", "-rtr.refresh", "60"]
        argv += ["-rtr.retry", "1", "-rtr.expire", "600"]
        self.run(argv, self._listens)

    def _listens(self) -> None:
        """Raise OSError while it does not listen."""
        if not self.lab.is_listening(self._host, PORT):
            raise OSError(f"nobody listens on {self.address}")

    def serves(self, vrps: Iterable[Vrp]) -> None:
        """Change its data, and have it notify its clients."""
        narrate(f"{self.name} serves other data")
        self._write(vrps)
        self.process.send(SIGHUP)

    def _write(self, vrps: Iterable[Vrp]) -> None:
        new = self.place / "vrps.json.new"
        new.write_text(json.dumps(roas(vrps)))
        os.replace(new, self.place / "vrps.json")


def roas(vrps: Iterable[Vrp]) -> dict[str, list[dict[str, object]]]:
    """VRPs as the JSON document that GoRTR and StayRTR read."""
    return {
        "roas": [
            {"prefix": vrp.prefix, "maxLength": vrp.max_length, "asn": f"AS{vrp.asn}"}
            for vrp in vrps
        ]
    }
