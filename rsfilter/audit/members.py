"""The members of each event's record, in their order.

docs/audit.md explains every member. Pure: no clock, no file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from rsfilter.audit.flood import Audited, Flood
from rsfilter.routing.effects import (
    Absence,
    DataChange,
    DrainChange,
    GuardChange,
    NlriRefused,
    Provenance,
    SessionChange,
    VerdictChange,
)
from rsfilter.routing.model import AsPath, VerdictKind, Vrp

MAX_PATH_ASNS = 32
"""ASNs of a path that are written. An honest host's path has one; the longest paths with good
reason on the Internet have about this many."""

MAX_VRPS = 32
"""VRPs that are written. More than a few covering one host route indicate a mistake in the data."""

MAX_NEXT_HOPS = 2
"""A global and a link-local next hop (RFC 2545 section 3)."""

MAX_TEXT = 1000
"""Characters of any one text. Texts from speakers are cut to 200 before; a problem with a truth
file has the file, the place and the problem."""

MAX_ITEMS = 64
"""Items of a list, or members of an object."""

MAX_DEPTH = 4
"""Nesting of lists and objects. A record needs three levels."""

EVENTS = (
    "verdict",
    "withdraw",
    "session_up",
    "session_down",
    "flood",
    "absent",
    "present",
    "data",
    "guard",
    "drain",
    "start",
    "stop",
    "reload",
    "reload_refused",
    "truth_refused",
    "rtr_expired",
    "rtr_given_up",
    "file",
    "recovered",
    "gap",
)
"""All event names of a log. A request for another one is mistyped."""


class ServiceEvent(NamedTuple):
    """An event of the filter itself: start, stop, a failing source of data."""

    event: str
    data: Mapping[str, object]
    """JSON values; other values are written as text."""


Auditable = Audited | ServiceEvent
"""Events that the log accepts."""


def _verdict_members(change: VerdictChange) -> dict[str, Any]:
    prefix, path_id = change.route.key.prefix, change.route.key.path_id
    place = {"prefix": str(prefix), "path_id": path_id}
    return members_before(change) | place | members_after(change)


def members_before(change: VerdictChange) -> dict[str, Any]:
    """Return the members up to the prefix."""
    return {
        "event": "withdraw" if change.verdict is None else "verdict",
        "neighbor": str(change.route.key.neighbor),
        "host": change.host[:MAX_TEXT],
        "asn": change.route.asn,
    }


def members_after(change: VerdictChange) -> dict[str, Any]:
    """Return the members after the path id."""
    attributes, next_hops = change.route.attributes, change.route.next_hops
    verdict = change.verdict
    path, path_length = path_text(attributes.as_path)
    members: dict[str, Any] = {
        "as_path": path,
        "as_path_length": path_length,
        "next_hop": " ".join(map(str, next_hops[:MAX_NEXT_HOPS])),
        "verdict": None if verdict is None else verdict.kind.value,
        "was": None if change.was is None else change.was.value,
        "reasons": () if verdict is None else verdict.reasons,
        "cause": change.cause,
        "state": None if verdict is None else verdict.validation.state.value,
        "vrps": () if verdict is None else _vrps(verdict.validation.vrps),
        "truth": _truth(change.provenance),
        "rtr": _rtr(change.provenance),
    }
    data: dict[str, object] = {}
    if attributes.malformed:
        data["malformed"] = attributes.malformed[:MAX_TEXT]
    if verdict is not None and verdict.validation.owners:
        data["owners"] = [name[:MAX_TEXT] for name in verdict.validation.owners]
    if change.stale is not None:
        data["stale"] = change.stale
    if change.changes:
        data["changes"] = change.changes
    if data:
        members["data"] = data
    return members


def _refused_members(refused: NlriRefused) -> dict[str, Any]:
    return {
        "event": "verdict",
        "neighbor": str(refused.neighbor),
        "host": refused.host[:MAX_TEXT],
        "asn": refused.asn,
        "verdict": VerdictKind.REJECTED.value,
        "was": None,
        "reasons": (refused.reason,),
        "cause": "announce",
        "truth": _truth(refused.provenance),
        "rtr": _rtr(refused.provenance),
        "data": {"family": refused.family[:MAX_TEXT], "nlri": refused.nlri[:MAX_TEXT]}
        | _changes(refused.changes),
    }


def _session_members(change: SessionChange) -> dict[str, Any]:
    return {
        "event": "session_up" if change.is_up else "session_down",
        "neighbor": str(change.neighbor),
        "host": (change.host or change.group)[:MAX_TEXT],
        "asn": change.asn,
        "data": {
            "role": change.role,
            "group": change.group[:MAX_TEXT],
            "reason": change.reason[:MAX_TEXT],
        }
        | ({"open_asn": change.wrong_asn} if change.wrong_asn else {})
        | _changes(change.changes),
    }


def _absence_members(absence: Absence) -> dict[str, Any]:
    place = {} if absence.prefix is None else {"prefix": str(absence.prefix)}
    detail = {} if absence.is_absent else {"detail": absence.detail}
    return {
        "event": "absent" if absence.is_absent else "present",
        "neighbor": str(absence.neighbor),
        "host": absence.host[:MAX_TEXT],
        "asn": absence.asn,
        **place,
        "data": {"seconds": absence.seconds, **detail},
    }


def _changes(changes: int) -> dict[str, object]:
    return {"changes": changes} if changes else {}


def _flood_members(flood: Flood) -> dict[str, Any]:
    return {
        "event": "flood",
        "neighbor": str(flood.neighbor),
        "host": flood.host[:MAX_TEXT],
        "asn": flood.asn,
        "data": {
            "phase": flood.phase,
            "seconds": flood.seconds,
            "changes": flood.changes,
            "routes": flood.routes,
            "untold": flood.untold,
            "not_kept": flood.not_kept,
        },
    }


def _data_members(change: DataChange) -> dict[str, Any]:
    return {
        "event": "data",
        "truth": _truth(change.provenance),
        "rtr": _rtr(change.provenance),
        "data": {
            "source": change.source,
            "detail": change.detail[:MAX_TEXT],
            "added": change.added,
            "removed": change.removed,
            "rejudged": change.rejudged,
            "flipped": change.flipped,
        }
        | ({"vrps": digest} if (digest := change.provenance.rtr_digest) else {}),
    }


def _guard_members(change: GuardChange) -> dict[str, Any]:
    return {
        "event": "guard",
        "truth": _truth(change.provenance),
        "rtr": _rtr(change.provenance),
        "data": {
            "action": change.action,
            "routes": change.routes,
            "accepted": change.accepted,
            "lost": change.lost,
            "held": change.held,
            "source": change.source,
            "detail": change.detail[:MAX_TEXT],
        },
    }


def _drain_members(change: DrainChange) -> dict[str, Any]:
    return {
        "event": "drain",
        "data": {
            "phase": change.phase,
            "detail": change.detail[:MAX_TEXT],
            "why": [text[:MAX_TEXT] for text in change.why],
        },
    }


def _service_members(event: ServiceEvent) -> dict[str, Any]:
    return {"event": event.event[:MAX_TEXT], "data": json_safe(event.data)}


MEMBERS: dict[type, Callable[[Any], dict[str, Any]]] = {
    VerdictChange: _verdict_members,
    NlriRefused: _refused_members,
    SessionChange: _session_members,
    Absence: _absence_members,
    Flood: _flood_members,
    DataChange: _data_members,
    GuardChange: _guard_members,
    DrainChange: _drain_members,
    ServiceEvent: _service_members,
}
"""Members of an event's record, by its type."""


def path_text(path: AsPath) -> tuple[str, int]:
    """Format a path in the customary way, cut if long. Returns (text, number of ASNs)."""
    length = path.length
    if length <= MAX_PATH_ASNS and len(path.segments) <= MAX_PATH_ASNS:
        return str(path), length
    return f"{path.cut(MAX_PATH_ASNS)} ...", length


def _vrps(vrps: tuple[Vrp, ...]) -> list[str]:
    if not vrps:
        return []
    texts = [_vrp_text(vrp) for vrp in vrps[:MAX_VRPS]]
    if len(vrps) > MAX_VRPS:
        texts.append(f"... {len(vrps) - MAX_VRPS} more")
    return texts


_vrp_text = lru_cache(maxsize=1 << 14)(str)
"""Cached, because one VRP matches many routes in a row."""


@lru_cache(maxsize=16)
def _truth(provenance: Provenance) -> dict[str, str] | None:
    if not provenance.truth_sha256:
        return None
    return {
        "revision": provenance.truth_revision[:MAX_TEXT],
        "sha256": provenance.truth_sha256[:MAX_TEXT],
    }


@lru_cache(maxsize=16)
def _rtr(provenance: Provenance) -> dict[str, str | int] | None:
    if not provenance.rtr_cache:
        return None
    return {
        "cache": provenance.rtr_cache[:MAX_TEXT],
        "session": provenance.rtr_session,
        "serial": provenance.rtr_serial,
    }


def json_safe(value: object, depth: int = MAX_DEPTH) -> Any:
    """Return the value with only what every JSON reader accepts."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping) and depth > 0:
        items = islice(value.items(), MAX_ITEMS)
        return {_text(key): json_safe(item, depth - 1) for key, item in items}
    if isinstance(value, list | tuple) and depth > 0:
        return [json_safe(item, depth - 1) for item in value[:MAX_ITEMS]]
    return _text(value)


def _text(value: object) -> str:
    """Return the text with lone surrogates replaced by their escapes."""
    return str(value)[:MAX_TEXT].encode("utf-8", "backslashreplace").decode()
