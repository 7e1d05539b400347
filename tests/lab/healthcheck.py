"""Hosts that announce service addresses by ExaBGP's own `exabgp healthcheck`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Any

from lab.exabgp import ExaBgpHost
from lab.speaker import Endpoint
from lab.story import narrate

INTERVAL_S = 0.5
"""Seconds between two checks, each of which is followed by all announcements again."""

Option = str | int | float | bool


class HealthcheckHost(ExaBgpHost):
    """A node whose health decides what it announces, and with which MED.

    `vips`: prefixes; `command`: what is checked, with {place} for the node's directory; `options`:
    those of `exabgp healthcheck`, with underscores for dashes, and False for none. Without
    adj-rib-out ExaBGP passes every repetition on, so that the route server has to bear them.
    """

    def __init__(
        self,
        *arguments: Any,
        vips: Sequence[str],
        command: str = "test -f {place}/service",
        options: dict[str, Option] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*arguments, **settings)
        self._vips = vips
        self._options: dict[str, Option] = {
            "interval": INTERVAL_S,
            "fast_interval": INTERVAL_S / 2,
            "rise": 1,
            "fall": 1,
            "disable": str(self.place / "disable"),
            "command": command.format(place=shlex.quote(str(self.place))),
            "no_ip_setup": True,
            "no_syslog": True,
        } | (options or {})
        (self.place / "service").touch()

    def has_file(self, name: str) -> None:
        """Make a file in the node's directory, for its check to find."""
        narrate(f"{self.name} has a file {name}")
        (self.place / name).touch()

    def has_no_file(self, name: str) -> None:
        """Remove that file."""
        narrate(f"{self.name} has no file {name}")
        (self.place / name).unlink()

    def service_dies(self) -> None:
        """The check fails from now on."""
        self.has_no_file("service")

    def service_recovers(self) -> None:
        """The check succeeds from now on."""
        self.has_file("service")

    def repetitions(self) -> int:
        """Return how often it has announced everything."""
        return self.log.read_text().count("send announces for")

    def _write(self) -> None:
        lines = [f"ip = {vip}\n" for vip in self._vips]
        for name, value in self._options.items():
            key = name.replace("_", "-")
            if value is not False:
                lines.append(f"{key}\n" if value is True else f"{key} = {value}\n")
        (self.place / "healthcheck.conf").write_text("".join(lines))
        run = [sys.executable, "-m", "exabgp", "healthcheck", "--config"]
        words = " ".join(f'"{word}"' for word in [*run, str(self.place / "healthcheck.conf")])
        process = f"process watch {{\n  run {words};\n  encoder text;\n}}\n"
        sessions = "".join(
            self._session(other, family) for other in self._route_servers for family in self.carried
        )
        (self.place / "exabgp.conf").write_text(process + sessions)

    def _further(self, other: Endpoint) -> str:
        return "  api { processes [ watch ]; }\n  adj-rib-out false;\n"
