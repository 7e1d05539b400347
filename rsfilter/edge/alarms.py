"""Warnings in the log, beside the audit, that an operator has to act on."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence

from rsfilter.audit.flood import Flood
from rsfilter.audit.record import Auditable
from rsfilter.pipeline.outputs import (
    DataInForce,
    HostsAbsent,
    LineNotUnderstood,
    Notice,
    ReleaseKnown,
    ResyncProblem,
)
from rsfilter.routing.effects import DrainChange, GuardChange, SessionChange, VerdictChange
from rsfilter.routing.model import Address

log = logging.getLogger(__name__)

NAMED_HOSTS = 5
"""Hosts named in one line; longer lists are not read."""


def log_events(events: Iterable[Auditable], notices: Iterable[Notice] = ()) -> None:
    """Log notices, and a warning for each audit event that needs one."""
    for event in events:
        if not isinstance(event, VerdictChange):  # nearly all are one
            _log_event(event)
    for notice in notices:
        _log_notice(notice)


def _log_notice(notice: Notice) -> None:
    match notice:
        case DataInForce():
            log.info("data in force: %s: %s", notice.source, notice.detail)
        case ReleaseKnown():
            _log_release(notice.release)
        case ResyncProblem():
            _log_resync(notice.problems)
        case HostsAbsent():
            _log_absent(notice.hosts)
        case LineNotUnderstood():
            _log_skipped(notice.why, notice.beginning)


def _log_event(event: Auditable) -> None:
    if isinstance(event, GuardChange):
        _log_guard(event)
    elif isinstance(event, DrainChange):
        log.warning("drain: %s; now %s", event.detail, event.phase.replace("_", " "))
    elif isinstance(event, SessionChange) and event.wrong_asn:
        log.warning(
            "%s (%s): no session, because its OPEN has AS%d, and AS%d is expected. "
            "Correct the neighbor, or its ASN in truth or configuration, and render again",
            event.neighbor,
            event.host or event.group or "in no group",
            event.wrong_asn,
            event.asn,
        )
    elif isinstance(event, Flood) and event.phase == "begins":
        log.warning(
            "%s (%s, AS%d) floods: more changes than the audit log writes line by line; "
            "it has one summary a minute instead",
            event.neighbor,
            event.host or "in no group",
            event.asn,
        )
    elif isinstance(event, Flood) and event.phase == "ended":
        log.info("%s (%s, AS%d): flood ended", event.neighbor, event.host, event.asn)


def _log_release(release: str) -> None:
    """Log the release of ExaBGP if it is not safe to run."""
    if release.startswith("4."):
        log.warning(
            "this is ExaBGP 4.2, which is not safe to run: a malformed attribute resets a host's "
            "session again and again (no RFC 7606), a route refresh from a router resets its "
            "session, and replies to commands get lost. Use 5.0.15 or later."
        )


def _log_resync(problems: Mapping[str, int]) -> None:
    """Log an incomplete resync with ExaBGP."""
    log.error(
        "resync with ExaBGP is incomplete (%s): routers may hold routes unknown to rsfilter. "
        "If this persists, restart ExaBGP",
        ", ".join(f"{what}: {count}" for what, count in sorted(problems.items())),
    )


def _log_skipped(why: str, line: bytes) -> None:
    """Log a line of ExaBGP that was not understood, by its beginning. More may follow."""
    log.warning(
        "a line of ExaBGP was not understood (%s) and is ignored: %r. If it was an UPDATE, reset "
        "the session of the neighbor that it names",
        why,
        line,
    )


def _log_absent(hosts: Sequence[Address]) -> None:
    """Log the hosts that had not reconnected when End-of-RIB was sent."""
    if not hosts:
        return
    named = ", ".join(map(str, hosts[:NAMED_HOSTS]))
    log.warning(
        "End-of-RIB sent to routers, although %d hosts have not reconnected since ExaBGP "
        "started: %s",
        len(hosts),
        named + (" ..." if len(hosts) > NAMED_HOSTS else ""),
    )


def _log_guard(change: GuardChange) -> None:
    match change.action:
        case "held":
            log.error(
                "guard: this change of %s would lose %d of %d accepted routes%s: they stay "
                "announced (%d held in all). Correct the data; if they are correct, withdraw the "
                "held routes with: rsfilter guard release (or kill -USR2 %d)",
                change.source,
                change.routes,
                change.accepted,
                f", beside {change.lost} that were lost before" if change.lost else "",
                change.held,
                os.getpid(),
            )
        case "restored":
            log.warning("guard: %d routes were held before a restart: they stay", change.routes)
        case "released":
            log.warning("guard: %d held routes released by %s", change.routes, change.detail)
        case _:
            log.info("guard: %s", change.detail)
