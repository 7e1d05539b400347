"""Resources that a process uses, as /proc has it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """CPU seconds that it has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mb(pid: int) -> float:
    """Its resident memory, in megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6


def descriptors(pid: int) -> int:
    """Files, sockets and pipes that it has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def is_runnable(pid: int) -> bool:
    """Return whether a thread of it runs, or would if a processor were free."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            if stat.read_text().rpartition(")")[2].split()[0] == "R":
                return True
    return False
