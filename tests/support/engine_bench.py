"""An engine on the bench, and its actions as sentences that tests can compare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from support.core_samples import OWN_ASN, data, host_group, prefix, router_group

from rsfilter.routing.effects import (
    Actions,
    AuditEvent,
    DrainChange,
    GuardChange,
    NlriRefused,
    NotKept,
    SessionChange,
    VerdictChange,
)
from rsfilter.routing.engine import Engine
from rsfilter.routing.events import DataReplaced, Event
from rsfilter.routing.groups import HostGroup, Limits, RouterGroup
from rsfilter.routing.guard import DEFAULT_LIMITS
from rsfilter.routing.model import Prefix
from rsfilter.routing.validation import Data

LEAVES = router_group("leaves", "192.0.2.10 192.0.2.11")
SPINES = router_group("spines", "192.0.2.20", all_paths=True)
HOSTS = host_group()

OWNED = data(
    (
        "203.0.113.0/28-32 AS65007",
        "203.0.113.10/32 AS65008",
        "203.0.113.16/28-32 AS65008",
        "2001:db8:aa::/64-128 AS65007",
    )
)
""".10 is anycast: either may announce it."""


NOTHING = Actions([], [], [])
"""Actions of an event without effects."""


def engine(
    by: Data = OWNED,
    *,
    hosts: HostGroup = HOSTS,
    routers: Sequence[RouterGroup] = (LEAVES, SPINES),
    limits: Limits = DEFAULT_LIMITS,
    drain_time: float = 30.0,
) -> Engine:
    return Engine(OWN_ASN, (hosts,), routers, by, limits, drain_time)


def after(machine: Engine, *events: Event, now: float = 0.0) -> Actions:
    """Return the actions of the last of these events."""
    actions = Actions([], [], [])
    for event in events:
        actions = machine.handle(event, now)
    return actions


def logged(actions: Actions) -> list[str]:
    """The audit events, one sentence each."""
    return [_sentence(event) for event in actions.audit]


def _sentence(event: AuditEvent) -> str:
    if isinstance(event, VerdictChange):
        was = f"{event.was.value} -> " if event.was else ""
        now = (
            " ".join((event.verdict.kind.value, *event.verdict.reasons))
            if event.verdict
            else "gone"
        )
        return f"{event.route.key.prefix} {was}{now} ({event.cause})"
    if isinstance(event, SessionChange):
        state = "up" if event.is_up else f"down: {event.reason}"
        return f"{event.role} {event.neighbor} {state}"
    if isinstance(event, GuardChange):
        of = f" of {event.accepted}" if event.accepted else ""
        return f"guard: {event.action} {event.routes}{of}, {event.held} held"
    if isinstance(event, NotKept):
        return f"{event.host} {event.neighbor}: {event.routes} not kept"
    if isinstance(event, NlriRefused):
        return f"{event.host} {event.neighbor}: {event.nlri} {event.reason}"
    if isinstance(event, DrainChange):
        return f"{event.phase}: {event.detail} [{', '.join(event.why)}]"
    return f"{event.source}: {event.rejudged} judged, {event.flipped} flipped"


def changed(actions: Actions) -> list[str]:
    """The changes for routers, in order."""
    return [f"{change.group} {prefix}" for change in actions.out for prefix in change.prefixes]


def paths(machine: Engine, where: str, group: str = "leaves") -> dict[int, str]:
    """Next hop by path id, as the group's routers should have it, the best first."""
    found = machine.routes_out(group).get(prefix(where), ())
    return {path_id: str(attributes.next_hop) for path_id, attributes in found}


def verdicts(machine: Engine) -> dict[str, str]:
    """Every route there is: `neighbor prefix` -> verdict and reasons."""
    return {
        f"{e.route.key.neighbor} {e.route.key.prefix}": " ".join(
            (e.verdict.kind.value, *e.verdict.reasons)
        )
        for e in machine.rib_in.entries()
    }


def replaced(
    by: Data,
    changed_prefixes: Iterable[Prefix] | None = None,
    *,
    asns: Iterable[int] = (),
    source: str = "truth",
) -> DataReplaced:
    touched = None if changed_prefixes is None else frozenset(changed_prefixes)
    return DataReplaced(by, source, "as the test says", touched, frozenset(asns), 2, 1)
