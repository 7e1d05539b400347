"""Reloads: the configuration as its file is now, refused if it may not replace the active one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from rsfilter.audit.record import ServiceEvent
from rsfilter.config import changes
from rsfilter.config.build import parse_config
from rsfilter.config.model import Config, ConfigError
from rsfilter.config.source import read_config
from rsfilter.edge.data_feed import DataFeed
from rsfilter.pipeline.inputs import Configured, Input
from rsfilter.routing.engine import Engine
from rsfilter.routing.groups import Neighbors
from rsfilter.routing.impact import PolicyImpact
from rsfilter.util.threads import on_own_thread

log = logging.getLogger(__name__)

CONFIG_STALL_S = 60.0
"""A configuration file that does not answer for so long is an error of the reload."""


class ActiveConfig(Protocol):
    """The active configuration, as the other parts of the filter see it."""

    config: Config
    configured: float
    """Time at which it was read, in seconds since the epoch."""
    reload_problems: list[str]
    """Problems of the last failed reload."""


class Reloader:
    """Applies configuration and truth as their files are now, one reload after the other."""

    def __init__(
        self,
        active: ActiveConfig,
        engine: Engine,
        feed: DataFeed,
        apply: Callable[[Input], None],
        configured: Callable[[Config], Awaitable[None]],
    ) -> None:
        """`apply` takes a change into the pipeline, `configured` into the parts beside it."""
        self._active = active
        self._engine = engine
        self._feed = feed
        self._apply = apply
        self._configured = configured
        self._lock = asyncio.Lock()
        self._started: set[asyncio.Task[list[str]]] = set()

    def start(self, by: str) -> None:
        """Begin a reload, without waiting for it."""
        task = asyncio.create_task(self.reload(by), name="reload")
        self._started.add(task)  # else it may vanish in the middle
        task.add_done_callback(self._started.discard)

    async def reload(self, by: str, *, is_forced: bool = False) -> list[str]:
        """Apply the configuration and the truth as their files are now. Returns the problems of the
        configuration, one text each: with any, the active one stays. `is_forced`: the guard accepts
        the losses that it causes."""
        async with self._lock:
            problems = await self._reload_config(by, is_forced=is_forced)
        await self._feed.reload()
        return problems

    async def _reload_config(self, by: str, *, is_forced: bool) -> list[str]:
        try:
            wanted, text = await read_again(self._active.config, self._engine, is_forced=is_forced)
        except ConfigError as error:
            self._active.reload_problems = error.problems
            log.error(
                "reload refused, the active configuration stays in force: %s",
                "; ".join(error.problems),
            )
            self._apply(ServiceEvent("reload_refused", {"by": by, "problems": error.problems[:10]}))
            return error.problems
        self._active.reload_problems = []
        self._active.configured = time.time()
        sections = changes.changed(self._active.config, wanted)
        log.info("configuration reloaded: %s", ", ".join(sections) or "no change")
        self._apply(ServiceEvent("reload", {"by": by, "sections": sections}))
        if sections:
            self._active.config = wanted
            self._apply(Configured(wanted, text, is_forced=is_forced))
            await self._configured(wanted)
        return []


async def read_again(current: Config, engine: Engine, *, is_forced: bool) -> tuple[Config, str]:
    """Return the configuration in `current`'s file, and its text. `is_forced`: the guard is not
    consulted. Raises ConfigError with every reason against applying it."""
    path = current.path
    try:
        async with asyncio.timeout(CONFIG_STALL_S):
            text, wanted = await on_own_thread(_read, path)
    except TimeoutError:
        raise ConfigError([f"{path}: has not answered for {CONFIG_STALL_S:.0f} s"]) from None
    problems = changes.refusals(current, wanted)
    if not problems and not is_forced and wanted.hosts != current.hosts:
        problems = await _losses(wanted, engine)
    if problems:
        raise ConfigError([f"{path}: {why}" for why in problems])
    return wanted, text


def _read(path: Path) -> tuple[str, Config]:
    text = read_config(path)
    return text, parse_config(text, path)


async def _losses(wanted: Config, engine: Engine) -> list[str]:
    """Return why the guard refuses a configuration: it would take too much away."""
    impact = PolicyImpact(Neighbors(wanted.hosts, wanted.routers), engine.data)
    for _ in impact.judge(engine.rib_in):
        await asyncio.sleep(0)
    guard = engine.guard
    if guard.allows(impact.lost, impact.accepted):
        return []
    before = f", beside {guard.lost} that were lost before" if guard.lost else ""
    return [
        f"hosts: this would reject {impact.lost} of {impact.accepted} accepted routes{before}: "
        "more than [guard] allows. To apply it anyway: rsfilter reload --force"
    ]
