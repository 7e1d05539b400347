"""Counts of instructions by Valgrind's callgrind: the same on a busy machine and a quiet one.

A process that callgrind runs signals what to count. Elsewhere the signals do nothing.

Valgrind knows no SHA instructions. OpenSSL then spends some 20 times as many of the others on the
chain of the audit log: they are counted apart, as those of its library.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from enum import IntEnum
from pathlib import Path

CALLGRIND = ("valgrind", "--tool=callgrind", "--quiet")

_CALL_VALGRIND = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
"""A function of one argument, the address of a request to Valgrind (x86-64, valgrind.h)."""

_TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)
_COST = re.compile(r"(?:[+-]?\d+|\*) \d+$")


class Request(IntEnum):
    """Requests to callgrind (callgrind.h)."""

    TOGGLE = 0x43540002
    """Begin or stop to collect, in the thread that makes the request."""
    START = 0x43540004
    STOP = 0x43540005


class Callgrind:
    """The way to callgrind, if this process runs in it."""

    def __init__(self) -> None:
        self._page = mmap.mmap(
            -1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        )
        self._page.write(_CALL_VALGRIND)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._call = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)
        self._requests = {one: (ctypes.c_uint64 * 6)(one) for one in Request}

    def send(self, request: Request) -> None:
        """Send a request."""
        self._call(ctypes.addressof(self._requests[request]))


def total(profile: Path) -> int:
    """Return the instructions of a profile."""
    found = _TOTAL.search(profile.read_text())
    return int(found[1]) if found else 0


def of_object(profile: Path, name: str) -> int:
    """Return the instructions of an object's own functions."""
    names: dict[str, str] = {}
    is_its = is_call = False
    found = 0
    for line in profile.read_text().splitlines():
        if line.startswith("ob="):
            number, _, path = line[3:].partition(" ")
            names.setdefault(number, path)
            is_its = name in names[number]
        elif line.startswith("cob="):
            number, _, path = line[4:].partition(" ")
            names.setdefault(number, path)
        elif line.startswith("calls="):
            is_call = True
        elif _COST.match(line):
            found += int(line.split()[-1]) if is_its and not is_call else 0
            is_call = False
    return found
