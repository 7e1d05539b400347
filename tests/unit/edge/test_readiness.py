"""The files of `[readiness]`, whatever happens to them and to their directories."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lab.waiting import DEADLINE_S

from rsfilter.config.build import ReadinessConfig
from rsfilter.edge.readiness import ReadinessWatcher

Told = list[str]


@asynccontextmanager
async def watching(**files: Path) -> AsyncIterator[tuple[Told, Callable[[str], Awaitable[None]]]]:
    """Reports of the watcher, and a way to wait for the last one."""
    told: Told = []
    watcher = ReadinessWatcher(ReadinessConfig(**files), told.append, interval=0.01)
    await watcher.start()

    async def says(why: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while told[-1:] != [why]:
                await asyncio.sleep(0.01)

    try:
        yield told, says
    finally:
        await watcher.stop()


@pytest.mark.parametrize("name", ["ready_file", "disable_file"])
async def test_a_start_does_not_wait_for_a_file_system_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A file without an answer counts as absent, as with a missing permission."""
    file = tmp_path / "file"
    file.touch()
    answers = threading.Event()
    look = ReadinessWatcher._read

    def look_late(watcher: ReadinessWatcher) -> str:
        assert answers.wait(DEADLINE_S)
        return look(watcher)

    monkeypatch.setattr(ReadinessWatcher, "_read", look_late)
    monkeypatch.setattr("rsfilter.edge.readiness.PATIENCE_S", 0.05)
    async with watching(**{name: file}) as (told, says):
        assert told == ([f"{file} cannot be checked"] if name == "ready_file" else [])
        answers.set()
        await says("" if name == "ready_file" else f"{file} is there")


async def test_other_files_are_checked_although_the_first_do_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hanging files may be the reason for the new configuration."""
    gone, asked, answers = tmp_path / "gone", threading.Event(), threading.Event()
    look = ReadinessWatcher._is_there

    def look_late(watcher: ReadinessWatcher, path: Path) -> bool:
        if path == gone:
            asked.set()
            assert answers.wait(DEADLINE_S)
        return look(watcher, path)

    monkeypatch.setattr(ReadinessWatcher, "_is_there", look_late)
    monkeypatch.setattr("rsfilter.edge.readiness.PATIENCE_S", 0.05)
    told: Told = []
    watcher = ReadinessWatcher(ReadinessConfig(ready_file=gone), told.append, interval=0.01)
    await watcher.start()
    assert asked.is_set()
    monkeypatch.setattr("rsfilter.edge.readiness.PATIENCE_S", 10 * DEADLINE_S)
    async with asyncio.timeout(DEADLINE_S):
        await watcher.configure(ReadinessConfig(disable_file=tmp_path / "disable"))
    assert told == [f"{gone} cannot be checked", ""]
    answers.set()
    await watcher.stop()


async def test_what_must_be_there(tmp_path: Path) -> None:
    ready = tmp_path / "a dir" / "ready"
    async with watching(ready_file=ready) as (told, says):
        assert told == [f"{ready} is missing"]  # before the first turn of the filter
        ready.parent.mkdir()
        ready.touch()
        await says("")
        shutil.rmtree(ready.parent)
        await says(f"{ready} is missing")
        ready.parent.touch()  # not even a directory
        ready.parent.unlink()
        ready.parent.mkdir()
        ready.mkdir()  # whatever it is, it is there
        await says("")


async def test_what_must_not_be_there(tmp_path: Path) -> None:
    disable = tmp_path / "disable"
    async with watching(disable_file=disable) as (told, says):
        assert told == []
        disable.touch()
        await says(f"{disable} is there")
        disable.unlink()
        await says("")


async def test_both_have_to_allow_it(tmp_path: Path) -> None:
    ready, disable = tmp_path / "ready", tmp_path / "disable"
    disable.touch()
    async with watching(ready_file=ready, disable_file=disable) as (told, says):
        assert told == [f"{ready} is missing, {disable} is there"]
        ready.touch()
        await says(f"{disable} is there")
        disable.unlink()
        await says("")


async def test_a_link_counts_for_what_it_leads_to(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    async with watching(disable_file=link) as (told, says):
        assert told == []
        target.touch()
        await says(f"{link} is there")


async def test_without_files_to_wait_for_readiness_never_changes() -> None:
    async with watching() as (told, _):
        assert told == []


async def test_what_cannot_be_seen_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Root sees everything, so the refusal is the operating system's in words only."""
    disable = tmp_path / "disable"
    disable.touch()
    async with watching(disable_file=disable) as (told, says):
        looks = 0
        real = Path.stat

        def refuses(path: Path, **rest: bool) -> object:
            nonlocal looks
            looks += path == disable
            if path == disable and looks < 5:
                raise PermissionError(13, "Permission denied")
            return real(path, **rest)

        monkeypatch.setattr(Path, "stat", refuses)
        disable.unlink()
        await says("")
        assert looks >= 5
    assert told == [f"{disable} is there", ""]
    assert caplog.text.count("cannot check ") == 1


async def test_a_change_whose_callback_failed_is_reported_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: Told = []

    def tell(why: str) -> None:
        told.append(why)
        if len(told) == 1:
            raise RuntimeError("a bug of the taker")

    disable = tmp_path / "disable"
    watcher = ReadinessWatcher(ReadinessConfig(disable_file=disable), tell, interval=0.01)
    await watcher.start()
    disable.touch()
    async with asyncio.timeout(DEADLINE_S):
        while len(told) < 2:
            await asyncio.sleep(0.01)
    await watcher.stop()
    assert told == [f"{disable} is there"] * 2
    assert "a bug of the taker" in caplog.text


async def test_files_that_are_no_longer_configured_do_not_keep_it_out_of_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last check may fail, for want of a thread."""
    disable = tmp_path / "disable"
    disable.touch()
    told: Told = []
    watcher = ReadinessWatcher(ReadinessConfig(disable_file=disable), told.append, interval=0.01)
    await watcher.start()
    looks: list[str] = []
    look = ReadinessWatcher._read

    def look_again(watcher: ReadinessWatcher) -> str:
        looks.append("")
        if len(looks) == 1:
            raise RuntimeError("can't start new thread")
        return look(watcher)

    monkeypatch.setattr(ReadinessWatcher, "_read", look_again)
    await watcher.configure(ReadinessConfig())
    async with asyncio.timeout(DEADLINE_S):
        while told[-1]:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert len(looks) == 2, "it goes on looking for nothing"
    await watcher.stop()
