"""Work on threads: its results, its failures, and who waits for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest
from lab.waiting import DEADLINE_S

from rsfilter.util.threads import on_own_thread


async def test_work_is_done_on_another_thread_and_returned() -> None:
    def work(one: int, *, two: int) -> tuple[int, int]:
        return one + two, threading.get_ident()

    total, thread = await on_own_thread(work, 1, two=2)
    assert total == 3
    assert thread != threading.get_ident()


async def test_an_error_of_the_work_is_raised_to_the_caller() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await on_own_thread(int, "x")


async def test_work_that_is_given_up_ends_unheard(caplog: pytest.LogCaptureFixture) -> None:
    may_end, threads = threading.Event(), list[threading.Thread]()

    def work() -> None:
        threads.append(threading.current_thread())
        may_end.wait(DEADLINE_S)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await on_own_thread(work)
    may_end.set()
    await asyncio.to_thread(threads[0].join, 20)
    await asyncio.sleep(0)  # its result is read
    assert caplog.text == ""


ENDS = """
import asyncio, threading
from rsfilter.util.threads import on_own_thread

async def main():
    try:
        async with asyncio.timeout(0.05):
            await on_own_thread(threading.Event().wait)
    except TimeoutError:
        print("ends", flush=True)

asyncio.run(main())
"""


def test_a_process_ends_without_waiting_for_it() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDS], timeout=DEADLINE_S, capture_output=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"ends\n", b"")
