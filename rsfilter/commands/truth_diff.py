"""The difference of two truths: hosts, and address space by ASN, aggregated (netaddr)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from netaddr import IPNetwork, IPSet

from rsfilter.routing.groups import TruthHost
from rsfilter.routing.model import Vrp
from rsfilter.rpki.truth import Truth

MAX_VRPS = 100_000
"""VRPs of one side whose space is aggregated: some seconds. More are listed one by one."""


def compare(old: Truth, new: Truth) -> dict[str, Any]:
    """Return the differences, as JSON shows them.

    `added` and `removed` are prefixes by ASN, aggregated where they have the same longest length;
    `moved` is space that only other ASNs may announce now.
    """
    before, after = set(old.vrps), set(new.vrps)
    gone, come = before - after, after - before
    hosts_before, hosts_after = _by_name(old.hosts), _by_name(new.hosts)
    both = hosts_before.keys() & hosts_after.keys()
    return {
        "added": _aggregated(come),
        "removed": _aggregated(gone),
        "moved": _moved(gone, come),
        "hosts_added": sorted(hosts_after.keys() - hosts_before.keys()),
        "hosts_removed": sorted(hosts_before.keys() - hosts_after.keys()),
        "hosts_changed": [
            {"host": name, "was": _identity(hosts_before[name]), "is": _identity(hosts_after[name])}
            for name in sorted(both)
            if _identity(hosts_before[name]) != _identity(hosts_after[name])
        ],
    }


def differences(found: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the rows of a table: sign, prefix or host, and whose it is."""
    for each in found["moved"]:
        yield "~", each["prefix"], f"AS{each['was']} -> AS{each['is']}"
    for sign, name in (("-", "removed"), ("+", "added")):
        for each in found[name]:
            yield sign, f"{each['prefix']} up to /{each['max_length']}", f"AS{each['asn']}"
        for host in found[f"hosts_{name}"]:
            yield sign, f"host {host}", ""
    for change in found["hosts_changed"]:
        was, now = (
            f"AS{each['asn']} at {', '.join(each['neighbors']) or 'any address'}"
            for each in (change["was"], change["is"])
        )
        yield "~", f"host {change['host']}", f"{was} -> {now}"


def _by_name(hosts: Iterable[TruthHost]) -> dict[str, TruthHost]:
    return {host.name: host for host in hosts}


def _identity(host: TruthHost) -> dict[str, Any]:
    return {"asn": host.asn, "neighbors": list(map(str, sorted(host.neighbors)))}


def _aggregated(vrps: set[Vrp]) -> list[dict[str, Any]]:
    """The VRPs, those of one ASN and longest length put together where they are neighbors."""
    if len(vrps) > MAX_VRPS:
        ordered = sorted(vrps, key=lambda vrp: (vrp.asn, vrp.prefix))
        return [_row(str(vrp.prefix), vrp.max_length, vrp.asn) for vrp in ordered]
    alike: dict[tuple[int, int, int], list[str]] = defaultdict(list)
    for vrp in vrps:
        alike[vrp.asn, vrp.prefix.family, vrp.max_length].append(str(vrp.prefix))
    return [
        _row(str(network), max_length, asn)
        for (asn, _, max_length), prefixes in sorted(alike.items())
        for network in IPSet(prefixes).iter_cidrs()
    ]


def _row(prefix: str, max_length: int, asn: int) -> dict[str, Any]:
    return {"prefix": prefix, "max_length": max_length, "asn": asn}


def _moved(gone: set[Vrp], come: set[Vrp]) -> list[dict[str, Any]]:
    """Prefixes that one ASN has lost and another one has got, the same or a part of it."""
    got: dict[IPNetwork, set[int]] = defaultdict(set)
    if len(gone) > MAX_VRPS or len(come) > MAX_VRPS:
        return []
    for vrp in come:
        got[IPNetwork(str(vrp.prefix))].add(vrp.asn)
    found = []
    for vrp in sorted(gone, key=lambda each: (each.prefix, each.asn)):
        network = IPNetwork(str(vrp.prefix))
        above = (got.get(wider, ()) for wider in (network, *network.supernet()))
        others = {asn for asns in above for asn in asns} - {vrp.asn}
        found += [{"prefix": str(vrp.prefix), "was": vrp.asn, "is": asn} for asn in sorted(others)]
    return found
