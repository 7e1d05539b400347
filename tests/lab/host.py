"""Parts that all hosts of a lab have in common: they announce the given routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.core import Lab, family_of
from lab.routes import Announcement
from lab.speaker import HOLD_TIME_S, Endpoint, Speaker
from lab.story import details, listing, narrate


class Host(Speaker):
    """A host that announces routes to one or more route servers.

    A route is given once and stays until it is withdrawn, over restarts of the daemon too.
    """

    def __init__(
        self,
        lab: Lab,
        name: str,
        number: int,
        asn: int,
        route_servers: Sequence[Endpoint],
        hold_time_s: int = HOLD_TIME_S,
    ) -> None:
        super().__init__(lab, name, number, asn)
        self._route_servers = route_servers
        self._hold_time_s = hold_time_s
        self._announced: dict[str, Announcement] = {}

    def connects(self) -> None:
        """Connect now, where the daemon would wait for very long after a refusal."""

    def announces(self, *prefixes: str, **how: Any) -> None:
        """Announce prefixes, all in the same way; `how`: the fields of `Announcement`."""
        narrate(f"{self.name} announces {listing(prefixes)}{details(how)}")
        self._announced |= dict.fromkeys(prefixes, Announcement(**how))
        if self._process is not None:
            self._announce(prefixes)

    def withdraws(self, *prefixes: str) -> None:
        """Withdraw prefixes."""
        narrate(f"{self.name} withdraws {listing(prefixes)}")
        gone = {prefix: self._announced.pop(prefix) for prefix in prefixes}
        if self._process is not None:
            self._withdraw(gone)

    def withdraws_all(self) -> None:
        """Withdraw everything."""
        if self._announced:
            self.withdraws(*self._announced)

    def _announce(self, prefixes: Sequence[str]) -> None:
        """Make the running daemon announce these prefixes as `_announced` has them now."""
        raise NotImplementedError

    def _withdraw(self, gone: dict[str, Announcement]) -> None:
        """Make the running daemon withdraw these, as they were announced."""
        raise NotImplementedError

    def _announced_in(self, family: int) -> dict[str, Announcement]:
        return {p: a for p, a in self._announced.items() if family_of(p) == family}
