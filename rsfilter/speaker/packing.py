"""UPDATEs: IPv6 prefixes of one attribute set share them, as IPv4's do.

Replaces `OutgoingRIB.updates`, which groups IPv4 unicast and yields one UPDATE for each IPv6
prefix. Here neighbours in what it yields are joined that are IPv6 unicast, carry the same
attributes (one object) and are all announced or all withdrawn. Their order stays; a refresh is
marked off by its ROUTE-REFRESH messages as before; without `group-updates` nothing is joined.

`Update.messages` splits what does not fit into one message, and by next hop.

Upstream: main groups IPv4 unicast only, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rsfilter.speaker.replacement import Replacement

MADE_FOR = {
    "exabgp.rib.outgoing:OutgoingRIB.updates": {
        "5.0.15": "49a023385063c86e3d6398a6c6ac88459856b8a4d737eaedb3622b423e85e875",
    },
    "exabgp.bgp.message.update:Update": {
        "5.0.15": "3ae6a3caeaa240bbbc0ee209e3c7f271c3708144752514c539a5ecc5bc9eb212",
    },
    "exabgp.bgp.message.update.attribute.mprnlri:MPRNLRI.packed_attributes": {
        "5.0.15": "08763fb7ec94bf01257b64c0769833d0bf7ac44f5326b5a3e5cc3d83a3133fd9",
    },
    "exabgp.bgp.message.update.attribute.mpurnlri:MPURNLRI.packed_attributes": {
        "5.0.15": "3f5fe9e4cdf43f1c5e42b11d88304a90dab1ebbb9f822a25a5ac2f13f02fcb77",
    },
}


def _install() -> None:
    from exabgp.bgp.message import Update
    from exabgp.protocol.family import AFI, SAFI
    from exabgp.rib.outgoing import OutgoingRIB

    stock = OutgoingRIB.updates
    family = (AFI.ipv6, SAFI.unicast)

    def updates(self: Any, grouped: bool) -> Iterator[Any]:
        return joined(stock(self, grouped)) if grouped else stock(self, grouped)

    def joined(messages: Iterator[Any]) -> Iterator[Any]:
        held: Any = None
        for message in messages:
            if held is not None and belongs(message, held):
                held.nlris.extend(message.nlris)
                continue
            if held is not None:
                yield held
            held = None
            if is_single(message):
                held = message
            else:
                yield message
        if held is not None:
            yield held

    def is_single(message: Any) -> bool:
        return (
            isinstance(message, Update)
            and len(message.nlris) == 1
            and (message.nlris[0].afi, message.nlris[0].safi) == family
        )

    def belongs(message: Any, held: Any) -> bool:
        return (
            is_single(message)
            and message.attributes is held.attributes
            and message.nlris[0].action == held.nlris[0].action
        )

    OutgoingRIB.updates = updates


REPLACEMENT = Replacement("packing", MADE_FOR, _install)
