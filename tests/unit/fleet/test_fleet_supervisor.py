"""Reports of the shipping process, as the filter's loop hears them. No process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rsfilter.fleet import supervisor
from rsfilter.fleet.messages import MAX_LINE
from rsfilter.fleet.supervisor import Reports


def test_lines_are_taken_whole_in_whatever_pieces_they_come() -> None:
    taken: list[bytes] = []
    reports = Reports(taken.append)
    for piece in (b"one", b"\ntwo\nth", b"", b"ree\n", b"a rest"):
        reports.data_received(piece)
    assert taken == [b"one", b"two", b"three"]


def _ends(monkeypatch: pytest.MonkeyPatch, reports: Reports, *waits: Callable[[], object]) -> int:
    """Number of periods of silence until `ended` returns, with something happening in each."""
    happening = iter(waits)
    periods = 0

    async def wait_for(awaited: Any, timeout: float) -> None:
        nonlocal periods
        periods += 1
        assert timeout == supervisor.SILENT_S
        next(happening, lambda: None)()
        task = asyncio.ensure_future(awaited)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if not task.done():
            task.cancel()
            raise TimeoutError

    monkeypatch.setattr(asyncio, "wait_for", wait_for)
    asyncio.run(reports.ended())
    return periods


def test_a_process_that_reports_is_heard_and_a_silent_one_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reports = Reports(lambda _: None)
    speaks = [lambda: reports.data_received(b"{}\n")] * 3
    assert _ends(monkeypatch, reports, *speaks) == 4


def test_the_end_of_the_process_is_noted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(lambda _: None)
    assert _ends(monkeypatch, reports, lambda: reports.connection_lost(None)) == 1


def test_a_process_that_writes_no_lines_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    reports = Reports(lambda _: None)
    assert _ends(monkeypatch, reports, lambda: reports.data_received(b"x" * (MAX_LINE + 1))) == 1
