"""Segments that the kernel has dropped before ExaBGP could see them: TCP MD5 (RFC 2385) and GTSM
(RFC 5082).

The kernel counts them for the whole network namespace, in which ExaBGP runs too. It does not count
by neighbor, so that a count is a hint and no proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

NETSTAT = Path("/proc/net/netstat")

COUNTERS = {
    "md5_wrong": "TCPMD5Failure",
    "md5_missing": "TCPMD5NotFound",
    "md5_unexpected": "TCPMD5Unexpected",
    "ttl": "TCPMinTTLDrop",
}
"""Names of the kernel, by ours. An older kernel lacks some."""

RECENT_S = 300.0
"""Seconds for which a count that has risen is a hint. Speakers try again within two minutes."""


def read_refusals(path: Path = NETSTAT) -> dict[str, int]:
    """Return the counts since the start of the machine, by our names; empty if the kernel has
    none."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return {}
    known: dict[str, str] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if names.startswith("TcpExt:"):
            known = dict(zip(names.split(), values.split(), strict=False))
    return {
        ours: int(known[theirs])
        for ours, theirs in COUNTERS.items()
        if known.get(theirs, "").isdecimal()
    }


class TcpRefusals:
    """The counts, and when each has last risen."""

    def __init__(self, read: Callable[[], Mapping[str, int]] = read_refusals) -> None:
        self._read = read
        self._counts: Mapping[str, int] = {}
        self._risen: dict[str, float] = {}

    def sample(self, now: float) -> None:
        """Compare the counts with those before."""
        before, self._counts = self._counts, self._read()
        for name, number in self._counts.items():
            if number > before.get(name, number):
                self._risen[name] = now

    def recent(self, now: float) -> frozenset[str]:
        """Return the names of the counts that have risen lately."""
        return frozenset(name for name, at in self._risen.items() if now - at <= RECENT_S)
