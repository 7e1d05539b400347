"""Alice-LG's configuration: the sections with which it reads the looking glasses of route servers.

The labels in these sections are those of `routing.labels`, so the reasons that Alice-LG shows are
the reasons that rsfilter has. It has its own [server] section beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rsfilter.config.model import Config, ConfigError
from rsfilter.routing.export import Withheld
from rsfilter.routing.labels import (
    INVALID,
    NOT_CHECKED,
    ORIGIN,
    REJECTED,
    UNKNOWN,
    VALID,
    WITHHELD,
    rejection_texts,
)

TOKEN = "READ_TOKEN"  # noqa: S105 - stands for a token
"""Placeholder in the URL of a route server whose reads need a token: nothing secret is rendered."""

RPKI = {"valid": VALID, "unknown": UNKNOWN, "not_checked": NOT_CHECKED, "invalid": INVALID}
"""Labels of the origin validation states, by Alice-LG's name."""


COLUMNS = {
    "neighbors_columns": (
        "address = Neighbor",
        "asn = ASN",
        "state = State",
        "Uptime = Uptime",
        "Description = Description",
        "routes_accepted = Accepted",
        "routes_filtered = Filtered",
    ),
    "routes_columns": (
        "flags =",
        "network = Network",
        "bgp.next_hop = Next hop",
        "bgp.as_path = AS path",
        "age = Age",
    ),
    "lookup_columns": (
        "flags =",
        "network = Network",
        "bgp.next_hop = Next hop",
        "bgp.as_path = AS path",
        "neighbor.asn = ASN",
        "neighbor.description = Host",
        "routeserver.name = Route server",
    ),
}
"""Columns of Alice-LG's tables. Its own have neither flags (the best path, the origin) nor the next
hop; they have the gateway, which is the session's address here."""


class AliceSections(NamedTuple):
    """Rendered sections."""

    text: str
    warnings: list[str]


def render_alice(configs: Sequence[Config]) -> AliceSections:
    """Render the sections for these route servers. Raises ConfigError if one has no looking glass,
    or two have the same name."""
    sources = _sources(configs)
    asns = sorted({config.route_server.asn for config in configs})
    lines = ["# Printed by `rsfilter render alice`.", ""]
    for section, body in (*_labels(asns), *COLUMNS.items()):
        lines += [f"[{section}]", *body, ""]
    for name, config in sources.items():
        lines += _source(name, config)
    warnings = [text for name, config in sources.items() for text in _warnings(name, config)]
    return AliceSections("\n".join(lines), warnings)


def _sources(configs: Sequence[Config]) -> dict[str, Config]:
    problems: list[str] = []
    sources: dict[str, Config] = {}
    for config in configs:
        name = source_id(config)
        if not config.http.looking_glass:
            problems.append(f"{config.path}: http.looking_glass: is false: there is nothing to see")
        if name in sources:
            problems.append(
                f"{config.path}: route_server.name: {name} is the name of {sources[name].path} too"
            )
        sources[name] = config
    if problems:
        raise ConfigError(problems)
    return sources


def display_name(config: Config) -> str:
    """Return the name of a route server: the one in its fleet, if it is in one."""
    return config.fleet.instance if config.fleet else config.route_server.name


def source_id(config: Config) -> str:
    """Return the id of a route server. Dots would begin a section of a section."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", display_name(config))


def _labels(asns: Sequence[int]) -> Iterator[tuple[str, list[str]]]:
    """Yield sections that name labels."""
    rejected = [
        f"{asn}:{REJECTED}:{number} = {text}"
        for asn in asns
        for number, text in sorted(rejection_texts().items())
    ]
    withheld = [f"{asn}:{WITHHELD}:{why.number} = {why.text}" for asn in asns for why in Withheld]
    states = [f"{name} = {asn}:{ORIGIN}:{number}" for name, number in RPKI.items() for asn in asns]
    named = [
        f"{asn}:{ORIGIN}:{number} = origin {name.replace('_', ' ')}"
        for asn in asns
        for name, number in RPKI.items()
    ]
    yield "rejection_reasons", rejected
    yield "noexport", ["load_on_demand = true"]
    yield "noexport_reasons", withheld
    yield "rpki", ["enabled = true", *states]
    yield "bgp_communities", [*named, *rejected, *withheld]


def _source(name: str, config: Config) -> list[str]:
    group = [f"group = {config.fleet.name}"] if config.fleet else []
    return [
        f"[source.{name}]",
        f"name = {display_name(config)}",
        *group,
        f"[source.{name}.birdwatcher]",
        f"api = {_url(config)}",
        "type = single_table",
        "main_table = master",
        "servertime = 2006-01-02T15:04:05Z07:00",
        "servertime_short = 2006-01-02 15:04:05",
        "servertime_ext = 2006-01-02 15:04:05",
        "",
    ]


def _url(config: Config) -> str:
    http = config.http
    scheme = "https" if http.tls_certificate else "http"
    user = f"alice:{TOKEN}@" if http.read_token_file else ""
    return f"{scheme}://{user}{_host(config)}:{http.listen.port}/birdwatcher"


def _host(config: Config) -> str:
    """Return where clients reach a route server: a name that it accepts, else the address where it
    listens, else the one of its sessions."""
    http = config.http
    if http.allowed_hosts:
        return http.allowed_hosts[0]
    address = http.listen.address
    if address.value == 0:
        address = config.route_server.local_addresses[0]
    return f"[{address}]" if address.family == 6 else str(address)


def _warnings(name: str, config: Config) -> Iterator[str]:
    http = config.http
    if http.read_token_file:
        yield f"{name}: put the content of {http.read_token_file} in place of {TOKEN}"
    if http.is_loopback and not http.allowed_hosts:
        yield f"{name}: only an Alice-LG on the same machine reaches {http.listen}"
