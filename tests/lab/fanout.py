"""A fan-out: BIRD between shards and routers, as `rsfilter render exabgp` has it for `[fanout]`."""

from __future__ import annotations

from lab.bird import Bird
from lab.core import Lab
from lab.exabgp import RouteServer


class Fanout(Bird):
    """One BIRD; `shard` is the route server that has rendered its file."""

    def __init__(self, lab: Lab, name: str, number: int, shard: RouteServer) -> None:
        super().__init__(lab, name, number, shard.asn)
        self._shard = shard
        self.log = self.place / "output"  # as it is rendered, it writes to stderr

    def _configuration(self) -> str:
        own = self._shard.place / f"bird-{self.addresses[4]}.conf"
        only = self._shard.place / "bird.conf"
        return (own if own.exists() else only).read_text()
