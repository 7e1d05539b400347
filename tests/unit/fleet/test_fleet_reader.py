"""Blocks from an audit directory, which is the spool."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path

import pytest
from support.audit_samples import DAY, NOON, verdict_change
from support.fleet_samples import QuickDisk, lines, write
from support.rewritten_log import rewritten

from rsfilter.audit.chain import GENESIS, Link, claimed_link
from rsfilter.audit.files import list_keys, read_head, write_head
from rsfilter.audit.log import AuditLog
from rsfilter.fleet.block import (
    MAX_OCTETS,
    MAX_RECORDS,
    START,
    Block,
    DamagedError,
    pack,
    unpack,
)
from rsfilter.fleet.reader import ForkError, LogReader, PrunedError


def read_all(reader: LogReader) -> list[bytes]:
    """All lines that it gives."""
    found: list[bytes] = []
    while block := reader.block(reader.head()):
        found += unpack(block)
    return found


@pytest.mark.parametrize("max_bytes", [1 << 28, 300_000])
def test_all_lines_are_read_once_and_in_order(tmp_path: Path, max_bytes: int) -> None:
    write(tmp_path, 2600, max_bytes=max_bytes)
    reader = LogReader(tmp_path)
    reader.seek(START)
    assert read_all(reader) == lines(tmp_path)
    assert reader.block(reader.head()) is None


@pytest.mark.parametrize("seq", [1, 2, 999, 1000, 2600])
def test_reading_continues_after_any_record(tmp_path: Path, seq: int) -> None:
    write(tmp_path, 2600, max_bytes=300_000)
    everything = lines(tmp_path)
    link = claimed_link(everything[seq - 1])
    reader = LogReader(tmp_path)
    reader.seek(link)
    assert read_all(reader) == everything[seq:]


def test_blocks_have_bounds(tmp_path: Path) -> None:
    write(tmp_path, 2600)
    reader = LogReader(tmp_path)
    block = reader.block(reader.head())
    assert block is not None
    content = zlib.decompress(block.lines)
    assert len(content) <= MAX_OCTETS + len(lines(tmp_path)[0])
    assert content.count(b"\n") <= MAX_RECORDS
    assert (block.first, block.prev) == (1, GENESIS)


def test_the_reader_never_passes_the_head(tmp_path: Path) -> None:
    write(tmp_path, 50)
    everything = lines(tmp_path)
    write_head(tmp_path, claimed_link(everything[19]), QuickDisk())
    reader = LogReader(tmp_path)
    assert read_all(reader) == everything[:20]
    write_head(tmp_path, claimed_link(everything[-1]), QuickDisk())
    assert read_all(reader) == everything[20:]


def test_a_log_that_grows_and_is_compressed_meanwhile(tmp_path: Path) -> None:
    reader, found = LogReader(tmp_path), []
    for round_ in range(20):
        write(tmp_path, 100, first=round_ * 100, max_bytes=120_000)
        found += read_all(reader)
    assert found == lines(tmp_path)
    assert len(list(tmp_path.glob("*.gz"))) > 5


def test_an_empty_directory_has_nothing_to_ship(tmp_path: Path) -> None:
    reader = LogReader(tmp_path)
    reader.seek(START)
    assert reader.head() == 0
    assert reader.block(0) is None
    write(tmp_path, 3)
    assert read_all(reader) == lines(tmp_path)


def test_a_log_that_was_rewritten_is_a_fork(tmp_path: Path) -> None:
    write(tmp_path, 300)
    cursor = claimed_link(lines(tmp_path)[199])
    rewritten(tmp_path, 150)
    with pytest.raises(ForkError, match=f"record 200 was shipped with the hash {cursor.hash}"):
        LogReader(tmp_path).seek(cursor)


@pytest.mark.parametrize("how", ["in_place", "another_file"])
def test_a_rewritten_log_is_found_at_the_next_block(tmp_path: Path, how: str) -> None:
    write(tmp_path, 300)
    reader = LogReader(tmp_path)
    assert len(read_all(reader)) == len(lines(tmp_path))
    if how == "another_file":
        copy = tmp_path / "copy"
        copy.mkdir()
        (key,) = list_keys(tmp_path)
        shutil.copy(tmp_path / key.name, copy)
        rewritten(copy, 150)
        os.replace(copy / key.name, tmp_path / key.name)
        os.replace(copy / "head.json", tmp_path / "head.json")
    else:
        rewritten(tmp_path, 150)
    with pytest.raises(ForkError):
        reader.block(reader.head())


def test_a_shorter_log_is_a_fork(tmp_path: Path) -> None:
    write(tmp_path / "long", 300)
    write(tmp_path / "short", 100)
    with pytest.raises(ForkError, match="record 301 was shipped, and the log here ends with 101"):
        LogReader(tmp_path / "short").seek(claimed_link(lines(tmp_path / "long")[-1]))


def test_a_removed_log_is_a_fork(tmp_path: Path) -> None:
    with pytest.raises(ForkError, match="record 5 was shipped, and there is no record here"):
        LogReader(tmp_path).seek(Link(5, "", "a" * 64))


def test_records_that_were_removed_before_they_were_shipped(tmp_path: Path) -> None:
    write(tmp_path, 1500, max_bytes=300_000)
    everything = lines(tmp_path)
    oldest = list_keys(tmp_path)[0]
    (tmp_path / oldest.compressed_name).unlink()
    first = claimed_link(lines(tmp_path)[0])
    with pytest.raises(PrunedError, match=f"records 11 to {first.seq - 1} were not shipped"):
        LogReader(tmp_path).seek(claimed_link(everything[9]))
    reader = LogReader(tmp_path)
    reader.seek(claimed_link(everything[first.seq - 2]))
    assert read_all(reader) == lines(tmp_path)


def test_a_record_that_was_changed_is_not_shipped(tmp_path: Path) -> None:
    write(tmp_path, 100)
    (key,) = list_keys(tmp_path)
    content = (tmp_path / key.name).read_bytes()
    (tmp_path / key.name).write_bytes(content.replace(b"203.0.0.50/32", b"203.0.0.51/32"))
    with pytest.raises(DamagedError, match=r"record \d+ does not match its hash"):
        LogReader(tmp_path).block(101)


def test_a_head_beyond_the_records_is_damage(tmp_path: Path) -> None:
    write(tmp_path, 10)
    reader = LogReader(tmp_path)
    read_all(reader)
    write_head(tmp_path, Link(99, "", "a" * 64), QuickDisk())
    with pytest.raises(DamagedError, match="names 99, 11 is the last"):
        reader.block(reader.head())
    (tmp_path / "head.json").write_text("{}")
    with pytest.raises(DamagedError, match=r"head\.json is damaged"):
        reader.head()


@pytest.mark.parametrize(
    "damage",
    [
        lambda block: block._replace(lines=block.lines[:-5]),
        lambda block: block._replace(lines=block.lines + b"x"),
        lambda block: block._replace(lines=b"no zlib"),
        lambda block: block._replace(lines=zlib.compress(b"x" * (MAX_OCTETS * 4))),
        lambda block: block._replace(lines=zlib.compress(b"x\n")),
        lambda block: block._replace(first=block.first + 1),
        lambda block: block._replace(last=block.last - 1),
        lambda block: block._replace(prev="a" * 64),
        lambda block: block._replace(hash="a" * 64),
    ],
)
def test_a_block_that_is_not_what_it_claims(tmp_path: Path, damage: object) -> None:
    write(tmp_path, 20)
    everything = lines(tmp_path)
    block = pack(everything, START)
    assert unpack(block) == everything
    damaged = damage(block)  # type: ignore[operator]
    assert isinstance(damaged, Block)
    with pytest.raises(DamagedError):
        unpack(damaged)


def test_the_head_is_what_the_writer_notes(tmp_path: Path) -> None:
    write(tmp_path, 5)
    head = read_head(tmp_path)
    assert head is not None
    assert head.seq == json.loads(lines(tmp_path)[-1])["seq"] == LogReader(tmp_path).head()


def test_files_are_read_in_order_although_the_clock_steps_back_and_forth(tmp_path: Path) -> None:
    """Files are in the order of the chain, whatever their times."""
    log = AuditLog(tmp_path, synchronous=True, max_bytes=20_000, disk=QuickDisk())
    for number, step in enumerate((0, DAY, -DAY, 3 * DAY, -2 * DAY, 0)):
        for offset in range(40):
            log.append(NOON + step + offset, verdict_change(f"203.0.{number}.{offset}/32"))
    log.close()
    everything = lines(tmp_path)
    seqs = [claimed_link(line).seq for line in everything]
    assert seqs == list(range(1, len(seqs) + 1))
    reader = LogReader(tmp_path)
    assert read_all(reader) == everything
    for seq in (1, 100, 200):
        reader.seek(claimed_link(everything[seq - 1]))
        assert read_all(reader) == everything[seq:]


def test_a_power_failure_takes_only_what_was_not_shipped(tmp_path: Path) -> None:
    """Records beyond the head are lost, and others get their numbers: no fork, as none was
    shipped."""
    write(tmp_path, 60)
    everything = lines(tmp_path)
    write_head(tmp_path, claimed_link(everything[29]), QuickDisk())
    reader = LogReader(tmp_path)
    found = read_all(reader)
    assert found == everything[:30]
    (key,) = list_keys(tmp_path)
    (tmp_path / key.name).write_bytes(b"".join(everything[:30]))
    write(tmp_path, 50, first=500)
    found += read_all(reader)
    assert found == lines(tmp_path)
    assert found[30:] != everything[30:]
