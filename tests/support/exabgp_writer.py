"""ExaBGP's own parser and writer: an UPDATE from the wire -> the line that we would get.

What hosts can put on the wire has more forms than a lab can send. The code is that of the ExaBGP
beside us, without its sessions.
"""

from __future__ import annotations

import struct
from types import SimpleNamespace

from exabgp.bgp.message import Action, Message
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.notification import Notify
from exabgp.bgp.message.update.attribute import Attribute
from exabgp.environment import getenv
from exabgp.logger import log
from exabgp.protocol.family import AFI, SAFI
from exabgp.reactor.api.response import Response
from exabgp.version import json as api_version

HOST, HOST_ASN = "198.51.100.7", 65007
UPDATE = 2

log.init(getenv())

_neighbor = {
    "local-address": "192.0.2.100",
    "peer-address": HOST,
    "local-as": 65100,
    "peer-as": HOST_ASN,
    "router-id": "192.0.2.100",
}


class _Neighbor(dict[str, object]):
    uid = "1"


def attribute(code: int, value: bytes, flags: int = 0x40) -> bytes:
    """A path attribute (RFC 4271 section 4.3): 0x40 is well-known, 0xC0 optional transitive."""
    return struct.pack("!BBB", flags, code, len(value)) + value


def nlri(*prefixes: tuple[str, int]) -> bytes:
    """(address, length) of IPv4 prefixes on the wire: with all the bits that the octets hold."""
    found = b""
    for address, length in prefixes:
        octets = bytes(map(int, address.split(".")))
        found += bytes([length]) + octets[: (length + 7) // 8]
    return found


PLAIN = (
    attribute(1, b"\0")
    + attribute(2, b"\2\1" + struct.pack("!L", HOST_ASN))
    + attribute(3, bytes(map(int, HOST.split("."))))
)
"""ORIGIN, AS_PATH and NEXT_HOP as they should be."""


def line_of_update(attributes: bytes, *, announced: bytes = b"", withdrawn: bytes = b"") -> bytes:
    """The line of an UPDATE; empty when ExaBGP answers it with a NOTIFICATION."""
    body = _with_length(withdrawn) + _with_length(attributes) + announced
    negotiated = SimpleNamespace(
        asn4=True,
        addpath=SimpleNamespace(receive=lambda *_: False, send=lambda *_: False),
        families=[(AFI.ipv4, SAFI.unicast), (AFI.ipv6, SAFI.unicast)],
        nexthop=[],
        local_as=65100,
        peer_as=HOST_ASN,
        cached_wire=b"",
        cached_attributes=None,
        msg_size=4096,
        aigp=False,
        neighbor=_Neighbor(_neighbor),
    )
    try:
        message = Message.unpack(UPDATE, body, Direction.IN, negotiated)
    except Notify:
        return b""
    if Attribute.CODE.INTERNAL_TREAT_AS_WITHDRAW in getattr(message, "attributes", ()):
        for each in message.nlris:  # as `Protocol.read_message` does
            each.action = Action.WITHDRAW
    line: str = Response.JSON(api_version).update(
        _Neighbor(_neighbor), "receive", message, None, b"", b""
    )
    return line.encode()


def _with_length(octets: bytes) -> bytes:
    return struct.pack("!H", len(octets)) + octets
