"""Unfinished work is written down, and read by the next process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rsfilter.edge.unsettled_file import MAX_OCTETS, NAME, UnsettledKeeper, load, write
from rsfilter.exabgp.unsettled import SETTLED, Unsettled
from rsfilter.routing.model import Address

ROUTER, HOST, HOST6 = map(Address.parse, ("192.0.2.10", "198.51.100.1", "2001:db8::1"))
CONTENT = Unsettled(frozenset({ROUTER}), frozenset({HOST, HOST6}))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "audit" / NAME
    assert load(path) == SETTLED
    write(path, CONTENT)
    assert path.read_text() == (
        '{"routers": ["192.0.2.10"], "hosts": ["198.51.100.1", "2001:db8::1"]}\n'
    )
    assert load(path) == CONTENT
    write(path, SETTLED)
    assert list(path.parent.iterdir()) == []
    assert load(path) == SETTLED


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"routers": []}',
        b'{"routers": ["192.0.2.300"], "hosts": []}',
        b'{"routers": [1], "hosts": []}',
        b'{"routers": [], "hosts": [], "more": []}',
        b"\xff",
        b"[" * 100_000,
        b" " * (MAX_OCTETS + 1),
    ],
    ids=range(10),
)
def test_what_cannot_be_read_is_left_out_and_logged(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / NAME
    path.write_bytes(content)
    assert load(path) == SETTLED
    assert str(path) in caplog.text


def test_a_directory_in_its_place_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / NAME).mkdir()
    assert load(tmp_path / NAME) == SETTLED
    assert NAME in caplog.text


def test_the_keeper_writes_the_newest_and_continues_after_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit" / NAME
    path.parent.write_text("in the way")

    async def live() -> None:
        keeper = UnsettledKeeper(path, SETTLED)
        keeper.start()
        keeper.take(CONTENT)
        while "cannot write" not in caplog.text:
            await asyncio.sleep(0.01)
        path.parent.unlink()
        keeper.take(SETTLED)
        keeper.take(Unsettled(frozenset({ROUTER})))
        await keeper.stop()

    asyncio.run(live())
    assert load(path) == Unsettled(frozenset({ROUTER}))
    assert caplog.text.count("cannot write") == 1
