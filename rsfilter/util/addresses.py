"""Address of an RTR cache: host, port and transport (RFC 8210 section 9). A value without I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

MAX_HOST_LENGTH = 253
"""RFC 1035 section 2.3.4: the longest domain name in text."""

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"(?:{_LABEL}\.)*(?!\d+\.?$){_LABEL}\.?", re.ASCII)
"""RFC 1123 section 2.1. A last label of digits alone is refused: 192.0.2.300 is a mistyped
address."""

_HOST_PORT = re.compile(r"(?:\[(?P<bracketed>[^]]*)\]|(?P<plain>[^:]*)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class CacheAddress:
    """One RTR cache."""

    host: str
    """An IP address or a host name."""
    port: int
    transport: Literal["tcp", "ssh"] = "tcp"
    user: str = ""
    """Login name for SSH. This field and the next two apply to SSH only."""
    key: str = ""
    """Path of the private key."""
    known_hosts: str = ""
    """Path of the file with the trusted host keys."""

    @classmethod
    def parse(cls, text: str) -> CacheAddress:
        """Parse `host:port` (an IPv6 address in brackets) as a TCP cache. Raises ValueError
        otherwise."""
        match = _HOST_PORT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not host:port")
        host, port = match["bracketed"] or match["plain"] or "", int(match["port"])
        if match["bracketed"] is not None:
            if ip_address(host).version != 6 or "%" in host:
                raise ValueError(f"{host!r} is not an IPv6 address")
        elif not (_is_ipv4(host) or is_host_name(host)):
            raise ValueError(f"{host!r} is neither an IPv4 address nor a host name")
        if not 1 <= port <= 65535:
            raise ValueError(f"{port} is not a TCP port")
        return cls(host, port)

    @property
    def place(self) -> tuple[str, int]:
        """Host and port in canonical form: equal for two spellings of one host."""
        return _canonical(self.host), self.port

    def __str__(self) -> str:
        """`host:port`, as the configuration spells it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_host_name(text: str) -> bool:
    """Return whether a text is a host name (RFC 1123 section 2.1)."""
    return len(text) <= MAX_HOST_LENGTH and _HOST_NAME.fullmatch(text) is not None


def _is_ipv4(host: str) -> bool:
    try:
        return ip_address(host).version == 4
    except ValueError:
        return False


def _canonical(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return host.lower().removesuffix(".")  # RFC 4343
