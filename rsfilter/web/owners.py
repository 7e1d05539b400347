"""Find the owners of a prefix: hosts to which truth gives it, with their sessions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from rsfilter.routing.engine import Engine
from rsfilter.routing.groups import TruthHost
from rsfilter.routing.model import Address, Prefix, Vrp
from rsfilter.web import schema
from rsfilter.web.context import Running
from rsfilter.web.session_state import state_of

MAX_OWNERS = 16
"""Owners of an answer. An anycast prefix may have thousands."""


def owners(running: Running, prefix: Prefix) -> list[schema.OwnerJson]:
    """Return the owners of a prefix by the truth in force, most specific VRP first."""
    engine = running.filter.engine
    truth = engine.data.truth
    if truth is None or not prefix.is_well_formed:
        return []
    announcing = {entry.route.key.neighbor for entry in engine.rib_in.at(prefix)}
    return list(
        islice(_owners(running, truth.covering(prefix, MAX_OWNERS), announcing), MAX_OWNERS)
    )


def _owners(
    running: Running, vrps: list[Vrp], announcing: set[Address]
) -> Iterator[schema.OwnerJson]:
    engine = running.filter.engine
    for vrp in vrps:
        for host in _hosts(engine, vrp):
            known = sorted(host.neighbors) if host and host.neighbors else _of_asn(engine, vrp.asn)
            yield _owner(running, vrp, host, known, announcing)


def _hosts(engine: Engine, vrp: Vrp) -> list[TruthHost | None]:
    """Return the hosts that a VRP comes from. [None] for a truth that names no hosts."""
    bindings = engine.data.bindings
    named = bindings.owners.get(vrp)
    hosts = bindings.by_asn.get(vrp.asn, ())
    return [host for host in hosts if named is None or host.name in named] or [None]


def _owner(
    running: Running,
    vrp: Vrp,
    host: TruthHost | None,
    addresses: list[Address],
    announcing: set[Address],
) -> schema.OwnerJson:
    return schema.OwnerJson(
        host=host.name if host else "",
        asn=vrp.asn,
        vrp=str(vrp),
        sessions=[_session(running, each) for each in addresses[:MAX_OWNERS]],
        announces=not announcing.isdisjoint(addresses),
    )


def _session(running: Running, neighbor: Address) -> schema.OwnerSession:
    state = state_of(running, neighbor)
    return schema.OwnerSession(neighbor=str(neighbor), state=state, is_up=state == "up")


def _of_asn(engine: Engine, asn: int) -> list[Address]:
    return sorted(each for each, session in engine.sessions.items() if session.asn == asn)
