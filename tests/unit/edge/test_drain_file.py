"""A drain on disk: a restart does not end it, and no other user can cause one."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from lab.waiting import DEADLINE_S

from rsfilter.edge import drain_file
from rsfilter.edge.drain_file import NAME, UNNAMED, DrainKeeper, load, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "an audit" / NAME


async def test_what_is_kept_is_there_until_it_is_taken_back(path: Path) -> None:
    keeper = DrainKeeper(path)
    assert load(path) is None
    assert await keeper.keep("HTTP from 192.0.2.1") == ""
    assert load(path) == "HTTP from 192.0.2.1"
    assert path.stat().st_mode & 0o777 == 0o600
    assert await keeper.keep("alice") == ""
    assert load(path) == "alice"
    assert await keeper.keep(None) == ""
    assert load(path) is None
    assert await keeper.keep(None) == ""


@pytest.mark.parametrize("content", [b"", b"x", b"[]", b"{}", b'{"by": ""}', b"\xff", b"[" * 9999])
def test_a_file_of_ours_counts_whatever_is_in_it(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(0o600)
    assert load(path) == UNNAMED


def test_hostile_words_are_harmless(path: Path) -> None:
    write(path.parent / NAME, "a\nb\x1b[31m" + "x" * 300)
    found = load(path)
    assert found is not None
    assert found.isprintable()
    assert len(found) <= drain_file.MAX_TEXT


@pytest.mark.parametrize("kind", ["others write", "link", "another's", "directory", "huge"])
def test_a_file_that_is_not_ours_drains_nothing(
    path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, "mallory")
    match kind:
        case "others write":
            path.chmod(0o666)
        case "link":
            path.rename(path.with_name("elsewhere"))
            path.symlink_to("elsewhere")
        case "another's":
            monkeypatch.setattr(os, "geteuid", lambda: 4711)
            if path.stat().st_uid == 0:
                os.chown(path, 12345, -1)
        case "directory":
            path.unlink()
            path.mkdir()
        case "huge":
            path.write_bytes(b" " * (drain_file.MAX_BYTES + 1))
    assert load(path) is None
    assert str(path) in caplog.text


async def test_a_disk_that_fails_is_logged(path: Path) -> None:
    path.parent.write_text("no directory")
    assert "File exists" in await DrainKeeper(path).keep("alice")


async def test_a_disk_that_hangs_is_logged_and_the_newest_request_is_written_last(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_file, "KEEP_TIMEOUT_S", 0.05)
    answers, real = threading.Event(), drain_file.write

    def hangs(where: Path, by: str | None) -> None:
        answers.wait(10)
        real(where, by)

    monkeypatch.setattr(drain_file, "write", hangs)
    keeper = DrainKeeper(path)
    assert "does not answer" in await keeper.keep("alice")
    assert "does not answer" in await keeper.keep(None)
    assert "does not answer" in await keeper.keep("bob")
    answers.set()
    async with asyncio.timeout(DEADLINE_S):
        while load(path) != "bob":
            await asyncio.sleep(0.01)
