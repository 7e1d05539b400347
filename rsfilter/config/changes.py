"""Which changes of a configuration can be taken in by a running filter, and why not the others.

What decides about hosts' routes can change at any time. The other sections are what sessions, data
and files were set up by: a new process takes them in, and starting one costs no session and no
route (docs/operations.md). A configuration is taken in whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from rsfilter.config.model import Config
from rsfilter.routing.groups import Neighbors

LIVE = ("hosts", "guard", "readiness")
"""Sections that a running filter takes in."""

FIXED = ("route_server", "routers", "fanout", "rtr", "truth", "audit", "http", "fleet")
"""Sections that only a new process does."""


def refusals(running: Config, wanted: Config) -> list[str]:
    """Why `wanted` cannot be taken in, one text each; none: it can."""
    return [*_other_roles(running, wanted), *_fixed(running, wanted)]


def changed(running: Config, wanted: Config) -> list[str]:
    """The sections that a reload takes in."""
    return [name for name in LIVE if getattr(running, name) != getattr(wanted, name)]


def _other_roles(running: Config, wanted: Config) -> Iterator[str]:
    """A host that becomes a router, or a router that becomes a host: its routes would be judged
    that were not, or no longer be. Hosts may be ranges, but every router has an address: so those
    are looked at."""
    before, after = (Neighbors(c.hosts, c.routers) for c in (running, wanted))
    groups = (*running.routers, *wanted.routers)
    for address in sorted({address for group in groups for address in group.neighbors}):
        was, would_be = before.identify(address).role, after.identify(address).role
        if {was, would_be} == {"host", "router"}:
            yield f"{address} would change its role from {was} to {would_be}"


def _fixed(running: Config, wanted: Config) -> Iterator[str]:
    for section in FIXED:
        if getattr(running, section) != getattr(wanted, section):
            yield f"{section}: only a restart of rsfilter takes a change of it in"
