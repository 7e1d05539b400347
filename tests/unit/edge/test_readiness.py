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

Reports = list[str]


@asynccontextmanager
async def watching(
    **files: Path,
) -> AsyncIterator[tuple[Reports, Callable[[str], Awaitable[None]]]]:
    """Reports of the watcher, and a way to wait for the last one."""
    reported: Reports = []
    watcher = ReadinessWatcher(ReadinessConfig(**files), reported.append, interval=0.01)
    await watcher.start()

    async def reports(why: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while reported[-1:] != [why]:
                await asyncio.sleep(0.01)

    try:
        yield reported, reports
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
    read = ReadinessWatcher._read

    def read_late(watcher: ReadinessWatcher) -> str:
        assert answers.wait(DEADLINE_S)
        return read(watcher)

    monkeypatch.setattr(ReadinessWatcher, "_read", read_late)
    monkeypatch.setattr("rsfilter.edge.readiness.PATIENCE_S", 0.05)
    async with watching(**{name: file}) as (reported, reports):
        assert reported == ([f"{file} cannot be checked"] if name == "ready_file" else [])
        answers.set()
        await reports("" if name == "ready_file" else f"{file} is there")


async def test_other_files_are_checked_although_the_first_do_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hanging files may be the reason for the new configuration."""
    gone, requested, answers = tmp_path / "gone", threading.Event(), threading.Event()
    read = ReadinessWatcher._is_there

    def read_late(watcher: ReadinessWatcher, path: Path) -> bool:
        if path == gone:
            requested.set()
            assert answers.wait(DEADLINE_S)
        return read(watcher, path)

    monkeypatch.setattr(ReadinessWatcher, "_is_there", read_late)
    monkeypatch.setattr("rsfilter.edge.readiness.PATIENCE_S", 0.05)
    reported: Reports = []
    watcher = ReadinessWatcher(ReadinessConfig(ready_file=gone), reported.append, interval=0.01)
    await watcher.start()
    assert requested.is_set()
    monkeypatch.setattr("rsfilter.edge.readiness.PATIENCE_S", 10 * DEADLINE_S)
    async with asyncio.timeout(DEADLINE_S):
        await watcher.configure(ReadinessConfig(disable_file=tmp_path / "disable"))
    assert reported == [f"{gone} cannot be checked", ""]
    answers.set()
    await watcher.stop()


async def test_a_missing_ready_file_drains_until_it_exists(tmp_path: Path) -> None:
    ready = tmp_path / "a dir" / "ready"
    async with watching(ready_file=ready) as (reported, reports):
        assert reported == [f"{ready} is missing"]  # before the first turn of the filter
        ready.parent.mkdir()
        ready.touch()
        await reports("")
        shutil.rmtree(ready.parent)
        await reports(f"{ready} is missing")
        ready.parent.touch()  # not even a directory
        ready.parent.unlink()
        ready.parent.mkdir()
        ready.mkdir()  # whatever it is, it is there
        await reports("")


async def test_a_disable_file_drains_until_it_is_removed(tmp_path: Path) -> None:
    disable = tmp_path / "disable"
    async with watching(disable_file=disable) as (reported, reports):
        assert reported == []
        disable.touch()
        await reports(f"{disable} is there")
        disable.unlink()
        await reports("")


async def test_both_readiness_files_have_to_allow_service(tmp_path: Path) -> None:
    ready, disable = tmp_path / "ready", tmp_path / "disable"
    disable.touch()
    async with watching(ready_file=ready, disable_file=disable) as (reported, reports):
        assert reported == [f"{ready} is missing, {disable} is there"]
        ready.touch()
        await reports(f"{disable} is there")
        disable.unlink()
        await reports("")


async def test_a_link_counts_for_what_it_leads_to(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    async with watching(disable_file=link) as (reported, reports):
        assert reported == []
        target.touch()
        await reports(f"{link} is there")


async def test_without_files_to_wait_for_readiness_never_changes() -> None:
    async with watching() as (reported, _):
        assert reported == []


async def test_what_cannot_be_seen_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Root sees everything, so the refusal is the operating system's in words only."""
    disable = tmp_path / "disable"
    disable.touch()
    async with watching(disable_file=disable) as (reported, reports):
        reads = 0
        real = Path.stat

        def refuses(path: Path, **rest: bool) -> object:
            nonlocal reads
            reads += path == disable
            if path == disable and reads < 5:
                raise PermissionError(13, "Permission denied")
            return real(path, **rest)

        monkeypatch.setattr(Path, "stat", refuses)
        disable.unlink()
        await reports("")
        assert reads >= 5
    assert reported == [f"{disable} is there", ""]
    assert caplog.text.count("cannot check ") == 1


async def test_a_change_whose_callback_failed_is_reported_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reported: Reports = []

    def record(why: str) -> None:
        reported.append(why)
        if len(reported) == 1:
            raise RuntimeError("a bug of the taker")

    disable = tmp_path / "disable"
    watcher = ReadinessWatcher(ReadinessConfig(disable_file=disable), record, interval=0.01)
    await watcher.start()
    disable.touch()
    async with asyncio.timeout(DEADLINE_S):
        while len(reported) < 2:
            await asyncio.sleep(0.01)
    await watcher.stop()
    assert reported == [f"{disable} is there"] * 2
    assert "a bug of the taker" in caplog.text


async def test_files_that_are_no_longer_configured_do_not_keep_it_out_of_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last check may fail, for want of a thread."""
    disable = tmp_path / "disable"
    disable.touch()
    reported: Reports = []
    watcher = ReadinessWatcher(
        ReadinessConfig(disable_file=disable), reported.append, interval=0.01
    )
    await watcher.start()
    reads: list[str] = []
    read = ReadinessWatcher._read

    def read_again(watcher: ReadinessWatcher) -> str:
        reads.append("")
        if len(reads) == 1:
            raise RuntimeError("can't start new thread")
        return read(watcher)

    monkeypatch.setattr(ReadinessWatcher, "_read", read_again)
    await watcher.configure(ReadinessConfig())
    async with asyncio.timeout(DEADLINE_S):
        while reported[-1]:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert len(reads) == 2, "it goes on looking for nothing"
    await watcher.stop()
