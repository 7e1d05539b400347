"""Address families: found by index, not made again for each route.

Replaces `AFI.create` and `SAFI.create`, which make a new object for the default of a lookup that
nearly always succeeds, `Family.family`, which makes two lookups and an object for each call, and
`Family.index`, which formats two numbers. A family is two numbers and never changes.

Upstream: main interns families. To be proposed for 5.0.
"""

from __future__ import annotations

from typing import Any

from rsfilter.speaker.replacement import Replacement

MADE_FOR = {
    "exabgp.protocol.family:AFI.create": {
        "5.0.15": "e3572ad165fdaab7bb2c6626ee6b5c3ac13a282d00aa0cf02a1ee5d86275f8f1",
    },
    "exabgp.protocol.family:SAFI.create": {
        "5.0.15": "4fac2e5ab4213303cf0d970121a22ce7a02b5efd7d95dbdef079360d89e230b8",
    },
    "exabgp.protocol.family:Family": {
        "5.0.15": "98a12a8a11e63af5efa471b00fd52ca67feb2c0ad0c492a13006f178106588b8",
    },
}


def _install() -> None:
    from exabgp.protocol.family import AFI, SAFI, Family

    for kind in (AFI, SAFI):
        kind.create = classmethod(_creating(kind.create.__func__))
    families: dict[tuple[int, int], Any] = {}
    indexes: dict[tuple[int, int], bytes] = {}
    stock_index = Family.index

    def family(self: Any) -> Any:
        key = self.afi, self.safi
        found = families.get(key)
        if found is None:
            found = families[key] = Family(*key)
        return found

    def index(self: Any) -> bytes:
        key = self.afi, self.safi
        found = indexes.get(key)
        if found is None:
            found = indexes[key] = stock_index(self)
        return found

    Family.family = family
    Family.index = index


def _creating(stock: Any) -> Any:
    def create(cls: Any, value: int) -> Any:
        found = cls.cache.get(value)
        return stock(cls, value) if found is None else found

    return create


REPLACEMENT = Replacement("families", MADE_FOR, _install)
