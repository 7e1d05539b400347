"""Files of a recorder: whole turns, of this process and of those before it."""

from __future__ import annotations

import logging
import os
import resource
import select
from pathlib import Path

import pytest
from lab.waiting import DEADLINE_S

from rsfilter.edge.recorder import KEPT, Recorder, RecordingFile, read
from rsfilter.pipeline.inputs import Lines, Moment
from rsfilter.pipeline.recording import decode, encode
from rsfilter.routing.events import GuardReleased
from rsfilter.routing.model import Prefix


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a recording"


def lines_of(path: Path) -> list[bytes]:
    return [line for _, what in read(path) if isinstance(what, Lines) for line in what.lines]


def record(path: Path, text: bytes) -> None:
    RecordingFile(path).write(encode(Moment(1.0, 2.0), Lines([text])))


def test_recordings_of_earlier_processes_are_kept(path: Path) -> None:
    """A process that failed is started again with the same arguments."""
    for number in range(KEPT + 3):
        record(path, b"process %d" % number)
    kept = [path, *(path.with_name(f"{path.name}.{number}") for number in (1, 2, 3))]
    assert [lines_of(each) for each in kept] == [
        [b"process 5"],
        [b"process 4"],
        [b"process 3"],
        [b"process 2"],
    ]
    assert sorted(path.parent.iterdir()) == sorted(kept)


def test_what_is_no_file_stays_where_it_is(tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.symlink_to("/dev/null")
    for _ in range(2):
        record(device, b"nothing")
    assert list(tmp_path.iterdir()) == [device]


def test_a_recording_that_finds_no_room_ends_with_its_last_whole_turn(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = RecordingFile(path)
    file.write(encode(Moment(1.0, 2.0), Lines([b"first"])))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        file.write(encode(Moment(2.0, 3.0), Lines([b"x" * 10_000])))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    file.write(encode(Moment(3.0, 4.0), Lines([b"too late: a turn is missing"])))
    assert lines_of(path) == [b"first"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "ends here, filtering goes on" in caplog.text


def test_the_filter_continues_without_a_recording(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart months later finds that the directory is missing."""
    path = tmp_path / "gone" / "recording"
    record(path, b"a line")
    assert (
        f"there is no recording, filtering goes on: [Errno 2] No such file or directory: '{path}'"
        in caplog.text
    )


def test_a_disk_that_does_not_answer_ends_the_recording(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A pipe without a reader takes 64 KiB. What comes later is left out: a hole cannot be
    replayed."""
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    recorder = Recorder(path, max_waiting=200_000)
    moment, what = Moment(1.0, 2.0), Lines([b"x" * 99_950])
    turn = encode(moment, what)
    assert 99_950 < len(turn) <= 100_000
    for _ in range(4):
        recorder.write(moment, what)
    assert "the disk does not answer" in caplog.text
    os.set_blocking(reading, True)
    select.select(
        [reading], [], [], DEADLINE_S
    )  # before it is opened for writing, it is at its end
    found = b""
    while data := os.read(reading, 1 << 20):
        found += data
    recorder.close(20.0)
    assert found == 3 * turn
    os.close(reading)
    assert len(caplog.records) == 1


def test_what_waits_is_written_at_the_end(path: Path) -> None:
    recorder = Recorder(path)
    for number in range(100):
        recorder.write(Moment(1.0, 2.0), Lines([b"%d" % number]))
    recorder.close(20.0)
    assert lines_of(path) == [b"%d" % number for number in range(100)]


@pytest.mark.parametrize(
    ("release", "members"),
    [
        (GuardReleased("SIGUSR2"), b'"release": "SIGUSR2"}'),
        (
            GuardReleased("HTTP", Prefix.parse("203.0.113.0/28"), "hv1"),
            b'"release": "HTTP", "prefix": "203.0.113.0/28", "host": "hv1"}',
        ),
    ],
    ids=["all", "a scope"],
)
def test_a_release_is_recorded_with_its_scope(release: GuardReleased, members: bytes) -> None:
    line = encode(Moment(1.0, 2.0), release)
    assert line == b'{"now": 1.0, "time": 2.0, ' + members + b"\n"
    assert decode(line) == (Moment(1.0, 2.0), release)
