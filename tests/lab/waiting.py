"""Expectations that wait: poll until what is expected is there, never sleep for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.client import HTTPException

DEADLINE_S = 120.0
"""Seconds after which an act hangs: a session is up again some seconds after a hold timer of 9 s,
and beside eight busy programs on two processors everything takes five times as long."""

INTERVAL_S = 0.05

Probe = Callable[[], str | None]
"""Check once: None when all is as expected, else what is not."""


def eventually(
    probe: Probe,
    report: Callable[[], str] = lambda: "",
    deadline_s: float = DEADLINE_S,
    interval_s: float = INTERVAL_S,
) -> None:
    """Wait until `probe` finds nothing wrong; else fail with its last word and `report`.

    A probe that requests something of a process that still starts may fail in the middle: no
    listener, another status than expected. That is one more thing that is not yet as expected.
    """
    end = time.monotonic() + deadline_s
    while (wrong := _checked(probe)) is not None:
        if time.monotonic() > end:
            raise AssertionError(f"{wrong} (waited {deadline_s:g} s)\n{report()}")
        time.sleep(interval_s)


def _checked(probe: Probe) -> str | None:
    try:
        return probe()
    except (AssertionError, OSError, HTTPException) as error:
        return f"{type(error).__name__}: {error}"


def throughout(probe: Probe, seconds: float, report: Callable[[], str] = lambda: "") -> None:
    """Watch for `seconds`, and fail as soon as `probe` finds something wrong."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (wrong := probe()) is not None:
            raise AssertionError(f"{wrong}\n{report()}")
        time.sleep(INTERVAL_S)
