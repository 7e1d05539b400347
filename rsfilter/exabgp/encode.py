"""Changes of a router's table -> ExaBGP command lines.

Every line has explicit `neighbor` selectors (none at all would mean every neighbor, hosts
included) and is built from parsed values only: no byte of a host's data is ever copied into one.
`announce attributes` always carries a next hop: without one ExaBGP resets the router's session.
The words are the same in ExaBGP 4.2 and 5.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from rsfilter.routing.export import BEST_PATH_ID, OutAttributes
from rsfilter.routing.model import IPV4, UNICAST, Address, Prefix

BATCH = 300
"""Prefixes in a line. ExaBGP parses a line once and then works prefix by prefix: below 50 the
parsing dominates, above 500 nothing is gained and a withdraw waits longer. 300 IPv6 host routes
with their attributes stay below the 16 KiB that ExaBGP reads at once."""

ADMINISTRATIVE_RESET = 4
"""The subcode of Cease (RFC 4486)."""


def announce(
    routers: Sequence[Address],
    path_id: int,
    attributes: OutAttributes,
    prefixes: Iterable[Prefix],
    tag: int | None = None,
) -> Iterator[tuple[bytes, int]]:
    """Lines that announce `prefixes`, all of one family, to `routers`, each with its number
    of prefixes.

    `tag` makes ExaBGP send what it believes to have sent already: it goes in as a local
    preference, which is part of its duplicate check and never leaves on an eBGP session.
    """
    words = [f"announce attributes next-hop {attributes.next_hop}"]
    words.append(f"as-path [ {_spaced(attributes.as_path)} ] origin {attributes.origin}")
    if attributes.med is not None:
        words.append(f"med {attributes.med}")
    if attributes.communities:
        words.append(f"community [ {_colons(attributes.communities)} ]")
    if attributes.large_communities:
        words.append(f"large-community [ {_colons(attributes.large_communities)} ]")
    if attributes.extended_communities:
        octets = _spaced(f"0x{value:016x}" for value in attributes.extended_communities)
        words.append(f"extended-community [ {octets} ]")
    if tag is not None:
        words.append(f"local-preference {tag}")
    return _lines(routers, words, path_id, prefixes)


def withdraw(
    routers: Sequence[Address],
    path_id: int,
    family: int,
    prefixes: Iterable[Prefix],
    tag: int | None = None,
) -> Iterator[tuple[bytes, int]]:
    """Return lines that withdraw `prefixes`, all of `family` (4 or 6), from `routers`, each with
    the number of its prefixes.

    `tag` makes ExaBGP send them after all earlier commands. It is a local preference, which never
    leaves ExaBGP, because a withdraw carries no attributes.
    """
    unspecified = "0.0.0.0" if family == IPV4 else "::"  # noqa: S104 - a next hop, not a socket
    words = [f"withdraw attributes next-hop {unspecified}"]
    if tag is not None:
        words.append(f"local-preference {tag}")
    return _lines(routers, words, path_id, prefixes)


def end_of_rib(router: Address, family: int) -> bytes:
    """The line that sends End-of-RIB (RFC 4724) once nothing else waits to be sent."""
    return f"neighbor {router} announce eor {UNICAST[family]}\n".encode("ascii")


def flush(router: Address) -> bytes:
    """The line that makes ExaBGP send all of a router's table again."""
    return f"neighbor {router} flush adj-rib out\n".encode("ascii")


def request_refresh(host: Address, family: int) -> bytes:
    """Return the line that requests a host's routes of a family again (RFC 2918)."""
    return f"neighbor {host} announce route-refresh {UNICAST[family]}\n".encode("ascii")


def restart(hosts: Sequence[Address]) -> bytes:
    """The line that ends the sessions of hosts, which then begin anew: NOTIFICATION Cease,
    Administrative Reset (RFC 4486). ExaBGP answers it at once, ahead of what is queued."""
    selectors = " , ".join(f"neighbor {host}" for host in hosts)
    return f"{selectors} teardown {ADMINISTRATIVE_RESET}\n".encode("ascii")


def _lines(
    routers: Sequence[Address], words: list[str], path_id: int, prefixes: Iterable[Prefix]
) -> Iterator[tuple[bytes, int]]:
    selectors = " , ".join(f"neighbor {router}" for router in routers)
    if path_id != BEST_PATH_ID:
        words.append(f"path-information {Address(IPV4, path_id)}")
    head = " ".join([selectors, *words, "nlri"])
    texts = map(str, prefixes)
    while batch := list(islice(texts, BATCH)):
        yield f"{head} {' '.join(batch)}\n".encode("ascii"), len(batch)


def _spaced(values: Iterable[object]) -> str:
    return " ".join(map(str, values))


def _colons(communities: Iterable[tuple[int, ...]]) -> str:
    return _spaced(":".join(map(str, community)) for community in communities)
