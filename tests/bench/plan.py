"""Number of ExaBGPs that a site needs: the cost of a shard, from measured figures (docs/scale.md).

    python tests/bench/plan.py [--hosts 8000] [--guests 625] [--routers 1] [--moves 100]

With `rsfilter exabgp` everything grows with sessions and routes, and no more than that. Costs are
CPU seconds of one core; ExaBGP has no second one. Pure: figures in, figures out.
"""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

SHARDS = (1, 2, 4, 8, 16)


class Figures(NamedTuple):
    """CPU seconds and bytes, as `hypervisors.py` and `tuning.py` show them with ExaBGP 5.0.15."""

    session_s: float = 1.9e-3
    """A session that comes up, with the commands for its routes: hosts have next hops of their
    own."""
    route_s: float = 34e-6
    """A route: received, printed, its command taken, sent to one router."""
    more_router_s: float = 25e-6
    """The same route, sent to another router too."""
    idle_session_s: float = 5e-6
    """A session in each second in which nothing happens: keepalives both ways."""
    change_s: float = 0.17e-3
    """A change of one route, with a command of its own."""
    filter_route_s: float = 34e-6
    """A route in rsfilter."""
    filter_session_s: float = 1e-3
    """A session in rsfilter."""
    session_bytes: float = 27e3
    """Costs in ExaBGP."""
    route_bytes: float = 0.56e3
    """Costs in ExaBGP."""
    filter_session_bytes: float = 4e3
    filter_route_bytes: float = 1.5e3
    """Costs in rsfilter, with the truth that allows it."""
    process_bytes: float = 93e6
    """Both, with nothing in them."""


MEASURED = Figures()

MOST_SESSIONS = 8000
"""More were not tried."""


class Shard(NamedTuple):
    """Work of one pair of ExaBGP and rsfilter."""

    hosts: int
    guests: int
    """Guests of each host."""
    routers: int
    moves: float = 0.0
    """Routes that change in a second."""


class Cost(NamedTuple):
    """Resources that it takes."""

    start_s: float
    """CPU seconds of ExaBGP until the routers have everything; on a core of its own, seconds."""
    filter_start_s: float
    idle: float
    """Share of a core, while nothing happens."""
    busy: float
    """Share of a core: the changes alone. The loop has no time for more than 1."""
    memory: float
    """Bytes."""


def start(shard: Shard, figures: Figures = MEASURED) -> float:
    """CPU seconds of ExaBGP from the first connection to the last route."""
    route_s = figures.route_s + (shard.routers - 1) * figures.more_router_s
    return shard.hosts * (figures.session_s + shard.guests * route_s)


def cost(shard: Shard, figures: Figures = MEASURED) -> Cost:
    """Return the costs of a shard. ValueError for one that is larger than any that was measured."""
    if shard.hosts > MOST_SESSIONS:
        raise ValueError(f"{shard.hosts} sessions: the figures hold for {MOST_SESSIONS} at most")
    routes = shard.hosts * shard.guests
    more_routers_s = (shard.routers - 1) * figures.more_router_s
    return Cost(
        start_s=start(shard, figures),
        filter_start_s=routes * figures.filter_route_s + shard.hosts * figures.filter_session_s,
        idle=shard.hosts * figures.idle_session_s,
        busy=shard.moves * (figures.change_s + more_routers_s),
        memory=figures.process_bytes
        + shard.hosts * (figures.session_bytes + figures.filter_session_bytes)
        + routes * (figures.route_bytes + figures.filter_route_bytes),
    )


def split(site: Shard, shards: int) -> Shard:
    """The largest of so many shards: hosts and changes are shared out, routers are not."""
    hosts = -(-site.hosts // shards)
    return site._replace(hosts=hosts, moves=site.moves * hosts / site.hosts)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=8000)
    parser.add_argument("--guests", type=int, default=625, help="of each host")
    parser.add_argument("--routers", type=int, default=1, help="of each ExaBGP; a fan-out is one")
    parser.add_argument("--moves", type=float, default=100.0, help="routes that change in a second")
    site = Shard(**vars(parser.parse_args()))
    table = Table(
        *("shards", "sessions each", "routes each", "start CPU s", "rsfilter CPU s"),
        *("idle, cores in all", "changes, of a core each", "GB in all"),
    )
    for shards in SHARDS:
        shard = split(site, shards)
        if shard.hosts > MOST_SESSIONS:
            continue
        of = cost(shard)
        row = [f"{of.start_s:.0f}", f"{of.filter_start_s:.0f}", f"{of.idle * shards:.2f}"]
        row += [f"{of.busy:.2f}", f"{of.memory * shards / 1e9:.0f}"]
        table.add_row(str(shards), str(shard.hosts), str(shard.hosts * shard.guests), *row)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
