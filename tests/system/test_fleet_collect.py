"""Copies of logs: the same names, the same octets, whatever happens on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.postgresql import PostgreSql
from support.fleet_samples import (
    FLEET,
    Growing,
    Worker,
    database,
    fleet_config,
    lines,
    ship_all,
    shipped,
    shipper,
    wait_until,
    write,
)

from rsfilter.audit.chain import GENESIS, Link, claimed_link, seal
from rsfilter.audit.files import list_keys
from rsfilter.audit.verify import verify
from rsfilter.cli import main
from rsfilter.fleet.block import START, Block, pack
from rsfilter.fleet.collect import collect
from rsfilter.fleet.reader import LogReader


class Blocks:
    """A source in memory: the blocks of one log."""

    def __init__(self, directory: Path) -> None:
        reader = LogReader(directory)
        self.blocks: list[Block] = []
        while block := reader.block(reader.head()):
            self.blocks.append(block)

    @property
    def newest(self) -> Link:
        """The last record."""
        return Link(self.blocks[-1].last, "", self.blocks[-1].hash)

    def read(self, instance: str, after: int, limit: int) -> list[Block]:
        """The interface of Database.read."""
        return [block for block in self.blocks if block.last > after][:limit]


def content(directory: Path) -> dict[str, bytes]:
    """Every file of a log by its name."""
    return {path.name: path.read_bytes() for path in sorted(directory.glob("audit-*"))}


def take(source: Blocks, directory: Path, newest: Link | None = None) -> tuple[int, str]:
    """(records that were added, problem)."""
    *_, last = collect(source, "rs1", newest or source.newest, directory)
    return last.records, last.problem


@pytest.mark.parametrize("max_bytes", [1 << 28, 250_000])
def test_the_same_names_and_octets(tmp_path: Path, max_bytes: int) -> None:
    write(tmp_path / "log", 3000, max_bytes=max_bytes)
    added, problem = take(Blocks(tmp_path / "log"), tmp_path / "copy")
    assert (added, problem) == (len(lines(tmp_path / "log")), "")
    assert content(tmp_path / "copy") == content(tmp_path / "log")
    head = (tmp_path / "copy" / "head.json").read_bytes()
    assert head == (tmp_path / "log" / "head.json").read_bytes()
    assert verify(tmp_path / "copy").is_ok


def test_collecting_goes_on_after_each_block(tmp_path: Path) -> None:
    write(tmp_path / "log", 3000, max_bytes=250_000)
    source = Blocks(tmp_path / "log")
    every = source.blocks
    for number in range(1, len(every) + 1):
        source.blocks = every[:number]
        assert take(source, tmp_path / "copy")[1] == ""
    assert content(tmp_path / "copy") == content(tmp_path / "log")


def test_a_copy_is_complete_after_a_crash_at_any_octet(tmp_path: Path) -> None:
    """A write that was cut is taken back and made again."""
    write(tmp_path / "log", 300)
    source = Blocks(tmp_path / "log")
    take(source, tmp_path / "whole")
    (key,) = list_keys(tmp_path / "whole")
    octets = (tmp_path / "whole" / key.name).read_bytes()
    for cut in range(1, len(octets), 7919):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        (copy / key.name).write_bytes(octets[:cut])  # head.json was not written yet
        assert take(source, copy)[1] == ""
        assert (copy / key.name).read_bytes() == octets


def test_the_same_log_may_come_in_other_blocks(tmp_path: Path) -> None:
    """Lines come in other blocks after a fault, and overlap those that are there."""
    write(tmp_path / "log", 1000)
    everything = lines(tmp_path / "log")
    links = [START, *map(claimed_link, everything)]
    source = Blocks(tmp_path / "log")
    source.blocks = [pack(everything[:333], START)]
    take(source, tmp_path / "copy")
    source.blocks = [
        pack(everything[start : start + 250], links[start]) for start in range(0, 1001, 250)
    ]
    assert take(source, tmp_path / "copy")[1] == ""
    assert content(tmp_path / "copy") == content(tmp_path / "log")


def other_log(directory: Path) -> Blocks:
    """Another history under the same numbers."""
    write(directory, 1000)
    prev, out = GENESIS, []
    for line in lines(directory):
        at = line.split(b'"at":"', 1)[1][:27].decode()
        members = line[line.index(b'Z",') + 3 : line.rindex(b',"prev":')]
        members = members.replace(b'"asn":65001', b'"asn":65002')
        sealed, prev = seal(claimed_link(line).seq, at, members.decode(), prev)
        out.append(sealed.encode())
    source = Blocks(directory)
    half = pack(out[:400], START)
    source.blocks = [half, pack(out[400:], Link(half.last, "", half.hash))]
    return source


def test_another_history_is_refused_and_nothing_changed(tmp_path: Path) -> None:
    write(tmp_path / "log", 500)
    take(Blocks(tmp_path / "log"), tmp_path / "copy")
    before = content(tmp_path / "copy")
    added, problem = take(other_log(tmp_path / "other"), tmp_path / "copy")
    assert added == 0
    assert "record 501 is" in problem
    assert content(tmp_path / "copy") == before


def test_a_database_that_was_put_back_is_waited_for(tmp_path: Path) -> None:
    write(tmp_path / "log", 2000)
    source = Blocks(tmp_path / "log")
    every, newest = source.blocks, source.newest
    take(source, tmp_path / "copy")
    source.blocks = every[:1]
    assert take(source, tmp_path / "copy") == (0, "")
    source.blocks = every
    assert take(source, tmp_path / "copy", newest) == (0, "")
    other = other_log(tmp_path / "other")
    _, problem = take(other, tmp_path / "copy", Link(700, "", other.newest.hash))
    assert "record 700 was shipped with the hash" in problem


def test_records_that_are_no_longer_in_the_database(tmp_path: Path) -> None:
    write(tmp_path / "log", 3000, max_bytes=250_000)
    source = Blocks(tmp_path / "log")
    every = source.blocks
    source.blocks = every[:1]
    take(source, tmp_path / "copy")
    source.blocks = every[2:]
    _, problem = take(source, tmp_path / "copy")
    assert problem == (
        f"records {every[0].last + 1} to {every[1].last} are not in the database any more"
    )
    # A new copy begins with the first whole file.
    assert take(source, tmp_path / "new")[1] == ""
    assert verify(tmp_path / "new").is_ok
    kept = content(tmp_path / "new")
    assert kept == {name: content(tmp_path / "log")[name] for name in kept}


def test_a_damaged_copy_is_not_continued(tmp_path: Path) -> None:
    write(tmp_path / "log", 300)
    source = Blocks(tmp_path / "log")
    take(source, tmp_path / "copy")
    (key,) = list_keys(tmp_path / "copy")
    octets = (tmp_path / "copy" / key.name).read_bytes()
    (tmp_path / "copy" / key.name).write_bytes(octets[: len(octets) // 2])
    added, problem = take(source, tmp_path / "copy")
    assert added == 0
    assert "the copy is damaged: missing" in problem


def test_a_block_that_lies_is_not_written(tmp_path: Path) -> None:
    write(tmp_path / "log", 1500)
    source = Blocks(tmp_path / "log")
    first, second = source.blocks[:2]
    source.blocks = [first, second._replace(lines=first.lines)]
    _, problem = take(source, tmp_path / "copy")
    assert "does not follow" in problem
    assert lines(tmp_path / "copy") == lines(tmp_path / "log")[: first.last]


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x", "audit-2026-11-22.jsonl/../../x", "audit-2020-01-01.jsonl", ""]
)
def test_a_file_that_a_forger_names(tmp_path: Path, name: str) -> None:
    """A role that can insert can name any file: none outside, and none that is there already."""
    write(tmp_path / "log", 10)
    source = Blocks(tmp_path / "log")
    take(source, tmp_path / "copy")
    body = f'"event":"file","data":{{"file":{json.dumps(name)}}}'
    line, _ = seal(12, "2026-11-22T12:00:00.000000Z", body, source.newest.hash)
    source.blocks.append(pack([line.encode()], source.newest))
    assert "names no new file" in take(source, tmp_path / "copy")[1]
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [
        "audit-2026-11-22.jsonl",
        "head.json",
        "lock",
    ]


def test_two_collectors_do_not_write_one_copy(tmp_path: Path) -> None:
    write(tmp_path / "log", 2000)
    source = Blocks(tmp_path / "log")
    running = collect(source, "rs1", source.newest, tmp_path / "copy")
    next(running)
    assert "another process writes this copy" in take(source, tmp_path / "copy")[1]
    running.close()


def test_what_it_costs(tmp_path: Path) -> None:
    """The aim is 30,000 records a second of CPU, with compression: 33 microseconds each."""
    write(tmp_path / "log", 60_000, max_bytes=10_000_000)
    source = Blocks(tmp_path / "log")
    before = time.process_time()
    added, _ = take(source, tmp_path / "copy")
    each = (time.process_time() - before) / added
    assert content(tmp_path / "copy") == content(tmp_path / "log")
    assert each < 33e-6, f"{each * 1e6:.1f} microseconds of CPU a record"


# With a real database ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with database("rs1", "rs2") as made:
        yield made


def command(server: PostgreSql, output: Path, *more: str) -> list[str]:
    """Arguments of `rsfilter fleet collect`."""
    return [
        *("fleet", "collect", "--fleet", FLEET, "--database", server.url("auditor")),
        *("-o", str(output), *more),
    ]


@pytest.mark.lab
def test_collect_of_two_instances(
    server: PostgreSql, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for instance, count in (("rs1", 3000), ("rs2", 1200)):
        write(tmp_path / instance, count, max_bytes=300_000)
        ship_all(shipper(server, instance, tmp_path / instance))
    assert main(command(server, tmp_path / "copies", "--json")) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["instance"], one["behind"], one["problem"]) for one in found] == [
        ("rs1", 0, ""),
        ("rs2", 0, ""),
    ]
    for instance in ("rs1", "rs2"):
        assert content(tmp_path / "copies" / instance) == content(tmp_path / instance)
    assert main(command(server, tmp_path / "copies")) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "rs1",
        "0",
        f"{found[0]['last']}",
        "0",
    ]


@pytest.mark.lab
def test_kill_9_of_collector_and_shipper_while_the_log_grows(tmp_path: Path) -> None:
    with database("rs1") as server:
        growing = Growing(tmp_path / "log")
        worker = Worker(fleet_config(server, "rs1"), tmp_path / "log")
        argv = [sys.executable, "-m", "rsfilter", *command(server, tmp_path / "copies")]
        for delay in (0.4, 0.6, 0.8, 1.0, 1.2, 1.6):
            collector = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
            time.sleep(delay)
            collector.send_signal(signal.SIGKILL)
            collector.wait()
            worker.kill()
            worker.start()
        everything = growing.end()
        wait_until(worker.has_shipped, "everything is shipped")
        worker.end()
        assert shipped(server) == everything
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        assert content(tmp_path / "copies" / "rs1") == content(tmp_path / "log")
        assert verify(tmp_path / "copies" / "rs1").is_ok


@pytest.mark.lab
def test_an_instance_with_a_name_that_is_no_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with database("rs1") as server:
        server.query("INSERT INTO rsfilter.genesis VALUES ('../outside')")
        assert main(command(server, tmp_path / "copies")) == 1
        assert "is not a name" in capsys.readouterr().out
        assert sorted(os.listdir(tmp_path)) == ["copies"]
