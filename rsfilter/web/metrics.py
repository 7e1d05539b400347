"""`/metrics`: Prometheus metrics of the filter (docs/metrics.md).

Histograms are updated as events happen; everything else is read at each scrape, from counters that
the rooms keep anyway. Labels have few values: verdicts, reasons, groups, caches, routers; never a
prefix or a host.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, get_args

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from rsfilter import __version__
from rsfilter.edge.tcp_refusals import read_refusals
from rsfilter.exabgp.messages import SkipReason
from rsfilter.routing.drain import DrainPhase
from rsfilter.routing.effects import DataChange, NlriRefused, VerdictChange
from rsfilter.routing.groups import Role
from rsfilter.routing.model import Verdict, VerdictKind
from rsfilter.routing.reasons import REASONS
from rsfilter.web.context import Running
from rsfilter.web.data_metrics import data_metrics
from rsfilter.web.event_stream import Events
from rsfilter.web.host_checks import lacking, near_limit
from rsfilter.web.metric_families import counter, gauge, total, value
from rsfilter.web.table_reader import Counts, TableCounts

if TYPE_CHECKING:
    from rsfilter.fleet.supervisor import Supervisor

# They would repeat the start time of the process for each histogram. (The function has no
# annotations.)
disable_created_metrics()  # type: ignore[no-untyped-call]

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")

_TIMES = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_SIZES = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
_AGES = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 86400)


class Metrics:
    """All metrics of one filter."""

    def __init__(self, running: Running, events: Events) -> None:
        self._running = running
        self._events = events
        self._verdicts: Counter[tuple[str, str]] = Counter()
        self._refused: Counter[str] = Counter()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._judge = self._histogram(
            "judge_seconds", "Time to judge the lines of one turn and queue the results", _TIMES
        )
        self._judged = self._histogram("turn_lines", "Lines of ExaBGP in one turn", _SIZES)
        self._backlog = self._histogram(
            "command_backlog", "Commands that ExaBGP had not read, sampled each second", _SIZES
        )
        self._age = self._histogram(
            "data_age_seconds", "Age of the active RTR data, sampled each second", _AGES
        )
        self._rejudged = self._histogram(
            "revalidation_routes", "Routes judged again by one change of data", _SIZES
        )
        self._revalidation = self._histogram(
            "revalidation_seconds", "Time to apply one change of data", _TIMES
        )
        self._lag = self._histogram(
            "loop_lag_seconds", "Delay of the event loop, sampled each second", _TIMES
        )

    # What happens ------------------------------------------------------------------------------

    def turned(self, lines: int, seconds: float) -> None:
        """A turn with lines of ExaBGP took this many seconds."""
        self._judge.observe(seconds)
        self._judged.observe(lines)

    def revalidated(self, seconds: float) -> None:
        """A change of data took this many seconds."""
        self._revalidation.observe(seconds)

    def count(self, events: Iterable[object]) -> None:
        """Count audited events."""
        verdicts: list[Verdict] = []
        for event in events:
            if isinstance(event, VerdictChange):
                if event.verdict is not None:
                    verdicts.append(event.verdict)
            elif isinstance(event, NlriRefused):
                self._refused[event.reason] += 1
            elif isinstance(event, DataChange):
                self._rejudged.observe(event.rejudged)
        for verdict, same in groupby(verdicts):  # hundreds in a row
            count = len(list(same))
            for reason in verdict.reasons or ("",):
                self._verdicts[verdict.kind.value, reason] += count

    def sample(self, lag: float) -> None:
        """A second has passed; the loop was so late."""
        self._lag.observe(lag)
        self._backlog.observe(self._running.writer.waiting)
        if (age := self._data_age()) is not None:
            self._age.observe(age)

    def answered(self, route: str, status: int) -> None:
        """An HTTP request was answered. `route`: its place in the table, never its path."""
        self._requests[route, str(status)] += 1

    # Values of a scrape ------------------------------------------------------------------------

    def exposition(self, counts: TableCounts) -> tuple[bytes, str]:
        """(text, content type) of everything."""
        scrape = _Scrape((*self._values(counts), *self._registry.collect()))
        return generate_latest(scrape), CONTENT_TYPE_LATEST

    def _values(self, counts: TableCounts) -> Iterator[Metric]:
        """Yield the values that are read at each scrape."""
        yield from self._routes(counts.all)
        yield from self._sessions()
        yield from data_metrics(self._running)
        yield from self._pipe()
        yield from self._state()
        if self._running.fleet is not None:
            yield from _fleet(self._running.fleet)

    def _histogram(self, name: str, text: str, buckets: Iterable[float]) -> Histogram:
        return Histogram(
            name, text, namespace="rsfilter", buckets=tuple(buckets), registry=self._registry
        )

    def _data_age(self) -> float | None:
        caches = self._running.caches
        ages = [cache.age for cache in caches.status() if cache.decides] if caches else []
        return ages[0] if ages else None

    def _routes(self, everything: Counts) -> Iterator[Metric]:
        verdicts = {kind.value: everything.verdicts[kind.value] for kind in VerdictKind}
        yield gauge("routes", "Routes that hosts announce", "verdict", verdicts)
        reasons = {name: everything.reasons[name] for name in REASONS}
        text = "Rejected and held routes, by each of their reasons"
        yield gauge("routes_by_reason", text, "reason", reasons)
        yield value("routes_stale", "Stale routes, kept for lost hosts", everything.stale)
        changes = CounterMetricFamily(
            "rsfilter_verdicts", "Verdicts, new and changed", labels=("verdict", "reason")
        )
        for (verdict, reason), count in sorted(self._verdicts.items()):
            changes.add_metric((verdict, reason), count)
        yield changes
        text = "NLRIs that cannot be routes"
        yield counter("refused_nlri", text, "reason", self._refused)
        engine = self._running.filter.engine
        for name, key, text in _UPDATES:
            yield total(name, text, engine.counters[key])
        text = "Prefixes that a group of routers should have"
        wanted = {name: len(rib.routes) for name, rib in engine.ribs_out.items()}
        yield gauge("adj_rib_out_prefixes", text, "group", wanted)

    def _sessions(self) -> Iterator[Metric]:
        engine, egress = self._running.filter.engine, self._running.filter.egress
        found: Counter[tuple[Role, str, bool]] = Counter()
        for address, session in engine.sessions.items():
            role, group = engine.neighbors.identify(address)
            found[role, group, session.is_up] += 1
            found[role, group, not session.is_up] += 0
        sessions = GaugeMetricFamily(
            "rsfilter_sessions", "BGP sessions", labels=("role", "group", "state")
        )
        for (role, group, is_up), count in sorted(found.items()):
            sessions.add_metric((role, group, "up" if is_up else "down"), count)
        yield sessions
        near = Counter(engine.neighbors.identify(a).group for a in near_limit(self._running))
        text = "Hosts with max_prefixes_warning percent of max_prefixes, or more"
        yield gauge("hosts_near_max_prefixes", text, "group", near)
        lacks = Counter(name for names in lacking(self._running).values() for name in names)
        text = "Hosts that do not offer a required capability"
        yield gauge("hosts_lacking_capability", text, "capability", lacks)
        text = "Segments that the kernel has dropped, of any neighbor"
        yield counter("tcp_refused_segments", text, "reason", read_refusals())
        expected = self._running.filter.expected
        text = "Host addresses that should have a session, by the truth"
        yield value("expected_hosts", text, expected.expected_hosts)
        text = "Expected hosts without a session for longer than absent_after"
        yield value("absent_hosts", text, len(expected.absent_hosts))
        text = "Host routes that truth expects and that are not announced"
        yield value("absent_prefixes", text, len(expected.absent_prefixes))
        known = {a: engine.sessions.get(a) for a in egress.routers}
        up = {str(a): session is not None and session.is_up for a, session in known.items()}
        yield gauge("router_up", "The router's session is up", "router", up)
        announced = {
            str(address): len(state.announced) for address, state in egress.routers.items()
        }
        yield gauge(
            "router_told_prefixes",
            "Prefixes announced to ExaBGP for the router",
            "router",
            announced,
        )
        under_way = {str(address): state.under_way for address, state in egress.routers.items()}
        yield gauge("router_under_way_prefixes", "Prefixes whose changes wait", "router", under_way)

    def _pipe(self) -> Iterator[Metric]:
        running, egress = self._running, self._running.filter.egress
        lines = {**_SKIPPED, **_in_snake_case(running.filter.lines.counters)}
        yield counter("lines", "Lines of ExaBGP by kind", "kind", lines)
        yield total("read_bytes", "Octets from ExaBGP", running.reader.counters["bytes"])
        waiting = running.writer.waiting
        yield value("commands_waiting", "Commands that ExaBGP has not read", waiting)
        yield total("written_bytes", "Octets to ExaBGP", running.writer.counters["bytes"])
        text = "Commands that ExaBGP has not replied to"
        yield value("commands_unanswered", text, egress.unanswered)
        for name, key, help_text in _EGRESS:
            yield total(name, help_text, egress.counters[key])

    def _state(self) -> Iterator[Metric]:
        running = self._running
        yield InfoMetricFamily("rsfilter_build", "The program", {"version": __version__})
        speaker = running.speaker
        parts = {
            "replaced": len(speaker.replaced) if speaker else 0,
            "left_out": len(speaker.left_out) if speaker else 0,
        }
        yield gauge("speaker_replacements", "Functions replaced in ExaBGP", "state", parts)
        server = running.config.route_server
        about = {"name": server.name, "asn": str(server.asn), "router_id": str(server.router_id)}
        yield InfoMetricFamily("rsfilter_route_server", "The route server", about)
        is_done = running.filter.is_resynced
        yield value("resynced", "The state from before this process is known", is_done)
        phase = running.filter.drain_state.phase
        phases = {each.value: int(each is phase) for each in DrainPhase}
        yield gauge("drain_phase", "1 for the phase of the drain", "phase", phases)
        guard = running.filter.engine.guard
        yield value("guard_held_routes", "Routes that the guard holds", guard.held)
        yield value("guard_lost_routes", "Routes lost within the guard's window", guard.lost)
        audit = running.audit.health
        yield value("audit_ok", "The audit log can be written", audit.is_ok)
        yield value("audit_queued", "Audit records that wait for the disk", audit.queued)
        yield total("audit_dropped", "Audit records lost for lack of memory", audit.dropped)
        floods = running.filter.floods
        text = "Neighbors whose changes the audit log summarizes"
        yield value("flooding_neighbors", text, len(floods.neighbors))
        for name, key, help_text in _FLOODS:
            yield total(name, help_text, floods.counters[key])
        yield value("events_clients", "Clients of the event stream", len(self._events.clients))
        dropped = self._events.dropped
        yield total("events_dropped", "Events that slow clients lost", dropped)
        requests = CounterMetricFamily(
            "rsfilter_http_requests", "HTTP requests", labels=("route", "status")
        )
        for (route, status), count in sorted(self._requests.items()):
            requests.add_metric((route, status), count)
        yield requests


_SKIPPED = {f"skipped_{why}": 0 for why in get_args(SkipReason)}
"""There with 0 as well: of a counter that begins with 1 Prometheus sees no increase."""

_UPDATES = (
    ("updates", "updates", "UPDATE messages"),
    ("announced_prefixes", "announced", "Prefixes in UPDATEs of hosts that are new or changed"),
    ("repeated_prefixes", "repeated", "Prefixes in UPDATEs of hosts that are repeated unchanged"),
    ("withdrawn_prefixes", "withdrawn", "Routes withdrawn by hosts, or ended with their session"),
    ("not_kept_prefixes", "not_kept", "Announced prefixes far beyond max_prefixes, not kept"),
    ("router_updates", "from_router", "UPDATE messages of routers, which are ignored"),
)
"""Name, name of the counter, text."""

_FLOODS = (
    ("floods_started", "floods", "Floods that began"),
    ("flood_changes", "changes", "Changes in floods that are in summaries"),
    ("flood_untold_changes", "untold", "Of these: changes that no audit record names"),
    ("flood_not_kept_prefixes", "not_kept", "Announced prefixes in floods that were not kept"),
)

_EGRESS = (
    ("router_announced_prefixes", "announced", "Prefixes announced to routers"),
    ("router_withdrawn_prefixes", "withdrawn", "Prefixes withdrawn from routers"),
    (
        "router_repeated_prefixes",
        "repeated",
        "Prefixes announced to routers again because of doubt",
    ),
    ("commands", "commands", "Commands to ExaBGP"),
    ("command_replies", "replies", "Replies of ExaBGP to commands"),
    ("command_errors", "errors", "Commands that ExaBGP refused"),
    ("barriers", "barriers", "End-of-RIBs sent as barriers"),
    ("barriers_lost", "barriers_lost", "Of these: not back in time"),
)


def _fleet(fleet: Supervisor) -> Iterator[Metric]:
    # They are there: without a fleet nothing of it is loaded.
    from rsfilter.fleet.compare import causes_of_data
    from rsfilter.fleet.state import CAUSES, DATA_CAUSES

    report, (problem, _) = fleet.report, fleet.problem
    yield value("fleet_ok", "The audit log is shipped to the database", not problem)
    text = "1 for each problem that prevents shipping"
    yield gauge("fleet_problem", text, "problem", {problem: 1} if problem else {})
    behind = max(0, report.head - report.shipped)
    peers = report.peers
    silent = sum(peer.is_silent for peer in peers)
    text = "Instances of the fleet by their last heartbeat"
    states = {"heard": len(peers) - silent, "silent": silent}
    yield gauge("fleet_instances", text, "state", states)
    text = "Instances with the same hosts that judge by other data"
    data = causes_of_data(fleet.instance, peers)
    yield gauge("fleet_other_data", text, "cause", {cause: data[cause] for cause in DATA_CAUSES})
    text = "Routes that differ from those of another instance, by cause"
    differences = Counter(one.cause for one in report.differences)
    yield gauge("fleet_differences", text, "cause", {cause: differences[cause] for cause in CAUSES})
    yield value("fleet_behind_records", "Audit records that are not in the database yet", behind)


class _Scrape(Collector):
    """Metrics that were collected before."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _in_snake_case(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts of messages by the names of their classes: `SessionUp` becomes `session_up`."""
    return {_HUMP.sub("_", name).lower(): count for name, count in counts.items()}
