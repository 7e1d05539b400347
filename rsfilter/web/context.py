"""The running filter as the web room sees it, and the operations that it may request.

The web room only reads the state given here. Changes go through `release_guard`, `drain` and the
truth's watcher, which audit and record them like any other input.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from rsfilter.audit.log import AuditLog
from rsfilter.config.model import Config
from rsfilter.edge.pipe import CommandWriter, LineReader
from rsfilter.edge.truth_watcher import TruthWatcher
from rsfilter.exabgp.speaker import Speaker
from rsfilter.pipeline.data import Sources
from rsfilter.pipeline.filter import Filter
from rsfilter.routing.events import GuardReleased
from rsfilter.rtr.caches import RtrCaches

if TYPE_CHECKING:
    from rsfilter.fleet.supervisor import Supervisor


class DrainSwitch(Protocol):
    """Leaves service, or returns to it. `by` is the requester, for display. Returns why a restart
    would forget the drain; empty if it will not."""

    async def __call__(self, on: bool, by: str) -> str: ...


class Reload(Protocol):
    """Takes in the configuration and the truth as their files are now; `is_forced`: what that takes
    away is meant. Answers what is wrong with the configuration."""

    async def __call__(self, by: str, *, is_forced: bool = False) -> list[str]: ...


@dataclass(slots=True)
class Running:
    """The parts of `rsfilter run`, all there from the start. Read on the event loop."""

    config: Config
    filter: Filter
    sources: Sources
    audit: AuditLog
    reader: LineReader
    writer: CommandWriter
    release_guard: Callable[[GuardReleased], None]
    """Releases routes that the guard holds."""
    drain: DrainSwitch
    reload: Reload
    watcher: TruthWatcher | None = None
    """Watcher of the truth file; None if no file is configured."""
    caches: RtrCaches | None = None
    """Caches; None if the configuration has none."""
    speaker: Speaker | None = None
    """Replacements inside ExaBGP; None if ExaBGP runs without them."""
    started: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    start: float = field(default_factory=time.monotonic)
    """The same by the engine's clock."""
    fleet: Supervisor | None = None
    """Shipping process; None without `[fleet]`."""
    reload_problems: list[str] = field(default_factory=list)
    """Problems of the last failed reload; empty if it succeeded or none was requested."""
    is_ending: bool = False
    """True once the filter ends: no change and no response follows."""
    truth_loaded: float | None = None
    """Time at which the active truth was read, in seconds since the epoch."""
    configured: float = field(default_factory=time.time)
    """Time at which the active configuration was read, in seconds since the epoch."""

    def wall_clock(self, at: float) -> float:
        """Seconds since the epoch of a time of the engine's clock (time.monotonic)."""
        return time.time() - (time.monotonic() - at)
