"""Health: is the filter alive and well (`/healthz`), and should it be used (`/readyz`)?

A watcher checks the pipe once a second, because only time shows whether ExaBGP still reads and
replies. The rest is read at the moment of the request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import TypeVar

from rsfilter.edge.tcp_refusals import TcpRefusals
from rsfilter.exabgp.resync import Step
from rsfilter.routing.drain import DrainPhase
from rsfilter.routing.groups import Role
from rsfilter.routing.model import Address
from rsfilter.routing.validation import Mode, Source
from rsfilter.util.text import count
from rsfilter.web.context import Running
from rsfilter.web.data_ages import age_warnings
from rsfilter.web.host_checks import host_warnings
from rsfilter.web.status_schema import Finding, Health

INTERVAL_S = 1.0
"""Seconds between two checks of the pipe."""

NOT_READING_S = 10.0
"""Commands wait and ExaBGP takes none of them for this long: it takes one in well under a second,
even in the middle of a full table."""

NOT_REPLYING_S = 60.0
"""Commands are unanswered and no reply comes for this long. ExaBGP replies when a command has had
its effect, which takes seconds while a table of 200,000 routes goes out."""

MASS = 10
"""Rejected routes that are many, if they are more than half of all."""

T = TypeVar("T")

MAX_NAMED = 5
"""Neighbors that a warning names: more is a list for another place."""


@dataclass(slots=True)
class _Progress:
    """A count that should rise while something waits."""

    count: int = 0
    since: float | None = None
    """Time of the last increase, or of the first waiting item; None if nothing waits."""

    def stuck_for(self, count: int, is_waiting: bool, now: float) -> float:
        """Return the seconds without an increase while something waits."""
        if not is_waiting:
            self.since = None
        elif count != self.count or self.since is None:
            self.since = now
        self.count = count
        return 0.0 if self.since is None else now - self.since


class Watch:
    """Knows how the pipe to ExaBGP is, and how late the loop."""

    def __init__(self, running: Running, on_check: Callable[[float], None]) -> None:
        """`on_check(lag)` is called once a second; `lag`: seconds by which the loop was late."""
        self._running = running
        self._on_check = on_check
        self._reading = _Progress()
        self._replying = _Progress()
        self._stuck = (0.0, 0.0)
        self.refusals = TcpRefusals()
        """Segments that the kernel drops."""
        self.socket_problem = ""
        """Reason why commands cannot reach the filter over its socket; empty if they can."""

    async def run(self) -> None:
        """Check without end."""
        while True:
            due = time.monotonic() + INTERVAL_S
            await asyncio.sleep(INTERVAL_S)
            now = time.monotonic()
            self.check(now)
            self._on_check(max(0.0, now - due))

    def check(self, now: float) -> None:
        """Record where the pipe is."""
        self.refusals.sample(now)
        writer, egress = self._running.writer, self._running.filter.egress
        written, replies = writer.counters["lines"], egress.counters["replies"]
        self._stuck = (
            self._reading.stuck_for(written, writer.waiting > 0, now),
            self._replying.stuck_for(replies, egress.unanswered > 0, now),
        )

    def health(self) -> Health:
        """`/healthz`."""
        return _answer(self._failures(), self._warnings())

    def readiness(self) -> Health:
        """`/readyz`."""
        return _answer(_not_ready(self._running), ())

    def _warnings(self) -> Iterator[Finding]:
        if self.socket_problem:
            yield Finding(name="socket_missing", detail=self.socket_problem)
        yield from _warnings(self._running)

    def _failures(self) -> Iterator[Finding]:
        audit = self._running.audit.health
        if not audit.is_ok:
            yield Finding(name="audit_unwritable", detail=audit.reason)
        not_reading, not_replying = self._stuck
        if not_reading >= NOT_READING_S:
            detail = f"ExaBGP has not read a command for {not_reading:.0f} s"
            yield Finding(name="exabgp_not_reading", detail=detail)
        if not_replying >= NOT_REPLYING_S:
            detail = f"ExaBGP has not replied to a command for {not_replying:.0f} s"
            yield Finding(name="exabgp_not_replying", detail=detail)
        yield from _data_failures(self._running)


def _data_failures(running: Running) -> Iterator[Finding]:
    if not running.sources.is_started:
        yield Finding(name="data_missing", detail="no validation data yet: nothing is announced")
    elif running.caches is not None and not running.caches.is_fresh:
        yield Finding(
            name="data_expired",
            detail="no RTR cache has confirmed its data for longer than `expire`, or ever",
        )


def _warnings(running: Running) -> Iterator[Finding]:
    if running.watcher is not None and running.watcher.error is not None:
        first = str(running.watcher.error.problems[0])
        yield Finding(name="truth_refused", detail=f"the active truth stays in force: {first}")
    if running.reload_problems:
        detail = f"the active configuration stays in force: {running.reload_problems[0]}"
        yield Finding(name="reload_refused", detail=detail)
    deferral = running.filter.deferral
    if running.filter.resync.is_done and not deferral.is_over:
        detail = f"nothing is withdrawn yet, these hosts are not back: {_some(deferral.awaited)}"
        yield Finding(name="deferral", detail=detail)
    if running.fleet is not None:
        for name, text in running.fleet.warnings():
            yield Finding(name=f"fleet_{name}", detail=text)
    if held := running.filter.engine.guard.held:
        yield Finding(name="guard_holds", detail=f"{count(held, 'route')} held by the guard")
    yield from _missing(running)
    yield from _rejection(running)
    if flooding := running.filter.floods.neighbors:
        detail = f"more changes than the audit log writes line by line: {_some(flooding)}"
        yield Finding(name="flood", detail=detail)
    yield from age_warnings(running)
    yield from host_warnings(running, partial(_of_hosts, running))
    if _is_ttl_unchecked(running):
        detail = (
            "ttl_security: plain `exabgp` does not check the TTL of connections that it accepts"
        )
        yield Finding(name="ttl_unchecked", detail=f"{detail}; start it by `rsfilter exabgp`")


def _of_hosts(running: Running, hosts: Sequence[Address]) -> str:
    return _named(hosts, partial(name_of, running))


def _is_ttl_unchecked(running: Running) -> bool:
    """Return whether GTSM is configured for a neighbor, which may connect to an ExaBGP that does
    not check it."""
    if running.speaker is not None and "hops" in running.speaker.replaced:
        return False
    config, bindings = running.config, running.filter.engine.data.bindings
    hops = chain(
        (group.ttl_security for group in config.hosts),
        (group.ttl_security for group in config.routers),
        (host.ttl_security for host in bindings.by_address.values()),
    )
    return any(hops)


def _missing(running: Running) -> Iterator[Finding]:
    """Yield findings for sessions that are down, and for expected hosts and routes that are
    absent."""
    engine, expected = running.filter.engine, running.filter.expected
    down: dict[Role, list[Address]] = {"router": [], "host": [], "unknown": []}
    for address, session in engine.sessions.items():
        if not session.is_up and address not in expected.absent_hosts:
            down[engine.neighbors.identify(address).role].append(address)
    for role in ("router", "host"):
        if found := sorted(down[role]):
            names = _named(found, lambda each: name_of(running, each))
            detail = f"{count(len(found), f'{role} session')} down: {names}"
            yield Finding(name=f"{role}s_down", detail=detail)
    if hosts := expected.absent_hosts:
        names = _named(hosts.values(), lambda each: f"{each.host.name} ({each.neighbor})")
        detail = f"{count(len(hosts), 'host session')} absent, expected by truth: {names}"
        yield Finding(name="hosts_absent", detail=detail)
    if prefixes := expected.absent_prefixes:
        names = _named(prefixes.values(), lambda each: f"{each.prefix} of {each.host.name}")
        detail = f"{count(len(prefixes), 'prefix')} absent, expected by truth: {names}"
        yield Finding(name="prefixes_absent", detail=detail)


def name_of(running: Running, neighbor: Address) -> str:
    """A neighbor for people: the name of its host or group, and its address."""
    engine = running.filter.engine
    session = engine.sessions.get(neighbor)
    host = engine.data.bindings.host(session.asn, neighbor) if session else None
    name = host.name if host else engine.neighbors.identify(neighbor).group
    return f"{name} ({neighbor})"


def _rejection(running: Running) -> Iterator[Finding]:
    """More routes are rejected than accepted: hardly the fault of single hosts."""
    engine = running.filter.engine
    total, accepted = len(engine.rib_in), engine.rib_in.accepted
    rejected = total - accepted - engine.guard.held
    if rejected >= MASS and rejected * 2 > total:
        detail = (
            f"{rejected} of {count(total, 'route')} rejected: check the data first, then the hosts"
        )
        yield Finding(name="mass_rejection", detail=detail)


def _named(found: Iterable[T], name: Callable[[T], str]) -> str:
    """The names of the first few."""
    first = [name(each) for each in islice(found, MAX_NAMED + 1)]
    return ", ".join(first[:MAX_NAMED]) + " ..." * (len(first) > MAX_NAMED)


def _some(neighbors: Sequence[Address]) -> str:
    return ", ".join(map(str, neighbors[:MAX_NAMED])) + " ..." * (len(neighbors) > MAX_NAMED)


def _not_ready(running: Running) -> Iterator[Finding]:
    if (step := running.filter.resync.step) is not Step.DONE:
        yield Finding(name="resync", detail=f"still reading from ExaBGP: {step.value}")
    elif not running.filter.is_resynced:
        hosts = list(running.filter.repetition.hosts)
        detail = f"{len(hosts)} hosts have not repeated their routes yet: {_some(hosts)}"
        yield Finding(name="resync", detail=detail)
    data = running.filter.engine.data
    if not running.sources.is_started:
        yield Finding(name="data_missing", detail="no validation data yet: nothing is announced")
    elif data.rtr_source is Source.UNAVAILABLE and (data.truth is None or data.mode is Mode.BOTH):
        yield Finding(name="data_expired", detail="no validation data: every route is rejected")
    drain = running.filter.drain_state
    if drain.phase is not DrainPhase.IN_SERVICE:
        yield Finding(name=drain.phase.value, detail="; ".join(drain.why))


def _answer(reasons: Iterator[Finding], warnings: Iterable[Finding]) -> Health:
    found = list(reasons)
    return Health(status="failed" if found else "ok", reasons=found, warnings=list(warnings))
