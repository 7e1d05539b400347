"""Writing the log: files, restarts, crashes, and disks that fail."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab.waiting import DEADLINE_S
from msgspec.structs import replace
from support.audit_samples import (
    DAY,
    HOUR,
    NOON,
    FullDisk,
    StuckDisk,
    all_lines,
    events,
    note,
    records,
    sample_log,
    verdict_change,
    write_log,
)

from rsfilter.audit import files as audit_files
from rsfilter.audit import log as audit_log
from rsfilter.audit import verify as audit_verify
from rsfilter.audit.files import list_keys
from rsfilter.audit.log import AuditLog
from rsfilter.audit.query import query
from rsfilter.audit.verify import verify
from rsfilter.audit.writer import ChainWriter

FIRST = "audit-2026-11-22.jsonl"


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Polls until it is so."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name.startswith("audit-"))


def texts(directory: Path) -> list[str]:
    return [record["data"]["text"] for record in events(directory, "note")]


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


# Files --------------------------------------------------------------------------------------------


def test_thread_or_not_the_octets_are_the_same(tmp_path, monkeypatch):
    entries = [(NOON + i * HOUR / 4, verdict_change(f"203.0.113.{i}/32")) for i in range(200)]
    write_log(tmp_path / "synchronous", *entries, max_bytes=9000)
    monkeypatch.setattr(audit_log, "BATCH", 7)
    log = AuditLog(tmp_path / "threaded", max_bytes=9000)
    for at, event in entries:
        log.append(at, event)
    log.close()
    assert log.health == (True, "", 0, 0)
    assert content(tmp_path / "threaded") == content(tmp_path / "synchronous")
    assert len(events(tmp_path / "threaded", "verdict")) == 200
    assert verify(tmp_path / "threaded").is_ok


def test_a_new_file_at_midnight_utc_and_when_one_is_full(tmp_path):
    before, after = NOON + 12 * HOUR - 0.000_001, NOON + 12 * HOUR
    write_log(tmp_path, (before, note("a")), (after, note("b")), (after, note("c" * 900)))
    assert names(tmp_path) == ["audit-2026-11-22.jsonl.gz", "audit-2026-11-23.jsonl"]
    write_log(tmp_path, (after + 1, note("d")), (after + 1, note("e")), max_bytes=1500)
    assert names(tmp_path) == [
        "audit-2026-11-22.jsonl.gz",
        "audit-2026-11-23.1.jsonl",
        "audit-2026-11-23.jsonl.gz",
    ]
    assert texts(tmp_path) == ["a", "b", "c" * 900, "d", "e"]
    assert [record["seq"] for record in records(tmp_path)] == list(range(1, 9))
    assert [record["data"]["file"] for record in events(tmp_path, "file")] == [
        "audit-2026-11-22.jsonl",
        "audit-2026-11-23.jsonl",
        "audit-2026-11-23.1.jsonl",
    ]
    assert verify(tmp_path).is_ok


def test_the_tenth_file_of_a_day_comes_after_the_ninth(tmp_path):
    write_log(tmp_path, *((NOON, note(str(i))) for i in range(12)), max_bytes=300)
    assert [key.number for key in list_keys(tmp_path)] == list(range(12))
    assert texts(tmp_path) == [str(i) for i in range(12)]
    assert verify(tmp_path).is_ok


def test_a_clock_that_steps_back_leads_to_no_older_file(tmp_path):
    write_log(tmp_path, (NOON + DAY, note("a")), (NOON, note("b")))
    write_log(tmp_path, (NOON - DAY, note("c")))
    assert names(tmp_path) == ["audit-2026-11-23.jsonl"]
    assert texts(tmp_path) == ["a", "b", "c"]
    assert [record["at"][:10] for record in events(tmp_path, "note")] == [
        "2026-11-23",
        "2026-11-22",
        "2026-11-21",
    ]
    assert verify(tmp_path).is_ok


def test_compressed_files_are_the_same_octets_for_the_same_records(tmp_path):
    sample_log(tmp_path / "one")
    sample_log(tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")
    packed = (tmp_path / "one" / f"{FIRST}.gz").read_bytes()
    assert packed[4:8] == bytes(4)  # RFC 1952: MTIME
    assert packed[3] == 0  # FLG: no name


def test_only_the_group_may_read_the_log(tmp_path):
    before = os.umask(0o077)
    try:
        sample_log(tmp_path / "deep" / "audit")
    finally:
        os.umask(before)
    modes = {
        stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "deep" / "audit").glob("audit-*.jsonl*")
    }
    assert modes == {0o640}
    before = os.umask(0o022)
    try:
        write_log(tmp_path / "other", (NOON, note()))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o750


# Restarts and crashes -----------------------------------------------------------------------------


def test_the_chain_continues_after_a_restart(tmp_path):
    write_log(tmp_path, (NOON, note("a")))
    write_log(tmp_path, (NOON + 1, note("b")))
    write_log(tmp_path, (NOON + DAY, note("c")))
    assert names(tmp_path) == ["audit-2026-11-22.jsonl.gz", "audit-2026-11-23.jsonl"]
    assert texts(tmp_path) == ["a", "b", "c"]
    assert events(tmp_path, "recovered") == []
    assert verify(tmp_path).is_ok


@pytest.mark.parametrize("kept", [1, 100, -1, "zeros"])
def test_a_line_that_a_crash_cut_is_removed_and_reported(tmp_path, monkeypatch, kept):
    monkeypatch.setattr(audit_verify, "WRITER_PATIENCE", (0, 0.0))
    write_log(tmp_path / "whole", (NOON, note("a")), (NOON, note("b")))
    write_log(tmp_path, (NOON, note("a")))
    # Zeros are what a file system may leave after a power failure.
    line = all_lines(tmp_path / "whole")[-1]
    fragment = bytes(200_000) if kept == "zeros" else line[:kept]
    with (tmp_path / FIRST).open("ab") as file:
        file.write(fragment)
    assert not verify(tmp_path).is_ok
    write_log(tmp_path, (NOON + 1, note("c")))
    assert texts(tmp_path) == ["a", "c"]
    (recovered,) = events(tmp_path, "recovered")
    assert recovered["data"] == {"file": FIRST, "cut_octets": len(fragment)}
    assert verify(tmp_path).is_ok


def test_a_file_that_has_nothing_but_a_cut_line(tmp_path):
    write_log(tmp_path, (NOON, note("a")))
    (tmp_path / "audit-2026-11-22.1.jsonl").write_bytes(b'{"v":1,"seq":3')
    write_log(tmp_path, (NOON + 1, note("b")))
    assert texts(tmp_path) == ["a", "b"]
    (recovered,) = events(tmp_path, "recovered")
    assert recovered["data"] == {"file": "audit-2026-11-22.1.jsonl", "cut_octets": 14}
    assert verify(tmp_path).is_ok


def test_a_log_survives_a_crash_before_the_first_record_of_a_file(tmp_path):
    write_log(tmp_path, (NOON, note("a")))
    (tmp_path / "audit-2026-11-22.1.jsonl").touch()
    write_log(tmp_path, (NOON + 1, note("b")))
    assert texts(tmp_path) == ["a", "b"]
    assert verify(tmp_path).is_ok


def test_a_damaged_file_is_left_alone(tmp_path):
    write_log(tmp_path, (NOON, note("a")), (NOON, note("b")))
    damaged = (tmp_path / FIRST).read_bytes().replace(b'"text":"b"', b'"text":"B"')
    (tmp_path / FIRST).write_bytes(damaged)
    write_log(tmp_path, (NOON + 1, note("c")))
    assert (tmp_path / FIRST).read_bytes() == damaged
    assert names(tmp_path) == ["audit-2026-11-22.1.jsonl", FIRST]
    (recovered,) = events(tmp_path, "recovered")
    assert recovered["data"] == {
        "file": FIRST,
        "problem": "the last line does not match its hash",
    }
    assert [str(p) for p in verify(tmp_path).problems] == [
        f"{FIRST}:3: was changed: its hash is not that of its content"
    ]


def test_lost_records_stay_reported(tmp_path):
    write_log(tmp_path, (NOON, note("a")), (NOON, note("b")), (NOON, note("c")))
    (tmp_path / FIRST).write_bytes(b"".join(all_lines(tmp_path)[:2]))
    write_log(tmp_path, (NOON + 1, note("d")))
    assert texts(tmp_path) == ["a", "d"]
    (recovered,) = events(tmp_path, "recovered")
    assert recovered["data"] == {"missing": {"from": 3, "to": 4}}
    assert [str(p) for p in verify(tmp_path).problems] == [
        f"{FIRST}:3: follows record 2: records 3 to 4 are missing"
    ]


def test_a_crash_while_a_file_is_compressed(tmp_path):
    sample_log(tmp_path / "whole")
    plain = gzip.decompress((tmp_path / "whole" / f"{FIRST}.gz").read_bytes())
    crashed = tmp_path / "crashed"
    for left in ("before the rename", "before the old one goes"):
        shutil.copytree(tmp_path / "whole", crashed)
        (crashed / FIRST).write_bytes(plain)
        if left == "before the rename":
            (crashed / f"{FIRST}.gz").rename(crashed / f"{FIRST}.gz.tmp")
        assert verify(crashed).is_ok
        assert texts(crashed) == texts(tmp_path / "whole")
        write_log(crashed, (NOON + 2 * DAY + 60, note("after")))
        assert names(crashed) == names(tmp_path / "whole")
        assert (crashed / f"{FIRST}.gz").read_bytes() == (
            tmp_path / "whole" / f"{FIRST}.gz"
        ).read_bytes()
        assert verify(crashed).is_ok
        shutil.rmtree(crashed)


def test_what_is_not_the_compressed_file_is_kept_and_reported(tmp_path):
    sample_log(tmp_path)
    (tmp_path / FIRST).write_bytes(b"another history\n")
    write_log(tmp_path, (NOON + 2 * DAY + 60, note("after")))
    assert (tmp_path / FIRST).read_bytes() == b"another history\n"
    assert (tmp_path / f"{FIRST}.gz").exists()
    assert f"{FIRST}: differs from {FIRST}.gz" in map(str, verify(tmp_path).problems)


def test_only_one_process_writes(tmp_path):
    log = AuditLog(tmp_path, retry_s=0.01)
    log.append(NOON, note("a"))
    wait_for(lambda: (tmp_path / FIRST).exists(), "nothing is written")
    second = AuditLog(tmp_path, retry_s=0.01)
    second.append(NOON, note("b"))
    wait_for(lambda: not second.health.is_ok, "the second writes too")
    assert "another process writes this log" in second.health.reason
    log.close()
    wait_for(lambda: second.health == (True, "", 0, 0), "the second does not take over")
    second.close()
    assert texts(tmp_path) == ["a", "b"]
    assert verify(tmp_path).is_ok


def run_until_killed(directory: Path, count: int) -> None:
    """Write records in another process, which is killed after it has appended some."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            log = AuditLog(directory, max_bytes=20_000)
            for number in range(10_000_000):
                log.append(NOON + number * 60, verdict_change(f"203.0.113.{number % 256}/32"))
                os.write(writing, b".")
        finally:
            os._exit(1)
    os.close(writing)
    while count > 0:
        count -= len(os.read(reading, count))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)


@pytest.mark.parametrize("seed", range(30))
def test_a_log_is_intact_after_a_kill_at_any_moment(tmp_path, seed):
    run_until_killed(tmp_path, random.Random(seed).randrange(1, 4000))
    write_log(tmp_path, (NOON + 1000 * DAY, note("restarted")))
    result = verify(tmp_path)
    assert result.problems == ()
    assert texts(tmp_path) == ["restarted"]
    for recovered in events(tmp_path, "recovered"):
        assert set(recovered["data"]) == {"file", "cut_octets"}
    logged = events(tmp_path, "verdict")
    assert [record["prefix"] for record in logged] == [
        f"203.0.113.{number % 256}/32" for number in range(len(logged))
    ]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_log_can_be_verified_and_queried_while_it_is_written(tmp_path):
    log = AuditLog(tmp_path, max_bytes=30_000)
    for number in range(3000):
        log.append(NOON + number * 60, note(str(number)))
        if number % 300 == 299:
            assert verify(tmp_path).problems == ()
            logged = [record["data"]["text"] for record in query(tmp_path, event="note")]
            assert logged == [str(index) for index in range(len(logged))]
    log.close()
    assert len(texts(tmp_path)) == 3000


# Disks that fail ----------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, 1, 400, 1000, 3333])
def test_a_full_disk_holds_nothing_up_and_loses_nothing_that_waits(tmp_path, room):
    disk = FullDisk(room)
    log = AuditLog(tmp_path, disk=disk, retry_s=0.005)
    for number in range(40):
        log.append(NOON + number, note(str(number)))
    wait_for(lambda: not log.health.is_ok, "health does not know")
    assert "No space left on device" in log.health.reason
    for number in range(40, 50):
        log.append(NOON + number, note(str(number)))
    assert log.health.queued > 0
    assert verify(tmp_path).problems == ()  # nothing half written stays
    disk.free()
    wait_for(lambda: log.health == (True, "", 0, 0), "no recovery")
    log.close()
    assert texts(tmp_path) == [str(number) for number in range(50)]
    assert events(tmp_path, "recovered", "gap") == []
    assert verify(tmp_path).is_ok


def test_a_gap_of_the_queue_is_recorded_at_its_place(tmp_path):
    disk = StuckDisk()
    log = AuditLog(tmp_path, disk=disk, max_queue=10)
    for number in range(25):
        log.append(NOON + number, note(str(number)))
    assert log.health == (
        False,
        f"{tmp_path}: the disk is slower than the filter; records are dropped",
        10,
        15,
    )
    disk.released.set()
    wait_for(lambda: log.health.queued == 0 and log.health.is_ok, "no recovery")
    log.append(NOON + 60, note("after"))
    log.close()
    logged = events(tmp_path, "note", "gap")
    assert [record["event"] for record in logged] == ["note"] * 10 + ["gap", "note"]
    assert logged[10]["data"] == {
        "from": "2026-11-22T12:00:10.000000Z",
        "to": "2026-11-22T12:00:24.000000Z",
        "count": 15,
    }
    assert texts(tmp_path) == [*map(str, range(10)), "after"]
    assert log.health.dropped == 15
    assert verify(tmp_path).is_ok


def test_a_queue_that_was_full_takes_more_once_it_is_half_empty(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_log, "BATCH", 4)
    disk = StuckDisk()
    log = AuditLog(tmp_path, disk=disk, max_queue=10)
    for number in range(11):
        log.append(NOON + number, note(str(number)))  # the last is dropped
    assert log.health.dropped == 1
    while (queued := log.health.queued) > 5:
        log.append(NOON + 20, note("too early"))
        disk.let_one_through()
        wait_for(lambda before=queued: log.health.queued < before, "nothing is written")
    assert log.health.queued > 0
    log.append(NOON + 30, note("after"))
    disk.released.set()
    log.close()
    logged = events(tmp_path, "note", "gap")
    assert [record["event"] for record in logged] == ["note"] * 10 + ["gap", "note"]
    assert logged[10]["data"]["count"] == log.health.dropped
    assert texts(tmp_path) == [*map(str, range(10)), "after"]


def test_a_disk_that_does_not_answer_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(audit_log, "STALL_S", 0.0)
    disk = StuckDisk()
    log = AuditLog(tmp_path, disk=disk)
    log.append(NOON, note())
    disk.is_reached.wait()
    assert "the disk has not answered for" in log.health.reason
    log.close(timeout=0.01)  # does not wait for it either
    disk.released.set()
    log.close()
    assert verify(tmp_path).is_ok


def test_what_a_full_disk_kept_from_being_compressed_is_later(tmp_path):
    disk = FullDisk(float("inf"))
    writer = ChainWriter(tmp_path, 1 << 20, disk)
    for day in range(3):
        if day == 1:  # the first file is closed while there is room for records only
            writer.write([(NOON + DAY, note("1"))])
            disk.room = 0
        else:
            disk.free()
            writer.write([(NOON + day * DAY, note(str(day)))])
        writer.tidy()
    writer.close()
    names = sorted(path.name for path in tmp_path.glob("audit-*"))
    assert names == [
        "audit-2026-11-22.jsonl.gz",
        "audit-2026-11-23.jsonl.gz",
        "audit-2026-11-24.jsonl",
    ]
    assert texts(tmp_path) == ["0", "1", "2"]


def test_an_end_in_a_hurry_writes_records_and_leaves_files_to_the_next_start(tmp_path, monkeypatch):
    """A file of 256 MiB is compressed for many seconds; ExaBGP does not wait for long."""
    begun, never = threading.Event(), threading.Event()

    class SlowZlib:
        def compress(self, chunk):
            begun.set()
            never.wait(0.02)
            return b""

        def flush(self):
            return b""

    log = AuditLog(tmp_path)
    for number in range(3000):
        log.append(NOON, note(str(number)))
    wait_for(lambda: log.health.queued == 0, "not written")
    monkeypatch.setattr(audit_files, "_CHUNK", 256)  # some 4,000 of them take more than a minute
    monkeypatch.setattr(audit_files.zlib, "compressobj", lambda *_: SlowZlib())
    log.append(NOON + DAY, note("next day"))
    assert begun.wait(DEADLINE_S)
    log.append(NOON + DAY, note("last"))
    log.close(timeout=DEADLINE_S)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.glob("audit-*")) == [
        "audit-2026-11-22.jsonl",
        "audit-2026-11-23.jsonl",
    ]
    assert texts(tmp_path)[-2:] == ["next day", "last"]
    write_log(tmp_path, (NOON + DAY, note("restarted")))
    assert (tmp_path / "audit-2026-11-22.jsonl.gz").exists()
    assert verify(tmp_path).is_ok


class NoMemory(audit_log.Disk):
    """Fails the first time, in a way that no disk does."""

    has_failed = False

    def write(self, descriptor, data):
        if not self.has_failed:
            self.has_failed = True
            super().write(descriptor, data[:100])
            raise MemoryError
        return super().write(descriptor, data)


def test_a_log_continues_after_every_kind_of_failure(tmp_path, caplog):
    log = AuditLog(tmp_path, disk=NoMemory(), retry_s=0.005)
    log.append(NOON, note("a"))
    wait_for(lambda: log.health == (True, "", 0, 0), "no recovery")
    log.append(NOON + 1, note("b"))
    log.close()
    assert texts(tmp_path) == ["a", "b"]
    assert verify(tmp_path).is_ok
    assert f"{tmp_path}: MemoryError()" in caplog.text


def test_a_place_where_no_directory_can_be(tmp_path):
    (tmp_path / "audit").write_text("a file")
    log = AuditLog(tmp_path / "audit", retry_s=0.005)
    log.append(NOON, note("a"))
    wait_for(lambda: not log.health.is_ok, "health does not know")
    (tmp_path / "audit").unlink()
    wait_for(lambda: log.health.is_ok, "no recovery")
    log.close()
    assert texts(tmp_path / "audit") == ["a"]


def test_closing_gives_up_on_a_disk_that_fails(tmp_path, caplog):
    log = AuditLog(tmp_path, disk=FullDisk(0), retry_s=60)
    log.append(NOON, note())
    wait_for(lambda: not log.health.is_ok, "health does not know")
    log.close()
    assert "1 records are lost" in caplog.text


def test_a_replay_that_cannot_write_fails(tmp_path):
    log = AuditLog(tmp_path, disk=FullDisk(0), synchronous=True)
    log.append(NOON, note())
    with pytest.raises(OSError, match="No space left"):
        log.close()


@pytest.mark.parametrize("what", ["removed", "emptied", "changed"])
def test_files_changed_under_a_running_log_are_noticed(tmp_path, what):
    writer = ChainWriter(tmp_path, 1 << 20, audit_log.Disk())
    assert writer.write([(NOON, note("a")), (NOON, note("b"))]) == 2
    path = tmp_path / FIRST
    if what == "removed":
        path.unlink()
    elif what == "emptied":
        os.truncate(path, 0)
    else:
        path.write_bytes(path.read_bytes() + b"not ours\n")
    writer.write([(NOON, note("c"))])
    writer.write([(NOON, note("d"))])
    writer.close()
    left = [] if what in {"removed", "emptied"} else ["a", "b"]
    assert texts_after_damage(tmp_path) == [*left, "c", "d"]
    (recovered,) = [r for r in parsed(tmp_path) if r["event"] == "recovered"]
    if what == "changed":
        assert recovered["data"]["problem"] == "the last line does not match its hash"
    else:
        assert recovered["data"]["missing"] == {"from": 1, "to": 3}
    result = verify(tmp_path)
    assert not result.is_ok or result.pruned_before == 4


def parsed(directory: Path) -> Iterator[dict]:
    for line in all_lines(directory):
        if line.startswith(b"{"):
            yield json.loads(line)


def texts_after_damage(directory: Path) -> list[str]:
    return [r["data"]["text"] for r in parsed(directory) if r["event"] == "note"]


def test_an_event_that_cannot_be_written_does_not_end_the_log(tmp_path):
    broken = replace(verdict_change(), route=None)
    write_log(tmp_path, (NOON, note("a")), (NOON, broken), (NOON, note("b")))
    assert [record["event"] for record in records(tmp_path)] == ["file", "note", "gap", "note"]
    assert verify(tmp_path).is_ok


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.lab
@pytest.mark.skipif(
    os.geteuid() != 0 and "CI" not in os.environ, reason="only root can mount a small disk"
)
def test_a_disk_that_is_really_full(tmp_path):
    with small_disk(tmp_path / "disk", "256k"):
        ballast = tmp_path / "disk" / "ballast"
        ballast.write_bytes(bytes(160 * 1024))
        directory = tmp_path / "disk" / "audit"
        log = AuditLog(directory, retry_s=0.01, max_queue=500, max_bytes=20_000)
        for number in range(2000):
            log.append(NOON + number, verdict_change(f"203.0.113.{number % 256}/32"))
        wait_for(lambda: "No space left" in log.health.reason, "the disk is not full")
        wait_for(lambda: log.health.dropped > 0, "nothing is dropped")
        ballast.unlink()
        wait_for(lambda: log.health.is_ok, "no recovery")
        log.close()
        dropped = sum(record["data"]["count"] for record in events(directory, "gap"))
        assert dropped == log.health.dropped > 0
        assert len(events(directory, "verdict")) == 2000 - dropped
        assert verify(directory).problems == ()
