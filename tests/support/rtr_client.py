"""A small RTR client (RFC 8210 version 1, RFC 6810 version 0): what a cache holds, requested once.

Shares nothing with librtr: tests compare the two.
"""

from __future__ import annotations

import asyncio
import struct

from rsfilter.routing.model import BITS, Prefix, Vrp

RESET_QUERY, CACHE_RESPONSE, IPV4_PREFIX, IPV6_PREFIX, END_OF_DATA, ERROR = 2, 3, 4, 6, 7, 10
UNSUPPORTED_VERSION = 4

HEADER = struct.Struct("!BBHI")
TIMEOUT_S = 120.0


class RefusedError(Exception):
    """The cache answered with an Error Report; its code."""


async def fetch(host: str, port: int, version: int = 1) -> frozenset[Vrp]:
    """All VRPs of the cache, host bits masked, without what cannot be a VRP."""
    try:
        return await asyncio.wait_for(_fetch(host, port, version), TIMEOUT_S)
    except RefusedError as refused:
        if version == 0 or refused.args != (UNSUPPORTED_VERSION,):
            raise
        return await fetch(host, port, 0)


async def _fetch(host: str, port: int, version: int) -> frozenset[Vrp]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(HEADER.pack(version, RESET_QUERY, 0, 8))
        found: set[Vrp] = set()
        while True:
            _, kind, code, length = HEADER.unpack(await reader.readexactly(8))
            body = await reader.readexactly(length - 8)
            if kind == ERROR:
                raise RefusedError(code)
            if kind == END_OF_DATA:
                return frozenset(found)
            if kind in (IPV4_PREFIX, IPV6_PREFIX):
                found |= _vrps(4 if kind == IPV4_PREFIX else 6, body)
    finally:
        writer.close()


def _vrps(family: int, body: bytes) -> set[Vrp]:
    _, length, max_length, _ = body[:4]
    address, asn = int.from_bytes(body[4:-4], "big"), int.from_bytes(body[-4:], "big")
    bits = BITS[family]
    if not length <= max_length <= bits:
        return set()
    host_bits = bits - length
    return {Vrp(Prefix(family, address >> host_bits << host_bits, length), max_length, asn)}
