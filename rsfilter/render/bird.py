"""BIRD as a fan-out: one session to each ExaBGP, any number of sessions to routers.

ExaBGP's cost grows with the number of routers; BIRD's hardly grows. Behind the fan-out, several
ExaBGPs (shards) appear as one route server. The session to a shard is iBGP, so paths, next hops,
MED and communities arrive unchanged. Towards routers the fan-out is a route server (RFC 7947) of
the same AS. The text is made from parsed values only.
"""

from __future__ import annotations

from rsfilter import __version__
from rsfilter.config.model import Config
from rsfilter.render.exabgp import RenderError
from rsfilter.render.protection import NO_PASSWORDS, PasswordFiles, Protections
from rsfilter.render.template import template

RECOVERY_S = 60
"""Seconds that BIRD, started with -R, waits for every neighbor's End-of-RIB before it announces
routes. BIRD waits for routers too, so one absent router makes it wait the whole time. Its own
default, 240, is longer than routers keep stale routes. In 60 seconds an ExaBGP repeats 200,000
routes (docs/scale.md)."""


def render_fanouts(config: Config, passwords: PasswordFiles = NO_PASSWORDS) -> dict[str, str]:
    """Render BIRD's configuration for each fan-out, by file name; none without `[fanout]`. The name
    is `bird.conf`, or contains the address if there are several. `passwords`: the files that the
    configuration names. Raises RenderError."""
    if config.fanout is None:
        return {}
    fanout = config.fanout
    bird = template("bird.conf")
    protections = Protections(passwords)
    to_shards = fanout.as_routers(config.route_server.asn)
    of_routers = {
        router: protections.of(group, router)
        for group in fanout.groups
        for router in group.neighbors
    }
    of_shards = {address: protections.of(to_shards, address) for address in fanout.addresses}
    if protections.problems:
        raise RenderError([f"{config.path}: {problem}" for problem in protections.problems])
    is_single = len(fanout.addresses) == 1
    return {
        "bird.conf" if is_single else f"bird-{address}.conf": bird.render(
            version=__version__,
            address=address,
            port=fanout.port,
            own_asn=config.route_server.asn,
            has_add_path=any(group.all_paths for group in fanout.groups),
            only_outside=fanout.only_outside(config.route_server.asn),
            shards=[shard for shard in fanout.shards if shard.family == address.family],
            shard_port=config.route_server.port,
            shard_protection=of_shards[address],
            groups=fanout.groups,
            protection=of_routers,
            channels=_channels(config),
            recovery_s=RECOVERY_S,
        )
        for address in fanout.addresses
    }


def _channels(config: Config) -> dict[str, list[int]]:
    """Return BIRD's name for each family that a router is offered, with the prefix lengths that
    hosts may announce."""
    offered = sorted({family for group in config.served for family in group.families})
    return {
        f"ipv{family}": sorted({n for group in config.hosts for n in group.lengths(family)})
        for family in offered
    }
