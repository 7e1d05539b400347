"""Runs rsfilter in callgrind, and has its instructions counted from one moment to another.

    valgrind … python instruction_counter.py PIPE MODE -m rsfilter run -c rsfilter.toml

Two lines into the pipe PIPE begin and end it; each is answered in PIPE.out. MODE determines what
counts:

    all      what the process does, in all of its threads
    way      the loop's thread, from where it takes a line to where it hands a command to the writer
    report   the loop's thread, while it takes a report of the shipping process

The last answer is a JSON object: the reports, and the turns of the loop from the arrival of a line
to its command, with how often each number occurred.
"""

from __future__ import annotations

import json
import runpy
import sys
import threading
from asyncio.base_events import BaseEventLoop
from asyncio.unix_events import _UnixReadPipeTransport
from collections import Counter
from collections.abc import Callable
from typing import Any

from support.valgrind import Callgrind, Request

from rsfilter.edge.pipe import CommandWriter, LineReader

_UPDATE = b'"type": "update"'


class Meter:
    """Hooks in the filter, and the way to callgrind."""

    def __init__(self, mode: str) -> None:
        self._callgrind = Callgrind()
        self._mode = mode
        self._is_on = False
        """True while the loop's thread counts, in the modes in which it does not always."""
        self.turn = 0
        self.arrived: int | None = None
        """The turn in which a line arrived whose command has not been seen yet."""
        self.turns: Counter[int] = Counter()
        self.reports = 0

    def hook(self) -> None:
        """Put the hooks in: the same ones in all modes and in all filters."""
        _before(BaseEventLoop, "_run_once", lambda _: self._turns())
        _before(LineReader, "_split", lambda _, chunk: self._arrives(chunk))
        _after(LineReader, "take", self._takes)
        _before(CommandWriter, "write", lambda _, lines: self._commands(lines))
        _before(_UnixReadPipeTransport, "_read_ready", lambda _: self._reports())
        _after(_UnixReadPipeTransport, "_read_ready", lambda _: self._switch("report", is_on=False))

    def begin(self) -> None:
        """Count from now on."""
        self.turns.clear()
        self.reports = 0
        self._callgrind.send(Request.START)

    def end(self) -> dict[str, Any]:
        """Count no longer. Callgrind writes a profile of each thread when the process ends."""
        self._callgrind.send(Request.STOP)
        return {"turns": dict(self.turns), "reports": self.reports}

    def _turns(self) -> None:
        self.turn += 1
        self._switch("way", is_on=False)  # a turn that had no command

    def _arrives(self, chunk: bytes) -> None:
        if _UPDATE in chunk:
            self.arrived = self.turn

    def _takes(self, lines: list[bytes]) -> None:
        if any(_UPDATE in line for line in lines):  # replies of ExaBGP need not
            self._switch("way", is_on=True)

    def _commands(self, lines: list[bytes]) -> None:
        self._switch("way", is_on=False)
        if lines and self.arrived is not None:
            self.turns[self.turn - self.arrived] += 1
            self.arrived = None

    def _reports(self) -> None:
        self.reports += 1
        self._switch("report", is_on=True)

    def _switch(self, mode: str, *, is_on: bool) -> None:
        if mode == self._mode and is_on != self._is_on:
            self._is_on = is_on
            self._callgrind.send(Request.TOGGLE)


def _before(owner: type, name: str, hook: Callable[..., None]) -> None:
    inner = getattr(owner, name)

    def hooked(*arguments: Any) -> Any:
        hook(*arguments)
        return inner(*arguments)

    setattr(owner, name, hooked)


def _after(owner: type, name: str, hook: Callable[[Any], None]) -> None:
    inner = getattr(owner, name)

    def hooked(*arguments: Any) -> Any:
        result = inner(*arguments)
        hook(result)
        return result

    setattr(owner, name, hooked)


def answer(pipe: str, meter: Meter) -> None:
    """Answer each question."""
    actions: list[Callable[[], object]] = [meter.begin, meter.end]
    for action in actions:
        with open(pipe) as questions:
            questions.readline()
        found = action()
        with open(f"{pipe}.out", "w") as answers:
            answers.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    meter = Meter(sys.argv[2])
    meter.hook()
    threading.Thread(target=answer, args=[sys.argv[1], meter], daemon=True).start()
    sys.argv[:5] = ["rsfilter"]
    runpy.run_module("rsfilter", run_name="__main__", alter_sys=True)
