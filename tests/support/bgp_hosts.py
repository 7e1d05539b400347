"""Thousands of hosts in one process, each in a BGP session of its own (RFC 4271).

python bgp_hosts.py HOSTS SERVER PORT

The daemons cannot do that: BIRD has one session with an address, GoBGP and FRR one ASN. HOSTS is a
file of JSON, [[address, asn, [prefix, ...]], ...]; SERVER and PORT are the route server's. A host
announces its IPv4 routes and End-of-RIB, repeats them on request (RFC 2918 and 7313), and
keeps its session alive; one that is lost connects again. Prints `up ADDRESS` and
`lost ADDRESS REASON`.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import sys
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple, cast

MARKER = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE, ROUTE_REFRESH = 1, 2, 3, 4, 5
BEGIN_OF_REFRESH, END_OF_REFRESH = 1, 2
AS_TRANS = 23456
IPV4_UNICAST = (1, 1)

HOLD_TIME_S = 240
"""BIRD's. With less, ten thousand hosts would measure their keepalives."""

RETRY_S = 5
"""ExaBGP accepts one connection in a turn of its loop, and 200 may wait; the kernel alone would
try again less and less often. Twice as long after each time, up to `LONGEST_RETRY_S`: on a busy
machine thousands of hosts would otherwise give up each other's connections for ever."""

LONGEST_RETRY_S = 80

PREFIXES = 700
"""Prefixes of a message of 4,096 octets, five each."""


class Host(NamedTuple):
    """A host, and its announcements."""

    address: str
    asn: int
    prefixes: list[str]


def message(kind: int, body: bytes = b"") -> bytes:
    """RFC 4271, 4.1."""
    return MARKER + struct.pack("!HB", 19 + len(body), kind) + body


def open_(host: Host) -> bytes:
    """RFC 4271, 4.2: multiprotocol, route refresh, four-octet ASN, enhanced refresh."""
    capabilities = (
        struct.pack("!BBHBB", 1, 4, 1, 0, 1)
        + struct.pack("!BB", 2, 0)
        + struct.pack("!BBI", 65, 4, host.asn)
        + struct.pack("!BB", 70, 0)
    )
    optional = struct.pack("!BB", 2, len(capabilities)) + capabilities
    asn = host.asn if host.asn < 1 << 16 else AS_TRANS
    router_id = IPv4Address(host.address).packed
    head = struct.pack("!BHH4sB", 4, asn, HOLD_TIME_S, router_id, len(optional))
    return message(OPEN, head + optional)


def updates(host: Host) -> bytes:
    """All that it announces, and End-of-RIB (RFC 4724, 2)."""
    attributes = (
        struct.pack("!BBBB", 0x40, 1, 1, 0)
        + struct.pack("!BBBBBI", 0x40, 2, 6, 2, 1, host.asn)
        + struct.pack("!BBB", 0x40, 3, 4)
        + IPv4Address(host.address).packed
    )
    head = struct.pack("!HH", 0, len(attributes)) + attributes
    routes = [_nlri(IPv4Network(prefix)) for prefix in host.prefixes]
    bodies = (routes[at : at + PREFIXES] for at in range(0, len(routes), PREFIXES))
    sent = b"".join(message(UPDATE, head + b"".join(body)) for body in bodies)
    return sent + message(UPDATE, bytes(4))


def refresh(mark: int) -> bytes:
    """RFC 7313: where a repetition begins and ends."""
    afi, safi = IPV4_UNICAST
    return message(ROUTE_REFRESH, struct.pack("!HBB", afi, mark, safi))


def _nlri(prefix: IPv4Network) -> bytes:
    octets = (prefix.prefixlen + 7) // 8
    return bytes([prefix.prefixlen]) + prefix.network_address.packed[:octets]


class Session(asyncio.Protocol):
    """One connection of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._received = b""
        self._is_up = False
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Speaks first."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(open_(self._host))

    def data_received(self, data: bytes) -> None:
        """Cuts it into messages."""
        self._received += data
        while len(self._received) >= 19:
            length, kind = struct.unpack_from("!HB", self._received, 16)
            if len(self._received) < length:
                return
            body, self._received = self._received[19:length], self._received[length:]
            self._message(kind, body)

    def connection_lost(self, error: Exception | None) -> None:
        """The reason does not matter."""
        self._end(str(error or "closed"))

    def _message(self, kind: int, body: bytes) -> None:
        if kind == OPEN:
            self._transport.write(message(KEEPALIVE))
        elif kind == KEEPALIVE and not self._is_up:
            self._is_up = True
            report("up", self._host)
            self._transport.write(updates(self._host))
            self._keep_alive()
        elif kind == ROUTE_REFRESH and body == struct.pack("!HBB", 1, 0, 1):
            begin, end = refresh(BEGIN_OF_REFRESH), refresh(END_OF_REFRESH)
            self._transport.write(begin + updates(self._host) + end)
        elif kind == NOTIFICATION:
            self._end(f"notification {body[:2].hex()}")
            self._transport.close()

    def _keep_alive(self) -> None:
        if not self.end.done():
            self._transport.write(message(KEEPALIVE))
            asyncio.get_running_loop().call_later(HOLD_TIME_S / 3, self._keep_alive)

    def _end(self, why: str) -> None:
        if not self.end.done():
            self.end.set_result(why)


def report(what: str, host: Host, *why: str) -> None:
    """Print a line to the process that started this one."""
    sys.stdout.write(" ".join([what, host.address, *why]) + "\n")
    sys.stdout.flush()


async def keep_up(host: Host, server: str, port: int) -> None:
    """A host's sessions, one after the other, for ever."""
    loop = asyncio.get_running_loop()
    patience_s = RETRY_S
    while True:
        try:
            async with asyncio.timeout(patience_s * random.uniform(0.75, 1.25)):
                _, session = await loop.create_connection(
                    lambda: Session(host), server, port, local_addr=(host.address, 0)
                )
        except OSError:  # TimeoutError is one
            patience_s = min(2 * patience_s, LONGEST_RETRY_S)
            await asyncio.sleep(random.uniform(0, 1))
            continue
        report("lost", host, await session.end)
        await asyncio.sleep(random.uniform(0, 1))


async def main(hosts: str, server: str, port: str) -> None:
    """See the module."""
    with open(hosts) as file:
        everyone = [Host(*entry) for entry in json.load(file)]
    await asyncio.gather(*(keep_up(host, server, int(port)) for host in everyone))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
