"""Floods, stalls and failing disks, of any size: small ones are tests, full ones a bench.

Each scenario asserts that everything ends right and answers with what it cost, by name.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.usage import is_runnable
from support.audit_samples import events
from support.floods import (
    HONEST,
    HOSTILE,
    Account,
    Site,
    announcing,
    guests,
    running,
    withdrawing,
)
from support.speaker import announce, state

from rsfilter.audit.flood import DEFAULT_BUDGET
from rsfilter.audit.log import MAX_QUEUE
from rsfilter.audit.verify import verify
from rsfilter.routing.adj_rib_in import MAX_OVER_LIMIT

Costs = dict[str, float]
"""Values by name, with the unit."""

FAKETIME = Path("/usr/lib") / f"{os.uname().machine}-linux-gnu" / "faketime/libfaketimeMT.so.1"
"""Debian's libfaketime."""


def wait(what: str, condition: Callable[[], bool], seconds: float = 60.0) -> float:
    """Seconds until it was so."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds, f"still not {what}"
        time.sleep(0.02)
    return time.monotonic() - began


# A host that announces very much -----------------------------------------------------------------


def over_the_limit(directory: Path, count: int, per_second: float) -> Costs:
    """A host announces so many prefixes, with the default limit, and takes them back."""
    with running(directory) as site:
        flood = guests(count)
        before = site.cpu_s()
        site.pour(announcing(flood), per_second / 50)
        cpu, grown, delay = site.cpu_s() - before, site.grown_mb(), site.worst_ms()
        assert len([prefix for prefix in site.table if prefix.startswith("10.")]) == 1000
        usual, work, before = site.median_ms(), site.median_work_ms(), site.cpu_s()
        site.pour(withdrawing(flood), per_second / 50)
        site.speaker.wait(
            "withdrawn", lambda: not any(prefix.startswith("10.") for prefix in list(site.table))
        )
        costs = {
            "µs CPU to announce one": cpu / count * 1e6,
            "µs CPU to withdraw one": (site.cpu_s() - before) / count * 1e6,
            "MB more": max(grown, site.grown_mb()),
            "ms others usually": usual,
            "ms CPU before others": work,
            "ms others at worst": max(delay, site.worst_ms()),
        }
    account = Account(site.audit)
    assert account.not_kept == count - 1000 - MAX_OVER_LIMIT
    assert account.let_in == set()
    return costs | {"audit lines": account.lines, "audit MB": site.audit_mb()}


def without_a_limit(directory: Path, count: int, per_second: float, *, owned: bool) -> Costs:
    """The same without a limit: all are kept, and rejected, or (`owned`) accepted."""
    with running(directory, max_prefixes=2 * count) as site:
        flood = guests(count, octet=10 if owned else 11)
        before = site.cpu_s()
        site.pour(announcing(flood), per_second / 50)
        if owned:
            site.speaker.wait(
                "told all",
                lambda: sum(p.startswith("10.") for p in list(site.table)) == count,
                600,
            )
        cpu, grown = site.cpu_s() - before, site.grown_mb()
        costs = {
            "µs CPU to announce one": cpu / count * 1e6,
            "bytes for one": grown * (1 << 20) / count,
            "ms others usually": site.median_ms(),
            "ms others at worst": site.worst_ms(),
        }
        before = site.cpu_s()
        site.pour(withdrawing(flood), per_second / 50)
        costs["µs CPU to withdraw one"] = (site.cpu_s() - before) / count * 1e6
        costs["MB left over"] = site.grown_mb()
        if 2 * count > MAX_QUEUE:
            site.is_summed_up()
    account = Account(site.audit)
    assert account.changes == 2 * count
    assert account.let_in == set()
    return costs | {
        "audit lines": account.lines,
        "audit MB": site.audit_mb(),
        "changes only counted": account.untold,
    }


def flap(directory: Path, count: int, per_second: float) -> Costs:
    """One prefix flaps so often; the last announcement has to win."""
    prefix = "10.0.0.1/32"
    up, down = announce(HOSTILE, 65001, [prefix]), next(withdrawing([prefix]))
    last = up.replace(b'"origin": "igp"', b'"origin": "igp", "med": 77')
    with running(directory) as site:
        before, commands = site.cpu_s(), site.speaker.commands.total()
        began = time.monotonic()
        site.pour((down if n % 2 else up for n in range(count)), per_second)
        cpu, sent = site.cpu_s() - before, site.speaker.commands.total() - commands
        site.speaker.write(last)
        site.speaker.wait("right", lambda: site.table.get(prefix, "").endswith("med 77"))
        costs = {
            "µs CPU for one": cpu / count * 1e6,
            "commands": sent,
            "MB more": site.grown_mb(),
            "ms others at worst": site.worst_ms(),
        }
    took = time.monotonic() - began
    account = Account(site.audit)
    assert account.changes == 2 * (count // 2) + 1
    assert account.untold == 0
    assert account.let_in == {prefix}
    # the budget, a line and a `flood` record a minute, and the session's
    assert account.lines <= DEFAULT_BUDGET.burst + DEFAULT_BUDGET.rate * took + 30
    return costs | {"audit lines": account.lines, "audit MB": site.audit_mb()}


# ExaBGP that stalls ------------------------------------------------------------------------------


def without_reader(directory: Path, seconds: float, per_second: float) -> Costs:
    """ExaBGP does not read while a host announces ever other prefixes of its own, each for an
    instant: a flood of fleeting accepted routes."""
    with running(directory) as site:
        site.speaker.is_reading.clear()
        # one more chunk may be read before the thread stops
        grown: list[float] = []
        started, number = time.monotonic(), 0
        while (elapsed := time.monotonic() - started) < seconds:
            prefix = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/32"
            site.speaker.write(announce(HOSTILE, 65001, [prefix]) + next(withdrawing([prefix])))
            number += 1
            if number % 200 == 0:
                grown.append(site.grown_mb())
            time.sleep(max(0.0, number / per_second - elapsed))
        site.speaker.write(announce(HOSTILE, 65001, ["10.255.255.1/32"]))
        site.speaker.is_reading.set()
        after = wait("right", lambda: "10.255.255.1/32" in site.table)
        site.caught_up()
        wait("alone", lambda: sum(p.startswith("10.") for p in list(site.table)) == 1)
    half = len(grown) // 2
    return {
        "changes": 2 * number,
        "MB more at most": max(grown),
        "MB more in the second half": max(grown[half:]) - max(grown[:half]),
        "s until right": after,
    }


def without_writer(directory: Path, seconds: float) -> Costs:
    """Stop ExaBGP for so long, replies to commands included; then let it continue."""
    with running(directory) as site:
        site.speaker.write(announce(HOSTILE, 65001, guests(500)))
        site.speaker.is_replying = False
        site.speaker.write(announce(HONEST, 65002, ["203.0.1.1/32"]))
        wait("told", lambda: "203.0.1.1/32" in site.table)
        before, cpu = site.rss_mb(), site.cpu_s()
        time.sleep(seconds)
        idle, grown = site.cpu_s() - cpu, site.rss_mb() - before
        site.speaker.replies()
        site.speaker.write(next(withdrawing(guests(500)[:250])))
        site.caught_up()
        wait("right", lambda: len([p for p in list(site.table) if p.startswith("10.")]) == 450)
    return {"CPU s meanwhile": idle, "MB more": grown}


# Disks -------------------------------------------------------------------------------------------


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    """A disk of its own at `path`; needs root."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def full_disk(directory: Path, hosts: int, prefixes: int) -> Costs:
    """The audit log's disk is full while so many hosts announce so much, then has room again."""
    site_directory = directory / "a site"
    ballast = site_directory / "audit" / "ballast"
    with (
        small_disk(site_directory / "audit", f"{hosts * prefixes // 1000 + 8}M"),
        running(directory) as site,
    ):
        free = os.statvfs(site.audit)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - (64 << 10))
        for number in range(hosts):
            neighbor = f"198.51.100.{number + 128}"
            site.speaker.write(state(neighbor, 65001, "up"))
            for start in range(0, prefixes, 50):
                update = announce(neighbor, 65001, guests(prefixes, octet=11)[start : start + 50])
                site.speaker.write(update)
        red = wait("red", lambda: site.is_red("audit_unwritable"))
        site.forget()
        site.passes(2.0)
        site.caught_up()
        delay, detail = site.worst_ms(), site.health()["reasons"][0]["detail"]
        assert "No space left" in detail
        ballast.unlink()
        green = wait("green", lambda: not site.is_red("audit_unwritable"))
        grown = site.grown_mb()
        site.speaker.write(announce(HOSTILE, 65001, ["10.0.0.1/32"]))
        site.caught_up()
        site.ends()
        found = verify(site.audit)
        assert found.problems == ()
        gaps = [record["data"]["count"] for record in events(site.audit, "gap")]
        written = len(events(site.audit, "verdict"))
        assert Account(site.audit).let_in == {"10.0.0.1/32"}
    return {
        "s until red": red,
        "s until green": green,
        "ms others at worst": delay,
        "MB more": grown,
        "records": written,
        "records in the gap": sum(gaps),
    }


def disk_taken_away(directory: Path, how: str) -> Costs:
    """The audit directory is `removed`, or may be written no longer (`read-only`), while the
    filter runs; read-only lasts for a while."""
    place = directory / "a site"
    with small_disk(place / "audit", "64M"), running(directory) as site:
        site.speaker.write(announce(HOSTILE, 65001, ["10.0.0.1/32"]))
        site.caught_up()
        if how == "removed":
            wait("written", lambda: bool(list(site.audit.glob("audit-*.jsonl"))))
            for path in site.audit.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            red = 0.0
        else:
            remount(site.audit, "ro")
            site.speaker.write(announce(HOSTILE, 65001, ["10.0.0.2/32"]))
            red = wait("red", lambda: site.is_red("audit_unwritable"))
            site.caught_up()
            remount(site.audit, "rw")
        site.speaker.write(announce(HOSTILE, 65001, ["10.0.0.3/32"]))
        site.caught_up()
        green = wait("green", lambda: not site.is_red("audit_unwritable"))
        site.ends()
        logged = {record["prefix"] for record in events(site.audit, "verdict")}
        missing = [record["data"] for record in events(site.audit, "recovered")]
        if how == "removed":
            assert "10.0.0.3/32" in logged
            assert missing[0]["missing"]["from"] == 1
        else:
            assert logged >= {"10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"}
            assert verify(site.audit).problems == ()
    return {"s until red": red, "s until green": green}


def remount(path: Path, mode: str) -> None:
    """Make a disk `ro` or `rw`, even if files on it are open for writing."""
    options = "remount,bind,ro" if mode == "ro" else "remount,bind,rw"
    if mode == "ro":
        subprocess.run(["mount", "--bind", path, path], check=True)
        subprocess.run(["mount", "-o", options, path], check=True)
    else:
        subprocess.run(["umount", "--lazy", path], check=True)


# Data --------------------------------------------------------------------------------------------


def truth_of(entries: int, form: str, changed: int = 0) -> str:
    """A truth of so many entries, besides those of the two hosts. `changed` makes one differ."""
    own = [("10.0.0.0/8", 65001), ("203.0.0.0/16", 65002)]
    others = [
        f"{11 + (n >> 24)}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32" for n in range(entries)
    ]
    others.sort(key=hash)  # in no order
    if form == "roas":
        listed = [{"prefix": p, "maxLength": 32, "asn": f"AS{asn}"} for p, asn in own]
        listed += [
            {"prefix": p, "maxLength": 32, "asn": f"AS{66000 + n % 5000}"}
            for n, p in enumerate(others)
        ]
        listed[2]["asn"] = f"AS{64000 + changed}"
        return json.dumps({"roas": listed})
    hosts = [
        {"name": f"own{n}", "asn": asn, "prefixes": [{"prefix": prefix, "max_length": 32}]}
        for n, (prefix, asn) in enumerate(own)
    ]
    hosts += [
        {"name": f"hv{n}", "asn": 4200000000 + n, "prefixes": others[start : start + 100]}
        for n, start in enumerate(range(0, entries, 100))
    ]
    hosts[0]["prefixes"].append(f"12.0.{changed}.0/24")  # type: ignore[attr-defined]
    return json.dumps({"hosts": hosts, "metadata": {"revision": str(changed)}})


def large_truth(directory: Path, entries: int, form: str) -> Costs:
    """A truth of so many entries is loaded, then one with one entry changed, while the honest host
    goes on announcing."""
    with running(directory) as site:
        file = site.directory / "truth.json"
        covered = "12.0.1.0/32" if form == "hosts" else None
        routes = ["12.0.1.0/32", "12.0.2.0/32", "10.0.0.1/32"]
        site.speaker.write(announce(HOSTILE, 65001, routes))
        site.caught_up()
        loading = load(site, file, truth_of(entries, form))
        delay, work, grown = site.worst_ms(), site.worst_work_ms(), site.grown_mb()
        site.forget()
        again = load(site, file, truth_of(entries, form, changed=1))
        if covered:
            wait("accepted", lambda: covered in site.table)
            assert "12.0.2.0/32" not in site.table
        peak = peak_mb(site)
    judged = [record["data"]["rejudged"] for record in events(site.audit, "data")]
    assert judged[-1] == (1 if covered else 0)
    return {
        "s to load": loading,
        "s to load again": again,
        "ms others at worst": max(delay, site.worst_ms()),
        "ms CPU before others at worst": max(work, site.worst_work_ms()),
        "MB more": grown,
        "MB at the peak": peak,
    }


def load(site: Site, file: Path, content: str) -> float:
    """Puts a truth in place; seconds until it is in force."""
    before = len(events(site.audit, "data"))
    beside = file.with_suffix(".new")
    beside.write_text(content)
    site.passes(1.0)
    began = time.monotonic()
    beside.rename(file)
    while len(events(site.audit, "data")) == before:
        site.passes(0.2)
        assert time.monotonic() < began + 300
    return time.monotonic() - began


def peak_mb(site: Site) -> float:
    """The most memory that the filter ever had, in megabytes."""
    status = Path(f"/proc/{site.speaker.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found
    return int(found[1]) / 1024


# Clocks ------------------------------------------------------------------------------------------


def stepping_clock(directory: Path, steps: list[str]) -> Costs:
    """The wall clock steps by these offsets of libfaketime ("-1d"); the monotonic one goes on."""
    assert FAKETIME.exists(), "install libfaketime"
    clock = directory / "clock"
    set_clock(clock, "+0")
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with environment(faked), running(directory) as site:
        began = time.monotonic()
        for number, step in enumerate(steps):
            set_clock(clock, step)
            site.speaker.write(announce(HOSTILE, 65001, [f"10.0.0.{number}/32"]))
            site.caught_up()
            wait(
                "announced",
                lambda number=number: f"10.0.0.{number}/32" in site.table,  # type: ignore[misc]
            )
        took = time.monotonic() - began
        busy = busy_share(site)
        assert site.health()["status"] == "ok"
    assert verify(site.audit).problems == ()
    files = sorted(path.name for path in site.audit.glob("audit-*.jsonl*"))
    logged = [record["at"] for record in events(site.audit, "verdict")]
    assert len(logged) >= len(steps)
    assert len({at[:13] for at in logged}) > 1, "the clock did not step"
    days = {at[:10] for at in logged}
    return {"files": len(files), "days": len(days), "busy": busy, "s": took}


def set_clock(clock: Path, step: str) -> None:
    """Replace the file that libfaketime reads: at one that is empty for a moment it exits."""
    beside = clock.with_suffix(".new")
    beside.write_text(step)
    beside.rename(clock)


def busy_share(site: Site, seconds: float = 10.0) -> float:
    """Share of 25 samples in its calmest quarter of a second in which a thread of the filter runs
    or would: always, if one spins, however busy the machine is.

    libfaketime's locks take more than the filter does, in bursts; so the mean is of little use.
    """
    calmest = 1.0
    until = time.monotonic() + seconds
    while calmest > 0.1 and time.monotonic() < until:
        states = []
        for _ in range(25):
            states.append(is_runnable(site.speaker.process.pid))
            time.sleep(0.01)
        calmest = min(calmest, sum(states) / len(states))
    return calmest


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment of programs that are started meanwhile."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
