"""Workers: what they may take, and when they end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab.waiting import DEADLINE_S, eventually
from support.filter_site import is_alive
from support.web_bench import CONFIG, HV7, TRUTH, Bench

from rsfilter.web.confinement import NICENESS, WorkerLimits
from rsfilter.web.requests import ApiError
from rsfilter.web.workers import Worker, WorkerKind, Workers

WORKER = """
import os, resource, signal
from rsfilter.web import confinement
from rsfilter.web.frames import frame, frames

def work(pipe, answer):
    (what,) = frames(pipe)
    if what == b"limits":
        limits = [resource.getrlimit(of)[0] for of in (resource.RLIMIT_AS, resource.RLIMIT_CPU)]
        answer.write(frame(repr([os.nice(0), *limits]).encode()))
    elif what == b"memory":
        bytearray(1 << 30)
    elif what == b"CPU":
        while True:
            pass
    elif what == b"hangs":
        signal.pause()
    elif what == b"fails":
        raise ValueError("a defect")

confinement.run(work)
"""


@pytest.fixture
def kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkerKind:
    (tmp_path / "test_worker_program.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return WorkerKind("test_worker_program", WorkerLimits(1 << 29, 1), 2, "tests")


async def request(worker: Worker, what: bytes) -> bytes:
    """Wait without a limit of time: beside busy programs, a process of lower priority gets its
    second of CPU after minutes."""
    await worker.send(what)
    await worker.send(b"")
    return await worker.receive()


async def test_a_worker_has_limits_and_a_lower_priority(kind: WorkerKind) -> None:
    async with Workers(kind).one() as worker:
        niceness = min(19, os.nice(0) + NICENESS)
        assert await request(worker, b"limits") == repr([niceness, 1 << 29, 1]).encode()


@pytest.mark.parametrize(
    ("what", "status", "detail"),
    [
        (b"memory", 413, "it takes more than 512 MiB of memory"),
        (b"CPU", 413, "it takes more than 1 s of CPU time"),
        (b"fails", 503, "the worker ended with 1"),
    ],
)
async def test_a_worker_beyond_its_limits_is_ended_with_the_reason(
    kind: WorkerKind, what: bytes, status: int, detail: str
) -> None:
    async with Workers(kind).one() as worker:
        with pytest.raises(ApiError, match=detail) as caught:
            await request(worker, what)
        assert caught.value.status == status


async def test_a_worker_ends_with_its_request_and_then_its_place_is_free(kind: WorkerKind) -> None:
    workers = Workers(kind._replace(most=1))
    task = asyncio.create_task(_hangs(workers))
    while not workers._processes:
        await asyncio.sleep(0.01)
    (process,) = workers._processes
    with pytest.raises(ApiError, match="1 tests at a time"):
        async with workers.one(0.05):
            pass
    task.cancel()  # its client goes away
    await asyncio.gather(task, return_exceptions=True)
    async with workers.one(DEADLINE_S) as worker:
        assert process.returncode == -signal.SIGKILL
        assert await request(worker, b"limits")


async def _hangs(workers: Workers) -> None:
    async with workers.one() as worker:
        await request(worker, b"hangs")


async def test_at_the_end_of_the_filter_nothing_is_left(kind: WorkerKind) -> None:
    workers = Workers(kind)
    task = asyncio.create_task(_hangs(workers))
    while not workers._processes:
        await asyncio.sleep(0.01)
    (process,) = workers._processes
    workers.kill()
    with pytest.raises(ApiError, match="ended with -9"):
        await task
    assert not is_alive(process.pid)


async def test_a_worker_ends_with_the_process_that_started_it(
    kind: WorkerKind, tmp_path: Path
) -> None:
    """However that ends: here by SIGKILL."""
    starter = f"""
import asyncio
from rsfilter.web.confinement import WorkerLimits
from rsfilter.web.workers import WorkerKind, Workers

async def main():
    kind = WorkerKind("{kind.module}", WorkerLimits({kind.limits.memory}, 60), 1, "tests")
    async with Workers(kind).one() as worker:
        await worker.send(b"hangs")
        await worker.send(b"")
        print(worker._process.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", starter, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    pid = int(await process.stdout.readline())
    process.kill()
    await process.wait()
    eventually(lambda: "the worker is still there" if is_alive(pid) else None)


# Impact, through one ------------------------------------------------------------------------------

HOSTILE = {
    "lists": (b'{"roas":[],"metadata":{"a":[' + b"[]," * 3_000_000 + b"1]}}", 413, "JSON values"),
    "nesting": (b'{"roas":' + b"[" * 50 + b"]" * 50 + b"}", 413, "nests deeper than 16"),
    "no JSON": (b"[" * 1_000_000, 422, ""),
    "a number": (b'{"roas":' + b"1" * 100_000 + b"}", 422, ""),
    "nothing": (b"", 422, "is empty"),
    "not UTF-8": (b"\xff\xfe", 422, "not UTF-8"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_truth_is_refused_by_what_it_is(tmp_path: Path, name: str) -> None:
    body, status, detail = HOSTILE[name]
    bench = Bench(tmp_path)
    async with bench.client() as client:
        answer = await client.post("/api/v1/impact", body, status=status)
        assert detail in answer["detail"]
        assert (await client.post("/api/v1/impact", TRUTH))["judged"] == 0, "the next one is served"


async def test_every_route_is_passed_to_the_worker(tmp_path: Path) -> None:
    """More than one slice of them, and what they are judged by: group, truth, caches."""
    bench = Bench(tmp_path)
    prefixes = [f"203.0.113.{n}/32" for n in range(16)] + [
        f"10.0.{n >> 8}.{n & 255}/32" for n in range(1000)
    ]
    bench.announces(HV7, 65007, *prefixes)
    new = {"roas": [{"prefix": "10.0.0.0/16", "maxLength": 32, "asn": 65007}]}
    async with bench.client() as client:
        answer = await client.post("/api/v1/impact", new)
    assert (answer["judged"], answer["lost"], answer["gained"]) == (1016, 16, 1000)
    assert {flip["prefix"] for flip in answer["flips"][:16]} == set(prefixes[:16])


async def test_beyond_loopback_an_impact_needs_the_token(tmp_path: Path) -> None:
    config = CONFIG.replace("[http]", '[http]\nlisten = "192.0.2.100:8480"')
    async with Bench(tmp_path, config).client() as client:
        assert (await client.post("/api/v1/impact", TRUTH, token=None, status=401))["error"] == (
            "unauthorized"
        )
        assert (await client.post("/api/v1/impact", TRUTH))["judged"] == 0


def test_the_worker_of_impacts_loads_no_web_server() -> None:
    """Its start is what every request waits for."""
    script = "import sys, rsfilter.web.impact_worker; print('aiohttp' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert json.loads(done.stdout.decode().strip().lower()) is False
