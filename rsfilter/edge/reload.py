"""The configuration as its file is now, refused where it may not replace the one in force."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rsfilter.config import changes
from rsfilter.config.build import parse_config
from rsfilter.config.model import Config, ConfigError
from rsfilter.config.source import read_config
from rsfilter.routing.engine import Engine
from rsfilter.routing.groups import Neighbors
from rsfilter.routing.impact import PolicyImpact
from rsfilter.util.threads import on_own_thread

CONFIG_STALL_S = 60.0
"""A configuration file that does not answer for so long is an error of the reload."""


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
