"""A BGP peer (RFC 4271) that a test controls. It keeps what it was sent, message by message."""

from __future__ import annotations

import socket
import struct
import threading
import time
from ipaddress import ip_address, ip_network
from typing import Literal, NamedTuple

MARKER = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE, ROUTE_REFRESH = 1, 2, 3, 4, 5
IPV4, IPV6, FLOW = (1, 1), (2, 1), (1, 133)
FAMILIES = (IPV4, IPV6, FLOW)
HOLD_TIME_S = 30
MP_REACH, MP_UNREACH = 14, 15


IP_MINTTL, TCP_MD5SIG = 21, 14
"""Socket options of Linux that Python does not name."""


class Fact(NamedTuple):
    """One route that was announced or withdrawn, however it was packed."""

    verb: str
    family: tuple[int, int]
    nlri: bytes
    next_hop: bytes = b""
    attributes: tuple[tuple[int, bytes], ...] = ()


def message(kind: int, body: bytes = b"") -> bytes:
    """RFC 4271, 4.1."""
    return MARKER + struct.pack("!HB", 19 + len(body), kind) + body


def signature(server: tuple[str, int], password: str) -> bytes:
    """`struct tcp_md5sig` of an IPv4 neighbor."""
    storage = struct.pack("=HH4s120x", socket.AF_INET, 0, socket.inet_aton(server[0]))
    return storage + struct.pack("=BBHi80s", 0, 0, len(password), 0, password.encode())


def open_(asn: int, router_id: str, families: tuple[tuple[int, int], ...]) -> bytes:
    """RFC 4271, 4.2: multiprotocol, both kinds of route refresh, four-octet ASN."""
    capabilities = b"".join(struct.pack("!BBHBB", 1, 4, afi, 0, safi) for afi, safi in families)
    capabilities += struct.pack("!BBBBBBI", 2, 0, 70, 0, 65, 4, asn)
    optional = struct.pack("!BB", 2, len(capabilities)) + capabilities
    identifier = ip_address(router_id).packed
    head = struct.pack("!BHH4sB", 4, min(asn, 65535), HOLD_TIME_S, identifier, len(optional))
    return message(OPEN, head + optional)


def nlri(prefix: str) -> bytes:
    """RFC 4271, 4.3."""
    network = ip_network(prefix)
    size = (network.prefixlen + 7) // 8
    return bytes([network.prefixlen]) + network.network_address.packed[:size]


def update(asn: int, next_hop: str, announced: list[str], withdrawn: list[str]) -> list[bytes]:
    """Messages that announce and withdraw prefixes, of both families."""
    path = struct.pack("!BBBBBI", 0x40, 2, 6, 2, 1, asn)
    common = b"\x40\x01\x01\x00" + path
    made = []
    if old := [each for each in withdrawn if ":" not in each]:
        octets = b"".join(map(nlri, old))
        made.append(message(UPDATE, struct.pack("!H", len(octets)) + octets + bytes(2)))
    if new := [each for each in announced if ":" not in each]:
        attributes = common + b"\x40\x03\x04" + ip_address(next_hop).packed
        head = struct.pack("!HH", 0, len(attributes)) + attributes
        made.append(message(UPDATE, head + b"".join(map(nlri, new))))
    if new := [each for each in announced if ":" in each]:
        reach = b"\x00\x02\x01\x10" + ip_address("2001:db8::1").packed + b"\x00"
        reach += b"".join(map(nlri, new))
        attributes = common + struct.pack("!BBH", 0x90, MP_REACH, len(reach)) + reach
        made.append(message(UPDATE, struct.pack("!HH", 0, len(attributes)) + attributes))
    return made


def facts(body: bytes) -> list[Fact]:
    """Return the facts of an UPDATE; End-of-RIB is one too."""
    (size,) = struct.unpack_from("!H", body)
    found = [Fact("withdraw", IPV4, each) for each in split(body[2 : 2 + size])]
    (length,) = struct.unpack_from("!H", body, 2 + size)
    octets = body[4 + size : 4 + size + length]
    attributes, hop = {}, b""
    while octets:
        flags, code = octets[:2]
        long = 4 if flags & 0x10 else 3
        (many,) = struct.unpack_from("!H" if long == 4 else "!B", octets, 2)
        attributes[code] = octets[long : long + many]
        octets = octets[long + many :]
    reach, unreach = attributes.pop(MP_REACH, b""), attributes.pop(MP_UNREACH, b"")
    hop = attributes.pop(3, b"")
    rest = tuple(sorted(attributes.items()))
    found += [Fact("announce", IPV4, each, hop, rest) for each in split(body[4 + size + length :])]
    if reach:
        family, end = struct.unpack_from("!HB", reach), 4 + reach[3]
        parts = split(reach[end + 1 :]) if family == IPV6 else [reach[end + 1 :]]
        found += [Fact("announce", family, each, reach[4:end], rest) for each in parts]
    if unreach:
        family = struct.unpack_from("!HB", unreach)
        parts = split(unreach[3:]) if family == IPV6 else [unreach[3:]]
        found += [Fact("withdraw", family, each) for each in parts]
    return found or [
        Fact("end-of-rib", struct.unpack_from("!HB", unreach) if unreach else IPV4, b"")
    ]


def split(octets: bytes) -> list[bytes]:
    """NLRI, one by one."""
    found = []
    while octets:
        end = 1 + (octets[0] + 7) // 8
        found.append(octets[:end])
        octets = octets[end:]
    return found


class Peer:
    """One peer, which connects from its own address. A thread reads and keeps the session alive."""

    def __init__(
        self,
        address: str,
        asn: int,
        server: tuple[str, int],
        families: tuple[tuple[int, int], ...] = FAMILIES,
    ) -> None:
        self.address, self.asn, self._server, self._families = address, asn, server, families
        self.password = ""
        """Password of TCP MD5; empty if there is none."""
        self.ttl = 0
        """TTL of its packets; 0 is the system's default."""
        self.checks_ttl: Literal["", "at once", "when connected"] = ""
        """Time at which it begins to refuse a TTL below 255: FRR at once, BIRD later."""
        self.patience_s = 10.0
        """Seconds that it tries to connect."""
        self.received: list[tuple[int, bytes]] = []
        self.is_up = self.is_closed = False
        self._reads = threading.Event()
        self._reads.set()
        self._socket: socket.socket | None = None

    def connects(self, open_message: bytes | None = None, *, is_silent: bool = False) -> None:
        """Connect and open; `open_message` in place of a good one."""
        self.received, self.is_up, self.is_closed = [], False, False
        self._reads.set()
        self._socket = made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)  # so that it can stall
        made.settimeout(self.patience_s)
        made.bind((self.address, 0))
        if self.password:
            made.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, signature(self._server, self.password))
        if self.ttl:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, self.ttl)
        if self.checks_ttl == "at once":
            made.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 255)
        made.connect(self._server)
        if self.checks_ttl == "when connected":
            made.setsockopt(socket.IPPROTO_IP, IP_MINTTL, 255)
        made.settimeout(1)
        self._is_silent = is_silent
        if not is_silent:
            self.sends(open_message or open_(self.asn, self.address, self._families))
        threading.Thread(target=self._read, args=(made,), daemon=True).start()

    def sends(self, octets: bytes) -> None:
        """Send octets, whole messages or not."""
        assert self._socket is not None
        try:
            self._socket.sendall(octets)
        except OSError:
            self.is_closed = True

    def stalls(self) -> None:
        """Read nothing for now."""
        self._reads.clear()

    def goes_on(self) -> None:
        """Read again."""
        self._reads.set()

    def closes(self) -> None:
        """End the connection."""
        assert self._socket is not None
        self._reads.set()
        self._socket.close()
        self.is_up = False

    def facts(self, since: int = 0) -> list[Fact]:
        """Return the facts of all UPDATEs, from some message on."""
        return [
            fact for kind, body in self.received[since:] if kind == UPDATE for fact in facts(body)
        ]

    def others(self, since: int = 0) -> list[tuple[int, bytes]]:
        """Messages of other kinds, keepalives apart."""
        known = (UPDATE, KEEPALIVE)
        return [each for each in self.received[since:] if each[0] not in known]

    def _read(self, made: socket.socket) -> None:
        octets, alive_at = b"", time.monotonic()
        while True:
            is_stalled = not self._reads.wait(1)
            if self.is_up and time.monotonic() - alive_at > HOLD_TIME_S / 4:
                alive_at = time.monotonic()
                self.sends(message(KEEPALIVE))
            if is_stalled:
                continue
            try:
                more = made.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                more = b""
            if not more:
                self.is_up, self.is_closed = False, True
                return
            octets += more
            while len(octets) >= 19 and len(octets) >= (size := int.from_bytes(octets[16:18])):
                self._message(octets[18], octets[19:size])
                octets = octets[size:]

    def _message(self, kind: int, body: bytes) -> None:
        self.received.append((kind, body))
        if kind == OPEN and not self._is_silent:
            self.sends(message(KEEPALIVE))
        if kind == KEEPALIVE:
            self.is_up = True
