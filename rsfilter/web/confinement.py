"""A worker's side: what it may take, set before it reads anything (`workers`).

Imports little: each request that needs a worker waits for its start.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

NICENESS = 10
"""The filter, and ExaBGP, get nine tenths of a CPU that a worker wants as well."""

OUT_OF_MEMORY = 12
"""Exit code: the limit of memory was reached."""

_PR_SET_PDEATHSIG = 1


class WorkerLimits(NamedTuple):
    """Limits of a worker."""

    memory: int
    """Octets of address space."""
    cpu_s: int


def run(work: Callable[[BinaryIO, BinaryIO], None]) -> None:
    """Run `work(input, output)` in this process, confined as the arguments of `workers` define, and
    end the process."""
    parent, *numbers = map(int, sys.argv[1:])
    _confine(parent, WorkerLimits(*numbers))
    code = 0
    with contextlib.suppress(EOFError, BrokenPipeError):  # the request has ended
        try:
            work(sys.stdin.buffer, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except MemoryError:
            code = OUT_OF_MEMORY
    os._exit(code)  # to free millions of objects takes a while


def _confine(parent: int, limits: WorkerLimits) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # those that the filter blocks
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal: the filter ends, and kills us
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)  # the filter ended before this process could request to end with it
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
