"""How many ExaBGPs a site needs: what a shard costs, from measured figures (docs/scale.md).

    python tests/bench/plan.py [--hosts 8000] [--guests 625] [--routers 1] [--moves 100]

Plays the start of a shard turn by turn, as ExaBGP's loop goes: in a turn every session is looked
at, one connection is accepted, and 50 prefixes of the commands that wait are taken. Costs are CPU
seconds of one core; the loop has no second one. Pure: figures in, figures out.
"""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

SHARDS = (8, 16, 32, 64)


class Figures(NamedTuple):
    """CPU seconds and bytes, as `hypervisors.py` and a profile of ExaBGP 5.0.15 show them."""

    sleep_s: float = 0.001
    """Of a turn in which nothing happened: `exabgp_reactor_speed=0.1`."""
    session_turn_s: float = 3.3e-6
    """To look at a session once, among few of them ..."""
    session_turn_more_s: float = 1.1e-9
    """... and more for each other one: what many need does not stay in the processor's caches."""
    lookup_s: float = 2e-6
    """A session that is compared with a connection, or with the name in a command."""
    inject_s: float = 30e-9
    """A session that is asked, at each prefix of a command, whether it is meant."""
    route_s: float = 130e-6
    """A route: received, printed, its command taken, sent to one router."""
    filter_route_s: float = 25e-6
    """The same route in rsfilter."""
    filter_session_s: float = 1e-3
    """A session in rsfilter."""
    prefixes_a_turn: int = 50
    session_bytes: float = 22e3
    """In ExaBGP."""
    route_bytes: float = 3.2e3
    """In ExaBGP, for each router."""
    filter_session_bytes: float = 12e3
    filter_route_bytes: float = 1.45e3
    """In rsfilter, with the truth that allows it."""
    process_bytes: float = 86e6
    """Both, with nothing in them."""


MEASURED = Figures()

MOST_SESSIONS = 1000
"""Nothing is said of larger shards: with 2,000 a turn takes three times what these figures say."""


class Shard(NamedTuple):
    """What one pair of ExaBGP and rsfilter has to do with."""

    hosts: int
    guests: int
    """Of each host."""
    routers: int
    moves: float = 0.0
    """Routes that change in a second."""


class Cost(NamedTuple):
    """What it takes."""

    start_s: float
    """CPU seconds of ExaBGP until the routers have everything; on a core of its own, seconds."""
    filter_start_s: float
    idle: float
    """Of a core, while nothing happens."""
    busy: float
    """Of a core: the changes alone. The loop has no time for more than 1."""
    memory: float
    """Bytes."""


def turn(sessions: int, figures: Figures = MEASURED) -> float:
    """CPU seconds in which ExaBGP looks at each session once."""
    each = figures.session_turn_s + figures.session_turn_more_s * sessions
    return sessions * each


def _command(shard: Shard, figures: Figures) -> float:
    """What a command costs before its first prefix: hosts have next hops of their own, so there is
    one for each host, or for each move."""
    return shard.hosts * figures.lookup_s


def _prefix(shard: Shard, figures: Figures) -> float:
    return shard.hosts * figures.inject_s + figures.route_s * shard.routers


def start(shard: Shard, figures: Figures = MEASURED) -> float:
    """CPU seconds of ExaBGP from the first connection to the last route, turn by turn."""
    used, up, waiting = 0.0, 0, 0
    while up < shard.hosts or waiting:
        used += turn(up, figures)
        taken = min(waiting, figures.prefixes_a_turn)
        used += taken * _prefix(shard, figures)
        waiting -= taken
        if up < shard.hosts:
            # Half of the sessions are looked at until the one is found.
            used += shard.hosts / 2 * figures.lookup_s + _command(shard, figures)
            up += 1
            waiting += shard.guests
    return used


def cost(shard: Shard, figures: Figures = MEASURED) -> Cost:
    """What a shard costs. ValueError for one that is larger than any that was measured."""
    if shard.hosts > MOST_SESSIONS:
        raise ValueError(f"{shard.hosts} sessions: the figures hold for {MOST_SESSIONS} at most")
    routes, turn_s = shard.hosts * shard.guests, turn(shard.hosts, figures)
    return Cost(
        start_s=start(shard, figures),
        filter_start_s=routes * figures.filter_route_s + shard.hosts * figures.filter_session_s,
        idle=turn_s / (turn_s + figures.sleep_s),
        busy=shard.moves * (_command(shard, figures) + _prefix(shard, figures)),
        memory=figures.process_bytes
        + shard.hosts * (figures.session_bytes + figures.filter_session_bytes)
        + routes * (figures.route_bytes * shard.routers + figures.filter_route_bytes),
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
        row = [f"{of.start_s:.0f}", f"{of.filter_start_s:.0f}", f"{of.idle * shards:.1f}"]
        row += [f"{of.busy:.2f}", f"{of.memory * shards / 1e9:.0f}"]
        table.add_row(str(shards), str(shard.hosts), str(shard.hosts * shard.guests), *row)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
