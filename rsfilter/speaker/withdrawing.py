"""Withdraws of a whole RIB: each is a shallow copy of its route.

Replaces `OutgoingRIB.del_from_rib`, which makes a deep copy of a route and of all its attributes to
change one member of its NLRI: `clear adj-rib out`, watchdogs and reloads pass there.

Upstream: main keeps withdraws apart from routes and copies nothing (fb476d9a0): a backport.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from rsfilter.speaker.replacement import Replacement

MADE_FOR = {
    "exabgp.rib.outgoing:OutgoingRIB.del_from_rib": {
        "5.0.15": "ea441a8f2781ba0c2ccbd44c40d44b2bac1e253930572600e925bbda626ca19c",
    },
    "exabgp.rib.outgoing:OutgoingRIB._update_rib": {
        "5.0.15": "3c013bdc1a0339778facc04be26d69ad0d2a66975dfd5fb9f3d84b789de2caa2",
    },
}


def _install() -> None:
    from exabgp.bgp.message import Action
    from exabgp.logger import log
    from exabgp.rib.outgoing import OutgoingRIB

    def del_from_rib(self: Any, change: Any) -> Any:
        log.debug(lambda: f"remove {change}", "rib")
        index = change.index()
        if pending := self._new_nlri.get(index):
            # What has not been sent yet need not be, whatever attributes it has.
            families = self._new_attr_af_nlri.get(pending.attributes.index(), {})
            families.get(change.nlri.family().afi_safi(), {}).pop(pending.index(), None)
        withdraw = copy(change)
        withdraw.nlri = copy(change.nlri)
        withdraw.nlri.action = Action.WITHDRAW
        return self._update_rib(withdraw)

    OutgoingRIB.del_from_rib = del_from_rib


REPLACEMENT = Replacement("withdrawing", MADE_FOR, _install)
