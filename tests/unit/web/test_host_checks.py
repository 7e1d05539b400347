"""Hosts near their limit, without a required capability, or not up for a reason that the kernel
counts."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from support.speaker import line, state
from support.web_bench import CONFIG, HV7, HV8, ROUTER, TRUTH, Bench

from rsfilter.edge.tcp_refusals import RECENT_S, TcpRefusals, read_refusals
from rsfilter.web.host_checks import hint

LIMITED = CONFIG.replace(
    "max_prefixes = 1000000", "max_prefixes = 4\nrequires = ['route-refresh', 'graceful-restart']"
)
REFRESH = '"2": { "name": "route-refresh", "variant": "RFC" }'
RESTART = '"64": { "name": "graceful restart", "time": 120 }'


def opens(peer: str, asn: int, *capabilities: str) -> bytes:
    offered = ", ".join(capabilities)
    message = f'"open": {{ "version": 4, "asn": {asn}, "capabilities": {{ {offered} }} }}'
    return line("open", peer, asn, f'"direction": "receive", {message}')


def comes(bench: Bench, peer: str, asn: int, *capabilities: str) -> None:
    bench.feed(opens(peer, asn, *capabilities), state(peer, asn, "up"))


def warnings(bench: Bench) -> dict[str, str]:
    return {found.name: found.detail for found in bench.api.watch.health().warnings}


async def neighbors(bench: Bench) -> tuple[dict[str, Any], str]:
    """Each neighbor by its address, and the metrics."""
    async with bench.client() as client:
        found = (await client.get("/api/v1/neighbors"))["neighbors"]
        text = (await (await client.http.get("/metrics")).read()).decode()
    return {each["neighbor"]: each for each in found}, text


async def test_a_host_without_a_required_capability_is_warned_about(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LIMITED)
    comes(bench, HV7, 65007, REFRESH, RESTART)
    comes(bench, HV8, 65008, RESTART)
    bench.feed(state(ROUTER, 65200, "up"))  # of which nothing is required
    found = warnings(bench)["capability_missing"]
    assert found == f"1 host without a required capability (route-refresh): hv8 ({HV8})"
    shown, metrics = await neighbors(bench)
    assert [shown[host]["lacks"] for host in (HV7, HV8, ROUTER)] == [[], ["route-refresh"], []]
    assert 'rsfilter_hosts_lacking_capability{capability="route-refresh"} 1.0\n' in metrics
    comes(bench, HV8, 65008, REFRESH, RESTART)  # it was configured there
    assert "capability_missing" not in warnings(bench)


def test_a_host_that_is_down_lacks_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LIMITED)
    comes(bench, HV8, 65008)
    assert "capability_missing" in warnings(bench)
    bench.feed(state(HV8, 65008, "down", "peer reset"))
    assert "capability_missing" not in warnings(bench)


async def test_a_host_near_its_limit(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LIMITED)
    bench.announces(HV7, 65007, "203.0.113.1/32", "203.0.113.2/32")
    assert "max_prefixes_near" not in warnings(bench)
    bench.announces(HV7, 65007, "203.0.113.99/32")  # is rejected, and counts: it is announced
    assert warnings(bench)["max_prefixes_near"] == f"1 host near max_prefixes: hv7 ({HV7})"
    shown, metrics = await neighbors(bench)
    assert shown[HV7]["is_near_limit"]
    assert 'rsfilter_hosts_near_max_prefixes{group="hypervisors"} 1.0\n' in metrics


@pytest.mark.parametrize(
    ("recent", "has_password", "hops", "words"),
    [
        ((), True, 1, []),
        (("md5_wrong",), True, 0, ["another TCP MD5 password"]),
        (("md5_wrong", "md5_missing"), True, 0, ["another TCP MD5", "without the TCP MD5"]),
        (("md5_unexpected",), True, 0, []),
        (("md5_unexpected",), False, 0, ["although none is configured"]),
        (("md5_wrong", "ttl"), False, 0, []),
        (("ttl",), False, 1, ["from further away than ttl_security permits"]),
    ],
)
def test_a_hint_is_only_what_the_session_could_be_refused_for(
    recent: tuple[str, ...], has_password: bool, hops: int, words: list[str]
) -> None:
    found = hint(frozenset(recent), has_password=has_password, hops=hops)
    assert bool(found) == bool(words)
    assert [word for word in words if word not in found] == []


async def test_a_session_that_is_not_up_has_a_hint(tmp_path: Path) -> None:
    config = CONFIG.replace("stale_time = 60", "stale_time = 60\npassword_file = 'passwords'")
    bench = Bench(tmp_path, config)
    counts = {"md5_wrong": 7}
    bench.api.watch.refusals = TcpRefusals(lambda: dict(counts))
    bench.announces(HV7, 65007, "203.0.113.1/32")
    bench.feed(state(HV8, 65008, "up"), state(HV8, 65008, "down", "peer reset"))
    for _ in range(2):
        bench.api.watch.check(bench.now)  # what was counted before the start means nothing
    shown, _ = await neighbors(bench)
    assert (shown[HV8]["hint"], shown[HV8]["has_password"]) == ("", True)
    counts["md5_wrong"] += 1
    bench.api.watch.check(bench.now)
    shown, _ = await neighbors(bench)
    assert "another TCP MD5 password" in shown[HV8]["hint"]
    assert shown[HV7]["hint"] == ""  # it is up
    assert (shown[ROUTER]["hint"], shown[ROUTER]["has_password"]) == ("", False)


async def test_truth_gives_a_host_another_number_of_hops(tmp_path: Path) -> None:
    truth = deepcopy(TRUTH)
    truth["hosts"][0]["ttl_security"], truth["hosts"][1]["ttl_security"] = 0, 3
    config = CONFIG.replace("stale_time = 60", "ttl_security = 1")
    config = config.replace("[truth]", "[truth]\nabsent_after = 0")
    bench = Bench(tmp_path, config, truth)
    for host in (HV7, HV8, "198.51.100.9"):
        bench.feed(state(host, 65009, "down", "peer reset"))
    shown, _ = await neighbors(bench)
    assert [shown[host]["ttl_security"] for host in (HV7, HV8, "198.51.100.9")] == [0, 3, 1]
    assert shown[ROUTER]["ttl_security"] == 0


def test_a_count_that_rose_long_ago_is_no_hint() -> None:
    counts = [{"ttl": 1}, {"ttl": 2}, {"ttl": 2}]
    refusals = TcpRefusals(lambda: counts.pop(0))
    for now in (0.0, 10.0, 20.0):
        refusals.sample(now)
    assert refusals.recent(10.0 + RECENT_S) == {"ttl"}
    assert refusals.recent(10.1 + RECENT_S) == frozenset()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "TcpExt: SyncookiesSent TCPMD5Failure TCPMinTTLDrop\nTcpExt: 0 3 4\n"
            "IpExt: InNoRoutes\nIpExt: 9\n",
            {"md5_wrong": 3, "ttl": 4},
        ),
        ("TcpExt: TCPMD5Failure\nTcpExt:\n", {}),
        ("TcpExt: TCPMD5Failure\nTcpExt: x\n", {}),
        ("", {}),
        ("é", {}),
    ],
)
def test_counts_of_the_kernel(tmp_path: Path, text: str, found: dict[str, int]) -> None:
    path = tmp_path / "netstat"
    path.write_text(text)
    assert read_refusals(path) == found


def test_a_kernel_without_counts(tmp_path: Path) -> None:
    assert read_refusals(tmp_path / "missing") == {}
    assert read_refusals().keys() <= {"md5_wrong", "md5_missing", "md5_unexpected", "ttl"}
