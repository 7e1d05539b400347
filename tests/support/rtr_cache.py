"""An RTR cache that misbehaves on request (RFC 8210): scripted answers, then good ones again."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, Self

from rsfilter.routing.model import Vrp
from rsfilter.util.addresses import CacheAddress

NOTIFY, SERIAL_QUERY, RESET_QUERY, CACHE_RESPONSE, IPV4_PREFIX = 0, 1, 2, 3, 4
IPV6_PREFIX, END_OF_DATA, CACHE_RESET, ERROR = 6, 7, 8, 10

CORRUPT, NO_DATA, UNSUPPORTED_VERSION = 0, 2, 4


class Answer(NamedTuple):
    """Answer of a cache to one query."""

    data: bytes
    closes: bool = False


Fault = Callable[["RtrCache"], Answer]


def pdu(kind: int, code: int = 0, body: bytes = b"", *, version: int = 1) -> bytes:
    return struct.pack("!BBHI", version, kind, code, 8 + len(body)) + body


def record(vrp: Vrp, flags: int = 1, *, version: int = 1) -> bytes:
    """Prefix PDU: flags 1 announces, 0 withdraws. The VRP need not be one."""
    prefix = vrp.prefix
    address = prefix.network.to_bytes(4 if prefix.family == 4 else 16, "big")
    lengths = bytes([flags, prefix.length, vrp.max_length, 0])
    body = lengths + address + vrp.asn.to_bytes(4, "big")
    return pdu(IPV4_PREFIX if prefix.family == 4 else IPV6_PREFIX, 0, body, version=version)


def error(code: int, *, version: int = 1) -> bytes:
    return pdu(ERROR, code, bytes(8), version=version)


class RtrCache:
    """A good cache, but for the faults that are queued: each takes the place of one answer."""

    def __init__(
        self,
        vrps: Iterable[Vrp],
        *,
        version: int = 1,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.vrps = frozenset(vrps)
        self.session = 1
        self.serial = 1
        self.faults: deque[Fault] = deque()
        self.queries = 0
        self.version = version
        self.expire = 172_800
        """Expire Interval of its End of Data."""
        self._history: dict[int, frozenset[Vrp]] = {1: self.vrps}
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._host, self._port = host, port

    @property
    def address(self) -> CacheAddress:
        return CacheAddress(self._host, self._port)

    async def __aenter__(self) -> Self:
        await self.starts()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.dies()

    async def starts(self) -> None:
        """Listens, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def dies(self) -> None:
        """Close everything."""
        if self._server:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    def forgets(self) -> None:
        """A restart: another session, and no history."""
        self.session += 1
        self.serial = 1
        self._history = {1: self.vrps}

    def holds(self, vrps: Iterable[Vrp]) -> None:
        """Other data, under the next serial."""
        self.vrps = frozenset(vrps)
        self.serial += 1
        self._history[self.serial] = self.vrps

    def notifies(self, *, version: int | None = None) -> None:
        version = self.version if version is None else version
        for writer in self._writers:
            body = self.serial.to_bytes(4, "big")
            writer.write(pdu(NOTIFY, self.session, body, version=version))

    # Answers -----------------------------------------------------------------------------------

    def response(self, session: int | None = None) -> bytes:
        return pdu(CACHE_RESPONSE, session or self.session, version=self.version)

    def records(self, flags: int = 1) -> bytes:
        return b"".join(record(vrp, flags, version=self.version) for vrp in sorted(self.vrps))

    def end_of_data(self, session: int | None = None) -> bytes:
        # Refresh and retry of the configuration count, never these.
        intervals = struct.pack("!III", 7200, 7200, self.expire) if self.version else b""
        body = self.serial.to_bytes(4, "big") + intervals
        return pdu(END_OF_DATA, session or self.session, body, version=self.version)

    def everything(self) -> bytes:
        return self.response() + self.records() + self.end_of_data()

    def difference(self, serial: int) -> bytes:
        """Return the changes since a serial; None if it is unknown."""
        before = self._history.get(serial)
        if before is None:
            return pdu(CACHE_RESET, version=self.version)
        records = [record(vrp, 0, version=self.version) for vrp in before - self.vrps]
        records += [record(vrp, 1, version=self.version) for vrp in self.vrps - before]
        return self.response() + b"".join(records) + self.end_of_data()

    def _answer(self, version: int, kind: int, session: int, body: bytes) -> Answer:
        if self.faults:
            return self.faults.popleft()(self)
        if version != self.version:
            return Answer(error(UNSUPPORTED_VERSION, version=self.version), closes=True)
        if kind == SERIAL_QUERY and session == self.session:
            return Answer(self.difference(int.from_bytes(body, "big")))
        if kind == SERIAL_QUERY:  # RFC 8210 section 5.5 wants a Cache Reset; StayRTR does this
            return Answer(error(CORRUPT, version=self.version), closes=True)
        return Answer(self.everything())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                version, kind, session, length = struct.unpack("!BBHI", await reader.readexactly(8))
                body = await reader.readexactly(length - 8)
                if kind not in (SERIAL_QUERY, RESET_QUERY):
                    continue
                self.queries += 1
                answer = self._answer(version, kind, session, body)
                writer.write(answer.data)
                await writer.drain()
                if answer.closes:
                    break
        self._writers.discard(writer)
        writer.close()
