"""The binding of librtr: records, threads, and real StayRTR over TCP, SSH and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.waiting import DEADLINE_S
from msgspec.structs import astuple
from support import rtr_client
from support.places import ROOT
from support.rtr_cache import RtrCache

from rsfilter.routing.model import Prefix, Vrp
from rsfilter.rpki.vrps import RtrSnapshot
from rsfilter.rtr.ages import NO_LIMITS, AgeLimits
from rsfilter.rtr.caches import CacheAddress, RtrCaches
from rsfilter.rtr.librtr import Connection, RtrError, digest_of, read_table

# Records ---------------------------------------------------------------------------------------

RECORD = ">BBBxI16s"


def packed(prefix: str, max_length: int, asn: int) -> bytes:
    family, network, length = astuple(Prefix.parse(prefix))
    return struct.pack(RECORD, family, length, max_length, asn, network.to_bytes(16, "big"))


def test_records_become_vrps() -> None:
    records = packed("192.0.2.0/24", 32, 65001) + packed("2001:db8::1:0:0:1/128", 128, 2**32 - 1)
    table = read_table(records)
    assert set(table.vrps) == {
        Vrp(Prefix.parse("192.0.2.0/24"), 32, 65001),
        Vrp(Prefix.parse("2001:db8::1:0:0:1/128"), 128, 2**32 - 1),
    }
    assert table.dropped == 0
    assert table.digest == digest_of(records)


def test_no_records_make_an_empty_set() -> None:
    table = read_table(b"")
    assert (len(table.vrps), table.dropped) == (0, 0)


@pytest.mark.parametrize(
    ("family", "length", "max_length"),
    [(4, 33, 33), (4, 24, 23), (4, 24, 33), (4, 255, 255), (6, 129, 129), (6, 48, 0)],
)
def test_read_table_drops(family: int, length: int, max_length: int) -> None:
    record = struct.pack(RECORD, family, length, max_length, 65001, bytes(16))
    good = packed("192.0.2.0/24", 24, 1)
    table = read_table(record + good)
    assert (len(table.vrps), table.dropped) == (1, 1)
    assert table.digest == read_table(good).digest


BYTES = st.integers(0, 255)
RECORDS = st.lists(
    st.tuples(st.sampled_from([4, 6]), BYTES, BYTES, st.integers(0, 3), st.integers(0, 2**128 - 1)),
    max_size=20,
)


@given(RECORDS, RECORDS)
def test_digests_distinguish_sets(
    one: list[tuple[int, int, int, int, int]], two: list[tuple[int, int, int, int, int]]
) -> None:
    def table(rows: list[tuple[int, int, int, int, int]]) -> bytes:
        return b"".join(
            sorted(
                struct.pack(
                    RECORD,
                    family,
                    length,
                    max_length,
                    asn,
                    (address % 2**32 if family == 4 else address).to_bytes(16, "big"),
                )
                for family, length, max_length, asn, address in set(rows)
            )
        )

    first, second = read_table(table(one)), read_table(table(two))
    assert (first.digest == second.digest) == (set(first.vrps) == set(second.vrps))


# Threads ---------------------------------------------------------------------------------------


@pytest.fixture
def wake_fd() -> Iterator[int]:
    number = os.eventfd(0, os.EFD_NONBLOCK)
    yield number
    os.close(number)


def test_arguments_that_would_crash_librtr_are_refused(wake_fd: int) -> None:
    with pytest.raises(RtrError, match="NUL"):
        Connection(CacheAddress("a\0b", 1), refresh=1, retry=1, wake_fd=wake_fd)
    Connection(CacheAddress("127.0.0.1", 1), refresh=1, retry=1, wake_fd=wake_fd).stop()


def cutting_cache(listener: socket.socket, stop: threading.Event) -> None:
    """Accepts, sends half of something or nothing, and closes."""
    nonsense = random.Random(7)
    begun = struct.pack("!BBHI", 1, 3, 1, 8) + struct.pack("!BBHI", 1, 4, 0, 20) + bytes(12)
    listener.settimeout(0.05)
    while not stop.is_set():
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(begun[: nonsense.randrange(len(begun))])


def test_connections_start_and_stop_beside_busy_threads(wake_fd: int) -> None:
    """A Python callback on a thread of librtr would hang the interpreter here."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    address = CacheAddress("127.0.0.1", listener.getsockname()[1])
    busy = [
        threading.Thread(target=cutting_cache, args=(listener, stop)),
        threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(stop.is_set, True)]),
    ]
    for thread in busy:
        thread.start()
    jitter = random.Random(8)
    try:
        for _ in range(50):
            connection = Connection(address, refresh=1, retry=1, wake_fd=wake_fd)
            connection.start()
            select.select([wake_fd], [], [], jitter.choice([0, 0.001, 0.01, 0.03]))
            connection.poll()
            stopping = threading.Thread(target=connection.stop, daemon=True)
            stopping.start()
            stopping.join(10)
            assert not stopping.is_alive()
    finally:
        stop.set()
        for thread in busy:
            thread.join()
        listener.close()


def test_signals_stay_with_the_main_thread(wake_fd: int) -> None:
    """librtr's thread has them blocked: it would lose its place in the stream."""
    before = set(os.listdir("/proc/self/task"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = CacheAddress("127.0.0.1", listener.getsockname()[1])
        connection = Connection(address, refresh=1, retry=1, wake_fd=wake_fd)
        connection.start()
        try:
            listener.accept()[0].close()  # the thread runs: none has signals while it starts
            [thread] = set(os.listdir("/proc/self/task")) - before
            status = Path(f"/proc/self/task/{thread}/status").read_text()
            [blocked] = [line.split()[1] for line in status.splitlines() if "SigBlk" in line]
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD):
                assert int(blocked, 16) >> (number - 1) & 1
        finally:
            connection.stop()


# StayRTR ---------------------------------------------------------------------------------------

HOST = "127.21.7.1"
"""Return an address where nothing else on the machine listens."""


class StayRtr:
    """A StayRTR on a free port, in a directory of its own."""

    def __init__(self, directory: Path, *options: str) -> None:
        with socket.create_server((HOST, 0)) as free:
            self.port = int(free.getsockname()[1])
        self._directory = directory
        self._options = options or ("-bind", f"{HOST}:{self.port}")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> CacheAddress:
        return CacheAddress(HOST, self.port)

    def starts(self) -> None:
        argv = ["stayrtr", "-cache", "vrps.json", "-checktime=false", "-refresh", "86400"]
        argv += ["-metrics.addr", "", "-loglevel", "error", "-rtr.expire", "1200"]
        options = [option.replace("PORT", str(self.port)) for option in self._options]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen([*argv, *options], cwd=self._directory, stderr=log)

    def dies(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def serves(self, vrps: frozenset[Vrp]) -> None:
        roas = [{"prefix": str(v.prefix), "maxLength": v.max_length, "asn": v.asn} for v in vrps]
        new = self._directory / "new"
        new.write_text(json.dumps({"roas": roas}))
        new.rename(self._directory / "vrps.json")
        if self._process:
            self._process.send_signal(signal.SIGHUP)


@pytest.fixture
def stayrtr(tmp_path: Path) -> Iterator[StayRtr]:
    daemon = StayRtr(tmp_path)
    yield daemon
    daemon.dies()


def some_vrps(count: int, seed: int) -> frozenset[Vrp]:
    draw = random.Random(seed)
    return frozenset(
        Vrp(Prefix.parse(f"10.{draw.randrange(256)}.{draw.randrange(256)}.0/24"), 32, asn)
        for asn in range(count)
    ) | {Vrp(Prefix.parse(f"2001:db8:{seed:x}::/48"), 64, 65001)}


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():
            await asyncio.sleep(0.02)


class Rtr:
    """`RtrCaches` on one cache, with all its snapshots."""

    def __init__(self, address: CacheAddress, ages: AgeLimits = NO_LIMITS) -> None:
        self.snapshots: list[RtrSnapshot] = []
        self.caches = RtrCaches(
            [address],
            refresh=1,
            retry=1,
            expire=3600,
            on_change=self._changed,
            on_expired=lambda: None,
            ages=ages,
        )

    async def _changed(self, snapshot: RtrSnapshot, _reason: str) -> None:
        self.snapshots.append(snapshot)

    @property
    def unchanged_since(self) -> float:
        return time.monotonic() - (self.caches.status()[0].unchanged or 0.0)

    async def __aenter__(self) -> Rtr:
        await self.caches.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.caches.stop()

    async def holds(self, vrps: frozenset[Vrp]) -> None:
        await eventually(lambda: bool(self.snapshots) and set(self.snapshots[-1].vrps) == vrps)


@pytest.mark.lab
async def test_stayrtr_restarts_and_changes(stayrtr: StayRtr) -> None:
    first, second, third = (some_vrps(2000, seed) for seed in (1, 2, 3))
    stayrtr.serves(first)
    stayrtr.starts()
    async with Rtr(stayrtr.address) as rtr:
        await rtr.holds(first)
        session = rtr.snapshots[0].session

        stayrtr.dies()
        stayrtr.starts()  # answers the old session with Error Report 0
        await eventually(lambda: rtr.caches.status()[0].session != session)
        assert len(rtr.snapshots) == 1

        stayrtr.serves(second)
        await rtr.holds(second)
        assert await rtr_client.fetch(HOST, stayrtr.port) == second

        stayrtr.dies()
        stayrtr.serves(third)
        stayrtr.starts()
        await rtr.holds(third)
        assert [set(snapshot.vrps) for snapshot in rtr.snapshots] == [first, second, third]


@pytest.mark.lab
async def test_a_hurried_stayrtr_leaves_the_right_data(stayrtr: StayRtr) -> None:
    """Its differences over several serials are wrong: what we end with must not be."""
    stayrtr.serves(some_vrps(3000, 0))
    stayrtr.starts()
    async with Rtr(stayrtr.address) as rtr:
        await eventually(lambda: bool(rtr.snapshots))
        for seed in range(1, 12):
            stayrtr.serves(some_vrps(3000, seed))
            await asyncio.sleep(0.03)
        last = some_vrps(3000, 99)
        stayrtr.serves(last)
        await rtr.holds(last)
        for snapshot in rtr.snapshots:
            assert len(snapshot.vrps) == 3001


@pytest.mark.lab
@pytest.mark.parametrize("knows_host", [True, False])
async def test_ssh_checks_the_key_of_the_cache(tmp_path: Path, knows_host: bool) -> None:
    for name in ("host", "other", "user"):
        argv = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", name]
        subprocess.run(argv, cwd=tmp_path, check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    ssh = ["-bind", "", "-ssh.bind", f"{HOST}:PORT", "-ssh.key", "host", "-ssh.method.key"]
    daemon = StayRtr(tmp_path, *ssh, "-ssh.auth.key.file", "authorized")
    key = (tmp_path / ("host.pub" if knows_host else "other.pub")).read_text()
    (tmp_path / "known_hosts").write_text(f"[{HOST}]:{daemon.port} {key}")
    address = CacheAddress(
        HOST,
        daemon.port,
        transport="ssh",
        user="rpki",
        key=str(tmp_path / "user"),
        known_hosts=str(tmp_path / "known_hosts"),
    )
    vrps = some_vrps(500, 1)
    daemon.serves(vrps)
    daemon.starts()
    try:
        async with Rtr(address) as rtr:
            if knows_host:
                await rtr.holds(vrps)
                daemon.serves(some_vrps(500, 2))
                await rtr.holds(some_vrps(500, 2))
            else:
                await eventually(lambda: rtr.caches.status()[0].errors > 1)
                assert rtr.snapshots == []
    finally:
        daemon.dies()


@pytest.mark.lab
@pytest.mark.parametrize("expected", ["rtr1.example.net", "rtr2.example.net"])
async def test_tls_works_through_stunnel(tmp_path: Path, expected: str) -> None:
    """The cache has the certificate of rtr1. The example of the manual refuses it for another."""
    openssl = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=rtr1.example.net"
    openssl += " -addext subjectAltName=DNS:rtr1.example.net -keyout key.pem -out cert.pem"
    subprocess.run(openssl.split(), cwd=tmp_path, check=True, capture_output=True)
    tls = ["-bind", "", "-tls.bind", f"{HOST}:PORT", "-tls.cert", "cert.pem"]
    daemon = StayRtr(tmp_path, *tls, "-tls.key", "key.pem")
    with socket.create_server((HOST, 0)) as free:
        port = int(free.getsockname()[1])
    example = (ROOT / "docs/examples/stunnel/rpki-rtr.conf").read_text()
    for written, here in {
        "accept = 127.0.0.1:8282": f"accept = {HOST}:{port}",
        "connect = rtr1.example.net:324": f"connect = {HOST}:{daemon.port}",
        "checkHost = rtr1.example.net": f"checkHost = {expected}",
        "CAfile = /etc/stunnel/rtr-ca.pem": "CAfile = cert.pem",
    }.items():
        assert written in example
        example = example.replace(written, here)
    (tmp_path / "rpki-rtr.conf").write_text(example)
    vrps = some_vrps(500, 1)
    daemon.serves(vrps)
    daemon.starts()
    with (tmp_path / "stunnel.log").open("wb") as log:
        stunnel = subprocess.Popen(["stunnel", "rpki-rtr.conf"], cwd=tmp_path, stderr=log)
    try:
        async with Rtr(CacheAddress(HOST, port)) as rtr:
            if expected == "rtr1.example.net":
                await rtr.holds(vrps)
                daemon.serves(some_vrps(500, 2))
                await rtr.holds(some_vrps(500, 2))
            else:
                await eventually(lambda: rtr.caches.status()[0].errors > 1)
                assert rtr.snapshots == []
                assert "certificate verify failed" in (tmp_path / "stunnel.log").read_text()
    finally:
        stunnel.kill()
        stunnel.wait()
        daemon.dies()


@pytest.mark.lab
async def test_data_of_a_stayrtr_grow_old_over_its_restarts(stayrtr: StayRtr) -> None:
    """A cache that answers from the same file is confirmed and old. It restarts from the same
    file, under another session: still as old."""
    first, second = some_vrps(1001, 1), some_vrps(1001, 2)
    stayrtr.serves(first)
    stayrtr.starts()
    async with Rtr(stayrtr.address, AgeLimits(max_unchanged=2, max_differing=0)) as rtr:
        await rtr.holds(first)
        status = rtr.caches.status()[0]
        assert status.expire == 1200  # which is StayRTR's own -rtr.expire
        await eventually(lambda: rtr.caches.status()[0].is_unchanged_long)
        stayrtr.dies()
        stayrtr.starts()
        await eventually(lambda: rtr.caches.status()[0].session != status.session)
        assert rtr.caches.status()[0].is_unchanged_long
        before = rtr.unchanged_since
        stayrtr.serves(second)
        await rtr.holds(second)
        assert rtr.unchanged_since > before + 1


# Quiet -----------------------------------------------------------------------------------------

QUIET = """
import asyncio, sys
from rsfilter.rtr.ages import NO_LIMITS, AgeLimits
from rsfilter.rtr.caches import CacheAddress, RtrCaches

async def main():
    arrived = asyncio.Event()

    async def changed(snapshot, reason):
        arrived.set()

    caches = RtrCaches([CacheAddress("127.0.0.1", int(sys.argv[1]))], refresh=1, retry=1, expire=60,
                       on_change=changed, on_expired=lambda: None)
    await caches.start()
    await arrived.wait()
    await caches.stop()

asyncio.run(main())
print("said by Python", file=sys.stderr)
"""


async def test_librtr_is_quiet() -> None:
    """librtr writes its trace on stderr, among the logs."""
    async with RtrCache(some_vrps(5, 1)) as cache:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            QUIET,
            str(cache.address.port),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert (out, err, process.returncode) == (b"", b"said by Python\n", 0)
