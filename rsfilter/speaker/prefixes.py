"""Unicast prefixes: read and printed without the detours of labels and route distinguishers.

Replaces `NLRI.unpack_nlri`, which finds the class of a family by its name and hands on to a
function for every kind of IP prefix, and `INET.json`. Only what is whole and plain is read here: a
mask that is too long, or too few octets, are left to ExaBGP, whose errors they are.

Upstream: main reads them lazily.
"""

from __future__ import annotations

from typing import Any

from rsfilter.speaker.replacement import Replacement

MADE_FOR = {
    "exabgp.bgp.message.update.nlri.nlri:NLRI": {
        "5.0.15": "a3b6caada23a4dae244d55f8590ebd314a4e3b4472366043f309db7408037b19",
    },
    "exabgp.bgp.message.update.nlri.inet:INET": {
        "5.0.15": "0f178e00d0f4c5bbd371def7a1d75b446e5ec927b11fa8bb4cac6942c11e5475",
    },
    "exabgp.bgp.message.update.nlri.cidr:CIDR": {
        "5.0.15": "3d16b53e375eff2840eb32036f41d2d0ee271390872754346b7062b06803bb68",
    },
    "exabgp.bgp.message.update.nlri.qualifier.path:PathInfo": {
        "5.0.15": "743de55dc7ad7ccfeef651c44250f162a999112afa353700a293d9fe7f656388",
    },
}


def _install() -> None:
    _read_unicast()
    _print_unicast()


def _read_unicast() -> None:
    from exabgp.bgp.message.update.nlri.cidr import CIDR
    from exabgp.bgp.message.update.nlri.inet import INET
    from exabgp.bgp.message.update.nlri.nlri import NLRI
    from exabgp.bgp.message.update.nlri.qualifier import PathInfo
    from exabgp.logger import lazynlri, log
    from exabgp.protocol.family import AFI, SAFI

    stock = NLRI.unpack_nlri.__func__
    unicast = {(AFI.ipv4, SAFI.unicast): 32, (AFI.ipv6, SAFI.unicast): 128}
    sizes = [(mask + 7) // 8 for mask in range(129)]
    zeros = {32: bytes(4), 128: bytes(16)}

    def unpack_nlri(
        cls: Any, afi: int, safi: int, data: bytes, action: int, addpath: bool
    ) -> tuple[Any, bytes]:
        longest = unicast.get((afi, safi))
        start = PathInfo.LENGTH if addpath else 0
        if cls is not NLRI or longest is None or len(data) <= start or data[start] > longest:
            return stock(cls, afi, safi, data, action, addpath)  # type: ignore[no-any-return]
        mask = data[start]
        size = sizes[mask]
        end = start + 1 + size
        if len(data) < end:
            return stock(cls, afi, safi, data, action, addpath)  # type: ignore[no-any-return]
        nlri = INET(afi, safi, action)
        log.debug(lazynlri(nlri.afi, nlri.safi, addpath, data), "parser")
        if addpath:
            nlri.path_info = PathInfo(data[:start])
        nlri.cidr = CIDR(data[start + 1 : end] + zeros[longest][size:], mask)
        return nlri, data[end:]

    NLRI.unpack_nlri = classmethod(unpack_nlri)


def _print_unicast() -> None:
    from exabgp.bgp.message.update.nlri.inet import INET

    stock = INET.json

    def json(self: Any, announced: bool = True, compact: bool = False) -> str:
        if type(self) is not INET or compact or self.path_info.path_info:
            return stock(self, announced, compact)  # type: ignore[no-any-return]
        return f'{{ "nlri": "{self.cidr.prefix()}" }}'

    INET.json = json


REPLACEMENT = Replacement("prefixes", MADE_FOR, _install)
