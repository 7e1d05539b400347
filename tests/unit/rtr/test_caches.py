"""The RTR caches under every fault that is known, against an independent client as the oracle.

What holds after each fault: our snapshot is what the cache holds. What holds at every moment
in between: a snapshot is what some cache held, whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from ipaddress import ip_address
from pathlib import Path

import pytest
from lab.waiting import DEADLINE_S
from support import rtr_client
from support.places import ROOT
from support.rtr_cache import NO_DATA, NOTIFY, Answer, Fault, RtrCache, error, pdu, record
from support.rtr_faults import FAULTS, FORGED, UPDATE_FAULTS, begins, sends

from rsfilter.routing.model import Prefix, Vrp
from rsfilter.rpki.vrps import RtrSnapshot, VrpSet
from rsfilter.rtr import caches as cache_module
from rsfilter.rtr.ages import NO_LIMITS, AgeLimits
from rsfilter.rtr.caches import CacheAddress, RtrCaches, RtrError
from rsfilter.rtr.librtr import CachedVrps


def vrp(prefix: str, max_length: int, asn: int) -> Vrp:
    return Vrp(Prefix.parse(prefix), max_length, asn)


COMMON = frozenset(
    {vrp(f"203.0.{n}.0/24", 32, 65000 + n) for n in range(100)}
    | {vrp(f"2001:db8:{n:x}::/48", 64, 65000 + n) for n in range(100)}
)
OLD = COMMON | {vrp("192.0.2.0/24", 24, 65001), vrp("2001:db8:aaaa::/48", 48, 65001)}
NEW = COMMON | {vrp("192.0.2.0/24", 24, 65002), vrp("2001:db8:bbbb::/48", 48, 65001)}
FEW = frozenset(sorted(COMMON)[:20])


class Watched:
    """`RtrCaches`, and all its reports."""

    def __init__(
        self,
        *addresses: CacheAddress,
        refresh: int = 1,
        retry: int = 1,
        expire: int = 600,
        ages: AgeLimits = NO_LIMITS,
    ) -> None:
        self.snapshots: list[RtrSnapshot] = []
        self.expirations = 0
        self.caches = RtrCaches(
            addresses,
            refresh=refresh,
            retry=retry,
            expire=expire,
            on_change=self._changed,
            on_expired=self._expired,
            ages=ages,
        )

    async def _changed(self, snapshot: RtrSnapshot, _reason: str) -> None:
        self.snapshots.append(snapshot)

    def _expired(self) -> None:
        self.expirations += 1

    @property
    def held(self) -> frozenset[Vrp] | None:
        return frozenset(self.snapshots[-1].vrps) if self.snapshots else None

    @property
    def history(self) -> list[frozenset[Vrp]]:
        return [frozenset(snapshot.vrps) for snapshot in self.snapshots]

    async def holds(self, vrps: Iterable[Vrp]) -> None:
        wanted = frozenset(vrps)
        await eventually(lambda: self.held == wanted)


@contextlib.asynccontextmanager
async def watched(
    *addresses: CacheAddress,
    refresh: int = 1,
    retry: int = 1,
    expire: int = 600,
    ages: AgeLimits = NO_LIMITS,
) -> AsyncIterator[Watched]:
    result = Watched(*addresses, refresh=refresh, retry=retry, expire=expire, ages=ages)
    await result.caches.start()
    try:
        yield result
    finally:
        await result.caches.stop()


async def stops(rtr: Watched, before_s: float = 30.0) -> None:
    """Stop it sooner than librtr would give up what it waits for: 60 s for an answer, 600 until it
    tries again, 10 for a connection."""
    async with asyncio.timeout(before_s):
        await rtr.caches.stop()


async def eventually(is_so: Callable[[], bool], timeout: float = DEADLINE_S) -> None:
    async with asyncio.timeout(timeout):
        while not is_so():
            await asyncio.sleep(0.01)


# Faults ----------------------------------------------------------------------------------------


async def fault_in_the_first_answer(fault: Fault) -> None:
    async with RtrCache(OLD) as cache:
        cache.faults.append(fault)
        async with watched(cache.address) as rtr:
            await rtr.holds(OLD)
            assert rtr.held == await rtr_client.fetch(cache.address.host, cache.address.port)
            assert rtr.history == [OLD]


async def fault_in_an_update(fault: Fault) -> None:
    async with RtrCache(OLD) as cache, watched(cache.address) as rtr:
        await rtr.holds(OLD)
        cache.holds(NEW)
        cache.faults.append(fault)
        cache.notifies()
        await rtr.holds(NEW)
        assert not cache.faults
        assert rtr.held == await rtr_client.fetch(cache.address.host, cache.address.port)
        assert rtr.history == [OLD, NEW]


async def fault_in_a_reload(fault: Fault) -> None:
    """The cache restarts with other data, and fails at the query for all of them."""
    async with RtrCache(OLD) as cache, watched(cache.address) as rtr:
        await rtr.holds(OLD)
        await cache.dies()
        cache.holds(NEW)
        cache.forgets()
        cache.faults.append(fault)
        await cache.starts()
        await rtr.holds(NEW)
        assert not cache.faults
        assert rtr.history == [OLD, NEW]


@pytest.mark.parametrize(
    ("meets", "faults"),
    [
        (fault_in_the_first_answer, FAULTS),
        (fault_in_an_update, FAULTS | UPDATE_FAULTS),
        (fault_in_a_reload, FAULTS),
    ],
)
async def test_data_stay_in_force_through_every_fault(
    meets: Callable[[Fault], Awaitable[None]], faults: dict[str, Fault]
) -> None:
    """All at once: nearly all of the time is spent waiting for `retry`."""
    outcomes = await asyncio.gather(*map(meets, faults.values()), return_exceptions=True)
    failed = {
        name: repr(outcome) for name, outcome in zip(faults, outcomes, strict=True) if outcome
    }
    assert failed == {}


# Silence ---------------------------------------------------------------------------------------


@pytest.mark.slow  # librtr waits for 60 s
@pytest.mark.parametrize("fault", [sends(), begins()])
async def test_data_are_received_after_a_silence(fault: Fault) -> None:
    async with RtrCache(OLD) as cache:
        cache.faults.append(fault)
        async with watched(cache.address) as rtr:
            await eventually(lambda: rtr.held == OLD, 90)
            assert rtr.history == [OLD]


@pytest.mark.slow  # ten seconds of work for librtr
async def test_a_flood_of_records_is_cut_off() -> None:
    """More between two End of Data than four times the RPKI of today is cut off."""
    async with RtrCache(OLD) as cache:
        cache.faults.append(begins(record(FORGED) * (80 * 2**20 // 20)))
        async with watched(cache.address) as rtr:
            await eventually(lambda: rtr.held == OLD, 90)
            assert rtr.history == [OLD]


async def test_stopping_does_not_wait_for_a_silent_cache() -> None:
    async with RtrCache(OLD) as cache:
        cache.faults.append(begins())
        rtr = Watched(cache.address)
        await rtr.caches.start()
        await eventually(lambda: cache.queries == 1)
        await stops(rtr)


@pytest.mark.parametrize("turns", range(6))
async def test_a_cache_can_be_stopped_in_the_middle_of_a_turn(turns: int) -> None:
    async with RtrCache(OLD) as cache:
        rtr = Watched(cache.address)
        await rtr.caches.start()
        await rtr.holds(OLD)
        rtr.caches._wake.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        await stops(rtr)


async def test_stopping_does_not_wait_for_retry() -> None:
    async with RtrCache(OLD) as cache:
        cache.faults.append(sends(error(NO_DATA)))
        rtr = Watched(cache.address, retry=600)
        await rtr.caches.start()
        await eventually(lambda: rtr.caches.status()[0].errors == 1)
        await stops(rtr)


# Life ------------------------------------------------------------------------------------------


async def test_caches_can_be_shown_and_stopped_before_they_are_started_and_twice() -> None:
    async with RtrCache(OLD) as cache:
        rtr = Watched(cache.address)
        assert [shown.state for shown in rtr.caches.status()] == ["not started"]
        await rtr.caches.stop()
        await rtr.caches.start()
        await rtr.holds(OLD)
        await rtr.caches.stop()
        await rtr.caches.stop()


async def test_a_cache_that_is_down_at_the_start() -> None:
    cache = RtrCache(OLD)
    await cache.starts()
    await cache.dies()
    async with watched(cache.address) as rtr:
        await eventually(lambda: rtr.caches.status()[0].errors > 0)
        await cache.starts()
        await rtr.holds(OLD)
    await cache.dies()


async def test_a_restart_with_the_same_data_is_no_event() -> None:
    async with RtrCache(OLD) as cache, watched(cache.address, expire=6) as rtr:
        await rtr.holds(OLD)
        await cache.dies()
        await eventually(lambda: rtr.caches.status()[0].errors > 0)
        cache.forgets()
        await cache.starts()
        await eventually(lambda: rtr.caches.status()[0].session == cache.session)
        assert rtr.caches.status()[0].state in ("established", "synchronising")
        assert (rtr.history, rtr.expirations) == ([OLD], 0)


async def test_data_expire_once_and_come_back() -> None:
    async with RtrCache(OLD) as cache, watched(cache.address, expire=2) as rtr:
        await rtr.holds(OLD)
        await eventually(lambda: cache.queries > 4)  # four seconds: refreshes keep data fresh
        assert (rtr.history, rtr.expirations) == ([OLD], 0)
        await cache.dies()
        await eventually(lambda: rtr.expirations == 1)
        assert rtr.caches.status()[0].is_fresh is False
        await cache.starts()
        await eventually(lambda: len(rtr.snapshots) == 2)
        assert (rtr.history, rtr.expirations) == ([OLD, OLD], 1)
        assert rtr.caches.status()[0].is_fresh is True


async def test_equal_vrps_have_one_digest_whatever_the_cache() -> None:
    """The digest shows that route servers with different caches have the same data."""
    async with (
        RtrCache(OLD) as one,
        RtrCache(NEW) as other,
        watched(one.address) as mine,
        watched(other.address) as theirs,
    ):
        await mine.holds(OLD)
        await theirs.holds(NEW)
        assert mine.snapshots[-1].digest != theirs.snapshots[-1].digest
        other.holds(OLD)
        other.notifies()
        await theirs.holds(OLD)
        assert mine.snapshots[-1].digest == theirs.snapshots[-1].digest != ""
        assert mine.snapshots[-1].serial != theirs.snapshots[-1].serial


async def test_nine_tenths_of_the_data_may_be_removed_at_once() -> None:
    async with RtrCache(COMMON) as cache, watched(cache.address) as rtr:
        await rtr.holds(COMMON)
        cache.holds(FEW)
        cache.notifies()
        await rtr.holds(FEW)
        assert rtr.history == [COMMON, FEW]


async def test_an_empty_cache_does_not_decide() -> None:
    async with RtrCache(OLD) as cache, watched(cache.address, expire=3) as rtr:
        await rtr.holds(OLD)
        cache.holds([])
        cache.notifies()
        await eventually(lambda: rtr.expirations == 1)
        assert rtr.history == [OLD]
        cache.holds(NEW)
        cache.notifies()
        await rtr.holds(NEW)
        assert rtr.history == [OLD, NEW]


async def test_a_notify_during_a_synchronisation_is_caught_up_with() -> None:
    """librtr ignores it; the refresh catches up."""

    def slow(cache: RtrCache) -> Answer:
        answer = cache.response() + cache.records()
        end = cache.end_of_data()
        cache.holds(NEW)
        body = cache.serial.to_bytes(4, "big")
        return Answer(answer + pdu(NOTIFY, cache.session, body) + end)

    async with RtrCache(OLD) as cache:
        cache.faults.append(slow)
        async with watched(cache.address) as rtr:
            await rtr.holds(NEW)
            assert rtr.history == [OLD, NEW]


async def test_many_updates_are_each_taken_whole() -> None:
    sets = [COMMON | {vrp(f"192.0.2.{n}/32", 32, n)} for n in range(30)]
    async with RtrCache(sets[0]) as cache, watched(cache.address) as rtr:
        await rtr.holds(sets[0])
        for each in sets[1:]:
            cache.holds(each)
            cache.notifies()
            await rtr.holds(each)
        assert rtr.history == sets
        assert [snapshot.serial for snapshot in rtr.snapshots] == list(range(1, 31))


async def test_a_cache_of_version_0_is_understood() -> None:
    async with RtrCache(OLD, version=0) as cache, watched(cache.address) as rtr:
        await rtr.holds(OLD)
        cache.holds(NEW)
        cache.notifies()
        await rtr.holds(NEW)
        assert rtr.held == await rtr_client.fetch(cache.address.host, cache.address.port)


async def test_what_cannot_be_a_vrp_is_dropped_and_host_bits_are_masked() -> None:
    def raw(family: int, address: str, length: int, max_length: int) -> Vrp:
        return Vrp(Prefix(family, int(ip_address(address)), length), max_length, 65001)

    sent = [
        raw(4, "192.0.2.0", 33, 33),
        raw(4, "192.0.2.0", 255, 255),
        raw(4, "192.0.2.0", 24, 255),
        raw(4, "192.0.2.0", 24, 23),
        raw(6, "2001:db8::", 129, 129),
        raw(6, "2001:db8::", 32, 31),
        raw(4, "192.0.2.77", 24, 32),
        raw(6, "2001:db8::1", 32, 48),
        raw(4, "0.0.0.0", 0, 0),
        raw(6, "::", 0, 128),
        *(raw(6, "::", length, length) for length in range(256)),  # librtr would abort
    ]
    kept = {
        vrp("192.0.2.0/24", 32, 65001),
        vrp("2001:db8::/32", 48, 65001),
        vrp("0.0.0.0/0", 0, 65001),
        vrp("::/0", 128, 65001),
        *(vrp(f"::/{length}", length, 65001) for length in range(129)),
    }
    async with RtrCache(sent) as cache, watched(cache.address) as rtr:
        await rtr.holds(kept)
        assert rtr.caches.status()[0].dropped == 6 + 127
        assert await rtr_client.fetch(cache.address.host, cache.address.port) == kept
        cache.holds(sent[1:])
        cache.notifies()
        await eventually(lambda: rtr.caches.status()[0].serial == 2)
        assert rtr.history == [kept]  # the difference was no VRP


# Several ---------------------------------------------------------------------------------------


async def test_the_preferred_cache_decides_and_the_other_takes_over() -> None:
    async with (
        RtrCache(OLD) as first,
        RtrCache(NEW) as second,
        watched(first.address, second.address) as rtr,
    ):
        await rtr.holds(OLD)
        assert set(rtr.history) <= {OLD, NEW}
        await eventually(lambda: all(cache.is_fresh for cache in rtr.caches.status()))
        count = len(rtr.history)
        await first.dies()
        await rtr.holds(NEW)
        assert [cache.decides for cache in rtr.caches.status()] == [False, True]
        await first.starts()
        await rtr.holds(OLD)
        assert rtr.history[count:] == [NEW, OLD]  # one or the other, never both


async def test_a_failover_between_equal_caches_is_no_event() -> None:
    async with (
        RtrCache(OLD) as first,
        RtrCache(OLD) as second,
        watched(first.address, second.address) as rtr,
    ):
        await rtr.holds(OLD)
        await eventually(lambda: rtr.caches.status()[0].decides)
        await first.dies()
        await eventually(lambda: rtr.caches.status()[1].decides)
        assert rtr.history == [OLD]


async def test_a_cache_without_data_does_not_keep_the_other_from_deciding() -> None:
    async with (
        RtrCache([]) as first,
        RtrCache(OLD) as second,
        watched(first.address, second.address) as rtr,
    ):
        await rtr.holds(OLD)


# Ages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "sent", "ours", "expire"),
    [
        (1, 7200, 3600, 3600),  # ours is the most
        (1, 900, 3600, 900),
        (1, 1, 3600, 600),  # RFC 8210 section 6
        (1, 0xFFFFFFFF, 3600, 3600),
        (1, 7200, 2, 2),
        (0, 7200, 3600, 3600),  # has none
    ],
)
async def test_a_cache_may_set_a_shorter_expire_than_ours(
    version: int, sent: int, ours: int, expire: int
) -> None:
    async with RtrCache(OLD, version=version) as cache:
        cache.expire = sent
        async with watched(cache.address, expire=ours) as rtr:
            await rtr.holds(OLD)
            assert rtr.caches.status()[0].expire == expire


async def test_the_newest_expire_interval_counts() -> None:
    async with RtrCache(OLD) as cache, watched(cache.address, expire=3600) as rtr:
        await rtr.holds(OLD)
        assert rtr.caches.status()[0].expire == 3600
        cache.expire = 1800
        await eventually(lambda: rtr.caches.status()[0].expire == 1800)  # with the next refresh


async def test_data_that_stand_still_are_old_although_they_are_confirmed() -> None:
    limits = AgeLimits(max_unchanged=2, max_differing=0)
    async with RtrCache(OLD) as cache, watched(cache.address, ages=limits) as rtr:
        await rtr.holds(OLD)
        await eventually(lambda: rtr.caches.status()[0].is_unchanged_long)
        (status,) = rtr.caches.status()
        assert status.is_fresh
        assert cache.queries > 1
        await cache.dies()
        cache.forgets()  # a restart from the same file proves nothing
        await cache.starts()
        await eventually(lambda: rtr.caches.status()[0].session == cache.session)
        assert rtr.caches.status()[0].is_unchanged_long
        before = unchanged_since(rtr)
        cache.holds(NEW)
        cache.notifies()
        await rtr.holds(NEW)
        assert unchanged_since(rtr) > before + 1


def unchanged_since(rtr: Watched) -> float:
    (status,) = rtr.caches.status()
    return time.monotonic() - (status.unchanged or 0.0)


async def test_a_comparison_waits_for_its_turn_unless_there_is_nothing_to_compare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def table(vrps: Iterable[Vrp], digest: bytes) -> CachedVrps:
        return CachedVrps(VrpSet.of(vrps), 0, digest)

    old, new, common = table(OLD, b"old"), table(NEW, b"new"), table(COMMON, b"common")
    pair = cache_module._Compared()
    monkeypatch.setattr(cache_module, "COMPARING_SHARE", 1e9)
    assert await pair.compare(0, old, new, 10.0)
    assert (pair.change_from(0)[:2], pair.change_from(1)[:2]) == ((2, 2), (2, 2))
    assert pair.not_before > 11.0
    assert not await pair.compare(0, old, common, 11.0)
    assert pair.change_from(0)[:2] == (2, 2)
    assert await pair.compare(0, old, common, pair.not_before)
    assert (pair.change_from(0)[:2], pair.change_from(1)[:2]) == ((0, 2), (2, 0))
    assert await pair.compare(0, old, old, 12.0)
    assert pair.differs_for(12.0) is None


async def test_caches_that_differ_are_compared_with_the_one_that_decides() -> None:
    limits = AgeLimits(max_unchanged=0, max_differing=1)
    async with (
        RtrCache(OLD) as a,
        RtrCache(OLD) as b,
        watched(a.address, b.address, ages=limits) as rtr,
    ):
        await rtr.holds(OLD)
        await eventually(lambda: rtr.caches.status()[0].decides)  # b does, if it answers first
        await eventually(lambda: rtr.caches.status()[1].vrps == len(OLD))
        b.holds(COMMON | {vrp("192.0.2.0/24", 24, 65009)})
        b.notifies()
        await eventually(lambda: rtr.caches.status()[1].lasting == 2)
        first, other = rtr.caches.status()
        assert (first.decides, first.missing, first.extra, first.differs) == (True, 0, 0, None)
        assert (other.missing, other.extra) == (2, 1)
        age = other.differs or 0.0
        await a.dies()  # and the age of the difference outlives the failover
        await eventually(lambda: rtr.caches.status()[0].missing == 1)
        first, other = rtr.caches.status()
        assert (other.decides, first.extra, first.lasting) == (True, 2, 2)
        assert (first.differs or 0.0) > age
        assert other.lasting == 0
        await a.starts()
        b.holds(OLD)
        b.notifies()
        await eventually(lambda: [c.lasting for c in rtr.caches.status()] == [0, 0])
        assert [c.differs for c in rtr.caches.status()] == [None, None]


# Addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["::1", "localhost"])
async def test_ipv6_and_names(name: str) -> None:
    host = str(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0])
    async with RtrCache(OLD, host=host) as cache:
        address = CacheAddress(name, cache.address.port)
        async with watched(address) as rtr:
            await rtr.holds(OLD)
            assert rtr.snapshots[0].cache == str(address)


SEVERAL_ADDRESSES = """
import asyncio, sys
from rsfilter.rtr.caches import CacheAddress, RtrCaches

async def main():
    arrived = asyncio.Event()

    async def changed(snapshot, reason):
        arrived.set()

    caches = RtrCaches([CacheAddress("cache.test", int(sys.argv[1]))], refresh=1, retry=600,
                       expire=900, on_change=changed, on_expired=lambda: None)
    await caches.start()
    await arrived.wait()
    await caches.stop()

asyncio.run(main())
"""


async def test_every_address_of_a_name_is_tried(tmp_path: Path) -> None:
    """The first ones of three refuse, and `retry` is far off."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.9 cache.test\n::1 cache.test\n127.0.0.1 cache.test\n")
    script = f'mount --bind {shlex.quote(str(hosts))} /etc/hosts && exec "$@"'
    own_user = ["--user", "--map-root-user"] if os.geteuid() else []  # refused in a chroot
    unshare = ["unshare", *own_user, "--mount", "sh", "-c", script, "sh"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a mount namespace, to give a name three addresses")
    async with RtrCache(OLD) as cache:
        command = [*unshare, sys.executable, "-c", SEVERAL_ADDRESSES, str(cache.address.port)]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
        async with asyncio.timeout(DEADLINE_S):
            assert await process.wait() == 0


async def test_stopping_does_not_wait_for_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):  # the kernel then drops what comes
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        rtr = Watched(CacheAddress(*full.getsockname()))
        await rtr.caches.start()
        await eventually(lambda: rtr.caches.status()[0].state == "connecting")
        await stops(rtr, 9.0)


@pytest.mark.parametrize(("refresh", "retry"), [(0, 1), (86401, 1), (1, 0), (1, 7201)])
async def test_intervals_that_librtr_would_refuse(refresh: int, retry: int) -> None:
    rtr = Watched(CacheAddress("127.0.0.1", 1), refresh=refresh, retry=retry)
    with pytest.raises(RtrError, match="seconds"):
        await rtr.caches.start()


async def test_what_fails_again_and_again_does_not_take_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = 0

    async with RtrCache(OLD) as cache, watched(cache.address, refresh=600, expire=1) as rtr:
        await rtr.holds(OLD)

        def fails(_now: float) -> None:
            nonlocal turns
            turns += 1
            raise ValueError("no")

        monkeypatch.setattr(rtr.caches._failover, "decide", fails)
        await eventually(lambda: turns == 2)  # the data have expired, and `retry` is over once
        assert turns == 2


class FailsFirst(Watched):
    """The callbacks for new data, and for their expiry, fail the first time."""

    def __init__(self, *addresses: CacheAddress) -> None:
        super().__init__(*addresses, expire=3)
        self.failed: set[str] = set()

    def _fail(self, what: str) -> None:
        if what not in self.failed:
            self.failed.add(what)
            raise RuntimeError("can't start new thread")

    async def _changed(self, snapshot: RtrSnapshot, reason: str) -> None:
        self._fail("change")
        await super()._changed(snapshot, reason)

    def _expired(self) -> None:
        self._fail("expiry")
        super()._expired()


async def test_data_whose_callback_failed_are_reported_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else the data that are in force would not be those of the cache until it has others."""
    async with RtrCache(OLD) as cache:
        rtr = FailsFirst(cache.address)
        await rtr.caches.start()
        try:
            await rtr.holds(OLD)
            await cache.dies()
            await eventually(lambda: rtr.expirations == 1)
        finally:
            await rtr.caches.stop()
    assert rtr.failed == {"change", "expiry"}
    assert "can't start new thread" in caplog.text


async def test_a_snapshot_that_could_not_be_read_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cache sends it once."""
    read, failed = cache_module._read_table, []

    def fails_first(records: bytes, known: list[CachedVrps]) -> CachedVrps:
        if not failed:
            failed.append(records)
            raise MemoryError
        return read(records, known)

    monkeypatch.setattr(cache_module, "_read_table", fails_first)
    async with RtrCache(OLD) as cache, watched(cache.address) as rtr:
        await rtr.holds(OLD)
        assert failed
        assert rtr.history == [OLD]


async def test_a_cache_whose_data_cannot_be_read_leaves_it_to_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = cache_module._read_table

    def fails_over_many(records: bytes, known: list[CachedVrps]) -> CachedVrps:
        if len(records) > 24 * len(FEW):
            raise MemoryError
        return read(records, known)

    monkeypatch.setattr(cache_module, "_read_table", fails_over_many)
    async with (
        RtrCache(OLD) as first,
        RtrCache(FEW) as second,
        watched(first.address, second.address) as rtr,
    ):
        await rtr.holds(FEW)
        assert [cache.is_fresh for cache in rtr.caches.status()] == [False, True]
