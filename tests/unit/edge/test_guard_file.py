"""The guard's state on disk: whole after any crash, ignored if it is of no use."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab.waiting import DEADLINE_S
from msgspec.structs import replace
from support.core_samples import route
from support.guard_memory import Memory

from rsfilter.edge import guard_file, guard_keeper
from rsfilter.edge.guard_file import MAX_AGE_S, NAME, NOTHING, GuardFile, load
from rsfilter.edge.guard_keeper import CommandGate, GuardKeeper
from rsfilter.routing.events import GuardRestored
from rsfilter.routing.guard import Accepted, Expected, Held, Lost, Record, Records, fingerprint
from rsfilter.routing.model import Address, Prefix, RouteKey

ONE, TWO = route("203.0.113.1/32"), route("2001:db8::1/128", path_id=7)
THREE = route("203.0.113.3/32")
SAID = fingerprint(ONE)
RULES = "0123456789ab"
REASONS = ("origin_invalid_asn", "next_hop_not_owned")
NOW, WALL = 100.0, 1_700_000_000.0
"""The same moment on both clocks."""

EVERYTHING: Records = {
    ONE.key: Accepted(ONE, RULES),
    TWO.key: Held(TWO, RULES, REASONS),
    THREE.key: Lost(NOW - 5),
}
KNOWN = GuardRestored(
    {TWO.key: Expected(fingerprint(TWO), RULES, REASONS)},
    {ONE.key: Expected(SAID, RULES)},
    {THREE.key: 5.0},
)
GONE: Records = dict.fromkeys(EVERYTHING)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "an audit" / NAME


def written(path: Path, *steps: Records) -> GuardFile:
    file = GuardFile(path, NOTHING, WALL)
    for step in steps:
        file.write(step, WALL, NOW)
    return file


def test_what_was_written_is_read(path: Path) -> None:
    file = written(path, EVERYTHING)
    assert load(path, WALL) == KNOWN
    file.write({TWO.key: None, THREE.key: Accepted(THREE, RULES)}, WALL, NOW)
    accepted = {key: Expected(SAID, RULES) for key in (ONE.key, THREE.key)}
    assert load(path, WALL) == GuardRestored({}, accepted)
    file.write(GONE, WALL, NOW)
    assert load(path, WALL) == NOTHING


def test_the_next_process_continues_the_file(path: Path) -> None:
    written(path, EVERYTHING)
    file = GuardFile(path, load(path, WALL + 60), WALL + 60)
    file.write({}, WALL + 60, 7.0)
    assert load(path, WALL + 60) == replaced_lost(60.0 + 5.0)
    file.write({ONE.key: None}, WALL + 60, 7.0)
    assert ONE.key not in load(path, WALL + 60).accepted


def replaced_lost(age: float) -> GuardRestored:
    return GuardRestored(KNOWN.held, KNOWN.accepted, {THREE.key: age})


def test_the_format_of_the_file_is_fixed(path: Path) -> None:
    """Other releases read it."""
    written(path, {ONE.key: Accepted(ONE, RULES)}, {TWO.key: Held(TWO, "", REASONS)}, GONE)
    header, *lines = path.read_text().splitlines()
    assert header == "rsfilter guard 1"
    assert [line for line in lines if not line.startswith("= ")] == [
        f"198.51.100.7 203.0.113.1/32 0 a {SAID} {RULES}",
        f"198.51.100.7 2001:db8::1/128 7 h {SAID} . origin_invalid_asn,next_hop_not_owned",
        "198.51.100.7 203.0.113.1/32 0 -",
        "198.51.100.7 2001:db8::1/128 7 -",
    ]
    ends = [line.split() for line in lines if line.startswith("= ")]
    assert [(seconds, len(checksum)) for _, seconds, checksum in ends] == [
        ("1700000000.000", 64)
    ] * 3


def test_what_0_1_held_is_held(path: Path) -> None:
    old = path.with_name("held.state")
    old.parent.mkdir()
    line = ["+", str(ONE.key.neighbor), str(ONE.key.prefix), 0, SAID]
    old.write_text(json.dumps(line) + '\n["+","cut')
    at = old.stat().st_mtime
    assert load(path, at) == GuardRestored({ONE.key: Expected(SAID)})
    assert load(path, at + MAX_AGE_S + 1) == NOTHING
    GuardFile(path, load(path, at), at).write({}, at, 0.0)
    assert not old.exists()
    assert load(path, at).held == {ONE.key: Expected(SAID)}


@pytest.mark.parametrize("later", [{}, {TWO.key: Accepted(TWO, RULES)}])
def test_a_removed_file_is_written_again_as_a_whole(path: Path, later: Records) -> None:
    file = written(path, {ONE.key: Accepted(ONE, RULES)}, {})
    path.unlink()
    file.write(later, WALL, NOW)
    assert set(load(path, WALL).accepted) == {ONE.key, *later}


def test_a_batch_that_was_cut_takes_away_and_adds_nothing(path: Path) -> None:
    file = written(path, {ONE.key: Accepted(ONE, RULES), TWO.key: Held(TWO, RULES, REASONS)})
    whole = path.stat().st_size
    file.write({ONE.key: None, TWO.key: Lost(NOW), THREE.key: Accepted(THREE, RULES)}, WALL, NOW)
    content = path.read_bytes()
    first = content.index(b"\n", whole) + 1
    second = content.index(b"\n", first) + 1
    for end in range(whole, len(content) - 1):
        path.write_bytes(content[:end])
        found = load(path, WALL)
        assert set(found.accepted) == ({ONE.key} if end < first else set())
        assert set(found.held) == ({TWO.key} if end < second else set())
        assert set(found.lost) == (set() if end < second else {TWO.key})
    path.write_bytes(content)
    assert set(load(path, WALL).accepted) == {THREE.key}


def test_a_changed_octet_makes_it_useless(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(path, EVERYTHING)
    content = bytearray(path.read_bytes())
    for at in range(len(content) - 1):
        content[at] ^= 1
        path.write_bytes(bytes(content))
        assert load(path, WALL) == NOTHING, content
        content[at] ^= 1
    assert "a checksum is wrong" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        b"x",
        b"198.51.100.7 203.0.113.1/32 0",
        b"198.51.100.7 203.0.113.1/32 0 ?",
        b"198.51.100.7 203.0.113.1/32 0 a",
        b"198.51.100.7 203.0.113.1/32 0 l nan",
        b"nobody 203.0.113.1/32 0 -",
        b"198.51.100.7 203.0.113.1/x 0 -",
        b"198.51.100.7 203.0.113.1/32 1e999 -",
        b"\xff",
        b"x" * 100_000,
    ],
)
def test_what_cannot_be_read_holds_nothing(
    path: Path, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    written(path, EVERYTHING)
    with path.open("ab") as file:
        file.write(line + b"\n")
    assert load(path, WALL) == NOTHING
    assert str(path) in caplog.text


@pytest.mark.parametrize(
    ("age", "is_believed"),
    [(MAX_AGE_S, True), (MAX_AGE_S + 1, False), (-60.0, True), (-61.0, False)],
)
def test_an_old_file_holds_nothing_and_neither_does_one_of_the_future(
    path: Path, age: float, is_believed: bool
) -> None:
    written(path, EVERYTHING)
    assert (load(path, WALL + age) != NOTHING) is is_believed


def test_every_write_makes_it_young(path: Path) -> None:
    file = written(path, EVERYTHING)
    file.write({}, WALL + 1000, NOW + 1000)
    assert load(path, WALL + 1000) == replaced_lost(1005.0)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_used(
    path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    written(path, EVERYTHING)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(mode)
    assert load(path, WALL) == NOTHING
    assert f"others can write it (mode {mode:o})" in caplog.text


def test_a_file_of_another_user_is_not_used(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written(path, EVERYTHING)
    owner = path.stat().st_uid
    if owner == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert load(path, WALL) == NOTHING
    assert "it belongs to user" in caplog.text


def test_links_are_not_followed(path: Path, tmp_path: Path) -> None:
    written(path, EVERYTHING)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    assert load(path, WALL) == NOTHING
    path.with_suffix(".new").symlink_to(elsewhere)
    written(path, {ONE.key: Accepted(ONE, RULES)})
    assert not path.is_symlink()
    assert elsewhere.read_bytes() == before


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "pipe"])
def test_what_is_no_file_in_its_place_is_logged(
    path: Path, make: object, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    make(path)  # type: ignore[operator]
    assert load(path, WALL) == NOTHING
    assert str(path) in caplog.text


def test_a_huge_file_is_not_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written(path, EVERYTHING)
    monkeypatch.setattr(guard_file, "MAX_BYTES", 10)
    assert load(path, WALL) == NOTHING
    assert "larger than 10 octets" in caplog.text


def test_the_guard_file_does_not_grow_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_file, "SLACK_LINES", 10)
    file = written(path, {ONE.key: Accepted(ONE, RULES)})
    for _ in range(100):
        file.write({TWO.key: Held(TWO, RULES, REASONS)}, WALL, NOW)
        file.write({TWO.key: None}, WALL, NOW)
    lines = [line for line in path.read_bytes().splitlines() if not line.startswith(b"=")]
    assert len(lines) <= 15
    assert set(load(path, WALL).accepted) == {ONE.key}


def test_what_is_over_the_limit_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held routes are always written."""
    monkeypatch.setattr(guard_file, "MAX_ACCEPTED", 1)
    file = written(path, {ONE.key: Accepted(ONE, RULES), THREE.key: Accepted(THREE, RULES)})
    file.write({TWO.key: Held(TWO, RULES, REASONS)}, WALL, NOW)
    found = load(path, WALL)
    assert (set(found.accepted), set(found.held)) == ({ONE.key}, {TWO.key})
    file.write({ONE.key: None, THREE.key: Accepted(THREE, RULES)}, WALL, NOW)
    assert set(load(path, WALL).accepted) == {THREE.key}
    file.write({TWO.key: Accepted(TWO, RULES)}, WALL, NOW)
    assert not load(path, WALL).held


def test_a_later_write_makes_good_for_one_that_failed(path: Path) -> None:
    file = written(path, {ONE.key: Accepted(ONE, RULES)})
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        file.write({TWO.key: Held(TWO, RULES, REASONS), THREE.key: Lost(NOW - 5)}, WALL, NOW)
    path.rmdir()
    file.write({}, WALL, NOW)
    assert load(path, WALL) == KNOWN


KEYS = [RouteKey(Address.parse(f"198.51.100.{n}"), Prefix.parse("10.0.0.1/32"), n) for n in (1, 2)]
ROUTES = [replace(ONE, key=key) for key in KEYS]
records = st.integers(0, 1).flatmap(
    lambda n: st.tuples(
        st.just(KEYS[n]),
        st.sampled_from(
            [None, Accepted(ROUTES[n], RULES), Held(ROUTES[n], RULES, REASONS), Lost(NOW - 5)]
        ),
    )
)


@settings(max_examples=50)
@given(st.lists(st.lists(records, max_size=2), max_size=20))
def test_whatever_is_written_is_what_is_known(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[tuple[RouteKey, Record]]]
) -> None:
    path = tmp_path_factory.mktemp("guard") / NAME
    file, memory = GuardFile(path, NOTHING, WALL), Memory()
    for step in steps:
        file.write(dict(step), WALL, NOW)
        memory.take(dict(step))
        assert load(path, WALL) == memory.restored(NOW)


# The keeper, and commands that wait ---------------------------------------------------------------


class Source:
    """Changes of routes, for a keeper to take."""

    def __init__(self) -> None:
        self.records: Records = {}

    def take(self) -> Records:
        taken, self.records = self.records, {}
        return taken


def known(path: Path) -> set[RouteKey]:
    found = load(path, guard_keeper.time.time())
    return {*found.held, *found.accepted, *found.lost}


async def test_the_keeper_writes_at_once_on_request(path: Path) -> None:
    source = Source()
    keeper = GuardKeeper(path, NOTHING, source.take)
    keeper.start()
    source.records = {ONE.key: Accepted(ONE, RULES)}
    await keeper.write()
    assert known(path) == {ONE.key}
    source.records = {TWO.key: Held(TWO, RULES, REASONS)}
    await keeper.stop()
    assert known(path) == {ONE.key, TWO.key}


async def test_the_keeper_writes_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_keeper, "PULSE_S", 0.01)
    source = Source()
    keeper = GuardKeeper(path, NOTHING, source.take)
    keeper.start()
    source.records = {ONE.key: Accepted(ONE, RULES)}
    async with asyncio.timeout(DEADLINE_S):
        while known(path) != {ONE.key}:
            await asyncio.sleep(0.01)
    await keeper.stop()


async def test_the_keeper_continues_after_every_kind_of_failure(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise the next restart would release what the guard holds, without a warning before."""
    write, failures = guard_keeper.on_own_thread, 0

    async def fails_twice(*arguments: object) -> object:
        nonlocal failures
        if failures < 2:
            failures += 1
            raise RuntimeError("can't start new thread")
        return await write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(guard_keeper, "on_own_thread", fails_twice)
    source = Source()
    keeper = GuardKeeper(path, NOTHING, source.take)
    source.records = {ONE.key: Held(ONE, RULES, REASONS)}
    keeper.start()
    source_changes: list[Records] = [{}, {ONE.key: Lost(NOW)}, {}]
    for changes in source_changes:  # what is newer is not overwritten by what was not written
        await keeper.write()
        source.records = changes
    await keeper.stop()
    assert failures == 2
    found = load(path, guard_keeper.time.time())
    assert (set(found.held), set(found.lost)) == (set(), {ONE.key})
    assert caplog.text.count("can't start new thread") == 1


async def test_the_end_does_not_wait_for_a_disk_that_does_not_answer(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(GuardFile, "write", lambda *_: threading.Event().wait())
    monkeypatch.setattr(guard_keeper, "STOP_TIMEOUT_S", 0.05)
    keeper = GuardKeeper(path, NOTHING, dict)
    keeper.start()
    async with asyncio.timeout(DEADLINE_S):
        await keeper.stop()
    assert "the disk does not answer" in caplog.text


class Pipe:
    """Sink of commands."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.gate = CommandGate(self.lines.extend)


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_commands_wait_for_what_is_written_before_them_and_keep_their_order() -> None:
    pipe, loop = Pipe(), asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()
    pipe.gate.write([b"1"])
    pipe.gate.wait_for(first)
    pipe.gate.write([b"2"])
    pipe.gate.wait_for(second)
    pipe.gate.write([b"3"])
    pipe.gate.write([])
    assert pipe.lines == [b"1"]
    second.set_result(None)
    await turns()
    assert pipe.lines == [b"1"]
    first.set_result(None)
    await turns()
    assert pipe.lines == [b"1", b"2", b"3"]
    pipe.gate.write([b"4"])
    assert pipe.lines[-1] == b"4"


async def test_a_disk_that_does_not_answer_holds_commands_up_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard_keeper, "FIRST_TIMEOUT_S", 0.01)
    pipe, loop = Pipe(), asyncio.get_running_loop()
    never = loop.create_future()
    pipe.gate.wait_for(never)
    pipe.gate.write([b"1"])
    async with asyncio.timeout(DEADLINE_S):
        while not pipe.lines:
            await asyncio.sleep(0.001)
    assert "the disk does not answer" in caplog.text
    pipe.gate.wait_for(loop.create_future())
    pipe.gate.write([b"2"])
    assert pipe.lines == [b"1", b"2"]
    never.set_result(None)  # it answers again
    again = loop.create_future()
    pipe.gate.wait_for(again)
    pipe.gate.write([b"3"])
    assert pipe.lines == [b"1", b"2"]
    again.set_result(None)
    await turns()
    assert pipe.lines == [b"1", b"2", b"3"]


async def test_at_the_end_nothing_waits() -> None:
    pipe, loop = Pipe(), asyncio.get_running_loop()
    pipe.gate.wait_for(loop.create_future())
    pipe.gate.write([b"1"])
    pipe.gate.wait_for(loop.create_future())
    pipe.gate.write([b"2"])
    pipe.gate.open()
    assert pipe.lines == [b"1", b"2"]
