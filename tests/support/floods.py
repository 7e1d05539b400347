"""A real `rsfilter run` with one hostile host and one honest host, and what floods cost them.

`flood_scenarios` has the floods. The speaker is scripted (`speaker`), since ExaBGP itself would be
the bottleneck: it passes on some 10,000 prefixes a second.
"""

from __future__ import annotations

import json
import os
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.audit_samples import records
from support.speaker import Speaker, announce, line, state

from rsfilter.audit.flood import DEFAULT_BUDGET
from rsfilter.audit.verify import verify

ROUTER, HOSTILE, HONEST = "192.0.2.10", "198.51.100.1", "198.51.100.2"
ROUTERS = {ROUTER: 65200}

CONFIG = """
[route_server]
asn = 65100
router_id = "192.0.2.100"
local_address = "192.0.2.100"

[[hosts]]
name = "hostile"
neighbors = ["198.51.100.1", "198.51.100.128/25"]
max_prefixes = {max_prefixes}

[[hosts]]
name = "honest"
neighbors = ["198.51.100.2"]
max_prefixes = 65536

[[routers]]
name = "leaves"
neighbors = ["192.0.2.10"]
asn = 65200

[truth]
file = "truth.json"
"""

TRUTH = {
    "roas": [
        {"prefix": "10.0.0.0/8", "maxLength": 32, "asn": "AS65001"},
        {"prefix": "203.0.0.0/16", "maxLength": 32, "asn": "AS65002"},
    ]
}
"""The hostile host owns 10.0.0.0/8, 11.0.0.0/8 has no owner."""

UPDATE = 50
"""Prefixes of an UPDATE: as ExaBGP passes them on."""

PROBE_S = 0.1
"""Seconds between two announcements of the honest host."""

AHEAD_S = 0.5

TICKS = os.sysconf("SC_CLK_TCK")


def make_site(directory: Path, *, max_prefixes: int = 1000) -> Path:
    """A configuration and a truth; the configuration's path."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "rsfilter.toml"
    config.write_text(CONFIG.format(max_prefixes=max_prefixes))
    (directory / "truth.json").write_text(json.dumps(TRUTH))
    return config


def guests(count: int, *, octet: int = 10) -> list[str]:
    """Return so many host routes of one /8."""
    return [f"{octet}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32" for n in range(count)]


def announcing(prefixes: list[str]) -> Iterator[bytes]:
    """The hostile host's UPDATEs."""
    for start in range(0, len(prefixes), UPDATE):
        yield announce(HOSTILE, 65001, prefixes[start : start + UPDATE])


def withdrawing(prefixes: list[str]) -> Iterator[bytes]:
    """The hostile host takes them back."""
    for start in range(0, len(prefixes), UPDATE):
        nlri = ", ".join(f'{{ "nlri": "{p}" }}' for p in prefixes[start : start + UPDATE])
        yield line(
            "update",
            HOSTILE,
            65001,
            '"direction": "receive", "message": { "update": { "withdraw": { "ipv4 unicast": '
            f"[ {nlri} ] }} }} }}",
        )


class Site:
    """A running filter, its router, and the two hosts."""

    def __init__(self, speaker: Speaker, directory: Path) -> None:
        self.speaker = speaker
        self.directory = directory
        """Text of the configuration."""
        self.audit = directory / "audit"
        self.delays: list[float] = []
        """Seconds from the honest host's announcements to the router, in order."""
        self.work: list[float] = []
        """CPU seconds of the filter meanwhile: what other programs do has no part in them."""
        self._requests = 0
        self._requested_at = self._next_at = self._cpu_at = 0.0
        self._since = 0
        """Lines of `pour` since its last probe."""
        self._probe: str | None = None
        """Prefixes that the honest host has announced and the router does not have yet."""
        speaker.write(state(ROUTER, 65200, "up"))
        speaker.write(state(HOSTILE, 65001, "up") + state(HONEST, 65002, "up"))
        speaker.wait("started", lambda: bool(speaker.commands["eor"]))
        self._rss = self.rss_mb()

    @property
    def table(self) -> dict[str, str]:
        """Table of the router: attributes by prefix."""
        return self.speaker.tables[ROUTER]

    def pour(self, lines: Iterable[bytes], per_second: float) -> None:
        """Write lines at this pace, while the honest host continues to announce and is timed.
        On a busy machine it waits for the filter: what lies before it is
        never more than AHEAD_S of the flood."""
        started = time.monotonic()
        for number, text in enumerate(lines):
            while time.monotonic() < started + number / per_second or self._is_behind(per_second):
                assert self.speaker.process.poll() is None, "the filter has ended"
                time.sleep(0.0005)
                self._check()
            self.speaker.write(text)
            self._since += 1
            self._check()
        self.caught_up()

    def passes(self, seconds: float) -> None:
        """Let time pass while the honest host continues."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.0005)
            self._check()

    def caught_up(self) -> None:
        """Wait until all that was written is worked off."""
        self._next_at = 0.0
        while self._probe is None:
            self._check()
        while self._probe is not None:
            assert self.speaker.process.poll() is None, "the filter has ended"
            time.sleep(0.0005)
            self._check()

    def ends(self) -> None:
        """The filter ends well, and its audit log is complete."""
        if self.speaker.process.returncode is None:
            self.speaker.ends(60)

    def _is_behind(self, per_second: float) -> bool:
        return self._probe is not None and self._since > AHEAD_S * per_second

    def _check(self) -> None:
        """Times the honest host's last announcement, or makes the next one."""
        now = time.monotonic()
        if self._probe is not None:
            if self._probe in self.table:
                self.delays.append(now - self._requested_at)
                self.work.append(self.cpu_s() - self._cpu_at)
                self._probe = None
        elif now >= self._next_at:
            self._requests += 1
            self._requested_at, self._next_at = now, now + PROBE_S
            self._cpu_at, self._since = self.cpu_s(), 0
            self._probe = f"203.0.{self._requests >> 8}.{self._requests & 255}/32"
            self.speaker.write(announce(HONEST, 65002, [self._probe]))

    # What it cost --------------------------------------------------------------------------------

    def cpu_s(self) -> float:
        """CPU seconds of the filter."""
        fields = Path(f"/proc/{self.speaker.process.pid}/stat").read_text().rpartition(")")[2]
        return sum(map(int, fields.split()[11:13])) / TICKS

    def rss_mb(self) -> float:
        """Resident memory of the filter, in megabytes."""
        return self.speaker.rss() / 1024

    def health(self) -> dict[str, Any]:
        """`/healthz`."""
        try:
            with urllib.request.urlopen(f"http://{self.speaker.http}/healthz", timeout=10) as found:
                return dict(json.load(found))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))

    def is_red(self, name: str) -> bool:
        """Health has this failure."""
        return name in [finding["name"] for finding in self.health()["reasons"]]

    def grown_mb(self) -> float:
        """Growth since the start."""
        return self.rss_mb() - self._rss

    def is_summed_up(self) -> None:
        """Wait until the log has everything of the floods: more than a filter that ends has time
        for. Nothing is written for longer than a summary waits."""
        last, since = self.audit_mb(), time.monotonic()
        while time.monotonic() < since + 2 * DEFAULT_BUDGET.window_s:
            if (size := self.audit_mb()) != last:
                last, since = size, time.monotonic()
            time.sleep(1)

    def audit_mb(self) -> float:
        """The audit log on the disk, in megabytes."""
        return sum(path.stat().st_size for path in self.audit.iterdir()) / 1e6

    def forget(self) -> None:
        """Forget what was measured until now."""
        self.delays.clear()
        self.work.clear()

    def worst_work_ms(self) -> float:
        """The most CPU time of the filter within a delay of the honest host, in milliseconds."""
        return max(self.work) * 1000

    def median_work_ms(self) -> float:
        """The usual CPU time of the filter within a delay, in milliseconds."""
        return statistics.median(self.work) * 1000

    def worst_ms(self) -> float:
        """The longest delay of the honest host, in milliseconds."""
        return max(self.delays) * 1000

    def median_ms(self) -> float:
        """The usual delay of the honest host, in milliseconds."""
        return statistics.median(self.delays) * 1000


@contextmanager
def running(directory: Path, **settings: Any) -> Iterator[Site]:
    """A filter in a directory of its own (with a space in its name), until it has ended well."""
    place = directory / "a site"
    config = make_site(place, **settings)
    with Speaker(config, ROUTERS) as speaker:
        site = Site(speaker, place)
        yield site
        site.ends()


class Account:
    """Sums of what an audit log has of one neighbor."""

    def __init__(self, directory: Path, neighbor: str = HOSTILE) -> None:
        """AssertionError when the log is damaged."""
        self.lines = 0
        self.changes = 0
        """Changes in lines of their own, folded into lines, and left out."""
        self.untold = 0
        self.not_kept = 0
        self.let_in: set[str] = set()
        """Prefixes that are accepted by the last word on each."""
        found = verify(directory)
        assert found.problems == ()
        for record in records(directory):
            if record.get("neighbor") == neighbor:
                self._read(record)

    def _read(self, record: dict[str, Any]) -> None:
        self.lines += 1
        data = record.get("data", {})
        if record["event"] == "flood":
            self.untold += data["untold"]
            self.changes += data["untold"]
            self.not_kept += data["not_kept"]
        elif "prefix" in record:
            self.changes += data.get("changes", 1)
            if record["verdict"] == "accepted":
                self.let_in.add(record["prefix"])
            else:
                self.let_in.discard(record["prefix"])
