"""Routes of commands: given to the routers that a command names, and not copied.

Replaces `_Configuration.inject_change`, `inject_eor`, `inject_refresh` and `inject_operational`,
which walk all neighbors for each route and test the name of each against a list. In `inject_change`
each router gets a deep copy of the route, made before the check whether the next hop is `self`: two
thirds of the cost of a route. Here only the named neighbors are visited, and a route is copied if
its next hop is `self`.

Sharing is safe: no code changes a route that is in a RIB, or its attributes, without a copy of its
own. (Routes of the configuration are left to ExaBGP: their watchdog attributes are taken out.)

Upstream: main does not copy (`Neighbor.resolve_self`, 87de835e7 and before): a backport. It still
walks all neighbors. This ends with 6.0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from rsfilter.speaker.replacement import Replacement

MADE_FOR = {
    "exabgp.configuration.configuration:_Configuration.inject_change": {
        "5.0.15": "061dae4651ca234dd6ed1a92f8bd035d991327087145c6893975836b994ad260",
    },
    "exabgp.configuration.configuration:_Configuration.inject_eor": {
        "5.0.15": "bcf28967d4a7808be07b6b03bba6be0c08f6a1f870f5ae01a5189161ab188565",
    },
    "exabgp.configuration.configuration:_Configuration.inject_refresh": {
        "5.0.15": "78eea2147a69e11318b5c6a4a3b9949179dba792109fb71f3a614373410a7eff",
    },
    "exabgp.configuration.configuration:_Configuration.inject_operational": {
        "5.0.15": "b877f048f27a687788ce7fc0822056b7432565ddc66c41ce0d65491c60df22ea",
    },
    "exabgp.bgp.neighbor:Neighbor.remove_self": {
        "5.0.15": "cbd04747e6f3e8345b2591aea898be36c58c4a3fa26c2aecef1909d05ef517a2",
    },
}


def _install() -> None:
    from exabgp.configuration.configuration import _Configuration
    from exabgp.logger import log

    stock_eor = _Configuration.inject_eor
    stock_refresh = _Configuration.inject_refresh
    stock_operational = _Configuration.inject_operational

    def inject_change(self: Any, peers: Collection[str], change: Any) -> bool:
        nlri = change.nlri
        family = nlri.family().afi_safi()
        is_self = nlri.nexthop.SELF
        result = False
        for name, neighbor in _named(self.neighbors, peers):
            if family not in neighbor.families():
                log.error(
                    lambda name=name: (
                        f"the route family ({nlri.short()}) is not configured on neighbor {name}"
                    ),
                    "configuration",
                )
                continue
            neighbor.rib.outgoing.add_to_rib(neighbor.remove_self(change) if is_self else change)
            result = True
        return result

    def only_named(stock: Any) -> Any:
        def inject(self: Any, peers: Collection[str], what: Any) -> bool:
            everybody = self.neighbors
            self.neighbors = dict(_named(everybody, peers))
            try:
                return bool(stock(self, peers, what))
            finally:
                self.neighbors = everybody

        return inject

    _Configuration.inject_change = inject_change
    _Configuration.inject_eor = only_named(stock_eor)
    _Configuration.inject_refresh = only_named(stock_refresh)
    _Configuration.inject_operational = only_named(stock_operational)


def _named(neighbors: dict[str, Any], peers: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Neighbors with one of these names; a name twice counts once, as in ExaBGP."""
    for name in dict.fromkeys(peers):
        neighbor = neighbors.get(name)
        if neighbor is not None:
            yield name, neighbor


REPLACEMENT = Replacement("announcing", MADE_FOR, _install)
