"""CPU of what the event loop does in one go, for tests of what may hold it.

CPU and not time: another process on a busy machine takes time, and no CPU of this thread.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

HOLD_S = 0.05
"""No step may take more: docs/guarantees.md."""


class Steps:
    """Measurements, in CPU seconds of the loop's thread."""

    longest = 0.0
    total = 0.0


@contextmanager
def steps() -> Iterator[Steps]:
    """Measure every callback and every step of a task."""
    measured = Steps()
    run = asyncio.Handle._run

    def measure(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        took = time.thread_time() - began
        measured.total += took
        measured.longest = max(measured.longest, took)

    # The filter never searches its old objects for cycles (`service.COLLECTOR`); a process full of
    # tests would do so in the middle of a step.
    gc.disable()
    try:
        with patch.object(asyncio.Handle, "_run", measure):
            yield measured
    finally:
        gc.enable()
