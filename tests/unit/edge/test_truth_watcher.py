"""TruthWatcher with real files: every way in which people put a file in place."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rsfilter.edge.truth_file import read_file
from rsfilter.edge.truth_watcher import Reading, TruthWatcher
from rsfilter.rpki.truth import TruthError

PATIENCE_S = 120.0
"""Seconds that a test waits for what must come; a slow machine must not fail it."""


def text(asn: int) -> str:
    return json.dumps({"roas": [{"prefix": "203.0.113.0/24", "maxLength": 32, "asn": asn}]})


def replace(path: Path, content: str) -> None:
    """Replace a file as careful people do: write beside, rename over."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(content)
    beside.rename(path)


class Seen:
    """Reports of a watcher."""

    def __init__(self, path: Path) -> None:
        self.asns: list[int] = []
        self.errors: list[TruthError] = []
        self.watcher = TruthWatcher(path, self._truth, self.errors.append)

    async def _truth(self, reading: Reading) -> None:
        truth, content, _ = reading
        assert hashlib.sha256(content).hexdigest() == truth.sha256
        self.asns += [vrp.asn for vrp in truth.vrps]

    async def until(self, condition: Callable[[], bool]) -> float:
        """Seconds until the condition held."""
        began = time.monotonic()
        while not condition():
            waited = time.monotonic() - began
            assert waited < PATIENCE_S, f"told so far: {self.asns} {self.errors}"
            await asyncio.sleep(0.005)
        return time.monotonic() - began


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[Seen]:
    seen = Seen(path)
    await seen.watcher.start()
    try:
        yield seen
    finally:
        await seen.watcher.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "with a space"
    directory.mkdir()
    return directory / "truth.json"


async def test_a_file_renamed_over_is_read_at_once(path: Path) -> None:
    path.write_text(text(1))
    async with watching(path) as seen:
        await seen.until(lambda: seen.asns == [1])
        latencies = []
        for asn in range(2, 7):
            replace(path, text(asn))
            latencies.append(await seen.until(lambda: seen.asns[-1] == asn))  # noqa: B023
        assert seen.asns == [1, 2, 3, 4, 5, 6]
        assert seen.errors == []
        assert sorted(latencies)[2] < 0.3


async def test_a_file_rewritten_in_place_is_read_again(path: Path) -> None:
    path.write_text(text(1))
    async with watching(path) as seen:
        await seen.until(lambda: seen.asns == [1])
        path.write_text(text(2))
        await seen.until(lambda: seen.asns == [1, 2])
        assert seen.watcher.error is None


async def test_half_a_file_is_an_error_once_and_the_rest_clears_it(path: Path) -> None:
    path.write_text(text(1))
    whole = text(2)
    async with watching(path) as seen:
        await seen.until(lambda: seen.asns == [1])
        with path.open("w") as file:
            file.write(whole[:40])
            file.flush()
            await seen.until(lambda: len(seen.errors) == 1)
            assert "truncated" in str(seen.errors[0])
            assert seen.asns == [1]
            assert await seen.watcher.reload() is seen.errors[0]
            file.write(whole[40:])
        await seen.until(lambda: seen.asns == [1, 2])
        assert len(seen.errors) == 1
        assert seen.watcher.error is None


async def test_going_back_to_the_running_content_only_clears_the_error(path: Path) -> None:
    path.write_text(text(1))
    async with watching(path) as seen:
        await seen.until(lambda: seen.asns == [1])
        replace(path, "")
        await seen.until(lambda: len(seen.errors) == 1)
        replace(path, text(1))
        await seen.until(lambda: seen.watcher.error is None)
        assert len(seen.errors) == 1
        assert seen.asns == [1]


async def test_a_bad_content_is_reported_once_and_each_new_one_again(path: Path) -> None:
    path.write_text('{"roas": []}')
    async with watching(path) as seen:
        await seen.until(lambda: len(seen.errors) == 1)
        replace(path, '{"roas": []}')
        await seen.watcher.reload()
        assert len(seen.errors) == 1
        replace(path, '{"roas": [7]}')
        await seen.until(lambda: len(seen.errors) == 2)
        assert "/roas/0" in str(seen.errors[1])
        assert seen.asns == []


async def test_a_file_deleted_and_created_again_is_read(path: Path) -> None:
    path.write_text(text(1))
    async with watching(path) as seen:
        await seen.until(lambda: seen.asns == [1])
        path.unlink()
        await seen.until(lambda: len(seen.errors) == 1)
        assert "cannot be read" in str(seen.errors[0])
        path.write_text(text(2))
        await seen.until(lambda: seen.asns == [1, 2])
        assert seen.watcher.error is None


async def test_the_link_swap_of_a_config_map_is_noticed(path: Path) -> None:
    """Kubernetes: truth.json -> ..data/truth.json, ..data -> a directory of each revision."""
    base = path.parent

    def deploy(asn: int) -> None:
        revision = base / f"..revision {asn}"
        revision.mkdir()
        (revision / "truth.json").write_text(text(asn))
        link = base / "..data_tmp"
        link.symlink_to(revision.name)
        link.rename(base / "..data")

    deploy(1)
    path.symlink_to("..data/truth.json")
    async with watching(path) as seen:
        await seen.until(lambda: seen.asns == [1])
        for asn in (2, 3):
            deploy(asn)
            shutil.rmtree(base / f"..revision {asn - 1}")
            await seen.until(lambda: seen.asns[-1] == asn)  # noqa: B023
        assert seen.asns == [1, 2, 3]


async def test_a_link_to_a_file_elsewhere_that_is_rewritten(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(text(1))
    path.symlink_to(elsewhere)
    async with watching(path) as seen:
        await seen.until(lambda: seen.asns == [1])
        replace(elsewhere, text(2))
        await seen.until(lambda: seen.asns == [1, 2])


async def test_a_directory_that_comes_later_and_is_replaced(tmp_path: Path) -> None:
    directory = tmp_path / "comes later"
    path = directory / "truth.json"
    async with watching(path) as seen:
        await seen.until(lambda: len(seen.errors) == 1)
        for asn in (1, 2):
            directory.mkdir()
            path.write_text(text(asn))
            await seen.until(lambda: seen.asns[-1:] == [asn])  # noqa: B023
            shutil.rmtree(directory)
            await seen.until(lambda: seen.watcher.error is not None)
        assert seen.asns == [1, 2]


async def test_same_size_and_same_mtime_is_no_disguise(path: Path) -> None:
    path.write_text(text(1))
    os.utime(path, (1_000_000_000, 1_000_000_000))
    async with watching(path) as seen:
        await seen.until(lambda: seen.asns == [1])
        path.write_text(text(2))
        os.utime(path, (1_000_000_000, 1_000_000_000))
        await seen.until(lambda: seen.asns == [1, 2])


async def test_reload_reads_what_is_as_before(path: Path) -> None:
    """Some of it may have expired, or the clock was put right."""
    path.write_text(text(1))
    async with watching(path) as seen:
        await seen.until(lambda: seen.asns == [1])
        assert await seen.watcher.reload() is None
        assert seen.asns == [1, 1]


async def test_reload_reads_without_being_woken(path: Path) -> None:
    path.write_text(text(1))
    seen = Seen(path)
    assert await seen.watcher.reload() is None
    assert seen.asns == [1]
    path.write_text("[]")
    error = await seen.watcher.reload()
    assert error is not None
    assert error is seen.errors[0]
    path.write_text(text(2))
    assert await seen.watcher.reload() is None
    assert seen.asns == [1, 2]


async def test_the_file_is_read_when_start_returns_and_never_after_stop(path: Path) -> None:
    path.write_text(text(1))
    seen = Seen(path)
    await seen.watcher.start()
    assert seen.asns == [1]
    await seen.watcher.stop()
    await seen.watcher.stop()
    assert [task.get_name() for task in asyncio.all_tasks() if "truth" in task.get_name()] == []


async def test_what_a_taker_failed_over_it_gets_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The filter would otherwise judge by an earlier truth until the file has a third one."""
    monkeypatch.setattr("rsfilter.edge.truth_watcher._RETRY_S", 0.1)
    got: list[bytes] = []

    async def take(reading: Reading) -> None:
        got.append(reading.content)
        if len(got) == 2:
            raise RuntimeError("can't start new thread")

    path.write_text(text(1))
    watcher = TruthWatcher(path, take, lambda error: None)
    await watcher.start()
    one, two = text(1).encode(), text(2).encode()
    replace(path, text(2))
    async with asyncio.timeout(PATIENCE_S):
        while watcher.error is None:
            await asyncio.sleep(0.005)
        assert "can't start new thread" in str(watcher.error)
        while watcher.error is not None:
            await asyncio.sleep(0.005)
    await watcher.stop()
    assert got == [one, two, two]
    assert "can't start new thread" in caplog.text


async def test_the_error_of_a_check_is_forgotten_after_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsfilter.edge.truth_watcher._RETRY_S", 0.1)
    path.write_text(text(1))
    os.utime(path, (0, 0))  # settled: it is not read again for nothing
    reads: list[str] = []
    read = TruthWatcher._read_new

    def read_again(watcher: TruthWatcher) -> Any:
        reads.append("")
        if len(reads) == 3:
            raise RuntimeError("can't start new thread")
        return read(watcher)

    monkeypatch.setattr(TruthWatcher, "_read_new", read_again)
    async with watching(path) as seen:
        async with asyncio.timeout(PATIENCE_S):
            while seen.watcher.error is None:
                await asyncio.sleep(0.005)
            while seen.watcher.error is not None:
                await asyncio.sleep(0.005)
        assert seen.asns == [1]


async def test_a_failure_is_over_when_the_file_is_as_before(path: Path) -> None:
    async def take(reading: Reading) -> None:
        if reading.content == text(2).encode():
            raise RuntimeError("can't start new thread")

    path.write_text(text(1))
    watcher = TruthWatcher(path, take, lambda error: None)
    assert await watcher.reload() is None
    replace(path, text(2))
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await watcher.reload()
    replace(path, text(1))
    assert await watcher.reload() is None


async def test_a_file_system_that_takes_its_time_does_not_stop_the_loop(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filtering goes on, by the truth in force, while a server of files is gone."""
    checked: dict[str, set[int]] = {"stat": set(), "realpath": set()}
    stat, realpath = os.stat, os.path.realpath

    def seen_stat(name: object, **options: object) -> os.stat_result:
        if name == path:
            checked["stat"].add(threading.get_ident())
        return stat(name, **options)  # type: ignore[arg-type, call-overload]

    def seen_realpath(name: object, **options: object) -> str:
        if name == path:
            checked["realpath"].add(threading.get_ident())
        return realpath(name, **options)  # type: ignore[arg-type, call-overload]

    monkeypatch.setattr(os, "stat", seen_stat)
    monkeypatch.setattr(os.path, "realpath", seen_realpath)
    path.write_text(text(1))
    async with watching(path) as seen:
        await seen.until(lambda: bool(checked["stat"] and checked["realpath"]))
        replace(path, text(2))
        await seen.until(lambda: seen.asns == [1, 2])
    for threads in checked.values():
        assert threading.get_ident() not in threads


async def test_a_file_that_does_not_answer_is_reported_and_read_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file server that is gone. A start continues without it: hosts withdraw routes meanwhile."""
    answers = threading.Event()

    def read_late(name: Path) -> bytes:
        assert answers.wait(PATIENCE_S)
        return read_file(name)

    monkeypatch.setattr("rsfilter.edge.truth_watcher._STALL_S", 0.05)
    monkeypatch.setattr("rsfilter.edge.truth_watcher.read_file", read_late)
    path.write_text(text(1))
    async with watching(path) as seen:
        assert seen.asns == []
        await seen.until(lambda: "has not answered" in str(seen.watcher.error))
        async with asyncio.timeout(PATIENCE_S):
            assert "has not answered" in str(await seen.watcher.reload())
        answers.set()
        await seen.until(lambda: seen.asns == [1] and seen.watcher.error is None)


@pytest.mark.parametrize("hanging", ["stat", "realpath"])
async def test_a_file_system_that_stops_answering_is_reported(
    path: Path, monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    """Changes of the file are no longer seen, whichever check hangs."""
    module = os if hanging == "stat" else os.path
    request, answers = getattr(module, hanging), threading.Event()
    is_gone = False

    def answered(name: object, **options: object) -> object:
        if is_gone and name == path:
            assert answers.wait(PATIENCE_S)
        return request(name, **options)

    monkeypatch.setattr("rsfilter.edge.truth_watcher._STALL_S", 0.05)
    monkeypatch.setattr(module, hanging, answered)
    path.write_text(text(1))
    async with watching(path) as seen:
        await seen.until(lambda: seen.asns == [1])
        is_gone = True
        await seen.until(lambda: "has not answered" in str(seen.watcher.error))
        answers.set()
        await seen.until(lambda: seen.watcher.error is None)


async def test_other_files_in_the_directory_do_not_keep_the_truth_out(path: Path) -> None:
    path.write_text(text(1))
    async with watching(path) as seen:
        await seen.until(lambda: seen.asns == [1])

        async def chatter() -> None:
            while True:
                (path.parent / "chatter").write_text(str(time.monotonic()))
                await asyncio.sleep(0.01)

        noise = asyncio.create_task(chatter())
        try:
            replace(path, text(2))
            await seen.until(lambda: seen.asns == [1, 2])
        finally:
            noise.cancel()


async def test_where_a_link_leads_is_watched_too(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsfilter.edge.truth_watcher._TICK_S", 60.0)  # events alone

    async def put(target: Path, asn: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (
                seen.asns[-1] != asn
            ):  # again and again, because the watch has no sign that it is set up
                replace(target, text(asn))
                await asyncio.sleep(0.1)

    places = [tmp_path / name / "truth.json" for name in ("one", "two")]
    for place in places:
        place.parent.mkdir()
        place.write_text(text(1))
    path.symlink_to(places[0])
    async with watching(path) as seen:
        await put(places[0], 2)
        link = path.with_name("link")
        link.symlink_to(places[1])
        link.rename(path)
        await seen.until(lambda: seen.asns == [1, 2, 1])
        await put(places[1], 3)


async def test_a_content_that_changed_while_it_was_read_is_not_used(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_be_overtaken(name: Path) -> bytes:
        data = read_file(name)
        if data == text(1).encode():
            replace(path, text(2))
        return data

    monkeypatch.setattr("rsfilter.edge.truth_watcher.read_file", read_and_be_overtaken)
    path.write_text(text(1))
    seen = Seen(path)
    await seen.watcher.reload()
    assert seen.asns == []
    await seen.watcher.reload()
    assert seen.asns == [2]


@pytest.mark.parametrize(("age_s", "reads"), [(1.0, 3), (10.0, 1)])
async def test_a_young_status_proves_nothing_and_an_old_one_saves_reading(
    path: Path, monkeypatch: pytest.MonkeyPatch, age_s: float, reads: int
) -> None:
    """Two writes within one tick of the file system's clock have the same status."""
    contents: list[bytes] = []

    def counted(name: Path) -> bytes:
        contents.append(read_file(name))
        return contents[-1]

    monkeypatch.setattr("rsfilter.edge.truth_watcher.read_file", counted)
    path.write_text(text(1))
    changed = path.stat().st_ctime
    seen = Seen(path)
    watcher = TruthWatcher(path, seen._truth, seen.errors.append, lambda: changed + age_s)
    for _ in range(3):
        await watcher._check()
    assert len(contents) == reads


async def test_reading_the_file_does_not_wake_the_watcher(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(text(1))
    async with watching(path) as seen:
        await seen.until(lambda: seen.asns == [1])
        reads = 0
        read = seen.watcher._check

        async def counted() -> None:
            nonlocal reads
            reads += 1
            await read()

        monkeypatch.setattr(seen.watcher, "_check", counted)
        began = time.monotonic()
        await seen.until(lambda: reads >= 3)
        assert time.monotonic() - began > 0.8  # ticks of half a second, not a loop
