"""Prefixes and paths of tests of the egress."""

from __future__ import annotations

from rsfilter.routing.export import OutAttributes, Paths
from rsfilter.routing.model import IPV4, Address, Prefix

OWN_ASN = 65100


PREFIXES = [Prefix.parse(f"203.0.113.{n}/32") for n in range(4)] + [Prefix.parse("2001:db8::1/128")]


def attributes(host: int, med: int | None = None) -> OutAttributes:
    return OutAttributes(Address(IPV4, 0xC6336400 + host), (65000 + host,), "igp", med, (), (), ())


def best(host: int) -> Paths:
    """Return the paths of a prefix that this host alone announces."""
    return ((0, attributes(host)),)


A, B, C = PREFIXES[:3]
