"""A fan-out: BIRD between shards and routers, as `rsfilter render exabgp` has it for `[fanout]`."""

from __future__ import annotations

from lab.bird import Bird
from lab.core import Lab
from lab.exabgp import RouteServer
from lab.waiting import eventually


class Fanout(Bird):
    """One BIRD; `shard` is the route server that has rendered its file.

    `recovers`: each start is a graceful restart, as docs/scale.md requires.
    """

    def __init__(
        self, lab: Lab, name: str, number: int, shard: RouteServer, *, recovers: bool = True
    ) -> None:
        super().__init__(lab, name, number, shard.asn)
        self._shard = shard
        self.options = ("-R",) if recovers else ()
        self.log = self.place / "output"  # as it is rendered, it writes to stderr

    def has_recovered(self) -> None:
        """Wait until it has sent everything to its routers: one that is killed before that removes
        the routes that they still keep (RFC 4724 section 4.2, consecutive restarts)."""

        def probe() -> str | None:
            is_recovering = any("recovery" in line for line in self.control("show status"))
            return f"{self.name} is still recovering" if is_recovering else None

        eventually(probe, self.lab.report)

    def _configuration(self) -> str:
        own = self._shard.place / f"bird-{self.addresses[4]}.conf"
        only = self._shard.place / "bird.conf"
        return (own if own.exists() else only).read_text()
