"""A first configuration and truth, from the few values that every site has.

`commands.init` gets the values, checks what is rendered, and writes the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rsfilter.render.template import template
from rsfilter.util.text import to_json


@dataclass(frozen=True, slots=True)
class FirstHost:
    """One host of the first truth."""

    name: str
    asn: int
    address: str
    """Address of its session."""
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """Values of a first configuration. Addresses and prefixes are spelled as in the file."""

    asn: int
    addresses: tuple[str, ...]
    """Local addresses of sessions: one, or one of each family."""
    router_id: str
    ranges: tuple[str, ...]
    """Networks that sessions of hosts may come from."""
    routers: tuple[str, ...]
    router_asn: int
    audit: Path
    """Directory of the audit log."""
    caches: tuple[str, ...] = ()
    hosts: tuple[FirstHost, ...] = ()
    """Hosts of the truth. Without any there is no truth, and the caches alone decide."""
    instance: str = ""
    """Name of the unit's instance; empty if the machine has one filter."""
    listen: str = ""
    """Address and port of the HTTP API; empty for the default."""


def first_configuration(site: Site) -> str:
    """Render `rsfilter.toml`. JSON's strings, numbers and lists are TOML's too."""
    return template("rsfilter.toml").render(site=site)


def first_truth(hosts: tuple[FirstHost, ...]) -> str:
    """Render `truth.json` in its native form."""
    entries = [
        {
            "name": host.name,
            "asn": host.asn,
            "neighbors": [host.address],
            "prefixes": list(host.prefixes),
        }
        for host in hosts
    ]
    return to_json({"hosts": entries}, indent=2) + "\n"
