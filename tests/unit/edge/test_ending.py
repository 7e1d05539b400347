"""The end of the process: a deadline that holds, whatever the main thread does."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time

import pytest
from lab.waiting import DEADLINE_S

from rsfilter.commands.output import FAILED, INVALID
from rsfilter.edge.ending import SHORTEST_LIFE_S, Ending


class Left:
    """Stands for `os._exit`: notes the codes."""

    def __init__(self) -> None:
        self.codes: queue.Queue[int] = queue.Queue()

    def __call__(self, code: int) -> None:
        self.codes.put(code)


def test_at_the_deadline_the_process_leaves() -> None:
    left = Left()
    ending = Ending(left, end_s=0.05)
    assert ending.input_until is None
    ending.arm()
    assert left.codes.get(timeout=DEADLINE_S) == FAILED


def test_the_earliest_deadline_holds() -> None:
    """A filter that fails lingers until it is ended."""
    left = Left()
    ending = Ending(left, end_s=0.05)
    ending.arm(lingers=True)
    with pytest.raises(queue.Empty):
        left.codes.get(timeout=0.5)
    assert SHORTEST_LIFE_S > 5
    ending.arm()
    assert left.codes.get(timeout=DEADLINE_S) == FAILED


def test_the_end_of_a_pipe_shows_although_it_is_not_read() -> None:
    left = Left()
    ending = Ending(left, end_s=0.05)
    reading, writing = os.pipe()
    os.write(writing, b"something\n")
    watching = threading.Thread(target=ending._await_hang_up, args=(reading,), daemon=True)
    watching.start()
    assert ending.input_until is None
    os.close(writing)
    assert left.codes.get(timeout=DEADLINE_S) == FAILED
    assert ending.input_until is not None
    os.close(reading)


def test_a_disarmed_end_does_not_end_the_process() -> None:
    left = Left()
    ending = Ending(left, end_s=0.01)
    ending.arm()
    ending.disarm()
    time.sleep(0.1)
    assert left.codes.qsize() <= 1  # the thread may have been quicker


SIGNALLED = """
import sys, threading
from rsfilter.edge.ending import Ending
from rsfilter.commands.output import INVALID

ending = Ending(end_s=float(sys.argv[2]))
ending.watch(0)
if sys.argv[1] == "lingers":
    threading.Timer(0.0, print, ("ready",), {"flush": True}).start()
    ending.linger(INVALID)
if sys.argv[1] == "hangs":
    ending.at_signal(lambda why: None)
print("ready", flush=True)
lock = threading.Lock()
lock.acquire()
lock.acquire()  # a main thread that hangs handles no signal
"""


@pytest.mark.parametrize(
    ("what", "end_s", "code"), [("starts", 60, 0), ("lingers", 60, INVALID), ("hangs", 0.2, FAILED)]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_process_whose_main_thread_hangs(
    what: str, end_s: float, code: int, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SIGNALLED, what, str(end_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(20) == code
