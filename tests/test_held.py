"""What the guard holds, on disk: whole after any crash, ignored when it is of no use."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

import pytest
from core_samples import route
from hypothesis import given, settings
from hypothesis import strategies as st
from lab.waiting import DEADLINE_S
from msgspec.structs import replace

from rsfilter.edge import guard_file
from rsfilter.edge.guard_file import MAX_AGE_S, NAME, Held, HeldFile, HeldKeeper, load
from rsfilter.routing.guard import Changes, fingerprint
from rsfilter.routing.model import Address, Prefix, RouteKey

ONE, TWO = route("203.0.113.1/32"), route("2001:db8::1/128", path_id=7)
SAID = {ONE.key: fingerprint(ONE), TWO.key: fingerprint(TWO)}


def now(path: Path) -> float:
    return path.stat().st_mtime


def reloaded(path: Path) -> Held:
    return load(path, now(path)) if path.exists() else {}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "an audit" / NAME


def test_what_was_written_is_read(path: Path) -> None:
    file = HeldFile(path, {})
    file.write({ONE.key: ONE, TWO.key: TWO})
    assert reloaded(path) == SAID
    file.write({ONE.key: None})
    assert reloaded(path) == {TWO.key: SAID[TWO.key]}
    file.write({TWO.key: None})
    assert not path.exists()
    assert load(path, 0.0) == {}


def test_the_format(path: Path) -> None:
    """Other releases read it."""
    file = HeldFile(path, {})
    file.write({TWO.key: TWO})
    file.write({ONE.key: ONE})
    file.write({TWO.key: None})
    assert path.read_text().splitlines() == [
        f'["+","198.51.100.7","2001:db8::1/128",7,"{SAID[TWO.key]}"]',
        f'["+","198.51.100.7","203.0.113.1/32",0,"{SAID[ONE.key]}"]',
        '["-","198.51.100.7","2001:db8::1/128",7]',
    ]


@pytest.mark.parametrize("changes", [{}, {TWO.key: TWO}])
def test_a_file_that_somebody_removed_comes_back_whole(path: Path, changes: Changes) -> None:
    file = HeldFile(path, {})
    file.write({ONE.key: ONE})
    file.write({})
    path.unlink()
    file.write(changes)
    assert reloaded(path) == {key: SAID[key] for key in (ONE.key, *changes)}


def test_a_line_that_was_cut_is_as_if_it_had_not_been_written(path: Path) -> None:
    HeldFile(path, {}).write({ONE.key: ONE, TWO.key: TWO})
    content = path.read_bytes()
    first = content.index(b"\n") + 1
    for end in range(first, len(content)):
        path.write_bytes(content[:end])
        assert reloaded(path) == {ONE.key: SAID[ONE.key]}


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "{}",
        "[]",
        '["+"]',
        '["+","198.51.100.7","203.0.113.1/32",0]',
        '["+","198.51.100.7","203.0.113.1/32",0,"a","b"]',
        '["?","198.51.100.7","203.0.113.1/32",0]',
        '["+","nobody","203.0.113.1/32",0,"a"]',
        '["+","198.51.100.7","203.0.113.1/x",0,"a"]',
        '["+","198.51.100.7","203.0.113.1/32",null,"a"]',
        '["+","198.51.100.7",5,0,"a"]',
        '["+","198.51.100.7","203.0.113.1/32",1e999,"a"]',
        "\xff",
        "[" * 100_000,
    ],
)
def test_what_cannot_be_read_holds_nothing(
    path: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    HeldFile(path, {}).write({ONE.key: ONE})
    with path.open("a", encoding="latin-1") as file:
        file.write(line + "\n")
    assert reloaded(path) == {}
    assert str(path) in caplog.text


def test_an_old_file_holds_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    HeldFile(path, {}).write({ONE.key: ONE})
    assert load(path, now(path) + MAX_AGE_S) == {ONE.key: SAID[ONE.key]}
    assert load(path, now(path) + MAX_AGE_S + 1) == {}
    assert "301 seconds old" in caplog.text


def test_a_huge_file_is_not_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    HeldFile(path, {}).write({ONE.key: ONE})
    monkeypatch.setattr(guard_file, "MAX_BYTES", 10)
    assert reloaded(path) == {}
    assert "larger than 10 octets" in caplog.text


def test_a_directory_in_its_place_is_told_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.mkdir(parents=True)
    assert reloaded(path) == {}
    assert "Is a directory" in caplog.text


def test_every_write_makes_it_young(path: Path) -> None:
    file = HeldFile(path, {})
    file.write({ONE.key: ONE})
    os.utime(path, (0, 0))
    file.write({})
    assert now(path) > 0


def test_it_does_not_grow_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_file, "SLACK_LINES", 10)
    file = HeldFile(path, {})
    file.write({ONE.key: ONE})
    for _ in range(100):
        file.write({TWO.key: TWO})
        file.write({TWO.key: None})
    assert len(path.read_bytes().splitlines()) <= 10
    assert reloaded(path) == {ONE.key: SAID[ONE.key]}


def test_a_later_write_makes_good_for_one_that_failed(path: Path) -> None:
    file = HeldFile(path, {})
    file.write({ONE.key: ONE})
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        file.write({TWO.key: TWO})
    path.rmdir()
    file.write({})
    assert reloaded(path) == SAID


KEYS = [RouteKey(Address.parse(f"198.51.100.{n}"), Prefix.parse("10.0.0.1/32"), n) for n in (1, 2)]
ROUTES = [replace(ONE, key=key) for key in KEYS]


@settings(max_examples=50)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(range(2)), st.booleans(), max_size=2),
        max_size=20,
    )
)
def test_whatever_is_written_is_what_is_held(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[int, bool]]
) -> None:
    path = tmp_path_factory.mktemp("held") / NAME
    file, expected = HeldFile(path, {}), dict[RouteKey, str]()
    for step in steps:
        changes: Changes = {KEYS[n]: ROUTES[n] if on else None for n, on in step.items()}
        file.write(changes)
        for key, changed in changes.items():
            expected.pop(key, None)
            if changed is not None:
                expected[key] = fingerprint(changed)
        assert reloaded(path) == expected


async def test_the_keeper_writes_what_it_is_given_at_once(path: Path) -> None:
    keeper = HeldKeeper(path, {})
    keeper.start()
    keeper.take({ONE.key: ONE})
    async with asyncio.timeout(DEADLINE_S):
        while reloaded(path) != {ONE.key: SAID[ONE.key]}:
            await asyncio.sleep(0.01)
    keeper.take({TWO.key: TWO})
    await keeper.stop()
    assert reloaded(path) == SAID


async def test_the_keeper_throws_away_what_nobody_expects(path: Path) -> None:
    HeldFile(path, {}).write({ONE.key: ONE})
    keeper = HeldKeeper(path, {})
    keeper.start()
    await keeper.stop()
    assert not path.exists()


async def test_the_keeper_goes_on_whatever_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Or the next restart would let go of what the guard holds, and nobody would know before."""
    write, failures = guard_file.on_own_thread, 0

    async def fails_twice(*arguments: object) -> object:
        nonlocal failures
        if failures < 2:
            failures += 1
            raise RuntimeError("can't start new thread")
        return await write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(guard_file, "on_own_thread", fails_twice)
    monkeypatch.setattr(guard_file, "PULSE_S", 0.01)
    keeper = HeldKeeper(path, {})
    keeper.take({ONE.key: ONE})
    keeper.start()
    async with asyncio.timeout(DEADLINE_S):
        while reloaded(path) != {ONE.key: SAID[ONE.key]}:
            await asyncio.sleep(0.01)
    await keeper.stop()
    assert failures == 2
    assert "can't start new thread" in caplog.text


async def test_the_end_does_not_wait_for_a_disk_that_does_not_answer(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(HeldFile, "write", lambda *_: threading.Event().wait())
    monkeypatch.setattr(guard_file, "STOP_TIMEOUT_S", 0.05)
    keeper = HeldKeeper(path, {})
    keeper.start()
    async with asyncio.timeout(DEADLINE_S):
        await keeper.stop()
    assert "the disk does not answer" in caplog.text


async def test_the_keeper_tells_of_a_disk_that_fails_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.mkdir(parents=True)
    (path / "file").touch()
    keeper = HeldKeeper(path, {})
    keeper.start()
    for changes in ({ONE.key: ONE}, {TWO.key: TWO}):
        keeper.take(changes)
        await asyncio.sleep(0)
    await keeper.stop()
    assert caplog.text.count("a restart would let go") == 1
    assert json.dumps(str(path))[1:-1] in caplog.text
