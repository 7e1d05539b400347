"""Runs rsfilter and counts its calls of functions, Python's and C's: work that no clock decides.

    python call_counter.py PIPE -m rsfilter run -c rsfilter.toml

A line that is written into the pipe PIPE is answered in PIPE.out with the counts. Other processes
are not counted.
"""

from __future__ import annotations

import runpy
import sys
import threading
from types import FrameType
from typing import Any

calls = {"all": 0, "fleet": 0}
"""All calls, and those of functions of the package of the fleet."""


def count(frame: FrameType, event: str, _: Any) -> None:
    """Take one event of the interpreter."""
    if event in ("call", "c_call"):
        calls["all"] += 1
        if frame.f_globals.get("__name__", "").startswith("rsfilter.fleet"):
            calls["fleet"] += 1


def answer(pipe: str) -> None:
    """Answer each question."""
    while True:
        with open(pipe) as questions:
            questions.readline()
        with open(f"{pipe}.out", "w") as answers:
            answers.write(f"{calls['all']} {calls['fleet']}\n")


if __name__ == "__main__":
    threading.Thread(target=answer, args=[sys.argv[1]], daemon=True).start()
    threading.setprofile(count)
    sys.setprofile(count)
    sys.argv[:4] = ["rsfilter"]
    runpy.run_module("rsfilter", run_name="__main__", alter_sys=True)
