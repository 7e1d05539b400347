"""The pipe to ExaBGP, on real pipes: lines are whole, and the end is reported."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsfilter.edge import pipe
from rsfilter.edge.pipe import CommandWriter, LineReader, linger

DEADLINE_S = 120.0


class Ended(threading.Event):
    """Callback that another thread runs."""

    def expect(self) -> None:
        assert self.wait(DEADLINE_S), "nobody was told"


def read_all(pieces: list[bytes]) -> LineReader:
    """A reader at its end, which got `pieces` one by one."""
    reader = LineReader(-1, lambda: None)
    for piece in pieces:
        reader._split(piece)
    return reader


@given(st.lists(st.text("ab\n", max_size=8), max_size=8))
def test_lines_are_whole_in_whatever_pieces_they_arrive(pieces: list[str]) -> None:
    text = "".join(pieces)
    reader = read_all([piece.encode() for piece in pieces if piece])
    assert [line.decode() for line in reader.take()] == text.split("\n")[:-1]
    assert reader.take() == []


def test_a_line_without_end_is_dropped_and_the_next_one_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipe, "MAX_LINE_OCTETS", 10)
    reader = read_all([b"first\n123456", b"7890abc", b'{"looks": "good"}\nlast\n'])
    first, dropped, last = reader.take()
    assert (first, last) == (b"first", b"last")
    assert dropped.startswith(pipe.TOO_LONG)
    assert reader.counters["too_long"] == 1


def test_the_end_of_stdin_is_reported_after_the_last_line() -> None:
    at_end = Ended()
    reading, writing = os.pipe()
    reader = LineReader(reading, lambda: reader.is_at_end and at_end.set())
    reader.start()
    os.write(writing, b"one\ntwo\ncut off")
    os.close(writing)
    at_end.expect()
    assert reader.take() == [b"one", b"two"]
    os.close(reading)


def test_lines_that_may_wait_are_taken_when_they_are_many_or_another_line_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipe, "MAX_WAITING", 3)
    called: list[int] = []
    reader = LineReader(-1, lambda: called.append(len(reader._lines)), lambda line: line == b"w")
    for piece in (b"w\nw", b"\nw\nw\n", b"w\n"):
        reader._split(piece)
    assert called == [4], "once, until they are taken"
    assert reader.take() == [b"w"] * 5
    reader._split(b"w\n")
    reader._split(b"w\nnow\nw\n")
    assert called == [4, 4]
    assert reader.take() == [b"w", b"w", b"now", b"w"]
    reader._split(b"now\n")
    reader._split(b"now\n")
    assert called == [4, 4, 1]


def failing(*_: object) -> None:
    raise MemoryError("no room")


def test_a_reader_that_fails_is_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that is deaf and does not know would keep every route for ever."""
    at_end = Ended()
    reading, writing = os.pipe()
    reader = LineReader(reading, at_end.set)
    monkeypatch.setattr(reader, "_split", failing)
    reader.start()
    os.write(writing, b"one\n")
    at_end.expect()
    assert reader.is_at_end
    os.close(writing)
    os.close(reading)


def closed(reading: int, writer: CommandWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    os.close(reading)


def broken(reading: int, writer: CommandWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_write", failing)


@pytest.mark.parametrize("breaks", [closed, broken])
def test_a_writer_that_cannot_write_reports_it(
    breaks: Callable[[int, CommandWriter, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_broken = Ended()
    reading, writing = os.pipe()
    writer = CommandWriter(writing, is_broken.set)
    breaks(reading, writer, monkeypatch)
    writer.start()
    writer.write([b"announce\n"])
    is_broken.expect()


def test_a_writer_writes_all_before_it_closes_and_complains_of_nothing() -> None:
    is_broken = Ended()
    reading, writing = os.pipe()
    writer = CommandWriter(writing, is_broken.set)
    lines = [f"announce {number}\n".encode() for number in range(1_000)]
    writer.start()
    writer.write(lines)
    writer.close(DEADLINE_S)
    assert os.read(reading, 1 << 20) == b"".join(lines)
    assert not is_broken.is_set()
    assert writer.counters["lines"] == len(lines)
    os.close(writing)
    os.close(reading)


def test_a_stopped_reader_reads_on_and_wakes_no_loop() -> None:
    """A closed event loop cannot be woken."""
    called: list[None] = []
    reading, writing = os.pipe()
    reader = LineReader(reading, lambda: called.append(None))
    reader.start()
    reader.stop()
    os.write(writing, b"more than a pipe holds\n" * 100_000)
    os.close(writing)
    reader._thread.join(DEADLINE_S)
    assert not reader._thread.is_alive()
    assert (called, reader.take(), reader.is_at_end) == ([], [], False)
    os.close(reading)


def test_who_lingers_does_not_wait_for_what_another_has_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reader of the filter that failed may be quicker; then nothing more comes for hours, and
    no process filters."""
    reading, writing = os.pipe()
    monkeypatch.setattr("select.select", lambda *_: ([reading], [], []))
    until = time.monotonic() + 0.2
    lingering = threading.Thread(target=linger, args=(reading, until), daemon=True)
    lingering.start()
    lingering.join(DEADLINE_S)
    assert not lingering.is_alive()
    assert time.monotonic() >= until
    os.close(writing)
    os.close(reading)


def denied(*_: object) -> None:
    raise PermissionError


@pytest.mark.parametrize("is_ours", [True, False])
def test_who_lingers_reads_on_and_ends_with_exabgp(
    monkeypatch: pytest.MonkeyPatch, is_ours: bool
) -> None:
    """Ownership of the pipe does not matter."""
    reading, writing = os.pipe()
    if not is_ours:
        monkeypatch.setattr("os.open", denied)
    lingering = threading.Thread(target=linger, args=(reading, time.monotonic() + 2 * DEADLINE_S))
    lingering.start()
    lingering.join(0.1)
    assert lingering.is_alive()
    os.write(writing, b"more than a pipe holds" * 100_000)
    assert lingering.is_alive()
    os.close(writing)
    lingering.join(DEADLINE_S)
    assert not lingering.is_alive()
    os.close(reading)
