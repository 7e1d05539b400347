"""Changes of the configuration that a running filter can apply, and the reasons against others.

The rules for hosts' routes can change at any time. Sessions, data and files were set up from the
other sections: changing those requires a restart, which costs no session and no route
(docs/operations.md). A configuration is applied whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from rsfilter.config.model import Config
from rsfilter.routing.groups import Neighbors

LIVE = ("hosts", "guard", "readiness")
"""Sections that a running filter applies."""

FIXED = ("route_server", "routers", "fanout", "rtr", "truth", "audit", "http", "fleet")
"""Sections that require a restart."""


def refusals(running: Config, wanted: Config) -> list[str]:
    """Return why `wanted` cannot be applied, one text per reason. An empty list: it can."""
    return [*_other_roles(running, wanted), *_fixed(running, wanted)]


def changed(running: Config, wanted: Config) -> list[str]:
    """Return the sections that a reload changes."""
    return [name for name in LIVE if getattr(running, name) != getattr(wanted, name)]


def _other_roles(running: Config, wanted: Config) -> Iterator[str]:
    """Yield a problem for each host that becomes a router, or router that becomes a host, because
    its routes would start or cease to be judged. Hosts may be ranges, but every router has an
    address, so the routers are compared."""
    before, after = (Neighbors(c.hosts, c.routers) for c in (running, wanted))
    groups = (*running.routers, *wanted.routers)
    for address in sorted({address for group in groups for address in group.neighbors}):
        was, would_be = before.identify(address).role, after.identify(address).role
        if {was, would_be} == {"host", "router"}:
            yield f"{address} would change its role from {was} to {would_be}"


def _fixed(running: Config, wanted: Config) -> Iterator[str]:
    for section in FIXED:
        if getattr(running, section) != getattr(wanted, section):
            yield f"{section}: changing it requires a restart of rsfilter"
