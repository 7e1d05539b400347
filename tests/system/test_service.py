"""The turns of the service, by hand: what only shows when things happen in one order."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import cast

import pytest
from lab.waiting import DEADLINE_S
from support.config_sample import configuration
from support.speaker import announce, state

from rsfilter.config.build import load_config
from rsfilter.edge.ending import Ending
from rsfilter.edge.pipe import LineReader
from rsfilter.service import Service

HOST = "198.51.100.1"


@pytest.fixture
async def service(tmp_path: Path) -> Service:
    """A service that does not run, with a truth that it has not read. Commands stay queued."""
    (tmp_path / "rsfilter.toml").write_text(configuration())
    (tmp_path / "truth.json").write_text(json.dumps({"roas": []}))
    return Service(load_config(tmp_path / "rsfilter.toml"), None, Ending(leave=int), -1, -1)


class LastMoment:
    """A reader that gets its last lines, and sees the end, just after a request for lines."""

    def __init__(self, lines: list[bytes]) -> None:
        self.is_at_end = False
        self._lines: list[list[bytes]] = [[], lines]

    def take(self) -> list[bytes]:
        self.is_at_end = True
        return self._lines.pop(0)


async def test_what_comes_with_the_end_is_not_lost(service: Service) -> None:
    lines = state(HOST, 65001, "up") + announce(HOST, 65001, ["203.0.113.1/32"])
    service._reader = cast(LineReader, LastMoment(lines.splitlines()))
    service._wake.set()
    async with asyncio.timeout(DEADLINE_S):
        await service._turns()
    assert service._pipeline.filter.lines.counters == {"SessionUp": 1, "Update": 1}


async def test_a_turn_ends_when_its_time_is_up(service: Service) -> None:
    """Each line is a full UPDATE: all of them in one turn would keep HTTP and timers waiting."""
    service._pipeline.filter.line(state(HOST, 65001, "up").rstrip(), 0.0)
    lines = [
        announce(HOST, 65001, [f"10.{n}.{m >> 8}.{m & 255}/32" for m in range(800)]).rstrip()
        for n in range(60)
    ]
    turns = []
    while lines:
        turns.append(service._turn(lines))
        del lines[: turns[-1]]
    assert sum(turns) == 60
    assert max(turns) < 30
    assert service._pipeline.filter.lines.counters["Update"] == 60
