"""Memory of a socket for TCP MD5 passwords, which the kernel limits (`net.core.optmem_max`).

All neighbors of a family have their password on one listening socket. Beyond the limit the kernel
refuses further ones, and those neighbors cannot connect.
"""

from __future__ import annotations

from pathlib import Path

OPTMEM_MAX = Path("/proc/sys/net/core/optmem_max")
"""Octets for each socket: by default 20,480 on older kernels, 131,072 on newer ones."""

PASSWORD_OCTETS = 160
"""Octets of one password in the kernel, rounded up: 136 on Linux 6.18."""


def memory_warning(passwords: int, path: Path = OPTMEM_MAX) -> str:
    """Return a warning if this machine's kernel refuses so many passwords on one socket; empty if
    it takes them."""
    try:
        limit = int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return ""
    needed = passwords * PASSWORD_OCTETS
    if needed <= limit:
        return ""
    return (
        f"{passwords} passwords on one socket need {needed} octets, and net.core.optmem_max is "
        f"{limit} here: neighbors beyond that cannot connect. Before ExaBGP starts: "
        f"sysctl net.core.optmem_max={needed}, and the same in /etc/sysctl.d"
    )
