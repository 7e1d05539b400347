"""Alice-LG, the looking glass that reads birdwatcher sources. It is in no Debian release:
`make alice` needs an `alice-lg` on PATH."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from lab.core import Daemon, Lab, LabError
from lab.waiting import eventually

PORT = 7340


class Alice(Daemon):
    """One Alice-LG, with the sections that `rsfilter render alice` prints."""

    ERROR = re.compile(r"panic|(?i:error)")

    def __init__(self, lab: Lab, name: str, number: int, sections: str) -> None:
        super().__init__(lab, name)
        self.log = self.place / "output"
        self.address = f"{lab.address(number, 4)}:{PORT}"
        server = (
            f"[server]\nlisten_http = {self.address}\nenable_prefix_lookup = true\n"
            "enable_neighbors_status_refresh = true\n"
            "routes_store_refresh_interval = 1\nneighbors_store_refresh_interval = 1\n\n"
        )
        (self.place / "alice.conf").write_text(server + sections)

    def starts(self) -> None:
        """Start it; returns when it answers."""
        self.run(["alice-lg", "-config", "alice.conf"], lambda: self.get("config"))

    def get(self, path: str) -> Any:
        """Return the answer of its API, as JSON. Raises OSError when it does not answer."""
        fetch = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
        url = f"http://{self.address}/api/v1/{path}"
        try:
            return json.loads(self.lab.run([sys.executable, "-c", fetch, url]))
        except LabError as error:
            raise OSError(str(error)) from error

    def has_routes(self, path: str, member: str, *networks: str) -> list[dict[str, Any]]:
        """Wait until a list of routes has exactly these, and return it."""
        found: list[dict[str, Any]] = []

        def probe() -> str | None:
            found[:] = self.get(path)[member] or []
            shown = sorted(route["network"] for route in found)
            return None if shown == sorted(networks) else f"{path} has {shown}"

        eventually(probe, self.lab.report)
        return found
