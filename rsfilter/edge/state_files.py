"""All that one process of the filter leaves to the next, in files beside the audit log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from rsfilter.edge import drain_file, guard_file, unsettled_file
from rsfilter.edge.guard_keeper import CommandGate, GuardKeeper
from rsfilter.exabgp.unsettled import SETTLED, Unsettled
from rsfilter.pipeline.outputs import Outputs
from rsfilter.routing.events import GuardRestored
from rsfilter.routing.guard import Haste, Records
from rsfilter.util.threads import on_own_thread

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

LOAD_TIMEOUT_S = 2.0
"""Time to read the files of the last process. ExaBGP's lines wait meanwhile."""


class Before(NamedTuple):
    """State that the last process left."""

    unsettled: Unsettled
    guard: GuardRestored
    drain_by: str | None
    """Author of a drain that goes on; None if the filter is in service."""


class StateFiles:
    """Keeps the files current, and commands back until the files are."""

    def __init__(self, directory: Path, write: Callable[[list[bytes]], None]) -> None:
        """`write`: passes commands on to ExaBGP."""
        self._unsettled_path = directory / unsettled_file.NAME
        self._guard_path = directory / guard_file.NAME
        self._drain_path = directory / drain_file.NAME
        self._drain = drain_file.DrainKeeper(self._drain_path)
        self._gate = CommandGate(write)
        self._guard: GuardKeeper | None = None
        self._unsettled: unsettled_file.UnsettledKeeper | None = None
        """Both are None until the files of the last process are read."""

    async def load(self) -> Before:
        """Return what the last process left, as far as the disk answers."""
        return Before(
            *await asyncio.gather(
                _load(SETTLED, unsettled_file.load, self._unsettled_path),
                _load(guard_file.NOTHING, guard_file.load, self._guard_path, time.time()),
                _load(None, drain_file.load, self._drain_path),
            )
        )

    def start(self, before: Before, take_records: Callable[[], Records]) -> None:
        """Write from now on. `before`: the files' content; `take_records`: that of the pipeline."""
        self._unsettled = unsettled_file.UnsettledKeeper(self._unsettled_path, before.unsettled)
        self._unsettled.start()
        self._guard = GuardKeeper(self._guard_path, before.guard, take_records)
        self._guard.start()

    def pass_on(self, out: Outputs) -> None:
        """Write what is due, and pass the commands on after what has to be written before them."""
        if self._unsettled:
            self._unsettled.take(out.unsettled)
        if self._guard and out.haste:
            written = self._guard.write()
            if out.haste is Haste.FIRST:
                self._gate.wait_for(written)
        if out.commands:
            self._gate.write(out.commands)

    async def keep_drain(self, by: str | None) -> str:
        """See `DrainKeeper.keep`."""
        return await self._drain.keep(by)

    def stop(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Pass on all commands. Return what is left to write, by what it is."""
        self._gate.open()
        parts = {"the guard's state": self._guard, "which routers are settled": self._unsettled}
        return {name: keeper.stop() for name, keeper in parts.items() if keeper}


async def _load(nothing: T, load: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the content of a file, `nothing` where the disk does not answer."""
    try:
        async with asyncio.timeout(LOAD_TIMEOUT_S):
            return await on_own_thread(load, *args, **kwargs)
    except TimeoutError:
        log.error("restart: the disk does not answer, and is left out: %s", *args[:1])
        return nothing
