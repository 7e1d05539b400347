"""Renders BIRD as a fan-out: one session for each ExaBGP, any number for the routers.

ExaBGP's cost grows with its routers, BIRD's hardly does; and several ExaBGPs (shards) look like one
route server behind it. A shard is an iBGP session, so paths, next hops, MED and communities come
through as they are; towards routers the fan-out is a route server (RFC 7947) of the same AS. Text
is made from parsed values only.
"""

from __future__ import annotations

from rsfilter import __version__
from rsfilter.config.model import Config

RECOVERY_S = 60
"""Seconds that a BIRD started with -R waits at most for every neighbor's End-of-RIB before it tells
routers anything. BIRD waits for routers too, so a single one that is away makes it wait so long:
its own default, 240, is longer than routers keep what they had. In 60 an ExaBGP repeats 200,000
routes (docs/scale.md)."""


def render_fanouts(config: Config) -> dict[str, str]:
    """BIRD's configuration for each fan-out, by file name; none without `[fanout]`. The name is
    `bird.conf`, or has the address where there are several."""
    if config.fanout is None:
        return {}
    from jinja2 import Environment, PackageLoader, StrictUndefined  # takes a while to load

    fanout = config.fanout
    template = Environment(
        loader=PackageLoader("rsfilter.render"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML, and nothing but numbers, addresses and names
    ).get_template("bird.conf")
    is_single = len(fanout.addresses) == 1
    return {
        "bird.conf" if is_single else f"bird-{address}.conf": template.render(
            version=__version__,
            address=address,
            port=fanout.port,
            own_asn=config.route_server.asn,
            has_add_path=any(group.all_paths for group in fanout.groups),
            only_outside=fanout.only_outside(config.route_server.asn),
            shards=[shard for shard in fanout.shards if shard.family == address.family],
            shard_port=config.route_server.port,
            groups=fanout.groups,
            channels=_channels(config),
            recovery_s=RECOVERY_S,
        )
        for address in fanout.addresses
    }


def _channels(config: Config) -> dict[str, list[int]]:
    """Return what BIRD calls each family that a router is offered, and the prefix lengths of it
    that any host may announce."""
    offered = sorted({family for group in config.served for family in group.families})
    return {
        f"ipv{family}": sorted({n for group in config.hosts for n in group.lengths(family)})
        for family in offered
    }
