"""Warnings of sessions: hosts near their limit, hosts without a required capability, and possible
reasons why a session is not up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rsfilter.routing.model import Address
from rsfilter.util.text import count
from rsfilter.web.context import Running
from rsfilter.web.status_schema import Finding


def is_near_limit(running: Running, host: Address) -> bool:
    """Return whether a host announces `max_prefixes_warning` of its `max_prefixes`, or more."""
    engine = running.filter.engine
    group, table = engine.neighbors.group(host), engine.rib_in.tables.get(host)
    if group is None or table is None:
        return False
    return table.uses(group.max_prefixes_warning, group.max_prefixes)


def hosts_up(running: Running) -> Iterator[Address]:
    """Yield the hosts whose session is up."""
    engine = running.filter.engine
    for address, session in engine.sessions.items():
        if session.is_up and not engine.neighbors.is_router(address):
            yield address


def near_limit(running: Running) -> list[Address]:
    """Return the hosts near their limit, by address."""
    return sorted(host for host in hosts_up(running) if is_near_limit(running, host))


def lacking(running: Running) -> dict[Address, list[str]]:
    """Return the hosts that lack required capabilities, by address."""
    return {
        host: names for host in sorted(hosts_up(running)) if (names := running.filter.lacking(host))
    }


def host_warnings(running: Running, named: Callable[[Sequence[Address]], str]) -> Iterator[Finding]:
    """Yield a warning for each kind of such hosts. `named`: formats the first few."""
    if near := near_limit(running):
        detail = f"{count(len(near), 'host')} near max_prefixes: {named(near)}"
        yield Finding(name="max_prefixes_near", detail=detail)
    if lacks := lacking(running):
        kinds = ", ".join(sorted({name for names in lacks.values() for name in names}))
        detail = f"{count(len(lacks), 'host')} without a required capability ({kinds})"
        yield Finding(name="capability_missing", detail=f"{detail}: {named(list(lacks))}")


_HINTS = {
    "md5_wrong": "segments with another TCP MD5 password",
    "md5_missing": "segments without the TCP MD5 password",
    "md5_unexpected": "segments with a TCP MD5 password, although none is configured",
    "ttl": "segments from further away than ttl_security permits",
}
"""Descriptions of dropped segments, by their count (`edge.tcp_refusals`)."""


def hint(recent: frozenset[str], *, has_password: bool, hops: int) -> str:
    """Return what the kernel has dropped lately that may be of a session that is not up. `recent`:
    counts that have risen."""
    possible = {"md5_wrong", "md5_missing"} if has_password else {"md5_unexpected"}
    if hops:
        possible.add("ttl")
    dropped = [text for name, text in _HINTS.items() if name in possible & recent]
    if not dropped:
        return ""
    return f"the kernel drops {' and '.join(dropped)}, here or of another neighbor"
